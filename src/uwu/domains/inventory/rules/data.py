"""What should be encrypted and is not, and keys that fail what they encrypt."""

from __future__ import annotations

from collections.abc import Iterable

from uwu.domains.inventory.rules.model import HIGH, LOW, MEDIUM, Book, Lacking, Row, Said, Wrong
from uwu.domains.inventory.rules.world import World

BOOK = Book("Encryption")

_SETTINGS = "aws_ec2_regional_settings"


@BOOK.one(
    "database-unencrypted",
    "A database is not encrypted",
    MEDIUM,
    ("aws_rds_db_instance", "aws_rds_db_cluster", "aws_redshift_cluster"),
    rises="in production",
    why="Its snapshots and backups are plain too, and it can only be mended by a copy: the sooner the cheaper.",
    remedy="aws rds create-db-snapshot, aws rds copy-db-snapshot --kms-key-id <key>, restore from the copy and switch "
    "over; Terraform: storage_encrypted = true (which replaces it)",
    references=("CIS AWS 3.0 2.3.1", "FSBP RDS.3", "FSBP RDS.27", "FSBP Redshift.10"),
)
def _database(world: World, row: Row) -> Said:
    path = "Encrypted" if row.type == "aws_redshift_cluster" else "StorageEncrypted"
    if row.get(path) is not False:
        return row.unread(path)
    remedy = {
        "aws_redshift_cluster": "aws redshift modify-cluster --cluster-identifier <name> --encrypted --region <region> "
        "(it is moved by itself, read-only meanwhile); Terraform: encrypted = true",
        "aws_rds_db_cluster": "aws rds create-db-cluster-snapshot, then aws rds restore-db-cluster-from-snapshot "
        "--kms-key-id <key> --region <region> and switch over; Terraform: storage_encrypted = true (which replaces it)",
    }.get(row.type, "")
    return Wrong("is not encrypted", path, False, world.raised(row, MEDIUM), remedy)


@BOOK.one(
    "volume-unencrypted",
    "A volume is not encrypted though the region's default is to encrypt",
    MEDIUM,
    ("aws_ebs_volume",),
    beside=(_SETTINGS,),
    rises="in production",
    some=False,
    why="It was made before the default was set, and is the one that the audit finds.",
    remedy="aws ec2 create-snapshot --volume-id <id> --region <region>, then aws ec2 create-volume from it (the "
    "default encrypts it), and swap them",
    references=("FSBP EC2.3",),
)
def _volume(world: World, row: Row) -> Said:
    if row.get("Encrypted") is not False:
        return row.unread("Encrypted")
    default = _default(world, row)
    if default is None:
        return Lacking("whether the region encrypts by default was not observed")
    return Wrong("is not encrypted", "Encrypted", False, world.raised(row, MEDIUM)) if default else None


def _default(world: World, row: Row) -> bool | None:
    """Whether EBS encrypts by default where ``row`` is; None where that is not known."""
    for each in world.held(_SETTINGS):
        if (each.account, each.region) == (row.account, row.region):
            return each.get("EbsEncryptionByDefault")
    return None


@BOOK.one(
    "ebs-default-encryption",
    "New volumes of a region are not encrypted by default",
    MEDIUM,
    (_SETTINGS,),
    of_aws=True,
    some=False,
    why="Every volume that nobody thought about is plain; the default costs nothing and asks nobody.",
    remedy="aws ec2 enable-ebs-encryption-by-default --region <region>",
    references=("CIS AWS 3.0 2.2.1", "FSBP EC2.7"),
)
def _by_default(world: World, row: Row) -> Said:
    if not world.used(row.account, row.region, "aws_ec2_instance", "aws_ebs_volume"):
        return None
    told = row.get("EbsEncryptionByDefault")
    if told is None:
        return Lacking("EbsEncryptionByDefault was not observed")
    if told:
        return None
    about = f"Region {row.region} of {row.account}"
    return Wrong("does not encrypt new volumes by default", "EbsEncryptionByDefault", False, about=about)


