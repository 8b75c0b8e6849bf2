"""Writes ``docs/reference`` from the code: commands, settings, errors, tables, routes."""

from __future__ import annotations

import ast
import inspect
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

import uwu
from uwu.kernel import codec, errors, settings

SOURCE = Path(uwu.__file__).parent
DOCS = SOURCE.parent.parent / "docs" / "reference"
NOTE = "<!-- Written by `make reference` from the code. -->\n\n"


def pages() -> dict[str, str]:
    """File name -> its text."""
    made = {
        "cli.md": _commands(),
        "settings.md": _settings(),
        "errors.md": _errors(),
        "tables.md": _tables(),
        "api.md": _routes(),
    }
    return {name: NOTE + text.rstrip() + "\n" for name, text in made.items()}


def _commands() -> str:
    from uwu.app.cli import build

    given, sys.argv = sys.argv, ["uwu"]  # the usage lines hold what the program was called with
    try:
        return build().generate_docs(output_format="markdown", heading_level=1)
    finally:
        sys.argv = given


# ---- settings


def _settings() -> str:
    lines = [
        "# Settings",
        "",
        "`$UWU_HOME/uwu.toml`; `UWU_<SECTION>_<KEY>` overrides a key of a section, `UWU_<KEY>` one at the top.",
    ]
    notes = _field_notes(Path(inspect.getfile(settings)))
    top = [f for f in msgspec.structs.fields(settings.Settings) if f.name != "home"]
    plain = [f for f in top if not _is_section(f.type)]
    lines += ["", "## At the top", "", *_table(settings.Settings, plain, notes, "")]
    for field in top:
        if _is_section(field.type):
            head = inspect.getdoc(field.type) or ""
            lines += ["", f"## [{field.name}]", "", head, ""]
            lines += _table(field.type, msgspec.structs.fields(field.type), notes, f"{field.name}_")
    return "\n".join(lines)


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, settings.Section)


def _table(struct: type, fields: Any, notes: dict[tuple[str, str], str], prefix: str) -> Iterator[str]:
    yield "| key | type | default | what it is | variable |"
    yield "|---|---|---|---|---|"
    for field in fields:
        default = codec.encode(field.default).decode() if field.default is not msgspec.NODEFAULT else ""
        note = notes.get((struct.__name__, field.name), "").replace("\n", " ")
        variable = f"UWU_{prefix}{field.name}".upper()
        yield f"| `{field.name}` | {_type_name(field.type)} | `{default}` | {note} | `{variable}` |"


def _type_name(kind: Any) -> str:
    if typing.get_origin(kind) is typing.Annotated:
        inner, *meta = typing.get_args(kind)
        bounds = [f"{sign} {value}" for m in meta for sign, value in ((">=", m.ge), ("<=", m.le)) if value is not None]
        return f"{_type_name(inner)} {', '.join(bounds)}".strip()
    if typing.get_origin(kind) is tuple:
        return "list of text"
    return {str: "text", int: "number", float: "number", bool: "true or false"}.get(kind, str(kind))


def _field_notes(path: Path) -> dict[tuple[str, str], str]:
    """(class, field) -> the docstring below the field."""
    notes: dict[tuple[str, str], str] = {}
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if not isinstance(node, ast.ClassDef):
            continue
        for before, after in zip(node.body, node.body[1:], strict=False):
            if isinstance(before, ast.AnnAssign) and isinstance(before.target, ast.Name):
                text = _text(after.value) if isinstance(after, ast.Expr) else None
                if text is not None:
                    notes[node.name, before.target.id] = inspect.cleandoc(text)
    return notes


def _text(node: ast.expr) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


# ---- errors


def _errors() -> str:
    lines = [
        "# Errors",
        "",
        "Every error has a code and a message, a place where there is one, and mostly a hint.",
        "Over HTTP it is problem+json (RFC 9457).",
        "",
        "## Kinds",
        "",
        "| kind | HTTP status | exit status | when |",
        "|---|---|---|---|",
    ]
    kinds = [k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, errors.UwuError)]
    lines += [f"| {k.__name__} | {k.status} | {k.exit_code} | {inspect.getdoc(k)} |" for k in kinds]
    lines += ["", "## Codes", "", "| code | kind | in |", "|---|---|---|"]
    lines += [f"| `{code}` | {kind} | `{where}` |" for code, kind, where in sorted(_codes())]
    return "\n".join(lines)


def _codes() -> set[tuple[str, str, str]]:
    """(code, kind, module) of every error and problem that the code makes with a code of its own."""
    kinds = {k for k, v in vars(errors).items() if isinstance(v, type) and issubclass(v, Exception)}
    found: set[tuple[str, str, str]] = set()
    for path in sorted(SOURCE.rglob("*.py")):
        where = ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts)
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                name = node.func.id
                given = next((_text(k.value) for k in node.keywords if k.arg == "code"), None)
                if name == "Problem" and given is None and node.args:
                    given = _text(node.args[0])
                if given and (name in kinds or name in {"Problem", "problem"}):
                    found.add((given, "Problem" if name == "problem" else name, where))
    return found


# ---- tables


def _tables() -> str:
    import tempfile

    from uwu.kernel import query
    from uwu.kernel.runtime import Kernel

    lines = [
        "# Tables of `uwu query`",
        "",
        "One SELECT in DuckDB's SQL. Each type of resource is a table too, under Steampipe's name: beside the columns",
        "told here it has the members of the AWS API's answer in snake_case (`InstanceType` is `instance_type`).",
    ]
    with tempfile.TemporaryDirectory() as home:
        kernel = Kernel.open(Path(home))
        for table in query.tables(kernel):
            lines += ["", f"## {table.name}", "", table.comment, "", "| column | type | what it is |", "|---|---|---|"]
            lines += [f"| `{c['name']}` | {c['type']} | {c.get('comment', '')} |" for c in table.columns]
        kernel.close()
    return "\n".join(lines)


# ---- routes


def _routes() -> str:
    from uwu.app.api import findings, work, world
    from uwu.kernel import domain

    of_domains = [h for d in domain.installed() if d.routes for h in domain.load(d.routes)]
    lines = [
        "# API",
        "",
        "Under `/api/v1`. Answers are JSON, errors problem+json; a parameter that a route does not know is an error.",
        "`/api/v1/schema/openapi.json` is the OpenAPI document.",
        "",
        "| route | what it gives | parameters | action |",
        "|---|---|---|---|",
    ]
    for handler in (*world.HANDLERS, *findings.HANDLERS, *work.HANDLERS, *of_domains):
        function = handler.fn
        path = min(handler.paths)
        method = min(handler.http_methods)
        inner = set(inspect.signature(function).parameters) - {"kernel", "data", "request"}
        given = ", ".join(f"`{name}`" for name in sorted(inner) if f"{{{name}:" not in path)
        what = (inspect.getdoc(function) or "").split("\n\n")[0].replace("\n", " ")
        lines.append(f"| `{method} {path}` | {what} | {given} | `{handler.opt['action']}` |")
    return "\n".join(lines)


def main() -> None:
    """Writes the pages and names those that changed."""
    DOCS.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        path = DOCS / name
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")
            sys.stdout.write(f"wrote {path.relative_to(DOCS.parent.parent)}\n")


if __name__ == "__main__":
    main()
