"""One file of the estate, read: its entities with their places, what they refer to, and what is wrong with it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import msgspec

from uwu.kernel import codec, documents, domain, schema
from uwu.kernel.documents import Document, Step
from uwu.kernel.domain import EntityKind
from uwu.kernel.envelope import ENVELOPE
from uwu.kernel.errors import BadInput, Problem
from uwu.kernel.estate import roots
from uwu.kernel.estate.references import parse_reference
from uwu.kernel.estate.roots import Root, Target
from uwu.kernel.model import Entity, Place


class Referred(msgspec.Struct, frozen=True, array_like=True):
    """One reference that a field of an entity makes; whether its target is there is another question."""

    kind: str
    """The relation from the entity to what it names, and back."""
    back: str
    target: str
    place: str


class Declared(msgspec.Struct, frozen=True, array_like=True):
    """An entity that fits its kind, with where its name is written and what it refers to."""

    entity: Entity
    place: str
    references: tuple[Referred, ...]


class FileRead(msgspec.Struct, frozen=True, array_like=True):
    """What a file says."""

    file: str
    """As shown in places."""
    declared: tuple[Declared, ...]
    rejected: tuple[str, ...]
    """References of entities that it holds and that do not fit: what was accepted of them before stays."""
    whole: bool
    """Every document of it could be read and fits."""
    problems: tuple[Problem, ...]
    uses: tuple[str, ...]
    """Files, as shown, that its ``$text``, ``$json`` and ``$yaml`` embed."""
    targets: tuple[Target, ...]
    """What its Locations name."""


def read(path: str, root: Root, kinds: Mapping[str, EntityKind]) -> FileRead:
    """The file at the real ``path`` of ``root``, by the ``kinds`` of entities by lower-case name."""
    return _Reader(path, root, kinds).read()


class _Reader:
    def __init__(self, path: str, root: Root, kinds: Mapping[str, EntityKind]) -> None:
        self.path, self.root, self.kinds = path, root, kinds
        self.file = root.shown(path)
        self.problems: list[Problem] = []
        self.declared: dict[str, Declared] = {}
        self.rejected: list[str] = []
        self.uses: list[str] = []
        self.targets: list[Target] = []
        self.whole = True

    def read(self) -> FileRead:
        for found in documents.read_file(Path(self.path), self.file):
            if isinstance(found, Problem):
                self.problems.append(found)
                self.whole = False
            else:
                self._take(found)
        return FileRead(
            self.file,
            tuple(self.declared.values()),
            tuple(self.rejected),
            self.whole,
            tuple(self.problems),
            tuple(self.uses),
            tuple(self.targets),
        )

    def _problem(self, code: str, message: str, place: str, hint: str = "", severity: str = "error") -> None:
        self.problems.append(Problem(code, message, place, hint, severity))

    def _take(self, document: Document) -> None:
        value = document.value
        if not isinstance(value, dict) or not {"apiVersion", "kind", "metadata"} & value.keys():
            hint = "an entity has apiVersion, kind, metadata and spec; keep other YAML out of the estate"
            self._problem("not-an-entity", "this document is no entity", document.place(), hint, "warning")
            return
        envelope = cast("dict[str, Any]", value)
        before = len(self.problems)
        written = envelope.get("spec")
        for part in ("metadata", "spec"):
            if part in envelope:
                envelope[part] = self._substitute(envelope[part], (part,), document)
        self._check(document, envelope, ENVELOPE, ())
        kind: EntityKind | None = None
        if len(self.problems) == before:
            kind = self._kind(document, envelope)
        if kind is not None:
            if "spec" not in envelope and kind.schema.get("required"):
                self._problem("schema", "spec is missing", document.place(), "add spec: with the fields of the kind")
            self._check(document, envelope.get("spec", {}), kind.schema, ("spec",))
            if kind.check and len(self.problems) == before:
                self._check_further(document, envelope["spec"], written, kind)
        if kind is None or len(self.problems) > before:
            self._reject(envelope)
            return
        metadata = envelope["metadata"]
        entity = Entity(
            kind=kind.kind,
            name=metadata["name"],
            namespace=metadata.get("namespace", "default"),
            api_version=envelope["apiVersion"],
            metadata=metadata,
            spec=envelope.get("spec", {}),
            place=Place(document.file, document.line),
            origin=self.root.origin,
        )
        place = document.place(("metadata", "name"))
        if entity.ref in self.declared:
            self.problems.append(twice(entity.ref, place, self.declared[entity.ref].place))
            return
        self.declared[entity.ref] = Declared(entity, place, tuple(self._references(entity, kind, document)))
        if kind.kind == "Location":
            self._locate(entity, document)

    def _kind(self, document: Document, envelope: Mapping[str, Any]) -> EntityKind | None:
        name, version = envelope["kind"], envelope["apiVersion"]
        kind = self.kinds.get(name.lower())
        if kind is None:
            known = [k.kind for k in self.kinds.values()]
            hint = schema.near(name, known) or f"the kinds are {', '.join(sorted(known))}"
            self._problem("unknown-kind", f"there is no kind {name!r}", document.place(("kind",)), hint)
        elif version not in kind.api_versions:
            hint = f"{kind.kind} is written in {' or '.join(kind.api_versions)}"
            self._problem(
                "unknown-api-version", f"{kind.kind} has no {version!r}", document.place(("apiVersion",)), hint
            )
            return None
        return kind

    def _check(self, document: Document, value: Any, against: Mapping[str, Any], path: tuple[Step, ...]) -> None:
        for found in schema.check(value, against, path):
            self._problem("schema", found.message, document.place(found.path), found.hint)

    def _check_further(self, document: Document, spec: Any, written: Any, kind: EntityKind) -> None:
        """What the kind's own check says. A line within a text is one of the file where the text stands in it."""
        for found in domain.load(kind.check)(spec):
            line = document.line_of(("spec", *found.path))
            whole = cast("dict[Any, Any]", written) if isinstance(written, dict) else {}
            value: Any = whole.get(found.path[0]) if found.path else None
            if found.line and isinstance(value, str):
                line += found.line if value.rstrip().count("\n") else 0
                self._problem(kind.kind.lower(), found.message, f"{document.file}:{line}", found.hint)
            else:
                within = f" (line {found.line} of its text)" if found.line else ""
                self._problem(kind.kind.lower(), found.message + within, f"{document.file}:{line}", found.hint)

    def _reject(self, envelope: Mapping[str, Any]) -> None:
        self.whole = False
        metadata = envelope.get("metadata")
        if isinstance(metadata, dict):
            facts = cast("dict[str, Any]", metadata)
            ref = f"{envelope.get('kind')}:{facts.get('namespace', 'default')}/{facts.get('name')}".lower()
            self.rejected.append(ref)

    # ---- what it embeds

    def _substitute(self, value: Any, at: tuple[Step, ...], document: Document) -> Any:
        """``$text``, ``$json`` and ``$yaml`` replaced by what the file they name holds."""
        if isinstance(value, list):
            items = cast("list[Any]", value)
            return [self._substitute(item, (*at, index), document) for index, item in enumerate(items)]
        if not isinstance(value, dict):
            return value
        mapping = cast("dict[str, Any]", value)
        if len(mapping) == 1:
            (key, target), *_ = mapping.items()
            if key in {"$text", "$json", "$yaml"} and isinstance(target, str):
                return self._embed(key, target, document.place((*at, key)))
        return {key: self._substitute(item, (*at, key), document) for key, item in mapping.items()}

    def _embed(self, key: str, target: str, place: str) -> Any:
        if "://" in target:
            self._problem("substitution-remote", f"{key} names {target!r}", place, "name a file of the estate")
            return ""
        real = os.path.realpath(os.path.join(os.path.dirname(self.path), target))
        if not self.root.holds(real):
            self.problems.append(roots.escape(place, f"{key} {target!r} leads out of the estate"))
            return ""
        self.uses.append(self.root.shown(real))
        if not os.path.isfile(real):
            hint = schema.near(os.path.basename(real), roots.siblings(real))
            self._problem("substitution-missing", f"{key} names {target!r}, which is no file", place, hint)
            return ""
        if os.path.getsize(real) > documents.MAX_FILE_BYTES:
            self._problem("file-too-large", f"{target!r} is larger than 5 MiB", place, "keep its address instead")
            return ""
        try:
            text = Path(real).read_bytes().decode("utf-8-sig")
            if key == "$text":
                return text
            if key == "$json":
                return codec.decode(text)
        except (OSError, ValueError, msgspec.DecodeError) as error:
            self._problem("substitution-unreadable", f"{key} {target!r} cannot be read: {error}", place)
            return ""
        values: list[Any] = []
        for found in documents.read_text(text, self.root.shown(real)):
            if isinstance(found, Problem):
                self._problem(found.code, f"{target}: {found.message} ({found.place})", place, found.hint)
            else:
                values.append(found.value)
        return values[0] if values else ""

    # ---- what it names

    def _locate(self, entity: Entity, document: Document) -> None:
        if entity.spec.get("type", "file") != "file":
            self._problem(
                "location-remote",
                f"locations of the type {entity.spec['type']} are kept and not followed",
                document.place(("spec", "type")),
                "check the source out beside the estate and name it in `estate` of uwu.toml",
                "warning",
            )
            return
        if "target" in entity.spec:
            self.targets.append(Target(str(entity.spec["target"]), document.place(("spec", "target"))))
        for index, target in enumerate(entity.spec.get("targets", [])):
            self.targets.append(Target(str(target), document.place(("spec", "targets", index))))

    def _references(self, entity: Entity, kind: EntityKind, document: Document) -> Iterator[Referred]:
        for field, (default_kind, forward, backward) in kind.references.items():
            for at, text in _texts(entity.spec, field):
                place = document.place(at)
                try:
                    target = parse_reference(text, kind=default_kind, namespace=entity.namespace)
                except BadInput as error:
                    self._problem(error.problem.code, error.problem.message, place, error.problem.hint)
                else:
                    yield Referred(forward, backward, str(target), place)


def twice(ref: str, place: str, kept: str) -> Problem:
    """The problem of an entity that another of its name, at ``kept``, stands before."""
    hint = f"the one at {kept} is kept; rename or remove one of them"
    return Problem("duplicate-entity", f"{ref} is declared twice", place, hint)


def _texts(spec: Mapping[str, Any], field: str) -> Iterator[tuple[tuple[Step, ...], str]]:
    """The texts of a field; ``a.b`` is a field within a field."""
    path: tuple[Step, ...] = ("spec", *field.split("."))
    value: Any = spec
    for step in path[1:]:
        value = cast("dict[Any, Any]", value).get(step) if isinstance(value, dict) else None
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, list):
        items = cast("list[Any]", value)
        yield from (((*path, index), item) for index, item in enumerate(items) if isinstance(item, str))
