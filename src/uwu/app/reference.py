"""Writes ``docs/reference`` from the code: commands, settings, errors, tables, routes, rules."""

from __future__ import annotations

import ast
import inspect
import re
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


VARIABLES = {
    "UWU_HOME": "The home; `~/.uwu` where it is not set. `--home` goes before it.",
    "UWU_URL": "The server that commands speak with instead of the home's own.",
    "UWU_TOKEN": "The bearer token for that server.",
    "UWU_DEBUG": "Set to anything: a command shows the traceback of its error.",
    "NO_COLOR": "Set to anything: no colours.",
}


def pages() -> dict[str, str]:
    """File name -> its text."""
    made = {
        "cli.md": _commands(),
        "settings.md": _settings(),
        "errors.md": _errors(),
        "tables.md": _tables(),
        "api.md": _routes(),
        "rules.md": _rules(),
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
            within = msgspec.structs.fields(field.type)
            lines += _table(field.type, [f for f in within if _inner(f.type) is None], notes, f"{field.name}_")
            for below in within:
                inner = _inner(below.type)
                if inner is None:
                    continue
                named = typing.get_origin(below.type) is dict
                path = f"{field.name}.{below.name}"
                lines += ["", f"## [{path}.NAME]" if named else f"## [[{path}]]", "", inspect.getdoc(inner) or "", ""]
                prefix = f"{field.name}_{below.name}_NAME_" if named else ""
                lines += _table(inner, msgspec.structs.fields(inner), notes, prefix, variables=named)
    lines += ["", "## Variables that are no setting", "", "| variable | what it is |", "|---|---|"]
    lines += [f"| `{name}` | {what} |" for name, what in VARIABLES.items()]
    return "\n".join(lines)


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, settings.Section)


def _inner(kind: Any) -> type | None:
    """The section of each table where ``kind`` is a table or a list of tables."""
    inner = typing.get_args(kind)[-1] if typing.get_origin(kind) is dict else next(iter(typing.get_args(kind)), None)
    return inner if _is_section(inner) else None


def _table(
    struct: type, fields: Any, notes: dict[tuple[str, str], str], prefix: str, *, variables: bool = True
) -> Iterator[str]:
    yield "| key | type | default | what it is |" + (" variable |" if variables else "")
    yield "|---|---|---|---|" + ("---|" if variables else "")
    for field in fields:
        default = codec.encode(field.default).decode() if field.default is not msgspec.NODEFAULT else ""
        note = notes.get((struct.__name__, field.name), "").replace("\n", " ")
        variable = f"UWU_{prefix}{field.name}".upper()
        shown = f"`{default}`" if default else ""
        row = f"| `{field.name}` | {_type_name(field.type)} | {shown} | {note} |"
        yield row + (f" `{variable}` |" if variables else "")


def _type_name(kind: Any) -> str:
    if typing.get_origin(kind) is typing.Annotated:
        inner, *meta = typing.get_args(kind)
        bounds = [f"{sign} {value}" for m in meta for sign, value in ((">=", m.ge), ("<=", m.le)) if value is not None]
        return f"{_type_name(inner)} {', '.join(bounds)}".strip()
    if typing.get_origin(kind) is tuple:
        return "list of text"
    if typing.get_origin(kind) is typing.Literal:
        return " or ".join(map(str, typing.get_args(kind)))
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
    by_code: dict[str, tuple[set[str], set[str]]] = {}
    for code, kind, where in _codes():
        kinds_of, modules = by_code.setdefault(code, (set(), set()))
        kinds_of.add(kind)
        modules.add(where.removeprefix("uwu."))
    lines += [
        "",
        "## Codes",
        "",
        "A problem is told and costs only itself: the rest of the work goes on.",
        "",
        "| code | kind | in |",
        "|---|---|---|",
    ]
    for code, (of, modules) in sorted(by_code.items()):
        lines.append(f"| `{code}` | {', '.join(sorted(of))} | {', '.join(f'`{m}`' for m in sorted(modules))} |")
    return "\n".join(lines)


CODE = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
PROBLEM = "problem"


def _codes() -> set[tuple[str, str, str]]:
    """(code, kind, module) of every error and problem that the code makes with a code of its own."""
    kinds = {k for k, v in vars(errors).items() if isinstance(v, type) and issubclass(v, Exception)}
    found: set[tuple[str, str, str]] = set()
    trees = {path: ast.parse(path.read_text("utf-8")) for path in sorted(SOURCE.rglob("*.py"))}
    classes = {name: at for tree in trees.values() for name, at in _makers(tree, ast.ClassDef).items()}
    for path, tree in trees.items():
        where = ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts)
        makers = {**classes, **_makers(tree, ast.FunctionDef)}
        for node in ast.walk(tree):
            given: list[ast.expr] = []
            name = ""
            if isinstance(node, ast.Call):
                name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
                given = [k.value for k in node.keywords if k.arg == "code"]
                given += node.args[makers[name] : makers[name] + 1] if name in makers and name not in kinds else []
            elif isinstance(node, ast.ClassDef):
                name = next((base.id for base in node.bases if isinstance(base, ast.Name)), "")
                name = node.name if node.name in kinds else name
                given = _own_codes(node)
            texts = [text for each in given for text in _texts(each, tree)]
            found |= {(t, name if name in kinds else PROBLEM, where) for t in texts if CODE.fullmatch(t)}
    return found


