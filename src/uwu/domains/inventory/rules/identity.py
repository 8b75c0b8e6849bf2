"""Who may do what, and should not: trusts, keys, passwords, administrators."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from uwu.domains.inventory import exposure_policies as policies
from uwu.domains.inventory.exposure_roles import takes_any_token
from uwu.domains.inventory.rules.model import CRITICAL, HIGH, MEDIUM, Book, Lacking, Row, Said, Wrong
from uwu.domains.inventory.rules.world import World
from uwu.domains.inventory.services import ACCOUNT
from uwu.kernel import urns

BOOK = Book("Identity")

_ASSUME = ("sts:AssumeRole", "sts:AssumeRoleWithSAML", "sts:AssumeRoleWithWebIdentity")
_TRUST = "AssumeRolePolicyDocument"
_ADMINISTRATOR = ":aws:policy/AdministratorAccess"


def statements(document: Any, effect: str = "Allow") -> Iterator[Mapping[str, Any]]:
    """The statements of a policy with an effect."""
    read = policies.document(document) or {}
    raw = read.get("Statement")
    for one in raw if isinstance(raw, list) else [raw]:
        if isinstance(one, Mapping) and one.get("Effect") == effect:
            yield one


def principals(statement: Mapping[str, Any], kind: str) -> list[str]:
    """The principals of a kind (AWS, Service, Federated) that a statement names."""
    named = statement.get("Principal")
    return policies.texts(named.get(kind)) if isinstance(named, Mapping) else []


def conditions(statement: Mapping[str, Any]) -> set[str]:
    """The keys, lower case, that a statement's condition tests for something to be so."""
    found: set[str] = set()
    told = statement.get("Condition")
    for operator, tests in (told if isinstance(told, Mapping) else {}).items():
        positive = "not" not in str(operator).lower() and "ifexists" not in str(operator).lower()
        if positive and isinstance(tests, Mapping):
            found.update(str(key).lower() for key in tests)
    return found


@BOOK.one(
    "role-anyone",
    "Anyone may assume a role",
    CRITICAL,
    ("aws_iam_role",),
    why="Every AWS account of the world can take the role and all that it may.",
    remedy="aws iam update-assume-role-policy --role-name <name> --policy-document <a trust that names principals>; "
    "Terraform: assume_role_policy",
    references=("AWS: IAM JSON policy elements: Principal",),
)
def _anyone(_world: World, row: Row) -> Said:
    document = row.get(_TRUST)
    if document is None:
        return row.unread(_TRUST)
    told = policies.everyone(document, _ASSUME)
    if told.answer == "yes":
        return Wrong("may be assumed by anyone", _TRUST, told.statements)
    if told.answer == "unknown":
        return Lacking(f"its trust is not wholly understood: {', '.join(told.conditions[:2])}")
    return None


_TIES = policies.PINS | {"sts:externalid"}


@BOOK.one(
    "role-foreign",
    "An account outside the organization may assume a role without a condition",
    HIGH,
    ("aws_iam_role",),
    beside=(ACCOUNT,),
    rises="in production",
    why="Without an external id anyone who is served by that account can have it act on you: the confused deputy.",
    remedy="aws iam update-assume-role-policy --role-name <name> --policy-document <the trust with a condition on "
    "sts:ExternalId or aws:PrincipalOrgID>; an account that you trust as your own: rules.trusted_accounts",
    references=("AWS: The confused deputy problem",),
)
def _foreign(world: World, row: Row) -> Iterable[Said]:
    found: list[str] = []
    for statement in statements(row.get(_TRUST)):
        if conditions(statement) & _TIES:
            continue
        for value in principals(statement, "AWS"):
            account = value if value.isdigit() else urns.account_of(value)
            if len(account) == 12 and account != row.account and world.outside(account):
                found.append(account)
    if found and not world.accounts_known:
        yield Lacking("the accounts of the organization are not all known")
    elif found:
        shown = ", ".join(sorted(set(found)))
        yield Wrong(f"may be assumed by {shown}, outside the organization, without a condition", _TRUST,
                    sorted(set(found)), world.raised(row, HIGH))  # fmt: skip


@BOOK.one(
    "oidc-any-subject",
    "A role takes the tokens of everyone at a shared issuer",
    CRITICAL,
    ("aws_iam_role",),
    why="GitHub, GitLab and the like give everyone a token: without a condition on sub any repository of the world "
    "can assume the role.",
    remedy="aws iam update-assume-role-policy --role-name <name> --policy-document <the trust with StringLike on the "
    "issuer's :sub, such as repo:your-organization/your-repository:*>",
    references=("AWS: Configure a role for GitHub OIDC identity provider",),
)
def _any_subject(_world: World, row: Row) -> Iterable[Said]:
    for statement in statements(row.get(_TRUST)):
        for value in principals(statement, "Federated"):
            issuer = value.partition(":oidc-provider/")[2] or value
            if takes_any_token(issuer, statement.get("Condition")):
                yield Wrong(f"takes any token of {issuer}", _TRUST, issuer)


