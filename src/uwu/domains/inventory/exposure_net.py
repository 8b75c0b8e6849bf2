"""What of the internet gets through a route table, a network ACL and security groups: exact, with two bounds.

Each piece gives what it lets through for sure and what it may let through. They differ only where a piece, or
something it stands on, was not seen: so nothing that is unknown is ever taken for closed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from uwu.domains.inventory import exposure_sets as sets
from uwu.domains.inventory.exposure_sets import ALL, EMPTY, INTERNET, V4, Ranges, Region

TCP, UDP, ICMP, ICMP6 = 6, 17, 1, 58
OTHER = 253
"""Stands for all protocols that no rule names (IANA keeps this number for experiments)."""
_NUMBERS = {"tcp": TCP, "udp": UDP, "icmp": ICMP, "icmpv6": ICMP6}
NAMES = {number: name for name, number in _NUMBERS.items()} | {OTHER: "other"}
PORTED = frozenset({TCP, UDP})


@dataclass(frozen=True)
class PrefixList:
    """The addresses of a list; of AWS's own lists only the name is known: they hold addresses of AWS's services."""

    name: str
    entries: tuple[str, ...] = ()
    aws: bool = False


Lists = Mapping[str, PrefixList]
"""Prefix lists by id; one that is not there was not seen."""


@dataclass(frozen=True)
class Bounds:
    """What is let through for sure, and at the most."""

    sure: Region = ()
    most: Region = ()

    def meet(self, other: Bounds) -> Bounds:
        return Bounds(sets.meet(self.sure, other.sure), sets.meet(self.most, other.most))


def join(bounds: Sequence[Bounds]) -> Bounds:
    """What any of them lets through."""
    return Bounds(sets.join([b.sure for b in bounds]), sets.join([b.most for b in bounds]))


def everything(family: int) -> Region:
    return (((0, 65535), ALL[family]),)


def unseen(family: int) -> Bounds:
    """A piece that was not seen: it may let through everything."""
    return Bounds((), everything(family))


def opened(family: int) -> Bounds:
    return Bounds(everything(family), everything(family))


def number(protocol: Any) -> int | None:
    """The number of a protocol; None for all of them. Raises ``ValueError`` for another word."""
    text = str(protocol).lower()
    if text in {"-1", "all"}:
        return None
    return _NUMBERS[text] if text in _NUMBERS else int(text)


# ---- security groups


@dataclass
class Admitted:
    """What the rules of some groups admit, and in words what they stand on."""

    bounds: Bounds
    unread: set[str] = field(default_factory=set[str])
    """Prefix lists that were not seen."""
    services: set[str] = field(default_factory=set[str])
    """AWS's own lists that are admitted."""


def admitted(
    groups: Iterable[Mapping[str, Any] | None],
    family: int,
    protocol: int,
    lists: Lists,
) -> Admitted:
    """What any of ``groups`` admits of ``protocol`` by address. None stands for a group that was not seen."""
    sure: list[tuple[tuple[int, int], Ranges]] = []
    most: list[tuple[tuple[int, int], Ranges]] = []
    out = Admitted(Bounds())
    for group in groups:
        if group is None:
            most.append(((0, 65535), ALL[family]))
            continue
        for rule in group.get("IpPermissions") or ():
            ports = _ports_of(rule, protocol, "FromPort", "ToPort")
            if ports is None:
                continue
            for cidr in _cidrs(rule, family):
                block = sets.block(cidr)
                if block is not None and block[0] == family:
                    sure.append((ports, block[1]))
            for entry in rule.get("PrefixListIds") or ():
                known = lists.get(str(entry.get("PrefixListId")))
                if known is None:
                    out.unread.add(str(entry.get("PrefixListId")))
                    most.append((ports, ALL[family]))
                elif known.aws:
                    out.services.add(known.name)
                else:
                    for cidr in known.entries:
                        block = sets.block(cidr)
                        if block is not None and block[0] == family:
                            sure.append((ports, block[1]))
    rows = _union(sure)
    out.bounds = Bounds(rows, sets.join([rows, _union(most)]) if most else rows)
    return out


def admits_group(groups: Iterable[Mapping[str, Any] | None], ids: Iterable[str], protocol: int, port: int) -> str:
    """Whether any of ``groups`` admits members of one of the groups ``ids`` at ``port``: yes, no or unknown."""
    wanted, answer = set(ids), "no"
    for group in groups:
        if group is None:
            answer = "unknown"
            continue
        for rule in group.get("IpPermissions") or ():
            ports = _ports_of(rule, protocol, "FromPort", "ToPort")
            if ports is None or not ports[0] <= port <= ports[1]:
                continue
            if any(pair.get("GroupId") in wanted for pair in rule.get("UserIdGroupPairs") or ()):
                return "yes"
    return answer


def _cidrs(rule: Mapping[str, Any], family: int) -> list[str]:
    if family == V4:
        return [str(r.get("CidrIp")) for r in rule.get("IpRanges") or ()]
    return [str(r.get("CidrIpv6")) for r in rule.get("Ipv6Ranges") or ()]


