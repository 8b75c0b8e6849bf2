"""Coverage: whether everything was seen, how fresh it is, what stands in the way, and what looking cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from types import MappingProxyType
from typing import Any

import msgspec
import sqlalchemy as sa

from uwu.app.console import home, links, words
from uwu.app.console.export import Column, Table, exported, wanted
from uwu.app.console.frame import Answer, Asked, Frame, Page, query
from uwu.app.console.lists import Query, filter_of, href_of
from uwu.app.console.mapping import Names
from uwu.app.console.views import Fact, Filter, Option, Part, Syncing, View
from uwu.kernel import codec, domain, ledger, tables
from uwu.kernel.graph import Covered
from uwu.kernel.ledger import Cause, Seen
from uwu.kernel.model import CellStatus
from uwu.kernel.runtime import Kernel

CELLS_SHOWN, ACCOUNTS_SHOWN, SERVICES_SHOWN, CAUSES_SHOWN, SLOWEST_SHOWN = 100, 20, 40, 20, 5
ROWS = 500
"""Rows of one query of an export."""
NO_QUERY: Query = MappingProxyType({})
OBSERVE = "inventory.sync"
"""The job that looks, whose result says what that cost."""

COLUMNS = tuple(
    Column(name)
    for name in (
        "cell", "source", "account", "region", "type", "status", "since", "observed_at", "complete_at", "due_at",
        "resources", "calls", "attempts", "throttled", "bytes", "seconds", "cost", "code", "action", "message", "run",
    )
)  # fmt: skip


class Mark(View, frozen=True):
    """How an account's cells of one service were seen. ``kind`` is none, whole, late, off or hole."""

    kind: str
    text: str
    """What it says in words: ``EC2 in payments: 14 of 221 not seen completely``."""
    href: str = ""
    holes: int = 0


class Line(View, frozen=True):
    """An account in the matrix."""

    name: str
    href: str
    marks: list[Mark]
    oldest: datetime | None


class Why(View, frozen=True):
    """One cause in words."""

    status: str
    code: str
    where: str
    href: str
    since: str
    message: str
    hint: str
    policy: str = ""
    """A statement of a policy that allows the denied actions."""


class Slow(View, frozen=True):
    """A cell that took long."""

    title: str
    where: str
    href: str
    seconds: float
    calls: int
    throttled: int


class Overview(View, frozen=True):
    """The page without a filter."""

    say: list[Part]
    aside: list[Part]
    filters: list[Filter]
    services: list[str]
    lines: list[Line]
    accounts: int
    more: str
    why: list[Why]
    cost: list[Fact]
    slowest: list[Slow]
    total: int
    complete: int
    syncing: Syncing | None


class Cells(View, frozen=True):
    """The page of the cells that a filter leaves."""

    filters: list[Filter]
    types: dict[str, str]
    """Type -> its title."""
    groups: list[tuple[str, list[Covered]]]
    shown: int
    more: str
    now: datetime
    syncing: Syncing | None


FILTERS = ("status", "account", "region", "type", "code", "service", "late", "holes", "run")


def filtered(asked: Query) -> bool:
    """Whether ``asked`` names cells."""
    return any(asked.get(key) for key in FILTERS) or "after" in asked


def asked_for(kernel: Kernel, asked: Query) -> ledger.Asked:
    """The cells that the query names: those that are not complete where it names none."""
    named = {key: asked[key] for key in ("status", "account", "region", "type", "code", "run") if asked.get(key)}
    service = asked.get("service", "")
    types = tuple(n for n, t in domain.types_of(kernel.domains).items() if t.service == service) if service else ()
    if service and not types:
        types = (service,)  # none is of it
    late, holes = bool(asked.get("late")), bool(asked.get("holes"))
    anything = named or service or late or holes
    return ledger.Asked(**named, types=types, late=late, holes=holes, incomplete=not anything)


