"""``uwu catalog score``, ``cards`` and ``excuse``: how entities stand on scorecards."""

from __future__ import annotations

import textwrap
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from uwu.kernel import codec, moments
from uwu.kernel.domain import Answer, Client

_Client = Annotated[Client, Parameter(parse=False)]
_SIGNS = {"passed": "ok", "failed": "FAIL", "unknown": "?", "exempt": "exempt"}
_NOTHING = "Nothing is graded yet: uwu sync grades what the estate declares."


def add(app: App) -> None:
    """Adds the commands to ``uwu catalog``."""
    for command in (score, cards, excuse):
        app.command(command)


def score(
    entity: str = "",
    *,
    card: str = "standard",
    owner: str = "",
    level: str | None = None,
    check: str = "",
    status: Literal["passed", "failed", "unknown", "exempt", ""] = "",
    history: bool = False,
    limit: int = 50,
    client: _Client,
) -> Answer:
    """Show how entities stand on a scorecard, the worst first; or one of them, check by check.

    Parameters
    ----------
    entity
        kind:namespace/name, or a name that only one entity has; all where it is left out.
    card
        The scorecard; "uwu catalog cards" lists them.
    owner
        Only what this team owns: group:default/payments; - for what names nobody.
    level
        Only those at this level; "" for those that reach none.
    check
        Only those that fail this check, or those of which it says --status.
    status
        What the check says.
    history
        Of one entity: the days on which its standing turned.
    limit
        How many at most.
    """
    if entity and history:
        return _days(client.get(f"/scorecards/{card}/history", entity=entity, limit=limit))
    if entity:
        return _one(client.get("/graded", entity=entity, card=card)[0])
    page = client.get(f"/scorecards/{card}/grades", owner=owner, level=level, check=check, status=status, limit=limit)
    rows = [
        (
            _score(one["score"]),
            one["level"] or "-",
            _counts(one),
            one["entity"],
            one["owner"].removeprefix("group:default/") or "nobody",
        )
        for one in page["items"]
    ]
    lines = _table(("score", "level", "checks", "entity", "owner"), rows)
    if page["after"]:
        lines.append(f"… {page['total'] - len(page['items'])} more: narrow it or give a greater --limit")
    return Answer(page, "\n".join(lines) if rows else "No entity stands so.")


def _one(graded: dict[str, Any]) -> Answer:
    grade = graded["grade"]
    begun = f"{grade['entity']}  {grade['level'] or 'no level'}, {_score(grade['score'])} of what is known"
    if grade["reachable"] != grade["level"]:
        begun += f"; {grade['reachable']} were all that is unknown passed"
    lines = [begun]
    level = ""
    for one in graded["results"]:
        if one["level"] != level:
            level = one["level"]
            lines += ["", level]
        until = f" (until {_last_day(one)})" if one.get("until") else ""
        lines.append(f"  {_SIGNS[one['status']]:<6}  {one['check']:<18}{one['text']}{until}")
        if one["status"] in ("failed", "unknown"):
            proofs = one.get("proofs", [])
            lines += [f"          {proof['key']}  {proof.get('text', '')}".rstrip() for proof in proofs[:5]]
            if len(proofs) > 5:
                lines.append(f"          … {len(proofs) - 5} more: --json lists them all")
    return Answer(graded, "\n".join(lines))


def _days(page: dict[str, Any]) -> Answer:
    lines: list[str] = []
    for day in page["items"]:
        lines.append(f"{day['day']}  {day['level'] or 'no level'}, {_score(day['score'])}")
        turned = sorted(day["turned"].items())
        if turned and all(not was for _, (was, _) in turned):
            continue
        lines += [f"            {check}: {was or 'not asked'} -> {now}" for check, (was, now) in turned]
    return Answer(page, "\n".join(lines) or "It was never graded.")


def cards(*, checks: bool = False, client: _Client) -> Answer:
    """List the scorecards, or with --checks every check that one can ask for, why, and what mends it.

    Parameters
    ----------
    checks
        List checks instead.
    """
    found = client.get("/scorecards")
    if checks:
        lines: list[str] = []
        for one in found["checks"]:
            lines += [f"{one['check']}  (weight {one['weight']})", f"  {one['title']}."]
            lines += textwrap.wrap(one["why"], 96, initial_indent="  ", subsequent_indent="  ")
            lines += textwrap.wrap(f"Mend: {one['remedy']}", 96, initial_indent="  ", subsequent_indent="  ")
        return Answer(found["checks"], "\n".join(lines))
    rows = [
        (one["card"], " < ".join(one["levels"]), str(len(one["checks"])), f"{one['entities']:,}", one["title"])
        for one in found["cards"]
    ]
    lines = _table(("card", "levels", "checks", "entities", "title"), rows)
    return Answer(found["cards"], "\n".join(lines) if rows else _NOTHING)


def excuse(entity: str, check: str, *, until: str, reason: str, client: _Client) -> Answer:
    """Exempt an entity from a check until a day, with the reason; it is judged anew at once.

    "uwu rules exemptions" lists exemptions, "uwu rules end" ends one.

    Parameters
    ----------
    entity
        kind:namespace/name, or a name that only one entity has.
    check
        The check; "uwu catalog cards --checks" lists them.
    until
        The last day (UTC), such as 2026-12-31.
    reason
        Why it may be so until then.
    """
    made = client.post("/scorecards/exempt", {"entity": entity, "check": check, "until": until, "reason": reason})
    return Answer(made, f"{made['subject']} is exempt from {check} until {_last_day(made)} ({made['id']})")


def _last_day(one: dict[str, Any]) -> str:
    return moments.last_day(codec.parse_time(one["until"])).isoformat()


def _score(value: float | None) -> str:
    return "not known" if value is None else f"{value:.0f}%"


def _counts(one: dict[str, Any]) -> str:
    told = [f"{one['passed']} passed", f"{one['failed']} failed"]
    told += [f"{one[name]} {name}" for name in ("unknown", "exempt") if one[name]]
    return ", ".join(told)


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in (head, *rows)
    ]
