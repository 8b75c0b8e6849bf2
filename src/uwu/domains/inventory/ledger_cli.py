"""``uwu inventory coverage``: what was seen completely, how fresh it is, and what stands in the way."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from uwu.kernel import codec
from uwu.kernel.domain import Answer, Client

By = Literal["cause", "account", "region", "type", "status", "run"]

_Client = Annotated[Client, Parameter(parse=False)]


def coverage(
    *,
    account: str = "",
    region: str = "",
    type: str = "",
    incomplete: bool = False,
    by: By = "cause",
    limit: int = 100,
    client: _Client,
) -> Answer:
    """Tell whether everything was seen: what is complete, how fresh, what it cost, and what stands in the way.

    Exit status 1 where something could not be seen.

    Parameters
    ----------
    account
        Of this account alone.
    region
        Of this region alone.
    type
        Of this type alone, such as aws_ec2_instance.
    incomplete
        Each cell (account, region, type) that is not complete, one a line.
    by
        Sums by account, region, type, status or run (the sync that wrote them) instead of causes.
    limit
        Lines at most.
    """
    scope = {"account": account, "region": region, "type": type}
    if incomplete:
        page = client.get("/coverage", **scope, incomplete=True, limit=min(limit, 500))
        rows = [_cell(cell) for cell in page["items"]]
        lines = _table(("ACCOUNT", "REGION", "TYPE", "STATUS", "SINCE", "COMPLETE", "WHY"), rows)
        if page["total"] > len(rows):
            lines.append(f"… {page['total'] - len(rows)} more: give an account, a type or a greater --limit")
        text = "\n".join(lines) if rows else "Nothing is incomplete there."
        return Answer(page, text, 1 if any(_is_hole(cell) for cell in page["items"]) else 0)
    sums = client.get("/coverage/sums", **scope, by="status" if by == "cause" else by, limit=min(limit, 500))
    told = sums["total"]
    if not told["cells"]:
        return Answer(sums, "Nothing was asked yet. Run: uwu sync inventory")
    lines = [_sentence(told)]
    if by == "cause":
        found = client.get("/coverage/causes", **scope, limit=min(limit, 500))
        for cause in found["items"]:
            lines += ["", *_cause(cause)]
        value: Any = {**sums, "causes": found["items"]}
    else:
        head = (by.upper(), "CELLS", "COMPLETE", "HOLES", "LATE", "CALLS", "THROTTLED", "US$", "OLDEST")
        lines += ["", *_table(head, [_sum(one) for one in sums["items"]])]
        value = sums
    return Answer(value, "\n".join(lines), 1 if told["holes"] else 0)


def _sentence(told: dict[str, Any]) -> str:
    cost = f"{told['calls']:,} calls, {told['throttled']:,} throttled, US$ {told['cost']:.4f} at list price"
    offered = told["cells"] - told["holes"]
    late = f"; {told['late']:,} are late" if told["late"] else ""
    if told["holes"]:
        head = f"{told['holes']:,} of {told['cells']:,} cells could not be seen completely{late}."
    elif told["late"]:
        head = f"All {offered:,} cells were seen completely, but {told['late']:,} are late."
    else:
        head = f"Everything was seen completely: {told['cells']:,} cells, the oldest look {_age(told['oldest'])} ago."
    return f"{head}\n{cost}."


def _cause(cause: dict[str, Any]) -> list[str]:
    def of(number: int, one: str, what: str) -> str:
        return one if number == 1 and one else f"{number:,} {what}" + ("" if number == 1 else "s")

    where = ", ".join(
        (
            of(cause["accounts"], cause["account"], "account"),
            of(cause["regions"], cause["region"], "region"),
            of(cause["types"], cause["type"], "type"),
        )
    )
    lines = [
        f"{cause['status']} {cause['code']}: {cause['cells']:,} cells ({where}), since {_age(cause['since'])}",
        f"  {cause['message']}",
        f"  hint {cause['hint']}",
    ]
    if len(cause["actions"]) > 1:
        lines.append(f"  actions {', '.join(cause['actions'])}")
    return lines


def _cell(cell: dict[str, Any]) -> tuple[str, ...]:
    why = " ".join(part for part in (cell["code"], cell["action"] or cell["message"]) if part)
    seen = f"{_age(cell['complete_at'])} ago" if cell["complete_at"] else "never"
    return (cell["account"], cell["region"], cell["type"], cell["status"], _age(cell["since"]), seen, why)


def _sum(one: dict[str, Any]) -> tuple[str, ...]:
    numbers = (f"{one[name]:,}" for name in ("cells", "complete", "holes", "late", "calls", "throttled"))
    return (one["key"] or "-", *numbers, f"{one['cost']:.4f}", _age(one["oldest"]))


def _is_hole(cell: dict[str, Any]) -> bool:
    from uwu.kernel.ledger import is_hole

    return is_hole(cell["status"], cell["code"])


def _age(at: str | None) -> str:
    if not at:
        return "never"
    seconds = max(0, int((codec.now() - datetime.fromisoformat(at)).total_seconds()))
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    shown = [head, *rows]
    widths = [max(len(row[column]) for row in shown) for column in range(len(head))]
    return ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in shown]
