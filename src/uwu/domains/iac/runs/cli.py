"""``uwu iac plan``, ``apply``, ``drift``, ``runs``, ``run``, ``log``, ``cancel``, ``retry``."""

from __future__ import annotations

import json
from typing import Annotated, Any

from cyclopts import App, Parameter

from uwu.kernel.domain import Answer, Client
from uwu.kernel.errors import Conflict, NotFound

_Client = Annotated[Client, Parameter(parse=False)]
SIGNS = {"create": "+", "update": "~", "replace": "-/+", "delete": "-", "read": "<=", "forget": "."}
SHOWN = 40
NOT_PLANNED = {"failed": 1, "refused": 9, "cancelled": 1, "discarded": 1}
"""Exit statuses of ``uwu iac plan``."""


def add(app: App) -> None:
    """The commands, on ``app``."""
    for command in (plan, apply, drift, runs, run, log, cancel, retry):
        app.command(command)


def plan(
    stack: str,
    *,
    reason: str = "",
    destroy: bool = False,
    speculative: bool = False,
    revision: str = "",
    force: bool = False,
    client: _Client,
) -> Answer:
    """Plan a stack with Terraform in a worker, and ask for approval of what it would change.

    Exit status: 0 planned or nothing to change, 1 failed, 9 refused by a rule or the safety limit.

    Parameters
    ----------
    stack
        Its name or reference: payments, default/payments.
    reason
        Why, for those who approve.
    destroy
        Plan to destroy all that the state holds.
    speculative
        Only look: nothing of it is ever applied.
    revision
        A commit, where the configuration lies in a repository.
    force
        Pass the safety limit of plans; for admins.
    """
    body = {
        "reason": reason,
        "destroy": destroy,
        "speculative": speculative,
        "revision": revision,
        "force": force,
    }
    name = stack.removeprefix("stack:")
    result = client.start(f"/iac/stacks/{name if '/' in name else f'default/{name}'}/runs", body)
    return _told(client, str(result["run"]))


def drift(stack: str, *, noise: bool = False, revision: str = "", client: _Client) -> Answer:
    """Look what was changed outside of Terraform: `plan -refresh-only` in a worker. Nothing is changed.

    Exit status: 0 as the state says, 1 failed, 2 something drifted.

    Parameters
    ----------
    stack
        Its name or reference: payments, default/payments.
    noise
        Tell noise too, each with the rule by which it is none.
    revision
        A commit, where the configuration lies in a repository.
    """
    name = stack.removeprefix("stack:")
    body = {"refresh_only": True, "speculative": True, "revision": revision, "reason": "look for drift"}
    result = client.start(f"/iac/stacks/{name if '/' in name else f'default/{name}'}/runs", body)
    head = client.get(f"/iac/runs/{result['run']}")
    if head["status"] not in ("drifted", "clean"):
        return Answer(head, f"{_head(head)}\nThe log: uwu iac log {head['number']}", 1)
    found = client.get(f"/iac/runs/{head['id']}/plan")
    told = [each for each in found["drifted"] if noise or not each["noise"]]
    quiet = sum(1 for each in found["drifted"] if each["noise"])
    lines = [_head(head), *(line for each in told for line in _drifted(each))]
    if head["status"] == "clean":
        lines.append("The world is as the state says.")
    if quiet and not noise:
        lines.append(f"{quiet} more are noise: --noise tells them")
    return Answer(found, "\n".join(lines), 2 if head["status"] == "drifted" else 0)


def _drifted(each: dict[str, Any]) -> list[str]:
    quiet = f"  (noise: {each['noise']})" if each["noise"] else ""
    if each["kind"] == "gone":
        return [f"  -  {each['address']} does not exist{quiet}"]
    what = f"output {each['address']}" if each["kind"] == "output" else f"{each['address']} {each['path']}"
    return [f"  ~  {what}: {_short(each['before'])} -> {_short(each['after'])}{quiet}"]


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 100 else text[:99] + "…"


def _told(client: Client, id: str) -> Answer:
    found = client.get(f"/iac/runs/{id}")
    text = [_head(found)]
    value: dict[str, Any] = {"run": found}
    if found["summary"]:
        value = client.get(f"/iac/runs/{id}/plan")
        text += _changes(value) + _policy(value) + _radius(value)
    if found["status"] == "planned" and found["plan_number"]:
        text += ["", f"Plan {found['plan_number']} is {found['plan_status']}: uwu plan show {found['plan_number']}"]
        text.append(f"Once it is approved: uwu iac apply {found['number']}")
    elif found["status"] in NOT_PLANNED:
        text += ["", f"The log: uwu iac log {found['number']}"]
    return Answer(value, "\n".join(text), NOT_PLANNED.get(found["status"], 0))


def _head(found: dict[str, Any]) -> str:
    why = f": {found['why']}" if found["why"] else ""
    return f"run {found['number']} of {found['stack'].removeprefix('stack:')}: {found['status']}{why}"


def _changes(found: dict[str, Any]) -> list[str]:
    lines: list[str] = []
    for each in found["changes"][:SHOWN]:
        forced = f"  (forced by {', '.join(each['forces'])})" if each.get("forces") else ""
        lines.append(f"  {SIGNS.get(each['op'], '?'):>3} {each['address']}{forced}")
    if found["changes_total"] > SHOWN:
        lines.append(f"      and {found['changes_total'] - SHOWN} more")
    if found["drift"]:
        lines.append(f"{len(found['drift'])} changed outside of Terraform:")
        lines += [f"      {each['address']}: {', '.join(each.get('changed', ()))}" for each in found["drift"][:SHOWN]]
    return lines


