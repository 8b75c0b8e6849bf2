"""Makes the estate what is declared, reading only the files that were written since the last time.

Each file is settled in one transaction with what it claims: a kill costs the files of one batch, which are read again.
An entity that several files claim belongs to the one it was first accepted from. A file that cannot be read now, or
holds an entity that does not fit, says nothing about what it held before: that stays. What nothing claims any more
becomes an orphan.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa

from uwu.kernel import bulk, codec, entity_facts, entity_history, tables
from uwu.kernel.db import Database, upsert
from uwu.kernel.domain import EntityKind
from uwu.kernel.errors import Problem
from uwu.kernel.estate import relate, roots
from uwu.kernel.estate.load import dangling, file_of
from uwu.kernel.estate.pool import Readers
from uwu.kernel.estate.reading import Declared, FileRead, twice
from uwu.kernel.estate.roots import Found, Target
from uwu.kernel.model import Entity

_F, _C, _R, _E = tables.estate_files, tables.estate_claims, tables.estate_references, tables.entities

BATCH_FILES = 400
"""Files settled in one transaction."""
FRESH_SECONDS = 2.0
"""A file that was written so shortly before it was read is read again: the next writing may leave the same mark."""
PROBLEMS_KEPT = 500
_IN = 500

_CLAIM = bulk.insert(_C, {"ref": "text", "file": "text", "place": "text", "held": "bool", "accepted": "bool"})
_ENTITY = bulk.upsert(
    _E,
    {
        "ref": "text",
        "kind": "text",
        "namespace": "text",
        "name": "text",
        "api_version": "text",
        "metadata": "json",
        "spec": "json",
        "file": "text",
        "line": "int",
        "origin": "text",
        "hash": "text",
        "orphan": "bool",
        "first_seen": "time",
        "last_seen": "time",
    },
)

Progress = Callable[[int, int], None]


class Reconciled(msgspec.Struct, frozen=True):
    """What a reconciliation did, and how what is declared stands now."""

    files: int
    read: int
    """Files that were read: new, written since, or asked for again."""
    changed: int
    orphaned: int
    entities: int
    relations: int
    problems: list[Problem]
    """The first ``PROBLEMS_KEPT`` of them."""
    problems_total: int


@dataclass
class _Run:
    """One reconciliation as it goes."""

    db: Database
    order: dict[str, int] = field(default_factory=dict[str, int])
    """File -> its number among the files there are: of two that claim an entity, the first has it."""
    gone: set[str] = field(default_factory=set[str])
    again: set[str] = field(default_factory=set[str])
    """Files that now hold what another held before: what they say is not at hand."""
    read: int = 0
    changed: int = 0
    orphaned: int = 0


@dataclass
class _Held:
    origin: str
    mark: str
    uses: Sequence[str] = ()
    targets: Sequence[Target] = ()


def reconcile(
    db: Database,
    paths: Sequence[Path],
    kinds: Mapping[str, EntityKind],
    *,
    progress: Progress = lambda _done, _total: None,
) -> Reconciled:
    """Makes what ``paths`` hold the declared entities of those origins. Repeating it changes nothing.

    ``kinds`` are the entity kinds by lower-case name; with other kinds than the last time all is read anew.
    """
    found = roots.find(paths)
    version = codec.digest(sorted((name, repr(kind)) for name, kind in kinds.items()))[:12]
    with db.read() as connection:
        held = _held(connection)
    run = _Run(db)
    shown: dict[str, str] = {}
    marks: dict[str, str] = {}
    waiting: list[str] = []
    looking = list(found.files)

    def look() -> None:
        """Takes in the files that were found since; those that must be read wait."""
        while looking:
            path = looking.pop()
            root = found.files[path]
            file = shown[path] = root.shown(path)
            run.order[file] = len(run.order)
            known = held.get(file)
            marks[path] = _mark(version, path, known.uses if known is not None else ())
            as_it_was = known is not None and known.origin == root.origin and bool(known.mark)
            if known is None or not as_it_was or known.mark != marks[path] or file in run.gone:
                waiting.append(path)
            elif known.targets:
                follow(known.targets, path)

    def follow(targets: Iterable[Target], path: str) -> None:
        for named in roots.follow(targets, path, found.files[path], found):
            if named not in found.files:
                found.files[named] = found.files[path]
                looking.append(named)

    looking.reverse()
    look()
    run.gone = _gone(held, set(shown.values()), found, paths)
    with Readers(kinds, len(waiting)) as readers:
        read = 0
        ahead = _Ahead(readers, found, waiting)
        while ahead:
            some, told = ahead.take()
            read += len(some)
            for path, each in zip(some, told, strict=True):
                follow(each.targets, path)
                marks[path] = _mark(version, path, each.uses)
            roots_of = [found.files[path].origin for path in some]
            _settle(run, [each.file for each in told], told, roots_of, [marks[path] for path in some])
            look()
            progress(read, read + ahead.files)
        run.gone -= set(shown.values())
        for some in _chunks(sorted(run.gone), BATCH_FILES):
            _settle(run, some)
        by_file = {file: path for path, file in shown.items()}
        for some in _chunks(sorted(run.again & by_file.keys()), BATCH_FILES):
            asked = [(by_file[file], found.files[by_file[file]]) for file in some]
            told = readers.read(asked)
            _settle(run, some, told, [root.origin for _, root in asked], [marks[path] for path, _ in asked])
    run.orphaned += _unclaimed(db, {f"file:{path}" for path in paths}, found, first=not held)
    relate.draw(db)
    return _result(db, run, found, len(shown))


class _Ahead:
    """The files that wait, in batches; the next batch is being read while one is settled."""

    def __init__(self, readers: Readers, found: Found, waiting: list[str]) -> None:
        self._readers, self._found, self._waiting = readers, found, waiting
        self._next: tuple[list[str], Callable[[], list[FileRead]]] | None = None

    @property
    def files(self) -> int:
        return len(self._waiting) + (len(self._next[0]) if self._next is not None else 0)

    def __bool__(self) -> bool:
        return self.files > 0

    def take(self) -> tuple[list[str], list[FileRead]]:
        some, told = self._next or self._begin()
        read = told()
        self._next = self._begin() if self._waiting else None
        return some, read

    def _begin(self) -> tuple[list[str], Callable[[], list[FileRead]]]:
        some = self._waiting[:BATCH_FILES]
        del self._waiting[:BATCH_FILES]
        return some, self._readers.begin([(path, self._found.files[path]) for path in some])


def _held(connection: sa.Connection) -> dict[str, _Held]:
    """The files as they were read the last time."""
    held = {
        row.file: _Held(row.origin, row.mark)
        for row in connection.execute(sa.select(_F.c.file, _F.c.origin, _F.c.mark))
    }
    for row in connection.execute(sa.select(_F.c.file, _F.c.uses).where(_F.c.embeds)):
        held[row.file].uses = row.uses
    for row in connection.execute(sa.select(_F.c.file, _F.c.targets).where(_F.c.names)):
        held[row.file].targets = msgspec.convert(row.targets, list[Target])
    return held


def _mark(version: str, path: str, uses: Iterable[str]) -> str:
    """What ``path`` and all that it embeds look like from outside; empty where that may not last."""
    marks = [roots.mark(path), *(roots.mark(use) for use in uses)]
    freshest = max((int(mark.partition(".")[0]) for mark in marks if mark), default=0)
    return "" if time.time_ns() - freshest < FRESH_SECONDS * 1e9 else "|".join([version, *marks])


def _gone(held: Mapping[str, _Held], there: Collection[str], found: Found, paths: Iterable[Path]) -> set[str]:
    """The files that are no longer there. Of a root or folder that cannot be read nothing is known to be gone."""
    silent = {f"file:{path}" for path in paths} - {root.origin for root in found.roots}
    closed = tuple(f"{folder}{os.sep}" for folder in found.closed)
    return {
        file
        for file, known in held.items()
        if file not in there and known.origin not in silent and not (closed and file.startswith(closed))
    }


# ---- one batch of files


def _settle(
    run: _Run,
    files: Sequence[str],
    told: Sequence[FileRead] = (),
    origins: Sequence[str] = (),
    marks: Sequence[str] = (),
) -> None:
    """What ``files`` say, in one transaction; files that are not ``told`` of are gone."""
    run.read += len(told)
    with run.db.write() as connection:
        before = _claims(connection, _C.c.file, files)
        claims = list(_new_claims(told, before))
        refs = sorted({row["ref"] for row in before} | {row["ref"] for row in claims})
        batch = set(files)
        others = [row for row in _claims(connection, _C.c.ref, refs) if row["file"] not in batch]
        entities = {
            row.ref: row
            for some in _chunks(refs, _IN)
            for row in connection.execute(
                sa.select(_E.c.ref, _E.c.file, _E.c.line, _E.c.origin, _E.c.hash, _E.c.orphan, _E.c.first_seen).where(
                    _E.c.ref.in_(some)
                )
            )
        }
        at_hand = {(each.entity.ref, file.file): each for file in told for each in file.declared}
        of: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        for row in (*others, *claims):
            if row["file"] not in run.gone or row["file"] in batch:
                of[row["ref"]].append(row)
        written: list[Declared] = []
        orphaned: list[str] = []
        for ref in refs:
            winner = _winner(of[ref], entities.get(ref), run.order)
            for row in of[ref]:
                row["won"] = row["file"] == winner
            entity = entities.get(ref)
            if winner:
                each = at_hand.get((ref, winner))
                if each is not None:
                    if entity is None or entity.orphan or entity.file != winner or entity.hash != digest(each.entity):
                        written.append(each)
                elif winner not in batch and (entity is None or entity.orphan or entity.file != winner):
                    run.again.add(winner)
            elif not of[ref] and entity is not None and not entity.orphan and entity.origin.startswith("file:"):
                orphaned.append(ref)
        _keep_claims(connection, files, claims, others)
        _keep_entities(connection, written, entities)
        _orphan(connection, orphaned)
        _keep_files(connection, files, told, origins, marks)
    run.changed += len(written)
    run.orphaned += len(orphaned)


def _winner(claims: Iterable[Mapping[str, Any]], entity: Any, order: Mapping[str, int]) -> str:
    """The file whose entity it is: the one it was accepted from, else the first; empty where none holds it."""
    holding = [row["file"] for row in claims if row["held"]]
    if entity is not None and not entity.orphan and not entity.origin.startswith(("file:", "scim:")):
        return ""  # another source declares it, and did so first; a directory yields to the estate
    if entity is not None and entity.file in holding:
        return entity.file
    if entity is not None and not entity.orphan and any(row["file"] == entity.file for row in claims):
        return ""  # its own file holds it and cannot be read now
    return min(holding, key=lambda file: order.get(file, len(order)), default="")


def _claims(connection: sa.Connection, column: sa.Column[Any], values: Sequence[str]) -> list[dict[str, Any]]:
    return [
        dict(row)
        for some in _chunks(values, _IN)
        for row in connection.execute(sa.select(_C).where(column.in_(some))).mappings()
    ]


def _new_claims(told: Iterable[FileRead], before: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    places: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for row in before:
        places[row["file"]][row["ref"]] = row["place"]
    for file in told:
        declared = {each.entity.ref: each.place for each in file.declared}
        for ref, place in declared.items():
            yield {"ref": ref, "file": file.file, "place": place, "held": True, "accepted": False}
        kept = dict.fromkeys(file.rejected, file.file) | ({} if file.whole else places[file.file])
        for ref in kept.keys() - declared.keys():
            place = places[file.file].get(ref, file.file)
            yield {"ref": ref, "file": file.file, "place": place, "held": False, "accepted": False}


def _keep_claims(
    connection: sa.Connection,
    files: Sequence[str],
    claims: Sequence[dict[str, Any]],
    others: Sequence[dict[str, Any]],
) -> None:
    for some in _chunks(files, _IN):
        connection.execute(_C.delete().where(_C.c.file.in_(some)))
    rows = [(row["ref"], row["file"], row["place"], row["held"], row.get("won", False)) for row in claims]
    _CLAIM.run(connection, sorted(rows))
    for row in others:
        if "won" in row and row["won"] != row["accepted"]:
            where = (_C.c.ref == row["ref"], _C.c.file == row["file"])
            connection.execute(_C.update().where(*where).values(accepted=row["won"]))


def digest(entity: Entity) -> str:
    """What changes when the entity, or where it is written, does."""
    return codec.digest([entity.api_version, entity.kind, entity.metadata, entity.spec, str(entity.place)])


def _keep_entities(connection: sa.Connection, written: Sequence[Declared], before: Mapping[str, Any]) -> None:
    at = codec.now()
    rows: list[tuple[Any, ...]] = []
    for each in written:
        entity = each.entity
        old = before.get(entity.ref)
        rows.append(
            (
                entity.ref,
                entity.kind,
                entity.namespace,
                entity.name,
                entity.api_version,
                entity.metadata,
                entity.spec,
                entity.place.file,
                entity.place.line,
                entity.origin,
                digest(entity),
                False,
                old.first_seen if old is not None else at,
                at,
            )
        )
    _ENTITY.run(connection, sorted(rows, key=lambda row: row[0]))
    entities = [each.entity for each in written]
    entity_facts.replace(connection, entities, fresh=not before)
    entity_history.keep(connection, entities, at)
    relate.refer(connection, written)


def _orphan(connection: sa.Connection, refs: Sequence[str]) -> None:
    at = codec.now()
    for some in _chunks(refs, _IN):
        connection.execute(_E.update().where(_E.c.ref.in_(some)).values(orphan=True, last_seen=at))
    entity_history.end(connection, refs, at)
    relate.forget(connection, refs)


def _keep_files(
    connection: sa.Connection,
    files: Sequence[str],
    told: Sequence[FileRead],
    origins: Sequence[str],
    marks: Sequence[str],
) -> None:
    at = codec.now()
    rows = [
        {
            "file": each.file,
            "origin": origin,
            "mark": mark,
            "uses": list(each.uses),
            "embeds": bool(each.uses),
            "targets": codec.builtins(each.targets),
            "names": bool(each.targets),
            "problems": codec.builtins(each.problems),
            "faulty": bool(each.problems),
            "whole": each.whole,
            "read_at": at,
        }
        for each, origin, mark in zip(told, origins, marks, strict=True)
    ]
    upsert(connection, _F, rows)
    if not told:
        for some in _chunks(files, _IN):
            connection.execute(_F.delete().where(_F.c.file.in_(some)))


def _unclaimed(db: Database, configured: Collection[str], found: Found, *, first: bool) -> int:
    """Orphans what is of no path of the estate any more; the first time also what no file claims."""
    with db.write() as connection:
        origins = connection.scalars(sa.select(_E.c.origin).where(sa.not_(_E.c.orphan)).distinct())
        dropped = [origin for origin in origins if origin.startswith("file:") and origin not in configured]
        where = _E.c.origin.in_(dropped)
        if first:
            read = [root.origin for root in found.roots]
            unread = sa.select(_F.c.file).where(sa.not_(_F.c.whole))
            lost = sa.and_(_E.c.origin.in_(read), _E.c.file.not_in(unread), _E.c.ref.not_in(sa.select(_C.c.ref)))
            where = sa.or_(where, *([] if found.closed else [lost]))
        elif not dropped:
            return 0
        refs = list(connection.scalars(sa.select(_E.c.ref).where(where, sa.not_(_E.c.orphan))))
        _orphan(connection, refs)
    return len(refs)


# ---- how it stands


def _result(db: Database, run: _Run, found: Found, files: int) -> Reconciled:
    with db.read() as connection:
        origins = [root.origin for root in found.roots]
        entities = connection.execute(
            sa.select(sa.func.count()).select_from(_E).where(_E.c.origin.in_(origins), sa.not_(_E.c.orphan))
        ).scalar_one()
        resolved = connection.execute(sa.select(sa.func.count()).select_from(_R).where(_R.c.resolved)).scalar_one()
        total, problems = _problems(connection, found)
    return Reconciled(files, run.read, run.changed, run.orphaned, entities, 2 * resolved, problems, total)


def _problems(connection: sa.Connection, found: Found) -> tuple[int, list[Problem]]:
    """(how many, the first of them): of the files, of entities that two claim, of references to nothing."""
    embedded = {use for uses in connection.scalars(sa.select(_F.c.uses).where(_F.c.embeds)) for use in uses}
    told = [*found.problems]
    for row in connection.execute(sa.select(_F.c.file, _F.c.problems).where(_F.c.faulty).order_by(_F.c.file)):
        read = msgspec.convert(row.problems, list[Problem])
        told.extend(problem for problem in read if file_of(problem.place) not in embedded)
    won = _C.alias()
    where_kept = sa.func.coalesce(won.c.place, _E.c.file)
    claimed = _C.outerjoin(won, sa.and_(won.c.ref == _C.c.ref, won.c.accepted)).outerjoin(_E, _E.c.ref == _C.c.ref)
    losers = sa.select(_C.c.ref, _C.c.place, where_kept).select_from(claimed).where(sa.not_(_C.c.accepted), _C.c.held)
    told.extend(twice(ref, lost, kept) for ref, lost, kept in connection.execute(losers.order_by(_C.c.place)))
    lacking = sa.select(_R.c.source, _R.c.target, _R.c.place).where(sa.not_(_R.c.resolved)).order_by(_R.c.place)
    rows = connection.execute(lacking).all()
    known: list[str] = []
    if rows:
        known = list(connection.scalars(sa.select(_E.c.ref).where(sa.not_(_E.c.orphan))))
    room = max(0, PROBLEMS_KEPT - len(told))
    told.extend(dangling(source, target, place, known) for source, target, place in rows[:room])
    return len(told) + len(rows[room:]), told[:PROBLEMS_KEPT]


def _chunks(values: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (values[start : start + size] for start in range(0, len(values), size))
