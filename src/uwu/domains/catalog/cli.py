"""``uwu catalog``: check estate files, list and show entities."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import App, Parameter

from uwu.kernel import codec, domain, estate
from uwu.kernel.domain import Answer, Client
from uwu.kernel.estate import Estate

APP = App(name="catalog", help="Check, list and show what the estate declares.")

_Client = Annotated[Client, Parameter(parse=False)]


def check(path: Path) -> Estate:
    """What ``uwu sync`` would read from ``path``, by the kinds of every installed domain, with all its problems."""
    return estate.load([path], domain.kinds_of(domain.installed()))


@APP.command
def validate(path: Path) -> Answer:
    """Check estate files without loading them; exit status 1 where something is wrong.

    It reads the files where it runs, needs no home and no server, and follows the locations that the files name.

    Parameters
    ----------
    path
        A folder or a file.
    """
    found = check(path)
    errors = [problem for problem in found.problems if problem.severity == "error"]
    lines = [str(problem) for problem in found.problems]
    kinds: dict[str, int] = {}
    for entity in found.entities:
        kinds[entity.kind] = kinds.get(entity.kind, 0) + 1
    counted = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    lines.append(f"{len(found.entities)} entities{f' ({counted})' if counted else ''}, {len(found.problems)} problems")
    value = {
        "entities": len(found.entities),
        "kinds": kinds,
        "relations": len(found.relations),
        "errors": len(errors),
        "problems": codec.builtins(list(found.problems)),
    }
    return Answer(value, "\n".join(lines), 1 if errors else 0)


@APP.command(name="list")
def list_(kind: str | None = None, *, orphan: bool | None = None, limit: int = 500, client: _Client) -> Answer:
    """List declared entities.

    Parameters
    ----------
    kind
        Only this kind, such as component; all where it is left out.
    orphan
        Only those whose source no longer holds them, or only those it does.
    limit
        How many at most.
    """
    page = client.get("/entities", kind=kind, orphan=orphan, limit=limit)
    found = page["items"]
    rows = [(_ref(entity), str(entity.get("spec", {}).get("owner", "")), _place(entity)) for entity in found]
    widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
    lines = [f"{ref:<{widths[0]}}  {owner:<{widths[1]}}  {place}".rstrip() for ref, owner, place in rows]
    if page["after"]:
        lines.append(f"… {page['total'] - len(found)} more: give a kind or a greater --limit")
    return Answer(page, "\n".join(lines) or "No entity is declared.")


@APP.command
def show(ref: str, *, client: _Client) -> Answer:
    """Show an entity as it is declared, with its relations.

    Parameters
    ----------
    ref
        kind:namespace/name, or a name that only one entity has.
    """
    found = client.get("/entity", ref=ref)
    entity = found["entity"]
    lines = [f"{found['ref']}{'  (orphan: its source no longer holds it)' if found['orphan'] else ''}"]
    title = entity.get("metadata", {}).get("description") or entity.get("metadata", {}).get("title")
    lines += [f"  {title}"] if title else []
    lines.append(f"  declared at {_place(entity)}")
    for name, value in entity.get("spec", {}).items():
        text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        lines.append(f"  {name}: {text if len(text) <= 100 else text[:99] + '…'}")
    for relation in found["relations"]:
        if relation["source"] == found["ref"]:
            lines.append(f"  {relation['kind']} {relation['target']}")
    return Answer(found, "\n".join(lines))


def _ref(entity: dict[str, Any]) -> str:
    return f"{entity['kind']}:{entity.get('namespace', 'default')}/{entity['name']}".lower()


def _place(entity: dict[str, Any]) -> str:
    place = entity["place"]
    return f"{place['file']}:{place.get('line', 0)}"
