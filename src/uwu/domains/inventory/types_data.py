"""Where data lies and what guards it: S3, RDS, KMS, Secrets Manager."""

from __future__ import annotations

from uwu.domains.inventory.model import AWS, Each, Item, Join, Link, Scope, Spec, arn, ec2, kms_key, member
from uwu.kernel import urns

_RULES = "ServerSideEncryptionConfiguration.Rules[].ApplyServerSideEncryptionByDefault.KMSMasterKeyID"


def _bucket(item: Item) -> dict[str, str]:
    return {"Bucket": item["Name"]}


def _unqualified(scope: Scope, value: str) -> str:
    """A function's ARN without its version or alias."""
    return urns.canonical(arn(scope, value))


def _rotates(item: Item) -> bool:
    """Only symmetric keys of the customer with AWS's own material have a rotation to ask for."""
    return (
        item.get("KeyManager") == "CUSTOMER"
        and item.get("KeySpec", "SYMMETRIC_DEFAULT") == "SYMMETRIC_DEFAULT"
        and item.get("Origin") == "AWS_KMS"
        and item.get("KeyState") in {"Enabled", "Disabled"}
    )


def _key_maker(_scope: Scope, item: Item) -> str:
    """AWS's own keys; their reserved alias tells it too, where the key's own description is not to be had."""
    return AWS if item.get("KeyManager") == "AWS" or str(item.get("_alias", "")).startswith("alias/aws/") else ""


SPECS = (
    Spec(
        "aws_s3_bucket",
        "S3 bucket",
        "s3",
        "archive",
        operation="ListBuckets",
        path="Buckets[].{Name: Name, CreationDate: CreationDate, BucketArn: BucketArn, Region: BucketRegion}",
        arguments={"MaxBuckets": 1000},
        urn=lambda scope, item: str(
            item.get("BucketArn") or urns.s3_bucket(str(item["Name"]), partition=scope.partition)
        ),
        label="Name",
        extras=(
            Each(
                "GetBucketLocation",
                _bucket,
                "LocationConstraint || 'us-east-1'",
                "Region",
                when=lambda item: not item["Region"],
            ),
            Each("GetBucketVersioning", _bucket, "@", "Versioning"),
            Each(
                "GetBucketEncryption",
                _bucket,
                "ServerSideEncryptionConfiguration",
                "ServerSideEncryptionConfiguration",
                frozenset({"ServerSideEncryptionConfigurationNotFoundError"}),
            ),
            Each(
                "GetPublicAccessBlock",
                _bucket,
                "PublicAccessBlockConfiguration",
                "PublicAccessBlockConfiguration",
                frozenset({"NoSuchPublicAccessBlockConfiguration"}),
            ),
            Each("GetBucketPolicy", _bucket, "Policy", "Policy", frozenset({"NoSuchBucketPolicy"})),
            Each("GetBucketAcl", _bucket, "{Owner: Owner, Grants: Grants}", "Acl"),
            Each(
                "GetBucketOwnershipControls",
                _bucket,
                "OwnershipControls",
                "OwnershipControls",
                frozenset({"OwnershipControlsNotFoundError"}),
            ),
            Each(
                "GetBucketWebsite",
                _bucket,
                "{IndexDocument: IndexDocument, RedirectAllRequestsTo: RedirectAllRequestsTo}",
                "Website",
                frozenset({"NoSuchWebsiteConfiguration"}),
            ),
            Each(
                "GetBucketNotificationConfiguration",
                _bucket,
                "{TopicConfigurations: TopicConfigurations, QueueConfigurations: QueueConfigurations, "
                "LambdaFunctionConfigurations: LambdaFunctionConfigurations}",
                "Notifications",
            ),
            Each("GetBucketLogging", _bucket, "LoggingEnabled", "Logging"),
            Each("GetBucketTagging", _bucket, "TagSet", "Tags", frozenset({"NoSuchTagSet", "NoSuchTagSetError"})),
        ),
        links=(
            Link("encryptedBy", _RULES, arn),
            Link("notifies", "Notifications.TopicConfigurations[].TopicArn", arn),
            Link("notifies", "Notifications.QueueConfigurations[].QueueArn", arn),
            Link("notifies", "Notifications.LambdaFunctionConfigurations[].LambdaFunctionArn", _unqualified),
            Link("logsTo", "Logging.TargetBucket", lambda scope, v: urns.s3_bucket(v, partition=scope.partition)),
        ),
        documents=frozenset({"Policy"}),
        everywhere=True,
    ),
    Spec(
        "aws_rds_db_instance",
        "RDS instance",
        "rds",
        "database",
        operation="DescribeDBInstances",
        path="DBInstances",
        urn=member("DBInstanceArn"),
        label="DBInstanceIdentifier",
        tags="TagList",
        links=(
            Link("inVpc", "DBSubnetGroup.VpcId", ec2("vpc")),
            Link("inSubnet", "DBSubnetGroup.Subnets[].SubnetIdentifier", ec2("subnet")),
            Link("hasSecurityGroup", "VpcSecurityGroups[].VpcSecurityGroupId", ec2("security-group")),
            Link("encryptedBy", "KmsKeyId", kms_key),
            Link("usesSecret", "MasterUserSecret.SecretArn", arn),
            Link("inSubnetGroup", "DBSubnetGroup.DBSubnetGroupArn", arn),
            Link("runsAs", "AssociatedRoles[].RoleArn", arn),
        ),
        drop=frozenset({"LatestRestorableTime"}),
    ),
    Spec(
        "aws_kms_key",
        "KMS key",
        "kms",
        "key-square",
        operation="ListKeys",
        path="Keys",
        urn=lambda _scope, item: str(item["KeyArn"]),
        label="_alias || Description || KeyId",
        extras=(
            Join("ListAliases", "Aliases", key="TargetKeyId", on="KeyId", members={"_alias": "AliasName"}),
            Each("DescribeKey", lambda item: {"KeyId": item["KeyId"]}, "KeyMetadata"),
            Each(
                "GetKeyRotationStatus",
                lambda item: {"KeyId": item["KeyId"]},
                "@",
                when=_rotates,
            ),
            Each(
                "GetKeyPolicy",
                lambda item: {"KeyId": item["KeyId"], "PolicyName": "default"},
                "Policy",
                "Policy",
                when=lambda item: item.get("KeyManager") == "CUSTOMER",
            ),
            Each(
                "ListResourceTags",
                lambda item: {"KeyId": item["KeyId"]},
                "Tags",
                "Tags",
                when=lambda item: item.get("KeyManager") == "CUSTOMER",
            ),
        ),
        managed_by=_key_maker,
        drop=frozenset({"KeyArn"}),
        documents=frozenset({"Policy"}),
    ),
    Spec(
        "aws_secretsmanager_secret",
        "Secret",
        "secretsmanager",
        "lock-keyhole",
        operation="ListSecrets",
        path="SecretList",
        urn=member("ARN"),
        label="Name",
        extras=(Each("GetResourcePolicy", lambda item: {"SecretId": item["ARN"]}, "ResourcePolicy", "ResourcePolicy"),),
        documents=frozenset({"ResourcePolicy"}),
        links=(
            Link("encryptedBy", "KmsKeyId", kms_key),
            Link("rotatedBy", "RotationLambdaARN", arn),
        ),
        managed_by=lambda _scope, item: AWS if item.get("OwningService") else "",
        drop=frozenset({"LastAccessedDate"}),
    ),
)