def _ports_of(rule: Mapping[str, Any], protocol: int, low: str, high: str) -> tuple[int, int] | None:
    """The ports (for ICMP the types) of a rule for ``protocol``; None where it is of another."""
    try:
        of = number(rule.get("IpProtocol"))
    except ValueError:
        return None
    if of is None:
        return 0, 65535
    if of != protocol:
        return None
    start, end = rule.get(low), rule.get(high)
    if protocol in {ICMP, ICMP6}:
        return (0, 65535) if start in (None, -1) else (int(start), int(start))
    if start is None or end is None or int(start) < 0:
        return 0, 65535
    return int(start), int(end)


def _union(pairs: Sequence[tuple[tuple[int, int], Ranges]]) -> Region:
    return sets.region(
        lambda port: sets.merged(pair for (low, high), ranges in pairs if low <= port <= high for pair in ranges),
        (edge for (low, high), _ in pairs for edge in (low, high + 1)),
    )


# ---- network ACLs


def passed(acl: Mapping[str, Any] | None, family: int, protocol: int, *, egress: bool) -> Bounds:
    """What an ACL lets in, or out: the first rule that matches decides, by number. None was not seen."""
    if acl is None:
        return unseen(family)
    rules: list[tuple[tuple[int, int], Ranges, bool]] = []
    entries = [e for e in acl.get("Entries") or () if bool(e.get("Egress")) is egress]
    for entry in sorted(entries, key=lambda e: int(e.get("RuleNumber") or 0)):
        allows = entry.get("RuleAction") == "allow"
        block = sets.block(str(entry.get("CidrBlock" if family == V4 else "Ipv6CidrBlock") or ""))
        ports = _entry_ports(entry, protocol, allows=allows)
        if block is not None and block[0] == family and ports is not None:
            rules.append((ports, block[1], allows))

    def allowed(port: int) -> Ranges:
        left, out = ALL[family], list[tuple[int, int]]()
        for (low, high), ranges, allows in rules:
            if not low <= port <= high:
                continue
            if allows:
                out.extend(sets.both(left, ranges))
            left = sets.without(left, ranges)
            if not left:
                break
        return sets.merged(out)

    rows = sets.region(allowed, (edge for (low, high), _, _ in rules for edge in (low, high + 1)))
    return Bounds(rows, rows)


def _entry_ports(entry: Mapping[str, Any], protocol: int, *, allows: bool) -> tuple[int, int] | None:
    try:
        of = number(entry.get("Protocol"))
    except ValueError:
        return None
    if of is None:
        return 0, 65535
    if of != protocol:
        return None
    if protocol in {ICMP, ICMP6}:
        told = entry.get("IcmpTypeCode") or {}
        type, code = told.get("Type", -1), told.get("Code", -1)
        if code not in (None, -1) and not allows:
            return None  # other codes of the type still pass
        return (0, 65535) if type in (None, -1) else (int(type), int(type))
    ports = entry.get("PortRange")
    if not ports or protocol not in PORTED:
        return 0, 65535
    return int(ports.get("From") or 0), int(ports.get("To") or 65535)


def replied(acl: Mapping[str, Any] | None, family: int, protocol: int) -> Bounds:
    """From which addresses a reply can leave through an ACL: to any port, since whoever calls chooses their own."""
    out = passed(acl, family, protocol, egress=True)

    def anywhere(rows: Region) -> Region:
        ranges = sets.merged(pair for _, addresses in rows for pair in addresses)
        return (((0, 65535), ranges),) if ranges else ()

    return Bounds(anywhere(out.sure), anywhere(out.most))


# ---- route tables

_UNTOLD = ("NetworkInterfaceId", "InstanceId", "LocalGatewayId", "CarrierGatewayId", "CoreNetworkArn")
"""Targets behind which something else decides."""


@dataclass
class Routed:
    """From which addresses of the internet the way back leads through an internet gateway."""

    bounds: Bounds
    gateways: set[str] = field(default_factory=set[str])
    behind: set[str] = field(default_factory=set[str])
    """What stands in the way and decides by itself: a firewall's endpoint, an appliance."""
    unread: set[str] = field(default_factory=set[str])


def routed(table: Mapping[str, Any] | None, family: int, lists: Lists) -> Routed:
    """What the longest matching prefixes of a route table lead to. None was not seen."""
    if table is None:
        return Routed(unseen(family))
    out = Routed(Bounds())
    routes: list[tuple[int, int, Ranges, str, str]] = []
    diverted = False
    for route in table.get("Routes") or ():
        kind, target = _leads(route)
        static = 0 if route.get("Origin") != "EnableVgwRoutePropagation" else 1
        listed = route.get("DestinationPrefixListId")
        if listed:
            known = lists.get(str(listed))
            if known is None or known.aws:
                # AWS's own lists are for its gateway endpoints
                if not str(route.get("GatewayId") or "").startswith("vpce-"):
                    out.unread.add(str(listed))
                    diverted = True
                continue
            cidrs: Iterable[str] = known.entries
        else:
            cidrs = [str(route.get("DestinationCidrBlock" if family == V4 else "DestinationIpv6CidrBlock") or "")]
        for cidr in cidrs:
            block = sets.block(cidr)
            if block is not None and block[0] == family:
                length = (32 if family == V4 else 128) - (sets.size(block[1]).bit_length() - 1)
                routes.append((-length, static, block[1], kind, target))
    sure, most = list[tuple[int, int]](), list[tuple[int, int]]()
    left = ALL[family]
    for _, _, ranges, kind, target in sorted(routes, key=lambda r: (r[0], r[1])):
        here = sets.both(left, ranges)
        left = sets.without(left, ranges)
        if not sets.both(here, INTERNET[family]):
            continue
        if kind == "internet":
            out.gateways.add(target)
            sure.extend(here)
            most.extend(here)
        elif kind == "untold":
            out.behind.add(target)
            most.extend(here)
    known, at_most = sets.merged(sure), sets.merged(most)
    if diverted:
        known, at_most = EMPTY, ALL[family]
    out.bounds = Bounds(_flat(known), _flat(at_most))
    return out


