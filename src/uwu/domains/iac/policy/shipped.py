"""The rules over plans that come with uwu."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from uwu.domains.iac.plan_json import GONE, UNKNOWN, Change, Op, Plan
from uwu.domains.iac.policy.model import PlanRule, blocks, wanted
from uwu.kernel import codec
from uwu.kernel.model import Severity

ANYWHERE = frozenset({"0.0.0.0/0", "::/0"})
WEB = frozenset({80, 443})
"""Ports that may be open to all."""
STATEFUL = frozenset(
    {
        *("aws_db_instance", "aws_rds_cluster", "aws_rds_global_cluster", "aws_dynamodb_table", "aws_s3_bucket"),
        *("aws_efs_file_system", "aws_elasticache_replication_group", "aws_elasticache_cluster", "aws_ebs_volume"),
        *("aws_opensearch_domain", "aws_elasticsearch_domain", "aws_redshift_cluster", "aws_docdb_cluster"),
        *("aws_neptune_cluster", "aws_memorydb_cluster", "aws_fsx_lustre_file_system", "aws_kinesis_stream"),
        *("aws_msk_cluster", "aws_mq_broker", "aws_ecr_repository", "aws_backup_vault", "aws_cognito_user_pool"),
    }
)
"""Types that hold what cannot be made anew from code."""
MASS_LEAST, MASS_SHARE = 10, 0.30
"""A plan that destroys so large a share of so many resources is mostly a mistake in a variable or a backend."""
KMS_DAYS = 14
_GIT_REF = re.compile(r"[?&]ref=[^&\s]+")
_REGISTRY = re.compile(r"(?:[a-z0-9.-]+\.[a-z]+/)?[A-Za-z0-9_-]+/[A-Za-z0-9_-]+/[a-z0-9]+(?://.*)?")


# ---- the network


def _open_group(change: Change) -> Iterator[str]:
    after = wanted(change)
    if change.type in {"aws_security_group", "aws_default_security_group"}:
        rules = blocks(after.get("ingress"))
    elif change.type == "aws_vpc_security_group_ingress_rule" or after.get("type") == "ingress":
        rules = [after]
    else:
        return
    for rule in rules:
        sources = [*(rule.get("cidr_blocks") or ()), *(rule.get("ipv6_cidr_blocks") or ())]
        sources += [rule.get("cidr_ipv4"), rule.get("cidr_ipv6")]
        opened = sorted(ANYWHERE.intersection(s for s in sources if isinstance(s, str)))
        ports = _ports(rule)
        if opened and ports:
            yield f"{ports} is open to {' and '.join(opened)}"


def _ports(rule: dict[str, Any]) -> str:
    """What a rule opens beside the web's ports; empty where that is all."""
    protocol = str(rule.get("protocol", rule.get("ip_protocol", "")))
    if protocol in ("-1", "all"):
        return "everything"
    if protocol in ("icmp", "icmpv6", "1", "58"):
        return ""
    first, last = rule.get("from_port"), rule.get("to_port")
    if not isinstance(first, int | float) or not isinstance(last, int | float):
        return f"every {protocol} port" if first is None and last is None else ""
    if first == last and int(first) in WEB:
        return ""
    return f"{protocol} {int(first)}" if first == last else f"{protocol} {int(first)} to {int(last)}"


def _plain_listener(change: Change) -> Iterator[str]:
    after = wanted(change)
    if str(after.get("protocol", "")).upper() != "HTTP":
        return
    kinds = {str(block.get("type")) for block in blocks(after.get("default_action"))}
    if kinds and not kinds <= {"redirect", UNKNOWN}:
        yield f"it answers HTTP on port {after.get('port', 80)} and does not redirect to HTTPS"


# ---- storage


def _public_acl(change: Change) -> Iterator[str]:
    acl = wanted(change).get("acl")
    if isinstance(acl, str) and (acl.startswith("public-") or acl == "authenticated-read"):
        yield f"its ACL is {acl}"


