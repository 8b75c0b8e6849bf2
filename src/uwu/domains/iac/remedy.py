"""What puts it right, as text for people: a Terraform command, an AWS command, an ``import`` block. Nothing is run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from uwu.domains.iac.attach import PARTS, RULES
from uwu.kernel import codec, urns
from uwu.kernel.model import Declaration, Difference, Resource


def remedy(declaration: Declaration, differences: Sequence[Difference]) -> str:
    """The commands that restore what ``declaration`` declares; no differences means that the resource is gone.

    What Terraform cannot take back because its rules or attachments are resources of their own is taken back by the
    AWS command line; what it misses is applied.
    """
    extra = [command for difference in differences for command in _takes_back(declaration, difference)]
    addresses = sorted({address for difference in differences for address in _addresses(declaration, difference)})
    if not differences or (not addresses and not extra):
        addresses = [declaration.address]
    targets = " ".join(f"-target={shlex.quote(address)}" for address in addresses)
    applied = [f"terraform -chdir={shlex.quote(stack_name(declaration.source))} apply {targets}"] if addresses else []
    return "\n".join([*extra, *applied])


def stack_name(source: str) -> str:
    """``payments`` of ``stack:default/payments@eu.tfstate``."""
    return source.partition("@")[0].rpartition("/")[2]


def _parts(declaration: Declaration, *types: str) -> list[dict[str, Any]]:
    return [part for part in declaration.attributes.get(PARTS, ()) if part["type"] in types]


def _addresses(declaration: Declaration, difference: Difference) -> Iterable[str]:
    """What to apply so that what is missing comes back."""
    if difference.path in {"ingress", "egress"} and _separate(declaration, difference.path):
        if difference.declared:
            return [part["address"] for part in _separate(declaration, difference.path)]
        return []
    if difference.path == "managed_policy_arns":
        parts = _parts(declaration, "aws_iam_role_policy_attachment", "aws_iam_user_policy_attachment")
        missing = set(difference.declared or ())
        if parts:
            return [part["address"] for part in parts if part["attributes"].get("policy_arn") in missing]
    if difference.path == "inline_policy":
        parts = _parts(declaration, "aws_iam_role_policy", "aws_iam_user_policy")
        missing = set(difference.declared or ())
        if parts:
            return [part["address"] for part in parts if part["attributes"].get("name") in missing]
    return [declaration.address]


def _separate(declaration: Declaration, direction: str) -> list[dict[str, Any]]:
    from uwu.domains.iac.compare.groups import way

    return [part for part in _parts(declaration, *RULES) if way(part["type"], part["attributes"]) == direction]


def _takes_back(declaration: Declaration, difference: Difference) -> Iterable[str]:
    """AWS commands for what is there and Terraform would leave there."""
    observed = difference.observed
    where = _place(declaration)
    if difference.path in {"ingress", "egress"} and observed and _separate(declaration, difference.path):
        permissions = [_permission(rule, declaration.attributes.get("id", "")) for rule in observed]
        yield (
            f"aws ec2 revoke-security-group-{difference.path} --group-id {declaration.attributes.get('id', '')} "
            f"{where}--ip-permissions {shlex.quote(codec.encode(permissions).decode())}"
        )
    kind = declaration.declared_type.removeprefix("aws_iam_")
    if kind not in {"role", "user"}:
        return
    name = shlex.quote(str(declaration.attributes.get("name", "")))
    if difference.path == "managed_policy_arns":
        for arn in observed or ():
            yield f"aws iam detach-{kind}-policy --{kind}-name {name} --policy-arn {shlex.quote(arn)}"
    elif difference.path == "inline_policy":
        for policy in sorted(set(observed or ()) - set(difference.declared or ())):
            yield f"aws iam delete-{kind}-policy --{kind}-name {name} --policy-name {shlex.quote(policy)}"


def _place(declaration: Declaration) -> str:
    parts = urns.parse(declaration.urn)
    return f"--region {parts.region} " if parts is not None and parts.region else ""


def _permission(rule: Mapping[str, Any], own: str) -> dict[str, Any]:
    """AWS's ``IpPermission`` of one rule."""
    permission: dict[str, Any] = {"IpProtocol": rule["protocol"]}
    if "from_port" in rule:
        permission |= {"FromPort": rule["from_port"], "ToPort": rule.get("to_port", rule["from_port"])}
    if rule.get("cidr"):
        wide = ":" in rule["cidr"]
        peers, member = ("Ipv6Ranges", "CidrIpv6") if wide else ("IpRanges", "CidrIp")
        permission[peers] = [{member: rule["cidr"]}]
    if rule.get("prefix_list"):
        permission["PrefixListIds"] = [{"PrefixListId": rule["prefix_list"]}]
    if rule.get("group"):
        permission["UserIdGroupPairs"] = [{"GroupId": own if rule["group"] == "self" else rule["group"]}]
    return permission


