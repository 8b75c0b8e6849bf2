"""The entity kinds that Backstage's users write, with the relations their fields make.

The fields and which of them are required follow Backstage's descriptor format; further fields are kept as they are.
"""

from __future__ import annotations

from typing import Any

from uwu.kernel.domain import EntityKind

BACKSTAGE = ("backstage.io/v1alpha1", "backstage.io/v1beta1")
SCAFFOLDER = ("scaffolder.backstage.io/v1beta3", "backstage.io/v1beta2", "backstage.io/v1alpha1")

_TEXT: dict[str, Any] = {"type": "string", "minLength": 1}
_TEXTS: dict[str, Any] = {"type": "array", "items": _TEXT}

OWNER = {"owner": ("group", "ownedBy", "ownerOf")}
SYSTEM = {"system": ("system", "partOf", "hasPart")}
DEPENDS = {"dependsOn": ("", "dependsOn", "dependencyOf"), "dependencyOf": ("", "dependencyOf", "dependsOn")}


def _spec(required: tuple[str, ...], **properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": properties}


_PROFILE: dict[str, Any] = {
    "type": "object",
    "properties": {"displayName": _TEXT, "email": _TEXT, "picture": _TEXT},
}

COMPONENT = EntityKind(
    kind="Component",
    api_versions=BACKSTAGE,
    schema=_spec(
        ("type", "lifecycle", "owner"),
        type=_TEXT,
        lifecycle=_TEXT,
        owner=_TEXT,
        system=_TEXT,
        subcomponentOf=_TEXT,
        providesApis=_TEXTS,
        consumesApis=_TEXTS,
        dependsOn=_TEXTS,
        dependencyOf=_TEXTS,
    ),
    references={
        **OWNER,
        **SYSTEM,
        **DEPENDS,
        "subcomponentOf": ("component", "partOf", "hasPart"),
        "providesApis": ("api", "providesApi", "apiProvidedBy"),
        "consumesApis": ("api", "consumesApi", "apiConsumedBy"),
    },
)

API = EntityKind(
    kind="API",
    api_versions=BACKSTAGE,
    schema=_spec(
        ("type", "lifecycle", "owner", "definition"),
        type=_TEXT,
        lifecycle=_TEXT,
        owner=_TEXT,
        system=_TEXT,
        definition={"type": ["string", "object"]},
    ),
    references={**OWNER, **SYSTEM},
)

SYSTEM_KIND = EntityKind(
    kind="System",
    api_versions=BACKSTAGE,
    schema=_spec(("owner",), owner=_TEXT, domain=_TEXT, type=_TEXT),
    references={**OWNER, "domain": ("domain", "partOf", "hasPart")},
)

DOMAIN_KIND = EntityKind(
    kind="Domain",
    api_versions=BACKSTAGE,
    schema=_spec(("owner",), owner=_TEXT, subdomainOf=_TEXT, type=_TEXT),
    references={**OWNER, "subdomainOf": ("domain", "partOf", "hasPart")},
)

RESOURCE = EntityKind(
    kind="Resource",
    api_versions=BACKSTAGE,
    schema=_spec(
        ("type", "owner"),
        type=_TEXT,
        owner=_TEXT,
        lifecycle=_TEXT,
        system=_TEXT,
        dependsOn=_TEXTS,
        dependencyOf=_TEXTS,
    ),
    references={**OWNER, **SYSTEM, **DEPENDS},
)

_TIME: dict[str, Any] = {**_TEXT, "description": "a time in ISO 8601 with its zone: 2026-01-05T09:00:00Z"}

ON_CALL: dict[str, Any] = {
    "type": "object",
    "required": ["rotation", "start"],
    "additionalProperties": False,
    "properties": {
        "rotation": {"type": "array", "minItems": 1, "items": _TEXT},
        "start": _TIME,
        "days": {"type": "integer", "minimum": 1, "maximum": 366},
        "overrides": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["user", "from", "until"],
                "additionalProperties": False,
                "properties": {"user": _TEXT, "from": _TIME, "until": _TIME, "reason": _TEXT},
            },
        },
    },
}
"""``spec.onCall`` of a Group. The first of ``rotation`` has it from ``start`` on, each for ``days`` (7)."""

GROUP = EntityKind(
    kind="Group",
    api_versions=BACKSTAGE,
    schema=_spec(
        ("type", "children"),
        type=_TEXT,
        profile=_PROFILE,
        parent=_TEXT,
        children=_TEXTS,
        members=_TEXTS,
        onCall=ON_CALL,
    ),
    references={
        "parent": ("group", "childOf", "parentOf"),
        "children": ("group", "parentOf", "childOf"),
        "members": ("user", "hasMember", "memberOf"),
    },
    check="uwu.domains.catalog.oncall:violations",
)

