"""Reads files of the estate: a few here, many by processes of their own, for reading YAML is work of the processor."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from types import TracebackType
from typing import Self

import msgspec

from uwu.kernel.domain import EntityKind
from uwu.kernel.estate.reading import FileRead, read
from uwu.kernel.estate.roots import Root

PARALLEL_FROM = 1_000
"""Files that are worth more processes: the start of one costs about half a second."""
MOST_PROCESSES = 4
_SOME = 40
"""Files that a process is given at a time."""

Asked = Sequence[tuple[str, Root]]
_decoder = msgspec.msgpack.Decoder(list[FileRead])
_kinds: dict[str, EntityKind] = {}
"""Of this process, where it is one that only reads."""


class Readers:
    """Reads for one reconciliation; ``files`` is about how many there will be."""

    def __init__(self, kinds: Mapping[str, EntityKind], files: int) -> None:
        self._kinds = dict(kinds)
        self._pool: ProcessPoolExecutor | None = None
        count = min(MOST_PROCESSES, os.cpu_count() or 1)
        if files >= PARALLEL_FROM and count > 1:
            context = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
            self._pool = ProcessPoolExecutor(count, context, _begin, (self._kinds,))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def read(self, asked: Asked) -> list[FileRead]:
        """What each file says, in their order."""
        return self.begin(asked)()

    def begin(self, asked: Asked) -> Callable[[], list[FileRead]]:
        """Begins to read; what it gives waits for the end. Without more processes it is read only then."""
        if self._pool is None:
            return lambda: [read(path, root, self._kinds) for path, root in asked]
        parts = [asked[start : start + _SOME] for start in range(0, len(asked), _SOME)]
        told = self._pool.map(_read, parts)
        return lambda: [each for part in told for each in _decoder.decode(part)]


def _begin(kinds: dict[str, EntityKind]) -> None:
    _kinds.update(kinds)


def _read(asked: Asked) -> bytes:
    return msgspec.msgpack.encode([read(path, root, _kinds) for path, root in asked])
