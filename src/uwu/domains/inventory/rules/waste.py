"""What nobody uses: it costs, it is patched by nobody, or it stands open for whoever comes to it next."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from uwu.domains.inventory.rules.model import LOW, MEDIUM, Book, Lacking, Row, Said, Wrong
from uwu.domains.inventory.rules.world import World
from uwu.kernel import tables

BOOK = Book("Waste")


def _idle(world: World, row: Row) -> bool:
    """Whether it has been as it is for longer than ``rules.unused_days``: AWS does not tell since when."""
    return world.older(row.changed_at, world.settings.unused_days)


@BOOK.one(
    "address-unused",
    "An elastic IP is attached to nothing",
    LOW,
    ("aws_vpc_eip",),
    why="It is paid for by the hour, and a DNS record that still leads to it outlives it.",
    remedy="aws ec2 release-address --allocation-id <id> --region <region> (first, delete DNS records that lead to it)",
    references=("FSBP EC2.12",),
)
def _address(world: World, row: Row) -> Said:
    if row.get("AssociationId") or row.get("InstanceId") or row.get("NetworkInterfaceId") or not _idle(world, row):
        return None
    return Wrong("is attached to nothing", "AssociationId", row.get("PublicIp"), since=row.changed_at)


@BOOK.one(
    "volume-unused",
    "A volume is attached to nothing",
    LOW,
    ("aws_ebs_volume",),
    why="It is paid for every month, and what is on it is forgotten data.",
    remedy="aws ec2 create-snapshot --volume-id <id> --region <region>, then aws ec2 delete-volume --volume-id <id> "
    "--region <region>",
    references=("AWS Trusted Advisor: Underutilized Amazon EBS Volumes",),
)
def _volume(world: World, row: Row) -> Said:
    if row.get("State") != "available" or not _idle(world, row):
        return row.unread("State")
    return Wrong(f"of {row.get('Size', '?')} GiB is attached to nothing", "Attachments", [], since=row.changed_at)


_REASON = re.compile(r"\((\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) (?:GMT|UTC)\)")


@BOOK.one(
    "instance-stopped",
    "An instance has been stopped for long",
    LOW,
    ("aws_ec2_instance",),
    why="Its volumes cost as before, and when it is started again it lacks every patch since.",
    remedy="aws ec2 create-image --instance-id <id> --name <name>-last --region <region>, then aws ec2 "
    "terminate-instances --instance-ids <id> --region <region>",
    references=("FSBP EC2.4",),
)
def _stopped(world: World, row: Row) -> Said:
    if (row.get("State") or {}).get("Name") != "stopped":
        return row.unread("State")
    told = _REASON.search(str(row.get("StateTransitionReason") or ""))
    since = datetime.fromisoformat(told[1]).replace(tzinfo=UTC) if told else row.changed_at
    days = world.settings.stopped_days
    if not world.older(since, days):
        return None
    return Wrong(f"has been stopped since {since:%Y-%m-%d}", "State", "stopped", since=since + timedelta(days=days))


@BOOK.one(
    "group-open-unused",
    "A security group that nothing uses admits the world",
    LOW,
    ("aws_vpc_security_group",),
    beside=("aws_ec2_network_interface",),
    some=False,
    why="The next machine that somebody gives it is open to the internet from its first second.",
    remedy="aws ec2 delete-security-group --group-id <id> --region <region>",
    references=("FSBP EC2.22",),
)
def _group(world: World, row: Row) -> Said:
    if not _idle(world, row) or not _admits_the_world(row):
        return None
    if row.urn in world.targets("hasSecurityGroup") or row.urn in world.targets("admits"):
        return None
    for type in ("aws_ec2_network_interface", "aws_ec2_instance"):
        hole = world.hole(type, row.account, row.region)
        if hole:
            return Lacking(hole)
    return Wrong("is used by nothing and admits the world", "IpPermissions", since=row.changed_at)


def _admits_the_world(row: Row) -> bool:
    return any(
        any(each.get("CidrIp") == "0.0.0.0/0" for each in rule.get("IpRanges") or ())
        or any(each.get("CidrIpv6") == "::/0" for each in rule.get("Ipv6Ranges") or ())
        for rule in row.get("IpPermissions") or ()
    )


@BOOK.one(
    "default-vpc-used",
    "Something runs in a default VPC",
    LOW,
    ("aws_ec2_instance", "aws_rds_db_instance"),
    beside=("aws_vpc",),
    some=False,
    rises="in production",
    why="Every subnet of a default VPC is public and every machine in it gets an address: nobody has designed that.",
    remedy="move it to a VPC of your own; then aws ec2 delete-vpc for the default one",
    references=("AWS: Default VPCs",),
)
def _default(world: World, row: Row) -> Said:
    vpc = row.get("VpcId") or (row.get("DBSubnetGroup") or {}).get("VpcId")
    if not vpc:
        return None
    held = world.by("aws_vpc", "VpcId").get(str(vpc))
    if held is None:
        return Lacking("its VPC was not observed")
    return Wrong("runs in the default VPC", "VpcId", vpc, world.raised(row, LOW)) if held.get("IsDefault") else None


_PLACED = (
    "aws_iam_role",
    "aws_s3_bucket",
    "aws_rds_db_instance",
    "aws_lambda_function",
    "aws_sqs_queue",
    "aws_ec2_instance",
)


@BOOK.one(
    "wrong-account",
    "Something declared for one account is in another",
    MEDIUM,
    _PLACED,
    some=False,
    why="The guard rails, budgets and people of the account where it is are not those that it was declared for.",
    remedy="apply the stack with the credentials of the account that its entity names, then destroy it where it is; or "
    "mend spec.account of the stack's entity",
    references=("AWS: Organizing your AWS environment using multiple accounts",),
)
def _misplaced(world: World, row: Row) -> Said:
    told = _declared(world).get(row.urn)
    if told is None or told[0] == row.account:
        return None
    return Wrong(f"is in {row.account}, declared for {told[0]} by {told[1]}", "account", row.account)


def _declared(world: World) -> dict[str, tuple[str, str]]:
    """Urn -> (the account that its stack's entity names, the stack)."""
    if "declared" not in world.memo:
        d, e = tables.declarations, tables.entities
        accounts = {
            ref: str(spec["account"])
            for ref, spec in world.connection.execute(sa.select(e.c.ref, e.c.spec))
            if isinstance(spec, dict) and str(spec.get("account") or "").isdigit()
        }
        query = sa.select(d.c.urn, d.c.source).where(d.c.urn != "", d.c.type.in_(_PLACED))
        world.memo["declared"] = {
            urn: (accounts[source], source) for urn, source in world.connection.execute(query) if source in accounts
        }
    return world.memo["declared"]
