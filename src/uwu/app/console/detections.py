"""Detections: rules over CloudTrail with what they match, one with its query, an alert's events; least privilege."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from uwu.app import identify
from uwu.app.console import links, spark, words
from uwu.app.console.frame import Act, Answer, Asked, Form, Frame, Page, query, redirect, tail
from uwu.app.console.spark import Spark
from uwu.app.console.views import Fact, Part, Said, View
from uwu.domains.trail.detect import jobs, service
from uwu.domains.trail.detect.alerts import Alert, Shown
from uwu.domains.trail.detect.service import Standing
from uwu.domains.trail.privilege import service as privilege
from uwu.kernel import audit, authorize, codec, sight
from uwu.kernel.authorize import Target
from uwu.kernel.errors import NotFound, Problem
from uwu.kernel.identity import Principal
from uwu.kernel.model import Finding
from uwu.kernel.runtime import Kernel

SEE = "world.read"
ALERTS_SHOWN, ROWS_SHOWN = 20, 60
BACKTEST_DAYS = (7, 30, 90)
GRADES = {"strong": "green", "fair": "amber", "weak": "red"}


class Line(View, frozen=True):
    """A detection as a line."""

    href: str
    title: str
    severity: str
    spark: Spark | None
    matches: int
    last: datetime | None
    open: int
    runs: bool
    notes: int
    source: str


class ListPage(View, frozen=True):
    """Every detection."""

    say: list[Part]
    aside: str
    lines: list[Line]
    problems: list[Problem]


class AlertLine(View, frozen=True):
    """An alert as a line."""

    href: str
    title: str
    severity: str
    count: int
    last: datetime


class RulePage(View, frozen=True):
    """One detection."""

    id: str
    title: str
    severity: str
    why: str
    remedy: list[Part]
    runs: bool
    facts: list[Fact]
    spark: Spark | None
    matches: int
    notes: Sequence[str]
    harmless: Sequence[str]
    query: str
    text: str
    written_in: str
    open: int
    alerts: list[AlertLine]
    may_backtest: bool
    days: Sequence[int]
    exempt_href: str


class EventLine(View, frozen=True):
    """A pinned event of an alert."""

    at: datetime
    id: str
    name: str
    source: str
    error: str
    actor: str
    address: str
    state: str
    """``intact``, ``changed`` or ``gone``."""
    sha256: str
    request: str


class AlertView(View, frozen=True):
    """What the page of a finding says of its alert."""

    id: str
    rule_href: str
    count: int
    events: list[EventLine]
    story: list[Said]
    said: str
    may_close: bool
    closed: str
    """Who closed it and why; empty where nobody did."""


class GrantLine(View, frozen=True):
    """A grant, and what was used of it."""

    action: str
    origin: str
    used: str
    calls: int
    visible: bool


class PrivilegePage(View, frozen=True):
    """A role's grants against what it did."""

    name: str
    urn: str
    grade: str
    tone: str
    reasons: list[str]
    facts: list[Fact]
    grants: list[GrantLine]
    more: int
    document: str
    misses: list[str]
    passes: str
    notes: list[str]
    command: str


def overview(kernel: Kernel) -> ListPage:
    """Every detection, those with open alerts first."""
    found, problems = service.standing(kernel)
    firing = sum(one.open for one in found)
    running = sum(one.runs for one in found)
    if firing:
        say = [
            Part(text=f"{words.plural(firing, 'alert')} of "),
            Part(text=f"{words.plural(sum(bool(one.open) for one in found), 'detection')}."),
        ]
    else:
        say = [Part(text="No alert is open.")]
    return ListPage(
        say=say,
        aside=f"{words.plural(running, 'detection')} look at every event as it lands. An alert is a finding: it has an "
        "owner, an actor and the events that made it, each pinned by its hash.",
        lines=[_line(one) for one in found],
        problems=problems,
    )


def _line(one: Standing) -> Line:
    return Line(
        href=links.detection(one.id),
        title=one.title,
        severity=one.severity.value,
        spark=spark.counts(one.days),
        matches=one.matches,
        last=one.last,
        open=one.open,
        runs=one.runs,
        notes=len(one.notes),
        source=one.source,
    )


