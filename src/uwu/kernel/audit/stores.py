"""Where checkpoints are kept: a file that is only appended to, or objects of S3 that are never overwritten."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

from uwu.kernel import aws_errors
from uwu.kernel.errors import Conflict, Misconfigured, StorageFull, Unavailable, UwuError
from uwu.kernel.runtime import Kernel

_READERS = 8
_NAME = re.compile(r"(\d{12})\.json")
_TAKEN = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "412", "409"})


class Taken(Conflict):
    """Another wrote the checkpoint of this number."""

    code = "checkpoint-taken"


class Store(Protocol):
    """Keeps lines, each under its number, from 1."""

    @property
    def place(self) -> str:
        """A path or an s3:// prefix."""
        ...

    def read(self) -> list[bytes]:
        """Every line in the order of its number. Raises ``Unavailable``."""
        ...

    def add(self, number: int, line: bytes) -> None:
        """Keeps ``line`` durably. Raises ``Taken`` where there is one of this number, ``Unavailable``."""
        ...


def of(kernel: Kernel) -> Store:
    """The store of the setting ``audit.checkpoints``."""
    set_to = kernel.settings.audit.checkpoints
    if set_to.startswith("s3://"):
        return S3Store(kernel, set_to)
    return FileStore(kernel.settings.home_path / (set_to or "audit-checkpoints.jsonl"))


class FileStore:
    """One line a checkpoint. Writers take turns by a lock on the file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def place(self) -> str:
        return str(self._path)

    def read(self) -> list[bytes]:
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise self._failed(error) from None
        return _whole(data)

    def add(self, number: int, line: bytes) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            with os.fdopen(descriptor, "r+b", buffering=0) as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                data = file.read() or b""
                if len(_whole(data)) != number - 1:
                    raise Taken(f"checkpoint {number} is not the next one", place=self.place)
                # a line that was cut by a crash was never given out: it makes room
                whole = data.rfind(b"\n") + 1
                if whole < len(data):
                    file.truncate(whole)
                written = file.write(line + b"\n")
                if written != len(line) + 1:
                    file.truncate(whole)
                    raise StorageFull("there is no room left for a checkpoint", place=self.place)
                os.fsync(file.fileno())
            if number == 1:
                folder = os.open(self._path.parent, os.O_RDONLY)
                try:
                    os.fsync(folder)
                finally:
                    os.close(folder)
        except OSError as error:
            raise self._failed(error) from None

    def _failed(self, error: OSError) -> Unavailable:
        return Unavailable(
            f"the file of checkpoints cannot be used: {error.strerror}",
            code="checkpoints-unavailable",
            place=self.place,
            hint="audit.checkpoints names a file that uwu may write",
        )


def _whole(data: bytes) -> list[bytes]:
    """The lines that were written to their end."""
    return data[: data.rfind(b"\n") + 1].split(b"\n")[:-1]


class S3Store:
    """One object a checkpoint, ``<prefix>/000000000042.json``, written only where none is (If-None-Match)."""

    def __init__(self, kernel: Kernel, url: str) -> None:
        bucket, _, prefix = url.removeprefix("s3://").partition("/")
        if not bucket:
            raise Misconfigured(f"{url!r} names no bucket", code="checkpoints-place", hint="s3://bucket/prefix")
        self._kernel = kernel
        self._bucket = bucket
        self._prefix = prefix.strip("/") + "/" if prefix.strip("/") else ""

    @property
    def place(self) -> str:
        return f"s3://{self._bucket}/{self._prefix}".rstrip("/")

    def read(self) -> list[bytes]:
        keys: list[str] = []

        def pages() -> None:
            asked: dict[str, Any] = {"Bucket": self._bucket, "Prefix": self._prefix}
            while True:
                page = self._client().list_objects_v2(**asked)
                keys.extend(item["Key"] for item in page.get("Contents", ()))
                if not page.get("IsTruncated"):
                    return
                asked["ContinuationToken"] = page["NextContinuationToken"]

        self._call(pages)
        found = sorted(key for key in keys if _NAME.fullmatch(key.removeprefix(self._prefix)))
        with ThreadPoolExecutor(_READERS, "uwu-checkpoints") as pool:
            return list(pool.map(self._get, found))

    def _get(self, key: str) -> bytes:
        return self._call(lambda: self._client().get_object(Bucket=self._bucket, Key=key)["Body"].read())

    def add(self, number: int, line: bytes) -> None:
        asked = {"Bucket": self._bucket, "Key": f"{self._prefix}{number:012d}.json", "Body": line}
        self._call(lambda: self._client().put_object(**asked, IfNoneMatch="*", ContentType="application/json"))

    def _client(self) -> Any:
        return self._kernel.aws.client("s3")

    def _call(self, ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except UwuError:
            raise
        except Exception as error:  # botocore's classes are made at run time
            failure = aws_errors.classify(error)
            if failure.code in _TAKEN:
                raise Taken("another wrote this checkpoint", place=self.place) from None
            raise Unavailable(
                f"S3 does not keep or give the checkpoints: {failure.message}",
                code="checkpoints-unavailable",
                place=self.place,
                hint="the caller needs s3:ListBucket, s3:GetObject and s3:PutObject there",
            ) from None
