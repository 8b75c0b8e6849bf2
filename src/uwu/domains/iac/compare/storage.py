"""S3, RDS, KMS and Secrets Manager."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from uwu.domains.iac.compare.base import MISSING, Side, block, last, names, plain, seen
from uwu.kernel.model import Declaration, Difference, Resource

_ACCESS = {
    "block_public_acls": "BlockPublicAcls",
    "block_public_policy": "BlockPublicPolicy",
    "ignore_public_acls": "IgnorePublicAcls",
    "restrict_public_buckets": "RestrictPublicBuckets",
}


def bucket(declaration: Declaration, resource: Resource) -> Sequence[Difference]:
    """``aws_s3_bucket``, with what older providers set in it; a part that is a resource of its own is left to that."""
    side = Side(declaration, resource)
    if not side.parts("aws_s3_bucket_versioning") and block(side.declared, "versioning").get("enabled"):
        _same_versioning(side, "Enabled")
    if not side.parts("aws_s3_bucket_server_side_encryption_configuration"):
        _same_encryption(side, block(side.declared, "server_side_encryption_configuration"))
    if not side.parts("aws_s3_bucket_policy"):
        side.same_document("policy", seen(side.observed, "Policy", default=None))
    side.tags()
    return side.differences


def versioning(declaration: Declaration, resource: Resource) -> Sequence[Difference]:
    """``aws_s3_bucket_versioning``."""
    side = Side(declaration, resource)
    status = block(side.declared, "versioning_configuration").get("status")
    if status:
        _same_versioning(side, str(status))
    return side.differences


def encryption(declaration: Declaration, resource: Resource) -> Sequence[Difference]:
    """``aws_s3_bucket_server_side_encryption_configuration``."""
    side = Side(declaration, resource)
    _same_encryption(side, side.declared)
    return side.differences


def public_access(declaration: Declaration, resource: Resource) -> Sequence[Difference]:
    """``aws_s3_bucket_public_access_block``: one difference for the four switches; no block is all four off."""
    side = Side(declaration, resource)
    observed = side.observed.get("PublicAccessBlockConfiguration") or {}
    left = {name: bool(side.declared[name]) for name in _ACCESS if side.declared.get(name) is not None}
    right = {name: bool(observed.get(_ACCESS[name])) for name in left}
    differing = [name for name in left if left[name] != right[name]]
    if differing:
        side.differ(
            "public_access_block",
            {name: left[name] for name in differing},
            {name: right[name] for name in differing},
        )
    return side.differences


def bucket_policy(declaration: Declaration, resource: Resource) -> Sequence[Difference]:
    """``aws_s3_bucket_policy``."""
    side = Side(declaration, resource)
    side.same_document("policy", seen(side.observed, "Policy", default=None))
    return side.differences


def _same_versioning(side: Side, declared: str) -> None:
    observed = seen(side.observed, "Versioning", "Status", default="Disabled")
    if declared != observed:
        side.differ("versioning", declared, observed)


def _same_encryption(side: Side, configuration: dict[str, Any]) -> None:
    rule = block(configuration, "rule")
    default = block(rule, "apply_server_side_encryption_by_default")
    if not default:
        return
    rules = seen(side.observed, "ServerSideEncryptionConfiguration", "Rules", default=[])
    applied = (rules[0] if rules else {}).get("ApplyServerSideEncryptionByDefault") or {}
    left = {"sse_algorithm": default.get("sse_algorithm"), "kms_master_key_id": default.get("kms_master_key_id") or ""}
    right = {"sse_algorithm": applied.get("SSEAlgorithm"), "kms_master_key_id": applied.get("KMSMasterKeyID") or ""}
    same_key = last(left["kms_master_key_id"]) == last(right["kms_master_key_id"])
    if left["sse_algorithm"] != right["sse_algorithm"] or not same_key:
        side.differ("server_side_encryption", left, right)


def database(declaration: Declaration, resource: Resource) -> Sequence[Difference]:
    """``aws_db_instance``."""
    side = Side(declaration, resource)
    o = side.observed
    side.same("instance_class", seen(o, "DBInstanceClass"))
    side.same("publicly_accessible", seen(o, "PubliclyAccessible"))
    side.same("deletion_protection", seen(o, "DeletionProtection"))
    side.same("multi_az", seen(o, "MultiAZ"))
    side.same("storage_encrypted", seen(o, "StorageEncrypted"))
    side.same("backup_retention_period", seen(o, "BackupRetentionPeriod"))
    side.same("iam_database_authentication_enabled", seen(o, "IAMDatabaseAuthenticationEnabled"))
    if side.declared.get("storage_type"):
        side.same("storage_type", seen(o, "StorageType"))
    side.same_set(
        "vpc_security_group_ids", names(o.get("VpcSecurityGroups"), "VpcSecurityGroupId"), empty_is_unset=True
    )
    _storage(side)
    _engine(side)
    side.tags()
    return side.differences


def _storage(side: Side) -> None:
    declared, observed = side.declared.get("allocated_storage"), seen(side.observed, "AllocatedStorage")
    if not declared or observed is MISSING:
        return
    declared, most = int(plain(declared, 0)), int(plain(side.declared.get("max_allocated_storage") or 0, 0))
    if declared != observed and not declared <= observed <= most:  # in between, storage autoscaling did it
        side.differ("allocated_storage", declared, observed)


def _engine(side: Side) -> None:
    declared, observed = side.declared.get("engine_version"), seen(side.observed, "EngineVersion")
    if not declared or observed is MISSING:
        return
    declared, observed = str(declared), str(observed)
    if observed == declared or observed.startswith(declared + "."):
        return
    if side.declared.get("auto_minor_version_upgrade") and declared.rpartition(".")[0] == observed.rpartition(".")[0]:
        return
    side.differ("engine_version", declared, observed)


def key(declaration: Declaration, resource: Resource) -> Sequence[Difference]:
    """``aws_kms_key``."""
    side = Side(declaration, resource)
    state = seen(side.observed, "KeyState")
    if state == "PendingDeletion":
        side.differ("is_enabled", side.declared.get("is_enabled", True), "PendingDeletion")
    else:
        side.same("is_enabled", seen(side.observed, "Enabled"))
        side.same("enable_key_rotation", seen(side.observed, "KeyRotationEnabled"))
    side.same("description", seen(side.observed, "Description", default=""))
    side.tags()
    return side.differences


def secret(declaration: Declaration, resource: Resource) -> Sequence[Difference]:
    """``aws_secretsmanager_secret``; its value is never looked at."""
    side = Side(declaration, resource)
    side.same("description", seen(side.observed, "Description", default=""))
    side.same("kms_key_id", seen(side.observed, "KmsKeyId", default=""), norm=_key_name)
    if side.declared.get("rotation_enabled") and not side.parts("aws_secretsmanager_secret_rotation"):
        side.same("rotation_enabled", seen(side.observed, "RotationEnabled", default=False))
    side.tags()
    return side.differences


def _key_name(value: Any) -> Any:
    """The key's id or alias; the service's own key is what an empty value means."""
    name = str(value or "")
    return "" if name.endswith("alias/aws/secretsmanager") else last(name)


def rotation(declaration: Declaration, resource: Resource) -> Sequence[Difference]:
    """``aws_secretsmanager_secret_rotation``."""
    side = Side(declaration, resource)
    on = seen(side.observed, "RotationEnabled", default=False)
    if not on:
        side.differ("rotation_enabled", True, False)
        return side.differences
    if side.declared.get("rotation_lambda_arn"):
        side.same("rotation_lambda_arn", seen(side.observed, "RotationLambdaARN", default=""))
    days = block(side.declared, "rotation_rules").get("automatically_after_days")
    observed = seen(side.observed, "RotationRules", "AutomaticallyAfterDays")
    if days and observed is not MISSING and int(plain(days, 0)) != observed:
        side.differ("rotation_rules", days, observed)
    return side.differences