_BLOCKS = ("block_public_acls", "block_public_policy", "ignore_public_acls", "restrict_public_buckets")


def _access_block(change: Change) -> Iterator[str]:
    if change.op is Op.DELETE:
        yield "the block of public access is taken away"
        return
    off = [name for name in _BLOCKS if wanted(change).get(name) is False]
    if off:
        yield f"{', '.join(off)} {'is' if len(off) == 1 else 'are'} off"


def _unencrypted_database(change: Change) -> Iterator[str]:
    if wanted(change).get("storage_encrypted") is False:
        yield "its storage is not encrypted, which cannot be changed later without a new one"


def _unencrypted_volume(change: Change) -> Iterator[str]:
    after = wanted(change)
    if change.type == "aws_ebs_volume" and after.get("encrypted") is False:
        yield "the volume is not encrypted"
    for name in ("root_block_device", "ebs_block_device"):
        if any(block.get("encrypted") is False for block in blocks(after.get(name))):
            yield f"a volume of {name} is not encrypted"


def _stateful_gone(change: Change) -> Iterator[str]:
    if change.op in GONE:
        forced = f", for {', '.join(change.forces)} changed" if change.forces else ""
        yield f"it is {'replaced' if change.op is Op.REPLACE else 'destroyed'} with what it holds{forced}"


def _no_snapshot(change: Change) -> Iterator[str]:
    if change.op in GONE and (change.before or {}).get("skip_final_snapshot") is True:
        yield "it is destroyed without a final snapshot"


def _unprotected(change: Change) -> Iterator[str]:
    before, after = change.before or {}, wanted(change)
    for name in ("deletion_protection", "deletion_protection_enabled", "enable_deletion_protection"):
        if before.get(name) is True and after.get(name) is False:
            yield f"{name} is turned off: the next plan may destroy it"


# ---- identity


def _document(value: Any) -> list[dict[str, Any]]:
    """The statements of an IAM policy; none where it is not known yet."""
    if not isinstance(value, str) or not value.lstrip().startswith("{"):
        return []
    try:
        statements = codec.decode(value).get("Statement")
    except (msgspec.DecodeError, AttributeError):
        return []
    return blocks(statements)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _all_powerful(change: Change) -> Iterator[str]:
    after = wanted(change)
    documents = [after.get("policy"), *(block.get("policy") for block in blocks(after.get("inline_policy")))]
    for document in documents:
        for statement in _document(document):
            everything = {"*", "*:*"}.intersection(map(str, _listed(statement.get("Action"))))
            if statement.get("Effect") == "Allow" and everything and "*" in _listed(statement.get("Resource")):
                yield "a statement allows every action on every resource"


def _trusts_anyone(change: Change) -> Iterator[str]:
    for statement in _document(wanted(change).get("assume_role_policy")):
        principal = statement.get("Principal")
        trusted = _listed(principal.get("AWS")) if isinstance(principal, dict) else [principal]
        if statement.get("Effect") == "Allow" and "*" in trusted and not statement.get("Condition"):
            yield "anyone in any account may assume it"


# ---- keys and names


def _key_gone(change: Change) -> Iterator[str]:
    if change.op in GONE:
        days = (change.before or {}).get("deletion_window_in_days")
        yield f"it is scheduled to be deleted{f' in {days:g} days' if isinstance(days, int | float) else ''}"
        return
    days = wanted(change).get("deletion_window_in_days")
    if isinstance(days, int | float) and days < KMS_DAYS:
        yield f"its deletion could be taken back for {days:g} days only"


def _name_gone(change: Change) -> Iterator[str]:
    if change.op is Op.DELETE or (change.op is Op.REPLACE and not change.create_before_destroy):
        name = (change.before or {}).get("fqdn") or (change.before or {}).get("name") or "it"
        if change.type == "aws_acm_certificate":
            name = (change.before or {}).get("domain_name") or "it"
        yield f"{name} is gone {'for good' if change.op is Op.DELETE else 'until it is made anew'}"


