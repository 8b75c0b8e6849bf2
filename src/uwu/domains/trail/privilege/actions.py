"""What a call takes: the IAM actions behind an event, and the resources that they are asked on.

An event's name is mostly its action's (Service Authorization Reference); where not, the tables below say so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import Any

from uwu.domains.trail import mapping
from uwu.kernel import codec, urns

PREFIXES = {
    "monitoring": "cloudwatch",
    "email": "ses",
    "tagging": "tag",
    "runtime.lex": "lex",
    "models.lex": "lex",
    "streams.dynamodb": "dynamodb",
    "catalog.marketplace": "aws-marketplace",
    "api.ecr-public": "ecr-public",
    "cloudcontrolapi": "cloudformation",
}
"""First labels of an event source -> IAM prefix, where they differ."""

_S3 = {
    "ListBuckets": "ListAllMyBuckets",
    "HeadBucket": "ListBucket",
    "ListObjects": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "ListObjectVersions": "ListBucketVersions",
    "ListMultipartUploads": "ListBucketMultipartUploads",
    "ListParts": "ListMultipartUploadParts",
    "HeadObject": "GetObject",
    "SelectObjectContent": "GetObject",
    "CopyObject": "PutObject",
    "CreateMultipartUpload": "PutObject",
    "UploadPart": "PutObject",
    "UploadPartCopy": "PutObject",
    "CompleteMultipartUpload": "PutObject",
    "DeleteObjects": "DeleteObject",
    "GetBucketLifecycle": "GetLifecycleConfiguration",
    "PutBucketLifecycle": "PutLifecycleConfiguration",
    "DeleteBucketLifecycle": "PutLifecycleConfiguration",
    "GetBucketEncryption": "GetEncryptionConfiguration",
    "PutBucketEncryption": "PutEncryptionConfiguration",
    "DeleteBucketEncryption": "PutEncryptionConfiguration",
    "GetBucketReplication": "GetReplicationConfiguration",
    "PutBucketReplication": "PutReplicationConfiguration",
    "DeleteBucketReplication": "PutReplicationConfiguration",
    "GetBucketAccelerate": "GetAccelerateConfiguration",
    "PutBucketAccelerate": "PutAccelerateConfiguration",
    "GetBucketCors": "GetBucketCORS",
    "PutBucketCors": "PutBucketCORS",
    "DeleteBucketCors": "PutBucketCORS",
    "DeleteBucketTagging": "PutBucketTagging",
    "DeleteBucketPublicAccessBlock": "PutBucketPublicAccessBlock",
    "GetObjectLockConfiguration": "GetBucketObjectLockConfiguration",
    "PutObjectLockConfiguration": "PutBucketObjectLockConfiguration",
    "DeleteBucketOwnershipControls": "PutBucketOwnershipControls",
}
_EXCEPTIONS: Mapping[str, Mapping[str, str]] = {
    "s3": _S3,
    "lambda": {"Invoke": "InvokeFunction", "InvokeAsync": "InvokeFunction"},
    "dynamodb": {"ExecuteStatement": "PartiQLSelect", "TransactGetItems": "GetItem", "TransactWriteItems": "PutItem"},
    "sqs": {
        "SendMessageBatch": "SendMessage",
        "DeleteMessageBatch": "DeleteMessage",
        "ChangeMessageVisibilityBatch": "ChangeMessageVisibility",
    },
    "sns": {"PublishBatch": "Publish"},
}
_VERBS = {"Get": "GET", "Create": "POST", "Update": "PATCH", "Delete": "DELETE", "Put": "PUT", "Import": "POST"}
_DATED = re.compile(r"(?:20\d{6}(?:v\d+)?|20\d\d_\d\d_\d\d)$")
_IGNORED = frozenset({"signin.amazonaws.com", "sso.amazonaws.com", "health.amazonaws.com"})

AUTH_ERRORS = ("AccessDenied", "UnauthorizedOperation", "AuthorizationError", "NotAuthorized", "UnrecognizedClient")
"""Parts of error codes that tell of a call that was not allowed; any other error came after the authorization."""

READS_WITH_RESOURCES: Mapping[str, frozenset[str]] = {
    "s3": frozenset(
        {"ListBucket", "ListBucketVersions", "ListBucketMultipartUploads", "GetObject", "GetObjectVersion"}
    ),
    "dynamodb": frozenset({"GetItem", "BatchGetItem", "Query", "Scan", "DescribeTable", "ConditionCheckItem"}),
    "sqs": frozenset({"ReceiveMessage", "GetQueueAttributes", "GetQueueUrl"}),
    "sns": frozenset({"GetTopicAttributes", "ListSubscriptionsByTopic"}),
    "secretsmanager": frozenset({"GetSecretValue", "DescribeSecret"}),
    "ssm": frozenset({"GetParameter", "GetParameters", "GetParametersByPath"}),
    "kms": frozenset({"Decrypt", "DescribeKey", "GetKeyPolicy"}),
    "lambda": frozenset({"GetFunction", "GetFunctionConfiguration", "GetPolicy"}),
    "ecr": frozenset({"BatchGetImage", "GetDownloadUrlForLayer", "BatchCheckLayerAvailability", "DescribeImages"}),
    "logs": frozenset({"GetLogEvents", "FilterLogEvents", "DescribeLogStreams"}),
    "iam": frozenset({"GetRole", "GetRolePolicy", "ListRolePolicies", "ListAttachedRolePolicies", "GetUser"}),
}
"""Reads that can be limited to resources, beside S3's ``GetBucket*``; of other reads it is not relied on."""

