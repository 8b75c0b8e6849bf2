"""Checks a plain value against the part of JSON Schema (2020-12) that entity kinds use.

A keyword outside this part is an error of the schema's author, raised when the schema is first used: a check that
silently does nothing would accept everything.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

import msgspec

Path = tuple[str | int, ...]


class Violation(msgspec.Struct, frozen=True):
    """One place where a value does not fit: ``path`` leads to it (to its parent where something is missing)."""

    path: Path
    message: str
    hint: str = ""
    line: int = 0
    """The line within a text of several lines, from 1; 0 for the whole value."""


_ANNOTATIONS = frozenset({"title", "description", "examples", "default", "$schema", "$id", "$comment"})
_KEYWORDS = frozenset(
    {"type", "required", "properties", "additionalProperties", "items", "enum", "const", "pattern"}
    | {"minLength", "maxLength", "minItems", "maxItems", "uniqueItems", "minimum", "maximum", "anyOf", "propertyNames"}
)
_NAMES = {
    "object": "a mapping",
    "array": "a list",
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "nothing",
}


def check(value: Any, schema: Mapping[str, Any], path: Path = ()) -> Iterator[Violation]:
    """Yields every place where ``value`` does not fit. Raises ``ValueError`` for a keyword that is not supported."""
    unknown = schema.keys() - _KEYWORDS - _ANNOTATIONS
    if unknown:
        raise ValueError(f"the schema keyword {min(unknown)!r} is not supported")
    kinds = schema.get("type")
    if kinds is not None:
        wanted = [kinds] if isinstance(kinds, str) else list(kinds)
        if not any(_is(value, kind) for kind in wanted):
            yield _wrong_type(value, wanted, path)
            return
    yield from _check_choice(value, schema, path)
    if isinstance(value, str):
        yield from _check_text(value, schema, path)
    elif isinstance(value, Mapping):
        yield from _check_mapping(cast("Mapping[Any, Any]", value), schema, path)
    elif isinstance(value, list):
        yield from _check_list(cast("list[Any]", value), schema, path)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        if "minimum" in schema and value < schema["minimum"]:
            yield Violation(path, f"{_name(path)} is {value}; the least is {schema['minimum']}")
        if "maximum" in schema and value > schema["maximum"]:
            yield Violation(path, f"{_name(path)} is {value}; the most is {schema['maximum']}")


def near(word: str, words: Iterable[str]) -> str:
    """``did you mean ...?`` with the nearest of ``words``; empty where none is near."""
    by_lower = {candidate.lower(): candidate for candidate in words}
    found = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    return f"did you mean {by_lower[found[0]]}?" if found else ""


def _is(value: Any, kind: str) -> bool:
    if kind == "number":
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    types: dict[str, Any] = {"object": Mapping, "array": list, "string": str, "boolean": bool, "null": type(None)}
    if kind not in types:
        raise ValueError(f"the schema type {kind!r} is not supported")
    return isinstance(value, types[kind])


def _wrong_type(value: Any, wanted: Sequence[str], path: Path) -> Violation:
    has = next(name for kind, name in _NAMES.items() if _is(value, kind))
    hint = ""
    if "string" in wanted and isinstance(value, bool | int | float):
        hint = "quote it to make it a text"
    elif "array" in wanted and isinstance(value, str):
        hint = f"write it as a list: [{value}]"
    return Violation(path, f"{_name(path)} must be {' or '.join(_NAMES[w] for w in wanted)}, not {has}", hint)


def _check_choice(value: Any, schema: Mapping[str, Any], path: Path) -> Iterator[Violation]:
    if "const" in schema and value != schema["const"]:
        yield Violation(path, f"{_name(path)} must be {schema['const']!r}")
    if "enum" in schema and value not in schema["enum"]:
        choices = [str(choice) for choice in schema["enum"]]
        yield Violation(path, f"{_name(path)} is {value!r}; it may be {', '.join(choices)}", near(str(value), choices))
    if "anyOf" in schema:
        tries = [list(check(value, part, path)) for part in schema["anyOf"]]
        if all(tries):
            yield from min(tries, key=lambda violations: (-max(len(v.path) for v in violations), len(violations)))


def _check_text(value: str, schema: Mapping[str, Any], path: Path) -> Iterator[Violation]:
    if len(value) < schema.get("minLength", 0):
        yield Violation(path, f"{_name(path)} is empty" if not value else f"{_name(path)} is too short")
    if len(value) > schema.get("maxLength", len(value)):
        yield Violation(path, f"{_name(path)} has {len(value)} characters; at most {schema['maxLength']} are allowed")
    if "pattern" in schema and not re.search(schema["pattern"], value):
        hint = schema.get("description") or f"it must match {schema['pattern']}"
        yield Violation(path, f"{_name(path)} {value!r} is not of the right form", hint)


def _check_mapping(value: Mapping[Any, Any], schema: Mapping[str, Any], path: Path) -> Iterator[Violation]:
    properties: Mapping[str, Any] = schema.get("properties", {})
    extra = [key for key in value if key not in properties]
    for name in schema.get("required", ()):
        if name not in value:
            slip = near(name, extra)
            hint = slip.replace("did you mean", "is it the field") if slip else f"add {name}: ... here"
            yield Violation(path, f"{_name((*path, name))} is missing", hint)
    rest = schema.get("additionalProperties", True)
    for key, part in value.items():
        here = (*path, key)
        if "propertyNames" in schema:
            for violation in check(key, schema["propertyNames"], here):
                yield msgspec.structs.replace(violation, message=f"the key {violation.message}")
        if key in properties:
            yield from check(part, properties[key], here)
        elif rest is False:
            hint = near(key, properties) or f"the fields are {', '.join(sorted(properties))}"
            yield Violation(here, f"{_name(here)} is not a field here", hint)
        elif isinstance(rest, Mapping):
            yield from check(part, cast("Mapping[str, Any]", rest), here)


def _check_list(value: Sequence[Any], schema: Mapping[str, Any], path: Path) -> Iterator[Violation]:
    if len(value) < schema.get("minItems", 0):
        yield Violation(path, f"{_name(path)} has {len(value)} items; at least {schema['minItems']} are needed")
    if len(value) > schema.get("maxItems", len(value)):
        yield Violation(path, f"{_name(path)} has {len(value)} items; at most {schema['maxItems']} are allowed")
    if schema.get("uniqueItems"):
        for index, item in enumerate(value):
            if item in value[:index]:
                yield Violation((*path, index), f"{_name((*path, index))} repeats {item!r}")
    if "items" in schema:
        for index, item in enumerate(value):
            yield from check(item, schema["items"], (*path, index))


def _name(path: Path) -> str:
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.lstrip(".") or "the document"
