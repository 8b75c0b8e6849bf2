"""Where requests come in: plain HTTP, balancers without a target or a log, names that lead to nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import sqlalchemy as sa

from uwu.domains.inventory.rules.model import CRITICAL, HIGH, LOW, MEDIUM, Book, Lacking, Row, Said, Wrong
from uwu.domains.inventory.rules.world import World
from uwu.kernel import tables

BOOK = Book("Edge")

_ALB, _NLB = "aws_ec2_application_load_balancer", "aws_ec2_network_load_balancer"


def _ends(action: Mapping[str, Any]) -> bool:
    """Whether an action sends to HTTPS or gives no more than a fixed answer."""
    kind = action.get("Type")
    return kind == "fixed-response" or (
        kind == "redirect" and str((action.get("RedirectConfig") or {}).get("Protocol")).upper() == "HTTPS"
    )


@BOOK.one(
    "listener-plain",
    "A public load balancer serves plain HTTP",
    MEDIUM,
    ("aws_ec2_load_balancer_listener",),
    beside=(_ALB,),
    some=False,
    rises="in production",
    why="Passwords and cookies cross the internet readable, and whoever sits between can change what is served.",
    remedy="aws elbv2 modify-listener --listener-arn <arn> --default-actions "
    "'Type=redirect,RedirectConfig={Protocol=HTTPS,Port=443,StatusCode=HTTP_301}' --region <region>",
    references=("FSBP ELB.1",),
)
def _plain(world: World, row: Row) -> Said:
    if row.get("Protocol") != "HTTP":
        return None
    actions = row.get("DefaultActions") or ()
    rules = [each for rule in row.get("Rules") or () if not rule.get("IsDefault") for each in rule.get("Actions") or ()]
    serving = [str(each.get("Type")) for each in (*actions, *rules) if not _ends(each)]
    if not serving:
        return None
    balancer = world.by(_ALB, "urn").get(str(row.get("LoadBalancerArn")))
    if balancer is None:
        return Lacking("its load balancer was not observed")
    if balancer.get("Scheme") != "internet-facing":
        return None
    return Wrong("serves plain HTTP to the internet", "DefaultActions", serving, world.raised(row, MEDIUM))


@BOOK.one(
    "balancer-no-log",
    "A public load balancer writes no access log",
    LOW,
    (_ALB,),
    rises="in production",
    why="Who came, and with what, is only known from it when something has happened.",
    remedy="aws elbv2 modify-load-balancer-attributes --load-balancer-arn <arn> --attributes "
    "Key=access_logs.s3.enabled,Value=true Key=access_logs.s3.bucket,Value=<bucket> --region <region>",
    references=("FSBP ELB.5",),
)
def _log(world: World, row: Row) -> Said:
    if row.get("Scheme") != "internet-facing":
        return None
    if "AccessLogs" not in row.attributes:
        return Lacking("AccessLogs was not observed")
    told = row.get("AccessLogs")
    return None if told == "true" else Wrong("writes no access log", "AccessLogs", told, world.raised(row, LOW))


@BOOK.one(
    "no-healthy-target",
    "Not one target of a load balancer is healthy",
    HIGH,
    ("aws_ec2_target_group",),
    rises="in production",
    why="Whatever it serves is down.",
    remedy="aws elbv2 describe-target-health --target-group-arn <arn> --region <region> tells why; look at its health "
    "check's path and at the security group of its targets",
    references=("AWS: Health checks for Application Load Balancer target groups",),
)
def _healthy(world: World, row: Row) -> Said:
    if not row.get("LoadBalancerArns") or not row.get("TargetHealthDescriptions"):
        return row.unread("TargetHealthDescriptions")
    told = row.get("AnyHealthy")
    if told is None:
        return Lacking("the health of its targets was not observed")
    if told or row.get("HealthCheckEnabled") is False:
        return None
    return Wrong("has no healthy target", "TargetHealthDescriptions", len(row.get("TargetHealthDescriptions")),
                 world.raised(row, HIGH))  # fmt: skip


# ---- names that lead to nothing

_BUCKET = re.compile(r"^(?P<bucket>.+)\.s3-website[.-][a-z0-9-]+\.amazonaws\.com$")
_FORMS = (
    (re.compile(r"^[a-z0-9]+\.cloudfront\.net$"), ("aws_cloudfront_distribution",), HIGH),
    (
        re.compile(r"\.elb(?:\.[a-z0-9-]+)?\.amazonaws\.com$|\.elb\.[a-z0-9-]+\.amazonaws\.com$"),
        (_ALB, _NLB, "aws_ec2_classic_load_balancer"),
        MEDIUM,
    ),
)
_ADDRESSES = ("aws_vpc_eip", "aws_ec2_instance", "aws_ec2_network_interface")


@BOOK.one(
    "dns-dangling",
    "A DNS record leads to what is gone",
    MEDIUM,
    ("aws_route53_record",),
    beside=(
        "aws_s3_bucket",
        "aws_cloudfront_distribution",
        _ALB,
        _NLB,
        "aws_ec2_classic_load_balancer",
        "aws_vpc_eip",
    ),
    some=False,
    rises="where somebody else can take the target",
    why="Whoever makes a bucket of that name, or is given that address, serves your visitors under your name.",
    remedy="delete the record: aws route53 change-resource-record-sets --hosted-zone-id <zone> with Action DELETE "
    "(a record before its target is deleted, never after)",
    references=("AWS: Protection from dangling delegation records in Route 53",),
)
def _dangling(world: World, row: Row) -> Iterator[Said]:
    if row.urn in _resolving(world):
        return
    for host in _hosts(row):
        website = _BUCKET.match(host)
        if website is not None or (host.startswith("s3-website") and row.get("Type") in {"A", "AAAA"}):
            bucket = website["bucket"] if website is not None else str(row.get("Name")).rstrip(".")
            yield from _gone(world, host, ("aws_s3_bucket",), CRITICAL, f"the bucket {bucket}, which is not yours")
            return
        for form, types, severity in _FORMS:
            if form.search(host):
                # that of a vendor looks the same: only what was here once is gone
                if host in _deleted(world, types):
                    yield from _gone(world, host, types, severity, f"{host}, which was deleted")
                return
        given_up = _released(world).get(host)
        if given_up is not None:
            yield from _gone(world, host, _ADDRESSES, CRITICAL, f"{host}, an address that was given up")
            return


def _gone(world: World, host: str, types: tuple[str, ...], severity: Any, what: str) -> Iterator[Said]:
    hole = next((hole for type in types if (hole := world.hole(type))), "")
    if hole:
        yield Lacking(hole)
    else:
        yield Wrong(f"leads to {what}", "ResourceRecords", host, severity)


def _hosts(row: Row) -> list[str]:
    alias = (row.get("AliasTarget") or {}).get("DNSName")
    values = [alias] if alias else [each.get("Value") for each in row.get("ResourceRecords") or ()]
    if row.get("Type") not in {"A", "AAAA", "CNAME"}:
        return []
    return [str(value).lower().rstrip(".").removeprefix("dualstack.") for value in values if value]


def _resolving(world: World) -> set[str]:
    """The records that lead to something that is observed."""
    t = tables.relations
    if "resolving" not in world.memo:
        query = sa.select(t.c.source).where(t.c.kind == "resolvesTo", t.c.valid_to.is_(None)).distinct()
        world.memo["resolving"] = set(world.connection.scalars(query))
    return world.memo["resolving"]


def _deleted(world: World, types: tuple[str, ...]) -> set[str]:
    """The names, lower case, by which what there was of ``types`` was reached."""
    key = f"deleted {types[0]}"
    if key not in world.memo:
        v = tables.versions
        query = sa.select(v.c.attributes).where(v.c.type.in_(types), v.c.valid_to.is_not(None))
        past = (told.get("DomainName") or told.get("DNSName") for told in world.connection.scalars(query))
        world.memo[key] = {str(name).lower().rstrip(".") for name in past if name}
    return world.memo[key]


def _released(world: World) -> dict[str, str]:
    """Addresses that were an elastic IP of yours and are none now, with its urn."""
    if "released" not in world.memo:
        v = tables.versions
        query = sa.select(v.c.urn, v.c.attributes).where(v.c.type == "aws_vpc_eip", v.c.valid_to.is_not(None))
        past = {str(attributes.get("PublicIp")): urn for urn, attributes in world.connection.execute(query)}
        for now in world.by("aws_vpc_eip", "PublicIp"):
            past.pop(now, None)
        world.memo["released"] = past
    return world.memo["released"]
