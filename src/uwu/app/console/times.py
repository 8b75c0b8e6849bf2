"""Two times compared: what was added, changed and removed between them, and by whom."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, cast

from uwu.app.console import compare, links, mapping, words
from uwu.app.console.export import Column, Table, exported, wanted
from uwu.app.console.frame import Answer, Asked, Frame, Page, query
from uwu.app.console.lists import NOBODY, Label, Query, filter_of, href_of
from uwu.app.console.mapping import Names
from uwu.app.console.views import Filter, Option, View, Who
from uwu.kernel import codec, differences, graph, moments
from uwu.kernel.errors import BadInput
from uwu.kernel.graph import How, ResourceChange, Tally
from uwu.kernel.model import Change
from uwu.kernel.runtime import Kernel

SHOWN, OPENED = 50, 5
ROWS = 200
"""Rows of one query of an export."""
SIGNS: dict[str, tuple[str, str]] = {"added": ("add", "+"), "changed": ("upd", "~"), "removed": ("del", "−")}
SPANS = {"1h": "last hour", "1d": "last 24 h", "7d": "last 7 days", "30d": "last 30 days"}
DEFAULT = "1d"


class Event(View, frozen=True):
    """What did it."""

    who: Who
    phrase: str
    through: str
    at: datetime


class Item(View, frozen=True):
    """A resource that is not the same at both times."""

    how: str
    op: str
    sign: str
    name: str
    href: str
    type: str
    account: str
    owner: str
    owner_href: str
    at: datetime
    diff: compare.Diff | None
    note: str
    events: list[Event]
    open: bool


class DiffPage(View, frozen=True):
    """The page; ``since`` and ``until`` as they were asked for."""

    span: str
    """``Mon 16 Nov 09:12 UTC to Mon 23 Nov 14:48 UTC``."""
    since: str
    until: str
    spans: Filter
    filters: list[Filter]
    counts: list[tuple[str, str, int]]
    """How, its sign's class and how many, of all that the filters leave."""
    total: int
    items: list[Item]
    more: str
    filtered: bool


def asked_of(asked: Query) -> dict[str, Any]:
    """What ``differences.between`` is asked with. Raises ``BadInput`` for what is no time or no way to differ."""
    now = codec.now()
    held: dict[str, Any] = {
        k: asked[k] for k in ("type", "account", "owner") if k in asked and (asked[k] or k == "owner")
    }
    how = asked.get("how", "")
    if how and how not in SIGNS:
        raise BadInput(f"{how[:20]!r} is no way to differ", place="how", hint=f"one of {', '.join(SIGNS)}")
    since, until = asked.get("since") or DEFAULT, asked.get("until") or "now"
    begin, end = moments.parse(since, place="since", now=now), moments.parse(until, place="until", now=now)
    return {**held, "how": cast("How", how), "begin": begin, "end": end}


def differing(kernel: Kernel, asked: Query) -> DiffPage:
    """What differs between the times of ``asked``, by its filters."""
    wheres = asked_of(asked)
    diff = differences.between(kernel, **wheres, limit=SHOWN, after=asked.get("after", ""))
    begin, end = wheres["begin"], wheres["end"]
    chosen = {k: v for k, v in wheres.items() if k in {"type", "account", "owner", "how"} and (v or k == "owner")}
    with kernel.db.read() as connection:
        names = Names(kernel, connection)
        counted = graph.tally(connection, begin, end)
        labels: dict[str, tuple[str, Label]] = {
            "how": ("how", str),
            "type": ("type", names.type),
            "account": ("account", names.account),
            "owner": ("owner", lambda v: words.short_ref(v) or NOBODY),
        }
        filters = [
            filter_of(links.DIFF, asked, key, label, _facet(counted, key, chosen), name)
            for key, (label, name) in labels.items()
        ]
        items = [_item(one, names, number < OPENED) for number, one in enumerate(diff.items)]
    since = asked.get("since") or DEFAULT
    whole = "until" not in asked or asked["until"] in {"", "now"}
    spans = [
        Option(label=told, href=href_of(links.DIFF, asked, since=span, until=None), on=whole and span == since)
        for span, told in SPANS.items()
    ]
    shown = SPANS.get(since, "") if whole else ""
    by_how = {"added": diff.added, "changed": diff.changed, "removed": diff.removed}
    counts = [(name, SIGNS[name][0], count) for name, count in by_how.items()]
    return DiffPage(
        span=f"{words.stamp(begin)} to {words.stamp(end)}",
        since=since if since not in SPANS else codec.iso(begin.replace(microsecond=0)),
        until="" if whole else asked["until"],
        spans=Filter(key="since", label="when", value=shown or "chosen times", options=spans),
        filters=filters,
        counts=counts,
        total=by_how[wheres["how"]] if wheres["how"] else diff.total,
        items=items,
        more=href_of(links.DIFF, asked, after=diff.after) if diff.after else "",
        filtered=bool(chosen),
    )


