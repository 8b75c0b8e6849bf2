"""``uwu trail least-privilege``."""

from __future__ import annotations

import json
from typing import Annotated

from cyclopts import App, Parameter

from uwu.kernel.domain import Answer, Client

_MOST = 20


def add(app: App) -> None:
    """Puts the command into ``app``."""
    app.command(least_privilege)


def least_privilege(
    role: str,
    *,
    since: str = "",
    until: str = "",
    policy: bool = False,
    client: Annotated[Client, Parameter(parse=False)],
) -> Answer:
    """Compare what a role may do with what it did, and propose the policy that would have been enough.

    Parameters
    ----------
    role
        A role or user: its ARN or name.
    since
        The earliest time, such as 2026-03-10T14:00:00Z. None: 90 days back.
    until
        The time before which events lie. None: now.
    policy
        Give the proposed policy alone, as JSON.
    """
    found = client.get("/trail/least-privilege", principal=role, since=since, until=until)
    document = json.dumps(found["proposal"]["document"], indent=2)
    if policy:
        return Answer(found["proposal"]["document"], document)
    evidence, replay = found["evidence"], found["replay"]
    lines = [
        found["principal"],
        f"{evidence['days']} days, {found['calls']:,} uses of {len(found['used'])} actions, {found['denied']:,} denied",
        "",
        f"Evidence: {evidence['grade']}",
        *(f"  {reason}" for reason in evidence["reasons"]),
        "",
        "Policies: " + (", ".join(_held(one) for one in found["policies"]) or "none"),
    ]
    if found["unused"]:
        lines += ["", f"Not used ({len(found['unused'])}):", *(f"  {one}" for one in found["unused"][:_MOST])]
        lines += [f"  and {len(found['unused']) - _MOST} more"] if len(found["unused"]) > _MOST else []
    lines += ["", f"Enough would be ({found['proposal']['characters']} characters):", document, ""]
    told = f"Replayed: {replay['allowed']:,} of {replay['calls']:,} allowed uses pass"
    told += f", {replay['on_condition']:,} of them on a condition that was met" if replay["on_condition"] else ""
    lines.append(told + ".")
    lines += [f"  would be refused: {m['action']} on {m['resource']} ({m['calls']})" for m in replay["misses"][:_MOST]]
    lines += [f"Note: {note}" for note in found["notes"]]
    return Answer(found, "\n".join(lines))


def _held(one: dict[str, object]) -> str:
    return f"{one['name']} ({one['kind']}{'' if one['read'] else ', not observed'})"
