"""Files of the lake: how they come to the disk whole, and what a full disk is called.

PyIceberg writes its metadata through ``FolderIO``: each file is complete and on the disk before the catalog names it.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Generator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self, cast

import duckdb
from pyiceberg.io import FileIO, InputFile, InputStream, OutputFile, OutputStream

from uwu.kernel.errors import StorageFull

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FULL_TEXTS = ("No space left on device", "Disk quota exceeded", "File too large", "disk is full", "full disk")


def local(location: str) -> Path:
    """The path that ``location`` (a path or a ``file:`` URL) names."""
    return Path(location.removeprefix("file://").removeprefix("file:"))


def sync_folder(folder: Path) -> None:
    """Makes the names in ``folder`` survive a power loss."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Makes the content of ``path`` survive a power loss."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def full_disk_named(place: str) -> Generator[None]:
    """Turns every library's way to say that the disk is full into ``StorageFull``."""
    try:
        yield
    except StorageFull:
        raise
    except (OSError, duckdb.Error) as error:
        number = error.errno if isinstance(error, OSError) else None
        if number in _FULL or any(text in str(error) for text in _FULL_TEXTS):
            raise StorageFull(
                "the lake has no room left", place=place, hint="free space there, then run it again: nothing was lost"
            ) from error
        raise
    except Exception as error:  # the catalog's driver names it in its text only
        if any(text in str(error) for text in _FULL_TEXTS):
            raise StorageFull(
                "the lake's catalog has no room left",
                place=place,
                hint="free space there, then run it again: nothing was lost",
            ) from error
        raise


class _DurableStream:
    """Writes beside the name, and takes the name on ``close`` once the bytes are on the disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: BinaryIO | None = self._part.open("wb")

    def write(self, b: bytes) -> int:
        assert self._file is not None
        try:
            return self._file.write(b)
        except OSError:
            # not every writer closes a stream that failed at its first bytes
            self.discard()
            raise

    def tell(self) -> int:
        assert self._file is not None
        return self._file.tell()

    def close(self) -> None:
        if self._file is None:
            return
        file, self._file = self._file, None
        try:
            with file:
                file.flush()
                os.fsync(file.fileno())
            self._part.rename(self._path)
        except BaseException:
            self._part.unlink(missing_ok=True)
            raise
        sync_folder(self._path.parent)

    def discard(self) -> None:
        if self._file is not None:
            file, self._file = self._file, None
            with contextlib.suppress(OSError):
                file.close()
            self._part.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self.discard()


class _FolderInput(InputFile):
    def __len__(self) -> int:
        return local(self.location).stat().st_size

    def exists(self) -> bool:
        return local(self.location).exists()

    def open(self, seekable: bool = True) -> InputStream:  # noqa: ARG002 (a local file always seeks)
        return cast("InputStream", local(self.location).open("rb"))


class _FolderOutput(OutputFile):
    def __len__(self) -> int:
        return local(self.location).stat().st_size

    def exists(self) -> bool:
        return local(self.location).exists()

    def to_input_file(self) -> InputFile:
        return _FolderInput(self.location)

    def create(self, overwrite: bool = False) -> OutputStream:
        if not overwrite and self.exists():
            raise FileExistsError(f"{self.location} is there already")
        return cast("OutputStream", _DurableStream(local(self.location)))


class FolderIO(FileIO):
    """Iceberg's file access on a local folder, durable before it is named."""

    def new_input(self, location: str) -> InputFile:
        return _FolderInput(location)

    def new_output(self, location: str) -> OutputFile:
        return _FolderOutput(location)

    def delete(self, location: str | InputFile | OutputFile) -> None:
        local(location if isinstance(location, str) else location.location).unlink(missing_ok=True)
