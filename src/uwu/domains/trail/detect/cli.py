"""``uwu trail rules``, ``test``, ``backtest``, ``suppress``, ``alert`` and ``close``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

from cyclopts import App, Parameter

from uwu.kernel import codec
from uwu.kernel.domain import Answer, Client
from uwu.kernel.errors import BadInput

Here = Annotated[Client, Parameter(parse=False)]

_BARS = " ▁▂▃▄▅▆▇█"


def add(app: App) -> None:
    """Puts the commands into ``app``."""
    for command in (rules, test, backtest, suppress, alert, close):
        app.command(command)


def rules(id: str = "", *, client: Here) -> Answer:
    """List the detections with what they matched lately, or tell all of one.

    Parameters
    ----------
    id
        A rule: root-signs-in.
    """
    if id:
        return _one(client.get(f"/trail/rules/{quote(id, safe='')}"))
    items: list[dict[str, Any]] = []
    problems: list[dict[str, Any]] = []
    after = ""
    while True:
        page = client.get("/trail/rules", limit=200, after=after)
        items += page["items"]
        problems = page["problems"]
        after = page["after"]
        if not after:
            break
    rows = [("SEVERITY", "OPEN", "30 DAYS", "LAST MATCH", "RULE", "")]
    rows += [
        (
            one["severity"],
            str(one["open"] or "-"),
            str(one["matches"] or "-"),
            _when(one["last"]),
            one["id"],
            one["title"] + ("" if one["runs"] else " (off)"),
        )
        for one in items
    ]
    lines = _aligned(rows)
    lines += [f"not read: {p['place']}: {p['message']} [{p['code']}]" for p in problems]
    return Answer({"items": items, "problems": problems}, "\n".join(lines))


def _one(one: dict[str, Any]) -> Answer:
    most = max(one["days"]) or 1
    bars = "".join(_BARS[-(-8 * number // most)] for number in one["days"])
    lines = [one["title"], f"{one['id']}  {one['severity']}" + ("" if one["runs"] else "  off"), "", one["description"]]
    lines += ["", f"Fires on: {one['window']}"] if one["window"] else []
    lines += ["", f"Fix: {one['remedy']}"] if one["remedy"] else []
    lines += (
        ["", "May be harmless:", *(f"  {each}" for each in one["false_positives"])] if one["false_positives"] else []
    )
    lines += ["", *(f"Note: {note}" for note in one["notes"])] if one["notes"] else []
    lines += ["", f"Matches of 30 days: {one['matches']}  [{bars}]  last: {_when(one['last'])}  open: {one['open']}"]
    lines += ["", f"{', '.join(one['tags'])}", f"{one['place']}  sha256 {one['sha256'][:16]}", "", one["query"]]
    return Answer(one, "\n".join(lines))


def test(rule: str = "", *, event: str, client: Here) -> Answer:
    """Ask what a rule, or every rule, says of one event. Nothing is written.

    Parameters
    ----------
    rule
        A rule's id, or a Sigma file. None: every rule.
    event
        A CloudTrail record as JSON, a file of one, or of Records of which the first is taken; - is the standard input.
    """
    text = event if event.lstrip().startswith("{") else sys.stdin.read() if event == "-" else _read(Path(event))
    try:
        record = codec.decode(text)
    except ValueError as error:
        raise BadInput(f"the event is not JSON: {error}", code="event-shape", place=event) from None
    if isinstance(record, dict) and isinstance(record.get("Records"), list) and record["Records"]:
        record = record["Records"][0]
    found = client.post("/trail/rules/test", {"event": record, **_named(rule)})
    hits = [one for one in found if one["matched"]]
    lines = [f"{one['rule']} matches" + _told(one) for one in hits]
    lines += [f"{len(found) - len(hits)} of {len(found)} do not."] if len(found) > 1 else []
    if len(found) == 1 and not hits:
        lines = [f"{found[0]['rule']} does not match.", *(f"Note: {note}" for note in found[0]["notes"])]
    return Answer(found, "\n".join(lines), 0 if hits or not rule else 1)


def _told(one: dict[str, Any]) -> str:
    about = f", about {one['subject']}" if one["subject"] else ""
    return f" (one of {one['window']}){about}" if one["window"] else about


def backtest(rule: str, *, since: str = "", until: str = "", client: Here) -> Answer:
    """Run a rule over history: how often it would have fired, when and on what. Nothing is written.

    Parameters
    ----------
    rule
        A rule's id, or a Sigma file.
    since
        The earliest time, such as 2026-03-10T14:00:00Z. None: 30 days back.
    until
        The time before which events lie. None: now.
    """
    done = client.start("/trail/backtests", {**_named(rule), "since": since, "until": until})
    lines: list[str] = []
    for found in done["results"]:
        lines += [
            f"{found['rule']}: {found['alerts']} alerts of {found['matches']} matches among {found['events']:,} events "
            f"from {found['since'][:16]} to {found['until'][:16]}, in {found['seconds']:.1f} s"
        ]
        lines += [f"  Note: {note}" for note in found["notes"]]
        lines += [f"  {day}  {number}" for day, number in found["days"].items()]
        lines += [f"  {each['last'][:16]}  {each['count']:>5}  {each['title']}" for each in found["samples"]]
        lines += ["  More than 10,000 matches a day: what is beyond is not counted."] if found["truncated"] else []
    return Answer(done, "\n".join(lines))


def suppress(rule: str, *, subject: str = "", account: str = "", until: str, reason: str, client: Here) -> Answer:
    """Hide what a rule says of a subject, or of an account, until a day. It goes on matching.

    Parameters
    ----------
    rule
        A rule's id, or a pattern: trail.key-*.
    subject
        What the alert is about: an ARN, an id or a name.
    account
        An account's id, for everything in it; instead of a subject.
    until
        A day, which is the last (UTC), or a time in ISO 8601.
    reason
        Why it may be so until then.
    """
    name = rule if rule.startswith("trail.") else f"trail.{rule}"
    body = {"rule": name, "subject": subject, "account": account, "until": until, "reason": reason}
    made = client.post("/exemptions", body)
    what = made["subject"] or f"everything in {made['account']}"
    return Answer(made, f"{made['rule']} is silent on {what} until {made['until'][:16]} ({made['id']}).")


def alert(id: str, *, client: Here) -> Answer:
    """Tell an alert with its events, each checked against the hash that was taken when it fired.

    Parameters
    ----------
    id
        The alert's id, or its finding's.
    """
    found = client.get(f"/trail/alerts/{quote(id, safe='')}")
    one = found["alert"]
    rows = [
        (
            _when(event["at"]),
            event["name"] or "-",
            event["error"] or "ok",
            event["source_ip"],
            "intact" if event["intact"] else "CHANGED" if event["held"] else "past its retention",
            event["id"],
        )
        for event in found["events"]
    ]
    lines = [one["title"], f"{one['rule']} sha256 {one['rule_hash'][:16]}  {one['count']} events", ""]
    lines += _aligned(rows)
    if one["closed_at"]:
        lines += ["", f"closed {_when(one['closed_at'])} by {one['closed_by']}: {one['reason']}"]
    return Answer(found, "\n".join(lines))


def close(id: str, *, reason: str, client: Here) -> Answer:
    """Close an alert: somebody has looked at it. Its finding closes with it.

    Parameters
    ----------
    id
        The alert's id, or its finding's.
    reason
        What it was, and what was done.
    """
    closed = client.post(f"/trail/alerts/{quote(id, safe='')}/close", {"reason": reason})
    return Answer(closed, f"Closed: {closed['title']}")


def _named(rule: str) -> dict[str, str]:
    if rule.endswith((".yml", ".yaml")):
        return {"text": _read(Path(rule))}
    return {"rule": rule}


def _read(path: Path) -> str:
    try:
        return path.expanduser().read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"the file cannot be read: {error}", code="file-unreadable", place=str(path)) from None


def _when(at: str | None) -> str:
    return f"{at[:10]} {at[11:16]}" if at else "never"


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    if not rows:
        return []
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