DATA: Mapping[str, frozenset[str]] = {
    "s3": frozenset(
        {
            *("GetObject", "GetObjectVersion", "PutObject", "DeleteObject", "DeleteObjectVersion", "GetObjectAcl"),
            *("PutObjectAcl", "GetObjectTagging", "PutObjectTagging", "AbortMultipartUpload", "RestoreObject"),
            *("ListMultipartUploadParts", "ListBucket", "ListBucketVersions", "ListBucketMultipartUploads"),
        }
    ),
    "lambda": frozenset({"InvokeFunction"}),
    "dynamodb": frozenset(
        {
            *("GetItem", "BatchGetItem", "Query", "Scan", "PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem"),
            *("ConditionCheckItem", "PartiQLSelect", "GetRecords", "GetShardIterator"),
        }
    ),
    "sqs": frozenset({"SendMessage", "ReceiveMessage", "DeleteMessage", "ChangeMessageVisibility"}),
    "sns": frozenset({"Publish"}),
    "kinesis": frozenset({"GetRecords", "PutRecord", "PutRecords", "GetShardIterator", "SubscribeToShard"}),
    "cloudwatch": frozenset({"PutMetricData", "GetMetricData"}),
    "states": frozenset({"InvokeHTTPEndpoint"}),
}
"""Actions that only data events tell of."""

NEVER_LOGGED: Mapping[str, frozenset[str]] = {
    "logs": frozenset({"PutLogEvents"}),
    "xray": frozenset({"PutTraceSegments", "PutTelemetryRecords", "GetSamplingRules", "GetSamplingTargets"}),
    "ssmmessages": frozenset({"CreateControlChannel", "CreateDataChannel", "OpenControlChannel", "OpenDataChannel"}),
    "ec2messages": frozenset(
        {"AcknowledgeMessage", "DeleteMessage", "FailMessage", "GetEndpoint", "GetMessages", "SendReply"}
    ),
    "rds-db": frozenset({"connect"}),
    "elasticfilesystem": frozenset({"ClientMount", "ClientWrite", "ClientRootAccess"}),
}
"""Actions that no event tells of."""

_ROLE_ARN = re.compile(r"^arn:[\w-]+:iam::\d{12}:role/")
_MAY_PASS = re.compile(r"role|profile", re.IGNORECASE)


def prefix_of(source: str) -> str:
    """The IAM prefix of an event source."""
    label = source.removesuffix(".amazonaws.com")
    return PREFIXES.get(label) or label.rsplit(".", 1)[-1]


def was_allowed(error_code: str) -> bool:
    """Whether a call passed the authorization, be it that it failed later."""
    return not any(part in error_code for part in AUTH_ERRORS)


