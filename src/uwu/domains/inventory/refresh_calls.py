"""Which call reads exactly one resource: by hand where its shape differs from the list's, else derived from the model.

Derived: the list's own call with the argument that takes ids (``InstanceIds``, ``DBInstanceIdentifier``), or a Get or
Describe that needs nothing but the id, or the list itself where that is short.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from uwu.domains.inventory.model import Item, Scope, Spec
from uwu.kernel import urns
from uwu.kernel.model import Resource


@dataclass(frozen=True)
class Asked:
    """A resource that is to be read by itself, and what is known of it."""

    scope: Scope
    urn: str
    known: Resource | None
    """As it was read last; None where it was not seen before."""
    related: tuple[str, ...] = ()
    """What its events named in passing: the user of an access key."""
    attributes_of: Callable[[str], Mapping[str, Any]] = lambda _urn: {}
    """What the graph holds of another resource; nothing where it is not there."""

    @property
    def tail(self) -> str:
        """The last part of the urn."""
        return urns.short(self.urn)

    @property
    def rest(self) -> str:
        """What comes after the account and region."""
        parts = urns.parse(self.urn)
        return parts.resource if parts is not None else self.urn.split(":", 7)[-1]

    def member(self, name: str) -> str:
        """The text that is known as ``name``; empty for none."""
        value = self.known.attributes.get(name) if self.known is not None else None
        return value if isinstance(value, str) else ""


@dataclass(frozen=True)
class One:
    """How one resource's own item is had."""

    operation: str = ""
    """Empty where ``given`` is the item: then the spec's further calls tell whether it is there."""
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])
    path: str = ""
    """JMESPath of the items in the answer."""
    given: Item | None = None
    kept: Callable[[Item], Mapping[str, Any]] = lambda _item: {}
    """Members of its parent that the list would have put into it."""
    without: frozenset[str] = frozenset()
    """Members that the list does not give; what is known of them stays."""
    where: Callable[[Item], bool] = lambda _item: True
    """Which item the list would give: not one that waits for its end."""
    pages: int = 1
    """How many pages may be asked for, until it is found."""
    proven: bool = True
    """That it is not found means that it is gone; false where the id was guessed."""


Reads = Callable[[Asked], One | None]
"""From a resource to how it is read; None where that cannot be told."""

SCAN_PAGES = 3
"""A list is read through for one resource where it takes no more pages."""


# ---- by hand


def _given(**members: Callable[[Asked], str]) -> Reads:
    """The item follows from the urn."""

    def read(asked: Asked) -> One | None:
        item = {name: of(asked) for name, of in members.items()}
        return One(given=item) if all(item.values()) else None

    return read


def _urn(asked: Asked) -> str:
    return asked.urn


def _tail(asked: Asked) -> str:
    return asked.tail


def _name(asked: Asked) -> str:
    """What follows the kind, colons and all: automated snapshots are ``rds:orders-2026-11-23``."""
    return asked.rest.partition(":")[2]


def _call(operation: str, path: str, *, without: Iterable[str] = (), **arguments: Callable[[Asked], Any]) -> Reads:
    def read(asked: Asked) -> One | None:
        given = {name: of(asked) for name, of in arguments.items()}
        return One(operation, given, path, without=frozenset(without)) if all(given.values()) else None

    return read


def _list(operation: str, path: str, **arguments: Any) -> Reads:
    """The list, narrowed as far as it can be."""
    return lambda _asked: One(operation, arguments, path, pages=SCAN_PAGES)


def _bucket(asked: Asked) -> One:
    # buckets come in the order of their names: with the whole name as the prefix it is the first
    path = "Buckets[].{Name: Name, CreationDate: CreationDate, BucketArn: BucketArn, Region: BucketRegion}"
    return One("ListBuckets", {"Prefix": asked.rest, "MaxBuckets": 1}, path)


def _secret(asked: Asked) -> One:
    return One(
        "DescribeSecret",
        {"SecretId": asked.urn},
        "[merge(@, {SecretVersionsToStages: VersionIdsToStages})]",
        without=frozenset({"VersionIdsToStages", "ReplicationStatus"}),
        where=lambda item: not item.get("DeletedDate"),
    )


