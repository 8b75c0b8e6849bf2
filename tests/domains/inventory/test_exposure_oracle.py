"""Reachability against an oracle that sends single packets through a small random network, one after the other."""

from __future__ import annotations

import ipaddress
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from uwu.domains.inventory import exposure_net as net
from uwu.domains.inventory import exposure_sets as sets

CIDRS = [
    *("0.0.0.0/0", "0.0.0.0/1", "128.0.0.0/1", "8.0.0.0/7", "8.8.8.0/24", "8.8.8.8/32", "10.0.0.0/8"),
    *("64.0.0.0/3", "52.0.0.0/6", "203.0.113.0/24"),
]
SOURCES = [ipaddress.ip_address(a) for a in ("8.8.8.8", "8.8.8.9", "9.1.2.3", "52.4.4.4", "77.7.7.7", "203.0.113.7")]
PORTS = (0, 21, 22, 23, 443, 1024, 8080, 65535)
PROTOCOLS = ("-1", "tcp", "udp", "6", "17")


def numbers(text: str) -> str:
    return {"tcp": "6", "udp": "17"}.get(text, text)


@st.composite
def ranges(draw: st.DrawFn) -> tuple[int, int]:
    low, high = sorted((draw(st.sampled_from(PORTS)), draw(st.sampled_from(PORTS))))
    return low, high


@st.composite
def groups(draw: st.DrawFn) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []
    for _ in range(draw(st.integers(0, 2))):
        rules = []
        for _ in range(draw(st.integers(0, 3))):
            protocol = draw(st.sampled_from(PROTOCOLS))
            low, high = draw(ranges())
            cidrs = draw(st.lists(st.sampled_from(CIDRS), max_size=2))
            rule = {"IpProtocol": protocol, "IpRanges": [{"CidrIp": cidr} for cidr in cidrs]}
            rules.append(rule if protocol == "-1" else {**rule, "FromPort": low, "ToPort": high})
        out.append({"IpPermissions": rules})
    return out


@st.composite
def acls(draw: st.DrawFn) -> dict[str, Any]:
    entries = []
    for number in draw(st.lists(st.integers(1, 200), unique=True, max_size=6)):
        protocol = numbers(draw(st.sampled_from(PROTOCOLS)))
        low, high = draw(ranges())
        entry = {
            "RuleNumber": number,
            "Egress": draw(st.booleans()),
            "RuleAction": draw(st.sampled_from(("allow", "deny"))),
            "Protocol": protocol,
            "CidrBlock": draw(st.sampled_from(CIDRS)),
        }
        entries.append(entry if protocol == "-1" else {**entry, "PortRange": {"From": low, "To": high}})
    last = {"RuleNumber": 32767, "RuleAction": "deny", "Protocol": "-1", "CidrBlock": "0.0.0.0/0"}
    entries += [{**last, "Egress": egress} for egress in (True, False)]
    return {"Entries": draw(st.permutations(entries))}


@st.composite
def tables(draw: st.DrawFn) -> dict[str, Any]:
    routes: list[dict[str, Any]] = [{"DestinationCidrBlock": "10.0.0.0/16", "GatewayId": "local", "State": "active"}]
    for cidr in draw(st.lists(st.sampled_from(CIDRS), unique=True, max_size=4)):
        target = draw(
            st.sampled_from(
                [
                    {"GatewayId": "igw-1"},
                    {"NatGatewayId": "nat-1"},
                    {"TransitGatewayId": "tgw-1"},
                    {"GatewayId": "igw-1"},
                ]
            )
        )
        state = draw(st.sampled_from(("active", "active", "blackhole")))
        routes.append({"DestinationCidrBlock": cidr, **target, "State": state})
    return {"Routes": routes}


# ---- the oracle: one packet, its reply, nothing but loops


def inside(address: Any, cidr: str) -> bool:
    return address in ipaddress.ip_network(cidr)


