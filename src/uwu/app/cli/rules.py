"""``uwu rules``: what is judged and why, what could not be, and what is exempt."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

from cyclopts import App, Parameter
from rich.text import Text

from uwu.app.cli import look
from uwu.kernel import codec, moments
from uwu.kernel.domain import Answer, Client

Here = Annotated[Client, Parameter(parse=False)]

rules = App(name="rules", help="See what is judged and why; exempt from it until a day.", help_format="plaintext")


@rules.default
def show(id: str = "", *, all: bool = False, client: Here) -> Answer:
    """List the rules that found something or could not judge, or tell all of one.

    Parameters
    ----------
    id
        A rule: inventory.bucket-public.
    all
        List every rule, those with nothing to tell too.
    """
    if id:
        return _one(client, id)
    rows = _every(client, "/rules")
    shown = [row for row in rows if all or row["open"] or row["exempt"] or row["unjudged"]]
    told = {"items": shown, "total": len(rows)}
    if not shown:
        judged = any(row["judged_at"] for row in rows)
        said = "and none has found anything" if judged else "once something is observed: uwu sync"
        return Answer(told, f"{len(rows)} rules judge, {said}.\nuwu rules --all lists them.")
    lines = [
        (
            look.severity(row["worst"]) if row["worst"] else Text(row["severity"], style="dim"),
            Text("-" if row["blind"] and not row["open"] else f"{row['open']:,}", style="" if row["open"] else "dim"),
            f"{row['exempt']:,}" if row["exempt"] else "",
            Text(f"{row['unjudged']:,}" if row["unjudged"] else "", style="yellow"),
            Text(row["title"] if row["enabled"] else f"{row['title']} (off)", style="" if row["enabled"] else "dim"),
            Text(row["id"], style="dim"),
        )
        for row in shown
    ]
    columns = ("worst", "open", "exempt", "not judged", "rule", "id")
    made = look.table(columns, lines, numbers=("open", "exempt", "not judged"), whole=("worst", "id"))
    rest = [row for row in rows if row not in shown]
    blind = sum(row["blind"] for row in rest)
    unseen = f", {blind} of them because nothing they look at was observed" if blind else ""
    note = f"{len(rest)} more found nothing{unseen}: uwu rules --all\n" if rest else ""
    return Answer(told, look.render(made, Text(), Text(f"{note}uwu rules ID tells all of one.", style="dim")))


def _every(client: Client, path: str, **asked: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    after = ""
    while True:
        page = client.get(path, **asked, limit=200, after=after)
        rows += page["items"]
        after = page["after"]
        if not after:
            return rows


def _one(client: Client, id: str) -> Answer:
    row = client.get(f"/rules/{quote(id, safe='')}")
    held = _every(client, "/exemptions", rule=id)
    severity = row["severity"] + (f", higher {row['rises']}" if row["rises"] else "")
    parts: list[Any] = [
        Text.assemble((row["title"], "bold"), ("" if row["enabled"] else "  off: the settings say so", "yellow")),
        Text(row["id"] + (f"  {row['theme']}" if row["theme"] else ""), style="dim"),
    ]
    if row["why"]:
        parts += [Text(), *look.hang(Text(), Text(row["why"]))]
    parts.append(Text())
    for label, told, style in (
        ("severity", severity, look.SEVERITY_STYLE.get(row["severity"], "")),
        ("fix", row["remedy"], "cyan"),
        ("planner", row["planner"], ""),
        ("also", ", ".join(row["references"]), ""),
        ("looks at", ", ".join(row["types"]), ""),
    ):
        if told:
            parts += look.hang(Text(f"{label:>9}  ", style="dim"), Text(told, style=style))
    found = f"{row['open']:,} open" + (f", {row['exempt']:,} exempt" if row["exempt"] else "")
    more = f": uwu findings --rule {id}" if row["open"] else ""
    nothing = "Not known: nothing that it looks at was observed." if row["judged_at"] else "It has not judged yet."
    known = row["judged_at"] and (row["open"] or not row["blind"])
    parts += [Text(), Text(found + more if known else nothing)]
    if row["reasons"]:
        parts += [Text(), Text(f"Not judged: {row['unjudged']:,}", style="bold")]
        for reason in row["reasons"]:
            lead = Text(f"  {reason['count']:>5,}  ", style="yellow")
            parts += look.hang(lead, Text(f"{reason['type']}: {reason['why']}"), ", ".join(reason["subjects"][:1]))
    if row["unseen"]:
        parts += [Text(), Text("Not observed completely", style="bold")]
        parts += [Text(f"  {one['cells'] or '-':>5}  {one['type']}: {one['status']}") for one in row["unseen"]]
    if held:
        parts += [Text(), Text("Exempt", style="bold")]
        for one in held:
            said = f"{_what(one)} until {_last_day(one)}: {one['reason']}"
            parts += look.hang(Text("  "), Text(said), f"{one['made_by']}, {one['id']}")
    return Answer({**row, "exemptions": held}, look.render(*parts))


def _what(one: dict[str, Any]) -> str:
    return one["subject"] or f"account {one['account']}"


def _last_day(one: dict[str, Any]) -> str:
    return moments.last_day(codec.parse_time(one["until"])).isoformat()


@rules.command
def exempt(rule: str, *, subject: str = "", account: str = "", until: str, reason: str, client: Here) -> Answer:
    """Hide what a rule finds of a resource, or of an account, until a day. It comes back by itself.

    Parameters
    ----------
    rule
        A rule's id, or a pattern in quotes: 'inventory.database-*'.
    subject
        An ARN, an id, a name: whatever names one resource.
    account
        An account's id, for everything in it; instead of a subject.
    until
        The last day (UTC): 2027-01-31.
    reason
        Why it may be so until then: others read it.
    """
    asked = {"rule": rule, "subject": subject, "account": account, "until": until, "reason": reason}
    made = client.post("/exemptions", asked)
    told = f"{_what(made)} is exempt from {rule} until {_last_day(made)}."
    return Answer(made, f"{told}\nuwu rules end {made['id']} ends it before.")


@rules.command
def end(id: str, *, client: Here) -> Answer:
    """End an exemption before its time: its findings are back at once.

    Parameters
    ----------
    id
        As uwu rules exemptions lists it.
    """
    ended = client.post(f"/exemptions/{quote(id, safe='')}/end")
    return Answer(ended, f"{_what(ended)} is no longer exempt from {ended['rule']}.")


@rules.command
def exemptions(*, rule: str = "", ended: bool = False, client: Here) -> Answer:
    """List what is exempt, the first to end first.

    Parameters
    ----------
    rule
        Those that exempt from this rule, patterns too.
    ended
        Those that have ended too.
    """
    items = _every(client, "/exemptions", rule=rule, ended=ended)
    told = {"items": items, "total": len(items)}
    if not items:
        nothing = f"Nothing is exempt from {rule}." if rule else "Nothing is exempt."
        return Answer(told, f"{nothing}\nuwu rules exempt RULE --subject NAME --until DAY --reason TEXT exempts.")
    rows = [
        (
            Text(
                _last_day(one) if one["ended_at"] is None else "ended", style="" if one["ended_at"] is None else "dim"
            ),
            Text(one["rule"]),
            Text(_what(one)),
            Text(one["reason"]),
            Text(one["made_by"].rpartition("/")[2]),
            Text(one["id"], style="dim"),
        )
        for one in items
    ]
    made = look.table(("until", "rule", "what", "reason", "by", "id"), rows, whole=("until", "id"))
    return Answer(told, look.render(made))
