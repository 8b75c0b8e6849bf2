"""Who is on call for a team: the rotation that its ``Group`` declares, with overrides."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import msgspec

from uwu.kernel import codec, estate
from uwu.kernel.errors import BadInput
from uwu.kernel.model import Entity
from uwu.kernel.schema import Violation

WEEK = 7


class Duty(msgspec.Struct, frozen=True, kw_only=True):
    """Who is on call, and until when."""

    team: str
    user: str
    """A reference; empty before the rotation starts."""
    since: datetime | None
    until: datetime
    next: str
    """Who follows."""
    override: bool = False
    reason: str = ""


def violations(spec: Mapping[str, Any]) -> Iterable[Violation]:
    """What the schema cannot say: that times are times, and end after they begin."""
    told = spec.get("onCall")
    if not isinstance(told, Mapping):
        return
    if _time(told["start"]) is None:
        yield Violation(("onCall", "start"), "start is no time with a zone", "2026-01-05T09:00:00Z")
    for number, each in enumerate(told.get("overrides", ())):
        begin, end = _time(each["from"]), _time(each["until"])
        path = ("onCall", "overrides", number)
        if begin is None or end is None:
            yield Violation(path, "from or until is no time with a zone", "2026-01-05T09:00:00Z")
        elif end <= begin:
            yield Violation(path, "until is not after from", "swap them")


def _time(text: Any) -> datetime | None:
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return found.astimezone(UTC) if found.tzinfo is not None else None


def on_call(group: Entity, at: datetime) -> Duty | None:
    """Who is on call for ``group`` at a time; None where it declares nobody. The latest override that holds decides."""
    told = group.spec.get("onCall")
    if not isinstance(told, Mapping):
        return None
    plan = cast("Mapping[str, Any]", told)
    people = [_user(each, group.namespace) for each in plan["rotation"]]
    start = _time(plan["start"])
    if start is None:
        return None
    length = timedelta(days=plan.get("days", WEEK))
    turn = (at - start) // length
    begins, ends = start + turn * length, start + (turn + 1) * length
    if turn < 0:
        duty = Duty(team=group.ref, user="", since=None, until=start, next=people[0])
    else:
        follows = people[(turn + 1) % len(people)]
        duty = Duty(team=group.ref, user=people[turn % len(people)], since=begins, until=ends, next=follows)
    for each in plan.get("overrides", ()):
        since, until = _time(each["from"]), _time(each["until"])
        if since is None or until is None:
            continue
        if since <= at < until:
            back = people[((until - start) // length) % len(people)] if until >= start else ""
            duty = Duty(
                team=group.ref,
                user=_user(each["user"], group.namespace),
                since=since,
                until=until,
                next=back,
                override=True,
                reason=str(each.get("reason") or ""),
            )
        elif at < since < duty.until:  # whoever has it now hands over earlier
            duty = msgspec.structs.replace(duty, until=since, next=_user(each["user"], group.namespace))
    return duty


def _user(text: str, namespace: str) -> str:
    try:
        return str(estate.parse_reference(text, kind="user", namespace=namespace))
    except BadInput:
        return text


def now(group: Entity) -> Duty | None:
    """Who is on call for ``group`` now."""
    return on_call(group, codec.now())
