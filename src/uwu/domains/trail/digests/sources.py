"""Digests and log files in S3, and CloudTrail's public keys."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from datetime import date, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from uwu.domains.trail import sources
from uwu.domains.trail.digests import file
from uwu.domains.trail.digests.chain import Held, NotThere
from uwu.domains.trail.digests.file import Chain, Named
from uwu.kernel import codec
from uwu.kernel.errors import Denied, Unavailable
from uwu.kernel.runtime import Kernel

FOLDER, LOGS = "CloudTrail-Digest", "CloudTrail"
_DEPTH = 5
"""Levels between a source's prefix and the digests: prefix, AWSLogs, organization, account."""
_PART = 1 << 20
_ROUND = timedelta(hours=2)
"""Before and after a time for which public keys are asked."""
_MOST_DIGEST = 64 * 1024 * 1024
"""Bytes of a digest object as it lies in S3."""


class S3Store:
    """Objects of S3, read with the management credentials."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    def get(self, bucket: str, key: str) -> Held:
        answer = self._open(bucket, key)
        if int(answer["ContentLength"]) > _MOST_DIGEST:
            raise file.DigestInvalid(f"it has more than {_MOST_DIGEST} bytes", code="digest-format")
        with closing(answer["Body"]) as body:
            return Held(b"".join(self._parts(body, bucket, key)), dict(answer.get("Metadata") or {}))

    def chunks(self, bucket: str, key: str) -> Iterator[bytes]:
        with closing(self._open(bucket, key)["Body"]) as body:
            yield from self._parts(body, bucket, key)

    def _open(self, bucket: str, key: str) -> dict[str, Any]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return self._kernel.aws.client("s3").get_object(Bucket=bucket, Key=key)
        except (ClientError, BotoCoreError) as error:
            failed = sources.failed(self._kernel, error, f"s3://{bucket}/{key}")
            if isinstance(failed, sources.Gone):
                raise NotThere(failed.problem.message, place=failed.problem.place) from None
            raise failed from None

    def _parts(self, body: Any, bucket: str, key: str) -> Iterator[bytes]:
        from botocore.exceptions import BotoCoreError, HTTPClientError

        try:
            yield from body.iter_chunks(_PART)
        except (BotoCoreError, HTTPClientError) as error:
            raise sources.failed(self._kernel, error, f"s3://{bucket}/{key}") from None


class CloudTrailKeys:
    """What ListPublicKeys tells, asked once for each region and day. One run's own: it is no cache for long."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._asked: set[tuple[str, date]] = set()
        self._keys: dict[tuple[str, str], RSAPublicKey] = {}

    def key(self, chain: Chain, fingerprint: str, at: datetime) -> RSAPublicKey | None:
        """As ``PublicKeys.key``. Raises ``Denied``, ``Unavailable``, or ``DigestInvalid`` for what is no key."""
        held = (chain.region, fingerprint)
        if held not in self._keys and (chain.region, at.date()) not in self._asked:
            self._ask(chain.region, at)
            self._asked.add((chain.region, at.date()))
        return self._keys.get(held)

    def _ask(self, region: str, at: datetime) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        day = at.replace(hour=0, minute=0, second=0, microsecond=0)
        window = {"StartTime": codec.iso(day - _ROUND), "EndTime": codec.iso(day + timedelta(days=1) + _ROUND)}
        try:
            # keys are regional, and the same for every account: the caller's own account tells them
            for page in self._kernel.aws.caller("cloudtrail", "", region).pages("ListPublicKeys", window):
                for each in page.get("PublicKeyList", ()):
                    self._keys[region, each["Fingerprint"]] = file.public_key(each["Value"])
        except (ClientError, BotoCoreError) as error:
            failure = self._kernel.aws.classify(error, region)
            kind = Denied if failure.status.value == "denied" else Unavailable
            raise kind(
                f"CloudTrail's public keys of {region} cannot be had: {failure.message}",
                code=failure.code or "public-keys",
                place=region,
                hint="allow cloudtrail:ListPublicKeys to the observer of the caller's own account",
            ) from None


def roots(kernel: Kernel, source: str, *, digests: bool = True) -> list[str]:
    """The prefixes ``.../CloudTrail-Digest/region/`` of ``s3://bucket/prefix``, or those of its log files.

    Raises as ``sources.discover``.
    """
    wanted, other = (FOLDER, LOGS) if digests else (LOGS, FOLDER)
    bucket, prefix = sources.split(source)
    parts = [part for part in prefix.split("/") if part]
    for name in (LOGS, FOLDER):
        if name in parts:
            at = parts.index(name)
            above = "/".join([*parts[:at], wanted]) + "/"
            if len(parts) > at + 1:
                return [f"{above}{parts[at + 1]}/"]
            return sources.children(kernel, bucket, above)
    found: list[str] = []
    level = [f"{'/'.join(parts)}/" if parts else ""]
    for _ in range(_DEPTH):
        deeper: list[str] = []
        for each in level:
            for child in sources.children(kernel, bucket, each):
                name = child.rsplit("/", 2)[-2]
                if name == wanted:
                    found += sources.children(kernel, bucket, child)
                elif name != other and not name.startswith("CloudTrail-"):
                    deeper.append(child)
        level = deeper
    return sorted(found)


def chains(kernel: Kernel, source: str, since: datetime, until: datetime) -> dict[Chain, list[Named]]:
    """The chains under ``source`` and their digests that end from ``since`` to ``until``, in order.

    Raises ``BadInput``, ``NotFound``, ``Denied`` or ``Unavailable`` where the source cannot be listed.
    """
    bucket, _ = sources.split(source)
    found: defaultdict[Chain, list[Named]] = defaultdict(list)
    for root in roots(kernel, source):
        for day in range((until.date() - since.date()).days + 1):
            prefix = f"{root}{since.date() + timedelta(days=day):%Y/%m/%d}/"
            for key in keys(kernel, bucket, prefix):
                told = file.place_of(bucket, key)
                if told is not None and since <= told[1].at <= until:
                    found[told[0]].append(told[1])
    return {chain: sorted(named) for chain, named in sorted(found.items())}


def keys(kernel: Kernel, bucket: str, prefix: str) -> Iterator[str]:
    """The keys under ``prefix``. Raises as ``chains``."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        for page in kernel.aws.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for each in page.get("Contents", ()):
                yield each["Key"]
    except (ClientError, BotoCoreError) as error:
        raise sources.failed(kernel, error, f"s3://{bucket}/{prefix}") from None