def of_rule(kernel: Kernel, id: str, *, may_backtest: bool) -> RulePage:
    """One detection with its query and its open alerts. Raises ``NotFound``."""
    one = service.standing(kernel, only=id)[0][0]
    held = service.listed(kernel, rule=one.id, limit=ALERTS_SHOWN).items
    facts = [Fact(label="Severity", value=one.severity.value)]
    facts += [Fact(label="Fires on", value=one.window)] if one.window else []
    techniques = [tag.removeprefix("attack.").upper() for tag in one.tags if tag.startswith("attack.t") and "." in tag]
    tactics = [tag.removeprefix("attack.").replace("-", " ") for tag in one.tags if not tag.startswith("attack.t1")]
    facts += [Fact(label="ATT&CK", value=", ".join([*techniques, *tactics]))] if one.tags else []
    facts += [
        Fact(
            label="About",
            value={"target": "what was written to", "principal": "who called"}.get(one.subject, "the account"),
        ),
        Fact(label="From", value=f"{one.source}: {one.place}" if one.source != "uwu" else f"uwu: {one.place}"),
        Fact(label="SHA-256", value=one.sha256[:16], mono=True),
        Fact(label="Last match", value=words.moment(one.last) if one.last is not None else "never"),
    ]
    return RulePage(
        id=one.id,
        title=one.title,
        severity=one.severity.value,
        why=one.description,
        remedy=marked(one.remedy),
        runs=one.runs,
        facts=facts,
        spark=spark.counts(one.days),
        matches=one.matches,
        notes=one.notes,
        harmless=one.false_positives,
        query=one.query,
        text=one.text,
        written_in="Python" if one.place.endswith(".py") else "Sigma",
        open=one.open,
        alerts=[
            AlertLine(
                href=links.finding(each.finding),
                title=each.title,
                severity=each.severity.value,
                count=each.count,
                last=each.last_at,
            )
            for each in held
        ],
        may_backtest=may_backtest,
        days=BACKTEST_DAYS,
        exempt_href=links.rule(one.id) + "#exempt",
    )


def marked(text: str) -> list[Part]:
    """``text`` with what stands between backquotes as code."""
    pieces = text.split("`") if text.count("`") % 2 == 0 else [text]
    return [Part(text=piece, kind="code" if i % 2 else "text") for i, piece in enumerate(pieces) if piece]


def of_finding(kernel: Kernel, principal: Principal, found: Finding) -> AlertView | None:
    """The alert behind a finding; None where it is of another kind."""
    if found.domain != "trail" or not isinstance(found.observed, dict) or "alert" not in found.observed:
        return None
    try:
        alert, events = service.alert(kernel, str(found.observed["alert"]))
    except NotFound:
        return None
    (may,) = authorize.allowed_of(
        kernel, principal, service.CLOSE, [Target("Resource", found.subject, found.owner, found.account)]
    )
    closed = f"{words.short_ref(alert.closed_by)}: {alert.reason}" if alert.closed_by else ""
    return AlertView(
        id=alert.id,
        rule_href=links.detection(alert.rule),
        count=alert.count,
        events=[_event(one) for one in events],
        story=_story(alert, found.remedy),
        said=alert.said,
        may_close=may and alert.closed_at is None,
        closed=closed,
    )


def _story(alert: Alert, remedy: str) -> list[Said]:
    cause = alert.cause
    who = cause.actor.name or cause.actor.principal or "Somebody unknown"
    guess = " (a guess)" if cause.actor.confidence == "guess" else ""
    said = [
        Part(text=who + guess, kind="lead"),
        Part(text=" called "),
        Part(text=cause.name, kind="code"),
        Part(text=f" in {cause.account} {cause.region}{f' through {cause.through}' if cause.through else ''} on "),
        Part(text=f"{words.moment(alert.last_at)}."),
    ]
    if alert.count > 1:
        said.append(
            Part(text=f" {words.plural(alert.count, 'event')} since {words.moment(alert.first_at)} belong to it.")
        )
    told = [Said(icon="zap", parts=said)]
    if remedy:
        told.append(Said(icon="wrench", parts=[Part(text="Fix: ", kind="lead"), *marked(remedy)]))
    return told


def _event(one: Shown) -> EventLine:
    return EventLine(
        at=one.at,
        id=one.id,
        name=one.name,
        source=one.source.removesuffix(".amazonaws.com"),
        error=one.error,
        actor=one.actor or one.principal,
        address=one.source_ip,
        state="gone" if not one.held else "intact" if one.intact else "changed",
        sha256=one.sha256,
        request=pretty(one.request) if one.request else "",
    )


def pretty(value: Any) -> str:
    """JSON for people."""
    import msgspec

    return msgspec.json.format(codec.encode(value), indent=2).decode()


