"""What the members of an item tell by their names and shapes: identity, tags, relations, noise and secrets."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from uwu.domains.inventory.catalog import names
from uwu.domains.inventory.catalog.model import NO_IDENTITY, Told

Shapes = Mapping[str, Any]

_DEPTH = 3
_TAGS = frozenset({"tags", "taglist", "tagset", "tagsmap", "tagsmodel", "resourcetags"})

_IDS: tuple[tuple[str, str, str], ...] = (
    (r"(.*_)?vpc_?id(entifier)?", "inVpc", "vpc"),
    (r"(.*_)?subnet(_?id(entifier)?)?", "inSubnet", "subnet"),
    (r"(.*_)?security_group(_?id(entifier)?)?|(.*_)?sg_id", "hasSecurityGroup", "security-group"),
    (r"(.*_)?(network_interface|eni)_id", "attachedTo", "network-interface"),
    (r"(ec2_|source_|target_)?instance_id", "attachedTo", "instance"),
    (r"(source_|ebs_)?volume_id", "attachedTo", "volume"),
    (r"(source_|ebs_)?snapshot_id", "madeFrom", "snapshot"),
    (r"(source_|amazon_machine_)?image_id|ami_id", "usesImage", "image"),
    (r"(.*_)?transit_gateway_id", "attachedTo", "transit-gateway"),
    (r"internet_gateway_id", "attachedTo", "internet-gateway"),
    (r"nat_gateway_id", "attachedTo", "natgateway"),
    (r"(.*_)?(vpn|virtual_private|virtual)_gateway_id", "attachedTo", "vpn-gateway"),
    (r"customer_gateway_id", "attachedTo", "customer-gateway"),
    (r"(.*_)?vpc_endpoint_id", "reachableThrough", "vpc-endpoint"),
    (r"(.*_)?prefix_list_id", "usesPrefixList", "prefix-list"),
    (r"(.*_)?route_table_id", "inRouteTable", "route-table"),
    (r"launch_template_id", "usesLaunchTemplate", "launch-template"),
    (r"(.*_)?allocation_id", "hasAddress", "elastic-ip"),
    (r"(.*_)?(kms|encryption|cmk|cmek|sse).*_key(_?(id|arn|identifier))?|kms_(key_)?(id|arn)", "encryptedBy", "kms"),
    (r"(.*_)?(s3_)?bucket(_?name)?|(.*_)?s3_bucket(_?name)?", "usesBucket", "bucket"),
    (r"(.*_)?log_group(_?name)?", "logsTo", "log-group"),
)
"""Member -> the kind of relation and what its values are."""

_ARNS: tuple[tuple[str, str], ...] = (
    (r"(.*_)?(execution|task_execution|instance|service_access)_role(_?arn)?", "startedBy"),
    (r"(.*_)?role(_?arn)?", "runsAs"),
    (r"(.*_)?(sns_)?topic(_?arn)?", "notifies"),
    (r"(.*_)?certificate(_authority)?_arn", "usesCertificate"),
    (r"(.*_)?secret(s_manager.*)?_?(arn|id)", "usesSecret"),
    (r"(.*_)?(lambda|function)(_function)?_?arn", "invokes"),
    (r"(.*_)?log_group_arn|(.*_)?log_destination", "logsTo"),
    (r"(.*_)?cluster_arn", "inCluster"),
    (r"(.*_)?load_balancer_arn", "attachedTo"),
    (r"(.*_)?target_group_arn", "inTargetGroup"),
    (r"(.*_)?instance_profile_arn", "hasInstanceProfile"),
    (r"(.*_)?permissions?_boundary(_arn)?", "boundedBy"),
    (r"(.*_)?policy_arn", "hasPolicy"),
    (r"(.*_)?(web_acl|firewall_policy|rule_group)_arn", "protectedBy"),
    (r"(.*_)?(delivery_stream|destination)_arn", "deliversTo"),
    (r"(.*_)?source_arn", "readsFrom"),
    (r"(.*_)?target_arn", "targets"),
    (r"(.*_)?.*_?arn", "refersTo"),
)

_EC2 = {
    "address": "elastic-ip",
    "dhcp_option": "dhcp-options",
    "flow_log": "vpc-flow-log",
    "host": "dedicated-host",
    "ipv6_pool": "ipv6pool-ec2",
    "managed_prefix_list": "prefix-list",
    "nat_gateway": "natgateway",
    "public_ipv4_pool": "ipv4pool-ec2",
    "reserved_instance": "reserved-instances",
    "spot_instance_request": "spot-instances-request",
    "transit_gateway_peering_attachment": "transit-gateway-attachment",
    "transit_gateway_vpc_attachment": "transit-gateway-attachment",
    "vpc_endpoint_service_configuration": "vpc-endpoint-service",
}
"""What EC2's ARNs call a thing otherwise than its lists."""

