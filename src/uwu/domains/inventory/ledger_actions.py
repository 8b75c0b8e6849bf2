"""Which IAM action a denied call lacks: what AWS's message says, else what its operation is called in policies.

Prefixes and names are those of the Service Authorization Reference, where they are not the API's own.
"""

from __future__ import annotations

import re

_TOLD = re.compile(r"not authorized to perform:? ([a-z0-9-]+:[A-Za-z0-9]+)")

_PREFIXES = {
    "amp": "aps",
    "apigatewayv2": "apigateway",
    "cloudcontrol": "cloudformation",
    "cloudhsmv2": "cloudhsm",
    "configservice": "config",
    "docdb": "rds",
    "efs": "elasticfilesystem",
    "elb": "elasticloadbalancing",
    "elbv2": "elasticloadbalancing",
    "emr": "elasticmapreduce",
    "keyspaces": "cassandra",
    "kinesisanalyticsv2": "kinesisanalytics",
    "lexv2-models": "lex",
    "mwaa": "airflow",
    "neptune": "rds",
    "opensearch": "es",
    "opensearchserverless": "aoss",
    "pinpoint": "mobiletargeting",
    "resourcegroupstaggingapi": "tag",
    "s3control": "s3",
    "sesv2": "ses",
    "sso-admin": "sso",
    "stepfunctions": "states",
    "timestream-write": "timestream",
}
"""botocore's name of a service -> its prefix in policies, where they differ."""

_NAMES = {
    ("s3", "ListBuckets"): "s3:ListAllMyBuckets",
    ("s3", "ListObjectsV2"): "s3:ListBucket",
    ("s3", "HeadBucket"): "s3:ListBucket",
    ("s3", "GetBucketAccelerateConfiguration"): "s3:GetAccelerateConfiguration",
    ("s3", "GetBucketCors"): "s3:GetBucketCORS",
    ("s3", "GetBucketEncryption"): "s3:GetEncryptionConfiguration",
    ("s3", "GetBucketLifecycleConfiguration"): "s3:GetLifecycleConfiguration",
    ("s3", "GetBucketNotificationConfiguration"): "s3:GetBucketNotification",
    ("s3", "GetBucketReplication"): "s3:GetReplicationConfiguration",
    ("s3", "GetPublicAccessBlock"): "s3:GetBucketPublicAccessBlock",
    ("s3", "GetObjectLockConfiguration"): "s3:GetBucketObjectLockConfiguration",
    ("s3control", "GetPublicAccessBlock"): "s3:GetAccountPublicAccessBlock",
}
"""Operations that policies call by another name."""


def lacking(service: str, operation: str, message: str) -> str:
    """The action that a policy must allow for ``operation`` of ``service``, which AWS denied with ``message``.

    ``ec2:DescribeInstances``; empty where neither tells. API Gateway's policies know methods only: ``apigateway:GET``.
    """
    told = _TOLD.search(message)
    if told is not None:
        return told[1]
    if not operation:
        return ""
    prefix = _PREFIXES.get(service, service)
    if prefix == "apigateway":
        return "apigateway:GET"
    return _NAMES.get((service, operation)) or f"{prefix}:{operation}"
