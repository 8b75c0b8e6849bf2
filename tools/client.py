"""Writes src/uwu/client/operations.py: one typed method for each operation of the API, from the routes' own types.

Run by ``make reference``; a test fails where the file is not what this makes.
"""

from __future__ import annotations

import inspect
import subprocess
import sys
import tempfile
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from litestar.handlers import HTTPRouteHandler

from uwu.app import asgi
from uwu.app.api import openapi
from uwu.app.api.parameters import Parameter, function, inputs
from uwu.app.metrics import Metrics
from uwu.kernel import migrate
from uwu.kernel.runtime import Kernel
from uwu.kernel.settings import Settings

TARGET = Path(__file__).parent.parent / "src" / "uwu" / "client" / "operations.py"
HEAD = '''"""One method for each operation of the API. Written by ``make reference`` from the routes, not by hand."""

# ruff: noqa: E501

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

if TYPE_CHECKING:
{imports}


class Operations(ABC):
    """Every operation of the API, by its operation id. What they answer with are the kernel's own nouns.

    Each raises the ``UwuError`` that the API tells: ``BadInput``, ``NotFound``, ``Conflict``, ``Denied``, ...
    """

    @abstractmethod
    def call(
        self,
        method: str,
        path: str,
        gives: str,
        *,
        query: dict[str, Any] | None = None,
        body: dict[str, Any] | None = None,
    ) -> Any:
        """Asks for one operation; ``gives`` names the type of its answer. See ``Client``."""

    @abstractmethod
    def lines(self, path: str) -> Iterator[Any]:
        """The JSON values of a stream, one a line, as they come."""

    @staticmethod
    @abstractmethod
    def query(given: dict[str, Any]) -> str:
        """``given`` as the query of an address; what is None is left out."""
'''


def source() -> str:
    """The whole module."""
    with tempfile.TemporaryDirectory() as home:
        from uwu.kernel import domain

        kernel = Kernel(Settings(home=home), domain.installed())
        migrate.upgrade(kernel.db)
        listed = list(openapi.operations(asgi.litestar(kernel, Metrics(kernel)), asgi.API))
        kernel.close()
    modules: set[str] = set()
    methods = [text for path, method, handler in listed for text in _methods(path, method, handler, modules)]
    imports = "\n".join(f"    import {name}" for name in sorted(modules))
    made = HEAD.replace("{imports}", imports) + "\n" + "\n".join(methods)
    command = [sys.executable, "-m", "ruff", "format", "--stdin-filename", str(TARGET), "-"]
    return subprocess.run(command, input=made, capture_output=True, text=True, check=True).stdout


def _methods(path: str, method: str, handler: HTTPRouteHandler, modules: set[str]) -> Iterator[str]:
    taken, name = inputs(handler), openapi.operation_id(handler)
    body = _fields(taken.body) if taken.body is not None else []
    required = [
        *taken.path.values(),
        *(p for p in taken.query.values() if p.required),
        *(f for f in body if f.required),
    ]
    optional = [*(p for p in taken.query.values() if not p.required), *(f for f in body if not f.required)]
    gives = None if openapi.streams(handler) else openapi.returns(handler)
    returned = "Iterator[Any]" if openapi.streams(handler) else rendered(gives, modules)
    target = _target(path.removeprefix(asgi.API), list(taken.path))
    given = {p.name: _value(p) for p in taken.query.values()}
    if openapi.streams(handler):
        query = ", ".join(f'"{key}": {value}' for key, value in given.items())
        call = f"return self.lines({target}" + (f" + self.query({{{query}}})" if query else "") + ")"
    else:
        call = f'return self.call("{method}", {target}, "{named(gives)}"'
        call += f", query={_dict(given)}" if given else ""
        call += f", body={_dict({f.name: f.name for f in body})}" if taken.body is not None else ""
        call += ")"
    words = inspect.getdoc(function(handler)) or ""
    yield _method(name, required, optional, returned, words, [call], modules)
    item = _item(gives)
    if item is not None and "after" in taken.query:
        rest = [p for p in optional if p.name != "after"]
        passed = ", ".join(f"{p.name}={p.name}" for p in (*required, *rest))
        each = f"each_{name.removeprefix('list_')}"
        lines = [
            'after = ""',
            "while True:",
            f"    page = self.{name}({passed}, after=after)",
            "    yield from page.items",
            "    after = page.after",
            "    if not after:",
            "        return",
        ]
        text = f"Every item of ``{name}``, page by page; ``limit`` is the size of a page."
        yield _method(each, required, rest, f"Iterator[{rendered(item, modules)}]", text, lines, modules)


