"""The estate kind ``Stack``: a Terraform root module, its owner and where its state lies."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from uwu.kernel.domain import EntityKind
from uwu.kernel.model import Entity

_TEXT: dict[str, Any] = {"type": "string", "minLength": 1}

STACK = EntityKind(
    kind="Stack",
    api_versions=("uwu.dev/v1alpha1",),
    schema={
        "type": "object",
        "required": ["owner", "state"],
        "properties": {
            "owner": _TEXT,
            "system": _TEXT,
            "type": _TEXT,
            "lifecycle": _TEXT,
            "state": {"anyOf": [_TEXT, {"type": "array", "minItems": 1, "uniqueItems": True, "items": _TEXT}]},
            "account": {
                "type": "string",
                "pattern": r"^\d{12}$",
                "description": "an account id has twelve digits; quote it",
            },
            "region": _TEXT,
            "drift": {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    "every": {
                        "type": "string",
                        "pattern": r"^[1-9]\d{0,3}[mhd]$",
                        "description": "how often a refresh looks for drift: 30m, 6h or 1d",
                    },
                    "ignore": {
                        "type": "array",
                        "uniqueItems": True,
                        "items": {**_TEXT, "pattern": r"^[^.].*\.[^.]"},
                        "description": "type.attribute or address.attribute that is let be: aws_instance.tags",
                    },
                },
            },
            "dependsOn": {"type": "array", "uniqueItems": True, "items": _TEXT},
            "source": {
                **_TEXT,
                "description": "where its configuration lies: a folder beside this file, or git::URL//folder?ref=main",
            },
        },
    },
    references={
        "owner": ("group", "ownedBy", "ownerOf"),
        "system": ("system", "partOf", "hasPart"),
        "dependsOn": ("stack", "dependsOn", "dependencyOf"),
    },
)


def ignored(stack: Entity) -> tuple[str, ...]:
    """The attributes whose drift the stack lets be."""
    told = stack.spec.get("drift")
    return tuple(map(str, told.get("ignore") or ())) if isinstance(told, dict) else ()


_UNITS = {"m": 1, "h": 60, "d": 24 * 60}


def drift_minutes(stack: Entity) -> int:
    """How often, in minutes, a refresh looks for drift; 0 for never."""
    told = stack.spec.get("drift")
    every = str(told.get("every") or "") if isinstance(told, dict) else ""
    return int(every[:-1]) * _UNITS[every[-1]] if every[:-1].isdigit() and every[-1] in _UNITS else 0


class Source(msgspec.Struct, frozen=True):
    """One state of a stack."""

    stack: str
    """The stack's reference."""
    source: str
    """What its declarations name as their source: the stack, with the state's key where it has several."""
    key: str
    """The state as the stack names it."""
    path: str
    """An absolute path, ``s3://bucket/key``, or ``uwu://namespace/name`` for a state that is kept here."""
    account: str
    region: str
    place: str
    """Where the stack is declared."""


def sources(stacks: list[Entity]) -> Iterator[Source]:
    """The states of ``stacks``; relative paths are under the folder of the file that declares the stack, and
    ``uwu://`` alone is the state of the stack's own name."""
    for stack in stacks:
        given = stack.spec.get("state")
        keys = [str(each) for each in given] if isinstance(given, list) else [str(given)]
        for key in (_own(stack) if key == "uwu://" else key for key in keys):
            yield Source(
                stack=stack.ref,
                source=stack.ref if len(keys) == 1 else f"{stack.ref}@{key}",
                key=key,
                path=_path(stack, key),
                account=str(stack.spec.get("account", "")),
                region=str(stack.spec.get("region", "")),
                place=str(stack.place),
            )


def _own(stack: Entity) -> str:
    return f"uwu://{stack.namespace}/{stack.name}".lower()


def _path(stack: Entity, key: str) -> str:
    return key if key.startswith(("s3://", "uwu://")) else str(Path(stack.place.file).parent / key)
