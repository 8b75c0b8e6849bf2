"""Brings what several Terraform resources say of one AWS resource to the one that is compared.

A Compare sees one declaration. A security group whose rules are resources of their own, in this state or another,
would differ from its own (empty) list of rules; so its declaration is given them, and they are marked as held.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from uwu.kernel.model import Declaration

PARTS = "uwu:parts"
"""On a declaration: the parts that other declarations set, as ``{type, address, attributes}``."""
HELD_BY = "uwu:held_by"
"""On a part: the id of the declaration that compares it."""

RULES = frozenset(
    {"aws_security_group_rule", "aws_vpc_security_group_ingress_rule", "aws_vpc_security_group_egress_rule"}
)
ROLE_PARTS = frozenset(
    {
        "aws_iam_role_policy",
        "aws_iam_role_policy_attachment",
        "aws_iam_role_policies_exclusive",
        "aws_iam_role_policy_attachments_exclusive",
    }
)
USER_PARTS = frozenset({"aws_iam_user_policy", "aws_iam_user_policy_attachment"})

WHOLES: dict[str, frozenset[str]] = {
    "aws_security_group": RULES,
    "aws_default_security_group": RULES,
    "aws_iam_role": ROLE_PARTS,
    "aws_iam_user": USER_PARTS,
}
"""Declared type -> the types of its parts that it compares in their stead."""

_SHARED = frozenset(
    {
        "aws_s3_bucket_policy",
        "aws_s3_bucket_public_access_block",
        "aws_s3_bucket_server_side_encryption_configuration",
        "aws_s3_bucket_versioning",
        "aws_secretsmanager_secret_rotation",
        "aws_sns_topic_policy",
        "aws_sqs_queue_policy",
        "aws_sqs_queue_redrive_policy",
    }
)
"""Parts that are compared by themselves; the whole must only know not to compare its own stale copy."""

PART_TYPES = RULES | ROLE_PARTS | USER_PARTS | _SHARED


def attach(declarations: Sequence[Declaration]) -> list[Declaration]:
    """``declarations`` of all stacks, in order, the parts brought to their wholes. Repeating it changes nothing."""
    bare = [_bare(declaration) for declaration in declarations]
    parts: defaultdict[str, list[Declaration]] = defaultdict(list)
    holders: dict[str, list[Declaration]] = defaultdict(list)
    for declaration in bare:
        if not declaration.urn:
            continue
        if declaration.declared_type in PART_TYPES:
            parts[declaration.urn].append(declaration)
        elif declaration.declared_type in WHOLES:
            holders[declaration.urn].append(declaration)
    _shared_attachments(bare, parts)
    return [_attached(declaration, parts.get(declaration.urn, ()), holders) for declaration in bare]


def _bare(declaration: Declaration) -> Declaration:
    if PARTS not in declaration.attributes and HELD_BY not in declaration.attributes:
        return declaration
    kept = {key: value for key, value in declaration.attributes.items() if key not in {PARTS, HELD_BY}}
    return msgspec.structs.replace(declaration, attributes=kept)


def _attached(
    declaration: Declaration, parts: Iterable[Declaration], holders: dict[str, list[Declaration]]
) -> Declaration:
    added: dict[str, Any] = {}
    if declaration.declared_type in PART_TYPES:
        for holder in holders.get(declaration.urn, ()):
            if declaration.declared_type in WHOLES.get(holder.declared_type, ()):
                added[HELD_BY] = holder.id
                break
    else:
        own = WHOLES.get(declaration.declared_type, frozenset()) | _SHARED
        held = [
            {"type": part.declared_type, "address": part.address, "attributes": part.attributes}
            for part in parts
            if part.declared_type in own
        ]
        if held:
            added[PARTS] = sorted(held, key=lambda part: (part["type"], part["address"]))
    if not added:
        return declaration
    return msgspec.structs.replace(declaration, attributes={**declaration.attributes, **added})


def _shared_attachments(declarations: Iterable[Declaration], parts: defaultdict[str, list[Declaration]]) -> None:
    """``aws_iam_policy_attachment`` names many roles and users: it becomes a part of each."""
    wholes = [d for d in declarations if d.declared_type in {"aws_iam_role", "aws_iam_user"} and d.urn]
    for declaration in declarations:
        if declaration.declared_type != "aws_iam_policy_attachment":
            continue
        for kind in ("role", "user"):
            named = set(declaration.attributes.get(f"{kind}s") or ())
            for whole in wholes:
                if whole.declared_type == f"aws_iam_{kind}" and whole.attributes.get("name") in named:
                    part = msgspec.structs.replace(
                        declaration,
                        declared_type=f"aws_iam_{kind}_policy_attachment",
                        attributes={"policy_arn": declaration.attributes.get("policy_arn")},
                    )
                    parts[whole.urn].append(part)
