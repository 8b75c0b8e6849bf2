"""Commands of rights: may one, and more rights for a short time."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import App, Parameter
from rich.text import Text

from uwu.app.cli import look
from uwu.kernel.domain import Answer, Client

Here = Annotated[Client, Parameter(parse=False)]

DENIED = 5
"""The exit status of a ``can`` that answers no."""

break_glass = App(
    name="break-glass",
    help="Take more rights for a short time, with a reason that everyone sees.",
    help_format="plaintext",
)


@break_glass.command(name="open")
def open_(reason: str, *, minutes: int = 30, client: Here) -> Answer:
    """Break glass: do what an admin may, except approve what you asked for.

    Parameters
    ----------
    reason
        What is broken and what you will do, at least ten characters. Everyone reads it.
    minutes
        For how long; the home sets the most.
    """
    held = client.post("/break-glass", {"reason": reason, "minutes": minutes})
    text = f"You hold break-glass until {look.when(held['expires_at'])}. `uwu break-glass end` ends it earlier."
    return Answer(held, text)


@break_glass.command
def end(id: str = "", *, client: Here) -> Answer:
    """End a break-glass before its time: your own, or as an admin another's.

    Parameters
    ----------
    id
        The one to end; your own where it is left out.
    """
    if not id:
        me = client.get("/rights")["principal"]
        own = [held for held in client.get("/break-glass", active=True) if held["principal"] == me]
        if not own:
            return Answer([], "You hold no break-glass.")
        id = own[0]["id"]
    ended = client.post(f"/break-glass/{id}/end")
    return Answer(ended, f"The break-glass of {ended['principal']} is over.")


@break_glass.command(name="list")
def list_(*, active: bool = False, limit: int = 50, client: Here) -> Answer:
    """List who broke glass and why, newest first.

    Parameters
    ----------
    active
        Only what is held now.
    limit
        How many at most, up to 500.
    """
    found = client.get("/break-glass", active=active, limit=limit)
    if not found:
        return Answer(found, "Nobody holds break-glass." if active else "Nobody broke glass yet.")
    rows = [(look.when(g["created_at"]), g["principal"], _state(g), Text(g["reason"]), g["id"]) for g in found]
    return Answer(found, look.render(look.table(("since", "who", "ended", "why", "id"), rows)))


def _state(glass: dict[str, Any]) -> Text:
    if glass["active"]:
        return Text(f"until {look.when(glass['expires_at'])}", style="red")
    if glass["ended_at"]:
        return Text(f"{look.when(glass['ended_at'])} by {glass['ended_by']}")
    return Text(look.when(glass["expires_at"]), style="dim")


def can(
    action: str = "",
    subject: str = "",
    *,
    as_: Annotated[str, Parameter(name="--as")] = "",
    client: Here,
) -> Answer:
    """Ask whether you may, on what, and what is lacking where you may not.

    Exit status 0 where it may be done, 5 where not. Without an action it lists them all.

    Parameters
    ----------
    action
        What is to be done: plans.approve.
    subject
        With what: a resource, an entity, a finding, a plan. Left out: the platform as a whole.
    as_
        Ask for another: user:default/mira. It takes access.read.
    """
    found = client.get("/rights", subject=subject, action=action, who=as_)
    rights = found["rights"]
    if action:
        right = rights[0]
        word = "may" if right["allowed"] else "may not"
        lines = [f"{found['principal']} {word} {right['summary']}: {right['reason']}."]
        if right["missing"]:
            lines.append(f"Lacking: {right['missing']}.")
        if right["ask"]:
            lines.append(f"Ask {', '.join(right['ask'])}.")
        return Answer(found, "\n".join(lines), exit_code=0 if right["allowed"] else DENIED)
    rows = [
        (
            Text("yes", style="green") if r["allowed"] else Text("no", style="dim"),
            r["action"],
            Text(", ".join(r["policies"]) if r["allowed"] else r["missing"], style="" if r["allowed"] else "dim"),
        )
        for r in rights
    ]
    return Answer(found, look.render(look.table(("may", "action", "by, or lacking"), rows)))
