"""The estate: declared entities in YAML files (Backstage's envelope), read with their places and references.

Nothing is fetched: a location of the type ``url`` is kept as an entity and not followed. Nothing is read outside the
folder that was named, whatever a glob, a substitution or a symbolic link says.
"""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import msgspec

from uwu.kernel import codec, documents, domain, schema
from uwu.kernel.documents import Document, Step
from uwu.kernel.domain import EntityKind
from uwu.kernel.envelope import ENVELOPE
from uwu.kernel.errors import BadInput, Problem
from uwu.kernel.model import Entity, Place, Relation

SUFFIXES = (".yaml", ".yml")


class Reference(msgspec.Struct, frozen=True):
    """``kind:namespace/name`` in lower case."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.namespace}/{self.name}"


_REFERENCE = re.compile(r"(?:([^:/\s]+):)?(?:([^:/\s]+)/)?([^:/\s]+)")


def parse_reference(text: str, *, kind: str = "", namespace: str = "default") -> Reference:
    """``[kind:][namespace/]name`` in any case, with what the field says where a part is left out.

    Raises ``BadInput`` where it is not of that form, or names no kind and the field has no default one.
    """
    match = _REFERENCE.fullmatch(text.strip())
    if match is None:
        raise BadInput(
            f"{text!r} is no entity reference", code="reference-malformed", hint="write [kind:][namespace/]name"
        )
    found = Reference((match[1] or kind).lower(), (match[2] or namespace).lower(), match[3].lower())
    if not found.kind:
        raise BadInput(
            f"{text!r} does not say of what kind it is",
            code="reference-kind",
            hint=f"write the kind before it, such as component:{text.strip()}",
        )
    return found


def parse_location(text: str) -> tuple[str, str]:
    """``type:target``, parted at the first colon only: a target may hold colons. Raises ``BadInput``."""
    type, colon, target = text.partition(":")
    if not colon or not type or not target:
        raise BadInput(f"{text!r} is no location reference", code="location-malformed", hint="write type:target")
    return type, target


@dataclass(frozen=True)
class Estate:
    """What the estate declares, and what is wrong with it."""

    entities: tuple[Entity, ...]
    relations: tuple[Relation, ...]
    """In both directions, each with ``file:line`` as its evidence."""
    problems: tuple[Problem, ...]
    origins: tuple[str, ...]
    """The roots that were read, as location references."""
    unread: frozenset[str]
    """Files that hold something that could not be accepted: they say nothing about what is missing from them."""
    _relations: Mapping[str, tuple[Relation, ...]] = field(repr=False, default_factory=dict[str, tuple[Relation, ...]])

    def part(self, origin: str) -> tuple[list[Entity], tuple[Relation, ...]]:
        """The entities that ``origin`` brought, and their relations."""
        return [e for e in self.entities if e.origin == origin], self._relations.get(origin, ())


def load(
    paths: Iterable[Path], kinds: Mapping[str, EntityKind], *, accepted: Mapping[str, str] | None = None
) -> Estate:
    """Reads the folders and files ``paths``; ``kinds`` are the entity kinds by lower-case name.

    ``accepted`` (reference -> file) is what was accepted before: references may name it as long as its file cannot be
    read now, and it keeps its place against a second entity of its name.
    """
    return _Loader(kinds, accepted or {}).load(paths)


@dataclass(frozen=True)
class _Root:
    given: Path
    real: Path
    origin: str

    def shown(self, real: Path) -> str:
        return str(self.given / real.relative_to(self.real))


@dataclass(frozen=True)
class _Candidate:
    entity: Entity
    kind: EntityKind
    document: Document


class _Loader:
    def __init__(self, kinds: Mapping[str, EntityKind], accepted: Mapping[str, str]) -> None:
        self.kinds = kinds
        self.accepted = accepted
        self.problems: list[Problem] = []
        self.candidates: list[_Candidate] = []
        self.unread: set[str] = set()
        self.queue: deque[tuple[Path, _Root]] = deque()
        self.seen: set[Path] = set()
        self.embedded: set[str] = set()

    def load(self, paths: Iterable[Path]) -> Estate:
        origins: list[str] = []
        for path in paths:
            root = self._root(path)
            if root is not None:
                origins.append(root.origin)
            while self.queue:
                self._read(*self.queue.popleft())
        entities = self._unique()
        relations = self._refer(entities)
        problems = [p for p in self.problems if p.place.rsplit(":", 1)[0] not in self.embedded]
        return Estate(
            tuple(c.entity for c in entities.values()),
            tuple(relation for part in relations.values() for relation in part),
            tuple(problems),
            tuple(origins),
            frozenset(self.unread),
            {origin: tuple(part) for origin, part in relations.items()},
        )

    # ---- files

    def _root(self, path: Path) -> _Root | None:
        if not path.exists():
            hint = "create it, or correct `estate` in uwu.toml"
            self._problem("estate-missing", "there is no such file or folder", str(path), hint)
            return None
        real = path.resolve()
        origin = f"file:{path}"
        if path.is_dir():
            root = _Root(path, real, origin)
            for file in self._walk(root, real):
                if file.suffix in SUFFIXES:
                    self._enqueue(file, root)
        else:
            root = _Root(path.parent, real.parent, origin)
            self._enqueue(real, root)
        return root

    def _walk(self, root: _Root, folder: Path) -> Iterator[Path]:
        """Every file under ``folder``, in order; hidden folders and links to folders are not entered."""

        def unreadable(error: OSError) -> None:
            shown = root.shown(Path(str(error.filename)))
            self._problem("folder-unreadable", f"the folder cannot be read: {error.strerror}", shown, "check who may")
            self.unread.update(f for f in self.accepted.values() if f.startswith(shown + os.sep))

        for where, folders, files in os.walk(folder, onerror=unreadable):
            here = Path(where)
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in (*folders, *files):
                if (here / name).is_symlink() and not (here / name).resolve().is_relative_to(root.real):
                    self._escape(root.shown(here / name), f"the link {name} leads out of the estate")
            for name in sorted(files):
                path = here / name
                if not name.startswith(".") and path.resolve().is_relative_to(root.real):
                    yield path

    def _enqueue(self, path: Path, root: _Root) -> None:
        real = path.resolve()
        if real not in self.seen:
            self.seen.add(real)
            self.queue.append((real, root))

    def _escape(self, place: str, message: str) -> None:
        self._problem("estate-escape", message, place, "keep what the estate reads inside its folder")

    def _problem(self, code: str, message: str, place: str, hint: str = "", severity: str = "error") -> None:
        self.problems.append(Problem(code, message, place, hint, severity))

    # ---- documents

    def _read(self, path: Path, root: _Root) -> None:
        file = root.shown(path)
        for found in documents.read_file(path, file):
            if isinstance(found, Problem):
                self.problems.append(found)
                self.unread.add(file)
            else:
                self._take(found, path, root)

    def _take(self, document: Document, path: Path, root: _Root) -> None:
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
                envelope[part] = self._substitute(envelope[part], (part,), document, path, root)
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
            self._reject(document, envelope)
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
            origin=root.origin,
        )
        self.candidates.append(_Candidate(entity, kind, document))
        if kind.kind == "Location":
            self._follow(entity, document, path, root)

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

    def _reject(self, document: Document, envelope: Mapping[str, Any]) -> None:
        """What was accepted from here before, under this name or in this file, stays as it was."""
        self.unread.add(document.file)
        metadata = envelope.get("metadata")
        if isinstance(metadata, dict):
            facts = cast("dict[str, Any]", metadata)
            ref = f"{envelope.get('kind')}:{facts.get('namespace', 'default')}/{facts.get('name')}".lower()
            if ref in self.accepted:
                self.unread.add(self.accepted[ref])

    def _substitute(self, value: Any, at: tuple[Step, ...], document: Document, path: Path, root: _Root) -> Any:
        """``$text``, ``$json`` and ``$yaml`` replaced by what the file they name holds."""
        if isinstance(value, list):
            items = cast("list[Any]", value)
            return [self._substitute(item, (*at, index), document, path, root) for index, item in enumerate(items)]
        if not isinstance(value, dict):
            return value
        mapping = cast("dict[str, Any]", value)
        if len(mapping) == 1:
            (key, target), *_ = mapping.items()
            if key in {"$text", "$json", "$yaml"} and isinstance(target, str):
                return self._embed(key, target, document.place((*at, key)), path, root)
        return {key: self._substitute(item, (*at, key), document, path, root) for key, item in mapping.items()}

    def _embed(self, key: str, target: str, place: str, path: Path, root: _Root) -> Any:
        if "://" in target:
            self._problem("substitution-remote", f"{key} names {target!r}", place, "name a file of the estate")
            return ""
        real = (path.parent / target).resolve()
        if not real.is_relative_to(root.real):
            self._escape(place, f"{key} {target!r} leads out of the estate")
            return ""
        if not real.is_file():
            hint = schema.near(real.name, (p.name for p in _siblings(real)))
            self._problem("substitution-missing", f"{key} names {target!r}, which is no file", place, hint)
            return ""
        self.embedded.add(root.shown(real))
        if real.stat().st_size > documents.MAX_FILE_BYTES:
            self._problem("file-too-large", f"{target!r} is larger than 5 MiB", place, "keep its address instead")
            return ""
        try:
            text = real.read_bytes().decode("utf-8-sig")
            if key == "$text":
                return text
            if key == "$json":
                return codec.decode(text)
        except (OSError, ValueError, msgspec.DecodeError) as error:
            self._problem("substitution-unreadable", f"{key} {target!r} cannot be read: {error}", place)
            return ""
        values: list[Any] = []
        for found in documents.read_text(text, root.shown(real)):
            if isinstance(found, Problem):
                self._problem(found.code, f"{target}: {found.message} ({found.place})", place, found.hint)
            else:
                values.append(found.value)
        return values[0] if values else ""

    # ---- locations

    def _follow(self, entity: Entity, document: Document, path: Path, root: _Root) -> None:
        if entity.spec.get("type", "file") != "file":
            self._problem(
                "location-remote",
                f"locations of the type {entity.spec['type']} are kept and not followed",
                document.place(("spec", "type")),
                "check the source out beside the estate and name it in `estate` of uwu.toml",
                "warning",
            )
            return
        targets: list[tuple[tuple[Step, ...], Any]] = []
        if "target" in entity.spec:
            targets.append((("spec", "target"), entity.spec["target"]))
        targets += [(("spec", "targets", i), t) for i, t in enumerate(entity.spec.get("targets", []))]
        for at, target in targets:
            self._target(str(target), document.place(at), path, root)

    def _target(self, target: str, place: str, path: Path, root: _Root) -> None:
        fixed, pattern = _parted(target)
        base = (path.parent / fixed).resolve()
        if not base.is_relative_to(root.real):
            self._escape(place, f"the target {target!r} leads out of the estate")
            return
        if not pattern:
            if base.is_file():
                self._enqueue(base, root)
                return
            hint = schema.near(base.name, (p.name for p in _siblings(base)))
            self._problem("location-missing", f"the target {target!r} is no file", place, hint)
            return
        below = self._walk(root, base) if base.is_dir() else ()
        matches = [f for f in below if pattern.fullmatch(f.relative_to(base).as_posix())]
        if not matches:
            self._problem("location-missing", f"the target {target!r} matches no file", place, "check the glob")
        for file in matches:
            self._enqueue(file, root)

    # ---- references

    def _unique(self) -> dict[str, _Candidate]:
        """One candidate a reference: the one accepted before from its file, else the first."""
        chosen: dict[str, _Candidate] = {}
        for candidate in self.candidates:
            ref, file = candidate.entity.ref, candidate.entity.place.file
            if ref not in chosen:
                chosen[ref] = candidate
                continue
            kept, dropped = chosen[ref], candidate
            if self.accepted.get(ref) == file and kept.entity.place.file != file:
                kept, dropped = dropped, kept
            chosen[ref] = kept
            place = dropped.document.place(("metadata", "name"))
            hint = f"the one at {kept.document.place(('metadata', 'name'))} is kept; rename or remove one of them"
            self._problem("duplicate-entity", f"{ref} is declared twice", place, hint)
        return chosen

    def _refer(self, entities: Mapping[str, _Candidate]) -> dict[str, list[Relation]]:
        known = set(entities) | {ref for ref, file in self.accepted.items() if file in self.unread}
        relations: dict[str, list[Relation]] = {}
        for candidate in entities.values():
            entity = candidate.entity
            found = relations.setdefault(entity.origin, [])
            for field_, (kind, forward, backward) in candidate.kind.references.items():
                for at, text in _texts(entity.spec, field_):
                    place = candidate.document.place(at)
                    target = self._resolve(text, kind, entity, place, known)
                    if target:
                        found.append(Relation(source=entity.ref, kind=forward, target=target, evidence=place))
                        found.append(Relation(source=target, kind=backward, target=entity.ref, evidence=place))
        return relations

    def _resolve(self, text: str, kind: str, entity: Entity, place: str, known: set[str]) -> str:
        try:
            reference = parse_reference(text, kind=kind, namespace=entity.namespace)
        except BadInput as error:
            self._problem(error.problem.code, error.problem.message, place, error.problem.hint)
            return ""
        if str(reference) in known:
            return str(reference)
        message = f"{entity.ref} names {reference}, which nothing declares"
        self._problem("dangling-reference", message, place, _near_reference(reference, known))
        return ""


def _near_reference(reference: Reference, known: Iterable[str]) -> str:
    """The entity that was likely meant: this name in another place, or a near name of this kind."""
    same_kind: dict[str, str] = {}
    for ref in known:
        kind, _, rest = ref.partition(":")
        name = rest.partition("/")[2]
        if name == reference.name:
            return f"did you mean {ref}?"
        if kind == reference.kind:
            same_kind[name] = ref
    hint = schema.near(reference.name, same_kind)
    name = hint.removeprefix("did you mean ").removesuffix("?")
    return f"did you mean {same_kind[name]}?" if hint else f"declare {reference}, or correct the name"


def _texts(spec: Mapping[str, Any], field_: str) -> Iterator[tuple[tuple[Step, ...], str]]:
    """The texts of a field; ``a.b`` is a field within a field."""
    path: tuple[Step, ...] = ("spec", *field_.split("."))
    value: Any = spec
    for step in path[1:]:
        value = cast("dict[Any, Any]", value).get(step) if isinstance(value, dict) else None
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, list):
        items = cast("list[Any]", value)
        yield from (((*path, index), item) for index, item in enumerate(items) if isinstance(item, str))


def _siblings(path: Path) -> Sequence[Path]:
    try:
        return list(path.parent.iterdir())
    except OSError:
        return []


def _parted(target: str) -> tuple[str, re.Pattern[str] | None]:
    """A target's folder without wildcards, and the pattern of the rest; no pattern where it is a plain path."""
    parts = target.split("/")
    wild = next((i for i, part in enumerate(parts) if set(part) & set("*?[{")), None)
    if wild is None:
        return target, None
    pattern = "/".join(parts[wild:])
    out, index, braces = "", 0, 0
    while index < len(pattern):
        rest, char = pattern[index:], pattern[index]
        bracket = re.match(r"\[(!?)([^\]/]+)\]", rest)
        if rest.startswith("**/"):
            out, index = out + "(?:[^/]+/)*", index + 3
            continue
        if rest.startswith("**"):
            out, index = out + ".*", index + 2
            continue
        if bracket is not None:
            chosen = bracket[2].replace("\\", "\\\\")
            out, index = out + f"[{'^' if bracket[1] else ''}{chosen}]", index + bracket.end()
            continue
        if char == "{" and "}" in rest:
            out, braces = out + "(?:", braces + 1
        elif char == "}" and braces:
            out, braces = out + ")", braces - 1
        elif char == "," and braces:
            out += "|"
        else:
            out += {"*": "[^/]*", "?": "[^/]"}.get(char, re.escape(char))
        index += 1
    try:
        return "/".join(parts[:wild]) or ".", re.compile(out)
    except re.error:
        return "/".join(parts[:wild]) or ".", re.compile(re.escape(pattern))
