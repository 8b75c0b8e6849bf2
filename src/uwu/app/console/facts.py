"""What of a resource's many attributes a person asks first, and whether it faces the internet."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from uwu.app.console import compare, links, words
from uwu.app.console.views import Attribute, Fact
from uwu.kernel.model import Relation

_FIRST = (
    "Description", "State", "Status", "KeyState", "StateReason", "InstanceType", "Engine", "EngineVersion",
    "DBInstanceClass", "Runtime", "Handler", "MemorySize", "Timeout", "Scheme", "Type", "DNSName", "Protocol",
    "Port", "VpcId", "SubnetId", "CidrBlock", "AvailabilityZone", "PrivateIpAddress", "PublicIpAddress", "PublicIp",
    "Size", "VolumeType", "Encrypted", "MultiAZ", "PubliclyAccessible", "StorageEncrypted", "KmsKeyId",
    "KeyRotationEnabled", "Path", "UserName", "Versioning", "Region", "DomainName", "TTL", "ResourceRecords",
    "StackStatus", "VisibilityTimeout", "MessageRetentionPeriod", "Email", "JoinedTimestamp", "CreateDate",
    "CreationDate", "CreateTime", "CreationTime", "LaunchTime", "CreatedTime", "CreatedDate", "LastModified",
)  # fmt: skip
_SHOWN = 8
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")


def first(attributes: Mapping[str, Any], relations: list[Relation]) -> list[Fact]:
    """The facts that stand at the side of a resource's page: at most eight, each of one line."""
    targets = {words.short(r.target): r.target for r in relations}
    found: list[Fact] = []
    for name in _FIRST:
        value = _scalar(attributes.get(name))
        if not value:
            continue
        target = targets.get(words.short(value) if value.startswith("arn:") else value)
        if _TIME.match(value):
            value = words.clock(_time(value))
        elif value.startswith("arn:"):
            value = words.short(value)
        found.append(Fact(label=words.label(name), value=value, href=links.subject(target) if target else ""))
        if len(found) == _SHOWN:
            break
    return found


def _time(text: str) -> Any:
    from uwu.kernel import codec

    return codec.parse_time(text if text.endswith("Z") or "+" in text else text + "Z")


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return _scalar(value.get("Name") or value.get("Code") or value.get("Status"))
    if isinstance(value, str | int | float):
        return str(value)
    return ""


def exposure(type: str, attributes: Mapping[str, Any]) -> str:
    """What of it faces the internet, in words; empty where nothing is seen to."""
    if type == "aws_vpc_security_group":
        ports = sorted({_ports(rule) for rule in attributes.get("IpPermissions") or [] if _anyone(rule)})
        return f"Open to the internet: {', '.join(ports)}" if ports else ""
    if type == "aws_rds_db_instance" and attributes.get("PubliclyAccessible") is True:
        return "Publicly accessible"
    if type.endswith("load_balancer") and attributes.get("Scheme") == "internet-facing":
        return "Internet-facing"
    if type == "aws_ec2_instance" and attributes.get("PublicIpAddress"):
        return f"Public address {attributes['PublicIpAddress']}"
    return ""


def _anyone(rule: Any) -> bool:
    if not isinstance(rule, dict):
        return False
    four = [r.get("CidrIp") for r in rule.get("IpRanges") or []]
    six = [r.get("CidrIpv6") for r in rule.get("Ipv6Ranges") or []]
    return "0.0.0.0/0" in four or "::/0" in six


def _ports(rule: Mapping[str, Any]) -> str:
    begin, end = rule.get("FromPort"), rule.get("ToPort")
    if begin is None or rule.get("IpProtocol") == "-1":
        return "every port"
    return f"port {begin}" if begin == end else f"ports {begin}-{end}"


def attributes(values: Mapping[str, Any]) -> list[Attribute]:
    """Every attribute under the API's own name; lists and objects fold."""
    out: list[Attribute] = []
    for name in sorted(values):
        value = values[name]
        if isinstance(value, dict | list) and value:
            unit = ("item", "items") if isinstance(value, list) else ("member", "members")
            out.append(Attribute(name=name, value=compare.pretty(value), size=words.plural(len(value), *unit)))
        else:
            out.append(Attribute(name=name, value=value if isinstance(value, str) else compare.pretty(value)))
    return out
