"""The drift of a plan as facts: which attribute of which resource, from what to what, and whether it is noise."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from uwu.domains.iac.drift import noise
from uwu.domains.iac.plan_json import Change, Op, Plan
from uwu.kernel import codec
from uwu.kernel.sensitive import MARK

DEEPEST = 4
"""Members of attributes are told apart so far down; what lies deeper is one value."""


class Drifted(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a refresh found otherwise than the state says."""

    kind: str
    """``changed``, ``gone`` or ``output``."""
    address: str
    """Of the resource; of an output its name."""
    type: str = ""
    subject: str = ""
    """The urn; empty where the state names none."""
    path: str = ""
    """The attribute: ``tags.env``; empty for the whole."""
    before: Any = None
    """As the state says; a secret is a mark."""
    after: Any = None
    """As it is."""
    sensitive: bool = False
    noise: str = ""
    """The rule by which it is none; see ``uwu.domains.iac.drift.noise``."""


def of(plan: Plan, subjects: Mapping[str, str], ignore: Iterable[str] = ()) -> list[Drifted]:
    """All that ``plan`` says was changed outside of Terraform, noise too, in the plan's own order.

    ``subjects`` is address -> urn; ``ignore`` the patterns of the stack.
    """
    patterns = tuple(ignore)
    found = [each for change in plan.drift for each in _resource(change, subjects, patterns)]
    found.extend(
        Drifted(
            kind="output",
            address=output.name,
            before=MARK if output.sensitive and output.before is not None else output.before,
            after=MARK if output.sensitive and output.after is not None else output.after,
            sensitive=output.sensitive,
        )
        for output in plan.outputs
    )
    return found


def _resource(change: Change, subjects: Mapping[str, str], patterns: tuple[str, ...]) -> Iterator[Drifted]:
    subject = subjects.get(change.address, "")
    if change.op is Op.DELETE:
        yield Drifted(kind="gone", address=change.address, type=change.type, subject=subject)
        return
    before, after = change.before or {}, change.after or {}
    for path, old, new, sensitive in _paths(change):
        told = noise.Told(change.type, path, old, new, before, after)
        let_be = noise.ignored(change.address, change.type, path, patterns)
        quiet = noise.IGNORED.id if let_be else "" if sensitive else noise.of(told)
        yield Drifted(
            kind="changed",
            address=change.address,
            type=change.type,
            subject=subject,
            path=path,
            before=old,
            after=new,
            sensitive=sensitive,
            noise=quiet,
        )
    if change.op is Op.UPDATE and not change.changed and before == after:
        # Terraform tells of it and names no attribute: what differs is one that it keeps to itself
        yield Drifted(kind="changed", address=change.address, type=change.type, subject=subject, sensitive=True)


def _paths(change: Change) -> Iterator[tuple[str, Any, Any, bool]]:
    """(path, before, after, whether it is secret) of each member that differs."""
    before, after = change.before or {}, change.after or {}
    for name in change.changed:
        old, new = before.get(name), after.get(name)
        told = list(_members(name, old, new, DEEPEST))
        if not told:  # both are marks: the values differ and are nobody's to read
            yield name, _marked(old), _marked(new), True
        for path, one, other in told:
            yield path, one, other, hides(one) or hides(other)


def _marked(value: Any) -> Any:
    return None if value is None else MARK


def hides(value: Any) -> bool:
    """Whether a secret was taken out of ``value``."""
    return value == MARK or (isinstance(value, dict | list) and MARK[:-1] in codec.encode(value).decode())


def _members(path: str, old: Any, new: Any, deep: int) -> Iterator[tuple[str, Any, Any]]:
    if old == new:
        return
    if deep and isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            yield from _members(f"{path}.{key}", old.get(key), new.get(key), deep - 1)
        return
    yield path, old, new