def overview(kernel: Kernel, asked: Query) -> Overview:
    """Everything at one look: the sentence, the matrix, the causes, the cost."""
    now = codec.now()
    with kernel.db.read() as connection:
        names = Names(kernel, connection)
        accounts = ledger.accounts(connection, at=now)
        first = _place(asked, len(accounts))
        shown = accounts[first : first + ACCOUNTS_SHOWN]
        cells = ledger.accounts_and_types(connection, [one.key for one in shown], at=now)
        causes = ledger.causes(connection, ledger.Asked(), at=now, limit=CAUSES_SHOWN).items
        slowest = ledger.slowest(connection, SLOWEST_SHOWN)
        cost = _cost(connection)
        types = ledger.types(connection)
        running = home.syncing(connection)
    whole = ledger.together(accounts)
    services, lines = _matrix(names, shown, cells)
    rest = first + ACCOUNTS_SHOWN
    return Overview(
        say=_say(names, whole, accounts, causes, now),
        aside=_aside(whole, now),
        filters=_filters(kernel, names, [one.key for one in accounts], types),
        services=services,
        lines=lines,
        accounts=len(accounts),
        more=href_of(links.COVERAGE, {}, accounts=str(rest)) if rest < len(accounts) else "",
        why=[_why(names, cause, now) for cause in causes],
        cost=cost,
        slowest=[_slow(names, cell) for cell in slowest],
        total=whole.cells,
        complete=whole.complete,
        syncing=running if running is not None and running.running else None,
    )


def cells(kernel: Kernel, asked: Query) -> Cells:
    """The cells of a filter, by account."""
    now = codec.now()
    meant = asked_for(kernel, asked)
    with kernel.db.read() as connection:
        names = Names(kernel, connection)
        page = ledger.cells(connection, meant, at=now, limit=CELLS_SHOWN, after=asked.get("after", ""))
        types = ledger.types(connection)
        running = home.syncing(connection)
    accounts = sorted({*names.accounts, *(cell.account for cell in page.items)})
    filters = _filters(kernel, names, accounts, types, asked)
    others = {"code": "why", "service": "service", "late": "only", "holes": "only", "run": "run"}
    named = {"late": "late", "holes": "not seen completely"}
    for key, label in others.items():
        if asked.get(key):
            value, here = named.get(key, asked[key]), href_of(links.COVERAGE, asked)
            clear = href_of(links.COVERAGE, asked, **{key: None})
            only = [Option(label=value, href=here, on=True)]
            filters.append(Filter(key=key, label=label, value=value, clear=clear, options=only))
    return Cells(
        filters=filters,
        types={cell.type: names.type(cell.type) for cell in page.items},
        groups=[(names.account(a), list(some)) for a, some in groupby(page.items, key=lambda cell: cell.account)],
        shown=page.total,
        more=href_of(links.COVERAGE, asked, after=page.after) if page.after else "",
        now=now,
        syncing=running if running is not None and running.running else None,
    )


def table(kernel: Kernel, asked: Query) -> Table:
    """The cells of a filter as a file."""
    meant, now = asked_for(kernel, asked), codec.now()

    def pages() -> Iterator[Sequence[Covered]]:
        after = ""
        while True:
            with kernel.db.read() as connection:
                page = ledger.cells(connection, meant, at=now, limit=ROWS, after=after)
            yield page.items
            after = page.after
            if not after:
                return

    with kernel.db.read() as connection:
        total = ledger.cells(connection, meant, at=now, limit=1).total
    return Table("coverage", COLUMNS, pages(), total)


def show(at: Frame, request: Asked) -> Answer:
    asked = query(request)
    if wanted(asked):
        return exported(at.kernel, asked, table(at.kernel, asked))
    if filtered(asked):
        return at.page(request, "coverage_cells.html", section=links.COVERAGE, view=cells(at.kernel, asked))
    return at.page(request, "coverage.html", section=links.COVERAGE, view=overview(at.kernel, asked))


PAGES = (Page(links.COVERAGE, show),)


# ---- in words


def since(at: datetime | None, now: datetime) -> str:
    """``since 14:02``, ``since Tuesday``, ``since 17 Nov``."""
    if at is None:
        return ""
    if at.date() != now.date() and now - at < timedelta(days=6):
        return f"since {at:%A}"
    return f"since {words.clock(at, now)}"


