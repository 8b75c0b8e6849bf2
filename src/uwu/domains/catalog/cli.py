"""``uwu catalog``: check estate files, list, show and grade entities."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import App, Parameter

from uwu.domains.catalog import authoring
from uwu.domains.catalog.golden import cli as golden
from uwu.domains.catalog.scorecards import cli as scorecards
from uwu.kernel import codec
from uwu.kernel.domain import Answer, Client
from uwu.kernel.errors import BadInput, Problem

APP = App(name="catalog", help="Check, list, show and grade what the estate declares.")
APP.command(golden.APP)
scorecards.add(APP)

_Client = Annotated[Client, Parameter(parse=False)]


@APP.command
def validate(path: Path) -> Answer:
    """Check estate files without loading them; exit status 1 where something is wrong.

    It reads the files where it runs, needs no home and no server, and follows the locations that the files name.

    Parameters
    ----------
    path
        A folder or a file.
    """
    found = authoring.load(path)
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


@APP.command(name="schema")
def schema_(kind: str = "") -> Answer:
    """Print the JSON Schema of an entity file, for editors.

    In an editor with the YAML language server, begin a file with
    "# yaml-language-server: $schema=entity.schema.json".

    Parameters
    ----------
    kind
        Of this kind alone, such as Component; of every kind where it is left out.
    """
    published = authoring.publish(authoring.kinds(), kind)
    return Answer(published, msgspec.json.format(msgspec.json.encode(published), indent=2).decode())


@APP.command
def fmt(*paths: Path, check: bool = False) -> Answer:
    """Write estate files in one form: two spaces, keys in their order, comments where they are.

    What a file says never changes; one for which that cannot be shown is left as it is, and named.

    Parameters
    ----------
    paths
        Files, or folders of .yaml and .yml files.
    check
        Write nothing; exit status 1 where a file is not in that form.
    """
    files = [file for path in paths for file in (sorted(path.rglob("*.y*ml")) if path.is_dir() else [path])]
    if not files:
        raise BadInput("there is no file to format", code="no-files", hint="uwu catalog fmt estate/")
    changed: list[str] = []
    problems: list[Problem] = []
    for file in files:
        text = file.read_bytes().decode("utf-8-sig")
        told = authoring.format_text(text, str(file))
        problems.extend(told.problems)
        if told.changed:
            changed.append(told.file)
            if not check:
                file.write_text(told.text, newline="")
    verb = "would be written anew" if check else "written anew"
    lines = [*map(str, problems), *(f"{file} {verb}" for file in changed)]
    lines.append(f"{len(files)} files, {len(changed)} {verb}, {len(problems)} problems")
    value = {"files": len(files), "changed": changed, "problems": codec.builtins(problems)}
    return Answer(value, "\n".join(lines), 1 if problems or (check and changed) else 0)


@APP.command
def touches(*files: Path, estate: Path = Path("estate")) -> Answer:
    """Tell whom a change of files concerns: who owns what they declare, and who depends on it.

    For a pull request: uwu catalog touches $(git diff --name-only main -- estate) --json

    Parameters
    ----------
    files
        The files that change.
    estate
        The folder of the whole estate.
    """
    told = authoring.touched(authoring.load(estate), files)
    lines: list[str] = []
    for each in told:
        lines.append(each.owner)
        lines += [f"  owns        {ref}" for ref in each.declares]
        lines += [f"  depends by  {ref}" for ref in each.depends]
    return Answer(codec.builtins(told), "\n".join(lines) or "It concerns nobody: these files declare nothing owned.")


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


@APP.command
def history(ref: str, *, limit: int = 20, client: _Client) -> Answer:
    """Show what an entity was declared as over time, newest first.

    Parameters
    ----------
    ref
        kind:namespace/name, or a name that only one entity has.
    limit
        How many versions at most.
    """
    page = client.get("/entity/history", ref=ref, limit=limit)
    lines: list[str] = []
    for version in page["items"]:
        until = f", until {version['valid_to']}" if version["valid_to"] else ""
        what = ", ".join(version["changed"]) or ("declared" if version["version"] == 1 else "declared again")
        lines.append(f"{version['version']:>4}  {version['valid_from']}{until}  {what}")
        lines.append(f"      {version['file']}:{version['line']}")
    return Answer(page, "\n".join(lines) or f"Nothing was ever declared as {ref}.")


@APP.command
def sweep(*, force: bool = False, client: _Client) -> Answer:
    """Delete entities that no file has held for longer than catalog.orphan_days.

    It runs by itself each night. A source that would lose too many at once (catalog.orphan_percent) loses none.

    Parameters
    ----------
    force
        Delete them even where they are too many at once.
    """
    result = client.run("catalog.sweep", {"force": force})
    lines = [f"{problem['place']}: {problem['message']}\n  hint: {problem['hint']}" for problem in result["problems"]]
    lines.append(f"{result['deleted']} entities deleted, {result['waiting']} kept")
    return Answer(result, "\n".join(lines), 1 if result["problems"] else 0)


def _ref(entity: dict[str, Any]) -> str:
    return f"{entity['kind']}:{entity.get('namespace', 'default')}/{entity['name']}".lower()


def _place(entity: dict[str, Any]) -> str:
    place = entity["place"]
    return f"{place['file']}:{place.get('line', 0)}"