_OF_GET_FUNCTION = (
    "State",
    "StateReason",
    "StateReasonCode",
    "LastUpdateStatus",
    "LastUpdateStatusReason",
    "LastUpdateStatusReasonCode",
    "RuntimeVersionConfig",
)
"""What ListFunctions leaves out (Lambda API Reference, "ListFunctions")."""

_RECORD_TYPES = frozenset(
    "A AAAA CAA CNAME DS HTTPS MX NAPTR NS PTR SOA SPF SRV SSHFP SVCB TLSA TXT".split()  # noqa: SIM905
)


def _record(asked: Asked) -> One | None:
    zone, _, rest = asked.rest.partition("/")
    parts = rest.split("/")
    at = next((i for i in (len(parts) - 1, len(parts) - 2) if i > 0 and parts[i] in _RECORD_TYPES), 0)
    if not at:
        return None
    start = {"StartRecordName": "/".join(parts[:at]), "StartRecordType": parts[at]}
    if parts[at + 1 :]:
        start["StartRecordIdentifier"] = "/".join(parts[at + 1 :])
    held = asked.attributes_of(urns.arn("route53", f"hostedzone/{zone}", partition=asked.scope.partition))
    kept = {"HostedZoneId": held.get("Id") or f"/hostedzone/{zone}", "_zone_name": held.get("Name", "")}
    return One(
        "ListResourceRecordSets",
        {"HostedZoneId": zone, **start, "MaxItems": "1"},
        "ResourceRecordSets",
        kept=lambda _item: kept,
    )


def _queue(asked: Asked) -> One:
    url = asked.member("QueueUrl")
    if url:
        return One(given={"QueueUrl": url})
    return One("GetQueueUrl", {"QueueName": asked.tail}, "[{QueueUrl: QueueUrl}]")


def _api_child(version: int, operation: str, **arguments: int | str) -> Reads:
    """``/apis/ID/kind/NAME``: numbers are places in it; ``_METHODS`` asks for what a list embeds."""

    def read(asked: Asked) -> One | None:
        places = asked.rest.lstrip("/").split("/", 3)
        if len(places) < 2 or len(places) <= max(at for at in arguments.values() if isinstance(at, int)):
            return None
        given: dict[str, Any] = {name: places[at] for name, at in arguments.items() if isinstance(at, int)}
        if _METHODS in arguments.values():
            given["embed"] = ["methods"]
        if len(places) == 2:
            return One(operation, given, "[@]")
        held = asked.attributes_of(urns.arn("apigateway", f"/{places[0]}/{places[1]}", region=asked.scope.region))
        kept = {"ApiId": places[1], "_api": held.get("name" if version == 1 else "Name")}
        return One(operation, given, "[@]", kept=lambda _item: kept)

    return read


_METHODS = "methods"


def _web_acl(asked: Asked) -> One | None:
    parts = asked.rest.split("/")
    if len(parts) != 4 or parts[0] != "regional":
        return None
    return One(given={"ARN": asked.urn, "Name": parts[2], "Id": parts[3]})


def _function_url(asked: Asked) -> One:
    name = asked.rest.split(":", 1)[0]
    return One(
        "ListFunctionUrlConfigs", {"FunctionName": name}, "FunctionUrlConfigs", kept=lambda _item: {"_name": name}
    )


def _subscription(asked: Asked) -> One | None:
    topic = asked.urn.rpartition(":")[0] if asked.urn.startswith("arn:") else asked.rest.split("/", 1)[0]
    if ":sns:" not in topic:
        return None
    return One("ListSubscriptionsByTopic", {"TopicArn": topic}, "Subscriptions", pages=SCAN_PAGES)


def _event_rule(asked: Asked) -> One:
    bus, _, name = asked.rest.removeprefix("rule/").rpartition("/")
    of = urns.arn("events", f"event-bus/{bus or 'default'}", account=asked.scope.account, region=asked.scope.region)
    asks = {"NamePrefix": name, "EventBusName": bus or "default"}
    return One("ListRules", asks, "Rules", kept=lambda _item: {"_bus": of}, pages=SCAN_PAGES)


def _listener(asked: Asked) -> One:
    def kept(item: Item) -> Mapping[str, Any]:
        return {"_balancer": asked.attributes_of(str(item.get("LoadBalancerArn"))).get("LoadBalancerName")}

    return One("DescribeListeners", {"ListenerArns": [asked.urn]}, "Listeners", kept=kept)