def _old_metadata(change: Change) -> Iterator[str]:
    for block in blocks(wanted(change).get("metadata_options")):
        if block.get("http_tokens") == "optional" and block.get("http_endpoint") != "disabled":
            yield "its metadata service answers requests without a token (IMDSv1)"


# ---- the whole


def _mass(plan: Plan) -> Iterator[tuple[str, str]]:
    gone = sum(change.op in GONE and not change.deposed for change in plan.changes)
    if plan.managed >= MASS_LEAST and gone > MASS_SHARE * plan.managed:
        yield "", f"it destroys or replaces {gone} of {plan.managed} resources ({gone / plan.managed:.0%})"


def _unpinned(plan: Plan) -> Iterator[tuple[str, str]]:
    for call in plan.modules:
        source = call.source
        if source.startswith(("./", "../")):
            continue
        if source.startswith(("git::", "github.com/", "bitbucket.org/")) or ".git" in source:
            if not _GIT_REF.search(source):
                yield call.address, "its git source names no ref"
        elif _REGISTRY.fullmatch(source) and not call.version:
            yield call.address, "it comes from a registry without a version"


def _provisioned(plan: Plan) -> Iterator[tuple[str, str]]:
    for each in plan.provisioners:
        yield each.address, f"a {each.type} provisioner runs a command that no plan shows"


_GROUPS = frozenset(
    {
        *("aws_security_group", "aws_default_security_group", "aws_security_group_rule"),
        "aws_vpc_security_group_ingress_rule",
    }
)
_DATABASES = frozenset({"aws_db_instance", "aws_rds_cluster", "aws_docdb_cluster", "aws_neptune_cluster"})