_DELIVERS = frozenset(
    f"{name}.amazonaws.com"
    for name in (
        *("apigateway", "budgets", "cloudfront", "cloudtrail", "codestar-notifications", "config", "delivery.logs"),
        *("events", "iot", "logs", "s3", "ses", "sns"),
    )
)
"""Services that act on a resource for whichever account asks them to."""
_SOURCES = frozenset({"aws:sourcearn", "aws:sourceaccount", "aws:sourceorgid", "aws:sourceorgpaths", "aws:sourceowner"})
_POLICIES = {
    "aws_s3_bucket": "Policy",
    "aws_sqs_queue": "Policy",
    "aws_sns_topic": "Policy",
    "aws_lambda_function": "Policy",
    "aws_kms_key": "Policy",
    "aws_secretsmanager_secret": "ResourcePolicy",
}
"""Of what a service acts on. Not roles: a service takes one only from those of its account who may pass it."""
_OWN_LOGS = re.compile(r"/AWSLogs/(?:o-[a-z0-9]+/)?\d{12}(?:/|$)")
_HARMLESS = frozenset({"s3:getbucketacl", "s3:listbucket", "s3:getbucketlocation"})


@BOOK.one(
    "service-for-anyone",
    "A policy lets a service of AWS in for anyone who uses that service",
    MEDIUM,
    tuple(_POLICIES),
    why="S3, SNS or EventBridge of another account can then write to it or invoke it: the confused deputy across "
    "services.",
    remedy="add a condition on aws:SourceAccount or aws:SourceArn to the statement that names the service",
    references=("AWS: Cross-service confused deputy prevention", "FSBP Lambda.1"),
)
def _deputy(_world: World, row: Row) -> Iterable[Said]:
    member = _POLICIES[row.type]
    lack = row.unread(member)
    if lack is not None and row.type != "aws_kms_key":
        yield lack
        return
    found: set[str] = set()
    for statement in statements(row.get(member)):
        if not _tied(statement):
            found.update(name for name in principals(statement, "Service") if name in _DELIVERS)
    if found:
        yield Wrong(f"lets {', '.join(sorted(found))} in for anyone", member, sorted(found))


def _tied(statement: Mapping[str, Any]) -> bool:
    """Whether a statement says for whom the service may act, or lets it do no harm."""
    keys = conditions(statement)
    if keys & _SOURCES or any(key.startswith("kms:encryptioncontext:") for key in keys):
        return True
    resources = policies.texts(statement.get("Resource"))
    if resources and all(_OWN_LOGS.search(one) for one in resources):
        return True
    actions = policies.texts(statement.get("Action"))
    return bool(actions) and all(one.lower() in _HARMLESS for one in actions)


# ---- the root user

_ROOT = ("aws_iam_account_summary",)


@BOOK.one(
    "root-access-keys",
    "The root user has access keys",
    CRITICAL,
    _ROOT,
    of_aws=True,
    why="A key of the root user can do everything, and no policy of the account can stop it.",
    remedy="sign in as the root user of <account> and delete its access keys (My security credentials); "
    "in an organization: aws sts assume-root with IAMDeleteRootUserCredentials",
    references=("CIS AWS 3.0 1.4", "FSBP IAM.4"),
)
def _root_keys(_world: World, row: Row) -> Said:
    if row.get("AccountAccessKeysPresent"):
        return Wrong("has access keys", "AccountAccessKeysPresent", row.get("AccountAccessKeysPresent"))
    return row.unread("AccountAccessKeysPresent")


@BOOK.one(
    "root-no-mfa",
    "The root user has no MFA",
    CRITICAL,
    _ROOT,
    of_aws=True,
    why="Whoever gets into its mailbox resets the password and owns the account.",
    remedy="sign in as the root user of <account> and add a passkey or an authenticator; in an organization: "
    "centralize root access and delete the root user's credentials",
    references=("CIS AWS 3.0 1.5", "FSBP IAM.9"),
)
def _root_mfa(_world: World, row: Row) -> Said:
    if "AccountMFAEnabled" not in row.attributes:
        return Lacking("AccountMFAEnabled was not observed")
    # without a password there is nothing to sign in with
    if not row.get("AccountMFAEnabled") and row.get("AccountPasswordPresent") != 0:
        return Wrong("has no MFA", "AccountMFAEnabled", 0)
    return None


# ---- users and their keys

_USER = ("aws_iam_user",)
_KEY = ("aws_iam_access_key",)


@BOOK.one(
    "user-console-no-mfa",
    "A user signs in to the console without MFA",
    HIGH,
    _USER,
    rises="in production",
    why="A password that leaked elsewhere is enough to come in.",
    remedy="aws iam delete-login-profile --user-name <name>, or have them add MFA; better: IAM Identity Center",
    references=("CIS AWS 3.0 1.10", "FSBP IAM.5"),
)
def _console(world: World, row: Row) -> Said:
    if "LoginProfile" not in row.attributes:
        return row.unread("LoginProfile")
    if "MFADevices" not in row.attributes:
        return Lacking("MFADevices was not observed")
    return None if row.get("MFADevices") else Wrong("signs in without MFA", "MFADevices", [], world.raised(row, HIGH))


