"""``uwu iac``: the states that are kept, runs, and checks of plans."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from uwu.domains.iac.policy import cli as policy_cli
from uwu.domains.iac.registry import cli as registry_cli
from uwu.domains.iac.runs import cli as runs_cli
from uwu.domains.iac.stacks import cli as stacks_cli
from uwu.kernel.domain import Answer, Client

APP = App(name="iac", help="Keep Terraform states, plan and apply stacks, check plans.")
STATE = App(name="state", help="Look at states, compare and bring back versions, take locks away, import.")
APP.command(STATE)
runs_cli.add(APP)
stacks_cli.add(APP)
policy_cli.add(APP)
registry_cli.add(APP)

_Client = Annotated[Client, Parameter(parse=False)]


@STATE.command(name="list")
def list_(*, search: str = "", owner: str = "", locked: bool = False, limit: int = 100, client: _Client) -> Answer:
    """List the states: whose they are, what they hold, who has locked them.

    Parameters
    ----------
    search
        A part of the name.
    owner
        A reference, such as group:default/payments.
    locked
        Only those that somebody holds.
    limit
        How many at most.
    """
    found = client.get("/iac/states", search=search, owner=owner, locked="yes" if locked else "", limit=limit)
    rows = [("STATE", "SERIAL", "RESOURCES", "WRITTEN", "OWNER", "LOCKED BY")]
    for each in found["items"]:
        version, lock = each["version"] or {}, each["lock"]
        rows.append(
            (
                f"{each['namespace']}/{each['name']}",
                str(version.get("serial", "-")),
                str(version.get("resources", "-")),
                _when(version.get("created_at", "")),
                each["owner"] or "-",
                f"{lock['locked_by']} since {_when(lock['locked_at'])}" if lock else "-",
            )
        )
    if len(rows) == 1:
        told = "No state is like that." if search or owner or locked else _NONE
        return Answer(found, told)
    more = f"\n{found['total'] - len(found['items'])} more: --limit" if found["after"] else ""
    return Answer(found, "\n".join(_aligned(rows)) + more)


_NONE = """\
No state is kept here yet. Point a backend here and run terraform init:

  terraform {
    backend "http" {
      address        = "https://uwu.example.com/iac/state/default/payments"
      lock_address   = "https://uwu.example.com/iac/state/default/payments"
      unlock_address = "https://uwu.example.com/iac/state/default/payments"
    }
  }

