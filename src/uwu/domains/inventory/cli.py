"""``uwu inventory``: what is collected, and how."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import App, Parameter

from uwu.domains.inventory.ledger_cli import coverage
from uwu.kernel.domain import Answer, Client

APP = App(name="inventory", help="Tell what of AWS is collected, and by which calls.")

_Client = Annotated[Client, Parameter(parse=False)]

APP.command(coverage)


@APP.command
def types(type: str = "", *, service: str = "", every: bool = False, client: _Client) -> Answer:
    """What is collected: each type, the call that lists it, and what it points to.

    Parameters
    ----------
    type
        A name or a pattern, such as aws_ec2_*; one alone is told in full.
    service
        Of this service alone, as botocore names it, such as ec2.
    every
        Also what is known but not collected.
    """
    rows: list[dict[str, Any]] = []
    after = ""
    while True:
        page = client.get("/inventory/types", service=service, type=type, every=every, limit=500, after=after)
        rows += page["items"]
        after = page["after"]
        if not after:
            break
    if not rows:
        hint = "" if every else " Perhaps it is not collected: --every also looks there."
        return Answer([], f"No type fits; * stands for any characters.{hint}")
    if len(rows) == 1 and type:
        return Answer(rows, _whole(rows[0]))
    shown = [
        (row["name"], row["made"] if row["collected"] else "not collected", row["service"], _call(row)) for row in rows
    ]
    return Answer(rows, "\n".join(_aligned(shown)))


CATALOG = App(name="catalog", help="Show, or generate anew, the catalog of AWS operations that list something.")
APP.command(CATALOG)


@CATALOG.command
def show(service: str = "", operation: str = "", *, client: _Client) -> Answer:
    """What the catalog knows of a service's operations; without a service the sums of all.

    Parameters
    ----------
    service
        As botocore names it, such as batch.
    operation
        A name or a pattern, such as List*.
    """
    page = client.get("/inventory/catalog", service=service, operation=operation, limit=500)
    sums, rows = page["sums"], page["items"]
    if not service and not operation:
        lines = [
            f"botocore {sums['botocore']}: {sums['services']} services",
            f"{sums['lists']} operations list without an argument, {sums['second']} more for each item of such a list;",
            f"{sums['unclear']} list something that their model does not tell how to read.",
            f"{sums['types']} types, {sums['collected']} of them collected. Left out:",
        ]
        left_out = sorted(sums["left_out"].items(), key=lambda each: -each[1])
        return Answer(sums, "\n".join([*lines, *(f"  {count:>4}  {why}" for why, count in left_out)]))
    while page["after"]:
        page = client.get("/inventory/catalog", service=service, operation=operation, limit=500, after=page["after"])
        rows += page["items"]
    if not rows:
        return Answer([], f"The catalog has no such operation: `aws {service} help` tells what there is.")
    return Answer(rows, "\n".join(_aligned([(each["operation"], each["form"], _about(each)) for each in rows])))


@CATALOG.command
def build(*, check: bool = False) -> Answer:
    """Generate the catalog from the models of the installed botocore, in place.

    It runs where it is called and needs no home and no server.

    Parameters
    ----------
    check
        Write nothing; exit status 1 where the catalog is not that of the installed botocore.
    """
    from uwu.domains.inventory.catalog import build as generator
    from uwu.domains.inventory.catalog.model import encode

    found = generator.build()
    place = generator.installed()
    stale = not place.exists() or place.read_bytes() != encode(found)
    if stale and not check:
        generator.write(found)
    told = {"botocore": found.botocore, "rows": len(found.rows), "stale": stale, "written": stale and not check}
    said = "is that of" if not stale else "is not that of" if check else "was written for"
    return Answer(
        told, f"the catalog {said} botocore {found.botocore}: {len(found.rows)} operations", int(stale and check)
    )


def _about(row: dict[str, Any]) -> str:
    if row["left_out"]:
        return f"left out: {row['left_out']}"
    under = f"{row['argument']} of {row['under']}; " if row["under"] else ""
    return f"{under}{row['path']}" + (
        f", named by {row['arn'] or row['id']}" if row["form"] in {"list", "each"} else ""
    )


@APP.command
def refresh(*subject: str, client: _Client) -> Answer:
    """Read resources in AWS again, each by itself: what was asked, and what changed.

    Parameters
    ----------
    subject
        An ARN, an id or a name.
    """
    told = client.start("/inventory/refresh", {"subjects": list(subject)})["refreshed"]
    unread = [each for each in told if each["result"] not in _READ]
    return Answer(told, "\n".join(line for each in told for line in _refreshed(each)), exit_code=1 if unread else 0)


_READ = ("added", "changed", "unchanged", "gone", "absent")


def _refreshed(one: dict[str, Any]) -> list[str]:
    """``changed  arn:...  0.21 s`` and by which calls, at which paths, or why not."""
    lines = [f"{one['result']:<10}{one['urn']}  ({one['seconds']:.2f} s)"]
    if one["calls"]:
        lines.append(f"  asked: {', '.join(one['calls'])}")
    lines += [f"  {path}" for path in one["paths"]]
    if one["message"]:
        lines.append(f"  {one['message']}" + (f" [{one['code']}]" if one["code"] else ""))
    return lines


def _call(row: dict[str, Any]) -> str:
    """``ListServices for each of ListClusters``."""
    called = row["operation"] or ", ".join(row["extras"])
    return f"{called} for each of {row['under']}" if row["under"] else called


def _whole(row: dict[str, Any]) -> str:
    facts = [
        ("type", f"{row['name']} ({row['title']})"),
        ("service", row["service"]),
        ("made", f"{row['made']}, {'collected' if row['collected'] else 'not collected: inventory.types chooses'}"),
        ("asked", "once an account" if row["once"] else "once a region"),
        ("call", _call(row)),
        ("list", row["path"]),
        ("and of each", ", ".join(row["extras"]) if row["operation"] else ""),
        ("tells most", " ".join(row["keys"])),
    ]
    lines = [f"{name + ':':<13}{value}" for name, value in facts if value]
    if row["relations"]:
        lines.append("points to:")
        lines += [f"  {points['kind']:<18}{points['path']}" for points in row["relations"]]
    return "\n".join(lines)


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    """The rows as columns that are as wide as what they hold."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
