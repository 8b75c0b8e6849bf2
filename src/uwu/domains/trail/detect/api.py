"""Detections over HTTP, under ``/api/v1``."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody
from msgspec import Meta

from uwu.domains.trail.detect import alerts, jobs, load, service
from uwu.domains.trail.detect.alerts import Alert, Alerts, Shown
from uwu.domains.trail.detect.service import Standing, Tried
from uwu.kernel import audit, codec, paging, sight
from uwu.kernel.errors import BadInput, Problem
from uwu.kernel.identity import Principal
from uwu.kernel.runtime import Kernel

READ = {"action": "world.read"}
RULES = {"action": service.RULES}
CLOSE = {"action": service.CLOSE}
MAX_LIMIT = 500
_Text = Annotated[str, Meta(max_length=262_144)]


class Detections(msgspec.Struct, frozen=True):
    """One page of rules, those with open alerts first; and what is wrong with those that could not be read."""

    items: list[Standing]
    total: int
    problems: list[Problem]
    after: str


class Trial(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A rule, by its id or as Sigma's YAML, and an event."""

    event: dict[str, Any]
    """A CloudTrail record."""
    rule: Annotated[str, Meta(max_length=200)] = ""
    """Empty, and no text either: every rule."""
    text: _Text = ""


class Backtest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A rule, by its id or as Sigma's YAML, and a stretch of history."""

    rule: Annotated[str, Meta(max_length=200)] = ""
    text: _Text = ""
    since: Annotated[str, Meta(max_length=40)] = ""
    """ISO 8601; 30 days before ``until`` where it is not given."""
    until: Annotated[str, Meta(max_length=40)] = ""


class Begun(msgspec.Struct, frozen=True):
    """The job that does it."""

    id: str


class Closing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why an alert is closed."""

    reason: Annotated[str, Meta(max_length=alerts.MOST_REASON)]


class Told(msgspec.Struct, frozen=True):
    """An alert with the events that it pins."""

    alert: Alert
    events: list[Shown]


@get("/trail/rules", sync_to_thread=True, opt=READ)
def list_detections(
    kernel: NamedDependency[Kernel], limit: FromQuery[int] = 100, after: FromQuery[str] = ""
) -> Detections:
    """Every detection with what it matched lately, when it matched last, and how many of its alerts are open."""
    behind = paging.place(after, int)
    first = behind[0] if behind is not None else 0
    limit = min(max(limit, 1), MAX_LIMIT)
    found, problems = service.standing(kernel)
    rest = first + limit < len(found)
    return Detections(found[first : first + limit], len(found), problems, paging.cursor(first + limit) if rest else "")


@get("/trail/rules/{id:str}", sync_to_thread=True, opt=READ)
def get_detection(kernel: NamedDependency[Kernel], id: FromPath[str]) -> Standing:
    """One detection, with its query and its text."""
    return service.standing(kernel, only=id)[0][0]


@post("/trail/rules/test", sync_to_thread=True, opt=RULES, status_code=200)
def test_detection(kernel: NamedDependency[Kernel], data: JSONBody[Trial]) -> list[Tried]:
    """What a rule, or every rule, says of one event. It writes nothing."""
    if data.text:
        rules = service.read_text(kernel, data.text)
    else:
        held = load.loaded(kernel)
        rules = [held.of(data.rule)] if data.rule else list(held.rules.values())
    return service.tried(kernel, rules, data.event)


@post("/trail/backtests", sync_to_thread=True, opt=RULES, status_code=202)
def start_backtest(
    kernel: NamedDependency[Kernel], principal: NamedDependency[Principal], data: JSONBody[Backtest]
) -> Begun:
    """Runs a rule over history as a job. It takes sight of everything."""
    sight.require_all("what a rule finds everywhere")
    if bool(data.rule) == bool(data.text):
        raise BadInput("a backtest is of a rule or of a text", code="backtest-rule", hint="give one of them")
    if data.text:
        service.read_text(kernel, data.text)
    else:
        load.loaded(kernel).of(data.rule)
    for name, given in (("since", data.since), ("until", data.until)):
        try:
            _ = given and codec.parse_time(given)
        except ValueError as error:
            raise BadInput(str(error), code="time-invalid", place=name, hint="2026-03-10T14:00:00Z") from None
    arguments = codec.builtins(data)
    id = kernel.jobs.enqueue(jobs.BACKTEST, arguments, requested_by=principal.ref)
    with kernel.db.write() as connection:
        detail = {"rule": data.rule, "since": data.since, "until": data.until}
        audit.append(connection, actor=principal.ref, action=f"job.{jobs.BACKTEST}", subject=id, detail=detail)
    return Begun(id)


@get("/trail/alerts", sync_to_thread=True, opt=READ)
def list_alerts(
    kernel: NamedDependency[Kernel],
    rule: FromQuery[str] = "",
    closed: FromQuery[bool] = False,
    limit: FromQuery[int] = 100,
    after: FromQuery[str] = "",
) -> Alerts:
    """Alerts that are open, or with ``closed`` all, the newest first."""
    limit = min(max(limit, 1), MAX_LIMIT)
    return service.listed(kernel, rule=rule, closed=closed, limit=limit, after=after)


@get("/trail/alerts/{id:str}", sync_to_thread=True, opt=READ)
def get_alert(kernel: NamedDependency[Kernel], id: FromPath[str]) -> Told:
    """One alert, by its id or its finding's, with its events, each checked against its hash."""
    return Told(*service.alert(kernel, id))


@post("/trail/alerts/{id:str}/close", sync_to_thread=True, opt=CLOSE, status_code=200)
def close_alert(
    kernel: NamedDependency[Kernel], principal: NamedDependency[Principal], id: FromPath[str], data: JSONBody[Closing]
) -> Alert:
    """Closes an alert and its finding for a reason; audited."""
    return service.close(kernel, principal, id, data.reason)


HANDLERS: list[Any] = [
    list_detections,
    get_detection,
    test_detection,
    start_backtest,
    list_alerts,
    get_alert,
    close_alert,
]