# ---- adoption


def _member(name: str) -> Callable[[Resource], str]:
    return lambda resource: str(resource.attributes.get(name) or "")


def _urn(resource: Resource) -> str:
    return resource.urn


def _record(resource: Resource) -> str:
    """``<zone>_<name>_<type>[_<set identifier>]``."""
    o = resource.attributes
    name = re.sub(r"\\(\d{3})", lambda m: chr(int(m[1], 8)), str(o.get("Name", ""))).rstrip(".")
    zone = str(o.get("HostedZoneId", "")).rsplit("/", 1)[-1]
    return "_".join(filter(None, [zone, name, str(o.get("Type", "")), str(o.get("SetIdentifier") or "")]))


def _short(resource: Resource) -> str:
    return urns.short(resource.urn)


IMPORTS: dict[str, tuple[str, Callable[[Resource], str]]] = {
    "aws_ec2_instance": ("aws_instance", _short),
    "aws_ebs_volume": ("aws_ebs_volume", _short),
    "aws_vpc_security_group": ("aws_security_group", _short),
    "aws_vpc": ("aws_vpc", _short),
    "aws_vpc_subnet": ("aws_subnet", _short),
    "aws_ec2_network_interface": ("aws_network_interface", _short),
    "aws_vpc_eip": ("aws_eip", _short),
    "aws_ec2_ami": ("aws_ami", _short),
    "aws_ec2_launch_template": ("aws_launch_template", _short),
    "aws_s3_bucket": ("aws_s3_bucket", _member("Name")),
    "aws_iam_role": ("aws_iam_role", _member("RoleName")),
    "aws_iam_user": ("aws_iam_user", _member("UserName")),
    "aws_iam_policy": ("aws_iam_policy", _urn),
    "aws_rds_db_instance": ("aws_db_instance", _member("DBInstanceIdentifier")),
    "aws_lambda_function": ("aws_lambda_function", _member("FunctionName")),
    "aws_ec2_application_load_balancer": ("aws_lb", _urn),
    "aws_ec2_network_load_balancer": ("aws_lb", _urn),
    "aws_ec2_gateway_load_balancer": ("aws_lb", _urn),
    "aws_ec2_target_group": ("aws_lb_target_group", _urn),
    "aws_route53_zone": ("aws_route53_zone", _short),
    "aws_route53_record": ("aws_route53_record", _record),
    "aws_kms_key": ("aws_kms_key", _short),
    "aws_secretsmanager_secret": ("aws_secretsmanager_secret", _urn),
    "aws_sqs_queue": ("aws_sqs_queue", _member("QueueUrl")),
    "aws_sns_topic": ("aws_sns_topic", _urn),
    "aws_acm_certificate": ("aws_acm_certificate", _urn),
    "aws_cloudformation_stack": ("aws_cloudformation_stack", _member("StackName")),
    "aws_account": ("aws_organizations_account", lambda resource: resource.account),
}
"""Observed type -> Terraform's type, and the id by which its provider imports it. An access key cannot be imported."""


def import_block(resource: Resource) -> str:
    """Terraform's ``import`` block (1.5 and later) for ``resource``; empty where its type cannot be imported."""
    known = IMPORTS.get(resource.type)
    if known is None:
        return ""
    type, identify = known
    id = identify(resource) or urns.short(resource.urn)
    return f"import {{\n  to = {type}.{label(resource)}\n  id = {quoted(id)}\n}}"


def quoted(text: str) -> str:
    """``text`` as HCL's literal."""
    return codec.encode(text).decode().replace("${", "$${").replace("%{", "%%{")


def label(resource: Resource) -> str:
    """A name that HCL takes: letters, digits, ``_`` and ``-``, no digit first."""
    text = re.sub(r"[^A-Za-z0-9_]+", "_", resource.name or urns.short(resource.urn)).strip("_").lower()
    return text if text and not text[0].isdigit() else f"r_{text}" if text else "this"
