"""Names: from an operation to what it lists, and from that to the name of a type, as Steampipe would have it."""

from __future__ import annotations

import re
from functools import cache

from botocore import xform_name

_VERB = re.compile(r"(List|Describe|BatchGet|BatchDescribe|Get|Search|Query|Lookup|View|Fetch)(?=[A-Z])")
_TAIL = re.compile(r"(?<=[a-z\d])(Summaries|Summary|List|Infos?|Information|Details?|Descriptions?|Metadata)$")
_ONE = frozenset(
    {
        "address",
        "alias",
        "atlas",
        "aws",
        "canvas",
        "chaos",
        "cors",
        "dns",
        "ecs",
        "eks",
        "gas",
        "kms",
        "lens",
        "news",
        "ops",
    }
    | {"process", "rds", "redis", "sas", "series", "sms", "sns", "sqs", "tls", "access", "statistics", "kubernetes"}
)
"""Words that end as a plural does, and are none."""
_PLURAL = {
    "aliases": "alias",
    "apis": "api",
    "buses": "bus",
    "uis": "ui",
    "analyses": "analysis",
    "bases": "base",
    "caches": "cache",
    "canaries": "canary",
    "databases": "database",
    "devices": "device",
    "indices": "index",
    "indexes": "index",
    "leases": "lease",
    "lenses": "lens",
    "licenses": "license",
    "policies": "policy",
    "queries": "query",
    "releases": "release",
    "schemas": "schema",
    "statuses": "status",
    "use_cases": "use_case",
    "cases": "case",
    "phases": "phase",
    "purchases": "purchase",
    "responses": "response",
    "media": "media",
    "people": "person",
    "vertices": "vertex",
    "matrices": "matrix",
}

PREFIXES = {
    "acm-pca": "acmpca",
    "apigateway": "api_gateway",
    "apigatewayv2": "api_gatewayv2",
    "application-autoscaling": "appautoscaling",
    "application-insights": "applicationinsights",
    "apprunner": "app_runner",
    "autoscaling": "ec2_autoscaling",
    "cognito-identity": "cognito_identity",
    "cognito-idp": "cognito",
    "configservice": "config",
    "ds": "directory_service",
    "ecr-public": "ecrpublic",
    "elasticbeanstalk": "elastic_beanstalk",
    "elb": "ec2_classic",
    "elbv2": "ec2",
    "es": "elasticsearch",
    "events": "eventbridge",
    "firehose": "kinesis_firehose",
    "greengrassv2": "iot_greengrass",
    "kafka": "msk",
    "kinesisvideo": "kinesis_video",
    "lexv2-models": "lexv2",
    "logs": "cloudwatch_log",
    "mediastore": "media_store",
    "network-firewall": "networkfirewall",
    "opensearchserverless": "opensearch_serverless",
    "redshift-serverless": "redshiftserverless",
    "resource-explorer-2": "resource_explorer",
    "route53domains": "route53",
    "route53resolver": "route53",
    "serverlessrepo": "serverlessapplicationrepository",
    "service-quotas": "servicequotas",
    "servicediscovery": "service_discovery",
    "ssm-incidents": "ssmincidents",
    "sso-admin": "ssoadmin",
    "stepfunctions": "sfn",
    "timestream-write": "timestreamwrite",
    "waf-regional": "wafregional",
}
"""Services that Steampipe calls by another name than botocore."""


def verb(operation: str) -> str:
    """``List`` of ``ListQueues``; empty for what neither lists nor tells."""
    found = _VERB.match(operation)
    return found[1] if found is not None else ""


@cache
def singular(word: str) -> str:
    """The last word of ``word`` (``job_queues``) in the singular."""
    head, _, last = word.rpartition("_")
    if last in _ONE:
        return word
    if last in _PLURAL:
        last = _PLURAL[last]
    elif last.endswith("ies") and len(last) > 4:
        last = last[:-3] + "y"
    elif last.endswith(("sses", "xes", "ches", "shes", "zzes")):
        last = last[:-2]
    elif last.endswith("s") and not last.endswith(("ss", "us", "is", "ews")) and len(last) > 2:
        last = last[:-1]
    return f"{head}_{last}" if head else last


@cache
def noun(operation: str) -> str:
    """What one item of the list is: ``ListJobQueues`` -> ``job_queue``, ``ListGroupSummaries`` -> ``group``."""
    plain = re.sub(r"V\d$", "", operation[len(verb(operation)) :])
    plain = _TAIL.sub("", plain) or plain
    return singular(xform_name(plain))


@cache
def member(name: str) -> str:
    """A member's name in one form: ``ClusterArns`` -> ``cluster_arn``, ``vpcId`` -> ``vpc_id``."""
    return singular(xform_name(name[:1].upper() + name[1:]))


def text(listed: str) -> str:
    """The member that each text of a list becomes: ``TableNames`` -> ``TableName``, ``items`` -> ``id``."""
    plain = listed.removesuffix("List")
    last = re.findall(r"[A-Z]?[a-z\d]*$", plain)[0]
    head = plain.removesuffix(last)
    one = singular(last.lower()) if len(last) > 2 else last.lower().removesuffix("s")
    if not head and one in {"item", "member", "value", ""}:
        return "id"
    return head + (one.capitalize() if last[:1].isupper() else one)


def prefix(service: str) -> str:
    """The service in the names of its types."""
    return PREFIXES.get(service, service.replace("-", "_"))


def type_name(service: str, noun: str) -> str:
    """``aws_batch_job_queue``."""
    return f"aws_{prefix(service)}_{noun}"


_SHORT = frozenset(
    {
        "acl",
        "acm",
        "ami",
        "api",
        "arn",
        "aws",
        "bgp",
        "cidr",
        "cors",
        "dax",
        "db",
        "dhcp",
        "dms",
        "dns",
        "ebs",
        "ec2",
        "ecr",
    }
    | {
        "ecs",
        "efs",
        "eks",
        "emr",
        "fsx",
        "iam",
        "id",
        "ip",
        "kms",
        "lag",
        "mfa",
        "mq",
        "msk",
        "nat",
        "oidc",
        "rds",
        "saml",
    }
    | {"ses", "sns", "sql", "sqs", "ssh", "ssl", "ssm", "sso", "tls", "url", "vpc", "vpn", "waf"}
)
"""Words that are written in capitals."""


def title(service: str, noun: str) -> str:
    """For people: ``Batch job queue``."""
    words = [*prefix(service).split("_"), *noun.split("_")]
    spoken = [word.upper() if word in _SHORT else word for word in words]
    return " ".join([spoken[0][:1].upper() + spoken[0][1:], *spoken[1:]])