def _say(names: Names, whole: Seen, accounts: Sequence[Seen], causes: Sequence[Cause], now: datetime) -> list[Part]:
    if not whole.cells:
        return []
    if not whole.holes:
        if whole.late:
            late = Part(text=words.plural(whole.late, "place"), kind="link", href=href_of(links.COVERAGE, {}, late="1"))
            verb = " is late." if whole.late == 1 else " are late."
            return [Part(text="Everything was seen completely, but "), late, Part(text=verb)]
        return [Part(text=f"Everything was seen completely, the oldest of it {words.age(whole.oldest, now)} ago.")]
    lacking = sum(1 for one in accounts if one.holes)
    if len(accounts) == 1:
        head = f"{names.account(accounts[0].key) or 'The account'} was not seen completely"
    else:
        head = f"{lacking:,} of {len(accounts):,} accounts {'was' if lacking == 1 else 'were'} not seen completely"
    said = [Part(text=f"{head}: ")]
    worst = next((cause for cause in causes if cause.hole), None)
    if worst is not None:
        said.append(Part(text=f"{_where(names, worst)} {_became(worst)}", kind="link", href=_href(worst)))
        said.append(Part(text=f" {since(worst.since, now)}."))
    return said


def _became(cause: Cause) -> str:
    if cause.code == ledger.REGION_OFF:
        return "off"
    return cause.status.value


def _aside(whole: Seen, now: datetime) -> list[Part]:
    if not whole.cells:
        return []
    places = words.plural(whole.cells, "place")
    told = [Part(text=f"{whole.complete:,} of {places} (account, region, type) are complete")]
    if whole.holes:
        href = href_of(links.COVERAGE, {}, holes="1")
        told += [Part(text=", "), Part(text=f"{whole.holes:,} are not", kind="link", href=href)]
    rest = whole.cells - whole.complete - whole.holes
    if rest:
        href = href_of(links.COVERAGE, {}, status="unsupported")
        told += [Part(text=", "), Part(text=f"{rest:,} AWS does not offer", kind="link", href=href)]
    if whole.late:
        href = href_of(links.COVERAGE, {}, late="1")
        told += [Part(text=", "), Part(text=f"{whole.late:,} are late", kind="link", href=href)]
    old = f"; the oldest complete look is {words.age(whole.oldest, now)} old" if whole.oldest is not None else ""
    return [*told, Part(text=f"{old}. Nothing is held for absent where it was not seen.")]


def _where(names: Names, cause: Cause) -> str:
    """``payments-prod eu-west-1: 14 types``, ``af-south-1 of 34 accounts: 50 types``."""
    types = names.type(cause.type) if cause.types == 1 else f"{cause.types:,} types"
    if cause.accounts == 1:
        place = names.account(cause.account)
        place += f" {cause.region}" if cause.regions == 1 else f", {cause.regions:,} regions"
    else:
        place = f"{cause.accounts:,} accounts"
        place = f"{cause.region} of {place}" if cause.regions == 1 else f"{place}, {cause.regions:,} regions"
    return f"{place}: {types}"


def _href(cause: Cause) -> str:
    return href_of(links.COVERAGE, {}, status=cause.status.value, code=cause.code)


def _why(names: Names, cause: Cause, now: datetime) -> Why:
    policy = ""
    if cause.actions:
        statement = {"Effect": "Allow", "Action": cause.actions, "Resource": "*"}
        policy = msgspec.json.format(codec.encode(statement), indent=2).decode()
    return Why(
        status="region off" if cause.code == ledger.REGION_OFF else cause.status.value,
        code=cause.code,
        where=_where(names, cause),
        href=_href(cause),
        since=since(cause.since, now),
        message=cause.message,
        hint=cause.hint,
        policy=policy,
    )


def _slow(names: Names, cell: Covered) -> Slow:
    return Slow(
        title=names.type(cell.type),
        where=f"{names.account(cell.account)} {cell.region}",
        href=href_of(links.COVERAGE, {}, account=cell.account, region=cell.region, type=cell.type),
        seconds=cell.seconds,
        calls=cell.calls,
        throttled=cell.throttled,
    )


