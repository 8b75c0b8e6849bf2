"""Plans in Terraform's JSON to read."""

from __future__ import annotations

import json
from typing import Any

from uwu.domains.iac import plan_json
from uwu.domains.iac.plan_json import Plan

ACTIONS = {
    "create": ["create"],
    "update": ["update"],
    "delete": ["delete"],
    "replace": ["delete", "create"],
    "replace-first": ["create", "delete"],
    "no-op": ["no-op"],
    "read": ["read"],
    "forget": ["forget"],
}


def change(
    kind: str,
    op: str = "create",
    name: str = "x",
    *,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """A resource change; where one side is not given it is the other's, or empty."""
    before = None if op == "create" else before if before is not None else dict(after or {})
    after = None if op == "delete" else after if after is not None else dict(before or {})
    entry = {
        "address": more.pop("address", f"{kind}.{name}"),
        "mode": more.pop("mode", "managed"),
        "type": kind,
        "name": name,
        "provider_name": "registry.terraform.io/hashicorp/aws",
        **{key: more.pop(key) for key in ("action_reason", "previous_address", "deposed") if key in more},
    }
    return {**entry, "change": {"actions": ACTIONS[op], "before": before, "after": after, "after_unknown": {}, **more}}


def content(*changes: dict[str, Any], version: str = "1.2", **more: Any) -> bytes:
    """The plan as Terraform prints it."""
    top = {"format_version": version, "terraform_version": "1.11.4", "resource_changes": list(changes)}
    return json.dumps({**top, **more}).encode()


def plan(*changes: dict[str, Any], **more: Any) -> Plan:
    return plan_json.parse(content(*changes, **more))