def _ecs_service(asked: Asked) -> One | None:
    cluster, parts = asked.member("clusterArn"), asked.rest.split("/")
    if not cluster and len(parts) == 3:
        cluster = f"{asked.urn.partition(':service/')[0]}:cluster/{parts[1]}"
    return One(given={"serviceArn": asked.urn, "_cluster": cluster}) if cluster else None


def _access_key(asked: Asked) -> One | None:
    users = [urn for urn in asked.related if ":user/" in urn]
    name = asked.member("UserName") or (urns.short(users[0]) if users else "")
    if not name:
        return None
    root = urns.iam("user", name, account=asked.scope.account, partition=asked.scope.partition)
    of = users[0] if users else root
    return One("ListAccessKeys", {"UserName": name}, "AccessKeyMetadata", kept=lambda _item: {"_user_arn": of})


def _instance_profile(asked: Asked) -> One:
    path = (
        "[InstanceProfile][].{Arn: Arn, InstanceProfileName: InstanceProfileName, Path: Path, "
        "InstanceProfileId: InstanceProfileId, CreateDate: CreateDate, Roles: Roles[].{Arn: Arn, RoleName: RoleName}}"
    )
    return One("GetInstanceProfile", {"InstanceProfileName": asked.tail}, path)


def _iam(kind: str, path: str) -> Reads:
    """The report of one kind alone; the pages hold a thousand each."""
    return _list("GetAccountAuthorizationDetails", path, Filter=[kind], MaxItems=1000)


BY_HAND: Mapping[str, Reads] = {
    "aws_s3_bucket": _bucket,
    "aws_s3_account_settings": _given(AccountId=lambda asked: asked.scope.account),
    "aws_kms_key": _given(KeyId=_tail, KeyArn=_urn),
    "aws_secretsmanager_secret": _secret,
    "aws_lambda_function": _call("GetFunctionConfiguration", "[@]", without=_OF_GET_FUNCTION, FunctionName=_urn),
    "aws_lambda_function_url": _function_url,
    "aws_lambda_event_source_mapping": _call("GetEventSourceMapping", "[@]", UUID=_tail),
    "aws_route53_zone": _call("GetHostedZone", "[HostedZone]", Id=_tail),
    "aws_route53_record": _record,
    "aws_rds_db_snapshot": _call("DescribeDBSnapshots", "DBSnapshots", DBSnapshotIdentifier=_name),
    "aws_rds_db_cluster_snapshot": _call(
        "DescribeDBClusterSnapshots", "DBClusterSnapshots", DBClusterSnapshotIdentifier=_name
    ),
    "aws_sqs_queue": _queue,
    "aws_sns_topic": _given(TopicArn=_urn),
    "aws_sns_topic_subscription": _subscription,
    "aws_acm_certificate": _given(CertificateArn=_urn),
    "aws_cloudformation_stack": _call("DescribeStacks", "Stacks", StackName=_urn),
    "aws_cloudfront_distribution": _list("ListDistributions", "DistributionList.Items"),
    "aws_api_gateway_rest_api": _api_child(1, "GetRestApi", restApiId=1),
    "aws_api_gateway_stage": _api_child(1, "GetStage", restApiId=1, stageName=3),
    "aws_api_gateway_resource": _api_child(1, "GetResource", restApiId=1, resourceId=3, embed=_METHODS),
    "aws_api_gatewayv2_api": _api_child(2, "GetApi", ApiId=1),
    "aws_api_gatewayv2_stage": _api_child(2, "GetStage", ApiId=1, StageName=3),
    "aws_api_gatewayv2_integration": _api_child(2, "GetIntegration", ApiId=1, IntegrationId=3),
    "aws_api_gatewayv2_domain_name": _call("GetDomainName", "[@]", DomainName=_tail),
    "aws_wafv2_web_acl": _web_acl,
    "aws_eventbridge_rule": _event_rule,
    "aws_ec2_load_balancer_listener": _listener,
    "aws_ecs_cluster": _given(clusterArn=_urn),
    "aws_ecs_service": _ecs_service,
    "aws_ecs_task_definition": _given(taskDefinitionArn=_urn),
    "aws_eks_cluster": _given(name=_tail),
    "aws_opensearch_domain": _list("ListDomainNames", "DomainNames"),
    "aws_iam_role": _iam("Role", "RoleDetailList"),
    "aws_iam_user": _iam("User", "UserDetailList"),
    "aws_iam_group": _iam("Group", "GroupDetailList"),
    "aws_iam_policy": _iam("LocalManagedPolicy", "Policies"),
    "aws_iam_instance_profile": _instance_profile,
    "aws_iam_access_key": _access_key,
    "aws_iam_open_id_connect_provider": _given(Arn=_urn),
    "aws_iam_saml_provider": _list("ListSAMLProviders", "SAMLProviderList"),
}