def _facet(counted: Sequence[Tally], key: str, chosen: dict[str, str]) -> list[tuple[str, int]]:
    """How many each value of a filter would leave, the other filters kept."""
    found: Counter[str] = Counter()
    for one in counted:
        if all(getattr(one, other) == value for other, value in chosen.items() if other != key):
            found[getattr(one, key)] += one.count
    return sorted(found.items(), key=lambda v: (-v[1], v[0]))


def _item(one: ResourceChange, names: Names, opened: bool) -> Item:
    op, sign = SIGNS[one.how]
    lines = [line for each in one.attributes for line in compare.attribute(each.path, each.before, each.after)]
    held, left = compare.cut(lines)
    notes = [f"and {words.plural(left, 'line')} more"] if left else []
    notes += [f"and {words.plural(one.more, 'attribute')} more"] if one.more else []
    return Item(
        how=one.how,
        op=op,
        sign=sign,
        name=one.name or words.short(one.urn),
        href=links.resource(one.urn),
        type=names.type(one.type),
        account=names.account(one.account) if one.account else "",
        owner=words.short_ref(one.owner),
        owner_href=mapping.owner_href(one.owner),
        at=one.at,
        diff=compare.Diff("", "", held, notes) if held else None,
        note="" if one.how == "changed" else f"First seen so at {words.stamp(one.at)}.",
        events=[_event(change) for change in one.changes],
        open=opened and bool(held),
    )


def _event(change: Change) -> Event:
    return Event(who=mapping.who(change.actor), phrase=words.did(change), through=change.through, at=change.at)


# ---- as a file


def _paths(one: ResourceChange) -> list[dict[str, Any]]:
    return [{"path": each.path, "before": each.before, "after": each.after} for each in one.attributes]


COLUMNS = (
    Column("how"),
    Column("urn"),
    Column("type"),
    Column("name"),
    Column("account"),
    Column("region"),
    Column("owner"),
    Column("at"),
    Column("before"),
    Column("after"),
    Column("differing", _paths),
    Column("actor", lambda c: c.changes[0].actor.name if c.changes else ""),
    Column("event", lambda c: c.changes[0].name if c.changes else ""),
    Column("event_id", lambda c: c.changes[0].event_id if c.changes else ""),
)


def table(kernel: Kernel, asked: Query) -> Table:
    """All that differs by the filters of ``asked``, as a file."""
    wheres = asked_of(asked)
    first = differences.between(kernel, **wheres, limit=1)
    how = wheres["how"]
    total = {"added": first.added, "changed": first.changed, "removed": first.removed}.get(how, first.total)

    def pages() -> Iterator[Sequence[ResourceChange]]:
        after = ""
        while True:
            page = differences.between(kernel, **wheres, limit=ROWS, after=after)
            yield page.items
            after = page.after
            if not after:
                return

    return Table("diff", COLUMNS, pages(), total)


def show(at: Frame, request: Asked) -> Answer:
    asked = query(request)
    if wanted(asked):
        return exported(at.kernel, asked, table(at.kernel, asked))
    return at.page(request, "diff.html", section=links.CHANGES, view=differing(at.kernel, asked))


PAGES = (Page(links.DIFF, show),)
