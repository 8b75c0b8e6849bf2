"""Declared beside observed: two columns of lines, the changed words marked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from difflib import SequenceMatcher
from typing import Any

import msgspec

from uwu.kernel import codec

CONTEXT = 3
"""Equal lines shown around what differs."""
LINES = 120
"""Lines of one diff; what is longer ends with a count."""


class Side(msgspec.Struct, frozen=True):
    """One side of a line: ``kind`` is same, declared, observed or gap; ``parts`` are (text, marked)."""

    kind: str
    parts: tuple[tuple[str, bool], ...] = ()


class Line(msgspec.Struct, frozen=True):
    """A line of the diff; ``skipped`` counts equal lines left out here."""

    left: Side
    right: Side
    skipped: int = 0

    @property
    def same(self) -> bool:
        return self.left.kind == "same"


class Diff(msgspec.Struct, frozen=True):
    """A whole comparison with its headings and what it adds up to."""

    declared: str
    observed: str
    lines: list[Line]
    notes: list[str]


def pretty(value: Any) -> str:
    """A value as text of one line or several; a JSON document held as text is laid open."""
    if isinstance(value, str) and value[:1] in {"{", "["}:
        try:
            value = codec.decode(value)
        except msgspec.DecodeError:
            return json.dumps(value, ensure_ascii=False)
    return json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True)


def attribute(path: str, declared: Any, observed: Any) -> list[Line]:
    """The lines for one attribute that differs."""
    return lines(_assigned(path, declared), _assigned(path, observed))


def _assigned(path: str, value: Any) -> list[str]:
    if value is None:
        return []
    return (f"{path} = {pretty(value)}" if path else pretty(value)).splitlines()


def one_sided(text: list[str], kind: str) -> list[Line]:
    """Lines that only one side has: ``kind`` is declared or observed."""
    held = [Side(kind, ((line, False),)) for line in text]
    gap = Side("gap")
    return [Line(side, gap) if kind == "declared" else Line(gap, side) for side in held]


def lines(declared: list[str], observed: list[str]) -> list[Line]:
    """The two texts line by line, equal stretches shortened."""
    out: list[Line] = []
    mixed = bool(declared)
    for tag, a0, a1, b0, b1 in SequenceMatcher(None, declared, observed, autojunk=False).get_opcodes():
        if tag == "equal":
            out += [Line(Side("same", ((t, False),)), Side("same", ((t, False),))) for t in declared[a0:a1]]
            continue
        for i in range(max(a1 - a0, b1 - b0)):
            left = declared[a0 + i] if a0 + i < a1 else None
            right = observed[b0 + i] if b0 + i < b1 else None
            out.append(
                Line(
                    Side("declared", ((left, False),)) if left is not None else Side("gap"),
                    Side("observed", _marked(left, right, mixed=mixed)) if right is not None else Side("gap"),
                )
            )
    return _shorten(out)


def _marked(before: str | None, after: str, *, mixed: bool) -> tuple[tuple[str, bool], ...]:
    """``after`` in parts; those that ``before`` has not are marked. A line without counterpart is marked where other
    lines are the same, and where it says something: not for a brace."""
    if before is None:
        bare = after.lstrip()
        return ((after[: len(after) - len(bare)], False), (bare, mixed and re.search(r"\w", bare) is not None))
    old, new = _tokens(before), _tokens(after)
    parts: list[tuple[str, bool]] = []
    for tag, _, _, b0, b1 in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        text = "".join(new[b0:b1])
        if text:
            parts.append((text, tag != "equal" and bool(text.strip())))
    return tuple(parts)


def _tokens(text: str) -> list[str]:
    return re.findall(r"[\w./:-]+|\s+|.", text)


def _shorten(all: list[Line]) -> list[Line]:
    near = {j for i, line in enumerate(all) if not line.same for j in range(i - CONTEXT, i + CONTEXT + 1)}
    out: list[Line] = []
    skipped = 0
    for i, line in enumerate(all):
        if i in near or not any(not each.same for each in all):
            if skipped:
                out.append(Line(Side("same"), Side("same"), skipped))
                skipped = 0
            out.append(line)
        else:
            skipped += 1
    if skipped:
        out.append(Line(Side("same"), Side("same"), skipped))
    return out


def cut(all: Iterable[Line]) -> tuple[list[Line], int]:
    """At most ``LINES`` lines, and how many are left out."""
    held = list(all)
    return held[:LINES], max(0, len(held) - LINES)