_NOISE = re.compile(
    r"(^|_)last_(\w+_)?(used|use|access(ed)?|seen|activity|login|ping|heartbeat|event|invoked|invocation|evaluat\w+|sync\w*|"
    r"refresh\w*|run|execut\w+|check\w*|scan\w*|connect\w*|contact\w*|report\w*|authenticat\w+|observ\w+|success\w*|"
    r"fail\w*|deliver\w*|attempt\w*|backup|crawl|stopped|started|restorable)(_|$)|"
    r"(^|_)(earliest|latest)_restorable|latest_\w*(execution|backup)_?(time|date)$|"
    r"^(running|pending|active|failed|succeeded|completed|available|approximate|processed|used|registered|in_progress|"
    r"current|unhealthy|healthy|connected)_\w*(count|number|bytes?|size)$|"
    r"^(item|object|record|file|document|finding|error|failure|message|hit|usage|row|image|event|execution|run)_count$|"
    r"^(stored|used|consumed|billable|free|remaining)_(\w+_)?(byte|storage|space|capacity)|"
    r"^(table|index|data|storage|repository)_size(_in)?(_byte)?$|^size_in_byte$|"
    r"percent(age)?_?(complete|progress)$|^progress$|_progress(_percent\w*)?$|^(uptime\w*|elapsed\w*)$|"
    r"status_\w*(time|timestamp|date|at)$|^next_(\w+_)?(time|date|run|execution|scheduled\w*)$|^age(_in_\w+)?$"
)
_PLAIN = re.compile(r"(description|comment|message|reason|arn|_id|_type|status)$")
"""What models call sensitive now and then, and is not."""
_SECRET = re.compile(
    r"passw|secret(?!s?_?(arn|id|name|manager|store|version|rotation|type|status))|(^|_)(auth|access|api|bearer|session|"
    r"refresh|security|oauth)_token$|^token$|api_?key(_value)?$|access_key$|private_key|key_material|user_?data$|credential(?!_?(arn|id|name|type|provider))|"
    r"^environment(_variable)?$|environment_variable|connection_string|^(auth|default)_?(parameter|value)$|"
    r"parameter_value$|community_string|shared_key|pre_shared|client_secret"
)


class Identity(NamedTuple):
    """Which members name an item."""

    id: str
    arn: str
    name: str
    tags: str
    created: str


def members(shapes: Shapes, shape: str) -> Mapping[str, Any]:
    """The members of a structure by name; none of anything else."""
    return shapes[shape].get("members", {}) if shapes[shape]["type"] == "structure" else {}


def kind(shapes: Shapes, reference: Mapping[str, Any]) -> str:
    return shapes[reference["shape"]]["type"]


def identity(shapes: Shapes, shape: str, noun: str, kinds: Collection[str] = ()) -> Identity:
    """How an item of ``noun`` is named. ``id`` is empty where the ARN does, ``NO_IDENTITY`` where nothing does.

    A service that names things by its own kinds (EC2) gives them in ``kinds``: their ARN follows from the id.
    """
    held = members(shapes, shape)
    texts = {
        name: names.member(name) for name, ref in held.items() if kind(shapes, ref) in {"string", "integer", "long"}
    }
    short = noun.rpartition("_")[2]
    tails = [noun, noun.partition("_")[2], short]
    arn = _first(
        texts, [*(f"{tail}_arn" for tail in tails if tail), "arn", "resource_arn" if noun == "resource" else "arn"]
    )
    arn = arn or next((n for n, plain in texts.items() if plain.endswith("_arn") and _names(plain, noun)), "")
    wide = [f"{tail}_{end}" for end in ("id", "identifier") for tail in tails if tail]
    id = _first(texts, [*wide, "id", "identifier"])
    named = [f"{tail}_name" for tail in tails if tail]
    name = _first(texts, [*named, "name", noun, short, "display_name", "title"])
    name = name or next((n for n, plain in texts.items() if plain.endswith("_name") and same(plain, noun)), "")
    if not id and not arn:
        id = name or next(
            (n for n, plain in texts.items() if plain.endswith(("_id", "_identifier")) and _names(plain, noun)), ""
        )
    if not id and not arn:
        only = [n for n, plain in texts.items() if plain.endswith(("_id", "_name", "_arn", "_key", "_identifier"))]
        id = only[0] if len(only) == 1 else ""
    required = [n for n in shapes[shape].get("required", ()) if n in texts]
    if not id and not arn:
        first = next(iter(held), "")
        told = texts.get(first, "").endswith(("_id", "_arn", "_identifier"))
        id = required[0] if len(required) == 1 else first if told else NO_IDENTITY
    ec2 = _EC2.get(noun, noun.replace("_", "-"))
    if not arn and id and ec2 in kinds:
        arn = f"~{ec2}"
    times = [n for n, ref in held.items() if kind(shapes, ref) == "timestamp"]
    created = next((n for n in times if re.match(r"creat|launch|start|add|regist|issued|request", names.member(n))), "")
    return Identity(id, arn, name or (id if id != NO_IDENTITY else ""), tags_of(shapes, held), created)


