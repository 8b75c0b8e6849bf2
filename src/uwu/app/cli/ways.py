"""Commands that ask for ways: path, reach, exposed, assumes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from cyclopts import Parameter
from rich.text import Text

from uwu.app.cli import look
from uwu.kernel.domain import Answer, Client

Here = Annotated[Client, Parameter(parse=False)]
Direction = Literal["any", "out", "in"]
_STYLE = {"yes": "bold red", "no": "bold green", "unknown": "bold yellow"}
_SHOWN = 12


def path(
    source: str,
    target: str,
    *,
    kinds: str = "",
    direction: Direction = "any",
    length: int = 8,
    at: str = "",
    limit: int = 5,
    client: Here,
) -> Answer:
    """Find the ways between two things, the shortest first.

    Where there is none it says whether that is proven, or what could not be looked at.

    Parameters
    ----------
    source
        Where to begin: an ARN, an id, a name or kind:namespace/name.
    target
        Where to end.
    kinds
        The relations to follow, with commas: inVpc,hasSecurityGroup. Empty: all.
    direction
        Along the relations (out), against them (in), or both ways.
    length
        The most hops.
    at
        As of this time, such as 2026-03-10T14:00:00Z.
    limit
        How many ways.
    """
    found = client.get(
        "/paths",
        source=source,
        target=target,
        kinds=kinds,
        direction=direction,
        length=length,
        limit=limit,
        **({"at": at} if at else {}),
    )
    nodes = found["nodes"]
    parts: list[Any] = []
    if found["answer"] == "yes":
        ways = found["paths"]
        count = len(ways[0]) if ways else 0
        parts.append(Text(f"{len(ways)} {'way' if len(ways) == 1 else 'ways'}, the shortest of {_hops(count)}."))
        for way in ways:
            parts += [Text(), *_way(found["source"], way, nodes)]
    else:
        words = {"no": "There is no way", "unknown": "No way is known"}[found["answer"]]
        parts.append(
            Text.assemble(
                (words, _STYLE[found["answer"]]),
                f" of at most {_hops(found['length'])} between {_name(nodes, found['source'])} and "
                f"{_name(nodes, found['target'])}.",
            )
        )
        parts += _lacks(found["lacks"])
    return Answer(found, look.render(*parts))


def reach(
    subject: str,
    *,
    kinds: str = "",
    direction: Direction = "out",
    length: int = 3,
    limit: int = 100,
    client: Here,
) -> Answer:
    """List what can be reached from a thing, the nearest first.

    Parameters
    ----------
    subject
        An ARN, an id, a name or kind:namespace/name.
    kinds
        The relations to follow, with commas. Empty: all.
    direction
        Along the relations (out), against them (in), or both ways.
    length
        The most hops.
    limit
        How many things.
    """
    found = client.get("/reach", subject=subject, kinds=kinds, direction=direction, length=length, limit=limit)
    rows = [
        [
            str(each["distance"]),
            each["hop"]["kind"] if each["hop"]["forward"] else f"{each['hop']['kind']} of",
            each["node"]["name"],
            each["node"]["type"] or "not observed",
        ]
        for each in found["items"]
    ]
    parts: list[Any] = [look.table(["hops", "by", "name", "type"], rows)] if rows else [Text("Nothing is reached.")]
    if not found["complete"]:
        parts += [Text(), Text("There may be more.", style="bold yellow"), *_lacks(found["lacks"])]
    return Answer(found, look.render(*parts))


def exposed(subject: str, *, client: Here) -> Answer:
    """Say whether the internet reaches a thing: yes with the path, no where proven, else what lacks.

    Parameters
    ----------
    subject
        An instance, a load balancer, a database, a bucket, a function, a queue: an ARN, an id or a name.
    """
    found = client.get("/exposure", subject=subject)
    headline = {"yes": "Exposed to the internet", "no": "Not exposed to the internet", "unknown": "Not known"}
    first = Text(headline[found["answer"]], style=_STYLE[found["answer"]])
    if found["ports"]:
        first.append(f" on {', '.join(found['ports'][:8])}")
    parts: list[Any] = [first, Text(found["urn"], style="dim"), Text()]
    for step in found["path"]:
        mark = {"yes": "  ", "no": "x ", "unknown": "? "}[step["holds"]]
        lead = Text(f"  {mark}", style=_STYLE[step["holds"]] if step["holds"] != "yes" else "dim")
        name = f"{look.short(step['urn'])} " if step["urn"] else ""
        fresh = f"{step['status']} {look.ago(step['observed_at'])}" if step["status"] else ""
        parts += look.hang(lead, Text(f"{name}{step['says']}"), "  ".join(filter(None, [step["evidence"], fresh])))
    if found["conditions"]:
        words = "On conditions" if found["answer"] == "yes" else "Open nevertheless"
        parts += [Text(), Text(words, style="bold"), *(Text(f"  {each}") for each in found["conditions"][:_SHOWN])]
    parts += _lacks(found["lacks"])
    return Answer(found, look.render(*parts))


def assumes(role: str, *, client: Here) -> Answer:
    """Say who may assume a role: by its trust, and by the policies of those it hands on to.

    Parameters
    ----------
    role
        The role's name or ARN.
    """
    found = client.get("/assumers", subject=role)
    if not found["items"]:
        return Answer(found, look.render(Text("Nobody: its trust allows no one.")))
    parts: list[Any] = []
    for each in found["items"]:
        lead = Text(f"{each['answer']:>8}  ", style=_STYLE[each["answer"]])
        parts += look.hang(lead, Text(f"{each['kind']} {each['principal']}"), each["why"])
        parts += [Text(f"            if {condition}", style="dim") for condition in each["conditions"][:3]]
    unread = sorted({what for each in found["items"] for what in each["unread"]})
    if unread:
        shown = ", ".join(unread[:_SHOWN]) + (f" and {len(unread) - _SHOWN} more" if len(unread) > _SHOWN else "")
        parts += [Text(), *look.hang(Text("Not evaluated: ", style="bold"), Text(shown))]
    return Answer(found, look.render(*parts))


def _hops(count: int) -> str:
    return "1 hop" if count == 1 else f"{count} hops"


def _name(nodes: dict[str, Any], id: str) -> str:
    return nodes.get(id, {}).get("name") or look.short(id)


def _way(source: str, way: list[dict[str, Any]], nodes: dict[str, Any]) -> list[Text]:
    lines = [Text(f"  {_name(nodes, source)}", style="bold")]
    for hop in way:
        there = hop["target"] if hop["forward"] else hop["source"]
        arrow = f"{hop['kind']} →" if hop["forward"] else f"← {hop['kind']}"
        type = nodes.get(there, {}).get("type") or "not observed"
        lines.append(Text.assemble(("    " + arrow + " ", "dim"), _name(nodes, there), (f"  {type}", "dim")))
    return lines


def _lacks(lacks: list[dict[str, Any]]) -> list[Any]:
    if not lacks:
        return []
    lines: list[Any] = [Text(), Text("What is missing for a proof", style="bold")]
    lines += [Text(f"  {lack['why']}" + (f"  ({lack['cell']})" if lack["cell"] else "")) for lack in lacks[:_SHOWN]]
    if len(lacks) > _SHOWN:
        lines.append(Text(f"  and {len(lacks) - _SHOWN} more", style="dim"))
    return lines
