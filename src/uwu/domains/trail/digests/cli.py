"""``uwu trail verify``, ``uwu trail completeness`` and ``uwu trail faults``."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

from cyclopts import App, Parameter

from uwu.kernel import codec
from uwu.kernel.domain import Answer, Client

_Client = Annotated[Client, Parameter(parse=False)]


def add(app: App) -> None:
    """Puts these commands under ``uwu trail``."""
    for command in (verify, completeness, faults):
        app.command(command)


def verify(*, since: str = "", client: _Client) -> Answer:
    """Verify digests and log files, and judge each hour of every account and region.

    Parameters
    ----------
    since
        A day or a time, such as 2026-03-10; without it, from where the last verification ended.
    """
    done = client.run("trail.verify", {"since": since})
    lines = [
        f"{done['digests']} digests of {done['chains']} chains are signed, {done['logs']} log files are as they say.",
        f"{done['hours']} hours: {done['proven']} proven, {done['delivered']} delivered but unproven, "
        f"{done['missing']} missing.",
    ]
    if done["faults"]:
        lines.append(
            f"{done['faults']} digests or log files are absent or altered, {done['tampering']} of them altered: "
            "uwu trail faults"
        )
    lines += [f"{problem['message']} [{problem['code']}]" for problem in done["problems"]]
    return Answer(done, "\n".join(lines))


def completeness(*, account: str = "", region: str = "", since: str = "", until: str = "", client: _Client) -> Answer:
    """Hour by hour: # proven by digest, + delivered but unproven, ! missing, . not judged.

    Parameters
    ----------
    account
        This account alone.
    region
        This region alone.
    since
        The earliest time, such as 2026-03-10T00:00:00Z; seven days ago without it.
    until
        The time before which hours begin; now without it.
    """
    found = client.get("/trail/completeness", account=account, region=region, since=since, until=until)
    lines: list[str] = []
    for strip in found:
        judged = strip["proven"] + strip["delivered"] + strip["missing"]
        lines.append(
            f"{strip['account']} {strip['region']}: {strip['proven']} of {judged} hours proven, "
            f"{strip['delivered']} delivered, {strip['missing']} missing"
        )
        lines += _days(strip)
    return Answer(found, "\n".join(lines) or "Nothing was verified yet: uwu trail verify")


def _days(strip: dict[str, Any]) -> list[str]:
    """A line for each day, from its first hour."""
    letters = strip["hours"].translate(str.maketrans("PDM-", "#+!."))
    at = codec.parse_time(strip["since"])
    lines: list[str] = []
    place = 0
    while place < len(letters):
        count = 24 - at.hour
        lines.append(f"  {at:%Y-%m-%d}  {' ' * at.hour}{letters[place : place + count]}")
        place += count
        at = at.replace(hour=0) + timedelta(days=1)
    return lines


def faults(
    *,
    account: str = "",
    region: str = "",
    tampering: bool = False,
    limit: int = 50,
    client: _Client,
) -> Answer:
    """Digests and log files that are absent or altered, the latest hours first.

    Parameters
    ----------
    account
        This account alone.
    region
        This region alone.
    tampering
        Only what somebody must have altered.
    limit
        How many at most.
    """
    asked = {"account": account, "region": region, "tampering": "true" if tampering else "false", "limit": limit}
    found = client.get("/trail/faults", **asked)
    lines = [
        f"{each['until'][:16].replace('T', ' ')} UTC  {each['code']}  s3://{each['bucket']}/{each['key']}\n"
        f"  {each['message']}"
        for each in found["items"]
    ]
    if found["after"]:
        lines.append("There are more: --limit")
    return Answer(found, "\n".join(lines) or "No digest or log file is known to be absent or altered.")
