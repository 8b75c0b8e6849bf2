"""Real CloudTrail records turned back into the calls they tell of, to be told again by the simulator's forms.

The way back is tolerant (any case, any wrapping that CloudTrail uses), the way forth is the simulator's own and strict:
what it writes differently from AWS shows as a key path that is missing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import botocore.session
from botocore.exceptions import UnknownServiceError
from botocore.model import ListShape, MapShape, StructureShape

from uwu.sim import forms, forms_ec2

_SOURCES = {"monitoring": "cloudwatch", "elasticloadbalancing": "elbv2"}
_OTHER_NAMES = {
    ("s3", "bucketName"): "Bucket",
    ("s3", "bucketPolicy"): "Policy",
    ("ec2", "groupDescription"): "Description",
    ("ec2", "zone"): "AvailabilityZone",
}
_session = botocore.session.get_session()
_models: dict[str, Any] = {}


def records(folder: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(folder.glob("*.json")):
        yield from json.loads(path.read_text("utf-8"))["Records"]


def operation(record: Mapping[str, Any]) -> tuple[str, Any] | None:
    """(botocore's service, operation) of a record; None for an event that is no call of a public API."""
    return _operation(str(record["eventSource"]).split(".")[0], str(record["eventName"]))


@cache
def _operation(source: str, event: str) -> tuple[str, Any] | None:
    service = _SOURCES.get(source, source)
    if service not in _models:
        try:
            _models[service] = _session.get_service_model(service)
        except UnknownServiceError:
            _models[service] = None
    model = _models[service]
    if model is None:
        return None
    for name in model.operation_names:
        if forms.event_name(service, name) == event:
            return service, model.operation_model(name)
    return None


def paths(value: Any, prefix: str = "") -> set[str]:
    """The key paths of a value; the elements of a list are one."""
    found: set[str] = set()
    if isinstance(value, Mapping):
        for key, inner in value.items():
            found.add(f"{prefix}.{key}")
            found |= paths(inner, f"{prefix}.{key}")
    elif isinstance(value, list):
        for inner in value:
            found |= paths(inner, f"{prefix}[]")
    return found


def call(service: str, model: Any, told: Any) -> dict[str, Any]:
    """The parameters of the call whose ``requestParameters`` are ``told``."""
    told = _unwrapped(model, told, "Request")
    if model.name == "RunInstances":  # what is counted stands apart
        told = {**told, **_items(told.get("instancesSet"))[0]}
    return _back(model.input_shape, told, service) or {}


def answer(service: str, model: Any, told: Any) -> dict[str, Any]:
    """What botocore would have parsed of the answer whose ``responseElements`` are ``told``."""
    shape = model.output_shape
    told = _unwrapped(model, told, "Response")
    members: Any = shape.members if isinstance(shape, StructureShape) else {}
    if isinstance(told, Mapping) and len(members) == 1:
        name, inner = next(iter(members.items()))
        if not any(_norm(key) == _norm(name) for key in told) and isinstance(inner, StructureShape):
            return {name: _back(inner, told, service)}
    return _back(shape, told, service) or {}


def _unwrapped(model: Any, told: Any, ending: str) -> Any:
    inner = told.get(model.name + ending) if isinstance(told, Mapping) else None
    return inner if isinstance(inner, Mapping) else told


def _norm(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _names(name: str, shape: Any) -> set[str]:
    """How a member may stand in a record."""
    given = {name, str(shape.serialization.get("name", ""))}
    if isinstance(shape, ListShape):
        given |= {f"{each}Set" for each in (name, name.removesuffix("s"))}
        given |= {name.removesuffix("s"), forms_ec2.list_key(name)[0]}
    return {_norm(each) for each in given if each}


def _member(shape: Any, key: str, service: str) -> str:
    """The member that ``key`` means; empty where there is none."""
    for name in shape.members:
        if _norm(name) == _norm(key):
            return name
    for name, inner in shape.members.items():
        if _norm(key) in _names(name, inner):
            return name
    other = _OTHER_NAMES.get((service, key), "")
    return other if other in shape.members else ""


def _back(shape: Any, told: Any, service: str) -> Any:
    if told is None or shape is None:
        return None
    if isinstance(shape, StructureShape):
        if not isinstance(told, Mapping):
            return told
        made: dict[str, Any] = {}
        members: Any = shape.members
        for key, value in told.items():
            name = "" if service == "s3" and value == "" else _member(shape, key, service)  # "" names a sub-resource
            if name:
                made[name] = _back(members[name], value, service)
        return made
    if isinstance(shape, ListShape):
        return [_element(shape.member, each, service) for each in _items(told)]
    if isinstance(shape, MapShape):
        pairs = told.items() if isinstance(told, Mapping) else ()
        return {key: _back(shape.value, each, service) for key, each in pairs}
    if getattr(shape, "type_name", "") == "timestamp":
        return datetime(2023, 7, 10, 11, 54, 39, tzinfo=UTC)
    return json.dumps(told) if isinstance(told, Mapping | list) else told


def _items(told: Any) -> list[Any]:
    if isinstance(told, Mapping):
        for key in ("items", "item", "Tag", "Rule"):
            if len(told) == 1 and key in told:
                return _items(told[key])
        return [told] if told else []
    return list(told) if isinstance(told, list) else [told]


def _element(shape: Any, told: Any, service: str) -> Any:
    if not isinstance(shape, StructureShape | ListShape) and isinstance(told, Mapping):
        return next((v for k, v in told.items() if k != "tag"), "")
    return _back(shape, told, service)
