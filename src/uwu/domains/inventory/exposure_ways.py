"""The way by which packets from the internet come to a network interface with a public address of its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from uwu.domains.inventory import exposure_net as net
from uwu.domains.inventory.exposure_facts import (
    ACLS,
    BLOCKS,
    EXCLUSIONS,
    GROUPS,
    ROUTES,
    SUBNETS,
    Facts,
    Thing,
)
from uwu.domains.inventory.exposure_net import Bounds, Opening
from uwu.kernel import urns
from uwu.kernel.exposure import Answer, Exposure, Lack, Step

INTERNET = Step(urn="", says="anyone on the internet")


@dataclass
class Way:
    """One way in: its steps in order, what it opens, and what is missing to be sure of it."""

    answer: Answer
    steps: list[Step]
    openings: list[Opening] = field(default_factory=list[Opening])
    ports: tuple[str, ...] = ()
    conditions: list[str] = field(default_factory=list[str])
    lacks: list[Lack] = field(default_factory=list[Lack])


def named(arn: str) -> str:
    """The name in the ARN of a load balancer or a target group, which ends in a number."""
    parts = urns.parse(arn)
    pieces = parts.resource.split("/") if parts is not None else []
    return pieces[-2] if len(pieces) > 2 else pieces[1] if len(pieces) == 3 else urns.short(arn)


def closed(step: Step, *, conditions: Sequence[str] = ()) -> Way:
    return Way("no", [INTERNET, step], conditions=list(conditions))


def judged(thing: Thing, ways: Sequence[Way], lacks: Iterable[Lack | None] = ()) -> Exposure:
    """The answer of all ways together: the first that is open; else what is missing; else no, by the last."""
    opened = [way for way in ways if way.answer == "yes"]
    conditions = tuple(dict.fromkeys(each for way in ways for each in way.conditions))
    if opened:
        ports = tuple(dict.fromkeys(port for way in opened for port in way.ports))
        ports = ("all",) if "all" in ports else ports
        own = tuple(dict.fromkeys(each for way in opened for each in way.conditions))
        return Exposure(
            urn=thing.urn, type=thing.type, answer="yes", ports=ports, path=tuple(opened[0].steps), conditions=own
        )
    missing = list(
        dict.fromkeys([*(each for way in ways for each in way.lacks), *(each for each in lacks if each is not None)])
    )
    unsure = [way for way in ways if way.answer == "unknown"]
    if missing or unsure:
        path = unsure[0].steps if unsure else ways[0].steps if ways else [INTERNET]
        if not missing:
            missing = [Lack(cell="", status="unread", why="what the path says is not understood")]
        return Exposure(
            urn=thing.urn,
            type=thing.type,
            answer="unknown",
            path=tuple(path),
            lacks=tuple(missing),
            conditions=conditions,
        )
    path = ways[0].steps if ways else [INTERNET]
    return Exposure(urn=thing.urn, type=thing.type, answer="no", path=tuple(path), conditions=conditions)


# ---- by an address of one's own


@dataclass(frozen=True)
class Interface:
    """A place in the network that may have a public address."""

    thing: Thing
    vpc: str
    subnets: tuple[str, ...]
    """Where it is: in one of several where AWS chose."""
    groups: tuple[str, ...]
    families: tuple[int, ...]
    """Of its public addresses; empty for none."""
    says: str
    evidence: str
    grouped: bool = True
    """Whether security groups guard it at all."""
    ports: tuple[tuple[int, int], ...] = ()
    """(protocol, port) that it listens on; empty for whatever comes."""


def direct(facts: Facts, face: Interface) -> Way:
    """The way to the public addresses of an interface."""
    if not face.families:
        return closed(facts.step(face.thing, face.says, face.evidence, "no"))
    first = [INTERNET, facts.step(face.thing, face.says, face.evidence)]
    found = [_through(facts, face, subnet) for subnet in face.subnets]
    if not found:
        lack = Lack(cell="", status="unread", why=f"{urns.short(face.thing.urn)}: its subnet is not told")
        return Way("unknown", first, lacks=[lack])
    best = min(found, key=lambda way: ("yes", "unknown", "no").index(way.answer))
    return replace(best, steps=[*first, *best.steps])


def _through(facts: Facts, face: Interface, subnet: str) -> Way:
    """What gets through the network of ``subnet``: alike for all interfaces in it with the same groups."""
    thing = face.thing
    key = ("way", thing.account, thing.region, face.vpc, subnet, face.groups, face.families, face.grouped, face.ports)
    if key not in facts.memo:
        facts.memo[key] = _network(facts, face, subnet)
    return facts.memo[key]


def _network(facts: Facts, face: Interface, subnet: str) -> Way:
    account, region = face.thing.account, face.thing.region
    home = facts.home_of(account, region, subnet)
    lacks: list[Lack] = []
    if not home:
        lacks.append(
            facts.lack(account, region, SUBNETS, f"{subnet} is not observed")
            or Lack(cell="", status="unobserved", why=f"{subnet} is shared by an account that is not observed")
        )
    table, how = facts.route_table(home, region, face.vpc, subnet) if home else (None, "")
    acl = facts.acl(home, region, face.vpc, subnet) if home else None
    groups = facts.groups(account, region, face.groups, home) if face.grouped else []
    lists = facts.lists(home or account, region)
    for piece, type, words in (
        (table, ROUTES, f"the route table of {subnet}"),
        (acl, ACLS, f"the network ACL of {subnet}"),
    ):
        if piece is None and home:
            lacks.append(
                facts.lack(home, region, type, f"{words} is not observed")
                or Lack(cell="", status="unobserved", why=f"{words} is in no complete list")
            )
    for id, group in zip(face.groups, groups, strict=False):
        if group is None:
            lacks.append(
                facts.lack(account, region, GROUPS, f"security group {id} is not observed")
                or Lack(cell="", status="unobserved", why=f"security group {id} is of an account that is not observed")
            )
    steps: list[Step] = []
    openings: list[Opening] = []
    unread: set[str] = set()
    behind: set[str] = set()
    services: set[str] = set()
    parts: dict[str, list[Opening]] = {"route": [], "acl": [], "groups": []}
    attributes = [group.attributes if group is not None else None for group in groups]
    gateways: set[str] = set()
    for family in face.families:
        road = net.routed(table.attributes if table is not None else None, family, lists)
        gateways |= road.gateways
        unread |= road.unread
        behind |= road.behind
        for protocol in net.protocols(attributes, family):
            filtered = _listening(face.ports, protocol, family)
            if filtered is None:
                continue
            admitted = net.admitted(attributes, family, protocol, lists)
            guard = admitted.bounds if face.grouped else net.opened(family)
            unread |= admitted.unread
            services |= admitted.services
            wall = net.passed(acl.attributes if acl is not None else None, family, protocol, egress=False).meet(
                net.replied(acl.attributes if acl is not None else None, family, protocol)
            )
            for name, bounds in (("route", road.bounds), ("acl", wall), ("groups", guard)):
                parts[name].append(Opening(family, protocol, net.only_internet(bounds.meet(filtered), family)))
            whole = net.only_internet(road.bounds.meet(wall).meet(guard).meet(filtered), family)
            openings.append(Opening(family, protocol, whole))
    answer: Answer = answer_of(net.is_open(openings))
    steps += [
        _route_step(facts, table, how, parts["route"], gateways, behind, subnet),
        _acl_step(facts, acl, parts["acl"], subnet),
    ]
    if face.grouped:
        steps += _group_steps(facts, groups, parts["groups"], lists)
    conditions = list(net.narrowly(openings))
    conditions += [f"from AWS's own addresses, {name}" for name in sorted(services)]
    lacks += [Lack(cell="", status="unread", why=f"prefix list {id} is not observed") for id in sorted(unread)]
    lacks += [
        Lack(cell="", status="unread", why=f"what {target} lets through is not evaluated")
        for target in sorted(behind)
        if answer == "unknown"
    ]
    answer, block = _blocked(facts, home, region, face.vpc, subnet, answer)
    if isinstance(block, Step):
        steps.append(block)
    elif isinstance(block, Lack):
        lacks.append(block)
    elif block:
        conditions.append(block)
    if answer == "no":
        steps = _up_to_closed(steps)
        if all(step.holds != "no" for step in steps):
            steps.append(Step(urn="", says="together these let nothing through to anyone", holds="no"))
    return Way(
        answer,
        steps,
        openings,
        net.ports(openings) if answer == "yes" else (),
        conditions,
        lacks if answer == "unknown" else [],
    )


def answer_of(text: str) -> Answer:
    return "yes" if text == "yes" else "no" if text == "no" else "unknown"


def _up_to_closed(steps: list[Step]) -> list[Step]:
    for index, step in enumerate(steps):
        if step.holds == "no":
            return steps[: index + 1]
    return steps


def _listening(ports: Sequence[tuple[int, int]], protocol: int, family: int) -> Bounds | None:
    """The ports on which something listens; None where nothing does by this protocol."""
    if not ports:
        return net.opened(family)
    rows = [(port, port) for of, port in ports if of == protocol]
    return net.at_ports(net.opened(family), rows, family) if rows else None


def _route_step(
    facts: Facts,
    table: Thing | None,
    how: str,
    parts: Sequence[Opening],
    gateways: Iterable[str],
    behind: Iterable[str],
    subnet: str,
) -> Step:
    if table is None:
        return Step(urn="", type=ROUTES, says=f"the route table of {subnet} is not known", holds="unknown")
    holds = answer_of(net.is_open(parts))
    through = sorted(gateways)
    if holds == "yes":
        says = f"routes the internet through {', '.join(through)}"
    elif holds == "unknown":
        says = f"routes the internet through {', '.join(sorted(behind)) or 'what is not read'}"
    else:
        says = "has no route to the internet for it" if not through else "routes only a part of the internet"
    return facts.step(table, says, f"Routes ({how})", holds)


def _acl_step(facts: Facts, acl: Thing | None, parts: Sequence[Opening], subnet: str) -> Step:
    if acl is None:
        return Step(urn="", type=ACLS, says=f"the network ACL of {subnet} is not known", holds="unknown")
    holds = answer_of(net.is_open(parts))
    ports = net.ports(parts)
    shown = "everything" if ports == ("all",) else ", ".join(ports[:6]) + (" and more" if len(ports) > 6 else "")
    says = f"lets {shown} in and its replies out" if holds == "yes" else "lets nothing in from anyone, or no reply out"
    return facts.step(acl, says, "Entries", holds)


def _group_steps(
    facts: Facts, groups: Sequence[Thing | None], parts: Sequence[Opening], lists: net.Lists
) -> list[Step]:
    """The groups that admit someone; one step that none does."""
    steps: list[Step] = []
    for group in groups:
        if group is None:
            continue
        own = [
            Opening(
                part.family,
                part.protocol,
                net.only_internet(
                    net.admitted([group.attributes], part.family, part.protocol, lists).bounds, part.family
                ),
            )
            for part in parts
        ]
        ports = net.ports(own)
        if ports:
            shown = (
                "everything" if ports == ("all",) else ", ".join(ports[:6]) + (" and more" if len(ports) > 6 else "")
            )
            steps.append(facts.step(group, f"admits {shown} from anyone", "IpPermissions"))
    if steps:
        return steps
    holds = answer_of(net.is_open(parts))
    first = next((group for group in groups if group is not None), None)
    words = "admits nothing from anyone" if holds == "no" else "may admit anyone: a group or a list was not read"
    if first is None:
        return [Step(urn="", type=GROUPS, says=words, evidence="SecurityGroups", holds=holds)]
    return [facts.step(first, words, "IpPermissions", holds)]


def _blocked(
    facts: Facts, home: str, region: str, vpc: str, subnet: str, answer: Answer
) -> tuple[Answer, Step | Lack | str]:
    """What VPC Block Public Access makes of ``answer``."""
    if answer == "no" or not home:
        return answer, ""
    options = facts.all_of(BLOCKS, home, region)
    if not options:
        known = facts.known(home, region, BLOCKS)
        if known.complete:
            return answer, ""
        return answer, f"unless VPC block public access is on in {home}, {region}: {BLOCKS} is {known.status}"
    mode = str(options[0].attributes.get("InternetGatewayBlockMode") or "off")
    if mode not in {"block-bidirectional", "block-ingress"}:
        return answer, ""
    spared = {
        urns.ec2("vpc", vpc, account=home, region=region),
        urns.ec2("subnet", subnet, account=home, region=region),
    }
    for each in facts.all_of(EXCLUSIONS, home, region):
        both_ways = str(each.attributes.get("InternetGatewayExclusionMode")) == "allow-bidirectional"
        if both_ways and each.attributes.get("ResourceArn") in spared:
            return answer, ""
    lack = facts.lack(home, region, EXCLUSIONS, "exclusions of VPC block public access are not known")
    if lack is not None:
        return "unknown", lack
    return "no", facts.step(options[0], f"blocks public access: {mode}", "InternetGatewayBlockMode", "no")
