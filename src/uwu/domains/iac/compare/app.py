"""What runs, names and carries: Lambda, Route 53, SQS, SNS, ACM, CloudFormation."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from uwu.domains.iac.compare.base import MISSING, Side, block, last, names, plain, seen
from uwu.kernel import sensitive
from uwu.kernel.model import Declaration, Difference, Resource


def function(declaration: Declaration, resource: Resource) -> Sequence[Difference]:
    """``aws_lambda_function``; values of its environment are compared by digest and never shown."""
    side = Side(declaration, resource)
    o = side.observed
    for name, member in (
        ("runtime", "Runtime"),
        ("handler", "Handler"),
        ("memory_size", "MemorySize"),
        ("timeout", "Timeout"),
        ("role", "Role"),
    ):
        side.same(name, seen(o, member))
    side.same("description", seen(o, "Description", default=""))
    declared_layers = side.declared.get("layers")
    if declared_layers is not None and list(declared_layers) != names(o.get("Layers"), "Arn"):
        side.differ("layers", list(declared_layers), names(o.get("Layers"), "Arn"))
    if "environment" in side.declared:
        variables = block(side.declared, "environment").get("variables") or {}
        _same_values(side, "environment", variables, seen(o, "Environment", "Variables", default={}))
    vpc = block(side.declared, "vpc_config")
    if vpc:
        for name, member in (("subnet_ids", "SubnetIds"), ("security_group_ids", "SecurityGroupIds")):
            left, right = sorted(vpc.get(name) or ()), sorted(seen(o, "VpcConfig", member, default=[]))
            if left != right:
                side.differ(f"vpc_config.{name}", left, right)
    side.tags()
    return side.differences


def _same_values(side: Side, path: str, declared: Mapping[str, Any], observed: Mapping[str, Any]) -> None:
    """One difference for a map of possible secrets: which names differ, not how."""
    left: dict[str, str | None] = {}
    right: dict[str, str | None] = {}
    for name in sorted({*declared, *observed}):
        if name in declared and name in observed:
            known = declared[name]
            if known == sensitive.MARK or sensitive.fingerprint(observed[name]) == sensitive.fingerprint(known):
                continue
        left[name] = sensitive.MARK if name in declared else None
        right[name] = sensitive.MARK if name in observed else None
    if left:
        side.differ(path, left, right, sensitive_=True)


def stack(declaration: Declaration, resource: Resource) -> Sequence[Difference]:
    """``aws_cloudformation_stack``: its parameters and settings, not what it made."""
    side = Side(declaration, resource)
    o = side.observed
    side.same("disable_rollback", seen(o, "DisableRollback"))
    side.same("iam_role_arn", seen(o, "RoleARN", default=""))
    side.same_set("notification_arns", o.get("NotificationARNs"))
    given = {str(p.get("ParameterKey")): str(p.get("ParameterValue", "")) for p in o.get("Parameters") or ()}
    declared = side.declared.get("parameters") or {}
    hidden = {name for name, value in given.items() if set(value) == {"*"}}  # NoEcho: AWS does not tell it
    wanted = {name: value for name, value in declared.items() if name not in hidden}
    _same_values(side, "parameters", wanted, {name: value for name, value in given.items() if name in wanted})
    side.tags()
    return side.differences


def zone(declaration: Declaration, resource: Resource) -> Sequence[Difference]:
    """``aws_route53_zone``."""
    side = Side(declaration, resource)
    side.same("comment", seen(side.observed, "Config", "Comment", default=""))
    side.tags()
    return side.differences


def record(declaration: Declaration, resource: Resource) -> Sequence[Difference]:
    """``aws_route53_record``."""
    side = Side(declaration, resource)
    o, kind = side.observed, str(side.declared.get("type", ""))
    if side.declared.get("ttl"):
        side.same("ttl", seen(o, "TTL", default=0))
    wanted = side.declared.get("records")
    if wanted:
        left = sorted({_value(kind, str(each)) for each in wanted})
        right = sorted({_value(kind, each) for each in names(o.get("ResourceRecords"), "Value")})
        if left != right:
            side.differ("records", left, right)
    _alias(side)
    weight = block(side.declared, "weighted_routing_policy").get("weight")
    if weight is not None and int(plain(weight, 0)) != seen(o, "Weight", default=None):
        side.differ("weighted_routing_policy", int(plain(weight, 0)), seen(o, "Weight", default=None))
    if side.declared.get("health_check_id"):
        side.same("health_check_id", seen(o, "HealthCheckId", default=""))
    return side.differences


def _alias(side: Side) -> None:
    alias = block(side.declared, "alias")
    if not alias:
        return
    target = side.observed.get("AliasTarget") or {}
    left = {
        "name": _host(str(alias.get("name", ""))),
        "zone_id": alias.get("zone_id"),
        "evaluate_target_health": bool(alias.get("evaluate_target_health")),
    }
    right = {
        "name": _host(str(target.get("DNSName", ""))),
        "zone_id": target.get("HostedZoneId"),
        "evaluate_target_health": bool(target.get("EvaluateTargetHealth")),
    }
    if left != right:
        side.differ("alias", left, right)


def _host(name: str) -> str:
    return name.rstrip(".").lower().removeprefix("dualstack.")


def _value(kind: str, value: str) -> str:
    """A record's value in one spelling: Terraform writes texts without their quotes and parts them as ``\"\"``."""
    if kind in {"TXT", "SPF"}:
        parts = re.sub(r'"\s*"', "", value)
        return parts[1:-1] if len(parts) > 1 and parts[0] == parts[-1] == '"' else parts
    if kind in {"CNAME", "NS", "PTR", "MX", "SRV"}:
        return value.rstrip(".").lower()
    return value.lower() if kind == "AAAA" else value


