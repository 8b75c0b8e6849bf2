"""From write events to the resources that must be read again: while events are taken in, so quick and repeatable."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
import sqlalchemy as sa

from uwu.domains.inventory import refresh_queue
from uwu.domains.inventory.model import SOURCE, Spec
from uwu.domains.inventory.refresh_types import by_form, by_sibling, spec_of
from uwu.kernel import codec, tables, urns
from uwu.kernel.model import Cell, Change
from uwu.kernel.runtime import Kernel

JOB = "inventory.refresh"

CALLS_PER_EVENT = 3
"""A refresh that needs more calls is left to the next sync: many events must not cost what a sync does."""

SETTLE = timedelta(seconds=3)
"""AWS's answers follow its events with some delay: nothing is read earlier than so long after the event, and a look
that began earlier may not show it."""

DEBOUNCE = timedelta(seconds=5)
"""A resource that was read so lately is not read again at once: what else comes meanwhile is read with it."""

_TIES = ("Attach", "Detach", "Associate", "Disassociate", "Replace", "Assign", "Unassign", "Add", "Remove")
"""Events that change both of what they name, or whose other half is changed with it."""
_MAKES = ("Create", "Run", "Allocate", "Request", "Register", "Copy", "Import", "Restore", "Launch", "Start")
"""Events whose answer may name what else they made."""


class Place(msgspec.Struct, frozen=True):
    """Where a resource is kept."""

    type: str
    account: str
    region: str
    cell: str


def note(kernel: Kernel, changes: Sequence[Change]) -> str:
    """Notes what ``changes`` have touched; gives the job that reads it, or nothing where there is none to read."""
    wanted = _of_events(kernel, changes)
    if not wanted:
        return ""
    with kernel.db.read() as connection:
        places, known = _places(kernel, connection, wanted)
        looks = _looks(connection, {place.cell for place in places.values()})
    touches = list(_touches(wanted, places, known, looks))
    if not touches:
        return ""
    with kernel.db.write() as connection:
        refresh_queue.add(connection, touches, codec.now())
    return JOB


def _of_events(kernel: Kernel, changes: Sequence[Change]) -> dict[str, list[Change]]:
    """By each event of others than uwu itself, what it names."""
    own = kernel.settings.aws.apply_role_name
    found: defaultdict[str, list[Change]] = defaultdict(list)
    for change in changes:
        principal = change.actor.principal
        if change.error or (own and ":role/" in principal and urns.short(principal) == own):
            continue  # what a plan applies it observes itself
        found[change.event_id].append(change)
    return dict(found)


def _places(
    kernel: Kernel, connection: sa.Connection, events: Mapping[str, list[Change]]
) -> tuple[dict[str, Place], dict[str, datetime | None]]:
    """(urn -> where it is kept or would be, urn that is known -> when it was last read by itself)."""
    r = tables.resources
    by_urn = {change.urn: change for held in events.values() for change in held}
    asked = sorted(by_urn)
    places: dict[str, Place] = {}
    known: dict[str, datetime | None] = {}
    for start in range(0, len(asked), 500):
        columns = sa.select(r.c.urn, r.c.type, r.c.account, r.c.region, r.c.cell, r.c.seen_at, r.c.changed_at)
        for row in connection.execute(columns.where(r.c.urn.in_(asked[start : start + 500]))):
            if row.cell.startswith(f"{SOURCE}/") and spec_of(row.type) is not None:
                _, account, region, _ = row.cell.split("/", 3)
                places[row.urn] = Place(row.type, account, region, row.cell)
            known[row.urn] = row.seen_at
    for urn in asked:
        change = by_urn[urn]
        if urn in known:
            continue
        spec = by_form(urn) or by_sibling(connection, urn)
        if spec is not None:
            places[urn] = place_of(kernel, spec, urn, change.account, change.region)
    return places, known


def place_of(kernel: Kernel, spec: Spec, urn: str, account: str = "", region: str = "") -> Place:
    """Where a resource of ``spec`` would be kept; ``account`` and ``region`` are those of its event."""
    parts = urns.parse(urn)
    account = urns.account_of(urn) or account
    if spec.everywhere:
        region = kernel.settings.aws.home_region
    elif parts is not None and parts.region:
        region = parts.region
    cell = Cell(source=SOURCE, account=account, region=region, type=spec.name)
    return Place(spec.name, account, region, cell.id)


class _Look(msgspec.Struct, frozen=True):
    complete_at: datetime | None
    calls: int


def _looks(connection: sa.Connection, cells: Iterable[str]) -> dict[str, _Look]:
    c, asked = tables.coverage, sorted(cells)
    found: dict[str, _Look] = {}
    for start in range(0, len(asked), 500):
        query = sa.select(c.c.cell, c.c.complete_at, c.c.calls).where(c.c.cell.in_(asked[start : start + 500]))
        found.update((row.cell, _Look(row.complete_at, row.calls)) for row in connection.execute(query))
    return found


def _touches(
    events: Mapping[str, list[Change]],
    places: Mapping[str, Place],
    known: Mapping[str, datetime | None],
    looks: Mapping[str, _Look],
) -> Iterator[refresh_queue.Touch]:
    for held in events.values():
        first = held[0]
        meant = [each for each in _meant(held, known) if each.urn in places]
        # a cell that no sync has seen whole yet is the next sync's: of what it holds, nothing could be told apart
        fresh = [each for each in meant if _tells(each, places[each.urn], known, looks)]
        by_cell: defaultdict[str, list[Change]] = defaultdict(list)
        for each in fresh:
            by_cell[places[each.urn].cell].append(each)
        left = max(CALLS_PER_EVENT, len(fresh))
        for cell, some in by_cell.items():
            related = tuple(dict.fromkeys(each.urn for each in held if each.urn not in {one.urn for one in some}))[:20]
            if len(some) > CALLS_PER_EVENT:
                yield _touch(first, cell, places[some[0].urn], related, CALLS_PER_EVENT, None)
                continue
            for each in some:
                # the first is what the event is about: it gets what the others do not need
                allowance = max(1, left - (len(fresh) - 1)) if each is fresh[0] else 1
                yield _touch(each, each.urn, places[each.urn], related, allowance, known.get(each.urn))


def _touch(
    change: Change, urn: str, place: Place, related: tuple[str, ...], allowance: int, read_at: datetime | None
) -> refresh_queue.Touch:
    due = max(change.at + SETTLE, read_at + DEBOUNCE) if read_at is not None else change.at + SETTLE
    return refresh_queue.Touch(
        urn=urn,
        account=place.account,
        region=place.region,
        type=place.type,
        cell=place.cell,
        event=change.name,
        event_id=change.event_id,
        event_at=change.at,
        related=related,
        allowance=allowance,
        due_at=due,
    )


def _meant(held: Sequence[Change], known: Mapping[str, Any]) -> list[Change]:
    """What an event is about, then what else it changes with it: each once."""
    name = held[0].name
    ties, makes = name.startswith(_TIES), name.startswith(_MAKES)
    service = held[0].source.split(".", 1)[0]
    first = [each for each in held if each.role == "target"]
    then = [
        each
        for each in held
        if each.role != "target"
        and ((ties and f":{service}:" in each.urn) or (makes and each.urn not in known and _same(each, service)))
    ]
    found: dict[str, Change] = {}
    for each in (*first, *then):
        found.setdefault(each.urn, each)
    return list(found.values())


def _same(each: Change, service: str) -> bool:
    return f":{service}:" in each.urn and urns.account_of(each.urn) in {"", each.account}


def _tells(change: Change, place: Place, known: Mapping[str, datetime | None], looks: Mapping[str, _Look]) -> bool:
    """Whether the event is news: no look at the resource or its cell began after it."""
    look = looks.get(place.cell)
    if look is None or look.complete_at is None:
        return False
    seen = max(look.complete_at, known.get(change.urn) or look.complete_at)
    return change.at + SETTLE > seen