def _method(
    name: str,
    required: list[Parameter],
    optional: list[Parameter],
    returned: str,
    words: str,
    lines: list[str],
    modules: set[str],
) -> str:
    parameters = [f"{p.name}: {rendered(p.type, modules)}" for p in required]
    if optional:
        parameters += ["*", *(f"{p.name}: {_optional(p, modules)}" for p in optional)]
    told = (
        f'"""{words}"""' if "\n" not in words else '"""' + words.replace("\n", "\n        ").rstrip() + '\n        """'
    )
    told = told.replace("\n        \n", "\n\n")
    head = (
        f"    def {name}(\n        self,\n"
        + "".join(f"        {one},\n" for one in parameters)
        + f"    ) -> {returned}:"
    )
    return "\n".join([head, f"        {told}", *(f"        {line}" for line in lines), ""])


def _fields(struct: Any) -> list[Parameter]:
    hints = typing.get_type_hints(struct, include_extras=True)
    found: list[Parameter] = []
    for field in msgspec.structs.fields(struct):
        default = field.default
        if field.default_factory is not msgspec.NODEFAULT:
            default = None
        required = field.required
        found.append(Parameter(field.name, hints[field.name], required, None if required else default))
    return found


def _optional(parameter: Parameter, modules: set[str]) -> str:
    kind, default = rendered(parameter.type, modules), parameter.default
    if default is None and "None" not in kind.split(" | "):
        kind += " | None"
    return f"{kind} = {default!r}".replace("'", '"')


def _value(parameter: Parameter) -> str:
    """What is sent of a parameter: nothing where it is as if it were not given."""
    return (
        f"{parameter.name} or None" if parameter.default in ("", False) and not parameter.required else parameter.name
    )


def _dict(given: dict[str, str]) -> str:
    return "{" + ", ".join(f'"{key}": {value}' for key, value in given.items()) + "}"


def _target(path: str, names: list[str]) -> str:
    for name in names:
        path = path.replace(f"{{{name}}}", f"{{quote({name}, safe='')}}")
    return f'f"{path}"' if names else f'"{path}"'


def _item(gives: Any) -> Any:
    """What a page holds: the type of its ``items``; None for what is no page."""
    if (
        isinstance(gives, type)
        and issubclass(gives, msgspec.Struct)
        and {"items", "after"} <= set(gives.__struct_fields__)
    ):
        return typing.get_args(typing.get_type_hints(gives)["items"])[0]
    return None


def rendered(kind: Any, modules: set[str]) -> str:
    """``kind`` as it is written in the module; the modules that it names are added to ``modules``."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if kind is None or kind is type(None):
        return "None"
    if kind is Any:
        return "Any"
    if origin is typing.Annotated:
        return rendered(inner[0], modules)
    if origin is typing.Literal:
        return "Literal[" + ", ".join(f'"{value}"' for value in inner) + "]"
    if origin in (typing.Union, types.UnionType):
        return " | ".join(rendered(one, modules) for one in inner)
    if origin is not None:
        parts = ["..." if one is ... else rendered(one, modules) for one in inner]
        return f"{origin.__name__}[{', '.join(parts)}]"
    if kind.__module__ == "builtins":
        return kind.__name__
    modules.add(kind.__module__)
    return f"{kind.__module__}.{kind.__qualname__}"


def named(kind: Any) -> str:
    """``kind`` as the client finds it once it is asked for: ``list[module:Name]``, ``module:Name?``; empty for JSON."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        left = [one for one in typing.get_args(kind) if one is not type(None)]
        return f"{named(left[0])}?" if len(left) == 1 and named(left[0]) else ""
    if typing.get_origin(kind) is list and (inner := named(typing.get_args(kind)[0])):
        return f"list[{inner}]"
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return f"{kind.__module__}:{kind.__qualname__}"
    return ""


if __name__ == "__main__":
    made = source()
    if not TARGET.exists() or TARGET.read_text("utf-8") != made:
        TARGET.write_text(made, "utf-8")
        sys.stdout.write(f"wrote {TARGET}\n")
