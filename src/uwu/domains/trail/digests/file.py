"""One digest file: its key, its content, its signature (CloudTrail user guide, "Digest file structure").

Each digest covers an hour of deliveries of one account and region, names the log files and the digest before it, and
is signed with RSA PKCS #1 v1.5 over SHA-256 of four lines. The signature stands in the object's metadata.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from uwu.kernel import codec
from uwu.kernel.errors import UwuError

SIGNATURE, ALGORITHM, BACKFILLED = "signature", "signature-algorithm", "backfill-generation-timestamp"
"""Members of an S3 object's metadata."""

MAX_INFLATED = 256 * 1024 * 1024
"""Bytes of an inflated digest: AWS names at most some ten thousand log files in one, a few megabytes."""

_KEY = re.compile(
    r"^(?P<prefix>(?:.*/)?AWSLogs/(?:o-[a-z0-9]+/)?)(?P<account>\d{12})/CloudTrail-Digest/(?P<region>[a-z0-9-]+)/"
    r"\d{4}/\d{2}/\d{2}/(?P=account)_CloudTrail-Digest_(?P=region)_(?P<trail>.+)_(?P<home>[a-z]{2}[a-z0-9-]*-\d+)_"
    r"(?P<at>\d{8}T\d{6}Z)(?P<backfill>_backfill)?\.json\.gz$"
)


class DigestInvalid(UwuError):
    """A digest, or a log file that it names, is not what CloudTrail wrote. The problem's code tells how."""

    code = "digest-invalid"


class Chain(msgspec.Struct, frozen=True, order=True):
    """What the digests of one chain have in common."""

    bucket: str
    prefix: str
    """``[prefix/]AWSLogs/[o-id/]``"""
    account: str
    region: str
    trail: str
    home: str
    """The trail's home region."""
    backfill: bool = False

    def key(self, at: datetime) -> str:
        """The key of the digest that ends at ``at``."""
        tail = "_backfill" if self.backfill else ""
        return (
            f"{self.prefix}{self.account}/CloudTrail-Digest/{self.region}/{at:%Y/%m/%d}/{self.account}"
            f"_CloudTrail-Digest_{self.region}_{self.trail}_{self.home}_{at:%Y%m%dT%H%M%SZ}{tail}.json.gz"
        )


class Named(msgspec.Struct, frozen=True, order=True):
    """A digest as its key tells it."""

    at: datetime
    """The end of its hour."""
    key: str


class LogFile(msgspec.Struct, frozen=True, rename={"bucket": "s3Bucket", "key": "s3Object", "hash": "hashValue"}):
    """A log file as its digest names it."""

    bucket: str
    key: str
    hash: str
    algorithm: str = msgspec.field(name="hashAlgorithm", default="SHA-256")


class Digest(msgspec.Struct, frozen=True, kw_only=True):
    """A digest that is what it says it is, as far as it alone can tell."""

    chain: Chain
    key: str
    start: datetime
    end: datetime
    fingerprint: str
    signature: str
    """Hexadecimal."""
    sha256: str
    """Of its inflated content."""
    signed: bytes
    """What the signature is over."""
    previous_bucket: str
    """Empty for the first of a chain, and after the trail was stopped."""
    previous_key: str
    previous_hash: str
    previous_signature: str
    logs: list[LogFile]
    made: datetime | None = None
    """When a backfill wrote it: the time of its public key."""


class _Content(msgspec.Struct, rename="camel"):
    digest_start_time: str
    digest_end_time: str
    digest_public_key_fingerprint: str
    digest_s3_bucket: str = msgspec.field(name="digestS3Bucket")
    digest_s3_object: str = msgspec.field(name="digestS3Object")
    previous_digest_signature: str | None
    previous_digest_s3_bucket: str | None = msgspec.field(name="previousDigestS3Bucket", default=None)
    previous_digest_s3_object: str | None = msgspec.field(name="previousDigestS3Object", default=None)
    previous_digest_hash_value: str | None = None
    log_files: list[LogFile] | None = None