def _flat(ranges: Ranges) -> Region:
    return (((0, 65535), ranges),) if ranges else ()


def _leads(route: Mapping[str, Any]) -> tuple[str, str]:
    """What a route leads to: ``internet``, ``untold`` or ``inside``, and its target."""
    gateway = str(route.get("GatewayId") or "")
    if route.get("State") == "blackhole":
        return "inside", gateway
    if gateway.startswith("igw-"):
        return "internet", gateway
    if gateway.startswith("vpce-"):
        return "untold", gateway
    for name in _UNTOLD:
        if route.get(name):
            return "untold", str(route[name])
    known = ("NatGatewayId", "TransitGatewayId", "VpcPeeringConnectionId", "EgressOnlyInternetGatewayId")
    if gateway or any(route.get(name) for name in known):
        return "inside", gateway
    return "untold", "a target that is not told"


# ---- together


@dataclass(frozen=True)
class Opening:
    """What is open to addresses of the internet."""

    family: int
    protocol: int
    bounds: Bounds


def protocols(groups: Iterable[Mapping[str, Any] | None], family: int) -> list[int]:
    """The protocols that the rules of ``groups`` speak of, and those that stand for the rest."""
    found = {TCP, UDP, ICMP if family == V4 else ICMP6, OTHER}
    for group in groups:
        for rule in (group or {}).get("IpPermissions") or ():
            try:
                of = number(rule.get("IpProtocol"))
            except ValueError:
                continue
            if of is not None:
                found.add(of)
    return sorted(found)


def only_internet(bounds: Bounds, family: int) -> Bounds:
    """Of ``bounds`` the addresses of the internet."""
    return bounds.meet(Bounds(_flat(INTERNET[family]), _flat(INTERNET[family])))


def at_ports(bounds: Bounds, ports: Iterable[tuple[int, int]], family: int) -> Bounds:
    """Of ``bounds`` these ports."""
    rows = _union([((low, high), ALL[family]) for low, high in ports])
    return bounds.meet(Bounds(rows, rows))


def is_open(openings: Iterable[Opening]) -> str:
    """Whether anyone gets through: yes, no, or unknown where only the upper bound says so."""
    answer = "no"
    for opening in openings:
        if any(sets.anyone(ranges, opening.family) for _, ranges in opening.bounds.sure):
            return "yes"
        if any(sets.anyone(ranges, opening.family) for _, ranges in opening.bounds.most):
            answer = "unknown"
    return answer


def ports(openings: Sequence[Opening], *, anyone: bool = True) -> tuple[str, ...]:
    """What is open for sure, in words: to anyone, or to some of the internet only."""
    found: dict[int, list[tuple[int, int]]] = {}
    for opening in openings:
        for row, ranges in opening.bounds.sure:
            if sets.anyone(ranges, opening.family) is anyone:
                found.setdefault(opening.protocol, []).append(row)
    whole = {protocol for protocol, rows in found.items() if sets.merged(rows) == sets.PORTS}
    if {TCP, UDP, OTHER} <= whole:
        return ("all",)
    out: list[str] = []
    for protocol, rows in sorted(found.items()):
        name = NAMES.get(protocol, f"protocol-{protocol}")
        if protocol not in PORTED:
            out.append(name)
            continue
        for low, high in sets.merged(rows):
            out.append(f"{name}/{low}" if low == high else f"{name}/{low}-{high}")
    return tuple(dict.fromkeys(out))


def narrowly(openings: Sequence[Opening]) -> tuple[str, ...]:
    """What is open for sure to some addresses of the internet only: ``tcp/22 from 203.0.113.0/24``."""
    out: list[str] = []
    for opening in openings:
        for (low, high), ranges in opening.bounds.sure:
            if sets.anyone(ranges, opening.family):
                continue
            name = NAMES.get(opening.protocol, f"protocol-{opening.protocol}")
            if opening.protocol in PORTED:
                name += f"/{low}" if low == high else f"/{low}-{high}"
            cidrs = sets.blocks(ranges, opening.family)
            shown = ", ".join(cidrs[:3]) + (f" and {len(cidrs) - 3} more" if len(cidrs) > 3 else "")
            out.append(f"{name} from {shown}")
    return tuple(dict.fromkeys(out))
