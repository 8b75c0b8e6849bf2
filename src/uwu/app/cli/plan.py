"""``uwu plan``: ask for changes, review them, decide, apply, take back."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import quote

from cyclopts import App, Parameter
from rich.text import Text

from uwu.app.cli import look
from uwu.kernel import codec
from uwu.kernel.domain import Answer, Client
from uwu.kernel.errors import BadInput

Here = Annotated[Client, Parameter(parse=False)]
Status = Literal[
    "open", "waiting", "approved", "applying", "applied", "failed", "rejected", "withdrawn", "expired", "void", "all"
]

STYLE = {
    "waiting": "yellow",
    "approved": "cyan",
    "applying": "cyan",
    "applied": "green",
    "failed": "red",
    "rejected": "red",
    "void": "dim",
    "expired": "dim",
    "withdrawn": "dim",
}
SIGN = {"create": "+", "update": "~", "replace": "±", "delete": "-"}
REACH_SHOWN = 6
HASH_CHARACTERS = 8
"""The fewest of a hash that name it: who decides has looked."""

plan = App(name="plan", help="Ask for changes, decide them, apply them, take them back.", help_format="plaintext")


@plan.command
def mend(finding: str, *, reason: str = "", owner: str = "", force: bool = False, client: Here) -> Answer:
    """Ask for the plan that mends a finding.

    Parameters
    ----------
    finding
        Its id, as `uwu findings` shows it.
    reason
        Why; the finding's own title where none is given.
    owner
        The group that shall own the resource, for a finding that nobody owns it.
    force
        Ask for it although it passes the safety limit; needs the right to.
    """
    told = client.get(f"/findings/{quote(finding, safe='')}")
    planners = client.get("/planners", finding=finding)
    if not planners:
        raise BadInput(
            f"no planner can mend {finding}: {told['title']}",
            code="finding-unmendable",
            hint=told["remedy"] or "mend it by hand",
        )
    planner = planners[0]
    given = {"owner": owner} if owner else {}
    missing = [name for name in planner["asks"] if name not in given]
    if missing:
        raise BadInput(
            f"{planner['title']} must be told the {missing[0]}",
            code="request-incomplete",
            hint=f"uwu plan mend {finding} --{missing[0]} NAME",
        )
    body = {
        "planner": planner["name"],
        "request": {"findings": [finding], **given},
        "reason": reason or f"mend: {told['title']}",
        "force": force,
    }
    return _asked(client.post("/plans", body))


@plan.command
def request(planner: str, wanted: str, *, reason: str, force: bool = False, client: Here) -> Answer:
    """Ask a planner for a plan.

    Parameters
    ----------
    planner
        Its name; a name that there is not tells which there are.
    wanted
        What it is asked, as JSON: '{"findings": ["f_0a1b"]}'.
    reason
        Why.
    force
        Ask for it although it passes the safety limit; needs the right to.
    """
    try:
        given = codec.decode(wanted)
    except ValueError as error:
        raise BadInput(
            f"the request is no JSON: {error}", code="request-invalid", hint="""write it as '{"findings": [...]}'"""
        ) from None
    body = {"planner": planner, "request": given, "reason": reason, "force": force}
    return _asked(client.post("/plans", body))


@plan.command(name="list")
def list_(*, status: Status = "open", mine: bool = False, limit: int = 50, client: Here) -> Answer:
    """List plans, the newest first.

    Parameters
    ----------
    status
        open: waiting, approved or being applied.
    mine
        Only those that wait for my decision.
    limit
        How many at most, up to 500.
    """
    page = client.get("/plans", status="" if status == "all" else status, mine=mine, limit=limit)
    rows = [
        (
            f"{each['number']}",
            Text(each["status"], style=STYLE[each["status"]]),
            Text(each["title"] + (" (forced)" if each["forced"] else "")),
            str(each["changes"]),
            f"{each['approvals']}/{each['approvals_needed']}",
            Text(", ".join(map(_name, each["owners"])) or "nobody"),
            _name(each["requested_by"]),
            look.age(each["requested_at"]),
        )
        for each in page["items"]
    ]
    if not rows:
        none = "No plan waits for you." if mine else f"There is no {'' if status == 'all' else status + ' '}plan."
        return Answer(page, f"{none} uwu findings tells what is not as it should be; uwu plan mend FINDING plans.")
    columns = ("no", "is", "plan", "changes", "approved", "owner", "asked by", "age")
    shown = look.table(columns, rows, numbers=("no", "changes", "approved", "age"), whole=("is",))
    more = [Text(f"{page['total'] - len(rows)} more", style="dim")] if page["total"] > len(rows) else []
    return Answer(page, look.render(shown, *more))


@plan.command
def show(plan: str, *, client: Here) -> Answer:
    """Show what a plan would change, who must approve, and the hash that an approval binds.

    Parameters
    ----------
    plan
        Its number or id.
    """
    told = _get(client, plan)
    return Answer(told, look.render(*_shown(told)))


@plan.command
def approve(plan: str, hash: str, *, comment: str = "", client: Here) -> Answer:
    """Approve a plan that another asked for.

    Parameters
    ----------
    plan
        Its number or id.
    hash
        The hash that `uwu plan show` told: its first 8 characters or more. Another plan is not decided by it.
    comment
        What the others should know.
    """
    return _decide(client, plan, "approve", hash, comment)


@plan.command
def reject(plan: str, hash: str, *, comment: str = "", client: Here) -> Answer:
    """Reject a plan: one rejection is enough.

    Parameters
    ----------
    plan
        Its number or id.
    hash
        The hash that `uwu plan show` told: its first 8 characters or more. Another plan is not decided by it.
    comment
        Why.
    """
    return _decide(client, plan, "reject", hash, comment)


@plan.command
def withdraw(plan: str, *, client: Here) -> Answer:
    """Take back a plan that you asked for and that was not applied.

    Parameters
    ----------
    plan
        Its number or id.
    """
    told = client.post(f"/plans/{_id(plan)}/withdraw")
    return Answer(told, f"Plan {told['number']} is withdrawn.")


@plan.command
def apply(plan: str, *, hash: str = "", client: Here) -> Answer:
    """Apply an approved plan, and observe again what it touched: the proof.

    Parameters
    ----------
    plan
        Its number or id.
    hash
        The hash that you looked at, whole or its beginning; without it, the plan as it is now.
    """
    seen = _get(client, plan)
    client.start(f"/plans/{seen['id']}/apply", {"hash": _bound(seen, hash) if hash else seen["hash"]})
    told = _get(client, seen["id"])
    return Answer(told, look.render(*_applied(told)), exit_code=0 if told["status"] == "applied" else 1)


@plan.command
def undo(plan: str, *, reason: str = "", force: bool = False, client: Here) -> Answer:
    """Ask for a plan that takes back an applied one; it needs approval like any other.

    Parameters
    ----------
    plan
        The number or id of the applied plan.
    reason
        Why.
    force
        Ask for it although it passes the safety limit; needs the right to.
    """
    seen = _get(client, plan)
    body = {"reason": reason or f"take back plan {seen['number']}", "force": force}
    return _asked(client.post(f"/plans/{seen['id']}/undo", body))


def _id(plan: str) -> str:
    return quote(plan.removeprefix("#"), safe="")


def _get(client: Client, plan: str) -> dict[str, Any]:
    return client.get(f"/plans/{_id(plan)}")


def _bound(seen: dict[str, Any], hash: str) -> str:
    """The whole hash that ``hash`` begins; the server refuses one that is not the plan's."""
    if seen["hash"].startswith(hash.lower()) and len(hash) >= HASH_CHARACTERS:
        return seen["hash"]
    raise BadInput(
        f"plan {seen['number']} has the hash {seen['hash']}; {hash!r} does not name it",
        code="plan-changed",
        hint=f"look at it again: uwu plan show {seen['number']}",
    )


