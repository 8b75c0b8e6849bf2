"""The one canonical name of a resource, for what is declared, observed and told by events alike.

An ARN where AWS gives one; else ``urn:uwu:aws:<service>:<kind>:<account>:<region>:<id>``. Every reader
builds names here, so that a security group in a state, an API answer and a CloudTrail record is one subject.
"""

from __future__ import annotations

import re

import msgspec


class Arn(msgspec.Struct, frozen=True):
    """An ARN's parts (AWS General Reference, "Amazon Resource Names")."""

    partition: str
    service: str
    region: str
    account: str
    resource: str

    def __str__(self) -> str:
        return f"arn:{self.partition}:{self.service}:{self.region}:{self.account}:{self.resource}"


def parse(urn: str) -> Arn | None:
    """The parts of an ARN; None where ``urn`` is none."""
    parts = urn.split(":", 5)
    if len(parts) != 6 or parts[0] != "arn" or not parts[1].startswith("aws") or not parts[2] or not parts[5]:
        return None
    return Arn(*parts[1:])


def arn(service: str, resource: str, *, account: str = "", region: str = "", partition: str = "") -> str:
    """An ARN; the partition follows from the region where it is not given."""
    return f"arn:{partition or partition_of(region)}:{service}:{region}:{account}:{resource}"


def partition_of(region: str) -> str:
    if region.startswith("cn-"):
        return "aws-cn"
    if region.startswith("us-gov-"):
        return "aws-us-gov"
    return "aws"


def ec2(kind: str, id: str, *, account: str, region: str) -> str:
    """An EC2 or VPC resource: ``kind`` is the ARN's own word (``instance``, ``security-group``, ``elastic-ip``).

    Images and snapshots carry no account in their ARN.
    """
    return arn("ec2", f"{kind}/{id}", account="" if kind in {"image", "snapshot"} else account, region=region)


def iam(kind: str, path_and_name: str, *, account: str, partition: str = "aws") -> str:
    """An IAM resource; ``path_and_name`` as in ``/team/ci`` or ``ci``."""
    return arn("iam", f"{kind}/{path_and_name.lstrip('/')}", account=account, partition=partition)


def iam_root(account: str, *, partition: str = "aws") -> str:
    """An account as policies name it: all of its principals that its own policies allow it to."""
    return f"arn:{partition}:iam::{account}:root"


def s3_bucket(name: str, *, partition: str = "aws") -> str:
    return f"arn:{partition}:s3:::{name}"


def own(service: str, kind: str, id: str, *, account: str = "", region: str = "") -> str:
    """A name for what AWS gives no ARN: an access key, a Route 53 record set."""
    return f"urn:uwu:aws:{service}:{kind}:{account}:{region}:{id}"


def access_key(key_id: str, *, account: str) -> str:
    return own("iam", "access-key", key_id, account=account)


def record_set(zone_id: str, name: str, type: str, *, account: str, set_identifier: str = "") -> str:
    """A Route 53 record set. Names are lower-cased, escapes decoded (``\\052`` is ``*``), the last dot dropped."""
    name = re.sub(r"\\(\d{3})", lambda m: chr(int(m[1], 8)), name).rstrip(".").lower()
    zone = zone_id.rsplit("/", 1)[-1]
    return own("route53", "record-set", "/".join(filter(None, [zone, name, type, set_identifier])), account=account)


def canonical(urn: str) -> str:
    """``urn`` as every reader writes it: no Lambda qualifier, no ``:*`` of log groups, no S3 object key, Auto Scaling
    groups by their name.

    An STS assumed-role session becomes its session name's role without a path only where the caller asks
    for it through inventory; here it is kept.
    """
    urn = urn.strip()
    parts = parse(urn)
    if parts is None:
        return urn
    resource = parts.resource
    if parts.service == "lambda" and resource.startswith("function:"):
        resource = ":".join(resource.split(":")[:2])
    elif parts.service == "logs" and resource.startswith("log-group:"):
        resource = resource.removesuffix(":*")
    elif parts.service == "autoscaling" and ":autoScalingGroupName/" in resource:
        # its instances and its events know the group by its name alone, not by the number in its ARN
        name = resource.split(":autoScalingGroupName/", 1)[1]
        return own("autoscaling", "group", name, account=parts.account, region=parts.region)
    elif parts.service == "s3" and not parts.account and "/" in resource:
        resource = resource.split("/", 1)[0]
    return urn if resource == parts.resource else str(msgspec.structs.replace(parts, resource=resource))


def account_of(urn: str) -> str:
    """The account in ``urn``; empty where it has none."""
    parts = parse(urn)
    if parts is not None:
        return parts.account
    pieces = urn.split(":", 7)
    return pieces[5] if urn.startswith("urn:uwu:") and len(pieces) == 8 else ""


def short(urn: str) -> str:
    """The last, telling part of ``urn``, for people."""
    parts = parse(urn)
    tail = parts.resource if parts is not None else urn.split(":", 7)[-1] if urn.startswith("urn:uwu:") else urn
    return re.split(r"[/:]", tail)[-1] if parts is not None else tail