def _cost(connection: sa.Connection) -> list[Fact]:
    """What the last look at AWS that ended has cost."""
    j = tables.jobs
    found = connection.execute(
        sa.select(j.c.id, j.c.result, j.c.started_at, j.c.finished_at)
        .where(j.c.name == OBSERVE, j.c.status == "done")
        .order_by(j.c.created_at.desc())
        .limit(1)
    ).first()
    told: dict[str, Any] = (found.result or {}) if found is not None else {}
    if found is None or "calls" not in told:
        return []
    took = "" if found.started_at is None else _took((found.finished_at - found.started_at).total_seconds())
    throttled, again = told.get("throttled", 0), max(0, told.get("attempts", 0) - told["calls"])
    return [
        Fact(label="Ended", value=f"{words.moment(found.finished_at)}" + (f", after {took}" if took else ""),
             href=links.job(found.id)),
        Fact(label="Calls", value=f"{told['calls']:,}" + (f", {again:,} tried again" if again else "")),
        Fact(label="Throttled", value=f"{throttled:,}", tone="amber" if throttled else ""),
        Fact(label="Answers", value=_size(told.get("bytes", 0))),
        Fact(label="Cost", value=f"US$ {told.get('cost', 0.0):,.4f} at list price"),
    ]  # fmt: skip


def _took(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _size(number: float) -> str:
    for unit in ("B", "KB", "MB"):
        if number < 1000:
            return f"{number:,.0f} {unit}"
        number /= 1000
    return f"{number:,.1f} GB"


# ---- the matrix


def _matrix(
    names: Names, shown: Sequence[Seen], cells: Sequence[tuple[str, str, Seen]]
) -> tuple[list[str], list[Line]]:
    """The services that are asked, those with the most holes first, and a line of marks for each account."""
    held: dict[tuple[str, str], list[Seen]] = {}
    weights: dict[str, int] = {}
    for account, type, seen in cells:
        known = names.known(type)
        service = known.service if known is not None else type
        held.setdefault((account, service), []).append(seen)
        weights[service] = weights.get(service, 0) + seen.holes
    services = sorted(weights, key=lambda service: (-weights[service], service))[:SERVICES_SHOWN]
    lines: list[Line] = []
    for one in shown:
        name = names.account(one.key) or "no account"
        marks = [_mark(name, one.key, service, held.get((one.key, service), [])) for service in services]
        href = href_of(links.COVERAGE, {}, account=one.key)
        lines.append(Line(name=name, href=href, marks=marks, oldest=one.oldest))
    return services, lines


def _mark(name: str, account: str, service: str, cells: Sequence[Seen]) -> Mark:
    seen = ledger.together(cells)
    head = f"{service} in {name}"
    if not seen.cells:
        return Mark(kind="none", text=f"{head}: never asked")
    named = {"account": account, "service": service}
    if seen.holes:
        text = f"{head}: {seen.holes:,} of {seen.cells:,} not seen completely"
        href = href_of(links.COVERAGE, {}, **named, holes="1")
        return Mark(kind="hole", text=text, href=href, holes=seen.holes)
    if seen.late:
        href = href_of(links.COVERAGE, {}, **named, late="1")
        return Mark(kind="late", text=f"{head}: {seen.late:,} of {seen.cells:,} late", href=href)
    if not seen.complete:
        return Mark(kind="off", text=f"{head}: not offered", href=href_of(links.COVERAGE, {}, **named))
    return Mark(kind="whole", text=f"{head}: {seen.complete:,} complete", href=href_of(links.COVERAGE, {}, **named))


def _place(asked: Query, most: int) -> int:
    """From which account on the matrix is shown."""
    told = asked.get("accounts", "")
    return min(int(told), max(0, most - 1)) if told.isascii() and told.isdigit() and len(told) < 7 else 0


def _filters(
    kernel: Kernel, names: Names, accounts: Sequence[str], types: Sequence[str], asked: Query = MappingProxyType({})
) -> list[Filter]:
    """The ways into the cells; nothing is counted for them: that would read the whole ledger for each."""
    values = {
        "status": [status.value for status in CellStatus],
        "account": sorted(accounts, key=names.account),
        "region": [*kernel.settings.aws.regions],
        "type": sorted(types, key=names.type),
    }
    told = {"account": names.account, "type": names.type}
    return [
        filter_of(links.COVERAGE, asked, key, key, [(value, None) for value in some], told.get(key, str))
        for key, some in values.items()
    ]