def _decide(client: Client, plan: str, decision: str, hash: str, comment: str) -> Answer:
    seen = _get(client, plan)
    body = {"hash": _bound(seen, hash), "comment": comment}
    told = client.post(f"/plans/{seen['id']}/{decision}", body)
    number = told["number"]
    if told["status"] == "approved":
        text = f"Plan {number} is approved. Apply it: uwu plan apply {number}"
    elif told["status"] == "rejected":
        text = f"Plan {number} is rejected."
    else:
        text = f"You approved plan {number}. It still waits for {_waits_for(told)}."
    return Answer(told, text)


def _waits_for(told: dict[str, Any]) -> str:
    return ", ".join(_group(slot) for slot in told["slots"] if not slot["by"]) or "nobody"


def _group(slot: dict[str, Any]) -> str:
    return _name(slot["group"]) if slot["group"] else slot["label"]


def _name(ref: str) -> str:
    """``mira.k`` of ``user:default/mira.k``."""
    return ref.rpartition("/")[2]


def _asked(told: dict[str, Any]) -> Answer:
    if told["plan"] is None:
        return Answer(told, told["told"])
    number = told["plan"]["number"]
    hash = told["plan"]["hash"][:HASH_CHARACTERS]
    waits = told["plan"]["status"] == "waiting"
    ways = f"Another approves it: uwu plan approve {number} {hash}" if waits else ""
    return Answer(
        told, look.render(Text(told["told"]), Text(), *_shown(told["plan"]), Text(), Text(ways, style="cyan"))
    )


