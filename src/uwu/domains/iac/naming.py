"""From a Terraform type and its attributes to the type and the urn under which the resource is observed."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from uwu.domains.iac.state import Instance, State
from uwu.kernel import urns

Attributes = Mapping[str, Any]


@dataclass
class Scope:
    """The account and region of one provider configuration, and the names that all states know."""

    account: str = ""
    region: str = ""
    known: Mapping[str, str] = field(default_factory=dict)
    """An id such as ``sg-0abc``, or ``<account>/role/<name>``, to the urn that a state gives it."""

    @property
    def partition(self) -> str:
        return urns.partition_of(self.region)

    def ec2(self, kind: str, id: str, region: str = "") -> str:
        region = region or self.region
        if id in self.known:
            return self.known[id]
        if not id or not region or not (self.account or kind == "image"):
            return ""
        return urns.ec2(kind, id, account=self.account, region=region)

    def iam(self, kind: str, name: str) -> str:
        """The role or user of ``name``; its path is known where a state declares it."""
        if not name or not self.account:
            return ""
        known = self.known.get(f"{self.account}/{kind}/{name}")
        return known or urns.iam(kind, name, account=self.account, partition=self.partition)


Name = Callable[[Attributes, Scope], str]


@dataclass(frozen=True)
class Kind:
    """How a Terraform type is named. ``part`` is true for one that sets a part of another resource."""

    type: str = ""
    name: Name | None = None
    part: bool = False


def _text(attributes: Attributes, *names: str) -> str:
    """The first of ``names`` that is set."""
    return next((str(attributes[name]) for name in names if attributes.get(name)), "")


def _region(attributes: Attributes) -> str:
    """The region that the provider (6 and later) writes beside the attributes."""
    value = attributes.get("region")
    return value if isinstance(value, str) else ""


def _ec2(kind: str, *names: str) -> Name:
    return lambda a, scope: scope.ec2(kind, _text(a, *(names or ("id",))), _region(a))


def _iam(kind: str, *names: str) -> Name:
    return lambda a, scope: scope.iam(kind, _text(a, *names))


def _bucket(attributes: Attributes, scope: Scope) -> str:
    name = _text(attributes, "bucket", "id")
    if name.startswith("arn:"):
        return urns.canonical(name)
    return urns.s3_bucket(name, partition=scope.partition) if name else ""


def _settings(service: str, kind: str) -> Name:
    """What each account has once, and AWS gives no ARN."""
    return lambda a, scope: urns.own(service, kind, "settings", account=_text(a, "account_id") or scope.account)


def _target(name: str) -> Name:
    """An attribute that holds the ARN of the resource of which this is a part."""
    return lambda a, _scope: urns.canonical(text) if urns.parse(text := _text(a, name)) else ""


def _region_of_name(attributes: Attributes) -> str:
    """The region in an address's public name: ``ec2-192-0-2-1.eu-west-3.compute.amazonaws.com``."""
    host = _text(attributes, "public_dns").split(".")
    if len(host) > 2 and host[2] == "compute":
        return host[1]
    return "us-east-1" if len(host) > 1 and host[1] == "compute-1" else ""


def _address(attributes: Attributes, scope: Scope) -> str:
    region = _region(attributes) or _region_of_name(attributes)
    return scope.ec2("elastic-ip", _text(attributes, "allocation_id", "id"), region)


def _access_key(attributes: Attributes, scope: Scope) -> str:
    id = _text(attributes, "id")
    return urns.access_key(id, account=scope.account) if id and scope.account else ""


def _zone(attributes: Attributes, scope: Scope) -> str:
    id = _text(attributes, "zone_id", "id").rsplit("/", 1)[-1]
    return urns.arn("route53", f"hostedzone/{id}", partition=scope.partition) if id else ""


def _record(attributes: Attributes, scope: Scope) -> str:
    zone, name, type = (_text(attributes, key) for key in ("zone_id", "fqdn", "type"))
    name = name or _text(attributes, "name")
    if not zone or not name or not type or not scope.account:
        return ""
    set_identifier = _text(attributes, "set_identifier")
    return urns.record_set(zone, name, type, account=scope.account, set_identifier=set_identifier)


def _queue(attributes: Attributes, scope: Scope) -> str:
    """``https://sqs.<region>.amazonaws.com/<account>/<name>``."""
    parts = _text(attributes, "queue_url", "url", "id").split("/")
    if len(parts) < 5:
        return ""
    host = parts[2].split(".")
    region = host[1] if host[0] == "sqs" and len(host) > 3 else scope.region
    return urns.arn("sqs", parts[-1], account=parts[-2], region=region) if region else ""


def _key(attributes: Attributes, scope: Scope) -> str:
    id = _text(attributes, "key_id", "id")
    if urns.parse(id):
        return id
    return urns.arn("kms", f"key/{id}", account=scope.account, region=scope.region) if id and scope.account else ""