def of_principal(kernel: Kernel, name: str, days: int) -> PrivilegePage:
    """What a role or user may do against what it did. Raises ``NotFound``, ``BadInput``."""
    until = codec.now()
    found = privilege.report(kernel, name, since=until - timedelta(days=days), until=until)
    evidence, replay = found.evidence, found.replay
    held = ", ".join(f"{one.name} ({one.kind}{'' if one.read else ', not observed'})" for one in found.policies)
    facts = [
        Fact(label="Window", value=words.plural(evidence.days, "day")),
        Fact(label="Complete", value=f"{evidence.complete_pct:g}% of the days"),
        Fact(label="Data events", value=", ".join(evidence.data_events) or "none"),
        Fact(label="Policies", value=held or "none"),
        Fact(label="Uses", value=f"{found.calls:,} of {len(found.used)} actions"),
        Fact(label="Denied", value=f"{found.denied:,}"),
    ]
    rows = [
        GrantLine(
            action=one.action,
            origin=one.origin,
            used=", ".join(each.partition(":")[2] for each in one.used[:6])
            + (f" and {len(one.used) - 6} more" if len(one.used) > 6 else ""),
            calls=one.calls,
            visible=one.visible,
        )
        for one in found.granted
    ]
    passes = f"{replay.allowed:,} of {replay.calls:,} uses that were allowed pass it"
    passes += f", {replay.on_condition:,} of them on a condition that was met" if replay.on_condition else ""
    return PrivilegePage(
        name=found.principal.rsplit("/", 1)[-1],
        urn=found.principal,
        grade=evidence.grade,
        tone=GRADES[evidence.grade],
        reasons=evidence.reasons,
        facts=facts,
        grants=rows[:ROWS_SHOWN],
        more=max(len(rows) - ROWS_SHOWN, 0),
        document=pretty(found.proposal.document),
        misses=[f"{miss.action} on {miss.resource}" for miss in replay.misses],
        passes=passes,
        notes=found.notes,
        command=f"uwu trail least-privilege {found.principal} --policy",
    )


# ---- pages


def show_detections(at: Frame, request: Asked) -> Answer:
    return at.page(request, "detections.html", section=links.DETECTIONS, view=overview(at.kernel))


def show_detection(at: Frame, request: Asked) -> Answer:
    may = at.may(identify.principal_of(request))(service.RULES)
    view = of_rule(at.kernel, tail(request, links.DETECTIONS), may_backtest=may)
    return at.page(request, "detection.html", section=links.DETECTIONS, view=view)


def show_privilege(at: Frame, request: Asked) -> Answer:
    asked = query(request)
    name = asked.get("principal", "")
    view: PrivilegePage | None = None
    problem = ""
    if name:
        try:
            view = of_principal(at.kernel, name, privilege.DEFAULT_DAYS)
        except NotFound as error:
            problem = error.problem.message
    return at.page(request, "privilege.html", section=links.PRIVILEGE, view=view, asked=name, problem=problem)


def backtest(at: Frame, request: Asked, form: Form) -> Answer:
    """Begins a backtest, and goes to its job."""
    sight.require_all("what a rule finds everywhere")
    principal = identify.principal_of(request)
    rule = service.standing(at.kernel, only=form.get("rule"))[0][0].id
    days = int(form.get("days")) if form.get("days").isdigit() else BACKTEST_DAYS[1]
    since = codec.iso(codec.now() - timedelta(days=min(max(days, 1), jobs.MOST_DAYS)))
    id = at.kernel.jobs.enqueue(jobs.BACKTEST, {"rule": rule, "since": since}, requested_by=principal.ref)
    with at.kernel.db.write() as connection:
        detail = {"rule": rule, "since": since}
        audit.append(connection, actor=principal.ref, action=f"job.{jobs.BACKTEST}", subject=id, detail=detail)
    return redirect(links.job(id))


def close(at: Frame, request: Asked, form: Form) -> Answer:
    """Closes an alert, and goes back to its finding."""
    closed = service.close(at.kernel, identify.principal_of(request), form.get("id"), form.get("reason"))
    return redirect(links.finding(closed.finding))


PAGES = (
    Page(links.DETECTIONS, show_detections, SEE),
    Act(links.DETECTIONS + "/backtest", backtest, service.RULES),
    Act(links.DETECTIONS + "/close", close, service.CLOSE),
    Page(links.DETECTIONS + "/{key:path}", show_detection, SEE),
    Page(links.PRIVILEGE, show_privilege, SEE),
)
