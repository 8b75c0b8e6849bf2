"""What watches an account: CloudTrail, GuardDuty, Config, logs, and the account's own defaults."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase

from uwu.domains.inventory.rules.model import HIGH, LOW, MEDIUM, Book, Lacking, Row, Said, Wrong
from uwu.domains.inventory.rules.world import World
from uwu.domains.inventory.services import ACCOUNT

BOOK = Book("Logging")

_TRAIL = "aws_cloudtrail_trail"
_DETECTOR = "aws_guardduty_detector"
_RECORDER = "aws_config_configuration_recorder"
_IN_USE = ("aws_ec2_instance", "aws_lambda_function", "aws_rds_db_instance", "aws_ecs_service", "aws_eks_cluster")
"""Where one of these runs, a region is in use."""


@BOOK.one(
    "trail-missing",
    "No trail records an account",
    HIGH,
    (ACCOUNT,),
    beside=(_TRAIL,),
    some=False,
    rises="in production",
    why="After an incident nobody can say what was done there, nor by whom; uwu cannot explain its changes either.",
    remedy="aws cloudtrail create-trail --name organization --is-multi-region-trail --is-organization-trail "
    "--enable-log-file-validation --s3-bucket-name <bucket> in the management account, then aws cloudtrail "
    "start-logging --name organization",
    references=("CIS AWS 3.0 3.1", "FSBP CloudTrail.1"),
)
def _missing(world: World, row: Row) -> Said:
    if row.get("Status") not in {None, "", "ACTIVE"}:
        return None
    trails = world.held(_TRAIL)
    if any(
        trail.get("IsMultiRegionTrail")
        and trail.get("IsLogging")
        and (trail.account == row.account or trail.get("IsOrganizationTrail"))
        for trail in trails
    ):
        return None
    # a trail of the organization may be in any account
    hole = world.hole(_TRAIL)
    if hole or any(trail.get("IsLogging") is None for trail in trails):
        return Lacking(hole or "IsLogging of a trail was not observed")
    return Wrong("is recorded by no trail in all regions", "Trails", [], world.raised(row, HIGH))


@BOOK.one(
    "trail-stopped",
    "A trail does not record",
    HIGH,
    (_TRAIL,),
    rises="in production",
    why="Switching it off is the first thing that an intruder does; whoever did it should be asked at once.",
    remedy="aws cloudtrail start-logging --name <arn> --region <region>",
    references=("CIS AWS 3.0 3.1", "FSBP CloudTrail.1"),
)
def _stopped(world: World, row: Row) -> Said:
    told = row.get("IsLogging")
    if told is None:
        return Lacking("IsLogging was not observed")
    return None if told else Wrong("does not record", "IsLogging", False, world.raised(row, HIGH))


@BOOK.one(
    "trail-no-validation",
    "A trail's files are not signed",
    LOW,
    (_TRAIL,),
    why="Whoever can write to its bucket can take lines out of the record and nobody can tell.",
    remedy="aws cloudtrail update-trail --name <arn> --enable-log-file-validation --region <region>; "
    "Terraform: enable_log_file_validation = true",
    references=("CIS AWS 3.0 3.2", "FSBP CloudTrail.4"),
)
def _validation(_world: World, row: Row) -> Said:
    told = row.get("LogFileValidationEnabled")
    path = "LogFileValidationEnabled"
    return Wrong("does not sign its files", path, False) if told is False else row.unread(path)


@BOOK.one(
    "guardduty-off",
    "GuardDuty does not watch a region that it watches elsewhere",
    MEDIUM,
    ("aws_ec2_regional_settings",),
    beside=(_DETECTOR,),
    of_aws=True,
    some=False,
    rises="in production",
    why="You pay for being told of intruders everywhere but here, where nobody would notice them.",
    remedy="aws guardduty create-detector --enable --region <region>; better: enable it for all members from the "
    "delegated administrator",
    references=("FSBP GuardDuty.1",),
)
def _guardduty(world: World, row: Row) -> Said:
    def watches(each: Row) -> bool:
        return str(each.get("Status", "")).upper() == "ENABLED"

    return _gap(world, row, _DETECTOR, watches, "is not watched by GuardDuty")


@BOOK.one(
    "config-off",
    "AWS Config does not record a region that it records elsewhere",
    LOW,
    ("aws_ec2_regional_settings",),
    beside=(_RECORDER,),
    of_aws=True,
    some=False,
    rises="in production",
    why="Rules and conformance packs say nothing of it, and look as if all were well.",
    remedy="aws configservice start-configuration-recorder --configuration-recorder-name default --region <region>",
    references=("CIS AWS 3.0 3.3", "FSBP Config.1"),
)
def _config(world: World, row: Row) -> Said:
    return _gap(world, row, _RECORDER, lambda each: each.get("recording") is True, "is not recorded by AWS Config")


def _gap(world: World, row: Row, type: str, works: Callable[[Row], bool], says: str) -> Said:
    """What of ``type`` lacks in a region in use, where the organization has it elsewhere."""
    if not world.used(row.account, row.region, *_IN_USE):
        return None
    held = world.held(type)
    if not any(works(each) for each in held):
        return None  # it is not used at all: then that is a decision, not a gap
    if any(works(each) for each in held if (each.account, each.region) == (row.account, row.region)):
        return None
    hole = world.hole(type, row.account, row.region)
    severity = MEDIUM if type == _DETECTOR else LOW
    if hole:
        return Lacking(hole)
    return Wrong(says, type, [], world.raised(row, severity), about=f"Region {row.region} of {row.account}")


@BOOK.one(
    "log-group-no-retention",
    "A log group keeps its logs for ever",
    LOW,
    ("aws_cloudwatch_log_group",),
    why="It costs more every month, and what is kept for ever is also found for ever.",
    remedy="aws logs put-retention-policy --log-group-name <name> --retention-in-days 90 --region <region>; "
    "Terraform: retention_in_days",
    references=("FSBP CloudWatch.16",),
)
def _retention(_world: World, row: Row) -> Said:
    lack = row.unread("retentionInDays")
    if lack is not None or row.get("retentionInDays"):
        return lack
    return Wrong("keeps its logs for ever", "retentionInDays")


@BOOK.one(
    "s3-account-block",
    "An account does not forbid public buckets",
    MEDIUM,
    ("aws_s3_account_settings",),
    of_aws=True,
    some=False,
    rises="in production",
    why="One flag of the account stops every public bucket of the future; without it one mistake is enough.",
    remedy="aws s3control put-public-access-block --account-id <account> --public-access-block-configuration "
    "BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true",
    references=("CIS AWS 3.0 2.1.4", "FSBP S3.1"),
)
def _block(world: World, row: Row) -> Said:
    path = "PublicAccessBlockConfiguration"
    lack = row.unread(path)
    if lack is not None:
        return lack
    told = row.get(path) or {}
    flags = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
    off = [flag for flag in flags if not told.get(flag)]
    if not off or not world.used(row.account, "", "aws_s3_bucket"):
        return None
    says = f"does not set {', '.join(off)} for its buckets"
    return Wrong(says, path, off, world.raised(row, MEDIUM), about=f"Account {row.account}")


@BOOK.one(
    "region-denied",
    "Something is in a region where nothing should be",
    MEDIUM,
    (
        "aws_s3_bucket",
        "aws_ec2_instance",
        "aws_lambda_function",
        "aws_rds_db_instance",
        "aws_ec2_ami",
        "aws_ebs_volume",
    ),
    why="What nobody looks at is where data ends up against a contract, and where intruders mine.",
    remedy="move it to a region that is in use and delete it there, or name the region in aws.regions; a service "
    "control policy on aws:RequestedRegion keeps others out",
    references=("AWS: SCP example: deny access based on the requested Region",),
)
def _region(world: World, row: Row) -> Iterable[Said]:
    settings = world.kernel.settings
    if any(fnmatchcase(row.region, one) for one in settings.rules.denied_regions):
        yield Wrong(f"is in {row.region}, where nothing may be", "Region", row.region)
    elif row.type == "aws_s3_bucket" and row.region not in {*settings.aws.regions, settings.aws.home_region, "global"}:
        yield Wrong(f"is in {row.region}, a region that is not observed", "Region", row.region)
