"""What helps those who write the estate: schemas for their editors, one form of writing, and whom a change touches."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from uwu.kernel import documents, domain, estate
from uwu.kernel.domain import EntityKind
from uwu.kernel.envelope import ENVELOPE
from uwu.kernel.errors import BadInput, Problem
from uwu.kernel.estate import Estate

DIALECT = "https://json-schema.org/draft/2020-12/schema"

# ---- schemas


def _schema(kinds: Mapping[str, EntityKind], kind: str = "") -> dict[str, Any]:
    if kind and kind.lower() not in kinds:
        hint = f"the kinds are {', '.join(sorted(k.kind for k in kinds.values()))}"
        raise BadInput(f"there is no kind {kind!r}", code="unknown-kind", hint=hint)
    if kind:
        one = kinds[kind.lower()]
        whole = {**ENVELOPE, "title": one.kind, "allOf": [_of(one)]}
        return {"$schema": DIALECT, **whole}
    named = sorted(kinds.values(), key=lambda each: each.kind)
    cases = [
        {"if": {"properties": {"kind": {"const": each.kind}}, "required": ["kind"]}, "then": _of(each)}
        for each in named
    ]
    properties = {**ENVELOPE["properties"], "kind": {"enum": [each.kind for each in named]}}
    return {"$schema": DIALECT, **ENVELOPE, "title": "Entity", "properties": properties, "allOf": cases}


def _of(kind: EntityKind) -> dict[str, Any]:
    told: dict[str, Any] = {
        "properties": {
            "apiVersion": {"enum": list(kind.api_versions)},
            "kind": {"const": kind.kind},
            "spec": _published(kind.schema),
        }
    }
    if kind.schema.get("required"):
        told["required"] = ["spec"]
    return told


def _published(value: Any) -> Any:
    """A kind's schema in which an embedded file may stand for any field, as the reader takes it."""
    if not isinstance(value, Mapping) or "properties" not in value:
        return value
    fields = {
        name: {"anyOf": [_published(each), {"$ref": "#/$defs/embedded"}]} for name, each in value["properties"].items()
    }
    return {**value, "properties": fields}


EMBEDDED = {
    "type": "object",
    "minProperties": 1,
    "maxProperties": 1,
    "additionalProperties": False,
    "properties": {name: {"type": "string"} for name in ("$text", "$json", "$yaml")},
}


def publish(kinds: Mapping[str, EntityKind], kind: str = "") -> dict[str, Any]:
    """The JSON Schema (2020-12) of one document, for editors: of ``kind``, in any case, or of every kind.

    Raises ``BadInput`` for a kind that is not there.
    """
    return {**_schema(kinds, kind), "$defs": {"embedded": EMBEDDED}}


# ---- one form

_TOP = ("apiVersion", "kind", "metadata", "spec")
_METADATA = ("name", "namespace", "title", "description", "labels", "annotations", "tags", "links")
WIDTH = 120


class Formatted(msgspec.Struct, frozen=True):
    """A file in the one form."""

    file: str
    text: str
    changed: bool
    problems: list[Problem] = []
    """Why it was left as it is."""


def format_text(text: str, file: str) -> Formatted:
    """``text`` with two spaces of indentation, keys in their order, and every comment where it was.

    What it says is not changed: where that cannot be shown, the text is given back as it is, with the reason.
    """
    before, problems = _values(text, file)
    if problems:
        return Formatted(file, text, changed=False, problems=problems)
    written = _write(text)
    after, worse = _values(written, file)
    if worse or before != after:
        problem = Problem("format-unsure", "it cannot be written anew without changing what it says", file)
        return Formatted(file, text, changed=False, problems=[*worse, problem])
    return Formatted(file, written, changed=written != text)


def _values(text: str, file: str) -> tuple[list[Any], list[Problem]]:
    read = list(documents.read_text(text, file))
    return [r.value for r in read if not isinstance(r, Problem)], [r for r in read if isinstance(r, Problem)]


def _write(text: str) -> str:
    from ruamel.yaml import YAML  # it takes a tenth of a second, and only this needs it
    from ruamel.yaml.comments import CommentedMap

    yaml: Any = YAML()
    yaml.version = (1, 2)
    yaml.preserve_quotes = True
    yaml.width = WIDTH
    yaml.indent(mapping=2, sequence=4, offset=2)
    parts: list[str] = []
    for document in yaml.load_all(text):
        if isinstance(document, CommentedMap):
            _order(document, _TOP)
            if isinstance(document.get("metadata"), CommentedMap):
                _order(document["metadata"], _METADATA)
        stream = io.StringIO()
        yaml.dump(document, stream)
        # the directive of the version is for the writer alone
        parts.append(re.sub(r"\A%YAML 1\.2\n---\n", "", stream.getvalue()).removesuffix("...\n"))
    return "---\n".join(parts)


def _order(mapping: Any, first: Sequence[str]) -> None:
    """The known keys first. A mapping with comments of its own keeps its order: they hang on the keys before them."""
    if mapping.ca.items or mapping.ca.comment:
        return
    keys = [key for key in first if key in mapping] + [key for key in mapping if key not in first]
    for key in keys:
        mapping.move_to_end(key)


# ---- whom a change touches


class Touched(msgspec.Struct, frozen=True):
    """An owner whom a change of files concerns."""

    owner: str
    declares: list[str]
    """Entities in those files that are this owner's."""
    depends: list[str]
    """Entities of this owner, elsewhere, that stand on one in those files."""


_STANDS_ON = frozenset({"dependsOn", "consumesApi", "partOf"})


def touched(found: Estate, files: Iterable[Path]) -> list[Touched]:
    """Whom a change of ``files`` concerns: who owns what they declare, and who depends on it."""
    resolved = {path.resolve() for path in files}
    here = {e.ref for e in found.entities if Path(e.place.file).resolve() in resolved}
    owner_of = {r.source: r.target for r in found.relations if r.kind == "ownedBy"}
    declares: dict[str, set[str]] = {}
    depends: dict[str, set[str]] = {}
    for ref in here:
        kind = ref.partition(":")[0]
        owner = ref if kind in {"group", "user"} else owner_of.get(ref, "")
        if owner:
            declares.setdefault(owner, set()).add(ref)
    for relation in found.relations:
        if relation.kind in _STANDS_ON and relation.target in here and relation.source not in here:
            owner = owner_of.get(relation.source, "")
            if owner:
                depends.setdefault(owner, set()).add(relation.source)
    return [
        Touched(owner, sorted(declares.get(owner, ())), sorted(depends.get(owner, ())))
        for owner in sorted({*declares, *depends})
    ]


def kinds() -> Mapping[str, EntityKind]:
    """The kinds of every installed domain."""
    return domain.kinds_of(domain.installed())


def load(path: Path) -> Estate:
    """The estate at ``path``, with all its problems."""
    return estate.load([path], kinds())
