"""The whole estate at once, in memory: what is declared and what is wrong with it, before anything is kept."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from uwu.kernel.domain import EntityKind
from uwu.kernel.errors import Problem
from uwu.kernel.estate import reading, roots
from uwu.kernel.estate.reading import Declared
from uwu.kernel.estate.references import near, parse_reference
from uwu.kernel.model import Entity, Relation


@dataclass(frozen=True)
class Estate:
    """What the estate declares, and what is wrong with it."""

    entities: tuple[Entity, ...]
    relations: tuple[Relation, ...]
    """In both directions, each with ``file:line`` as its evidence."""
    problems: tuple[Problem, ...]
    origins: tuple[str, ...]
    """The roots that were read, as location references."""
    unread: frozenset[str]
    """Files that hold something that could not be accepted: they say nothing about what is missing from them."""


def load(paths: Iterable[Path], kinds: Mapping[str, EntityKind]) -> Estate:
    """Reads the folders and files ``paths``; ``kinds`` are the entity kinds by lower-case name."""
    found = roots.find(paths)
    waiting = deque(found.files.items())
    declared: dict[str, Declared] = {}
    problems: list[Problem] = []
    embedded: set[str] = set()
    unread: set[str] = set()
    while waiting:
        path, root = waiting.popleft()
        told = reading.read(path, root, kinds)
        if not told.whole:
            unread.add(told.file)
        problems += told.problems
        embedded.update(told.uses)
        for each in told.declared:
            kept = declared.setdefault(each.entity.ref, each)
            if kept is not each:
                problems.append(reading.twice(each.entity.ref, each.place, kept.place))
        for named in roots.follow(told.targets, path, root, found):
            if named not in found.files:
                found.files[named] = root
                waiting.append((named, root))
    relations: list[Relation] = []
    for each in declared.values():
        ref = each.entity.ref
        for to in each.references:
            if to.target not in declared:
                problems.append(dangling(ref, to.target, to.place, declared))
                continue
            relations.append(Relation(source=ref, kind=to.kind, target=to.target, evidence=to.place))
            relations.append(Relation(source=to.target, kind=to.back, target=ref, evidence=to.place))
    return Estate(
        tuple(each.entity for each in declared.values()),
        tuple(relations),
        (*found.problems, *(p for p in problems if file_of(p.place) not in embedded)),
        tuple(root.origin for root in found.roots),
        frozenset(unread),
    )


def dangling(source: str, target: str, place: str, known: Iterable[str]) -> Problem:
    """The problem of a reference to what nothing declares."""
    hint = near(parse_reference(target), known)
    return Problem("dangling-reference", f"{source} names {target}, which nothing declares", place, hint)


def file_of(place: str) -> str:
    """The file of a ``file:line``."""
    return place.rsplit(":", 1)[0]
