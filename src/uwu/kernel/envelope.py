"""The envelope that every declared entity has: Backstage's descriptor format, as a schema (see ``schema``)."""

from __future__ import annotations

from typing import Any

_NAME = r"^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$"
_KEY = r"^([a-zA-Z0-9]([-a-zA-Z0-9.]*[a-zA-Z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$"
_TEXT: dict[str, Any] = {"type": "string"}

ENVELOPE: dict[str, Any] = {
    "type": "object",
    "required": ["apiVersion", "kind", "metadata"],
    "properties": {
        "apiVersion": {"type": "string", "minLength": 1},
        "kind": {"type": "string", "minLength": 1},
        "metadata": {
            "type": "object",
            "required": ["name"],
            "properties": {
                "name": {
                    "type": "string",
                    "maxLength": 63,
                    "pattern": _NAME,
                    "description": "use letters, digits and - _ . between them, 63 at most",
                },
                "namespace": {
                    "type": "string",
                    "maxLength": 63,
                    "pattern": r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
                    "description": "use lower-case letters, digits and - between them, 63 at most",
                },
                "title": _TEXT,
                "description": _TEXT,
                "labels": {
                    "type": "object",
                    "propertyNames": {"pattern": _KEY, "description": "a label's key is [prefix/]name"},
                    "additionalProperties": {"type": "string", "maxLength": 63},
                },
                "annotations": {
                    "type": "object",
                    "propertyNames": {"pattern": _KEY, "description": "an annotation's key is [prefix/]name"},
                    "additionalProperties": _TEXT,
                },
                "tags": {"type": "array", "items": {"type": "string", "minLength": 1, "maxLength": 63}},
                "links": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["url"],
                        "properties": {"url": {"type": "string", "minLength": 1}, "title": _TEXT, "icon": _TEXT},
                    },
                },
            },
        },
        "spec": {"type": "object"},
    },
}
