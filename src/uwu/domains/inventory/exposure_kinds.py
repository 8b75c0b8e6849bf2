"""How each type of resource can be exposed: by packets, by a door of AWS's own, or by a policy that names everyone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from uwu.domains.inventory import exposure_net as net
from uwu.domains.inventory import exposure_policies as policies
from uwu.domains.inventory import exposure_sets as sets
from uwu.domains.inventory.exposure_balanced import balanced, balancer_ways
from uwu.domains.inventory.exposure_facts import BALANCERS, CLASSIC, Facts, Thing
from uwu.domains.inventory.exposure_sets import V4, V6
from uwu.domains.inventory.exposure_ways import INTERNET, Interface, Way, closed, direct, judged
from uwu.kernel.exposure import Answer, Exposure, Lack, Step

Judge = Callable[[Facts, Thing], Exposure]
HTTPS = ("tcp/443",)


# ---- by packets


def _families(interface: Mapping[str, Any]) -> tuple[tuple[int, ...], str]:
    """The families of the public addresses of a network interface, and these in words."""
    shown: list[str] = []
    v4 = (interface.get("Association") or {}).get("PublicIp")
    for each in interface.get("PrivateIpAddresses") or ():
        v4 = v4 or (each.get("Association") or {}).get("PublicIp")
    v6 = next((each.get("Ipv6Address") for each in interface.get("Ipv6Addresses") or ()), None)
    shown = [str(address) for address in (v4, v6) if address]
    return (*((V4,) if v4 else ()), *((V6,) if v6 else ())), ", ".join(shown)


def _face(thing: Thing, interface: Mapping[str, Any], evidence: str) -> Interface:
    families, shown = _families(interface)
    return Interface(
        thing=thing,
        vpc=str(interface.get("VpcId") or thing.attributes.get("VpcId") or ""),
        subnets=(str(interface["SubnetId"]),) if interface.get("SubnetId") else (),
        groups=tuple(sorted(str(group.get("GroupId")) for group in interface.get("Groups") or ())),
        families=families,
        says=f"has the public address {shown}" if shown else "has no public address",
        evidence=evidence,
    )


def _instance(facts: Facts, thing: Thing) -> Exposure:
    told = thing.attributes
    interfaces: list[dict[str, Any]] = told.get("NetworkInterfaces") or []
    faces = [_face(thing, each, f"NetworkInterfaces[{index}]") for index, each in enumerate(interfaces)]
    if not faces:
        groups = told.get("SecurityGroups") or ()
        public = {"Association": {"PublicIp": told.get("PublicIpAddress")}} if told.get("PublicIpAddress") else {}
        faces = [_face(thing, {**told, "Groups": groups, **public}, "PublicIpAddress")]
    ways = [direct(facts, face) for face in faces]
    more, lacks = balanced(facts, faces[0], thing, str(told.get("InstanceId")))
    for face, interface in zip(faces, interfaces, strict=False):
        for each in interface.get("PrivateIpAddresses") or ():
            by_address, _ = balanced(facts, face, thing, str(each.get("PrivateIpAddress")))
            more += by_address
    return judged(thing, [*ways, *more], lacks)


def _interface(facts: Facts, thing: Thing) -> Exposure:
    face = _face(thing, thing.attributes, "Association, Ipv6Addresses")
    if face.families and not face.groups:
        # only what AWS makes for its own services has no group: a NAT gateway's lets nothing in, others listen
        if thing.attributes.get("InterfaceType") == "nat_gateway":
            return judged(
                thing, [closed(facts.step(thing, "is a NAT gateway's: it lets nothing in", "InterfaceType", "no"))]
            )
        return judged(thing, [], [_unread(thing, "no security group guards it, and on what it listens is not told")])
    ways, lacks = [direct(facts, face)], list[Lack | None]()
    for each in thing.attributes.get("PrivateIpAddresses") or ():
        more, missing = balanced(facts, face, thing, str(each.get("PrivateIpAddress")))
        ways, lacks = [*ways, *more], [*lacks, *missing]
    attached = str((thing.attributes.get("Attachment") or {}).get("InstanceId") or "")
    if attached:
        more, missing = balanced(facts, face, thing, attached)
        ways, lacks = [*ways, *more], [*lacks, *missing]
    return judged(thing, ways, lacks)


def _balancer(facts: Facts, thing: Thing) -> Exposure:
    return judged(thing, balancer_ways(facts, thing))


def _database(facts: Facts, thing: Thing) -> Exposure:
    """AWS puts it into one subnet of its group, in its own zone where that is told."""
    told = thing.attributes
    group = told.get("DBSubnetGroup") or {}
    subnets = group.get("Subnets") or ()
    zone = told.get("AvailabilityZone")
    here = [s for s in subnets if not zone or (s.get("SubnetAvailabilityZone") or {}).get("Name") == zone] or subnets
    public = told.get("PubliclyAccessible")
    port = (told.get("Endpoint") or {}).get("Port") or told.get("DbInstancePort") or told.get("Port")
    dual = str(told.get("NetworkType") or "") == "DUAL"
    face = Interface(
        thing=thing,
        vpc=str(group.get("VpcId") or ""),
        subnets=tuple(sorted(str(s.get("SubnetIdentifier")) for s in here)),
        groups=tuple(sorted(str(g.get("VpcSecurityGroupId")) for g in told.get("VpcSecurityGroups") or ())),
        families=((V4, V6) if dual else (V4,)) if public else (),
        says="is publicly accessible" if public else "is not publicly accessible",
        evidence="PubliclyAccessible",
        ports=((net.TCP, int(port)),) if port else (),
    )
    ways = [direct(facts, face)]
    lacks: list[Lack | None] = []
    address = str((told.get("Endpoint") or {}).get("Address") or "")
    if address and public is None:
        lacks.append(Lack(cell=thing.cell, status="unread", why="whether it is publicly accessible is not told"))
    return judged(thing, ways, lacks)


# ---- by a door of AWS's own


def _cluster(facts: Facts, thing: Thing) -> Exposure:
    told = thing.attributes.get("resourcesVpcConfig") or {}
    if told.get("endpointPublicAccess") is None:
        return judged(thing, [], [_unread(thing, "whether its endpoint is public is not told")])
    if not told.get("endpointPublicAccess"):
        says = facts.step(thing, "has a private endpoint only", "resourcesVpcConfig.endpointPublicAccess", "no")
        return judged(thing, [closed(says)])
    cidrs = [str(cidr) for cidr in told.get("publicAccessCidrs") or ("0.0.0.0/0",)]
    ranges = {family: sets.merged(_all(cidrs, family)) for family in sets.FAMILIES}
    evidence = "resourcesVpcConfig.publicAccessCidrs"
    if any(sets.anyone(found, family) for family, found in ranges.items()):
        step = facts.step(thing, "has a public endpoint for anyone", evidence)
        return judged(thing, [Way("yes", [INTERNET, step], ports=HTTPS)])
    step = facts.step(thing, f"has a public endpoint for {', '.join(cidrs[:3])} only", evidence, "no")
    return judged(thing, [closed(step, conditions=[f"tcp/443 from {cidr}" for cidr in cidrs])])


def _all(cidrs: Sequence[str], family: int) -> list[tuple[int, int]]:
    found = [sets.block(cidr) for cidr in cidrs]
    return [pair for block in found if block is not None and block[0] == family for pair in block[1]]


def _search(facts: Facts, thing: Thing) -> Exposure:
    told = thing.attributes
    if (told.get("VPCOptions") or {}).get("VPCId"):
        return judged(thing, [closed(facts.step(thing, "is within a VPC", "VPCOptions", "no"))])
    if "Endpoint" not in told and "Endpoints" not in told and not told.get("EndpointV2"):
        return judged(thing, [], [_unread(thing, "its endpoint is not told")])
    way = _by_policy(facts, thing, told.get("AccessPolicies"), "AccessPolicies", ("es:ESHttpGet",), ports=HTTPS)
    if way.answer == "yes" and (told.get("AdvancedSecurityOptions") or {}).get("Enabled"):
        way.conditions.append("fine-grained access control asks who it is")
    return judged(thing, [way])


def _distribution(facts: Facts, thing: Thing) -> Exposure:
    if thing.attributes.get("Enabled") is False:
        return judged(thing, [closed(facts.step(thing, "is disabled", "Enabled", "no"))])
    step = facts.step(thing, f"answers everyone at {thing.attributes.get('DomainName', '')}".strip(), "Enabled")
    policy = (thing.attributes.get("DefaultCacheBehavior") or {}).get("ViewerProtocolPolicy")
    ports = HTTPS if policy == "https-only" else ("tcp/80", "tcp/443")
    return judged(thing, [Way("yes", [INTERNET, step], ports=ports)])


def _rest_api(facts: Facts, thing: Thing) -> Exposure:
    told = thing.attributes
    kinds = (told.get("endpointConfiguration") or {}).get("types") or ()
    if not kinds:
        return judged(thing, [], [_unread(thing, "its kind of endpoint is not told")])
    if "PRIVATE" in kinds:
        says = facts.step(thing, "is private: VPC endpoints alone reach it", "endpointConfiguration.types", "no")
        return judged(thing, [closed(says)])
    return _api(facts, thing, bool(told.get("disableExecuteApiEndpoint")), told.get("policy"), "aws_api_gateway_stage")


def _http_api(facts: Facts, thing: Thing) -> Exposure:
    disabled = bool(thing.attributes.get("DisableExecuteApiEndpoint"))
    return _api(facts, thing, disabled, None, "aws_api_gatewayv2_stage")


def _api(facts: Facts, thing: Thing, disabled: bool, policy: Any, stage_type: str) -> Exposure:
    id = thing.urn.rpartition("/")[2]
    stages = facts.by(stage_type, thing.account, thing.region, "ApiId").get(id, [])
    if not stages:
        lack = facts.lack(thing.account, thing.region, stage_type, "its stages are not known")
        step = facts.step(thing, "has no stage", "stages", "no" if lack is None else "unknown")
        return judged(thing, [Way("no" if lack is None else "unknown", [INTERNET, step])], [lack])
    first, door = [INTERNET], facts.step(thing, "answers at its own endpoint", "disableExecuteApiEndpoint")
    domains = "aws_api_gatewayv2_domain_name"
    if disabled:
        named = [
            domain
            for domain in facts.all_of(domains, thing.account, thing.region)
            if any(m.get("ApiId") == id for m in domain.attributes.get("ApiMappings") or ())
        ]
        if not named:
            lack = facts.lack(thing.account, thing.region, domains, "domain names may lead to it")
            says = "has no endpoint of its own and no domain name leads to it"
            holds: Answer = "no" if lack is None else "unknown"
            step = facts.step(thing, says, "disableExecuteApiEndpoint", holds)
            return judged(thing, [Way(holds, [INTERNET, step])], [lack])
        door = facts.step(named[0], f"leads to it by {named[0].attributes.get('DomainName')}", "ApiMappings")
    stage = facts.step(stages[0], f"serves it as stage {stages[0].urn.rpartition('/')[2]}", "stageName")
    steps = [*first, door, stage]
    if policy:
        way = _by_policy(facts, thing, policy, "policy", ("execute-api:Invoke",), ports=HTTPS)
        return judged(thing, [Way(way.answer, [*steps, *way.steps[1:]], [], way.ports, way.conditions, way.lacks)])
    return judged(thing, [Way("yes", steps, ports=HTTPS)])


def _function_url(facts: Facts, thing: Thing) -> Exposure:
    told = thing.attributes
    arn = str(told.get("FunctionArn") or "")
    qualified = arn.count(":") > 6
    owner = facts.some([":".join(arn.split(":")[:7])]).get(":".join(arn.split(":")[:7]))
    kind = str(told.get("AuthType") or "")
    first = facts.step(
        thing, f"answers at {told.get('FunctionUrl', 'its URL')}, AuthType {kind or 'not told'}", "AuthType"
    )
    if owner is None or qualified or not kind:
        why = "the policy of its alias is not read" if qualified else "the policy of its function is not observed"
        return judged(thing, [Way("unknown", [INTERNET, first])], [_unread(thing, why)])
    actions = ("lambda:InvokeFunctionUrl",)
    way = _by_policy(facts, owner, owner.attributes.get("Policy"), "Policy", actions, ports=HTTPS)
    if kind == "AWS_IAM" and way.answer == "yes":
        way.conditions.append("AuthType AWS_IAM: any AWS account, signed")
    return judged(thing, [Way(way.answer, [INTERNET, first, *way.steps[1:]], [], way.ports, way.conditions, way.lacks)])


def _function(facts: Facts, thing: Thing) -> Exposure:
    """By its policy, its URLs, the APIs and load balancers that pass on to it."""
    actions = ("lambda:InvokeFunction",)
    ways = [_by_policy(facts, thing, thing.attributes.get("Policy"), "Policy", actions)]
    lacks: list[Lack | None] = []
    doors = (
        "aws_lambda_function_url",
        "aws_api_gateway_resource",
        "aws_api_gatewayv2_integration",
    )
    for door in facts.pointing(thing.urn, "invokes", *doors):
        if door.type == "aws_lambda_function_url":
            ways.append(_as_way(_function_url(facts, door)))
            continue
        kind = "restapis" if door.type == "aws_api_gateway_resource" else "apis"
        urn = f"{door.urn.split('/' + kind + '/')[0]}/{kind}/{door.attributes.get('ApiId')}"
        api = facts.some([urn]).get(urn)
        if api is None:
            lacks.append(_unread(door, f"{urn} is not observed"))
            continue
        before = _rest_api(facts, api) if kind == "restapis" else _http_api(facts, api)
        way = _as_way(before)
        way.steps.append(facts.step(door, "integrates it", "integrations"))
        ways.append(way)
    lacks += [facts.lack(thing.account, thing.region, type, f"{type} may lead to it") for type in doors]
    more, missing = balanced(facts, None, thing, thing.urn)
    return judged(thing, [*ways, *more], [*lacks, *missing])


def _as_way(exposure: Exposure) -> Way:
    return Way(
        exposure.answer, list(exposure.path), [], exposure.ports, list(exposure.conditions), list(exposure.lacks)
    )


# ---- by a policy


def _unread(thing: Thing, why: str) -> Lack:
    return Lack(cell=thing.cell, status="unread", why=why)


def _by_policy(
    facts: Facts,
    thing: Thing,
    policy: Any,
    evidence: str,
    actions: Sequence[str] = (),
    *,
    ports: tuple[str, ...] = (),
) -> Way:
    """The way that the policy of ``thing`` opens to everyone."""
    verdict = policies.everyone(policy, actions)
    if verdict.answer == "yes":
        named = ", ".join(verdict.statements[:3])
        step = facts.step(thing, f"its policy lets everyone in: {named}", evidence)
        return Way("yes", [INTERNET, step], ports=ports)
    if verdict.answer == "unknown":
        step = facts.step(thing, "its policy is not wholly understood", evidence, "unknown")
        lacks = [_unread(thing, each) for each in verdict.conditions]
        return Way("unknown", [INTERNET, step], conditions=verdict.conditions, lacks=lacks)
    says = "its policy lets everyone in on conditions only" if verdict.conditions else "no policy lets everyone in"
    return closed(facts.step(thing, says, evidence, "no"), conditions=verdict.conditions)


def _policy(member: str, *, unless: Callable[[Thing], bool] | None = None) -> Judge:
    """Judges a type whose one door is its policy. ``unless`` says that the policy was not asked for."""

    def judge(facts: Facts, thing: Thing) -> Exposure:
        if unless is not None and unless(thing):
            return judged(thing, [], [_unread(thing, f"its {member} is not read")])
        return judged(thing, [_by_policy(facts, thing, thing.attributes.get(member), member)])

    return judge


_ALL_USERS = ("http://acs.amazonaws.com/groups/global/AllUsers",)
_ANY_ACCOUNT = ("http://acs.amazonaws.com/groups/global/AuthenticatedUsers",)
_SETTINGS = "aws_s3_account_settings"


def _bucket(facts: Facts, thing: Thing) -> Exposure:
    """Public access block of bucket and account, then the policy, then the ACL."""
    told = thing.attributes
    read = facts.cell(thing).complete
    own = told.get("PublicAccessBlockConfiguration") or ({} if read else None)
    home = thing.cell.split("/")[2] if thing.cell.count("/") == 3 else thing.region
    settings = facts.all_of(_SETTINGS, thing.account, "")
    whole: Any = settings[0].attributes.get("PublicAccessBlockConfiguration") if settings else None
    unset = facts.lack(thing.account, home, _SETTINGS, "the account's public access block is not known")
    if settings and whole is None:
        whole = {} if unset is None else None
    ways: list[Way] = []
    lacks: list[Lack | None] = []
    for flag, way in (
        ("RestrictPublicBuckets", _by_policy(facts, thing, told.get("Policy"), "Policy")),
        ("IgnorePublicAcls", _acl(facts, thing, read)),
    ):
        block = _set(flag, own, whole)
        if way.answer == "no" or block == "no":
            ways.append(way)
        elif block == "yes":
            source = settings[0] if settings and whole and whole.get(flag) else thing
            step = facts.step(source, f"{flag} is on", f"PublicAccessBlockConfiguration.{flag}", "no")
            ways.append(Way("no", [INTERNET, step], conditions=way.conditions))
        else:
            says = Step(urn=thing.urn, type=thing.type, says=f"{flag} is not known", holds="unknown")
            ways.append(Way("unknown", [*way.steps, says], conditions=way.conditions, lacks=way.lacks))
            lacks += [unset, None if own is not None else _unread(thing, "its public access block is not read")]
    return judged(thing, ways, lacks)


def _set(flag: str, own: Any, whole: Any) -> Answer:
    """Whether a flag is on for the bucket or its account; unknown where one was not read and the other is off."""
    if (own or {}).get(flag) or (whole or {}).get(flag):
        return "yes"
    return "unknown" if own is None or whole is None else "no"


def _acl(facts: Facts, thing: Thing, read: bool) -> Way:
    rules = (thing.attributes.get("OwnershipControls") or {}).get("Rules") or ()
    if any(rule.get("ObjectOwnership") == "BucketOwnerEnforced" for rule in rules):
        return closed(facts.step(thing, "has its ACL disabled", "OwnershipControls", "no"))
    acl = thing.attributes.get("Acl")
    if acl is None:
        step = facts.step(thing, "its ACL is not known", "Acl", "unknown")
        return Way("unknown", [INTERNET, step], lacks=[_unread(thing, "its ACL is not read")])
    open_to = {
        str((grant.get("Grantee") or {}).get("URI")): str(grant.get("Permission")) for grant in acl.get("Grants") or ()
    }
    for who, words in ((_ALL_USERS, "everyone"), (_ANY_ACCOUNT, "every AWS account")):
        for uri in who:
            if uri not in open_to:
                continue
            step = facts.step(thing, f"its ACL gives {words} {open_to[uri]}", "Acl.Grants")
            if not rules and not read:  # they may be disabled, which was not read
                return Way("unknown", [INTERNET, step], lacks=[_unread(thing, "its ownership controls are not read")])
            return Way("yes", [INTERNET, step])
    return closed(facts.step(thing, "no grant of its ACL is for everyone", "Acl.Grants", "no"))


# ---- by sharing


def _shared(facts: Facts, thing: Thing) -> Exposure:
    """An image or a snapshot that every AWS account may use."""
    if thing.attributes.get("Public") is True:
        return judged(thing, [Way("yes", [INTERNET, facts.step(thing, "is shared with every AWS account", "Public")])])
    return judged(thing, [closed(facts.step(thing, "is not shared with everyone", "Public", "no"))])


def _database_snapshot(facts: Facts, thing: Thing) -> Exposure:
    told = thing.attributes.get("SnapshotAttributes")
    if told is None and thing.attributes.get("SnapshotType") == "manual":
        return judged(thing, [], [_unread(thing, "who may restore it is not read")])
    for each in told or ():
        if each.get("AttributeName") == "restore" and "all" in (each.get("AttributeValues") or ()):
            step = facts.step(thing, "every AWS account may restore it", "SnapshotAttributes")
            return judged(thing, [Way("yes", [INTERNET, step])])
    return judged(thing, [closed(facts.step(thing, "not everyone may restore it", "SnapshotAttributes", "no"))])


def _asked_key(thing: Thing) -> bool:
    """Whether its policy was not asked for: AWS's own keys admit what AWS wrote."""
    return "Policy" not in thing.attributes and thing.attributes.get("KeyManager") != "AWS"


JUDGES: dict[str, Judge] = {
    "aws_ec2_instance": _instance,
    "aws_ec2_network_interface": _interface,
    **dict.fromkeys((*BALANCERS, CLASSIC), _balancer),
    "aws_rds_db_instance": _database,
    "aws_lambda_function": _function,
    "aws_lambda_function_url": _function_url,
    "aws_api_gateway_rest_api": _rest_api,
    "aws_api_gatewayv2_api": _http_api,
    "aws_cloudfront_distribution": _distribution,
    "aws_eks_cluster": _cluster,
    "aws_opensearch_domain": _search,
    "aws_s3_bucket": _bucket,
    "aws_sqs_queue": _policy("Policy"),
    "aws_sns_topic": _policy("Policy", unless=lambda thing: "Policy" not in thing.attributes),
    "aws_kms_key": _policy("Policy", unless=_asked_key),
    "aws_secretsmanager_secret": _policy("ResourcePolicy"),
    "aws_ecr_repository": _policy("policy"),
    "aws_ec2_ami": _shared,
    "aws_ebs_snapshot": _shared,
    "aws_rds_db_snapshot": _database_snapshot,
    "aws_rds_db_cluster_snapshot": _database_snapshot,
}
"""Type -> how its exposure is judged."""
