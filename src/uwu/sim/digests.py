"""Digest files of the simulated company's trail: chained and signed as CloudTrail does it, with a key of its own."""

from __future__ import annotations

import base64
import gzip
import hashlib
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

HOUR = timedelta(hours=1)


class Log(msgspec.Struct, frozen=True):
    """A log file that was delivered."""

    account: str
    region: str
    delivered: datetime
    key: str
    sha256: str
    """Of its inflated content, hexadecimal."""
    oldest: datetime
    newest: datetime


class Signer:
    """CloudTrail's key pair of one simulation."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        der = self._key.public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1)
        self.value = base64.b64encode(der).decode()
        """As ListPublicKeys tells it."""
        self.fingerprint = hashlib.md5(der, usedforsecurity=False).hexdigest()

    def sign(self, text: str) -> str:
        return self._key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()).hex()

    def publish(self, url: str, since: datetime, until: datetime) -> None:
        """Lets the AWS at ``url``, a ``MotoServer``, tell the key in every region, for all accounts."""
        body = {
            "Value": self.value,
            "Fingerprint": self.fingerprint,
            "ValidityStartTime": since.timestamp(),
            "ValidityEndTime": until.timestamp(),
        }
        headers = {
            "Content-Type": "application/x-amz-json-1.1",
            "X-Amz-Target": "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.ListPublicKeys",
            "X-Uwu-Publish": "true",
            "Authorization": "AWS4-HMAC-SHA256 Credential=testing/20260101/us-east-1/cloudtrail/aws4_request",
        }
        request = urllib.request.Request(url, data=msgspec.json.encode(body), headers=headers, method="POST")  # noqa: S310
        urllib.request.urlopen(request, timeout=10).close()  # noqa: S310


class Put(Protocol):
    """Stores an object with its metadata."""

    def __call__(self, key: str, body: bytes, metadata: dict[str, str]) -> None: ...


class Trail(msgspec.Struct, frozen=True, kw_only=True):
    """The trail that delivers."""

    name: str
    home: str
    bucket: str
    prefix: str
    """``[prefix/]AWSLogs/[o-id/]``"""


def place(trail: Trail, account: str, region: str, at: datetime, *, backfill: bool = False) -> str:
    """The key of the digest that ends at ``at``."""
    tail = "_backfill" if backfill else ""
    return (
        f"{trail.prefix}{account}/CloudTrail-Digest/{region}/{at:%Y/%m/%d}/"
        f"{account}_CloudTrail-Digest_{region}_{trail.name}_{trail.home}_{at:%Y%m%dT%H%M%SZ}{tail}.json.gz"
    )


class Previous(msgspec.Struct, frozen=True):
    """The digest before."""

    key: str
    sha256: str
    signature: str


def write(
    signer: Signer,
    trail: Trail,
    account: str,
    region: str,
    hours: Sequence[tuple[datetime, Sequence[Log]]],
    put: Put,
    *,
    previous: Previous | None = None,
    backfilled: datetime | None = None,
    alter: Callable[[dict[str, Any]], None] = lambda _content: None,
) -> Previous | None:
    """Writes a chain: for each (end of an hour, its log files) a digest that names the one before. Gives the last.

    ``alter`` may change the content of each before it is signed: how a chain is made that CloudTrail would not write.
    """
    for end, logs in hours:
        key = place(trail, account, region, end, backfill=backfilled is not None)
        content: dict[str, Any] = {
            "awsAccountId": account,
            "digestStartTime": _iso(end - HOUR),
            "digestEndTime": _iso(end),
            "digestS3Bucket": trail.bucket,
            "digestS3Object": key,
            "digestPublicKeyFingerprint": signer.fingerprint,
            "digestSignatureAlgorithm": "SHA256withRSA",
            "newestEventTime": _iso(max(log.newest for log in logs)) if logs else None,
            "oldestEventTime": _iso(min(log.oldest for log in logs)) if logs else None,
            "previousDigestS3Bucket": trail.bucket if previous else None,
            "previousDigestS3Object": previous.key if previous else None,
            "previousDigestHashValue": previous.sha256 if previous else None,
            "previousDigestHashAlgorithm": "SHA-256" if previous else None,
            "previousDigestSignature": previous.signature if previous else None,
            "logFiles": [
                {
                    "s3Bucket": trail.bucket,
                    "s3Object": log.key,
                    "hashValue": log.sha256,
                    "hashAlgorithm": "SHA-256",
                    "newestEventTime": _iso(log.newest),
                    "oldestEventTime": _iso(log.oldest),
                }
                for log in logs
            ],
        }
        alter(content)
        text = msgspec.json.encode(content)
        sha256 = hashlib.sha256(text).hexdigest()
        before = content["previousDigestSignature"] or "null"
        signature = signer.sign(f"{content['digestEndTime']}\n{trail.bucket}/{key}\n{sha256}\n{before}")
        metadata = {"signature": signature, "signature-algorithm": "SHA256withRSA"}
        if backfilled is not None:
            metadata["backfill-generation-timestamp"] = _iso(backfilled)
        put(key, gzip.compress(text, mtime=0), metadata)
        previous = Previous(key, sha256, signature)
    return previous


def hours_of(logs: Sequence[Log], until: datetime) -> Iterator[tuple[str, str, list[tuple[datetime, list[Log]]]]]:
    """(account, region, hours): from the first delivery on, an hour without one has a digest as well."""
    groups: defaultdict[tuple[str, str], defaultdict[datetime, list[Log]]] = defaultdict(lambda: defaultdict(list))
    for log in logs:
        end = log.delivered.astimezone(UTC).replace(minute=0, second=0, microsecond=0) + HOUR
        groups[log.account, log.region][end].append(log)
    for (account, region), ends in sorted(groups.items()):
        first = min(ends)
        last = max(max(ends), until.replace(minute=0, second=0, microsecond=0))
        count = int((last - first) / HOUR) + 1
        yield account, region, [(first + n * HOUR, ends.get(first + n * HOUR, [])) for n in range(count)]


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