def _own_codes(node: ast.ClassDef) -> list[ast.expr]:
    """What a kind of error sets as its own code: ``code = ...``, ``code, status = ...``."""
    values: list[ast.expr] = []
    for statement in node.body:
        target = statement.targets[0] if isinstance(statement, ast.Assign) else None
        if (
            isinstance(statement, ast.Assign)
            and isinstance(target, ast.Tuple)
            and isinstance(statement.value, ast.Tuple)
        ):
            pairs = zip(target.elts, statement.value.elts, strict=False)
            values += [value for one, value in pairs if isinstance(one, ast.Name) and one.id == "code"]
        elif isinstance(statement, ast.Assign) and isinstance(target, ast.Name) and target.id == "code":
            values.append(statement.value)
    return values


def _makers(tree: ast.Module, of: type[ast.ClassDef | ast.FunctionDef]) -> dict[str, int]:
    """Function or class -> which of its positional arguments is a code."""
    makers: dict[str, int] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and of is ast.FunctionDef:
            names = [a.arg for a in node.args.args if a.arg != "self"]
        elif isinstance(node, ast.ClassDef) and of is ast.ClassDef:
            names = [s.target.id for s in node.body if isinstance(s, ast.AnnAssign) and isinstance(s.target, ast.Name)]
            for made in (s for s in node.body if isinstance(s, ast.FunctionDef) and s.name == "__init__"):
                names = [a.arg for a in made.args.args if a.arg != "self"]
        else:
            continue
        if "code" in names:
            makers[node.name] = names.index("code")
    return makers


def _texts(node: ast.expr, tree: ast.Module) -> Iterator[str]:
    """The texts that an expression may be: a literal, either side of a choice, or a constant of the module."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from _texts(node.body, tree)
        yield from _texts(node.orelse, tree)
    elif isinstance(node, ast.Name) and node.id.isupper():
        for statement in tree.body:
            if not isinstance(statement, ast.Assign):
                continue
            for target in statement.targets:
                if isinstance(target, ast.Name) and target.id == node.id:
                    yield from _texts(statement.value, tree)
                elif isinstance(target, ast.Tuple) and isinstance(statement.value, ast.Tuple):
                    for one, value in zip(target.elts, statement.value.elts, strict=False):
                        if isinstance(one, ast.Name) and one.id == node.id:
                            yield from _texts(value, tree)


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
    import tempfile

    from uwu.app import asgi
    from uwu.app.api import openapi
    from uwu.app.api.parameters import BOUNDS, function, inputs
    from uwu.app.metrics import Metrics
    from uwu.kernel.runtime import Kernel

    bounds = ", ".join(f"`{name}` is {low} to {high}" for name, (low, high) in BOUNDS.items() if high < 2**53)
    lines = [
        "# API",
        "",
        "Under `/api/v1`. Answers are JSON, errors problem+json. A parameter that a route does not know, that is given",
        f"twice or that is out of bounds is an error: {bounds}.",
        "`/api/v1/schema/openapi.json` is the OpenAPI document; `docs/api.md` tells the rest. The methods of",
        "`uwu.client.Client` are called as the operations.",
        "",
        "| route | operation | what it gives | parameters | body | action |",
        "|---|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as home:
        kernel = Kernel.open(Path(home))
        listed = list(openapi.operations(asgi.litestar(kernel, Metrics(kernel)), asgi.API))
        kernel.close()
    for path, method, handler in listed:
        taken = inputs(handler)
        given = ", ".join(f"`{name}`" for name in sorted(taken.query))
        body = ", ".join(f"`{name}`" for name in taken.body.__struct_fields__) if taken.body is not None else ""
        what = (inspect.getdoc(function(handler)) or "").split("\n\n")[0].replace("\n", " ").replace("|", "\\|")
        route = f"`{method} {path.removeprefix(asgi.API)}`"
        operation = openapi.operation_id(handler)
        lines.append(f"| {route} | `{operation}` | {what} | {given} | {body} | `{handler.opt['action']}` |")
    return "\n".join(lines)


# ---- rules


def _rules() -> str:
    from uwu.kernel import domain
    from uwu.kernel.rules import RULES

    known = [*RULES, *(rule for _, rule in domain.rules_of(domain.installed()))]
    themes: dict[str, list[domain.Rule]] = {}
    for rule in known:
        themes.setdefault(rule.theme, []).append(rule)
    lines = [
        "# Rules",
        "",
        f"The {len(known)} rules that uwu brings. A rule needs what is observed of the types that it looks at, and",
        "says of what it could not judge; `docs/rules.md` tells how, and how something is made exempt.",
    ]
    for theme, held in themes.items():
        lines += [
            "",
            f"## {theme}",
            "",
            "| rule | what it finds, and why that matters | severity | fix | looks at | also asked by |",
        ]
        lines.append("|---|---|---|---|---|---|")
        for rule in held:
            severity = rule.severity.value + (f"; higher {rule.rises}" if rule.rises else "")
            types = ", ".join(f"`{type}`" for type in rule.types) or "all"
            told = f"**{rule.title}.** {rule.why}"
            cells = (f"`{rule.id}`", told, severity, rule.remedy, types, ", ".join(rule.references))
            lines.append("| " + " | ".join(map(_cell, cells)) + " |")
    return "\n".join(lines)


def _cell(text: str) -> str:
    """``text`` as it stands in a table of Markdown."""
    return text.replace("\n", " ").replace("|", "\\|").replace("<", "&lt;")


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