@BOOK.one(
    "queue-unencrypted",
    "A queue is not encrypted",
    LOW,
    ("aws_sqs_queue",),
    rises="in production",
    why="Encryption by SQS is free and the default since 2022: somebody has switched it off.",
    remedy="aws sqs set-queue-attributes --queue-url <url> --attributes SqsManagedSseEnabled=true --region <region>; "
    "Terraform: sqs_managed_sse_enabled = true",
    references=("FSBP SQS.1",),
)
def _queue(world: World, row: Row) -> Said:
    if row.get("KmsMasterKeyId") or "SqsManagedSseEnabled" not in row.attributes:
        return None if row.get("KmsMasterKeyId") else row.unread("SqsManagedSseEnabled")
    if str(row.get("SqsManagedSseEnabled")).lower() == "false":
        return Wrong("is not encrypted", "SqsManagedSseEnabled", "false", world.raised(row, LOW))
    return None


@BOOK.one(
    "search-unencrypted",
    "A search domain is not encrypted at rest",
    MEDIUM,
    ("aws_opensearch_domain",),
    rises="in production",
    why="Its indexes and automated snapshots lie plain on disk; it can be switched on in place.",
    remedy="aws opensearch update-domain-config --domain-name <name> --encryption-at-rest-options Enabled=true "
    "--region <region>",
    references=("FSBP Opensearch.1",),
)
def _search(world: World, row: Row) -> Said:
    told = row.get("EncryptionAtRestOptions")
    if told is None:
        return row.unread("EncryptionAtRestOptions")
    path = "EncryptionAtRestOptions.Enabled"
    return None if told.get("Enabled") else Wrong("is not encrypted at rest", path, False, world.raised(row, MEDIUM))


@BOOK.one(
    "cache-unencrypted",
    "A cache speaks or stores in plain text",
    LOW,
    ("aws_elasticache_replication_group",),
    rises="in production",
    why="Sessions and tokens pass through caches; without TLS it also takes no password.",
    remedy="aws elasticache modify-replication-group --replication-group-id <name> --transit-encryption-enabled "
    "--transit-encryption-mode preferred --apply-immediately --region <region>",
    references=("FSBP ElastiCache.4", "FSBP ElastiCache.5"),
)
def _cache(world: World, row: Row) -> Iterable[Said]:
    for path, says in (
        ("TransitEncryptionEnabled", "speaks in plain text"),
        ("AtRestEncryptionEnabled", "is not encrypted at rest"),
    ):
        if row.get(path) is False:
            yield Wrong(says, path, False, world.raised(row, LOW))
        else:
            yield row.unread(path)


_KEY = ("aws_kms_key",)


@BOOK.one(
    "key-deletion",
    "A key is about to be deleted",
    HIGH,
    _KEY,
    rises="in production",
    why="After its day everything that it encrypted is lost for good, backups included.",
    remedy="aws kms cancel-key-deletion --key-id <arn> --region <region>, then aws kms enable-key; "
    "look in CloudTrail for who still uses it",
    references=("FSBP KMS.3",),
)
def _deletion(world: World, row: Row) -> Said:
    if row.get("KeyState") in {"PendingDeletion", "PendingReplicaDeletion"}:
        day = str(row.get("DeletionDate") or "")[:10]
        says = f"is to be deleted{f' on {day}' if day else ''}"
        return Wrong(says, "KeyState", row.get("KeyState"), world.raised(row, HIGH))
    return row.unread("KeyState")


@BOOK.one(
    "key-rotation",
    "A key is not rotated",
    LOW,
    _KEY,
    rises="in production",
    why="AWS rotates the material by itself without touching what is encrypted; auditors ask for it.",
    remedy="aws kms enable-key-rotation --key-id <arn> --region <region>; Terraform: enable_key_rotation = true",
    references=("CIS AWS 3.0 3.6", "FSBP KMS.4"),
)
def _rotation(world: World, row: Row) -> Said:
    if row.get("KeyState") != "Enabled":
        return row.unread("KeyState")
    if row.get("KeyRotationEnabled") is False:
        return Wrong("is not rotated", "KeyRotationEnabled", False, world.raised(row, LOW))
    rotates = row.get("KeySpec", "SYMMETRIC_DEFAULT") == "SYMMETRIC_DEFAULT" and row.get("Origin") == "AWS_KMS"
    return row.unread("KeyRotationEnabled") if rotates else None
