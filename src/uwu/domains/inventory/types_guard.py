"""What guards an account: its root user, its trails, what records its configuration, and its defaults."""

from __future__ import annotations

from uwu.domains.inventory.model import AWS, Each, Item, Join, Link, Spec, arn, kms_key, member
from uwu.kernel import urns


def _table(item: Item) -> dict[str, str]:
    return {"TableName": item["TableName"]}


_FLAGS = (
    "AccountAccessKeysPresent",
    "AccountMFAEnabled",
    "AccountPasswordPresent",
    "AccountSigningCertificatesPresent",
)
"""Of the summary what tells of the root user; the rest counts and changes all day."""

SPECS = (
    Spec(
        "aws_iam_account_summary",
        "Root user",
        "iam",
        "shield-user",
        operation="",
        path="",
        urn=lambda scope, _item: urns.own("iam", "account-summary", "root-user", account=scope.account),
        label="'root user'",
        extras=(
            Each("GetAccountSummary", lambda _item: {}, f"SummaryMap.{{{', '.join(f'{n}: {n}' for n in _FLAGS)}}}"),
        ),
        managed_by=lambda _scope, _item: AWS,
        everywhere=True,
    ),
    Spec(
        "aws_cloudtrail_trail",
        "CloudTrail trail",
        "cloudtrail",
        "footprints",
        operation="DescribeTrails",
        path="trailList",
        # of a trail of several regions the others hold shadows
        arguments={"includeShadowTrails": False},
        urn=member("TrailARN"),
        label="Name",
        where=lambda scope, item: urns.account_of(str(item.get("TrailARN"))) == scope.account,
        extras=(
            Each("GetTrailStatus", lambda item: {"Name": item["TrailARN"]}, "IsLogging", "IsLogging"),
            Each(
                "ListTags",
                lambda item: {"ResourceIdList": [item["TrailARN"]]},
                "ResourceTagList[0].TagsList",
                "TagsList",
            ),
        ),
        tags="TagsList",
        links=(
            Link("logsTo", "S3BucketName", lambda scope, v: urns.s3_bucket(v, partition=scope.partition)),
            Link("logsTo", "CloudWatchLogsLogGroupArn", lambda scope, v: arn(scope, v).removesuffix(":*")),
            Link("notifies", "SnsTopicARN", arn),
            Link("encryptedBy", "KmsKeyId", kms_key),
        ),
        keys=("IsLogging", "IsMultiRegionTrail", "IsOrganizationTrail", "LogFileValidationEnabled", "S3BucketName"),
    ),
    Spec(
        "aws_config_configuration_recorder",
        "Config recorder",
        "config",
        "camera",
        operation="DescribeConfigurationRecorders",
        path="ConfigurationRecorders",
        urn=lambda scope, item: str(
            item.get("arn")
            or urns.own("config", "configuration-recorder", item["name"], account=scope.account, region=scope.region)
        ),
        label="name",
        extras=(
            Join(
                "DescribeConfigurationRecorderStatus",
                "ConfigurationRecordersStatus",
                key="name",
                on="name",
                members={"recording": "recording"},
            ),
        ),
        links=(Link("runsAs", "roleARN", arn),),
        # those that a service records by
        managed_by=lambda _scope, item: AWS if item.get("servicePrincipal") else "",
        keys=("recording", "recordingGroup", "roleARN"),
    ),
    Spec(
        "aws_ec2_regional_settings",
        "EC2 settings of the region",
        "ec2",
        "settings-2",
        operation="GetEbsEncryptionByDefault",
        path="[{EbsEncryptionByDefault: EbsEncryptionByDefault}]",
        urn=lambda scope, _item: urns.own(
            "ec2", "regional-settings", "settings", account=scope.account, region=scope.region
        ),
        label="'EC2 settings'",
        managed_by=lambda _scope, _item: AWS,
    ),
    Spec(
        "aws_dynamodb_table",
        "DynamoDB table",
        "dynamodb",
        "database",
        operation="ListTables",
        path="TableNames[].{TableName: @}",
        urn=lambda scope, item: urns.arn(
            "dynamodb", f"table/{item['TableName']}", account=scope.account, region=scope.region
        ),
        label="TableName",
        extras=(
            Each("DescribeTable", _table, "Table"),
            # its windows move with the clock
            Each(
                "DescribeContinuousBackups",
                _table,
                "ContinuousBackupsDescription.PointInTimeRecoveryDescription.{"
                "Status: PointInTimeRecoveryStatus, RecoveryPeriodInDays: RecoveryPeriodInDays}",
                "PointInTimeRecovery",
            ),
            Each("ListTagsOfResource", lambda item: {"ResourceArn": item["TableArn"]}, "Tags", "Tags"),
        ),
        links=(Link("encryptedBy", "SSEDescription.KMSMasterKeyArn", kms_key),),
        drop=frozenset({"ItemCount", "TableSizeBytes", "LatestStreamLabel"}),
        keys=(
            "TableStatus",
            "BillingModeSummary",
            "DeletionProtectionEnabled",
            "PointInTimeRecovery",
            "KeySchema",
        ),
    ),
)
