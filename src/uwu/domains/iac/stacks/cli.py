"""``uwu iac coverage``, ``stack``, ``output``, ``import``."""

from __future__ import annotations

import json
from typing import Annotated, Any

from cyclopts import App, Parameter

from uwu.kernel.domain import Answer, Client
from uwu.kernel.errors import NotFound

_Client = Annotated[Client, Parameter(parse=False)]
SHOWN = 20


def add(app: App) -> None:
    """The commands, on ``app``."""
    app.command(coverage)
    app.command(stack)
    app.command(output)
    app.command(import_, name="import")


def _path(stack: str) -> str:
    from urllib.parse import quote

    name = stack.removeprefix("stack:")
    namespace, _, name = (name if "/" in name else f"default/{name}").partition("/")
    return f"/iac/stacks/{quote(namespace, safe='')}/{quote(name, safe='')}"


def coverage(*, client: _Client) -> Answer:
    """Tell how much of what is observed a state holds: by account, by owner, by type.

    What AWS makes by itself is not counted.
    """
    found = client.get("/iac/coverage")
    if not found["total"]:
        return Answer(found, "Nothing was observed yet: uwu sync")
    lines = [f"{found['managed']:,} of {found['total']:,} resources are in a state: {_percent(found)}"]
    for title, name in (("account", "accounts"), ("owner", "owners"), ("type", "types")):
        rows = found[name]
        lines += ["", f"{title.upper():<44} {'MANAGED':>8} {'OF':>8} {'':>6}"]
        for each in rows[:SHOWN]:
            told = each["name"].removeprefix("group:") or "nobody"
            lines.append(f"{told:<44} {each['managed']:>8,} {each['total']:>8,} {_percent(each):>6}")
        if len(rows) > SHOWN:
            lines.append(f"and {len(rows) - SHOWN} more: --json tells all")
    if found["managed"] < found["total"]:
        lines += ["", "What no state holds: uwu findings --rule drift.undeclared; uwu iac import STACK --dry-run"]
    return Answer(found, "\n".join(lines))


def _percent(each: dict[str, Any]) -> str:
    managed, total = each["managed"], each["total"]
    return f"{100.0 if managed >= total else min(99.9, 100 * managed / total):.1f}%"


def stack(stack: str, *, client: _Client) -> Answer:
    """Show a stack: its inputs and outputs, what it needs, who needs it.

    Parameters
    ----------
    stack
        Its name or reference: payments, default/payments.
    """
    found = client.get(_path(stack))
    lines = [
        found["ref"].removeprefix("stack:"),
        f"owner      {found['owner'] or 'nobody'}",
        f"state      {', '.join(found['states'])}",
    ]
    lines += [f"inputs     {'as of run ' + str(found['planned']) if found['planned'] else 'no run has planned it yet'}"]
    for each in found["inputs"]:
        told = [each.get("description", ""), "required" if each.get("required") else ""]
        told += ["sensitive"] if each.get("sensitive") else []
        lines.append(f"  {each['name']:<28} {', '.join(filter(None, told))}".rstrip())
    lines += ["outputs", *_outputs(found)]
    for title, name in (("needs", "needs"), ("needed by", "dependents")):
        lines += [title, *(f"  {each['stack'].removeprefix('stack:'):<28} {each['how']}" for each in found[name])]
        if not found[name]:
            lines.append("  nothing that is known")
    lines += [f"problem: {each}" for each in found["problems"]]
    return Answer(found, "\n".join(lines))


def _outputs(found: dict[str, Any]) -> list[str]:
    return [f"  {each['name']:<28} {_short(each['value'])}" for each in found["outputs"]] or ["  none"]


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 100 else text[:99] + "…"


def output(stack: str, name: str = "", *, client: _Client) -> Answer:
    """List the outputs of a stack, or print the value of one.

    A sensitive one is printed to whoever may read the stack's secrets; the audit tells that they did.

    Parameters
    ----------
    stack
        Its name or reference: payments, default/payments.
    name
        The output. Text is printed as it is, anything else as JSON.
    """
    found = client.get(_path(stack))
    if not name:
        return Answer(found["outputs"], "\n".join(_outputs(found)) if found["outputs"] else "It has no outputs.")
    one = next((each for each in found["outputs"] if each["name"] == name), None)
    if one is None:
        raise NotFound(
            f"{found['ref']} has no output {name[:80]!r}", code="output-unknown", hint=f"uwu iac output {stack}"
        )
    value = one["value"]
    if one["sensitive"]:
        from urllib.parse import quote

        value = client.post(f"{_path(stack)}/outputs/{quote(name, safe='')}/reveal")["value"]
    return Answer(value, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def import_(stack: str, *, resource: tuple[str, ...] = (), dry_run: bool = False, client: _Client) -> Answer:
    """Write `import` blocks for what no state holds into the folder of a stack.

    Parameters
    ----------
    stack
        Its name or reference: payments, default/payments.
    resource
        An ARN; may be given again. All that the stack's owner has in its account and region where none is given.
    dry_run
        Only show what would be written.
    """
    found = client.post(f"{_path(stack)}/import", {"resources": list(resource), "dry_run": dry_run})
    lines = [found["diff"].rstrip()] if found["diff"] else []
    lines += [f"left out: {each['urn']} ({each['type']}): {each['why']}" for each in found["left"]]
    if found["written"]:
        lines.append(f"{len(found['adopted'])} import blocks are in {found['file']}. Then: {found['next']}")
    elif found["diff"]:
        lines.append(f"Nothing was written. Without --dry-run {len(found['adopted'])} blocks go into {found['file']}.")
    else:
        lines.append("There is nothing to import: every resource of its owner is in a state.")
    return Answer(found, "\n".join(lines))
