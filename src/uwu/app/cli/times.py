"""The command that compares two times."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from cyclopts import Parameter
from rich.text import Text

from uwu.app.cli import look
from uwu.kernel.domain import Answer, Client

Here = Annotated[Client, Parameter(parse=False)]
SIGN = {"added": ("+", "green"), "changed": ("~", "yellow"), "removed": ("-", "red")}
PATHS_SHOWN = 8


def diff(
    *,
    from_: Annotated[str, Parameter(name="--from")] = "1d",
    to: str = "now",
    account: str | None = None,
    type: str | None = None,
    owner: str | None = None,
    how: Literal["added", "changed", "removed"] | None = None,
    limit: int = 50,
    after: str | None = None,
    client: Here,
) -> Answer:
    """Compare two times: what was added, changed and removed between them, and who did it.

    Parameters
    ----------
    from_
        The earlier time: 2026-11-20T09:12:00Z, 2026-11-20, or so long ago: 3h, 2d.
    to
        The later time, likewise.
    account
        Only what lies in one account, by its twelve digits.
    type
        Only one type of resource, such as aws_s3_bucket.
    owner
        Only what one owner has today: a group's name or reference; "nobody" for what has none.
    how
        Only what was added, changed or removed.
    limit
        How many at most, up to 500.
    after
        Where the page before ended: its "after".
    """
    if owner is not None:
        owner = "" if owner == "nobody" else owner if ":" in owner else f"group:default/{owner}".lower()
    page = client.get(
        "/diff",
        since=from_,
        until=to,
        account=account,
        type=type,
        owner=owner,
        how=how,
        limit=limit,
        after=after,
    )
    span = f"{look.when(page['begin'])} to {look.when(page['end'])}"
    counts = ", ".join(f"{page[name]:,} {name}" for name in SIGN)
    parts: list[Any] = [Text.assemble((counts, "bold"), f"  {span}")]
    if not page["items"]:
        told = "Nothing differs." if not any(page[name] for name in SIGN) else "Nothing more."
        return Answer(page, look.render(*parts, Text(f"{told} What was observed when: uwu status", style="dim")))
    for item in page["items"]:
        parts += [Text(), *_item(item)]
    if page["after"]:
        parts += [Text(), Text(f"There is more: --after {page['after']}", style="dim")]
    return Answer(page, look.render(*parts))


def _item(item: dict[str, Any]) -> list[Text]:
    sign, style = SIGN[item["how"]]
    owner = item["owner"].split("/")[-1] or "nobody"
    name = item["name"] or look.inner(item["urn"])
    lines = look.hang(
        Text(f"{sign} ", style=style),
        Text.assemble((name, "bold"), f"  {item['type']}"),
        f"{item['account']} {item['region']}  {owner}  {item['urn']}",
    )
    for one in item["attributes"][:PATHS_SHOWN]:
        before, after = (look.value(one[side], limit=300) for side in ("before", "after"))
        told = Text.assemble((before, "blue"), " → ", (after, "yellow"))
        lines += look.hang(Text(f"    {one['path']}  ", style="dim"), told)
    left = len(item["attributes"]) - PATHS_SHOWN + item["more"]
    if left > 0:
        lines.append(Text(f"    and {left} more", style="dim"))
    for change in item["changes"]:
        who = change["actor"]["name"] or "unknown"
        through = f" through {change['through']}" if change["through"] else ""
        by = Text.assemble((who, "bold"), f", {change['name']}{through} {look.when(change['at'])}")
        lines += look.hang(Text("    by  ", style="dim"), by, change["event_id"])
    return lines
