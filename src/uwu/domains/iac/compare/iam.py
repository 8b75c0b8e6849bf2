"""IAM: trust and permission policies by their meaning, attachments as sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from uwu.domains.iac.compare.base import Side, document, equal_documents, names, seen
from uwu.kernel.model import Declaration, Difference, Resource


def role(declaration: Declaration, resource: Resource) -> Sequence[Difference]:
    """``aws_iam_role`` with its attachments and inline policies, which may be resources of their own."""
    side = Side(declaration, resource)
    side.same_document("assume_role_policy", seen(side.observed, "AssumeRolePolicyDocument"))
    side.same("max_session_duration", seen(side.observed, "MaxSessionDuration"))
    side.same("description", seen(side.observed, "Description", default=""))
    _boundary(side)
    _attached(side, "role")
    _inline(side, "role", "RolePolicyList")
    side.tags()
    return side.differences


def user(declaration: Declaration, resource: Resource) -> Sequence[Difference]:
    """``aws_iam_user`` with its attachments and inline policies."""
    side = Side(declaration, resource)
    side.same("path", seen(side.observed, "Path"))
    _boundary(side)
    _attached(side, "user")
    _inline(side, "user", "UserPolicyList")
    side.tags()
    return side.differences


def policy(declaration: Declaration, resource: Resource) -> Sequence[Difference]:
    """``aws_iam_policy``: the document of its default version."""
    side = Side(declaration, resource)
    versions = side.observed.get("PolicyVersionList") or ()
    default = next((each.get("Document") for each in versions if each.get("IsDefaultVersion")), None)
    if default is not None:
        side.same_document("policy", default)
    side.tags()
    return side.differences


def access_key(declaration: Declaration, resource: Resource) -> Sequence[Difference]:
    """``aws_iam_access_key``: active or not."""
    side = Side(declaration, resource)
    side.same("status", seen(side.observed, "Status"))
    return side.differences


def attachment(declaration: Declaration, resource: Resource) -> Sequence[Difference]:
    """A policy attachment whose role or user no state declares."""
    side = Side(declaration, resource)
    wanted = side.declared.get("policy_arn")
    if not side.held and wanted and wanted not in names(side.observed.get("AttachedManagedPolicies"), "PolicyArn"):
        side.differ("managed_policy_arns", [wanted], [])
    return side.differences


def inline_policy(declaration: Declaration, resource: Resource) -> Sequence[Difference]:
    """An inline policy whose role or user no state declares."""
    side = Side(declaration, resource)
    name = side.declared.get("name")
    if side.held or not name:
        return ()
    listed = side.observed.get("RolePolicyList") or side.observed.get("UserPolicyList") or ()
    found = {each.get("PolicyName"): each.get("PolicyDocument") for each in listed}
    if not equal_documents(side.declared.get("policy"), found.get(name)):
        side.differ(f"inline_policy.{name}", document(side.declared.get("policy")), document(found.get(name)))
    return side.differences


def _boundary(side: Side) -> None:
    if "permissions_boundary" in side.declared:
        declared = side.declared["permissions_boundary"] or None
        observed = seen(side.observed, "PermissionsBoundary", "PermissionsBoundaryArn", default=None)
        if declared != observed:
            side.differ("permissions_boundary", declared, observed)


def _attached(side: Side, kind: str) -> None:
    """What is attached must be what is declared: one that nobody declares gives more than was meant."""
    observed = seen(side.observed, "AttachedManagedPolicies")
    if not isinstance(observed, list):
        return
    single = side.parts(f"aws_iam_{kind}_policy_attachment")
    exclusive = side.parts(f"aws_iam_{kind}_policy_attachments_exclusive")
    declared = {part["attributes"].get("policy_arn") for part in single}
    declared |= {arn for part in exclusive for arn in part["attributes"].get("policy_arns") or ()}
    if not declared:
        declared = set(side.declared.get("managed_policy_arns") or ())
    attached = set(names(observed, "PolicyArn"))
    if declared != attached:
        side.differ("managed_policy_arns", sorted(declared - attached), sorted(attached - declared))


def _inline(side: Side, kind: str, member: str) -> None:
    listed = side.observed.get(member) or ()
    observed = {str(each["PolicyName"]): each.get("PolicyDocument") for each in listed if each.get("PolicyName")}
    declared: dict[str, Any] = {
        str(part["attributes"]["name"]): part["attributes"].get("policy")
        for part in side.parts(f"aws_iam_{kind}_policy")
        if part["attributes"].get("name")
    }
    if not declared:
        blocks = side.declared.get("inline_policy") or ()
        declared = {str(b["name"]): b.get("policy") for b in blocks if isinstance(b, Mapping) and b.get("name")}
    differing = [
        name
        for name in sorted({*declared, *observed})
        if name not in declared or name not in observed or not equal_documents(declared[name], observed[name])
    ]
    if differing:
        left = {name: document(declared[name]) for name in differing if name in declared}
        side.differ("inline_policy", left, {name: document(observed[name]) for name in differing if name in observed})
