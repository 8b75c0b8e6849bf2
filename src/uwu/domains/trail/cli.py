"""``uwu trail``: take events in, and ask who changed what."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from uwu.domains.trail.cli_pipeline import add_to
from uwu.kernel.domain import Answer, Client

APP = App(name="trail", help="Take in CloudTrail; tell who changed what.")

add_to(APP)

_Client = Annotated[Client, Parameter(parse=False)]


@APP.command
def ingest(*source: str, client: _Client) -> Answer:
    """Take in CloudTrail objects, each once.

    Parameters
    ----------
    source
        A folder (recursively), a file, or s3://bucket/prefix. None: the Trail entities of the estate.
    """
    given = [s if s.startswith("s3://") else str(Path(s).expanduser().resolve()) for s in source]
    taken = client.run("trail.ingest", {"sources": given})
    lines = [
        f"{taken['events']} events added from {taken['objects']} objects; {taken['duplicates']} were there already.",
        f"Resources named for {taken['named']} of {taken['writes']} successful writes ({taken['named_pct']}%).",
        f"Actors named for {taken['humans'] + taken['others']} of {taken['events']} events ({taken['actor_pct']}%): "
        f"{taken['humans']} human, {taken['others']} machine or service.",
    ]
    if taken["actors_named_later"]:
        lines.append(f"{taken['actors_named_later']} earlier events got their actor.")
    lines += [_problem(problem) for problem in taken["problems"]]
    return Answer(taken, "\n".join(lines))


@APP.command
def changes(subject: str, *, since: str = "", until: str = "", limit: int = 50, client: _Client) -> Answer:
    """Who changed a resource, newest first; also one that is gone.

    Parameters
    ----------
    subject
        An ARN, an id or a name.
    since
        The earliest time, such as 2026-03-10T14:00:00Z.
    until
        The time before which events lie.
    limit
        How many at most.
    """
    found = client.get("/trail/changes", subject=subject, since=since, until=until, limit=limit)
    rows = [(_when(each), _who(each["actor"]), each["name"], each["through"] or "-", each["role"]) for each in found]
    lines = _aligned(rows)
    return Answer(found, "\n".join(lines) or "No successful write on it is known.")


@APP.command
def timeline(actor: str, *, since: str = "", until: str = "", limit: int = 50, client: _Client) -> Answer:
    """What someone or something did, newest first.

    Parameters
    ----------
    actor
        A human, machine or service by name, or the ARN of a role or user.
    since
        The earliest time, such as 2026-03-10T14:00:00Z.
    until
        The time before which events lie.
    limit
        How many at most.
    """
    found = client.get("/trail/timeline", actor=actor, since=since, until=until, limit=limit)
    rows = [(_when(each), each["name"], each["error"] or "ok", " ".join(each["targets"][:2])) for each in found]
    lines = _aligned(rows)
    return Answer(found, "\n".join(lines) or "No event of it is known.")


@APP.command
def stats(*, client: _Client) -> Answer:
    """How much is held, and of how much the resource and the actor are named."""
    found = client.get("/trail/stats")
    text = (
        f"{found['events']} events from {found['since'] or '-'} to {found['until'] or '-'}\n"
        f"resource named: {found['named']} of {found['writes']} successful writes ({found['named_pct']}%)\n"
        f"actor named: {found['actor_pct']}% ({found['humans']} human, {found['others']} machine or service)"
    )
    return Answer(found, text)


@APP.command
def rejects(*, limit: int = 50, client: _Client) -> Answer:
    """What could not be taken in: objects that are cut or of another shape, records that are malformed.

    Parameters
    ----------
    limit
        How many at most.
    """
    found = client.get("/trail/rejects", limit=limit)
    lines = [f"{_where(each)}: {each['message']} [{each['code']}]" for each in found]
    return Answer(found, "\n".join(lines) or "Everything was taken in.")


def _when(event: dict[str, Any]) -> str:
    """``2026-03-10 14:00 UTC``."""
    return f"{event['at'][:10]} {event['at'][11:16]} UTC"


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """The rows as columns that are as wide as what they hold."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _who(actor: dict[str, Any]) -> str:
    doubt = " (guess)" if actor["confidence"] == "guess" else ""
    return f"{actor['name']}{doubt}" if actor["kind"] == "human" else actor["name"] or "unknown"


def _where(reject: dict[str, Any]) -> str:
    return f"{reject['object']} record {reject['index']}" if reject["index"] >= 0 else str(reject["object"])


def _problem(problem: dict[str, Any]) -> str:
    where = f"{problem['place']}: " if problem.get("place") else ""
    return f"{where}{problem['message']} [{problem['code']}]"
