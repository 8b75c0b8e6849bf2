"""IAM: roles, users, policies, access keys, in one authorization report."""

from __future__ import annotations

from uwu.domains.inventory.model import AWS, Each, Item, Join, Link, Scope, Spec, Under, arn, member
from uwu.kernel import urns

_REPORT = "GetAccountAuthorizationDetails"
_KINDS = {"Filter": ["User", "Role", "LocalManagedPolicy"]}


def _role_maker(_scope: Scope, item: Item) -> str:
    """Service-linked roles, those of IAM Identity Center and the one that Organizations puts into a new account."""
    aws_path = str(item.get("Path", "")).startswith(("/aws-service-role/", "/aws-reserved/"))
    return AWS if aws_path or item.get("RoleName") == "OrganizationAccountAccessRole" else ""


SPECS = (
    Spec(
        "aws_iam_role",
        "IAM role",
        "iam",
        "user-cog",
        operation=_REPORT,
        path="RoleDetailList",
        arguments=_KINDS,
        urn=member("Arn"),
        label="RoleName",
        extras=(
            Join(
                "ListRoles",
                "Roles",
                key="Arn",
                on="Arn",
                members={"Description": "Description", "MaxSessionDuration": "MaxSessionDuration"},
            ),
        ),
        links=(
            Link("hasPolicy", "AttachedManagedPolicies[].PolicyArn", arn),
            Link("boundedBy", "PermissionsBoundary.PermissionsBoundaryArn", arn),
            Link("inInstanceProfile", "InstanceProfileList[].Arn", arn),
            Link("trusts", "AssumeRolePolicyDocument.Statement[].Principal.AWS[]", arn),
            Link("trusts", "AssumeRolePolicyDocument.Statement[].Principal.AWS", arn),
        ),
        managed_by=_role_maker,
        drop=frozenset({"RoleLastUsed"}),
        everywhere=True,
    ),
    Spec(
        "aws_iam_user",
        "IAM user",
        "iam",
        "user",
        operation=_REPORT,
        path="UserDetailList",
        arguments=_KINDS,
        urn=member("Arn"),
        label="UserName",
        links=(
            Link("hasPolicy", "AttachedManagedPolicies[].PolicyArn", arn),
            Link("boundedBy", "PermissionsBoundary.PermissionsBoundaryArn", arn),
        ),
        everywhere=True,
    ),
    Spec(
        "aws_iam_policy",
        "IAM policy",
        "iam",
        "scroll-text",
        operation=_REPORT,
        path="Policies",
        arguments=_KINDS,
        urn=member("Arn"),
        label="",
        where=lambda scope, item: urns.account_of(str(item.get("Arn"))) == scope.account,
        extras=(Each("ListPolicyTags", lambda item: {"PolicyArn": item["Arn"]}, "Tags", "Tags"),),
        drop=frozenset({"AttachmentCount", "PermissionsBoundaryUsageCount"}),
        everywhere=True,
    ),
    Spec(
        "aws_iam_access_key",
        "Access key",
        "iam",
        "key-round",
        operation="ListAccessKeys",
        path="AccessKeyMetadata",
        under=Under(_REPORT, "UserDetailList", lambda user: {"UserName": user["UserName"]}, keep={"_user_arn": "Arn"}),
        arguments=_KINDS,
        urn=lambda scope, item: urns.access_key(str(item["AccessKeyId"]), account=scope.account),
        label="AccessKeyId",
        links=(Link("belongsTo", "_user_arn", arn),),
        everywhere=True,
    ),
)
