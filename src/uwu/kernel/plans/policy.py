"""How many must approve a plan, and who: a setting, the owners of what it touches, policies of the estate.

Policies only ever add: the most approvals that any of them asks for, and one approver of each group that any names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from uwu.kernel import declared, estate, tables, urns
from uwu.kernel.domain import EntityKind
from uwu.kernel.errors import BadInput
from uwu.kernel.model import Entity
from uwu.kernel.plans.model import Plan
from uwu.kernel.runtime import Kernel

ADMIN = ""
"""Stands among the required groups where nobody owns what is touched: an admin must agree."""

_TEXTS = {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1}

APPROVAL_POLICY = EntityKind(
    kind="ApprovalPolicy",
    api_versions=("uwu.dev/v1alpha1",),
    schema={
        "type": "object",
        "required": ["match"],
        "additionalProperties": False,
        "properties": {
            "match": {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    "planners": _TEXTS,
                    "actions": {
                        "type": "array",
                        "items": {"enum": ["create", "update", "replace", "delete"]},
                        "minItems": 1,
                    },
                    "types": _TEXTS,
                    "accounts": _TEXTS,
                    "environments": _TEXTS,
                    "owners": _TEXTS,
                },
            },
            "approvals": {"type": "integer", "minimum": 1, "maximum": 10},
            "approvers": _TEXTS,
        },
    },
    references={"approvers": ("group", "approverOf", "approvedBy")},
)
"""``match`` holds for a plan where one of its changes fits all that it names; what it leaves out fits all."""


class Needed(msgspec.Struct, frozen=True, kw_only=True):
    """What a plan needs before it may be applied."""

    approvals: int
    required: list[str]
    """Groups of which one each must approve, ``ADMIN`` among them."""
    policy: list[str]
    """What says so, for people."""
    owners: dict[str, str]
    """Subject -> its owner as it is now; empty for nobody."""


def needed(kernel: Kernel, connection: sa.Connection, plan: Plan) -> Needed:
    """What ``plan`` needs, by who owns what it touches and by the policies that match it."""
    facts = _facts(connection, plan.subjects)
    owners = {subject: facts[subject]["owner"] for subject in plan.subjects}
    given = {change.subject: change.owner for change in plan.changes if change.owner}
    groups = {owner for owner in (*owners.values(), *given.values()) if owner}
    nobodys = [subject for subject, owner in owners.items() if not owner and subject not in given]
    required = sorted(groups) + ([ADMIN] if nobodys else [])
    approvals = kernel.settings.plans.approvals
    policy = [f"plans.approvals = {approvals}"]
    if kernel.settings.plans.affected_approve:
        feel = sorted({each.owner for each in plan.affected if each.owner} - set(required))
        if feel:
            required += feel
            policy.append(f"plans.affected_approve: what depends on it is owned by {', '.join(feel)}")
    for entity in declared.entities(connection, kind=APPROVAL_POLICY.kind, orphan=False):
        if not _matches(entity, plan, facts):
            continue
        wanted = int(entity.spec.get("approvals") or 1)
        approvers = [_group(text, entity.namespace) for text in entity.spec.get("approvers") or ()]
        approvals = max(approvals, wanted)
        required += [group for group in approvers if group not in required]
        of = f", one of {', '.join(approvers)}" if approvers else ""
        policy.append(f"{entity.ref}: {wanted} approval{'s' if wanted > 1 else ''}{of} ({entity.place})")
    return Needed(approvals=approvals, required=required, policy=policy, owners=owners)


def _facts(connection: sa.Connection, subjects: Sequence[str]) -> dict[str, dict[str, str]]:
    r, o = tables.resources, tables.ownership
    facts: dict[str, dict[str, str]] = {
        subject: {"type": "", "account": urns.account_of(subject), "owner": "", "environment": ""}
        for subject in subjects
    }
    for start in range(0, len(subjects), 500):
        some = subjects[start : start + 500]
        for row in connection.execute(sa.select(r.c.urn, r.c.type, r.c.account).where(r.c.urn.in_(some))):
            facts[row.urn] |= {"type": row.type, "account": row.account}
        for row in connection.execute(sa.select(o.c.subject, o.c.owner).where(o.c.subject.in_(some))):
            facts[row.subject]["owner"] = row.owner
    environments = {
        str(entity.spec.get("accountId", "")): str(entity.spec.get("environment") or "")
        for entity in declared.entities(connection, kind="Account", orphan=False)
    }
    for fact in facts.values():
        fact["environment"] = environments.get(fact["account"], "")
    return facts


def _matches(entity: Entity, plan: Plan, facts: Mapping[str, Mapping[str, str]]) -> bool:
    match: dict[str, Any] = entity.spec.get("match") or {}
    if "planners" in match and plan.planner not in match["planners"]:
        return False
    owners = {_group(text, entity.namespace) for text in match.get("owners") or ()}
    for change in plan.changes:
        fact = facts[change.subject]
        fits = "actions" not in match or change.action.value in match["actions"]
        for name, key in (("types", "type"), ("accounts", "account"), ("environments", "environment")):
            fits = fits and (name not in match or fact[key] in match[name])
        if fits and (not owners or fact["owner"] in owners or change.owner in owners):
            return True
    return False


def _group(text: str, namespace: str) -> str:
    try:
        return str(estate.parse_reference(text, kind="group", namespace=namespace))
    except BadInput:
        return text.lower()