def _load_balancer(attributes: Attributes) -> str:
    kind = _text(attributes, "load_balancer_type") or "application"
    return f"aws_ec2_{kind}_load_balancer"


_GROUP = "aws_vpc_security_group"
_ROLE, _USER = "aws_iam_role", "aws_iam_user"
_BUCKET = "aws_s3_bucket"

KINDS: dict[str, Kind] = {
    "aws_instance": Kind("aws_ec2_instance", _ec2("instance")),
    "aws_ebs_volume": Kind("aws_ebs_volume", _ec2("volume")),
    "aws_security_group": Kind(_GROUP, _ec2("security-group")),
    "aws_default_security_group": Kind(_GROUP, _ec2("security-group")),
    "aws_security_group_rule": Kind(_GROUP, _ec2("security-group", "security_group_id"), part=True),
    "aws_vpc_security_group_ingress_rule": Kind(_GROUP, _ec2("security-group", "security_group_id"), part=True),
    "aws_vpc_security_group_egress_rule": Kind(_GROUP, _ec2("security-group", "security_group_id"), part=True),
    "aws_vpc": Kind("aws_vpc", _ec2("vpc")),
    "aws_default_vpc": Kind("aws_vpc", _ec2("vpc")),
    "aws_subnet": Kind("aws_vpc_subnet", _ec2("subnet")),
    "aws_default_subnet": Kind("aws_vpc_subnet", _ec2("subnet")),
    "aws_network_interface": Kind("aws_ec2_network_interface", _ec2("network-interface")),
    "aws_eip": Kind("aws_vpc_eip", _address),
    "aws_ami": Kind("aws_ec2_ami", _ec2("image")),
    "aws_ami_copy": Kind("aws_ec2_ami", _ec2("image")),
    "aws_ami_from_instance": Kind("aws_ec2_ami", _ec2("image")),
    "aws_launch_template": Kind("aws_ec2_launch_template", _ec2("launch-template")),
    "aws_s3_bucket": Kind(_BUCKET, _bucket),
    "aws_s3_account_public_access_block": Kind("aws_s3_account_settings", _settings("s3", "account-settings")),
    "aws_cloudtrail": Kind("aws_cloudtrail_trail"),
    "aws_dynamodb_table": Kind("aws_dynamodb_table"),
    "aws_iam_role": Kind(_ROLE, _iam("role", "name", "id")),
    "aws_iam_role_policy": Kind(_ROLE, _iam("role", "role"), part=True),
    "aws_iam_role_policy_attachment": Kind(_ROLE, _iam("role", "role"), part=True),
    "aws_iam_role_policies_exclusive": Kind(_ROLE, _iam("role", "role_name"), part=True),
    "aws_iam_role_policy_attachments_exclusive": Kind(_ROLE, _iam("role", "role_name"), part=True),
    "aws_iam_user": Kind(_USER, _iam("user", "name", "id")),
    "aws_iam_user_policy": Kind(_USER, _iam("user", "user"), part=True),
    "aws_iam_user_policy_attachment": Kind(_USER, _iam("user", "user"), part=True),
    "aws_iam_policy": Kind("aws_iam_policy", _target("id")),
    "aws_iam_access_key": Kind("aws_iam_access_key", _access_key),
    "aws_db_instance": Kind("aws_rds_db_instance"),
    "aws_rds_cluster_instance": Kind("aws_rds_db_instance"),
    "aws_lambda_function": Kind("aws_lambda_function"),
    "aws_lb": Kind("", _target("id")),
    "aws_alb": Kind("", _target("id")),
    "aws_lb_target_group": Kind("aws_ec2_target_group", _target("id")),
    "aws_alb_target_group": Kind("aws_ec2_target_group", _target("id")),
    "aws_route53_zone": Kind("aws_route53_zone", _zone),
    "aws_route53_record": Kind("aws_route53_record", _record),
    "aws_kms_key": Kind("aws_kms_key", _key),
    "aws_kms_external_key": Kind("aws_kms_key", _key),
    "aws_kms_replica_key": Kind("aws_kms_key", _key),
    "aws_kms_key_policy": Kind("aws_kms_key", _key, part=True),
    "aws_secretsmanager_secret": Kind("aws_secretsmanager_secret", _target("id")),
    "aws_secretsmanager_secret_rotation": Kind("aws_secretsmanager_secret", _target("secret_id"), part=True),
    "aws_secretsmanager_secret_policy": Kind("aws_secretsmanager_secret", _target("secret_arn"), part=True),
    "aws_sqs_queue": Kind("aws_sqs_queue", _queue),
    "aws_sqs_queue_policy": Kind("aws_sqs_queue", _queue, part=True),
    "aws_sqs_queue_redrive_policy": Kind("aws_sqs_queue", _queue, part=True),
    "aws_sns_topic": Kind("aws_sns_topic", _target("id")),
    "aws_sns_topic_policy": Kind("aws_sns_topic", _target("arn"), part=True),
    "aws_acm_certificate": Kind("aws_acm_certificate", _target("id")),
    "aws_cloudformation_stack": Kind("aws_cloudformation_stack", _target("id")),
    "aws_organizations_account": Kind("aws_account"),
    **{
        f"aws_s3_bucket_{part}": Kind(_BUCKET, _bucket, part=True)
        for part in (
            *("accelerate_configuration", "acl", "analytics_configuration", "cors_configuration"),
            *("intelligent_tiering_configuration", "inventory", "lifecycle_configuration", "logging", "metric"),
            *("notification", "object_lock_configuration", "ownership_controls", "policy", "public_access_block"),
            *("replication_configuration", "request_payment_configuration"),
            *("server_side_encryption_configuration", "versioning", "website_configuration"),
        )
    },
}
"""Types whose resources are observed, and types that set a part of one. Any other is named by its ARN if it has one."""

