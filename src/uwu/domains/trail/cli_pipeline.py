"""``uwu trail``: sources, dead letters, backfills, search and originals."""

from __future__ import annotations

import json
from typing import Annotated, Any

from cyclopts import App, Parameter

from uwu.kernel.domain import Answer, Client

_Client = Annotated[Client, Parameter(parse=False)]

DEAD = App(name="dead", help="Objects that could not be taken, and messages that name none.")


def add_to(app: App) -> None:
    """Puts these commands under ``uwu trail``."""
    for command in (sources, backfill, backfills, raw, search):
        app.command(command)
    app.command(DEAD)


def sources(*, client: _Client) -> Answer:
    """Queues, buckets and folders that events come from, and how far behind each is."""
    found = client.get("/trail/sources")
    lines: list[str] = []
    for each in found:
        seen = f"seen {each['seen_at'][:16].replace('T', ' ')} UTC" if each["seen_at"] else "never seen"
        parts = [seen, f"{each['objects']} objects", f"{each['lag_seconds']} s from delivery to commit"]
        if each["kind"] == "queue":
            parts.append(f"{each['waiting']} messages waiting")
        elif each["late"]:
            parts.append(f"{each['late']} found by listing alone")
        lines.append(f"{each['source']}\n  " + ", ".join(parts))
        if each["problem"]:
            lines.append(f"  {each['problem']}")
    return Answer(found, "\n".join(lines) or "No source yet: declare a Trail in the estate, then run `uwu sync trail`.")


@DEAD.default
def dead(*, limit: int = 50, client: _Client) -> Answer:
    """What could not be taken, the latest first.

    Parameters
    ----------
    limit
        How many at most.
    """
    found = client.get("/trail/dead", limit=limit)
    lines = [f"{each['object']}: {each['message']} [{each['code']}], tried {each['attempts']} times" for each in found]
    return Answer(found, "\n".join(lines) or "Nothing was given up.")


@DEAD.command
def retry(*objects: str, client: _Client) -> Answer:
    """Try dead letters again; what is taken is struck off.

    Parameters
    ----------
    objects
        s3://bucket/key as `uwu trail dead` tells them. None: all of them.
    """
    done = client.run("trail.retry", {"objects": list(objects)})
    return Answer(done, f"{done['objects']} objects taken, {done['events']} events added; {done['left']} still dead.")


def backfill(source: str = "", *, since: str, until: str = "", client: _Client) -> Answer:
    """Take in history, day by day. Stopped, the same command goes on where it was.

    Parameters
    ----------
    source
        s3://bucket/prefix. Without it: the buckets of the estate's Trail entities.
    since
        The first day, such as 2026-01-01.
    until
        The day after the last; without it, today is the last.
    """
    done = client.run("trail.backfill", {"source": source, "since": since, "until": until})
    lines = [
        f"{each['source']} from {each['since']} before {each['until']}: {each['events']} events from "
        f"{each['objects']} objects ({each['bytes'] / 1e6:.1f} MB)"
        for each in done["backfills"]
    ]
    return Answer(done, "\n".join(lines))


def backfills(*, client: _Client) -> Answer:
    """Backfills, the latest first, and how long each may still take."""
    found = client.get("/trail/backfills")
    lines: list[str] = []
    for held in found:
        each = held["backfill"]
        left = "" if each["state"] == "done" else f", {each['left']} of {each['total']} days of a region left"
        if held["seconds_left"]:
            left += f", about {held['seconds_left'] // 60 + 1} minutes"
        lines.append(
            f"{each['source']} {each['since']}..{each['until']}: {each['state']}, {each['events']} events{left}"
        )
        if each["problem"]:
            lines.append(f"  {each['problem']}")
    return Answer(found, "\n".join(lines) or "No backfill yet: uwu trail backfill --since 2026-01-01")


def raw(event_id: str, *, client: _Client) -> Answer:
    """The record of an event from the object that holds it; secrets redacted.

    Parameters
    ----------
    event_id
        CloudTrail's eventID.
    """
    found = client.get("/trail/raw", event_id=event_id)
    text = json.dumps(found["record"], indent=2, ensure_ascii=False)
    return Answer(found, f"{text}\n\nrecord {found['index']} of {found['object']}")


def search(
    text: str = "",
    *,
    who: str = "",
    name: str = "",
    service: str = "",
    resource: str = "",
    account: str = "",
    region: str = "",
    error: str = "",
    access_key: str = "",
    address: str = "",
    writes: bool = False,
    since: str = "",
    until: str = "",
    limit: int = 50,
    client: _Client,
) -> Answer:
    """Events, newest first.

    Parameters
    ----------
    text
        Part of what was asked, answered or of the user agent.
    who
        A human, machine or service by name, or the ARN of a role or user.
    name
        The action: AuthorizeSecurityGroupIngress.
    service
        ec2, or ec2.amazonaws.com.
    resource
        The ARN of a resource that a write was about.
    account
        The account that was called.
    region
        The region that was called.
    error
        The error code: AccessDenied.
    access_key
        The id of the key that signed.
    address
        The address that the call came from.
    writes
        Only calls that change something.
    since
        The earliest time, such as 2026-03-10T14:00:00Z.
    until
        The time before which events lie.
    limit
        How many at most.
    """
    asked: dict[str, Any] = {
        "text": text,
        "who": who,
        "name": name,
        "service": service,
        "resource": resource,
        "account": account,
        "region": region,
        "error": error,
        "access_key": access_key,
        "address": address,
        "writes": "true" if writes else "false",
        "since": since,
        "until": until,
        "limit": limit,
    }
    found = client.get("/trail/search", **asked)
    lines = [
        f"{each['at'][:19].replace('T', ' ')} UTC  {each['name']}  {each['error'] or 'ok'}  {each['actor']}  "
        f"{each['account']} {each['region']}  {' '.join(each['targets'][:2])}".rstrip()
        for each in found["items"]
    ]
    return Answer(found, "\n".join(lines) or "No such event is held.")