def action_of(source: str, name: str) -> str:
    """``s3:ListAllMyBuckets`` for ListBuckets of s3.amazonaws.com; empty where no policy is asked."""
    if source in _IGNORED:
        return ""
    prefix = prefix_of(source)
    plain = _DATED.sub("", name) or name
    if prefix == "apigateway":
        verb = next((method for word, method in _VERBS.items() if plain.startswith(word)), "")
        return f"apigateway:{verb}" if verb else "apigateway:*"
    if prefix == "sts" and plain in {"AssumeRoleWithSAML", "AssumeRoleWithWebIdentity", "GetCallerIdentity"}:
        return ""
    return f"{prefix}:{_EXCEPTIONS.get(prefix, {}).get(plain, plain)}"


def asked(event: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """(action, the resources that it is asked on; ``*`` where they are not named) of what an event's call took."""
    action = action_of(str(event["event_source"]), str(event["event_name"]))
    if not action:
        return
    request = _object(event.get("request_parameters"))
    if action == "s3:GetObject" and request.get("versionId"):
        action = "s3:GetObjectVersion"
    named = tuple(dict.fromkeys(_resources(action, event, request)))
    yield action, named if named and takes_resources(action, str(event["event_source"])) else ("*",)
    yield from _beside(action, request)


def _beside(action: str, request: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """What a call takes beside its own action, and no event tells: passing a role, tagging what it creates."""
    prefix, _, name = action.partition(":")
    if prefix not in {"iam", "sts"}:
        passed = {value for key, value in _texts(request) if _MAY_PASS.search(key) and _ROLE_ARN.match(value)}
        if passed:
            yield "iam:PassRole", tuple(sorted(passed))
    elif name == "AddRoleToInstanceProfile":
        yield "iam:PassRole", ("*",)
    if name.startswith(("Create", "Run", "Allocate", "Register", "Request", "Copy", "Import")) and _tagged(request):
        if prefix == "ec2" and name != "CreateTags":
            yield "ec2:CreateTags", ("*",)
        else:
            for tag in TAGGING.get(prefix, ()):
                yield f"{prefix}:{tag}", ("*",)


TAGGING: Mapping[str, tuple[str, ...]] = {
    "lambda": ("TagResource",),
    "rds": ("AddTagsToResource",),
    "elasticloadbalancing": ("AddTags",),
    "kms": ("TagResource",),
    "logs": ("TagResource",),
    "dynamodb": ("TagResource",),
    "sns": ("TagResource",),
    "sqs": ("TagQueue",),
    "ecs": ("TagResource",),
    "eks": ("TagResource",),
    "ecr": ("TagResource",),
    "secretsmanager": ("TagResource",),
    "events": ("TagResource",),
    "states": ("TagResource",),
    "elasticfilesystem": ("TagResource",),
    "acm": ("AddTagsToCertificate",),
    "cloudwatch": ("TagResource",),
    "ssm": ("AddTagsToResource",),
    "iam": ("TagRole", "TagUser", "TagPolicy", "TagInstanceProfile"),
}


def _tagged(request: Mapping[str, Any]) -> bool:
    return any(key.lower().startswith("tag") and value for key, value in request.items())


def _texts(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _texts(inner, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner, key)


def takes_resources(action: str, source: str) -> bool:
    """Whether the action can be limited to the resources that events name: all that it requires, and nothing else."""
    prefix, _, name = action.partition(":")
    reads = READS_WITH_RESOURCES.get(prefix, frozenset())
    if name in reads or name in DATA.get(prefix, frozenset()):
        return True
    if prefix == "s3":
        return name not in {"ListAllMyBuckets", "CreateJob"}
    return bool(_nouns(source.removesuffix(".amazonaws.com"), name)) and len(_required(source, name)) <= 1


@cache
def _nouns(label: str, name: str) -> frozenset[str]:
    return frozenset(way.noun for way in mapping.load().of(label, mapping.norm(name)))


@cache
def _required(source: str, name: str) -> frozenset[str]:
    label = source.removesuffix(".amazonaws.com")
    return frozenset(way.noun for way in mapping.load().of(label, mapping.norm(name)) if way.required)


# ---- resources


def _object(text: Any) -> dict[str, Any]:
    held = codec.decode(text) if isinstance(text, str) and text else text
    return held if isinstance(held, dict) else {}


def _resources(action: str, event: Mapping[str, Any], request: Mapping[str, Any]) -> Iterable[str]:
    prefix, _, name = action.partition(":")
    account, region = str(event["account"]), str(event["region"])
    makers: dict[str, Callable[[], list[str]]] = {
        "s3": lambda: _s3(request, name),
        "dynamodb": lambda: _named("dynamodb", "table/{}", request, ("tableName",), account, region),
        "sqs": lambda: _queue(request, account, region),
        "sns": lambda: _named("sns", "{}", request, ("topicArn", "targetArn"), account, region),
        "ssm": lambda: _parameters(request, account, region),
        "lambda": lambda: _named("lambda", "function:{}", request, ("functionName",), account, region),
        "ecr": lambda: _named("ecr", "repository/{}", request, ("repositoryName",), account, region),
        "logs": lambda: _named("logs", "log-group:{}:*", request, ("logGroupName",), account, region),
        "kinesis": lambda: _named("kinesis", "stream/{}", request, ("streamName", "streamARN"), account, region),
        "secretsmanager": lambda: _secret(request, account, region),
    }
    own = _own(event, prefix)
    made = makers[prefix]() if prefix in makers else []
    if prefix == "kms":
        return own
    if prefix == "iam" and not own:
        kinds = (("role", "roleName"), ("user", "userName"), ("policy", "policyArn"))
        made = [found for kind, key in kinds for found in _named("iam", kind + "/{}", request, (key,), account, "")]
    if prefix in makers:
        return made
    nouns = _nouns(str(event["event_source"]).removesuffix(".amazonaws.com"), name)
    return [arn for arn in own or made if not nouns or _noun(arn) in nouns] if own or made else []


def _noun(arn: str) -> str:
    rest = arn.split(":", 5)[-1]
    return mapping.norm(re.split(r"[/:]", rest, maxsplit=1)[0])


def _own(event: Mapping[str, Any], prefix: str) -> list[str]:
    """ARNs of the service that the record itself or ingest names."""
    listed = _object(event.get("more")).get("resources") or ()
    found = [str(one["ARN"]) for one in listed if isinstance(one, Mapping) and one.get("ARN")]
    targets = event.get("targets")
    found += codec.decode(targets) if isinstance(targets, str) and targets else []
    service = prefix
    kept: list[str] = []
    for arn in found:
        parts = urns.parse(arn)
        if parts is not None and parts.service == service:
            kept.append(arn)
    return kept


def _s3(request: Mapping[str, Any], name: str) -> list[str]:
    bucket, key = str(request.get("bucketName") or ""), str(request.get("key") or "")
    if not bucket:
        return []
    on_object = ("Object" in name and "Lock" not in name) or name in {
        "AbortMultipartUpload",
        "ListMultipartUploadParts",
        "RestoreObject",
    }
    if on_object:
        return [f"arn:aws:s3:::{bucket}/{key or '*'}"]
    return [f"arn:aws:s3:::{bucket}"]


def _named(
    service: str, form: str, request: Mapping[str, Any], keys: tuple[str, ...], account: str, region: str
) -> list[str]:
    for key in keys:
        value = request.get(key)
        if isinstance(value, str) and value:
            if value.startswith("arn:"):
                return [value.split(":$")[0]]
            return [f"arn:aws:{service}:{region}:{account}:{form.format(value)}"]
    if service == "dynamodb" and isinstance(request.get("requestItems"), Mapping):
        return [f"arn:aws:dynamodb:{region}:{account}:table/{table}" for table in request["requestItems"]]
    return []


def _queue(request: Mapping[str, Any], account: str, region: str) -> list[str]:
    url = str(request.get("queueUrl") or "")
    name = url.rsplit("/", 1)[-1] or str(request.get("queueName") or "")
    return [f"arn:aws:sqs:{region}:{account}:{name}"] if name else []


def _parameters(request: Mapping[str, Any], account: str, region: str) -> list[str]:
    names = [request.get("name"), request.get("path"), *(request.get("names") or ())]
    made = [str(one) for one in names if isinstance(one, str) and one]
    return [
        one if one.startswith("arn:") else f"arn:aws:ssm:{region}:{account}:parameter/{one.lstrip('/')}" for one in made
    ]


def _secret(request: Mapping[str, Any], account: str, region: str) -> list[str]:
    id = str(request.get("secretId") or "")
    if not id or id.startswith("arn:"):
        return [id] if id else []
    # the ARN of a secret ends in six characters that its name does not tell
    return [f"arn:aws:secretsmanager:{region}:{account}:secret:{id}-??????"]
