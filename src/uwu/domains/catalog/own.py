"""Saying in the estate who owns one resource: an ``OwnershipRule`` for its ARN, written where people review it."""

from __future__ import annotations

import difflib
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from uwu.domains.catalog import authoring
from uwu.domains.catalog.declare import OWNERSHIP_RULE
from uwu.domains.catalog.ownership import Owners
from uwu.kernel import codec, schema, urns
from uwu.kernel.errors import BadInput, NotFound
from uwu.kernel.estate.load import Estate
from uwu.kernel.model import Entity
from uwu.kernel.ownership import overruled

FILE = "ownership.yaml"
"""Where rules are written that no file holds yet."""


class Edit(msgspec.Struct, frozen=True):
    """A change of one file of the estate."""

    file: str
    before: str
    after: str

    @property
    def diff(self) -> str:
        """As ``git diff`` shows it; empty where nothing changes."""
        old, new = self.before.splitlines(keepends=True), self.after.splitlines(keepends=True)
        return "".join(difflib.unified_diff(old, new, self.file if self.before else "/dev/null", self.file))

    def write(self) -> None:
        """Writes it; a file that would hold nothing is removed. Raises ``OSError``."""
        path = Path(self.file)
        if self.after.strip():
            path.write_text(self.after, newline="")
        else:
            path.unlink()


def give(folder: Path, urn: str, to: str, reason: str, evidence: Iterable[Mapping[str, Any]]) -> Edit:
    """Says in the estate at ``folder`` that ``to`` owns ``urn``, and overrules what ``evidence`` says otherwise.

    A rule that is there for this resource is changed. Raises ``BadInput`` where ``to`` is nobody that the estate
    declares, or the estate has errors.
    """
    found = _estate(folder)
    owners = Owners(found.entities)
    owner = owners.meant(to)
    if not owner:
        names = [each.name for each in found.entities if each.kind in {"Group", "User"}]
        hint = schema.near(to, names) or f"declare the group in {folder}, or give one of {', '.join(sorted(names)[:5])}"
        raise BadInput(f"the estate declares no owner {to!r}", code="owner-unknown", hint=hint)
    against = {overruled(str(each["kind"]), str(each["owner"])) for each in evidence if each["owner"] != owner}
    spec: dict[str, Any] = {"owner": _short(owner), "match": {"arn": urn}}
    if reason:
        spec["reason"] = reason
    if against:
        spec["settles"] = sorted(against)
    held = _held(found, urn)
    if held is not None:
        return _changed(held, spec)
    file = folder / FILE if folder.is_dir() else folder
    before = file.read_text("utf-8") if file.is_file() else ""
    name = f"own-{codec.digest(urn)[:10]}"
    made = {
        "apiVersion": OWNERSHIP_RULE.api_versions[0],
        "kind": OWNERSHIP_RULE.kind,
        "metadata": {"name": name, "title": f"Owner of {urns.short(urn)}"},
        "spec": spec,
    }
    parts = [before.rstrip("\n") + "\n", _dumped(made)] if before.strip() else [_dumped(made)]
    return Edit(str(file), before, "---\n".join(parts))


def take_back(folder: Path, urn: str) -> Edit:
    """Removes the rule that names ``urn`` alone. Raises ``NotFound`` where there is none."""
    held = _held(_estate(folder), urn)
    if held is None:
        raise NotFound(f"no rule in {folder} names {urn} alone", hint="uwu own ARN tells what decides")
    return _changed(held, None)


def _estate(folder: Path) -> Estate:
    if not folder.exists():
        raise BadInput(
            f"there is no estate at {folder}", code="estate-missing", hint="give its folder: --estate path/to/estate"
        )
    found = authoring.load(folder)
    error = next((problem for problem in found.problems if problem.severity == "error"), None)
    if error is not None:
        raise BadInput(error.message, code=error.code, place=error.place, hint=error.hint or "uwu catalog validate")
    return found


def _held(found: Estate, urn: str) -> Entity | None:
    for entity in found.entities:
        if entity.kind == OWNERSHIP_RULE.kind and entity.spec["match"] in ({"arn": urn}, {"arn": [urn]}):
            return entity
    return None


def _changed(entity: Entity, spec: Mapping[str, Any] | None) -> Edit:
    """``entity`` with another spec, or without it where that is None; the other documents stay as they are."""
    path = Path(entity.place.file)
    before = path.read_text("utf-8")
    parts: list[str] = []
    line = 1
    for part in _documents(before):
        last = line + part.count("\n")
        if line <= entity.place.line < max(last, line + 1):
            if spec is not None:
                parts.append(_with_spec(part, spec))
        else:
            parts.append(part)
        line = last + 1
    return Edit(str(path), before, "---\n".join(parts))


def _documents(text: str) -> list[str]:
    parts, held = [], io.StringIO()
    for line in text.splitlines(keepends=True):
        if line.rstrip() == "---":
            parts.append(held.getvalue())
            held = io.StringIO()
        else:
            held.write(line)
    return [*parts, held.getvalue()]


def _with_spec(text: str, spec: Mapping[str, Any]) -> str:
    from ruamel.yaml import YAML  # it takes a tenth of a second

    yaml: Any = YAML()
    yaml.preserve_quotes = True
    yaml.width = authoring.WIDTH
    yaml.indent(mapping=2, sequence=4, offset=2)
    document = yaml.load(text)
    for key in [key for key in document["spec"] if key not in spec]:
        del document["spec"][key]
    document["spec"].update({key: value for key, value in spec.items() if document["spec"].get(key) != value})
    stream = io.StringIO()
    yaml.dump(document, stream)
    return stream.getvalue()


def _dumped(document: Mapping[str, Any]) -> str:
    from ruamel.yaml import YAML

    yaml: Any = YAML()
    yaml.width = authoring.WIDTH
    yaml.indent(mapping=2, sequence=4, offset=2)
    stream = io.StringIO()
    yaml.dump(dict(document), stream)
    return stream.getvalue()


def _short(owner: str) -> str:
    return owner.removeprefix("group:").removeprefix("default/")