@BOOK.one(
    "access-key-old",
    "An access key is old",
    MEDIUM,
    _KEY,
    why="The longer a key lives, the more laptops, logs and images it has passed through.",
    remedy="aws iam create-access-key --user-name <user>, put it where the old one is used, then "
    "aws iam update-access-key --access-key-id <name> --status Inactive",
    references=("CIS AWS 3.0 1.14", "FSBP IAM.3"),
)
def _old(world: World, row: Row) -> Said:
    made, days = row.time("CreateDate"), world.settings.key_days
    if row.get("Status") != "Active":
        return row.unread("Status")
    if made is None:
        return Lacking("CreateDate was not observed")
    if not world.older(made, days):
        return None
    told = f"of {row.get('UserName')} is {(world.now - made).days} days old"
    return Wrong(told, "CreateDate", row.get("CreateDate"), remedy=_for_user(_OLD, row), since=made + timedelta(days))


_OLD = (
    "aws iam create-access-key --user-name <user>, put it where the old one is used, then "
    "aws iam update-access-key --user-name <user> --access-key-id <name> --status Inactive"
)
_UNUSED = (
    "aws iam update-access-key --user-name <user> --access-key-id <name> --status Inactive; delete it a week later"
)


def _for_user(remedy: str, row: Row) -> str:
    return remedy.replace("<user>", str(row.get("UserName") or "<user>"))


@BOOK.one(
    "access-key-unused",
    "An access key is active and nobody uses it",
    MEDIUM,
    _KEY,
    why="Nobody would miss it, so nobody would notice whoever uses it next.",
    remedy=_UNUSED,
    references=("CIS AWS 3.0 1.12", "FSBP IAM.22"),
)
def _unused(world: World, row: Row) -> Said:
    if row.get("Status") != "Active":
        return row.unread("Status")
    told, days = row.get("LastUsedDate"), world.settings.key_unused_days
    if told is None:
        return Lacking("LastUsedDate was not observed")
    made = row.time("CreateDate")
    used = made if told == "never" else _end_of_month(str(told))
    if not world.older(used, days) or not world.older(made, days):
        return None
    when = "was never used" if told == "never" else f"was last used in {told}"
    return Wrong(f"of {row.get('UserName')} {when}", "LastUsedDate", told, remedy=_for_user(_UNUSED, row))


def _end_of_month(month: str) -> datetime | None:
    """The end of ``2026-11``: the use was no later."""
    try:
        first = datetime.fromisoformat(f"{month}-01T00:00:00+00:00")
    except ValueError:
        return None
    return (first + timedelta(days=32)).replace(day=1)


def everything(document: Any) -> bool:
    """Whether a policy allows every action on everything, without a condition."""
    return any(
        "*" in policies.texts(one.get("Action"))
        and "*" in policies.texts(one.get("Resource"))
        and not one.get("Condition")
        for one in statements(document)
    )


def _inline(row: Row) -> list[str]:
    return [
        str(each.get("PolicyName"))
        for member in ("UserPolicyList", "RolePolicyList", "GroupPolicyList")
        for each in row.get(member) or ()
        if everything(each.get("PolicyDocument"))
    ]


@BOOK.one(
    "user-admin",
    "A user is an administrator by a policy of its own",
    HIGH,
    _USER,
    why="Its long-lived key or password can do everything, and no role's session limits or explains it.",
    remedy="aws iam detach-user-policy --user-name <name> --policy-arn arn:aws:iam::aws:policy/AdministratorAccess; "
    "let people assume a role instead",
    references=("CIS AWS 3.0 1.15", "CIS AWS 3.0 1.16", "FSBP IAM.2"),
)
def _admin(_world: World, row: Row) -> Said:
    attached = row.get("AttachedManagedPolicies") or ()
    found = [str(each.get("PolicyName")) for each in attached if str(each.get("PolicyArn")).endswith(_ADMINISTRATOR)]
    found += _inline(row)
    path = "AttachedManagedPolicies"
    return Wrong(f"may do everything by {', '.join(found)}", path, found) if found else row.unread(path)


@BOOK.one(
    "policy-everything",
    "A policy of your own allows everything on everything",
    MEDIUM,
    ("aws_iam_policy", "aws_iam_role", "aws_iam_group"),
    why="AdministratorAccess by another name: reviews that look for that name pass over it.",
    remedy="replace Action * on Resource * by what is used: aws accessanalyzer start-policy-generation drafts it from "
    "CloudTrail",
    references=("CIS AWS 3.0 1.16", "FSBP IAM.1"),
)
def _everything(_world: World, row: Row) -> Said:
    if row.type != "aws_iam_policy":
        found = _inline(row)
        return Wrong(f"may do everything by its own {', '.join(found)}", "Policies", found) if found else None
    versions = row.get("PolicyVersionList")
    if versions is None:
        return row.unread("PolicyVersionList")
    default = next((each for each in versions if each.get("IsDefaultVersion")), {})
    if everything(default.get("Document")):
        return Wrong("allows everything on everything", "PolicyVersionList", default.get("VersionId"))
    return None
