"""``uwu own``: who owns what and why, how much is owned, and saying it once in the estate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich.text import Text

from uwu.app.cli import look
from uwu.domains.catalog import own as estate_rules
from uwu.kernel.domain import Answer, Client
from uwu.kernel.errors import BadInput

Here = Annotated[Client, Parameter(parse=False)]
ROWS = 15


def own(
    subject: str = "",
    *,
    to: str = "",
    reason: str = "",
    undo: bool = False,
    conflicts: bool = False,
    estate: Path = Path("estate"),
    dry_run: bool = False,
    limit: int = 50,
    client: Here,
) -> Answer:
    """Tell who owns a resource and why, or how much is owned; say in the estate who owns one.

    Without a subject: how much of each account is owned, and what each team has.
    With --to: writes a rule for this one resource into the estate, which overrules the
    evidence that says otherwise. Review it, commit it; the next sync settles it.

    Parameters
    ----------
    subject
        An ARN, an id or a name.
    to
        The team or the person that owns it from now on.
    reason
        Why, for who reads the rule.
    undo
        Remove the rule that names this one resource.
    conflicts
        List what evidence disagrees about and nobody has settled.
    estate
        The folder of the estate in which the rule is written.
    dry_run
        Show the change, write nothing.
    limit
        How many conflicts at most.
    """
    if not subject:
        if to or undo:
            raise BadInput("what is to be owned is not said", code="subject-missing", hint="uwu own ARN --to TEAM")
        return _conflicts(client, limit) if conflicts else _coverage(client)
    if to and undo:
        raise BadInput("--to and --undo exclude each other", code="option-conflict", hint="give one of them")
    found = client.get("/resource", subject=subject)
    urn, owned = found["resource"]["urn"], found["ownership"]
    if not to and not undo:
        return _told(urn, owned)
    evidence = [each for each in owned["evidence"] if not _of_the_rule(each)] if owned else []
    edit = estate_rules.give(estate, urn, to, reason, evidence) if to else estate_rules.take_back(estate, urn)
    value = {"urn": urn, "file": edit.file, "diff": edit.diff, "written": bool(edit.diff) and not dry_run}
    if not edit.diff:
        return Answer(value, f"{edit.file} says so already.")
    if dry_run:
        return Answer(value, f"{edit.diff}\nNothing is written: leave --dry-run away.")
    edit.write()
    return Answer(value, f"{edit.diff}\nWritten to {edit.file}. Commit it; uwu sync settles it.")


def oncall(team: str, *, client: Here) -> Answer:
    """Say who is on call for a team, until when, and who follows.

    Parameters
    ----------
    team
        The team: payments, or group:default/payments.
    """
    duty = client.get("/oncall", team=team)
    who = duty["user"] or "nobody yet"
    why = f"  in place of the rotation: {duty['reason'] or 'an override'}" if duty["override"] else ""
    text = Text.assemble((who, "bold"), f" until {duty['until']}, then {duty['next']}", (why, "yellow"))
    return Answer(duty, look.render(text))


def _of_the_rule(evidence: dict[str, Any]) -> bool:
    return evidence["kind"] == "estate" and evidence["source"].startswith("ownershiprule:")


def _told(urn: str, owned: dict[str, Any] | None) -> Answer:
    if owned is None:
        return Answer({"urn": urn, "ownership": None}, f"Who owns {urn} is not settled yet: uwu sync")
    lines = [Text(urn), Text()]
    if owned["owner"]:
        lines.append(Text.assemble("Owned by ", look.owner(owned["owner"]), f", by {owned['evidence'][0]['source']}"))
    else:
        lines.append(Text("Nobody owns it: nothing says who. uwu own ARN --to TEAM", style="yellow"))
    against = [(each["kind"], each["owner"], each["source"]) for each in owned["conflicts"]]
    rest = [e for e in owned["evidence"][1:] if (e["kind"], e["owner"], e["source"]) not in against]
    if against:
        lines += [Text(), Text("Against it", style="yellow")]
        lines += [Text.assemble("  ", look.owner(owner), f"  {kind}: {source}") for kind, owner, source in against]
        lines.append(Text("  uwu own ARN --to TEAM settles it", style="dim"))
    if rest:
        lines += [Text(), Text("Also")]
        lines += [Text.assemble("  ", look.owner(e["owner"]), f"  {e['kind']}: {e['source']}") for e in rest]
    return Answer({"urn": urn, "ownership": owned}, look.render(*lines))


def _conflicts(client: Client, limit: int) -> Answer:
    page = client.get("/ownership/conflicts", limit=limit)
    if not page["items"]:
        return Answer(page, "All evidence of who owns what agrees, or somebody has settled it.")
    rows = [
        (
            look.short(one["subject"]),
            look.owner(one["owner"]),
            one["strength"],
            look.owner(other["owner"]),
            other["source"],
        )
        for one in page["items"]
        for other in one["conflicts"]
    ]
    made = look.table(("resource", "owner", "by", "but", "says"), rows, whole=("owner", "but"), cut=("says",))
    rest = page["total"] - len(page["items"])
    more = f"{rest:,} more: --limit\n" if rest else ""
    return Answer(page, look.render(made, Text(), Text(f"{more}uwu own ARN --to TEAM settles one.", style="dim")))


def _coverage(client: Client) -> Answer:
    told = client.get("/ownership")
    if not told["resources"]:
        return Answer(told, "Nothing is observed yet that somebody could own: uwu sync")
    part = 100 * told["owned"] / told["resources"]
    head = f"{part:.1f}% of {told['resources']:,} resources are owned"
    head += f"; evidence disagrees about {told['conflicts']:,}: uwu own --conflicts" if told["conflicts"] else ""
    accounts = [
        (
            each["name"] or each["account"],
            each["account"],
            _pct(each["owned"], each["resources"]),
            f"{each['resources']:,}",
            f"{each['resources'] - each['owned']:,}",
            f"{each['conflicts']:,}" if each["conflicts"] else "",
        )
        for each in told["accounts"][:ROWS]
    ]
    owners = [
        (look.owner(each["owner"]), f"{each['resources']:,}", _pct(each["said"], each["resources"]))
        for each in told["owners"][:ROWS]
    ]
    numbers = ("owned", "resources", "unowned", "conflicts")
    left = look.table(("account", "id", *numbers), accounts, numbers=numbers, whole=("account",))
    right = look.table(("owner", "resources", "said"), owners, numbers=("resources", "said"), whole=("owner",))
    note = "said: by name, rule, tag, state, stack or CODEOWNERS; the rest follows from maker, account or creator"
    return Answer(told, look.render(Text(head), Text(), left, Text(), right, Text(), Text(note, style="dim")))


def _pct(part: int, of: int) -> str:
    return f"{100 * part / of:.1f}%" if of else "-"