# ---- derived


class _Probe(dict[str, Any]):
    """An item of which every member is its own name in brackets; notes which were asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def __missing__(self, key: str) -> str:
        self.asked.append(key)
        return f"<{key}>"

    def get(self, key: str, _default: Any = None, /) -> Any:
        return self[key]


def identity(spec: Spec, scope: Scope) -> tuple[str, str]:
    """(the member from which the urn of ``spec`` is made, the urn with that member's name in brackets).

    Both are empty where it is made of several, or of none that can be told.
    """
    probe = _Probe()
    try:
        urn = spec.urn(scope, probe)
    except Exception:  # what a namer does with a text that is no id is its own affair
        return "", ""
    used = [name for name in dict.fromkeys(probe.asked) if f"<{name}>" in urn]
    return (used[0], urn) if len(used) == 1 and urn.count(f"<{used[0]}>") == 1 else ("", "")


def value_in(urn: str, pattern: str, name: str) -> str:
    """What stands in ``urn`` where ``pattern`` has ``<name>``; empty where it does not fit."""
    before, _, after = pattern.partition(f"<{name}>")
    fits = urn.startswith(before) and urn.endswith(after) and len(urn) > len(before) + len(after)
    return urn[len(before) : len(urn) - len(after)] if fits else ""


_WORDS = re.compile(r"[^a-z0-9]")


def _norm(name: str) -> str:
    return _WORDS.sub("", name.lower())


def _forms(name: str) -> set[str]:
    """A member's name and what an argument that takes many of it is called: ``VpcId`` -> ``VpcIds``, ``VpcIdList``."""
    norm = _norm(name)
    plural = norm[:-1] + "ies" if norm.endswith("y") else norm + "s"
    return {norm, plural, f"{norm}list", f"{plural}list"}


def argument_for(model: Any, operation: str, names: Iterable[str]) -> tuple[str, str, bool]:
    """(argument of ``operation``, which of ``names`` it takes, whether it takes a list); empty where there is none."""
    shape = model.operation_model(operation).input_shape
    members: Mapping[str, Any] = shape.members if shape is not None else {}
    for name in names:
        forms = _forms(name) if name else set()
        for argument, of in members.items():
            many = of.type_name == "list" and of.member.type_name == "string"
            if _norm(argument) in forms and (many or of.type_name == "string"):
                return argument, name, many
    return "", "", False


def derived(spec: Spec, asked: Asked, model: Any) -> One | None:
    """How a resource of ``spec`` is read, from botocore's model of its service; None where no call is to be found."""
    if not spec.operation:
        return _given(AccountId=lambda each: each.scope.account)(asked)
    if spec.service == "cloudcontrol":
        return _cloud_control(asked)
    member, pattern = identity(spec, asked.scope)
    label = spec.label if spec.label.isidentifier() and not spec.label.startswith("_") else ""
    values = {name: _value(asked, name, pattern if name == member else "") for name in (member, label) if name}
    names = [name for name in values if values[name][0]]
    argument, name, many = argument_for(model, spec.operation, names)
    if argument:
        value, sure = values[name]
        given = {**_narrowable(spec), argument: [value] if many else value}
        return One(spec.operation, given, spec.path, kept=_kept(spec, asked), proven=sure)
    return _getter(spec, model, values) or _scan(spec, model)


def _value(asked: Asked, member: str, pattern: str) -> tuple[str, bool]:
    """(the value of ``member``, whether AWS itself gave it)."""
    known = asked.member(member)
    if known:
        return known, True
    if pattern:
        found = value_in(asked.urn, pattern, member)
        return found, bool(found) and found != asked.urn
    return ("", False) if asked.urn.startswith("urn:") else (asked.tail, False)


def _narrowable(spec: Spec) -> dict[str, Any]:
    """The spec's own arguments but for the size of a page: with ids EC2 refuses it."""
    return {name: value for name, value in spec.arguments.items() if not isinstance(value, int)}


def _kept(spec: Spec, asked: Asked) -> Callable[[Item], Mapping[str, Any]]:
    """Members of the parent: as they are known."""
    if spec.under is None:
        return lambda _item: {}
    names = [name for name in spec.under.keep if not name.startswith("_")]
    known = asked.known.attributes if asked.known is not None else {}
    return lambda _item: {name: known[name] for name in names if name in known}


def _getter(spec: Spec, model: Any, values: Mapping[str, tuple[str, bool]]) -> One | None:
    """A Get or Describe that needs the id alone, and whose answer is or holds an item of the list's own shape."""
    item = _item_shape(spec, model)
    if item is None or spec.under is not None:
        return None
    for operation in model.operation_names:
        if not operation.startswith(("Get", "Describe")):
            continue
        of = model.operation_model(operation)
        needs = list(of.input_shape.required_members) if of.input_shape is not None else []
        if len(needs) != 1 or of.output_shape is None:
            continue
        argument, name, many = argument_for(model, operation, [n for n in values if values[n][0]])
        if argument != needs[0]:
            continue
        path = _path_of(of.output_shape, item)
        if path:
            value, sure = values[name]
            return One(operation, {argument: [value] if many else value}, path, proven=sure)
    return None


def _item_shape(spec: Spec, model: Any) -> Any:
    """The shape of one of the list's items; None where ``path`` is more than member names."""
    shape = model.operation_model(spec.operation).output_shape
    for name in spec.path.split("."):
        name = name.removesuffix("[]")
        if shape is None or shape.type_name != "structure" or name not in shape.members:
            return None
        shape = shape.members[name]
        if shape.type_name == "list":
            shape = shape.member
    return shape if shape is not None and shape.type_name == "structure" else None


def _path_of(output: Any, item: Any) -> str:
    """Where an answer holds an item of that shape: the very same, else its versions would differ by who asked."""
    if output.name == item.name:
        return "[@]"
    return next((f"[{name}]" for name, of in output.members.items() if of.name == item.name), "")


def _scan(spec: Spec, model: Any) -> One | None:
    """The list itself, through few pages."""
    shape = model.operation_model(spec.operation).input_shape
    if spec.under is not None or (shape is not None and not set(shape.required_members) <= spec.arguments.keys()):
        return None
    return One(spec.operation, spec.arguments, spec.path, pages=SCAN_PAGES)


def _cloud_control(asked: Asked) -> One | None:
    """The list tells the identifier alone; GetResource, which the spec asks of each, the rest."""
    identifier = asked.member("Identifier") or ("" if asked.urn.startswith("arn:") else asked.rest)
    return One(given={"Identifier": identifier}) if identifier else None


def one(spec: Spec, asked: Asked, model: Callable[[], Any]) -> One | None:
    """How ``asked`` is read. ``model`` gives botocore's ServiceModel, which takes a while the first time."""
    by_hand = BY_HAND.get(spec.name)
    return by_hand(asked) if by_hand is not None else derived(spec, asked, model())


# ---- joins

_BY_FILTER = {
    ("DescribeInstances", "InstanceId"): "instance-id",
    ("DescribeSnapshots", "SnapshotId"): "snapshot-id",
}
"""Where an id that is not there must give nothing, and no error."""


def narrowed(
    model: Any, operation: str, arguments: Mapping[str, Any], names: Iterable[str], value: str
) -> dict[str, Any]:
    """The arguments of a join's list by which it gives what concerns ``value`` alone; else as they are."""
    names = list(names)
    for name in names:
        by = _BY_FILTER.get((operation, name))
        if by:
            return {**arguments, "Filters": [{"Name": by, "Values": [value]}]}
    argument, _, many = argument_for(model, operation, names)
    return {**arguments, argument: [value] if many else value} if argument else dict(arguments)