def place_of(bucket: str, key: str) -> tuple[Chain, Named] | None:
    """The chain and the time that a key tells; None where it is no digest's."""
    found = _KEY.match(key)
    if found is None:
        return None
    try:
        at = datetime.strptime(found["at"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None
    parts = (found["prefix"], found["account"], found["region"], found["trail"], found["home"])
    return Chain(bucket, *parts, bool(found["backfill"])), Named(at, key)


def inflate(data: bytes, most: int) -> bytes:
    """The content of a gzip stream that ends with the object. Raises ``DigestInvalid``."""
    stream = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        text = stream.decompress(data, most)
    except zlib.error:
        raise DigestInvalid("it is no gzip file", code="digest-format") from None
    if stream.unconsumed_tail:
        raise DigestInvalid(f"it inflates to more than {most} bytes", code="digest-format")
    if not stream.eof:
        raise DigestInvalid("it is cut off", code="digest-format")
    if stream.unused_data:
        raise DigestInvalid("data follows the end of the compressed stream", code="digest-trailing")
    return text


def read(chain: Chain, key: str, data: bytes, metadata: Mapping[str, str]) -> Digest:
    """The digest that lies at ``key``. Raises ``DigestInvalid``: format, place, or no signature."""
    text = inflate(data, MAX_INFLATED)
    try:
        content = msgspec.json.decode(text, type=_Content)
        start, end = codec.parse_time(content.digest_start_time), codec.parse_time(content.digest_end_time)
    except (msgspec.MsgspecError, ValueError) as error:
        raise DigestInvalid(f"it is not written as a digest: {error}", code="digest-format") from None
    if (content.digest_s3_bucket, content.digest_s3_object) != (chain.bucket, key):
        raise DigestInvalid(
            f"it was moved from s3://{content.digest_s3_bucket}/{content.digest_s3_object}", code="digest-moved"
        )
    signature = metadata.get(SIGNATURE, "")
    if not signature or ALGORITHM not in metadata:
        raise DigestInvalid("its metadata holds no signature", code="digest-signature")
    made = None
    if chain.backfill:
        try:
            made = codec.parse_time(metadata.get(BACKFILLED, ""))
        except ValueError:
            raise DigestInvalid("its metadata does not tell when the backfill wrote it", code="digest-format") from None
    sha256 = hashlib.sha256(text).hexdigest()
    before = "null" if content.previous_digest_signature is None else content.previous_digest_signature
    signed = f"{content.digest_end_time}\n{chain.bucket}/{key}\n{sha256}\n{before}".encode()
    return Digest(
        chain=chain,
        key=key,
        start=start,
        end=end,
        fingerprint=content.digest_public_key_fingerprint,
        signature=signature,
        sha256=sha256,
        signed=signed,
        previous_bucket=content.previous_digest_s3_bucket or "",
        previous_key=content.previous_digest_s3_object or "",
        previous_hash=content.previous_digest_hash_value or "",
        previous_signature=content.previous_digest_signature or "",
        logs=content.log_files or [],
        made=made,
    )


def public_key(text: str) -> RSAPublicKey:
    """The key of ListPublicKeys' ``Value``: base64 of PKCS #1 DER. Raises ``DigestInvalid``."""
    try:
        key: Any = load_der_public_key(base64.b64decode(text, validate=True))
    except (ValueError, binascii.Error):
        key = None
    if not isinstance(key, RSAPublicKey):
        raise DigestInvalid("its public key cannot be read", code="digest-key")
    return key


def verify(digest: Digest, key: RSAPublicKey) -> None:
    """Raises ``DigestInvalid`` where ``digest`` is not signed with ``key``."""
    try:
        key.verify(bytes.fromhex(digest.signature), digest.signed, padding.PKCS1v15(), hashes.SHA256())
    except (InvalidSignature, ValueError):
        raise DigestInvalid("its signature does not fit", code="digest-signature") from None


class LogHash:
    """The hash of a log file's inflated content, taken as its bytes come, in bounded memory."""

    CHUNK = 1 << 20

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(zlib.MAX_WBITS | 16)
        self._hash = hashlib.sha256()

    def update(self, data: bytes) -> None:
        """Takes the next bytes. Raises ``DigestInvalid`` for what is no gzip, or follows its end."""
        while data:
            if self._stream.eof:
                raise DigestInvalid("data follows the end of the compressed stream", code="log-trailing")
            try:
                self._hash.update(self._stream.decompress(data, self.CHUNK))
            except zlib.error:
                raise DigestInvalid("it is no gzip file, or a broken one", code="log-format") from None
            data = self._stream.unconsumed_tail or self._stream.unused_data

    def check(self, log: LogFile) -> None:
        """Raises ``DigestInvalid`` where what came is not what ``log`` says."""
        if not self._stream.eof:
            raise DigestInvalid("it is cut off", code="log-hash")
        if log.algorithm != "SHA-256" or self._hash.hexdigest() != log.hash:
            raise DigestInvalid("its content is not what the digest says", code="log-hash")