def _policy(found: dict[str, Any]) -> list[str]:
    lines: list[str] = []
    for each in found["violations"]:
        word = "exempt" if each["exemption"] else "stops it" if each["mandatory"] else "look at"
        lines.append(f"  {word:>8}  {each['severity']:<8} {each['rule']}  {each['address']}: {each['message']}")
    return ["policy", *lines] if lines else []


def _radius(found: dict[str, Any]) -> list[str]:
    radius = found["radius"]
    if not radius["gone"]:
        return []
    more = "" if radius["complete"] else "; the graph is not known whole, there may be more"
    lines = [f"blast radius: {radius['total']} depend on what is destroyed or replaced{more}"]
    for each in radius["dependents"][:SHOWN]:
        hops = " <- ".join(f"{h['kind']} ({h['evidence']})" for h in each["path"])
        lines.append(f"  {each['category']:<13} {each['name']}  of {each['owner'] or 'nobody'}: {hops}")
    if radius["total"] > SHOWN:
        lines.append(f"  and {radius['total'] - SHOWN} more")
    return lines


def apply(run: str, *, client: _Client) -> Answer:
    """Apply exactly the plan file of a run, once its plan is approved.

    Parameters
    ----------
    run
        The number of a run, or a stack: its newest run that was planned.
    """
    found = _of(client, run)
    if not found["plan"]:
        raise Conflict(
            f"run {found['number']} is {found['status']}: there is nothing to apply",
            code="run-not-planned",
            hint=f"uwu iac plan {found['stack'].removeprefix('stack:')}",
        )
    client.start(f"/plans/{found['plan']}/apply", {})
    done = client.get(f"/iac/runs/{found['id']}")
    text = _head(done)
    proof = (done["outcomes"] or {}).get("proof")
    if proof:
        text += f"\n{proof}"
    if done["status"] != "applied":
        text += f"\nThe log: uwu iac log {done['number']}"
    return Answer(done, text, 0 if done["status"] == "applied" else 1)


def _of(client: Client, text: str) -> dict[str, Any]:
    """The run of a number or an id; for a stack its newest one that was planned."""
    if text.removeprefix("#").isdigit() or text.startswith("run_"):
        return client.get(f"/iac/runs/{text.removeprefix('#')}")
    found = client.get("/iac/runs", stack=text, status="planned", limit=20)
    planned = [each for each in found["items"] if each["plan"]]
    if not planned:
        raise NotFound(
            f"no run of {text} waits to be applied", code="run-unknown", hint=f"uwu iac plan {text} makes one"
        )
    return planned[0]


def runs(*, stack: str = "", status: str = "", limit: int = 30, client: _Client) -> Answer:
    """List runs, the newest first.

    Parameters
    ----------
    stack
        Of this stack only.
    status
        queued, planning, planned, applying, applied, clean, refused, discarded, failed or cancelled.
    limit
        How many at most.
    """
    found = client.get("/iac/runs", stack=stack, status=status, limit=limit)
    if not found["items"]:
        told = "No run is like that." if stack or status else "Nothing was run yet: uwu iac plan STACK begins."
        return Answer(found, told)
    rows = [("RUN", "STACK", "STATUS", "CHANGES", "PLAN", "ASKED BY", "AT")]
    rows += [
        (
            str(each["number"]),
            each["stack"].removeprefix("stack:"),
            each["status"] + (" (speculative)" if each["speculative"] else ""),
            _counts(each["summary"]),
            f"{each['plan_number']} {each['plan_status']}" if each["plan_number"] else "-",
            each["requested_by"],
            each["requested_at"][:16].replace("T", " "),
        )
        for each in found["items"]
    ]
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    text = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
    return Answer(found, "\n".join(text))


def _counts(summary: dict[str, Any] | None) -> str:
    if not summary:
        return "-"
    counts = summary["counts"]
    return f"+{counts['create']} ~{counts['update']} -/+{counts['replace']} -{counts['delete']}"


def run(run: str, *, client: _Client) -> Answer:
    """Show a run: what it would change, which rules it breaks, what depends on what it destroys.

    Parameters
    ----------
    run
        Its number, or a stack: its newest run that was planned.
    """
    answer = _told(client, _of(client, run)["id"])
    return Answer(answer.value, answer.text)


def log(run: str, *, after: int = 0, client: _Client) -> Answer:
    """Print the log of a run. Secrets that are known stand in it as marks.

    Parameters
    ----------
    run
        Its number.
    after
        From the line after this one.
    """
    id, lines = _of(client, run)["id"], []
    while True:
        found = client.get(f"/iac/runs/{id}/log", after_line=after, limit=5000)
        lines += found["items"]
        if len(found["items"]) < 5000:
            break
        after = found["last"]
    text = [f"{each['at'][11:19]} {each['phase']:<5} {each['level']:<7} {each['message']}" for each in lines]
    return Answer(lines, "\n".join(text) or "It has said nothing.")


def cancel(run: str, *, client: _Client) -> Answer:
    """Cancel a run: what waits never begins, what is applied ends what it has begun and writes the state.

    Parameters
    ----------
    run
        Its number.
    """
    found = client.post(f"/iac/runs/{_of(client, run)['id']}/cancel", {})
    stops = "" if found["status"] in ("cancelled", "discarded") else "; it is told to stop"
    return Answer(found, f"{_head(found)}{stops}")


def retry(run: str, *, client: _Client) -> Answer:
    """Plan the same again, once a run has ended.

    Parameters
    ----------
    run
        Its number.
    """
    result = client.start(f"/iac/runs/{_of(client, run)['id']}/retry", {})
    return _told(client, str(result["run"]))