USER = EntityKind(
    kind="User",
    api_versions=BACKSTAGE,
    schema=_spec((), profile=_PROFILE, memberOf=_TEXTS),
    references={"memberOf": ("group", "memberOf", "hasMember")},
)

LOCATION = EntityKind(
    kind="Location",
    api_versions=BACKSTAGE,
    schema={
        **_spec(
            (),
            type={"type": "string", "enum": ["file", "url"]},
            target=_TEXT,
            targets=_TEXTS,
            presence={"type": "string", "enum": ["required", "optional"]},
        ),
        "anyOf": [{"required": ["target"]}, {"required": ["targets"]}],
    },
)

TEMPLATE = EntityKind(
    kind="Template",
    api_versions=SCAFFOLDER,
    schema=_spec(
        ("type", "steps"),
        type=_TEXT,
        owner=_TEXT,
        parameters={"type": ["object", "array"]},
        steps={"type": "array", "items": {"type": "object", "required": ["action"], "properties": {"action": _TEXT}}},
    ),
    references=OWNER,
)


def _lenient(kind: str) -> EntityKind:
    """A newer kind whose format still moves: only what makes relations is checked."""
    return EntityKind(
        kind=kind,
        api_versions=BACKSTAGE,
        schema=_spec((), type=_TEXT, owner=_TEXT, lifecycle=_TEXT, system=_TEXT, dependsOn=_TEXTS, dependencyOf=_TEXTS),
        references={**OWNER, **SYSTEM, **DEPENDS},
    )


_PATTERN: dict[str, Any] = {"anyOf": [_TEXT, {"type": "array", "minItems": 1, "uniqueItems": True, "items": _TEXT}]}

OWNERSHIP_RULE = EntityKind(
    kind="OwnershipRule",
    api_versions=("uwu.dev/v1alpha1",),
    schema={
        "type": "object",
        "required": ["owner", "match"],
        "properties": {
            "owner": _TEXT,
            "reason": _TEXT,
            "match": {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    **dict.fromkeys(("arn", "name", "stack", "state", "type", "account", "region"), _PATTERN),
                    "tags": {"type": "object", "additionalProperties": _PATTERN},
                },
            },
            "settles": {
                "type": "array",
                "items": _TEXT,
                "description": "evidence that was overruled, as `uwu own` writes it: tag group:default/payments",
            },
        },
    },
    references={"owner": ("group", "ownedBy", "ownerOf")},
    check="uwu.domains.catalog.ownership_rules:check",
)

_SOME: dict[str, Any] = {"type": "array", "minItems": 1, "uniqueItems": True, "items": _TEXT}

SCORECARD = EntityKind(
    kind="Scorecard",
    api_versions=("uwu.dev/v1alpha1",),
    schema={
        "type": "object",
        "required": ["levels"],
        "properties": {
            "owner": _TEXT,
            "entities": {
                "type": "object",
                "additionalProperties": False,
                "properties": dict.fromkeys(("kinds", "types", "exceptTypes", "lifecycles", "owners", "tags"), _SOME),
            },
            "levels": {
                "type": "array",
                "minItems": 1,
                "maxItems": 6,
                "items": {
                    "type": "object",
                    "required": ["name", "checks"],
                    "additionalProperties": False,
                    "properties": {
                        "name": _TEXT,
                        "checks": {
                            "type": "array",
                            "minItems": 1,
                            "items": {
                                "anyOf": [
                                    _TEXT,
                                    {
                                        "type": "object",
                                        "required": ["check"],
                                        "additionalProperties": False,
                                        "properties": {
                                            "check": _TEXT,
                                            "weight": {"type": "integer", "minimum": 1, "maximum": 100},
                                        },
                                    },
                                ]
                            },
                        },
                    },
                },
            },
        },
    },
    references=OWNER,
    check="uwu.domains.catalog.scorecards.cards:violations",
)

KINDS: tuple[EntityKind, ...] = (
    COMPONENT,
    API,
    SYSTEM_KIND,
    DOMAIN_KIND,
    RESOURCE,
    GROUP,
    USER,
    LOCATION,
    TEMPLATE,
    OWNERSHIP_RULE,
    SCORECARD,
    _lenient("AiResource"),
    _lenient("Environment"),
    _lenient("Capability"),
)
