"""IAM: roles, users, groups, policies and keys in one authorization report; who roles trust; identity providers."""

from __future__ import annotations

from uwu.domains.inventory.model import AWS, Each, Item, Join, Link, Scope, Spec, Under, arn, member
from uwu.kernel import urns

_REPORT = "GetAccountAuthorizationDetails"
_KINDS = {"Filter": ["User", "Role", "Group", "LocalManagedPolicy"]}


def _role_maker(_scope: Scope, item: Item) -> str:
    """Service-linked roles, those of IAM Identity Center and the one that Organizations puts into a new account."""
    aws_path = str(item.get("Path", "")).startswith(("/aws-service-role/", "/aws-reserved/"))
    return AWS if aws_path or item.get("RoleName") == "OrganizationAccountAccessRole" else ""


def principal(scope: Scope, value: str) -> str:
    """Who a trust or resource policy names: an ARN, an account by its number, a service, anyone (``*``)."""
    if value.startswith("arn:"):
        return value
    if value.isdigit() and len(value) == 12:
        return urns.iam_root(value, partition=scope.partition)
    if value == "*":
        return urns.own("iam", "principal", "anyone")
    return urns.own("iam", "principal", value) if "." in value else ""


_TRUSTS = "AssumeRolePolicyDocument.Statement[?Effect=='Allow'].Principal"


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
            *(Link("trusts", f"{_TRUSTS}.{kind}[]", principal) for kind in ("AWS", "Service", "Federated")),
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
        extras=(
            Each(
                "GetLoginProfile",
                lambda item: {"UserName": item["UserName"]},
                "LoginProfile.{CreateDate: CreateDate, PasswordResetRequired: PasswordResetRequired}",
                "LoginProfile",
                frozenset({"NoSuchEntity"}),
            ),
            Each(
                "ListMFADevices",
                lambda item: {"UserName": item["UserName"]},
                "MFADevices[].{SerialNumber: SerialNumber, EnableDate: EnableDate}",
                "MFADevices",
            ),
        ),
        links=(
            Link("hasPolicy", "AttachedManagedPolicies[].PolicyArn", arn),
            Link("boundedBy", "PermissionsBoundary.PermissionsBoundaryArn", arn),
        ),
        everywhere=True,
    ),
    Spec(
        "aws_iam_group",
        "IAM group",
        "iam",
        "users",
        operation=_REPORT,
        path="GroupDetailList",
        arguments=_KINDS,
        urn=member("Arn"),
        label="GroupName",
        links=(Link("hasPolicy", "AttachedManagedPolicies[].PolicyArn", arn),),
        everywhere=True,
    ),
    Spec(
        "aws_iam_instance_profile",
        "Instance profile",
        "iam",
        "id-card",
        operation="ListInstanceProfiles",
        # of its roles the names alone: they are a type of their own, and change there
        path="InstanceProfiles[].{Arn: Arn, InstanceProfileName: InstanceProfileName, Path: Path, "
        "InstanceProfileId: InstanceProfileId, CreateDate: CreateDate, Roles: Roles[].{Arn: Arn, RoleName: RoleName}}",
        urn=member("Arn"),
        label="InstanceProfileName",
        extras=(
            Each(
                "GetInstanceProfile",
                lambda item: {"InstanceProfileName": item["InstanceProfileName"]},
                "InstanceProfile.Tags",
                "Tags",
            ),
        ),
        links=(Link("hasRole", "Roles[].Arn", arn),),
        everywhere=True,
    ),
    Spec(
        "aws_iam_open_id_connect_provider",
        "OIDC provider",
        "iam",
        "badge-check",
        operation="ListOpenIDConnectProviders",
        path="OpenIDConnectProviderList",
        urn=member("Arn"),
        label="Url",
        extras=(
            Each(
                "GetOpenIDConnectProvider",
                lambda item: {"OpenIDConnectProviderArn": item["Arn"]},
                "@",
            ),
        ),
        everywhere=True,
    ),
    Spec(
        "aws_iam_saml_provider",
        "SAML provider",
        "iam",
        "badge-check",
        operation="ListSAMLProviders",
        path="SAMLProviderList",
        urn=member("Arn"),
        label="",
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
        extras=(
            Each(
                "GetAccessKeyLastUsed",
                lambda item: {"AccessKeyId": item["AccessKeyId"]},
                "AccessKeyLastUsed.LastUsedDate || 'never'",
                "LastUsedDate",
            ),
        ),
        links=(Link("belongsTo", "_user_arn", arn),),
        months=frozenset({"LastUsedDate"}),
        everywhere=True,
    ),
)