_QUEUE = {
    "visibility_timeout_seconds": "VisibilityTimeout",
    "message_retention_seconds": "MessageRetentionPeriod",
    "delay_seconds": "DelaySeconds",
    "max_message_size": "MaximumMessageSize",
    "receive_wait_time_seconds": "ReceiveMessageWaitTimeSeconds",
}


def queue(declaration: Declaration, resource: Resource) -> Sequence[Difference]:
    """``aws_sqs_queue``; its policy and redrive policy unless they are resources of their own."""
    side = Side(declaration, resource)
    o = side.observed
    for name, member in _QUEUE.items():
        side.same(name, seen(o, member))
    side.same("kms_master_key_id", seen(o, "KmsMasterKeyId", default=""), norm=last)
    side.same("sqs_managed_sse_enabled", seen(o, "SqsManagedSseEnabled"))
    if not side.parts("aws_sqs_queue_policy"):
        side.same_document("policy", seen(o, "Policy", default=None))
    if not side.parts("aws_sqs_queue_redrive_policy"):
        side.same_document("redrive_policy", seen(o, "RedrivePolicy", default=None))
    side.tags()
    return side.differences


def queue_policy(declaration: Declaration, resource: Resource) -> Sequence[Difference]:
    """``aws_sqs_queue_policy``."""
    side = Side(declaration, resource)
    side.same_document("policy", seen(side.observed, "Policy", default=None))
    return side.differences


def queue_redrive(declaration: Declaration, resource: Resource) -> Sequence[Difference]:
    """``aws_sqs_queue_redrive_policy``."""
    side = Side(declaration, resource)
    side.same_document("redrive_policy", seen(side.observed, "RedrivePolicy", default=None))
    return side.differences


def topic(declaration: Declaration, resource: Resource) -> Sequence[Difference]:
    """``aws_sns_topic``; its policy unless it is a resource of its own, or AWS's default that no state holds."""
    side = Side(declaration, resource)
    side.same("display_name", seen(side.observed, "DisplayName", default=""))
    side.same("kms_master_key_id", seen(side.observed, "KmsMasterKeyId", default=""), norm=last)
    if not side.parts("aws_sns_topic_policy"):
        side.same_document("policy", seen(side.observed, "Policy", default=None), absent_is_empty=False)
    side.tags()
    return side.differences


def topic_policy(declaration: Declaration, resource: Resource) -> Sequence[Difference]:
    """``aws_sns_topic_policy``."""
    side = Side(declaration, resource)
    side.same_document("policy", seen(side.observed, "Policy", default=None))
    return side.differences


def certificate(declaration: Declaration, resource: Resource) -> Sequence[Difference]:
    """``aws_acm_certificate``: the names it is for."""
    side = Side(declaration, resource)
    domain = side.declared.get("domain_name")
    side.same("domain_name", seen(side.observed, "DomainName"))
    observed = seen(side.observed, "SubjectAlternativeNames")
    declared = side.declared.get("subject_alternative_names")
    if domain and declared is not None and observed is not MISSING:
        left, right = sorted({*declared, domain}), sorted({*observed, domain})
        if left != right:
            side.differ("subject_alternative_names", left, right)
    side.tags()
    return side.differences
