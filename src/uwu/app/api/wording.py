"""The words that stand at a struct's fields: the docstrings below them, which Python itself throws away."""

from __future__ import annotations

import ast
import inspect
import textwrap
from functools import cache

import msgspec


@cache
def of_fields(struct: type[msgspec.Struct]) -> dict[str, str]:
    """Field -> what the code says of it, those of its bases included; empty where there is no source."""
    found: dict[str, str] = {}
    for each in reversed(struct.__mro__):
        if each in (msgspec.Struct, object):
            continue
        try:
            source = textwrap.dedent(inspect.getsource(each))
        except (OSError, TypeError):
            continue
        body = ast.parse(source).body[0]
        found |= _words(body) if isinstance(body, ast.ClassDef) else {}
    return found


def _words(body: ast.ClassDef) -> dict[str, str]:
    found: dict[str, str] = {}
    for field, below in zip(body.body, body.body[1:], strict=False):
        if not (isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)):
            continue
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) and isinstance(below.value.value, str):
            found[field.target.id] = inspect.cleandoc(below.value.value)
    return found