# ---- how a plan looks


def _shown(told: dict[str, Any]) -> list[Text]:
    lines = [
        Text.assemble(
            (f"Plan {told['number']}", "bold"),
            f"  {told['title']}  ",
            (told["status"], STYLE[told["status"]]),
            ("  forced", "bold red") if told["forced"] else "",
        ),
        Text(f"{_name(told['requested_by'])} asked {look.ago(told['requested_at'])}: {told['reason']}", style="dim"),
    ]
    if told["why"]:
        lines.append(Text(told["why"], style="red" if told["status"] in ("failed", "rejected") else "yellow"))
    lines.append(Text())
    for change in told["changes"]:
        lines += _change(change)
    lines += [Text(f"  note  {note}", style="yellow") for note in told["notes"]]
    lines += [Text(), *_frame(told)]
    return lines


def _change(change: dict[str, Any]) -> list[Text]:
    where = " ".join(part for part in (change["account_name"] or change["account"], change["region"]) if part)
    status = "" if change["status"] == "waits" else f"  {change['status']}"
    style = {"failed": "red", "done": "green", "already": "green"}.get(change["status"], "dim")
    lines = [
        Text.assemble(
            (f"{SIGN[change['action']]} ", "bold"),
            change["title"] or change["action"],
            (f"  {change['name']}  {where}", "dim"),
            (status, style),
        )
    ]
    for name, value, ink in (("now", change["before"], "yellow"), ("then", change["after"], "blue")):
        lines += look.hang(Text(f"  {name:>5}  ", style="dim"), Text(_value(value), style=ink))
    if change["problem"]:
        problem = change["problem"]
        lines += look.hang(Text("  error  ", style="red"), Text(f"{problem['message']} [{problem['code']}]"))
        if problem.get("hint"):
            lines += look.hang(Text("   hint  ", style="cyan"), Text(problem["hint"]))
    return lines


def _value(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return ", ".join(f"{key} {'unset' if each is None else look.value(each)}" for key, each in value.items())
    return look.value(value, limit=1000)


def _frame(told: dict[str, Any]) -> list[Text]:
    """What surrounds the changes: who feels it, how much of its scope it is, who must agree, what is bound."""
    lines: list[Text] = []
    safety = told["safety"]
    if told["reach_total"]:
        names = [each["name"] or look.short(each["urn"]) for each in told["reach"][:REACH_SHOWN]]
        rest = f" and {told['reach_total'] - len(names)} more" if told["reach_total"] > len(names) else ""
        lines += look.hang(Text("  reach  ", style="dim"), Text(", ".join(names) + rest))
    limit = f" (the limit is {safety['limit_percent']:g}%)" if safety["applies"] else ""
    share = f"changes or deletes {safety['touched']} of {safety['total']} in scope{limit}"
    lines += look.hang(Text(" safety  ", style="dim"), Text(share + (", forced" if safety["forced"] else "")))
    for slot in told["slots"]:
        by = Text(_name(slot["by"]), style="green") if slot["by"] else Text("waits", style="yellow")
        who = f"{_group(slot)} ({slot['label']})" if slot["group"] else slot["label"]
        lines += look.hang(Text("approve  ", style="dim"), Text.assemble(who, ": ", by))
    lines += look.hang(Text(" policy  ", style="dim"), Text("; ".join(told["policy"])))
    lines += look.hang(Text("   hash  ", style="dim"), Text(told["hash"]))
    if told["status"] in ("waiting", "approved"):
        lines += look.hang(Text("expires  ", style="dim"), Text(look.when(told["expires_at"])))
    return lines


def _applied(told: dict[str, Any]) -> list[Text]:
    number, counts = told["number"], (told["proof"] or {}).get("counts", {})
    said = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    lines = [
        Text.assemble(
            (f"Plan {number} is ", "bold"), (told["status"], STYLE[told["status"]]), f": {said or told['why']}"
        )
    ]
    lines += [line for change in told["changes"] if change["status"] == "failed" for line in _change(change)]
    proof = told["proof"] or {}
    for finding in proof.get("closed", ()):
        lines.append(Text.assemble(("  closed  ", "green"), finding["title"], (f"  {finding['id']}", "dim")))
    for finding in proof.get("open", ()):
        lines.append(Text.assemble(("  open    ", "yellow"), finding["title"], (f"  {finding['id']}", "dim")))
    for problem in proof.get("problems", ()):
        lines.append(Text(f"  not observed again: {problem['message']}", style="yellow"))
    if told["status"] in ("applied", "failed") and counts.get("done") and not told["may"]["undo"]:
        lines.append(Text(f"Take it back: uwu plan undo {number}", style="dim"))
    return lines
