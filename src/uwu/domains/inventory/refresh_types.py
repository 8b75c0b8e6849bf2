"""From a urn to the type that it is of: by its form, where the resource was never seen."""

from __future__ import annotations

import re
from collections import defaultdict
from functools import cache

import sqlalchemy as sa

from uwu.domains.inventory import services
from uwu.domains.inventory.model import Scope, Spec
from uwu.domains.inventory.refresh_calls import identity
from uwu.kernel import tables, urns

_FORMS = (
    ("acm", r"certificate/[^/]+", "aws_acm_certificate"),
    ("apigateway", r"/restapis/[^/]+", "aws_api_gateway_rest_api"),
    ("apigateway", r"/restapis/[^/]+/stages/[^/]+", "aws_api_gateway_stage"),
    ("apigateway", r"/restapis/[^/]+/resources/[^/]+", "aws_api_gateway_resource"),
    ("apigateway", r"/apis/[^/]+", "aws_api_gatewayv2_api"),
    ("apigateway", r"/apis/[^/]+/stages/[^/]+", "aws_api_gatewayv2_stage"),
    ("apigateway", r"/apis/[^/]+/integrations/[^/]+", "aws_api_gatewayv2_integration"),
    ("cloudformation", r"stack/.+/.+", "aws_cloudformation_stack"),
    ("cloudfront", r"distribution/[^/]+", "aws_cloudfront_distribution"),
    ("cloudtrail", r"trail/.+", "aws_cloudtrail_trail"),
    ("ecr", r"repository/.+", "aws_ecr_repository"),
    ("ecs", r"cluster/[^/]+", "aws_ecs_cluster"),
    ("ecs", r"service/[^/]+/[^/]+", "aws_ecs_service"),
    ("ecs", r"task-definition/[^/]+", "aws_ecs_task_definition"),
    ("elasticloadbalancing", r"listener/.+", "aws_ec2_load_balancer_listener"),
    ("elasticloadbalancing", r"loadbalancer/[^/]+", "aws_ec2_classic_load_balancer"),
    ("elasticloadbalancing", r"loadbalancer/app/.+", "aws_ec2_application_load_balancer"),
    ("elasticloadbalancing", r"loadbalancer/gwy/.+", "aws_ec2_gateway_load_balancer"),
    ("elasticloadbalancing", r"loadbalancer/net/.+", "aws_ec2_network_load_balancer"),
    ("elasticloadbalancing", r"targetgroup/.+", "aws_ec2_target_group"),
    ("es", r"domain/[^/]+", "aws_opensearch_domain"),
    ("events", r"rule/.+", "aws_eventbridge_rule"),
    ("iam", r"group/.+", "aws_iam_group"),
    ("iam", r"instance-profile/.+", "aws_iam_instance_profile"),
    ("iam", r"oidc-provider/.+", "aws_iam_open_id_connect_provider"),
    ("iam", r"policy/.+", "aws_iam_policy"),
    ("iam", r"role/.+", "aws_iam_role"),
    ("iam", r"saml-provider/.+", "aws_iam_saml_provider"),
    ("iam", r"user/.+", "aws_iam_user"),
    ("kms", r"key/[^/]+", "aws_kms_key"),
    ("lambda", r"function:[^:]+", "aws_lambda_function"),
    ("rds", r"cluster-snapshot:.+", "aws_rds_db_cluster_snapshot"),
    ("rds", r"cluster:[^:]+", "aws_rds_db_cluster"),
    ("rds", r"db:[^:]+", "aws_rds_db_instance"),
    ("rds", r"snapshot:.+", "aws_rds_db_snapshot"),
    ("rds", r"subgrp:[^:]+", "aws_rds_db_subnet_group"),
    ("route53", r"hostedzone/[^/]+", "aws_route53_zone"),
    ("s3", r"[^/]+", "aws_s3_bucket"),
    ("secretsmanager", r"secret:.+", "aws_secretsmanager_secret"),
    ("sns", r"[^:/]+", "aws_sns_topic"),
    ("sns", r"[^:/]+:[^:/]+", "aws_sns_topic_subscription"),
    ("sqs", r"[^:/]+", "aws_sqs_queue"),
    ("wafv2", r"regional/webacl/[^/]+/[^/]+", "aws_wafv2_web_acl"),
)
"""ARNs that AWS itself gives, by service and resource (Service Authorization Reference); others tell their form."""

_OWN = {
    ("ec2", "regional-settings"): "aws_ec2_regional_settings",
    ("ec2", "vpc-block-public-access-options"): "aws_vpc_block_public_access_options",
    ("iam", "account-summary"): "aws_iam_account_summary",
    ("iam", "access-key"): "aws_iam_access_key",
    ("lambda", "url"): "aws_lambda_function_url",
    ("route53", "record-set"): "aws_route53_record",
    ("s3", "account-settings"): "aws_s3_account_settings",
}
"""What AWS gives no ARN."""

_NOWHERE = Scope("000000000000", "aa-nowhere-0")


@cache
def specs() -> dict[str, Spec]:
    """The types of the core by their names."""
    return {spec.name: spec for held in services.SERVICES.values() for spec in held}


@cache
def spec_of(type: str) -> Spec | None:
    """The type of that name, of the core or of the catalog; None for what is not listed in AWS."""
    try:
        return specs().get(type) or services.spec(type)
    except KeyError:
        return None


@cache
def _forms() -> dict[str, list[tuple[re.Pattern[str], Spec]]]:
    """By the service in the urn: what the whole of it looks like -> its type."""
    known = specs()
    found: defaultdict[str, list[tuple[re.Pattern[str], Spec]]] = defaultdict(list)
    for service, resource, type in _FORMS:
        if type in known:
            found[service].append((re.compile(rf"arn:[^:]*:{service}:[^:]*:[^:]*:{resource}"), known[type]))
    for (service, kind), type in _OWN.items():
        if type in known:
            found[service].append((re.compile(rf"urn:uwu:aws:{service}:{kind}:.*"), known[type]))
    for spec in known.values():
        member, pattern = identity(spec, _NOWHERE)
        if not member or pattern == f"<{member}>":
            continue
        text = re.escape(pattern).replace(re.escape(_NOWHERE.account), r"\d*")
        text = text.replace(re.escape(_NOWHERE.region), "[^:]*").replace("arn:aws:", "arn:[^:]*:")
        form = re.compile(text.replace(re.escape(f"<{member}>"), "[^/:]+"))
        found[_service(pattern)].append((form, spec))
    return dict(found)


def _service(urn: str) -> str:
    parts = urns.parse(urn)
    return parts.service if parts is not None else urn.split(":", 4)[3] if urn.startswith("urn:uwu:") else ""


def by_form(urn: str) -> Spec | None:
    """The type that ``urn`` says it is of; None where its form is that of none, or of several."""
    fit = {spec.name: spec for form, spec in _forms().get(_service(urn), ()) if form.fullmatch(urn)}
    return next(iter(fit.values())) if len(fit) == 1 else None


def by_sibling(connection: sa.Connection, urn: str) -> Spec | None:
    """The type of what is known in the same account and region under a urn of the same beginning."""
    parts = urns.parse(urn)
    if parts is None or not (kind := re.match(r"/?[^/:]+[/:]", parts.resource)):
        return None
    begin = urn[: -len(parts.resource)] + kind[0]
    r = tables.resources
    near = sa.select(r.c.type).where(r.c.urn >= begin, r.c.urn < begin + "\U0010ffff").distinct().limit(2)
    types = list(connection.scalars(near))
    return spec_of(types[0]) if len(types) == 1 else None
