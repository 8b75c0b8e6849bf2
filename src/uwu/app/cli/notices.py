"""``uwu notices`` and ``uwu schedules``: who was told what, and what the workers ask for by themselves."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import quote

from cyclopts import App, Parameter
from rich.text import Text

from uwu.app.cli import look
from uwu.kernel.domain import Answer, Client

Here = Annotated[Client, Parameter(parse=False)]
Status = Literal["all", "waiting", "sent", "failed", "muted", "untold"]
STYLE = {"sent": "green", "waiting": "yellow", "failed": "red", "muted": "dim", "untold": "yellow"}

notices = App(name="notices", help="See who was told what; test a channel, try again, mute.", help_format="plaintext")


@notices.command(name="list")
def list_(
    *, status: Status = "all", kind: str = "", owner: str = "", channel: str = "", limit: int = 50, client: Here
) -> Answer:
    """List what was told to whom, the newest first.

    Parameters
    ----------
    status
        How its delivery stands; untold: no channel took it.
    kind
        finding.opened, plan.waiting; or all of a sort: 'plan.*'.
    owner
        A reference: group:default/payments.
    channel
        The name of a channel.
    limit
        How many at most, up to 500.
    """
    asked = {"status": "" if status == "all" else status, "kind": kind, "channel": channel, "limit": limit}
    page = client.get("/notices", **asked, **({"owner": owner} if owner else {}))
    rows = [
        (
            look.when(row["notice"]["created_at"]),
            row["notice"]["severity"],
            Text(row["notice"]["title"]),
            look.owner(row["notice"]["owner"]) if row["notice"]["owner"] else Text("nobody", style="dim"),
            _to(row["deliveries"], routed=row["notice"]["routed_at"] is not None),
            Text(row["notice"]["id"], style="dim"),
        )
        for row in page["items"]
    ]
    if not rows:
        return Answer(page, "Nothing was told yet." if status == "all" else f"No notice is {status}.")
    made = look.table(("when", "severity", "what", "owner", "told", "id"), rows, whole=("when", "id"))
    return Answer(page, look.render(made))


def _to(deliveries: list[dict[str, Any]], *, routed: bool) -> Text:
    if not deliveries:
        return Text("no channel took it", style="yellow") if routed else Text("to be routed", style="dim")
    parts: list[Text] = []
    for one in deliveries:
        name = f"{one['channel']} {one['address']}".strip()
        said = f" after {one['attempts']} tries: {one['error']}" if one["status"] == "failed" else ""
        parts.append(Text.assemble(f"{name} ", (one["status"], STYLE[one["status"]]), (said, "dim")))
    return Text(", ").join(parts)


@notices.command
def channels(*, client: Here) -> Answer:
    """List the channels and how their deliveries stand."""
    found = client.get("/channels")
    if not found:
        return Answer(found, "No channel is set: docs/notifications.md tells how.")
    rows = [
        (
            one["name"],
            one["kind"] or Text("its address cannot be read", style="red"),
            look.age(one["sent_at"]),
            str(one["waiting"]),
            str(one["failed"]),
            Text(one["error"], style="dim"),
        )
        for one in found
    ]
    made = look.table(("channel", "by", "last sent", "waiting", "failed", "last error"), rows)
    return Answer(found, look.render(made))


@notices.command
def test(channel: str, *, client: Here) -> Answer:
    """Send one message by a channel now.

    Parameters
    ----------
    channel
        Its name, as `uwu notices channels` shows it.
    """
    told = client.post(f"/channels/{quote(channel, safe='')}/test")
    if told["sent"]:
        return Answer(told, f"{channel} has taken the message {told['message']}.")
    return Answer(told, f"{channel} did not take it: {told['error']}", exit_code=1)


@notices.command
def retry(notice: str = "", *, client: Here) -> Answer:
    """Give failed deliveries their tries again, at once.

    Parameters
    ----------
    notice
        Those of one notice, by its id; all where none is given.
    """
    told = client.post("/notices/retry", {"notice": notice})
    count = told["deliveries"]
    again = f"{count} deliver{'y is' if count == 1 else 'ies are'} tried again."
    return Answer(told, again if count else "No delivery has failed.")


@notices.command
def mute(subject: str, *, hours: int, reason: str = "", client: Here) -> Answer:
    """Send nothing about a subject for some hours; 0 ends that.

    Parameters
    ----------
    subject
        What the notices are about, by its id: a finding, a plan.
    hours
        From now.
    reason
        Why, for the audit.
    """
    told = client.post("/notices/mute", {"subject": subject, "hours": hours, "reason": reason})
    if told["until"] is None:
        return Answer(told, f"{subject} is told of again.")
    return Answer(told, f"{subject} is muted until {look.when(told['until'])}.")


def schedules(*, client: Here) -> Answer:
    """List what the workers of a server ask for by themselves."""
    found = client.get("/schedules")
    rows = [
        (
            one["name"],
            _every(one),
            look.when(one["last_at"]) if one["last_at"] else Text("never", style="dim"),
            Text(one["last_status"], style={"failed": "red", "done": "green"}.get(one["last_status"], "")),
            look.when(one["next_at"]) if one["next_at"] else Text(_rests(one), style="dim"),
            Text(one["summary"], style="dim"),
        )
        for one in found
    ]
    made = look.table(("schedule", "every", "last run", "status", "next run", "what for"), rows, whole=("schedule",))
    return Answer(found, look.render(made))


def _every(one: dict[str, Any]) -> str:
    if one["daily"]:
        return f"day at {one['daily']} UTC"
    minutes = one["every_minutes"]
    return ("minute" if minutes == 1 else f"{minutes} minutes") if minutes else "off"


def _rests(one: dict[str, Any]) -> str:
    return "when a server runs" if one["state"] == "on" else one["state"]
