"""A chain of digests, walked from the newest to the oldest: what is proven, what is absent, what was altered.

Beside what ``aws cloudtrail validate-logs`` tells, it names each digest of a gap, not only the first one, and compares
the hash and the signature that a digest tells of the one before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

import msgspec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from uwu.domains.trail.digests import file
from uwu.domains.trail.digests.file import Chain, Digest, DigestInvalid, LogFile, LogHash, Named
from uwu.kernel.errors import UwuError

HOUR = timedelta(hours=1)
MOST_ABSENT = 24 * 400
"""Digests that are named one by one in a single gap: more than a year of hours."""

ABSENT, MISSING_LOG, STOPPED = "digest-absent", "log-absent", "trail-stopped"
UNLINKED = "digest-unlinked"


class Held(NamedTuple):
    """An object as it came."""

    body: bytes
    metadata: dict[str, str]


class NotThere(UwuError):
    """The object does not exist."""

    code = "object-gone"


class Store(Protocol):
    """Where digests and log files lie."""

    def get(self, bucket: str, key: str) -> Held:
        """The object whole. Raises ``NotThere``, ``Denied`` or ``Unavailable``."""
        ...

    def chunks(self, bucket: str, key: str) -> Iterator[bytes]:
        """The object in parts. Raises as ``get``."""
        ...


class PublicKeys(Protocol):
    """CloudTrail's public keys."""

    def key(self, chain: Chain, fingerprint: str, at: datetime) -> RSAPublicKey | None:
        """The key of ``fingerprint`` that was in use at ``at``; None where CloudTrail knows none."""
        ...


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with a digest or a log file."""

    code: str
    """digest-absent, digest-format, digest-moved, digest-signature, digest-key, digest-trailing, digest-unlinked,
    log-absent, log-hash, log-format, log-trailing, or trail-stopped, which is no fault of anybody."""
    bucket: str
    key: str
    message: str
    since: datetime
    """The time that it leaves unproven."""
    until: datetime
    inferred: bool = False
    """True where no other digest tells the key: it follows from the hours that lie between two digests."""

    @property
    def tampering(self) -> bool:
        """Whether somebody must have changed something: all but what is absent, or was never written."""
        return self.code not in {ABSENT, MISSING_LOG, STOPPED}


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """A digest whose signature fits, and its log files."""

    digest: Digest
    valid: list[LogFile]
    faults: list[Fault]
    """Of its log files."""


class Walk(msgspec.Struct, kw_only=True):
    """What a chain tells of a time."""

    chain: Chain
    proofs: list[Proof] = msgspec.field(default_factory=list)
    """The newest first."""
    faults: list[Fault] = msgspec.field(default_factory=list)
    """Of its digests, the newest first; those of log files are in the proofs."""

    @property
    def all_faults(self) -> list[Fault]:
        return [*self.faults, *(fault for proof in self.proofs for fault in proof.faults)]


def walk(
    store: Store,
    keys: PublicKeys,
    chain: Chain,
    listed: Sequence[Named],
    since: datetime,
    *,
    logs: bool = True,
    threads: int = 8,
    told: Callable[[Digest], None] = lambda _digest: None,
) -> Walk:
    """Follows ``chain`` from the newest of ``listed`` back to ``since``.

    ``logs`` False leaves the log files unread: their digests are then proven, their content is not. Raises
    ``Denied`` or ``Unavailable`` where an object or a key cannot be had: nothing is concluded from that.
    """
    found = Walk(chain=chain)
    older = sorted(listed)
    newer: Digest | None = None
    current = (chain.bucket, older.pop().key) if older else None
    seen: set[tuple[str, str]] = set()
    with ThreadPoolExecutor(threads) as pool:
        while current is not None and current not in seen:
            seen.add(current)
            bucket, key = current
            digest = _digest(store, keys, chain, bucket, key, newer, found)
            if digest is None:
                at = _time(bucket, key, newer)
                current = _before(older, chain, at)
                if current is not None:
                    _absent(found, chain, _time(*current, newer), at - HOUR)
                continue
            told(digest)
            faults, valid = _logs(store, digest, pool) if logs else ([], list(digest.logs))
            found.proofs.append(Proof(digest=digest, valid=valid, faults=faults))
            newer = digest
            if digest.start <= since:
                break
            older = [each for each in older if each.at < digest.end]
            if digest.previous_key:
                current = (digest.previous_bucket or bucket, digest.previous_key)
            else:
                current = _before(older, chain, digest.end)
                if current is not None:
                    _stopped(found, digest, _time(*current, digest))
    return found


def _digest(
    store: Store, keys: PublicKeys, chain: Chain, bucket: str, key: str, newer: Digest | None, found: Walk
) -> Digest | None:
    """The digest at ``key`` where all of it fits; what does not is told in ``found``."""
    at = _time(bucket, key, newer)

    def fault(code: str, message: str) -> None:
        found.faults.append(Fault(code=code, bucket=bucket, key=key, message=message, since=at - HOUR, until=at))

    try:
        held = store.get(bucket, key)
    except NotThere:
        fault(ABSENT, "the digest is not there")
        return None
    try:
        digest = file.read(msgspec.structs.replace(chain, bucket=bucket), key, held.body, held.metadata)
        public = keys.key(chain, digest.fingerprint, digest.made or digest.end)
        if public is None:
            raise DigestInvalid(
                f"CloudTrail has no public key {digest.fingerprint} in {chain.region}", code="digest-key"
            )
        file.verify(digest, public)
    except DigestInvalid as error:
        fault(error.problem.code, error.problem.message)
        return None
    if newer is not None and newer.previous_key == key:
        if newer.previous_hash not in {"", digest.sha256}:
            fault(UNLINKED, f"its content is not what the digest after it tells (s3://{bucket}/{newer.key})")
        elif newer.previous_signature != digest.signature:
            fault(UNLINKED, f"its signature is not what the digest after it tells (s3://{bucket}/{newer.key})")
    return digest


def _time(bucket: str, key: str, newer: Digest | None) -> datetime:
    """The end of the hour of a digest that may not be readable."""
    told = file.place_of(bucket, key)
    if told is not None:
        return told[1].at
    assert newer is not None, "what was listed has a digest's key"
    return newer.start


def _before(older: list[Named], chain: Chain, at: datetime) -> tuple[str, str] | None:
    """The newest listed digest that ends before ``at``; it and those after it leave ``older``."""
    while older:
        each = older.pop()
        if each.at < at:
            return chain.bucket, each.key
    return None


def _absent(found: Walk, chain: Chain, since: datetime, until: datetime) -> None:
    """Names the digests that should end after ``since``, up to ``until``: one an hour."""
    at = until
    for _ in range(MOST_ABSENT):
        if at - since < HOUR / 2:
            return
        found.faults.append(
            Fault(
                code=ABSENT,
                bucket=chain.bucket,
                key=chain.key(at),
                message="the digest is not there, nor the one after it that would tell of it",
                since=at - HOUR,
                until=at,
                inferred=True,
            )
        )
        at -= HOUR


def _stopped(found: Walk, digest: Digest, since: datetime) -> None:
    """A digest that names none before it, though there are older ones: the trail was off in between."""
    found.faults.append(
        Fault(
            code=STOPPED,
            bucket=digest.chain.bucket,
            key=digest.key,
            message="the digest begins a chain anew: the trail delivered nothing before it",
            since=since,
            until=digest.start,
        )
    )


def _logs(store: Store, digest: Digest, pool: ThreadPoolExecutor) -> tuple[list[Fault], list[LogFile]]:
    """Hashes the log files of ``digest``: (what is wrong with them, those that are as it says)."""

    def one(log: LogFile) -> tuple[str, str] | None:
        hashed = LogHash()
        try:
            for chunk in store.chunks(log.bucket, log.key):
                hashed.update(chunk)
            hashed.check(log)
        except NotThere:
            return MISSING_LOG, "the log file is not there"
        except DigestInvalid as error:
            return error.problem.code, error.problem.message
        return None

    faults: list[Fault] = []
    valid: list[LogFile] = []
    for log, wrong in zip(digest.logs, pool.map(one, digest.logs), strict=True):
        if wrong is None:
            valid.append(log)
            continue
        code, message = wrong
        faults.append(
            Fault(code=code, bucket=log.bucket, key=log.key, message=message, since=digest.start, until=digest.end)
        )
    return faults, valid
