"""Upkeep of a table, in its committer's own turn: compact days of many files, expire snapshots, collect orphans.

A compaction deletes exactly the files that it has read and adds the new one, on one table handle: deleting by predicate
on a table loaded again loses what was added in between.
"""

from __future__ import annotations

import os
import time as clock
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import msgspec
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.io.pyarrow import parquet_file_to_data_file
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from uwu.kernel import codec
from uwu.kernel.lake.files import full_disk_named, local
from uwu.kernel.lake.spec import TableSpec
from uwu.kernel.lake.store import Lake


@dataclass(frozen=True)
class Limits:
    """When upkeep does something."""

    compact_files: int = 12
    """A day with so many files becomes one."""
    compact_bytes: int = 64 * 1024 * 1024
    """Files from this size on are left alone."""
    expire_every: int = 20
    """Snapshots above ``keep_snapshots`` before the oldest are dropped: a commit's cost grows with their number."""
    keep_snapshots: int = 20
    grace_seconds: float = 6 * 3600.0
    """A file that nothing names is deleted once it is so old: a reader may have planned it, a writer be about to."""
    collect_every_seconds: float = 86_400.0
    """How often the folders are read for files that nothing names."""


LIMITS = Limits()


class Report(msgspec.Struct, frozen=True):
    """What upkeep did."""

    compacted_days: int = 0
    compacted_files: int = 0
    expired_snapshots: int = 0
    collected_files: int = 0
    collected_bytes: int = 0

    def plus(self, other: Report) -> Report:
        return Report(*(getattr(self, name) + getattr(other, name) for name in self.__struct_fields__))


def maintain(lake: Lake, spec: TableSpec, limits: Limits, *, keep: set[str]) -> Report:
    """Does what is due for one table. ``keep`` are written files that are not committed yet."""
    with full_disk_named(str(lake.root / spec.name)):
        days, files = _compact(lake, spec, limits)
        expired = _expire(lake.load(spec.name), limits)
        table = lake.load(spec.name)
        removed, size = (0, 0)
        if _collection_due(lake.root / spec.name, limits):
            removed, size = _collect(table, lake.root / spec.name, limits, keep)
    return Report(days, files, expired, removed, size)


def _collection_due(folder: Path, limits: Limits) -> bool:
    mark = folder / ".collected"
    return not mark.exists() or clock.time() - mark.stat().st_mtime >= limits.collect_every_seconds


# ── compaction ──────────────────────────────────────────────────────────────────────────────────


def _compact(lake: Lake, spec: TableSpec, limits: Limits) -> tuple[int, int]:
    table = lake.load(spec.name)
    by_day: dict[object, list[DataFile]] = defaultdict(list)
    for task in table.scan().plan_files():
        if task.file.file_size_in_bytes < limits.compact_bytes:
            by_day[task.file.partition[0]].append(task.file)
    days = files = 0
    for day, parts in sorted(by_day.items(), key=lambda item: str(item[0])):
        if len(parts) >= limits.compact_files and _compact_day(lake, spec, _iso(day), parts):
            days, files = days + 1, files + len(parts)
    return days, files


def _iso(day: object) -> str:
    return day.isoformat() if isinstance(day, date) else (date(1970, 1, 1) + timedelta(days=int(str(day)))).isoformat()


def _compact_day(lake: Lake, spec: TableSpec, day: str, parts: list[DataFile]) -> bool:
    rows = sum(part.record_count for part in parts)
    source = lake.scan_files(spec.name, [local(part.file_path).as_posix() for part in parts])
    written = lake.rewrite(spec.name, source, f"compact-{codec.new_id('c')}", day)
    if written.rows != rows:
        Path(written.path).unlink(missing_ok=True)
        raise RuntimeError(f"compacting {spec.name} of {day} read {written.rows} rows of {rows}; nothing was changed")
    table = lake.load(spec.name)
    try:
        with table.transaction() as transaction, transaction.update_snapshot().overwrite() as overwrite:
            for part in parts:
                overwrite.delete_data_file(part)
            overwrite.append_data_file(parquet_file_to_data_file(table.io, table.metadata, written.path))
    except CommitFailedException:
        # another got in between: the next turn tries again
        Path(written.path).unlink(missing_ok=True)
        return False
    return True


def drop(lake: Lake, spec: TableSpec, since: date) -> int:
    """Takes the files of days before ``since`` out of the table; gives how many."""
    table = lake.load(spec.name)
    old = [task.file for task in table.scan().plan_files() if _iso(task.file.partition[0]) < since.isoformat()]
    if not old:
        return 0
    try:
        with table.transaction() as transaction, transaction.update_snapshot().overwrite() as overwrite:
            for file in old:
                overwrite.delete_data_file(file)
    except CommitFailedException:
        return 0  # another got in between: the next turn tries again
    return len(old)


# ── snapshots ───────────────────────────────────────────────────────────────────────────────────


def _expire(table: Table, limits: Limits) -> int:
    snapshots = sorted(table.metadata.snapshots, key=lambda snapshot: snapshot.sequence_number or 0)
    if len(snapshots) < limits.keep_snapshots + limits.expire_every:
        return 0
    pinned = {ref.snapshot_id for ref in table.metadata.refs.values()}
    old = [s.snapshot_id for s in snapshots[: -limits.keep_snapshots] if s.snapshot_id not in pinned]
    if not old:
        return 0
    try:
        table.maintenance.expire_snapshots().by_ids(old).commit()
    except CommitFailedException:
        return 0
    return len(old)


# ── orphans ─────────────────────────────────────────────────────────────────────────────────────


def _live(table: Table) -> Iterator[str]:
    metadata = table.metadata
    yield table.metadata_location
    for entry in metadata.metadata_log:
        yield entry.metadata_file
    seen: set[str] = set()
    for snapshot in metadata.snapshots:
        yield snapshot.manifest_list
        for manifest in snapshot.manifests(table.io):
            if manifest.manifest_path in seen:
                continue
            seen.add(manifest.manifest_path)
            yield manifest.manifest_path
            for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=True):
                yield entry.data_file.file_path


def _collect(table: Table, folder: Path, limits: Limits, keep: set[str]) -> tuple[int, int]:
    before = clock.time() - limits.grace_seconds
    old = [
        entry
        for name in ("data", "metadata")
        if (folder / name).is_dir()
        for entry in os.scandir(folder / name)
        if entry.is_file(follow_symlinks=False) and entry.stat().st_mtime < before
    ]
    removed = size = 0
    if old:
        live = {str(local(path)) for path in _live(table)} | {str(local(path)) for path in keep}
        for entry in old:
            if entry.path not in live:
                size += entry.stat().st_size
                Path(entry.path).unlink(missing_ok=True)
                removed += 1
    (folder / ".collected").touch()
    return removed, size
