"""The ways through load balancers: listener, target group, target, and whether the target lets the balancer in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from uwu.domains.inventory import exposure_net as net
from uwu.domains.inventory import exposure_sets as sets
from uwu.domains.inventory.exposure_facts import BALANCERS, CLASSIC, LISTENERS, TARGET_GROUPS, Facts, Thing, targets_of
from uwu.domains.inventory.exposure_net import Bounds, Opening
from uwu.domains.inventory.exposure_sets import V4, V6
from uwu.domains.inventory.exposure_ways import INTERNET, Interface, Way, answer_of, direct, named
from uwu.kernel import urns
from uwu.kernel.exposure import Answer, Lack, Step


def balanced(facts: Facts, face: Interface | None, thing: Thing, target: str) -> tuple[list[Way], list[Lack | None]]:
    """The ways through load balancers to ``target``, and what is missing to know all of them."""
    account, region = thing.account, thing.region
    ways: list[Way] = []
    lacks: list[Lack | None] = []
    places = [account]
    if face is not None and face.subnets:
        home = facts.home_of(account, region, face.subnets[0])
        places += [home] if home and home != account else []
    for place in places:
        lacks.append(facts.lack(place, region, TARGET_GROUPS, "load balancers may pass on to it"))
        for group in facts.target_groups(place, region, target, _named(thing, place, target)):
            for balancer in group.attributes.get("LoadBalancerArns") or ():
                more, missing = _behind(facts, face, group, str(balancer), target)
                ways += more
                lacks += missing
    if face is not None and target.startswith("i-"):
        lacks.append(facts.lack(account, region, CLASSIC, "classic load balancers may pass on to it"))
        for balancer in facts.all_of(CLASSIC, account, region):
            if any(each.get("InstanceId") == target for each in balancer.attributes.get("Instances") or ()):
                ways += _behind_classic(facts, face, balancer, target)
    return ways, lacks


def _named(thing: Thing, account: str, target: str) -> str:
    """The urn of a target; a bare address has none."""
    if target.startswith("i-"):
        return urns.ec2("instance", target, account=account, region=thing.region)
    return target if target.startswith("arn:") else ""


def _behind(
    facts: Facts, face: Interface | None, group: Thing, arn: str, target: str
) -> tuple[list[Way], list[Lack | None]]:
    balancer = facts.some([arn]).get(arn)
    region, account = group.region, group.account
    if balancer is None or balancer.type not in BALANCERS:
        lacks = [facts.lack(account, region, type, f"{urns.short(arn)} is not observed") for type in BALANCERS]
        return [], lacks
    front = balancer_ways(facts, balancer)
    ways: list[Way] = []
    missing: list[Lack | None] = [facts.lack(account, region, LISTENERS, f"listeners of {urns.short(arn)}")]
    for listener in facts.listeners(balancer.account, region, arn):
        if group.urn not in forwards_to(listener):
            continue
        protocol, port = listens(listener)
        for way in front:
            if way.answer == "no":
                continue
            openings = [
                Opening(o.family, o.protocol, net.at_ports(o.bounds, [(port, port)], o.family))
                for o in way.openings
                if o.protocol in protocol
            ]
            came = answer_of(net.is_open(openings))
            if came == "no":
                continue
            passing = _passes(facts, face, balancer, group, target)
            answer: Answer = "no" if passing.holds == "no" else came if passing.holds == "yes" else "unknown"
            says = f"listens on {listener.attributes.get('Protocol')} {port} and forwards to {named(group.urn)}"
            held = next((t for t in targets_of(group) if str((t.get("Target") or {}).get("Id")) == target), {})
            at = (held.get("Target") or {}).get("Port")
            steps = [
                *way.steps,
                facts.step(listener, says, "DefaultActions, Rules"),
                facts.step(group, f"targets it{f' at port {at}' if at else ''}", "TargetHealthDescriptions"),
                passing,
            ]
            ways.append(Way(answer, steps, openings, net.ports(openings), [], list(way.lacks)))
    return ways, missing


def listens(listener: Thing) -> tuple[tuple[int, ...], int]:
    """The protocols (as numbers) and the port of a listener."""
    protocol = str(listener.attributes.get("Protocol") or "")
    numbers = (net.TCP, net.UDP) if protocol == "TCP_UDP" else (net.UDP,) if protocol in {"UDP", "QUIC"} else (net.TCP,)
    return numbers, int(listener.attributes.get("Port") or 0)


def forwards_to(listener: Thing) -> set[str]:
    """The target groups that a listener or one of its rules forwards to."""
    actions = list(listener.attributes.get("DefaultActions") or ())
    for rule in listener.attributes.get("Rules") or ():
        actions += rule.get("Actions") or ()
    out = {str(action.get("TargetGroupArn")) for action in actions if action.get("TargetGroupArn")}
    for action in actions:
        for each in (action.get("ForwardConfig") or {}).get("TargetGroups") or ():
            out.add(str(each.get("TargetGroupArn")))
    return out


def balancer_face(balancer: Thing, ports: Sequence[tuple[int, int]]) -> Interface:
    """A load balancer as an interface with a public address."""
    told = balancer.attributes
    internal = told.get("Scheme") != "internet-facing"
    kind = str(told.get("IpAddressType") or "ipv4")
    families = () if internal else (V6,) if kind == "dualstack-without-public-ipv4" else (V4, V6)
    if kind == "ipv4" and families:
        families = (V4,)
    zones = told.get("AvailabilityZones") or ()
    subnets = [str(z.get("SubnetId")) for z in zones if isinstance(z, Mapping) and z.get("SubnetId")]
    groups = tuple(sorted(str(g) for g in told.get("SecurityGroups") or ()))
    return Interface(
        thing=balancer,
        vpc=str(told.get("VpcId") or told.get("VPCId") or ""),
        subnets=tuple(sorted(subnets or [str(s) for s in told.get("Subnets") or ()])),
        groups=groups,
        families=families,
        says="is internal" if internal else "faces the internet",
        evidence="Scheme",
        # a network load balancer without groups admits everything
        grouped=bool(groups) or balancer.type != "aws_ec2_network_load_balancer",
        ports=tuple(sorted(ports)),
    )


def balancer_ways(facts: Facts, balancer: Thing) -> list[Way]:
    """The ways to a load balancer: its own address, on the ports of its listeners; or another one before it."""
    key = "balancer", balancer.urn
    if key not in facts.memo:
        facts.memo[key] = []  # one that forwards to itself is no way
        facts.memo[key] = _balancer_ways(facts, balancer)
    return facts.memo[key]


def _balancer_ways(facts: Facts, balancer: Thing) -> list[Way]:
    account, region = balancer.account, balancer.region
    ports: list[tuple[int, int]] = []
    lack: Lack | None = None
    if balancer.type == CLASSIC:
        told = balancer.attributes.get("ListenerDescriptions") or ()
        ports += [(net.TCP, int((each.get("Listener") or {}).get("LoadBalancerPort") or 0)) for each in told]
    else:
        for listener in facts.listeners(account, region, balancer.urn):
            protocol, port = listens(listener)
            ports += [(number, port) for number in protocol]
        lack = facts.lack(account, region, LISTENERS, f"listeners of {named(balancer.urn)}")
    face = balancer_face(balancer, ports)
    if not face.families:
        way = direct(facts, face)
    elif not ports:
        says = "has no listener" if lack is None else "its listeners are not known"
        first = facts.step(balancer, says, "listeners", "no" if lack is None else "unknown")
        way = Way("no" if lack is None else "unknown", [INTERNET, first], lacks=[lack] if lack is not None else [])
    else:
        way = direct(facts, face)
        if lack is not None and way.answer == "no":
            way = Way("unknown", way.steps, way.openings, (), way.conditions, [*way.lacks, lack])
    ways = [way]
    if balancer.type == "aws_ec2_application_load_balancer":
        more, missing = balanced(facts, face, balancer, balancer.urn)
        ways += more
        if way.answer == "no" and any(missing):
            found = [each for each in missing if each is not None]
            ways.append(Way("unknown", way.steps, lacks=found))
    return ways


def _behind_classic(facts: Facts, face: Interface, balancer: Thing, target: str) -> list[Way]:
    ways: list[Way] = []
    for way in balancer_ways(facts, balancer):
        if way.answer == "no":
            continue
        for each in balancer.attributes.get("ListenerDescriptions") or ():
            listener = each.get("Listener") or {}
            port, inner = int(listener.get("LoadBalancerPort") or 0), int(listener.get("InstancePort") or 0)
            openings = [
                Opening(o.family, o.protocol, net.at_ports(o.bounds, [(port, port)], o.family)) for o in way.openings
            ]
            came = answer_of(net.is_open(openings))
            if came == "no":
                continue
            passing = _lets(facts, face, balancer, net.TCP, inner, preserved=False, certain=True)
            answer: Answer = "no" if passing.holds == "no" else came if passing.holds == "yes" else "unknown"
            middle = facts.step(balancer, f"passes {port} on to {target} at port {inner}", "ListenerDescriptions")
            ways.append(Way(answer, [*way.steps, middle, passing], openings, net.ports(openings), [], list(way.lacks)))
    return ways


# ---- from a load balancer to its target


def _passes(facts: Facts, face: Interface | None, balancer: Thing, group: Thing, target: str) -> Step:
    """Whether the target lets its load balancer in."""
    if face is None:
        return facts.step(group, "passes requests on by AWS itself", "TargetType")
    told = group.attributes
    kind, protocol = str(told.get("TargetType") or "instance"), str(told.get("Protocol") or "")
    held = next((t for t in targets_of(group) if str((t.get("Target") or {}).get("Id")) == target), {})
    port = int((held.get("Target") or {}).get("Port") or told.get("Port") or 0)
    number = net.UDP if protocol in {"UDP", "QUIC"} else net.TCP
    network = balancer.type == "aws_ec2_network_load_balancer"
    preserved = network and (kind == "instance" or protocol in {"UDP", "TCP_UDP", "QUIC"})
    return _lets(facts, face, balancer, number, port, preserved=preserved, certain=not network)


def _lets(
    facts: Facts, face: Interface, balancer: Thing, protocol: int, port: int, *, preserved: bool, certain: bool
) -> Step:
    """Whether the groups and ACLs of ``face`` let ``balancer`` in.

    ``preserved``: the addresses of the clients come through, as is the default of its kind; not ``certain`` where a
    setting of the target group may say otherwise.
    """
    account, region = face.thing.account, face.thing.region
    subnet = face.subnets[0] if face.subnets else ""
    home = facts.home_of(account, region, subnet)
    groups = facts.groups(account, region, face.groups, home)
    attributes = [group.attributes if group is not None else None for group in groups]
    front = balancer_face(balancer, ())
    lists = facts.lists(home or account, region)
    blocks = _blocks(facts, balancer, front)
    rules = net.admitted(attributes, V4, protocol, lists).bounds
    member = net.admits_group(attributes, front.groups, protocol, port)
    by_address = _any_of(_meets(rules, port, block) for block in blocks) if blocks else "unknown"
    clients = answer_of(
        net.is_open([Opening(V4, protocol, net.at_ports(net.only_internet(rules, V4), [(port, port)], V4))])
    )
    usual = _any_of([member, clients if preserved else by_address])
    other = _any_of([member, by_address if preserved else clients])
    holds: Answer = usual
    if not certain and usual != other and usual != "yes":
        holds = "unknown"
    if holds == "yes":
        walls = _walls(facts, face, front, subnet, home, protocol, port, blocks)
        holds = walls
    name = f"{net.NAMES.get(protocol, protocol)}/{port}"
    first = next((group for group in groups if group is not None), None)
    words = {
        "yes": f"admits {name} from the load balancer",
        "no": f"does not admit {name} from the load balancer",
        "unknown": f"may admit {name} from the load balancer",
    }[holds]
    if first is None:
        return Step(urn=face.thing.urn, type=face.thing.type, says=words, evidence="SecurityGroups", holds=holds)
    return facts.step(first, words, "IpPermissions", holds)


def _blocks(facts: Facts, balancer: Thing, front: Interface) -> list[sets.Ranges]:
    """The addresses of the subnets in which a load balancer stands."""
    out: list[sets.Ranges] = []
    for subnet in front.subnets:
        home = facts.home_of(balancer.account, balancer.region, subnet)
        urn = urns.ec2("subnet", subnet, account=home or balancer.account, region=balancer.region)
        found = facts.some([urn]).get(urn)
        block = sets.block(str(found.attributes.get("CidrBlock"))) if found is not None else None
        if block is not None:
            out.append(block[1])
    return out


def _meets(bounds: Bounds, port: int, block: sets.Ranges) -> Answer:
    if sets.both(sets.at(bounds.sure, port), block):
        return "yes"
    return "unknown" if sets.both(sets.at(bounds.most, port), block) else "no"


def _any_of(answers: Iterable[str]) -> Answer:
    found = set(answers)
    return "yes" if "yes" in found else "unknown" if "unknown" in found else "no"


def _walls(
    facts: Facts,
    face: Interface,
    front: Interface,
    subnet: str,
    home: str,
    protocol: int,
    port: int,
    blocks: Sequence[sets.Ranges],
) -> Answer:
    """Whether the ACLs between the load balancer's subnets and the target's let both ways pass."""
    if subnet in front.subnets or not subnet:
        return "yes"
    region = face.thing.region
    acl = facts.acl(home, region, face.vpc, subnet) if home else None
    told: Any = acl.attributes if acl is not None else None
    inward = net.passed(told, V4, protocol, egress=False)
    outward = net.replied(told, V4, protocol)
    answers = [_all_of([_meets(inward, port, block), _meets(outward, 0, block)]) for block in blocks]
    return _any_of(answers) if answers else "unknown"


def _all_of(answers: Iterable[str]) -> Answer:
    found = set(answers)
    return "no" if "no" in found else "unknown" if "unknown" in found else "yes"