TF_HTTP_USERNAME=uwu, TF_HTTP_PASSWORD=<a token: uwu token create>.
Or import what there is: uwu iac state import FOLDER"""


@STATE.command
def show(state: str, *, client: _Client) -> Answer:
    """Show a state: whose it is, its current version, its lock.

    Parameters
    ----------
    state
        namespace/name, such as default/payments.
    """
    found = client.get(_path(state))
    version, lock = found["version"], found["lock"]
    lines = [
        f"{found['namespace']}/{found['name']}",
        f"owner      {found['owner'] or 'nobody'}" + (f" (by {found['stack']})" if found["stack"] else ""),
    ]
    if version is None:
        lines.append("nothing was written yet" if not found["number"] else "deleted: its versions are still there")
    else:
        lines += [
            f"version    {version['number']}, serial {version['serial']}, lineage {version['lineage']}",
            f"holds      {version['resources']} resources, {version['outputs']} outputs, {version['bytes']} bytes",
            f"written    {_when(version['created_at'])} by {version['created_by']} ({version['via']}, "
            f"Terraform {version['terraform_version'] or '?'})",
        ]
    if lock:
        told = [lock["who"], lock["operation"], lock["info"]]
        lines += [
            f"locked     since {_when(lock['locked_at'])} by {lock['locked_by']}",
            f"           {', '.join(filter(None, told))}  (lock {lock['id']})",
        ]
    else:
        lines.append("locked     no")
    return Answer(found, "\n".join(lines))


@STATE.command
def versions(state: str, *, limit: int = 30, client: _Client) -> Answer:
    """List the versions of a state, the newest first.

    Parameters
    ----------
    state
        namespace/name, such as default/payments.
    limit
        How many at most.
    """
    found = client.get(f"{_path(state)}/versions", limit=limit)
    rows = [("VERSION", "SERIAL", "RESOURCES", "WRITTEN", "BY", "HOW")]
    rows += [
        (
            str(each["number"]),
            str(each["serial"]),
            str(each["resources"]),
            _when(each["created_at"]),
            each["created_by"],
            _how(each),
        )
        for each in found["items"]
    ]
    return Answer(found, "\n".join(_aligned(rows)) if len(rows) > 1 else "Nothing was written to it yet.")


@STATE.command
def diff(state: str, old: int = 0, new: int = 0, *, client: _Client) -> Answer:
    """Tell what is different between two versions, without a secret.

    Parameters
    ----------
    state
        namespace/name, such as default/payments.
    old
        The number of the earlier version; the one before the later where none is named.
    new
        The number of the later version; the current one where none is named.
    """
    found = client.get(f"{_path(state)}/diff", old=old, new=new)
    lines = [
        f"{found['state']}: version {found['before']} to {found['after']}, serial {found['serials'][0]} to "
        f"{found['serials'][1]}: {found['added']} added, {found['changed']} changed, {found['removed']} removed"
    ]
    for each in found["changes"]:
        lines.append(f"{_SIGNS[each['kind']]} {each['address']}")
        lines += [f"    {path['path']}: {_value(path['before'])} -> {_value(path['after'])}" for path in each["paths"]]
        if each["more"]:
            lines.append(f"    and {each['more']} more")
    return Answer(found, "\n".join(lines))


_SIGNS = {"added": "+", "changed": "~", "removed": "-"}


def _value(value: Any) -> str:
    import json

    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:79] + "…"


@STATE.command
def unlock(state: str, *, id: str = "", reason: str = "", client: _Client) -> Answer:
    """Take the lock away from whoever holds it.

    Parameters
    ----------
    state
        namespace/name, such as default/payments.
    id
        Only if it is this lock.
    reason
        Why, for the audit.
    """
    found = client.post(f"{_path(state)}/unlock", {"id": id, "reason": reason})
    lock = found["lock"]
    if lock is None:
        return Answer(found, f"{state} was not locked.")
    who = f" ({lock['who']})" if lock["who"] else ""
    return Answer(found, f"The lock of {lock['locked_by']}{who}, held since {_when(lock['locked_at'])}, is gone.")


@STATE.command
def rollback(state: str, version: int, *, client: _Client) -> Answer:
    """Bring an earlier version back as the newest, with a higher serial.

    Parameters
    ----------
    state
        namespace/name, such as default/payments.
    version
        The number of the version: uwu iac state versions lists them.
    """
    made = client.post(f"{_path(state)}/rollback", {"version": version})
    text = f"Version {version} of {state} is back as version {made['number']}, serial {made['serial']}."
    return Answer(made, f"{text}\nThe world is as it was: run terraform plan to see what differs.")


@STATE.command(name="import")
def import_(*source: str, into: str = "", namespace: str = "default", client: _Client) -> Answer:
    """Take existing states in, each once. Paths are those of the server.

    Parameters
    ----------
    source
        A file, a folder (recursively), s3://bucket/key or s3://bucket/prefix.
    into
        The name of the one state: namespace/name. Else the path below the source names it.
    namespace
        The namespace that they come into.
    """
    given = [each if each.startswith("s3://") else str(Path(each).expanduser().resolve()) for each in source]
    told = client.run("iac.state.import", {"sources": given, "into": into, "namespace": namespace})
    lines = [f"{told['imported']} states are kept here now; {told['failed']} were refused."]
    lines += [f"  {each['state']}  serial {each['serial']}, {each['resources']} resources" for each in told["states"]]
    lines += [f"{each['place']}: {each['message']} [{each['code']}]" for each in told["problems"]]
    return Answer(told, "\n".join(lines), exit_code=1 if told["failed"] else 0)


@STATE.command
def rekey(*, client: _Client) -> Answer:
    """Wrap the keys of all states anew with the home's current key: after that an old key may go."""
    told = client.run("iac.state.rekey")
    return Answer(told, f"The keys of {told['rewrapped']} blobs are wrapped with the current key; no other is needed.")


def _path(state: str) -> str:
    from urllib.parse import quote

    namespace, _, name = state.removeprefix("uwu://").partition("/")
    return f"/iac/states/{quote(namespace or '-', safe='')}/{quote(name or '-', safe='')}"


def _how(version: dict[str, Any]) -> str:
    told = [version["via"], version["operation"].removeprefix("OperationType").lower()]
    told += ["forced"] if version["forced"] else []
    told += [f"version {version['restored']} brought back"] if version["restored"] else []
    return ", ".join(filter(None, told))


def _when(text: str) -> str:
    """``2026-03-10 14:00 UTC``."""
    return f"{text[:10]} {text[11:16]} UTC" if text else "-"


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """The rows as columns that are as wide as what they hold."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