SHIPPED: tuple[PlanRule, ...] = (
    PlanRule(
        id="plan.security-group-open",
        title="A security group lets everyone in",
        severity=Severity.HIGH,
        why="What listens on such a port is scanned and attacked within minutes.",
        remedy="Name the security group or the CIDR blocks that need it; only 80 and 443 may be open to all.",
        mandatory=True,
        change=_open_group,
        types=_GROUPS,
    ),
    PlanRule(
        id="plan.listener-plain-http",
        title="A load balancer answers without TLS",
        severity=Severity.MEDIUM,
        why="Passwords and cookies cross the network in clear.",
        remedy='Give the HTTP listener a default_action of type "redirect" to HTTPS.',
        change=_plain_listener,
        types=frozenset({"aws_lb_listener", "aws_alb_listener"}),
    ),
    PlanRule(
        id="plan.bucket-public-acl",
        title="A bucket is made public by its ACL",
        severity=Severity.CRITICAL,
        why="Everyone can read what lies in it, and what will be put there later.",
        remedy='Set acl = "private", or leave ACLs off and serve through CloudFront.',
        mandatory=True,
        change=_public_acl,
        types=frozenset({"aws_s3_bucket", "aws_s3_bucket_acl", "aws_s3_object"}),
    ),
    PlanRule(
        id="plan.bucket-public-access",
        title="The block of public access is off",
        severity=Severity.HIGH,
        why="One careless policy or ACL is then enough to publish the bucket.",
        remedy="Set all four attributes of the public access block to true.",
        change=_access_block,
        types=frozenset({"aws_s3_bucket_public_access_block", "aws_s3_account_public_access_block"}),
    ),
    PlanRule(
        id="plan.bucket-force-destroy",
        title="A bucket is destroyed with all that is in it",
        severity=Severity.MEDIUM,
        why="With force_destroy a destroy deletes every object and version without asking.",
        remedy="Remove force_destroy; empty the bucket by hand where it really has to go.",
        cedar="""forbid (principal, action in [Action::"create", Action::"update", Action::"replace"], resource)
when {
  resource.type == "aws_s3_bucket" && resource.after has force_destroy && resource.after.force_destroy == true
};""",
    ),
    PlanRule(
        id="plan.database-public",
        title="A database has a public address",
        severity=Severity.CRITICAL,
        why="Only its password stands between the internet and its data.",
        remedy="Set publicly_accessible = false and reach it through the VPC.",
        mandatory=True,
        cedar="""forbid (principal, action in [Action::"create", Action::"update", Action::"replace"], resource)
when {
  ["aws_db_instance", "aws_rds_cluster_instance", "aws_redshift_cluster", "aws_dms_replication_instance"]
    .contains(resource.type) &&
  resource.after has publicly_accessible && resource.after.publicly_accessible == true
};""",
    ),
    PlanRule(
        id="plan.database-unencrypted",
        title="A database is not encrypted at rest",
        severity=Severity.HIGH,
        why="Snapshots and disks of it can be read by whoever gets at them.",
        remedy="Set storage_encrypted = true before it is made.",
        mandatory=True,
        change=_unencrypted_database,
        types=_DATABASES,
    ),
    PlanRule(
        id="plan.volume-unencrypted",
        title="A volume is not encrypted",
        severity=Severity.MEDIUM,
        why="Snapshots of it can be read by whoever gets at them.",
        remedy="Set encrypted = true, or turn on encryption by default for the account.",
        change=_unencrypted_volume,
        types=frozenset({"aws_ebs_volume", "aws_instance", "aws_launch_configuration"}),
    ),
    PlanRule(
        id="plan.data-destroyed",
        title="What holds data is destroyed or replaced",
        severity=Severity.CRITICAL,
        why="Terraform makes the resource anew, not what was in it.",
        remedy="Move it with a moved block or `terraform state mv`, or protect it with prevent_destroy.",
        change=_stateful_gone,
        types=STATEFUL,
    ),
    PlanRule(
        id="plan.no-final-snapshot",
        title="A database is destroyed without a last snapshot",
        severity=Severity.CRITICAL,
        why="There is nothing to come back to.",
        remedy="Apply skip_final_snapshot = false and a final_snapshot_identifier first, then destroy.",
        mandatory=True,
        change=_no_snapshot,
        types=_DATABASES | {"aws_redshift_cluster"},
    ),
    PlanRule(
        id="plan.protection-off",
        title="The protection against deletion is turned off",
        severity=Severity.HIGH,
        why="The next plan may destroy it.",
        remedy="Leave it on; turn it off in the change that destroys it, and have that one approved.",
        change=_unprotected,
    ),
    PlanRule(
        id="plan.iam-all-powerful",
        title="A policy allows everything",
        severity=Severity.CRITICAL,
        why="Whoever gets hold of such a role or user has the account.",
        remedy="Name the actions and the resources that are needed; IAM Access Analyzer writes the list.",
        mandatory=True,
        change=_all_powerful,
        types=frozenset(
            {
                *("aws_iam_policy", "aws_iam_role_policy", "aws_iam_user_policy", "aws_iam_group_policy"),
                "aws_iam_role",
            }
        ),
    ),
    PlanRule(
        id="plan.iam-trusts-anyone",
        title="A role can be assumed by anyone",
        severity=Severity.CRITICAL,
        why='A principal of "*" is every account of AWS, not every user of yours.',
        remedy="Name the account, role or service in Principal, or add a Condition such as aws:PrincipalOrgID.",
        mandatory=True,
        change=_trusts_anyone,
        types=frozenset({"aws_iam_role"}),
    ),
    PlanRule(
        id="plan.iam-access-key",
        title="A long-lived access key is made",
        severity=Severity.MEDIUM,
        why="It does not end by itself, and its secret lies in the state.",
        remedy="Use a role: OIDC for CI, an instance or task role in AWS, IAM Identity Center for people.",
        cedar="""forbid (principal, action in [Action::"create", Action::"replace"], resource)
when { resource.type == "aws_iam_access_key" };""",
    ),
    PlanRule(
        id="plan.kms-key-deleted",
        title="A key is deleted, or could be within days",
        severity=Severity.CRITICAL,
        why="What is encrypted with a deleted key is lost for good.",
        remedy="Disable the key and wait for errors; keep deletion_window_in_days at 14 or more.",
        change=_key_gone,
        types=frozenset({"aws_kms_key", "aws_kms_external_key"}),
    ),
    PlanRule(
        id="plan.kms-no-rotation",
        title="A key does not rotate",
        severity=Severity.LOW,
        why="Years of data then hang on one key.",
        remedy="Set enable_key_rotation = true.",
        cedar="""forbid (principal, action in [Action::"create", Action::"update", Action::"replace"], resource)
when {
  resource.type == "aws_kms_key" && resource.after has enable_key_rotation &&
  resource.after.enable_key_rotation == false
}
unless {
  resource.after has customer_master_key_spec && resource.after.customer_master_key_spec != "SYMMETRIC_DEFAULT"
};""",
    ),
    PlanRule(
        id="plan.secret-no-recovery",
        title="A secret is deleted at once",
        severity=Severity.MEDIUM,
        why="Without a recovery window a mistake cannot be taken back.",
        remedy="Set recovery_window_in_days to 7 or more.",
        cedar="""forbid (principal, action, resource)
when {
  resource.type == "aws_secretsmanager_secret" &&
  ((action == Action::"delete" && resource.before has recovery_window_in_days &&
    resource.before.recovery_window_in_days == 0) ||
   (action != Action::"delete" && resource.after has recovery_window_in_days &&
    resource.after.recovery_window_in_days == 0))
};""",
    ),
    PlanRule(
        id="plan.name-destroyed",
        title="A name or a certificate is destroyed",
        severity=Severity.HIGH,
        why="Clients fail at once, and resolvers remember that the name is not there.",
        remedy="Set create_before_destroy, or move it with a moved block.",
        change=_name_gone,
        types=frozenset({"aws_route53_record", "aws_route53_zone", "aws_acm_certificate"}),
    ),
    PlanRule(
        id="plan.metadata-v1",
        title="An instance answers IMDSv1",
        severity=Severity.MEDIUM,
        why="One forged request of a service on it gives its role's credentials away.",
        remedy='Set metadata_options { http_tokens = "required" }.',
        change=_old_metadata,
        types=frozenset({"aws_instance", "aws_launch_template", "aws_launch_configuration"}),
    ),
    PlanRule(
        id="plan.logs-kept-forever",
        title="Logs are kept for ever",
        severity=Severity.LOW,
        why="They cost more each month, and personal data in them is never deleted.",
        remedy="Set retention_in_days.",
        cedar="""forbid (principal, action in [Action::"create", Action::"update", Action::"replace"], resource)
when {
  resource.type == "aws_cloudwatch_log_group" && resource.after has retention_in_days &&
  resource.after.retention_in_days == 0
};""",
    ),
    PlanRule(
        id="plan.mass-destruction",
        title="A plan destroys much of its stack",
        severity=Severity.CRITICAL,
        why="A wrong workspace, variable or backend looks exactly like this.",
        remedy="Check workspace and variables; part the change where it is meant.",
        mandatory=True,
        plan=_mass,
    ),
    PlanRule(
        id="plan.module-unpinned",
        title="A module has no version",
        severity=Severity.MEDIUM,
        why="Another day the same code makes another plan.",
        remedy="Give a version to a registry's module, and ?ref= with a tag or commit to one from git.",
        plan=_unpinned,
    ),
    PlanRule(
        id="plan.provisioner",
        title="A provisioner runs a command",
        severity=Severity.MEDIUM,
        why="What it does is in no plan, is not undone, and runs with the credentials of the run.",
        remedy="Bake it into the image, or use user_data or a provider that does it.",
        plan=_provisioned,
    ),
)
"""Each with its reason, its remedy, and a plan in the tests that it fires on and one that it does not."""