def _first(texts: Mapping[str, str], wanted: Sequence[str]) -> str:
    for plain in wanted:
        for name, told in texts.items():
            if told == plain:
                return name
    return ""


def same(one: str, noun: str) -> bool:
    """Whether ``one`` (``cache_cluster_id``) speaks of ``noun`` (``cluster``)."""
    words, about = _words(one), _words(noun)
    return bool(words) and (set(words) <= set(about) or set(about) <= set(words))


def _names(one: str, noun: str) -> bool:
    """Whether ``one`` names ``noun`` itself: an ``extension_arn`` does not name an ``extension_association``."""
    words, about = _words(one), _words(noun)
    return same(one, noun) and words[-1] == about[-1]


def _words(plain: str) -> list[str]:
    return [names.singular(word) for word in plain.split("_") if word not in {"id", "arn", "name", "identifier"}]


def tags_of(shapes: Shapes, held: Mapping[str, Any]) -> str:
    for name, ref in held.items():
        if name.lower().replace("_", "") not in _TAGS:
            continue
        shape = shapes[ref["shape"]]
        if shape["type"] == "map":
            return name
        if shape["type"] == "list":
            pair = {n.lower() for n in members(shapes, shape["member"]["shape"])}
            if {"key", "value"} <= pair or {"tagkey", "tagvalue"} <= pair:
                return name
    return ""


def walk(
    shapes: Shapes, shape: str, path: str = "", depth: int = 0
) -> Iterator[tuple[str, str, str, Mapping[str, Any]]]:
    """(path, member, plain name, shape) of every text below ``shape``; the path of a list of texts ends in ``[]``."""
    for name, ref in members(shapes, shape).items():
        told = shapes[ref["shape"]]
        here = f"{path}{name}"
        if told["type"] == "list":
            inner = told["member"]["shape"]
            told, here = shapes[inner], f"{here}[]"
            target = inner
        else:
            target = ref["shape"]
        if told["type"] == "structure" and depth < _DEPTH:
            yield from walk(shapes, target, f"{here}.", depth + 1)
        elif told["type"] == "string":
            yield here, name, names.member(name), told


def links(shapes: Shapes, shape: str, own: Identity, noun: str) -> tuple[Told, ...]:
    """The relations that the members of an item tell."""
    found: dict[str, Told] = {}
    for path, name, plain, told in walk(shapes, shape):
        if path in {own.arn, own.id, own.name} or told.get("enum") or "-" in name:
            continue
        to = next(((kind, to) for form, kind, to in _IDS if re.fullmatch(form, plain)), None)
        if to is None and re.search(r"_?arn$|role$", plain):
            to = next(((kind, "arn") for form, kind in _ARNS if re.fullmatch(form, plain)), None)
        if to is None or (to[1] == noun.replace("_", "-") and "." not in path):
            continue
        if to[0] == "refersTo" and ("." in path or plain.startswith(("latest_", "active_", "current_", "last_"))):
            continue
        found[path] = Told(to[0], path, to[1])
    return tuple(sorted(found.values(), key=lambda told: (told.path.count("."), told.path))[:24])


def noise(shapes: Shapes, shape: str, own: Identity) -> tuple[str, ...]:
    """The members that change though nobody changes the resource."""
    taken = {own.id, own.arn, own.name, own.tags}
    return tuple(
        sorted(
            n
            for n in members(shapes, shape)
            if n not in taken and (n.lower() == "statistics" or _NOISE.search(names.member(n)))
        )
    )


def secrets(shapes: Shapes, shape: str, own: Identity) -> tuple[str, ...]:
    """The members that may hold a secret: by their name, or because the model calls them sensitive."""
    taken = {own.id, own.arn, own.name, own.tags}
    found: set[str] = set()
    pending, seen = [(shape, 0)], {shape}
    while pending:
        here, depth = pending.pop()
        for name, ref in members(shapes, here).items():
            told = shapes[ref["shape"]]
            target = ref["shape"]
            while told["type"] == "list":
                target = told["member"]["shape"]
                told = shapes[target]
            if told["type"] not in {"string", "structure", "map", "blob"}:
                continue
            texts = told["type"] != "string" or not told.get("enum")
            plain = names.member(name)
            hidden = _SECRET.search(plain) or told.get("sensitive")
            if name not in taken and texts and hidden and not _PLAIN.search(plain):
                found.add(name)
            elif told["type"] == "structure" and depth < _DEPTH + 1 and target not in seen:
                seen.add(target)
                pending.append((target, depth + 1))
    return tuple(sorted(found))