def group_admits(groups: list[dict[str, Any]], protocol: str, port: int, source: Any) -> bool:
    for group in groups:
        for rule in group["IpPermissions"]:
            kind = numbers(rule["IpProtocol"])
            if kind not in ("-1", protocol):
                continue
            if kind != "-1" and not rule["FromPort"] <= port <= rule["ToPort"]:
                continue
            if any(inside(source, each["CidrIp"]) for each in rule["IpRanges"]):
                return True
    return False


def acl_allows(acl: dict[str, Any], egress: bool, protocol: str, port: int, other: Any) -> bool:
    for entry in sorted(acl["Entries"], key=lambda e: e["RuleNumber"]):
        if entry["Egress"] != egress or entry["Protocol"] not in ("-1", protocol):
            continue
        if entry["Protocol"] != "-1" and not entry["PortRange"]["From"] <= port <= entry["PortRange"]["To"]:
            continue
        if inside(other, entry["CidrBlock"]):
            return entry["RuleAction"] == "allow"
    return False


def routed_out(table: dict[str, Any], destination: Any) -> bool:
    best: tuple[int, dict[str, Any]] | None = None
    for route in table["Routes"]:
        block = ipaddress.ip_network(route["DestinationCidrBlock"])
        if destination in block and (best is None or block.prefixlen > best[0]):
            best = block.prefixlen, route
    return best is not None and best[1]["State"] == "active" and best[1].get("GatewayId", "").startswith("igw-")


def gets_through(table: Any, acl: Any, security: Any, protocol: str, port: int, source: Any) -> bool:
    # the caller may call from any of its ports: those at the edges of the rules stand for all
    edges = {0, 65535, *PORTS, *(p + 1 for p in PORTS if p < 65535)}
    replies = any(acl_allows(acl, True, protocol, own, source) for own in edges)
    return (
        routed_out(table, source)
        and acl_allows(acl, False, protocol, port, source)
        and replies
        and group_admits(security, protocol, port, source)
    )


@settings(max_examples=150, deadline=None)
@given(tables(), acls(), groups(), st.sampled_from((net.TCP, net.UDP)))
def test_what_gets_through_is_what_single_packets_do(table: Any, acl: Any, security: Any, protocol: int) -> None:
    family = sets.V4
    wall = net.passed(acl, family, protocol, egress=False).meet(net.replied(acl, family, protocol))
    whole = net.routed(table, family, {}).bounds.meet(wall).meet(net.admitted(security, family, protocol, {}).bounds)
    assert whole.sure == whole.most, "all of it is known"
    for port in (0, 20, 21, 22, 24, 442, 443, 444, 8080, 30000, 65535):
        for source in SOURCES:
            held = any(low <= int(source) <= high for low, high in sets.at(whole.sure, port))
            assert held == gets_through(table, acl, security, str(protocol), port, source), (port, source)


@settings(max_examples=100, deadline=None)
@given(
    tables(), acls(), groups(), st.sampled_from((net.TCP, net.UDP)), st.sets(st.sampled_from(("table", "acl", "group")))
)
def test_what_was_not_seen_never_closes(table: Any, acl: Any, security: Any, protocol: int, hidden: set[str]) -> None:
    """Whatever a hidden piece would have said, what is really open lies within the upper bound."""
    family = sets.V4
    seen_acl = None if "acl" in hidden else acl
    seen_groups: list[Any] = [*security[1:], None] if "group" in hidden and security else list(security)
    whole = (
        net.routed(None if "table" in hidden else table, family, {})
        .bounds.meet(net.passed(seen_acl, family, protocol, egress=False))
        .meet(net.replied(seen_acl, family, protocol))
        .meet(net.admitted(seen_groups, family, protocol, {}).bounds)
    )
    for port in (0, 22, 443, 8080, 65535):
        for source in SOURCES:
            number = int(source)
            sure = any(low <= number <= high for low, high in sets.at(whole.sure, port))
            most = any(low <= number <= high for low, high in sets.at(whole.most, port))
            really = gets_through(table, acl, security, str(protocol), port, source)
            assert most or not really
            assert really or not sure
