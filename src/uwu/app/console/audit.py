"""The audit: who did what through uwu, newest first, and whether the chain of it holds."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

import sqlalchemy as sa
from litestar.response import Stream

from uwu.app.api.audit import filter_of as entries_asked
from uwu.app.console import links, look, words
from uwu.app.console.export import Column, Table, exported
from uwu.app.console.frame import Act, Answer, Asked, Form, Frame, Page, query, redirect
from uwu.app.console.lists import Query, filter_of, href_of
from uwu.app.console.views import Filter, Part, View, Who
from uwu.kernel import audit, codec, paging, tables
from uwu.kernel.audit import Entry, export, standing
from uwu.kernel.audit import Filter as Asked_
from uwu.kernel.audit.standing import Standing
from uwu.kernel.errors import BadInput
from uwu.kernel.runtime import Kernel

READ = "audit.read"
SHOWN = 50
VALUES = 40
LATELY = 10_000
"""The filters offer what stands in so many of the latest entries."""
DAYS = 14
"""Days that the filter offers."""
_DETAILS = 6
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_LONGEST = 120
_PROOFS = frozenset({"digest", "hash", "place"})
"""Members of a detail that stand behind the others: they are for machines."""


class Line(View, frozen=True):
    """One entry as a line."""

    seq: int
    at: datetime
    who: Who
    actor: str
    who_href: str
    action: str
    action_href: str
    subject: str
    subject_href: str
    details: list[tuple[str, str]]
    hash: str


class State(View, frozen=True):
    """How the chain stands, in a sentence."""

    say: list[Part]
    tone: str
    """green, amber or red."""
    icon: str
    advice: str
    may_verify: bool


class AuditPage(View, frozen=True):
    state: State
    filters: list[Filter]
    days: list[tuple[str, list[Line]]]
    more: str
    filtered: bool
    entries: int


def asked_of(asked: Query) -> Asked_:
    """What the entries are asked with. Raises ``BadInput`` for a day that is none."""
    day = asked.get("day", "")
    given = {key: asked.get(key, "") for key in ("actor", "action", "subject", "since", "until")}
    if day:
        if not _DAY.fullmatch(day):
            raise BadInput(f"{day[:20]!r} is no day", code="time-malformed", place="query day", hint="2026-03-10")
        where = entries_asked(**{**given, "since": day, "until": ""})
        assert where.since is not None
        return Asked_(
            actor=where.actor,
            action=where.action,
            subject=where.subject,
            since=where.since,
            until=where.since + timedelta(days=1),
        )
    return entries_asked(**given)


def page(kernel: Kernel, asked: Query) -> AuditPage:
    """The entries of the filters of ``asked``, newest first."""
    where = asked_of(asked)
    behind = paging.place(asked.get("after", ""), int)
    stands = standing.look(kernel)
    with kernel.db.read() as connection:
        found = audit.entries(connection, limit=SHOWN + 1, before=behind[0] if behind else None, where=where)
        filters = _filters(connection, asked, stands)
        subjects = Subjects(connection, found[:SHOWN])
        lines = [_line(subjects, entry) for entry in found[:SHOWN]]
    now = codec.now()
    days = [(words.day(key, now), list(some)) for key, some in groupby(lines, key=lambda one: _midnight(one.at))]
    return AuditPage(
        state=_state(stands),
        filters=filters,
        days=days,
        more=href_of(links.AUDIT, asked, after=paging.cursor(found[SHOWN - 1].seq)) if len(found) > SHOWN else "",
        filtered=bool(where.where()),
        entries=stands.entries,
    )


def _midnight(at: datetime) -> datetime:
    return at.replace(hour=0, minute=0, second=0, microsecond=0)


def _filters(connection: sa.Connection, asked: Query, stands: Standing) -> list[Filter]:
    """Actor, action, subject and day. A long chain offers the values of its latest entries only."""
    a = tables.audit.c
    lately = a.seq > stands.entries - LATELY

    def values(column: sa.ColumnElement[str]) -> list[tuple[str, int]]:
        counted = sa.select(column, sa.func.count().label("n")).where(lately).group_by(column)
        rows = connection.execute(counted.order_by(sa.desc("n"), column).limit(VALUES))
        return [(str(row[0]), int(row[1])) for row in rows]

    today = codec.now().date()
    days = [((today - timedelta(days=back)).isoformat(), None) for back in range(DAYS)]
    actions = values(a.action)
    sorts = sorted({name.partition(".")[0] + ".*" for name, _ in actions if "." in name})
    offered: list[tuple[str, Any]] = [*((name, None) for name in sorts), *actions]
    found = [
        filter_of(links.AUDIT, asked, "actor", "actor", values(a.actor), words.short_ref),
        filter_of(links.AUDIT, asked, "action", "action", offered, action_words),
        filter_of(links.AUDIT, asked, "subject", "subject", values(a.subject), lambda v: words.short(v)[:60]),
        filter_of(links.AUDIT, asked, "day", "day", days, _day_words),
    ]
    given = [name for name in ("since", "until") if asked.get(name)]
    return [*found, *(filter_of(links.AUDIT, asked, name, name, [], str) for name in given)]


def action_words(action: str) -> str:
    """``plan.approve`` as people say it: the sort of thing, then what was done to it."""
    sort, _, verb = action.partition(".")
    if verb == "*":
        return f"{sort.replace('-', ' ')}: all"
    return f"{sort.replace('-', ' ')}: {verb.replace('-', ' ').replace('.', ' ')}" if verb else sort


def _day_words(day: str) -> str:
    try:
        return words.day(datetime.fromisoformat(day + "T00:00:00+00:00"))
    except ValueError:
        return day


def _line(subjects: Subjects, entry: Entry) -> Line:
    kind, _, rest = entry.actor.partition(":")
    person = kind == "user"
    name = rest.rpartition("/")[2] or entry.actor
    subject, href = subjects.of(entry)
    detail = entry.detail if isinstance(entry.detail, dict) else {"detail": entry.detail}
    return Line(
        seq=entry.seq,
        at=entry.at,
        who=Who(name=name, short=words.handle(name), person=person, hue=look.hue(name) if person else 0),
        actor=entry.actor,
        who_href=links.with_query(links.AUDIT, {"actor": entry.actor}),
        action=action_words(entry.action),
        action_href=links.with_query(links.AUDIT, {"action": entry.action}),
        subject=_clip(subject, 100),
        subject_href=href,
        details=[
            (words.label(key), _value(detail[key])) for key in sorted(detail, key=_PROOFS.__contains__)[:_DETAILS]
        ],
        hash=entry.hash,
    )


class Subjects:
    """What entries are about: a name and a page, read for a whole page of entries in three queries."""

    def __init__(self, connection: sa.Connection, found: Sequence[Entry]) -> None:
        f, p, e = tables.findings.c, tables.plans.c, tables.entities.c
        keys = sorted({entry.subject for entry in found})
        refs = sorted({key.lower() for key in keys if ":" in key})
        findings = sa.select(f.id, f.title).where(f.id.in_([key for key in keys if key.startswith("f_")]))
        self._findings = {row.id: row.title for row in connection.execute(findings)}
        plans = sa.select(p.id, p.number).where(p.id.in_([key for key in keys if key.startswith("plan_")]))
        self._plans = {row.id: row.number for row in connection.execute(plans)}
        self._refs = set(connection.scalars(sa.select(e.ref).where(e.ref.in_(refs))))

    def of(self, entry: Entry) -> tuple[str, str]:
        """(name, page); the list of all that was done to it where it has no page."""
        subject = entry.subject
        if subject.startswith(("arn:", "urn:")):
            return words.short(subject), links.resource(subject)
        if subject in self._findings:
            return self._findings[subject], links.finding(subject)
        if subject in self._plans:
            return f"plan {self._plans[subject]}", links.plan(self._plans[subject])
        if subject.lower() in self._refs:
            return words.short_ref(subject), links.entity(subject.lower())
        if entry.action.startswith("job."):
            return subject, links.job(subject)
        return words.short(subject) if ":" in subject else subject, links.with_query(links.AUDIT, {"subject": subject})


def _value(value: Any) -> str:
    return _clip(value if isinstance(value, str) else codec.encode(value).decode(), _LONGEST)


def _clip(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _state(stands: Standing) -> State:
    if stands.first_bad is not None:
        row = links.with_query(links.AUDIT, {"after": paging.cursor(stands.first_bad + 1)})
        said = [
            Part(text=f"Entry {stands.first_bad:,}", kind="link", href=row),
            Part(text=f" does not hold: {stands.reason}."),
        ]
        advice = "Somebody, or a fault, has changed the database. Everything before that entry is as it was written."
        return State(say=said, tone="red", icon="shield-alert", advice=advice, may_verify=True)
    if stands.bad_checkpoint is not None:
        said = [Part(text=f"Checkpoint {stands.bad_checkpoint} does not hold: {stands.checkpoint_reason}.")]
        advice = "The chain itself holds, but what was signed and kept outside the database was changed."
        return State(say=said, tone="red", icon="shield-alert", advice=advice, may_verify=True)
    if not stands.entries:
        return State(say=[Part(text="Nothing was done yet.")], tone="", icon="shield", advice="", may_verify=False)
    held = words.plural(stands.entries, "entry", "entries")
    whole = stands.whole_at is not None or stands.verified_from == 1
    verb = "holds" if stands.entries == 1 else "hold"
    text = f"{held} {verb}" if whole else f"{held}, of which those from {stands.verified_from:,} on were verified"
    if stands.signed_at is not None:
        text += f"; signed up to {stands.signed_seq:,}, {_ago(stands.signed_at)}."
        tone, advice = "green", ""
    else:
        text += "; not signed yet."
        tone, advice = "amber", "The workers sign hourly. Until then nothing outside the database says how long it was."
    if stands.whole_at is not None:
        advice = f"{advice} The whole of it was verified {_ago(stands.whole_at)}.".strip()
    elif not whole:
        advice = f"{advice} The whole of it is verified each night, or now.".strip()
        tone = "amber"
    return State(say=[Part(text=text)], tone=tone, icon="shield", advice=advice, may_verify=True)


def _ago(at: datetime) -> str:
    age = words.age(at)
    return "just now" if age == "now" else f"{age} ago"


# ---- export

COLUMNS = tuple(Column(name) for name in Entry.__struct_fields__)


def exported_as(kernel: Kernel, asked: Query) -> Answer:
    """The entries of the filters as a file: ``jsonl`` holds all that verifies it and is never cut."""
    where = asked_of(asked)
    if asked.get("format") == "jsonl":
        headers = {
            "content-disposition": f'attachment; filename="audit-{codec.now():%Y-%m-%d}.jsonl"',
            "cache-control": "private, no-store",
        }
        return Stream(export.jsonl(kernel, where), media_type="application/x-ndjson", headers=headers)
    with kernel.db.read() as connection:
        counted = sa.select(sa.func.count()).select_from(tables.audit).where(*where.where())
        total = connection.execute(counted).scalar_one()

    def pages() -> Iterator[Sequence[Entry]]:
        yield from export.pages(kernel, where)

    return exported(kernel, asked, Table("audit", COLUMNS, pages(), total))


# ---- routes


def show(at: Frame, request: Asked) -> Answer:
    asked = query(request)
    if asked.get("format"):
        return exported_as(at.kernel, asked)
    return at.page(request, "audit.html", section=links.AUDIT, view=page(at.kernel, asked))


def verify(at: Frame, request: Asked, form: Form) -> Answer:
    """Verifies the whole chain and every checkpoint; the page then says what was found."""
    del request, form
    standing.verify_whole(at.kernel)
    return redirect(links.AUDIT)


PAGES = (Page(links.AUDIT, show, READ), Act(links.AUDIT + "/verify", verify, READ))
