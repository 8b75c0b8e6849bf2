"""Security groups: rules as atoms, so that however they are grouped the same rules are equal."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from uwu.domains.iac.attach import RULES
from uwu.domains.iac.compare.base import Side, seen
from uwu.kernel import codec
from uwu.kernel.model import Declaration, Difference, Resource

_PROTOCOLS = {"6": "tcp", "17": "udp", "1": "icmp", "58": "icmpv6", "all": "-1"}
_WITH_PORTS = frozenset({"tcp", "udp", "icmp", "icmpv6"})


class Rule(msgspec.Struct, frozen=True, order=True, omit_defaults=True):
    """One protocol and port range from (or to) one peer: what AWS calls a security group rule."""

    protocol: str
    from_port: int = -1
    to_port: int = -1
    cidr: str = ""
    """An IPv4 or IPv6 network."""
    prefix_list: str = ""
    group: str = ""
    """The id of the group, ``self`` for the one that has the rule."""
    description: str = ""


def compare(declaration: Declaration, resource: Resource) -> Sequence[Difference]:
    """``aws_security_group`` with its own rules and with those that are resources of their own."""
    side = Side(declaration, resource)
    own = str(side.observed.get("GroupId") or declaration.attributes.get("id") or "")
    side.same("description", seen(side.observed, "Description"))
    parts = side.parts(*RULES)
    for direction, member in (("ingress", "IpPermissions"), ("egress", "IpPermissionsEgress")):
        separate = [
            rule
            for part in parts
            if way(part["type"], part["attributes"]) == direction
            for rule in standalone(part["type"], part["attributes"], own)
        ]
        inline = side.declared.get(direction)
        if inline is None and not separate:
            continue
        declared = set(separate or (rule for each in inline or () for rule in declared_rules(each, own)))
        observed = {rule for each in side.observed.get(member, ()) for rule in observed_rules(each, own)}
        if declared != observed:
            side.differ(direction, _told(declared - observed), _told(observed - declared))
    side.tags()
    return side.differences


def compare_rule(declaration: Declaration, resource: Resource) -> Sequence[Difference]:
    """A rule of its own whose group no state declares; else the group's declaration compares it."""
    side = Side(declaration, resource)
    if side.held:
        return ()
    own = str(side.observed.get("GroupId") or "")
    direction = way(declaration.declared_type, side.declared)
    member = "IpPermissions" if direction == "ingress" else "IpPermissionsEgress"
    observed = {rule for each in side.observed.get(member, ()) for rule in observed_rules(each, own)}
    missing = set(standalone(declaration.declared_type, side.declared, own)) - observed
    if missing:
        side.differ(f"{direction}.{declaration.address}", _told(missing), [])
    return side.differences


def way(type: str, attributes: Mapping[str, Any]) -> str:
    """``ingress`` or ``egress``."""
    if type == "aws_security_group_rule":
        return str(attributes.get("type", "ingress"))
    return "egress" if "egress" in type else "ingress"


def _told(rules: Iterable[Rule]) -> list[dict[str, Any]]:
    """Only the rules that differ, as plain values: the whole list would hide them."""
    return [codec.builtins(rule) for rule in sorted(rules)]


# ---- atoms


def declared_rules(entry: Mapping[str, Any], own: str) -> Iterator[Rule]:
    """The rules of an inline block, or of ``aws_security_group_rule``, which has the same fields."""
    base = _base(entry.get("protocol"), entry.get("from_port"), entry.get("to_port"), entry.get("description"))
    for cidr in (*(entry.get("cidr_blocks") or ()), *(entry.get("ipv6_cidr_blocks") or ())):
        yield msgspec.structs.replace(base, cidr=_network(cidr))
    for prefix_list in entry.get("prefix_list_ids") or ():
        yield msgspec.structs.replace(base, prefix_list=prefix_list)
    groups = {_group(each, own) for each in entry.get("security_groups") or ()}
    if entry.get("source_security_group_id"):
        groups.add(_group(entry["source_security_group_id"], own))
    if entry.get("self"):
        groups.add("self")
    for group in sorted(groups):
        yield msgspec.structs.replace(base, group=group)


def standalone(type: str, part: Mapping[str, Any], own: str) -> Iterator[Rule]:
    """The rules of a rule resource."""
    if type == "aws_security_group_rule":
        yield from declared_rules(part, own)
        return
    base = _base(part.get("ip_protocol"), part.get("from_port"), part.get("to_port"), part.get("description"))
    cidr = part.get("cidr_ipv4") or part.get("cidr_ipv6")
    group = part.get("referenced_security_group_id")
    if not (cidr or group or part.get("prefix_list_id")):
        return
    yield msgspec.structs.replace(
        base,
        cidr=_network(cidr) if cidr else "",
        prefix_list=part.get("prefix_list_id") or "",
        group=_group(group, own) if group else "",
    )


def observed_rules(permission: Mapping[str, Any], own: str) -> Iterator[Rule]:
    """The rules of one of AWS's ``IpPermission``, which groups the peers of a protocol and port range."""

    def base(peer: Mapping[str, Any]) -> Rule:
        ports = permission.get("FromPort"), permission.get("ToPort")
        return _base(permission.get("IpProtocol"), *ports, peer.get("Description"))

    for peer in permission.get("IpRanges", ()):
        yield msgspec.structs.replace(base(peer), cidr=_network(peer["CidrIp"]))
    for peer in permission.get("Ipv6Ranges", ()):
        yield msgspec.structs.replace(base(peer), cidr=_network(peer["CidrIpv6"]))
    for peer in permission.get("PrefixListIds", ()):
        yield msgspec.structs.replace(base(peer), prefix_list=peer["PrefixListId"])
    for peer in permission.get("UserIdGroupPairs", ()):
        yield msgspec.structs.replace(base(peer), group=_group(peer.get("GroupId") or peer.get("GroupName"), own))


def _base(protocol: Any, from_port: Any, to_port: Any, description: Any) -> Rule:
    name = str(protocol if protocol is not None else "-1").lower()
    name = _PROTOCOLS.get(name, name)
    if name not in _WITH_PORTS:
        return Rule(name, description=description or "")
    low, high = (int(port) if port is not None else -1 for port in (from_port, to_port))
    return Rule(name, low, high, description=description or "")


def _network(cidr: str) -> str:
    try:
        return str(ipaddress.ip_network(cidr, strict=False))
    except ValueError:
        return cidr


def _group(name: Any, own: str) -> str:
    """A group's id without its owner's account; ``self`` where it is the group that has the rule."""
    id = str(name).rsplit("/", 1)[-1]
    return "self" if id == own and own else id