_OWN_NAME = frozenset({"aws_lambda_alias", "aws_s3_object", "aws_s3_bucket_object", "aws_s3_object_copy"})
"""Types whose ARN contains the ARN of another resource and must not be shortened to it."""


def name(type: str, attributes: Attributes, scope: Scope) -> tuple[str, str]:
    """(type as observed, urn); each empty where there is none."""
    kind = KINDS.get(type, Kind())
    observed = _load_balancer(attributes) if type in {"aws_lb", "aws_alb"} else kind.type
    if kind.part:
        return observed, kind.name(attributes, scope) if kind.name is not None else ""
    for key in ("arn", "id"):
        text = attributes.get(key)
        if isinstance(text, str) and urns.parse(text):
            return observed, text if type in _OWN_NAME else urns.canonical(text)
    return observed, kind.name(attributes, scope) if kind.name is not None else ""


def scopes(states: Iterable[tuple[str, State, str, str]]) -> dict[tuple[str, str], Scope]:
    """(source, provider) -> its scope; each state comes with its source and its stack's account and region.

    The account and region of a provider are those that most of its own ARNs hold. What the stack says wins for the
    provider without an alias, which is what the stack speaks of.
    """
    known: dict[str, str] = {}
    found: dict[tuple[str, str], Scope] = {}
    for source, state, account, region in states:
        accounts: defaultdict[str, Counter[str]] = defaultdict(Counter)
        regions: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for instance in state.instances:
            _count(instance, accounts, regions)
        for provider in {instance.provider for instance in state.instances}:
            aliased = "]." in provider or (provider.startswith("provider.") and provider.count(".") > 1)
            scope = Scope(known=known)
            scope.account = (account if not aliased else "") or _most(accounts, provider) or account
            scope.region = (region if not aliased else "") or _most(regions, provider) or region
            found[source, provider] = scope
        for instance in state.instances:
            _learn(instance, found[source, instance.provider], known)
    return found


def _learn(instance: Instance, scope: Scope, known: dict[str, str]) -> None:
    arn = instance.attributes.get("arn")
    parts = urns.parse(arn) if isinstance(arn, str) else None
    if parts is None or KINDS.get(instance.type, Kind()).part:
        return
    if parts.service == "ec2" and isinstance(instance.attributes.get("id"), str):
        known[instance.attributes["id"]] = str(parts)
    elif instance.type in {"aws_iam_role", "aws_iam_user"}:
        kind = parts.resource.partition("/")[0]
        known[f"{parts.account or scope.account}/{kind}/{instance.attributes.get('name')}"] = str(parts)


def _most(counters: Mapping[str, Counter[str]], provider: str) -> str:
    """The commonest of the provider's own, else of the whole state."""
    own = counters.get(provider)
    if own:
        return own.most_common(1)[0][0]
    total: Counter[str] = Counter()
    for counter in counters.values():
        total.update(counter)
    return total.most_common(1)[0][0] if total else ""


def _count(
    instance: Instance, accounts: defaultdict[str, Counter[str]], regions: defaultdict[str, Counter[str]]
) -> None:
    for key in ("arn", "id"):
        text = instance.attributes.get(key)
        parts = urns.parse(text) if isinstance(text, str) else None
        if parts is not None and not parts.resource.startswith("aws:"):
            if parts.account.isdigit():
                accounts[instance.provider][parts.account] += 1
            if parts.region:
                regions[instance.provider][parts.region] += 1
            break
    for key in ("owner_id", "account_id"):
        text = instance.attributes.get(key)
        if isinstance(text, str) and text.isdigit() and len(text) == 12:
            accounts[instance.provider][text] += 1
    if instance.type == "aws_eip" and _region_of_name(instance.attributes):
        regions[instance.provider][_region_of_name(instance.attributes)] += 1
