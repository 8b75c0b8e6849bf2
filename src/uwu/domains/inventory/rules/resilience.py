"""What production must survive: a mistake, the loss of a zone, a certificate's end."""

from __future__ import annotations

from datetime import timedelta

from uwu.domains.inventory.rules.model import HIGH, LOW, MEDIUM, Book, Lacking, Row, Said, Wrong
from uwu.domains.inventory.rules.world import World

BOOK = Book("Resilience")

_INSTANCE, _CLUSTER = "aws_rds_db_instance", "aws_rds_db_cluster"


def _of_cluster(row: Row, flag: str, terraform: str) -> str:
    """The remedy where ``row`` is a cluster; empty where the rule's own fits."""
    if row.type != _CLUSTER:
        return ""
    return (
        f"aws rds modify-db-cluster --db-cluster-identifier <name> {flag} --apply-immediately --region <region>; "
        f"Terraform: {terraform}"
    )


def _copy(row: Row) -> bool:
    """A read replica, or a member of a cluster: what it copies is kept there."""
    return bool(row.get("ReadReplicaSourceDBInstanceIdentifier") or row.get("DBClusterIdentifier")) and (
        row.type == _INSTANCE
    )


@BOOK.one(
    "database-no-backup",
    "A database is not backed up",
    MEDIUM,
    (_INSTANCE, _CLUSTER),
    rises="in production",
    why="A bad migration or a deleted table is final: there is no point in time to go back to.",
    remedy="aws rds modify-db-instance --db-instance-identifier <name> --backup-retention-period 7 --apply-immediately "
    "--region <region>; Terraform: backup_retention_period = 7",
    references=("FSBP RDS.11", "AWS: Working with backups (Amazon RDS)"),
)
def _backup(world: World, row: Row) -> Said:
    if _copy(row):
        return None
    days, path = row.get("BackupRetentionPeriod"), "BackupRetentionPeriod"
    if days is None:
        return row.unread(path)
    least = world.settings.backup_days
    remedy = _of_cluster(row, "--backup-retention-period 7", "backup_retention_period = 7")
    if days == 0:
        return Wrong("is not backed up", path, 0, world.raised(row, MEDIUM), remedy)
    if days < least and world.production(row):
        return Wrong(f"keeps backups for {days} days only, {least} are asked for", path, days, LOW, remedy)
    return None


@BOOK.one(
    "database-no-deletion-protection",
    "A production database can be deleted by one call",
    MEDIUM,
    (_INSTANCE, _CLUSTER, "aws_dynamodb_table"),
    why="One wrong terraform destroy, and it is gone with its automated backups.",
    remedy="aws rds modify-db-instance --db-instance-identifier <name> --deletion-protection --region <region> "
    "(cluster: modify-db-cluster; DynamoDB: update-table --deletion-protection-enabled); "
    "Terraform: deletion_protection = true",
    references=("FSBP RDS.7", "FSBP RDS.8", "FSBP DynamoDB.6"),
)
def _protection(world: World, row: Row) -> Said:
    if not world.production(row) or _copy(row):
        return None
    path = "DeletionProtectionEnabled" if row.type == "aws_dynamodb_table" else "DeletionProtection"
    if row.get(path) is not False:
        return row.unread(path)
    remedy = _of_cluster(row, "--deletion-protection", "deletion_protection = true")
    if row.type == "aws_dynamodb_table":
        remedy = (
            "aws dynamodb update-table --table-name <name> --deletion-protection-enabled --region <region>; "
            "Terraform: deletion_protection_enabled = true"
        )
    return Wrong("can be deleted by one call", path, False, remedy=remedy)


@BOOK.one(
    "database-single-zone",
    "A production database stands in one zone",
    MEDIUM,
    (_INSTANCE,),
    why="When its zone fails, or at the next maintenance, it is down for minutes to hours instead of seconds.",
    remedy="aws rds modify-db-instance --db-instance-identifier <name> --multi-az --region <region>; "
    "Terraform: multi_az = true",
    references=("FSBP RDS.5",),
)
def _zones(world: World, row: Row) -> Said:
    if not world.production(row) or _copy(row):
        return None
    return Wrong("stands in one zone", "MultiAZ", False) if row.get("MultiAZ") is False else row.unread("MultiAZ")


@BOOK.one(
    "table-no-recovery",
    "A production table has no point-in-time recovery",
    MEDIUM,
    ("aws_dynamodb_table",),
    why="A loop that writes nonsense into every item cannot be taken back.",
    remedy="aws dynamodb update-continuous-backups --table-name <name> --point-in-time-recovery-specification "
    "PointInTimeRecoveryEnabled=true --region <region>; Terraform: point_in_time_recovery { enabled = true }",
    references=("FSBP DynamoDB.2",),
)
def _recovery(world: World, row: Row) -> Said:
    if not world.production(row):
        return None
    told, path = (row.get("PointInTimeRecovery") or {}).get("Status"), "PointInTimeRecovery"
    if told is None:
        return Lacking(f"{path} was not observed")
    return None if told == "ENABLED" else Wrong("has no point-in-time recovery", path, told)


_CERTIFICATE = ("aws_acm_certificate",)


@BOOK.one(
    "certificate-expiring",
    "A certificate in use is about to end",
    MEDIUM,
    _CERTIFICATE,
    rises="in its last week",
    why="On its day everything behind it is down, and everyone sees it.",
    remedy="imported: aws acm import-certificate --certificate-arn <arn> ... --region <region> with the new one; "
    "issued by ACM: put back the CNAME that validates it (aws acm describe-certificate)",
    references=("FSBP ACM.1",),
)
def _expiring(world: World, row: Row) -> Said:
    end = row.time("NotAfter")
    if end is None:
        return row.unread("NotAfter") if row.get("Status") in {None, "ISSUED"} else None
    if not row.get("InUseBy"):
        return row.unread("InUseBy")
    left = end - world.now
    if left > timedelta(days=world.settings.certificate_days):
        return None
    says = f"ended on {end:%Y-%m-%d}" if left < timedelta(0) else f"ends on {end:%Y-%m-%d}"
    return Wrong(says, "NotAfter", f"{end:%Y-%m-%d}", HIGH if left <= timedelta(days=7) else MEDIUM)


@BOOK.one(
    "certificate-not-renewing",
    "ACM cannot renew a certificate",
    HIGH,
    _CERTIFICATE,
    why="ACM has tried and failed: in at most 60 days it ends, and nothing else will warn.",
    remedy="put back the CNAME of DomainValidationOptions[].ResourceRecord (aws acm describe-certificate "
    "--certificate-arn <arn> --region <region>)",
    references=("AWS: Managed certificate renewal in AWS Certificate Manager",),
)
def _renewing(_world: World, row: Row) -> Said:
    told = (row.get("RenewalSummary") or {}).get("RenewalStatus")
    if told in {"FAILED", "PENDING_VALIDATION"}:
        return Wrong("cannot be renewed", "RenewalSummary.RenewalStatus", told)
    return row.unread("Status")
