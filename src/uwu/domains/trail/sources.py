"""Where CloudTrail objects lie: folders, files and S3 prefixes. An object has a key that changes with its content."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from uwu.kernel.errors import BadInput, Denied, NotFound, Unavailable, UwuError
from uwu.kernel.model import Entity
from uwu.kernel.runtime import Kernel

_ENDINGS = (".json.gz", ".json", ".gz")
_NOT_EVENTS = ("CloudTrail-Digest", "CloudTrail-Insight")
"""Parts of a path that hold no events."""

GZIP_BYTES_PER_EVENT, PLAIN_BYTES_PER_EVENT = 130, 1_650
"""What an event takes in an object, measured on real ones: to guess a batch's events before it is read."""


class Object(msgspec.Struct, frozen=True):
    """An object that may hold events."""

    name: str
    """Its path, or ``s3://bucket/key``."""
    mark: str
    """What changes with its content: the ETag; size and time of a file."""
    size: int = 0

    @property
    def key(self) -> str:
        """Its identity in the set of those taken."""
        return f"{self.name}#{self.mark}"

    @property
    def events(self) -> int:
        """About how many events it holds."""
        each = GZIP_BYTES_PER_EVENT if self.name.endswith(".gz") else PLAIN_BYTES_PER_EVENT
        return 1 + self.size // each


class Gone(UwuError):
    """The object is not there any more, or not as it was."""

    code = "object-gone"


def holds_events(key: str) -> bool:
    """Whether an object of this key holds events, and no digest."""
    return key.endswith(_ENDINGS) and not any(part in key for part in _NOT_EVENTS)


def of_key(key: str) -> Object:
    """The object of a key that was taken earlier."""
    name, _, mark = key.rpartition("#")
    return Object(name, mark)


def declared(entities: list[Entity]) -> list[str]:
    """The sources of the Trail entities; a relative folder is beside the file that declares it."""
    found: list[str] = []
    for entity in entities:
        source = str(entity.spec.get("source") or "").strip()
        if not source:
            continue
        if not source.startswith("s3://"):
            source = str((Path(entity.place.file).parent / Path(source).expanduser()).resolve())
        found.append(source)
    return list(dict.fromkeys(found))


def discover(kernel: Kernel, source: str) -> Iterator[Object]:
    """The objects of ``source``: a folder (recursively), a file, or ``s3://bucket/prefix``.

    Raises ``BadInput``, ``NotFound``, ``Denied`` or ``Unavailable`` where the source cannot be read.
    """
    if source.startswith("s3://"):
        yield from _discover_s3(kernel, source)
        return
    path = Path(source).expanduser().resolve()
    if path.is_file():
        yield _file(path)
    elif path.is_dir():
        for inner in sorted(path.rglob("*")):
            if holds_events(str(inner)) and inner.is_file():
                yield _file(inner)
    else:
        raise NotFound(
            f"there is no folder or file {path}",
            code="source-missing",
            place=source,
            hint="give a folder, a file or s3://bucket/prefix with CloudTrail objects",
        )


def fetch(kernel: Kernel, held: Object) -> bytes:
    """The bytes of an object. Raises ``Gone``, ``Denied`` or ``Unavailable``."""
    if held.name.startswith("s3://"):
        return _fetch_s3(kernel, held)
    try:
        data = Path(held.name).read_bytes()
        if held.mark and _file(Path(held.name)).mark != held.mark:
            raise Gone("the file has changed since it was listed", place=held.name)
    except FileNotFoundError:
        raise Gone("the file is not there any more", place=held.name) from None
    except PermissionError:
        raise Denied("the file may not be read", place=held.name) from None
    except OSError as error:
        raise Unavailable(f"the file cannot be read: {error.strerror}", place=held.name) from None
    return data


def _file(path: Path) -> Object:
    stat = path.stat()
    return Object(str(path), f"{stat.st_size}-{stat.st_mtime_ns}", stat.st_size)


# ---- S3


def split(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    if not parts.netloc:
        raise BadInput("an S3 source is s3://bucket/prefix", code="source-syntax", place=url)
    return parts.netloc, url[len("s3://") + len(parts.netloc) + 1 :]


def _discover_s3(kernel: Kernel, source: str) -> Iterator[Object]:
    for found in listed(kernel, source):
        yield found.object


class Listed(NamedTuple):
    """An object of a listing, and when it was put there."""

    object: Object
    at: datetime


def listed(kernel: Kernel, source: str) -> Iterator[Listed]:
    """The objects with events under ``s3://bucket/prefix``, in the order of their keys. Raises as ``discover``."""
    from botocore.exceptions import BotoCoreError, ClientError

    bucket, prefix = split(source)
    try:
        client = kernel.aws.client("s3")
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for each in page.get("Contents", ()):
                if holds_events(each["Key"]):
                    held = Object(f"s3://{bucket}/{each['Key']}", each["ETag"].strip('"'), int(each["Size"]))
                    yield Listed(held, each["LastModified"])
    except (ClientError, BotoCoreError) as error:
        raise failed(kernel, error, source) from None


def children(kernel: Kernel, bucket: str, prefix: str) -> list[str]:
    """The prefixes one level below ``prefix``, which ends in a slash or is empty. Raises as ``discover``."""
    from botocore.exceptions import BotoCoreError, ClientError

    found: list[str] = []
    try:
        pages = kernel.aws.client("s3").get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=bucket, Prefix=prefix, Delimiter="/"):
            found += [each["Prefix"] for each in page.get("CommonPrefixes", ())]
    except (ClientError, BotoCoreError) as error:
        raise failed(kernel, error, f"s3://{bucket}/{prefix}") from None
    return found


def current(kernel: Kernel, held: Object) -> Object:
    """The object as it is now, for one whose ETag is not known. Raises ``Gone``, ``Denied`` or ``Unavailable``."""
    from botocore.exceptions import BotoCoreError, ClientError

    bucket, key = split(held.name)
    try:
        answer: dict[str, Any] = kernel.aws.client("s3").head_object(Bucket=bucket, Key=key)
    except (ClientError, BotoCoreError) as error:
        raise failed(kernel, error, held.name) from None
    return Object(held.name, str(answer["ETag"]).strip('"'), int(answer["ContentLength"]))


def _fetch_s3(kernel: Kernel, held: Object) -> bytes:
    from botocore.exceptions import BotoCoreError, ClientError

    bucket, key = split(held.name)
    try:
        answer: dict[str, Any] = kernel.aws.client("s3").get_object(Bucket=bucket, Key=key, IfMatch=f'"{held.mark}"')
        return answer["Body"].read()
    except (ClientError, BotoCoreError) as error:
        raise failed(kernel, error, held.name) from None


def failed(kernel: Kernel, error: Exception, place: str) -> UwuError:
    answer = getattr(error, "response", None) or {}
    code = str(answer.get("Error", {}).get("Code", ""))
    if code == "NoSuchBucket":
        return NotFound("the bucket does not exist", code="source-missing", place=place)
    if code in {"NoSuchKey", "404", "PreconditionFailed", "412"}:
        return Gone("the object is not there any more, or not as it was listed", place=place)
    failure = kernel.aws.classify(error)
    if failure.status.value == "denied":
        return Denied(failure.message, code=failure.code, place=place, hint=failure.hint)
    return Unavailable(failure.message, code=failure.code or "s3-failed", place=place, hint=failure.hint)
