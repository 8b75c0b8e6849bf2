"""The calls whose records are the patterns of the bench's events: made on moto, told as CloudTrail tells them.

Some fifty kinds of call in the mix of a busy account: five reads to a write, role sessions more than users.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from uwu.sim.cloudtrail import Clock, Identity, Recorder
from uwu.sim.identities import CLI
from uwu.sim.server import MotoServer

ACCOUNT, REGION = "123456789012", "eu-west-1"

_TRUSTED = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
_TRUST = json.dumps({"Version": "2012-10-17", "Statement": [_TRUSTED]})
_ALLOWED = {"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": "*"}
_POLICY = json.dumps({"Version": "2012-10-17", "Statement": [_ALLOWED]})


@cache
def recorded() -> list[dict[str, Any]]:
    """One record of each kind of call that moto answered, the user's identity still in it."""
    with MotoServer() as server:
        clock = Clock(7)
        clock.set(datetime(2026, 3, 10, 9, tzinfo=UTC))
        recorder = Recorder(server.url, clock, 7)
        who = Identity(
            user_identity={"type": "IAMUser", "userName": "bench", "accountId": ACCOUNT},
            account=ACCOUNT,
            user_agent=CLI,
            source_ip="192.0.2.10",
            access_key="testing",
            secret_key="testing",
        )

        def client(service: str) -> Any:
            return recorder.client(who, service, REGION)

        _Story(client).tell()
        return [record for _, record in recorder.records if not record.get("errorCode")]


class _Story:
    def __init__(self, client: Callable[[str], Any]) -> None:
        self._client = client

    def _try(self, call: Callable[..., Any], **parameters: Any) -> dict[str, Any]:
        with suppress(ClientError, BotoCoreError):
            return call(**parameters)
        return {}

    def tell(self) -> None:
        self._ec2()
        self._iam()
        self._storage()
        self._services()

    def _ec2(self) -> None:
        ec2 = self._client("ec2")
        tags = [{"Key": "Name", "Value": "bench-0001"}, {"Key": "team", "Value": "checkout"}]
        vpc = self._try(ec2.create_vpc, CidrBlock="10.7.0.0/16")["Vpc"]["VpcId"]
        subnet = self._try(ec2.create_subnet, VpcId=vpc, CidrBlock="10.7.1.0/24")["Subnet"]["SubnetId"]
        group = self._try(ec2.create_security_group, GroupName="bench-0002", Description="web", VpcId=vpc)["GroupId"]
        rule = [{"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}]
        self._try(ec2.authorize_security_group_ingress, GroupId=group, IpPermissions=rule)
        self._try(ec2.revoke_security_group_ingress, GroupId=group, IpPermissions=rule)
        made = self._try(
            ec2.run_instances,
            ImageId="ami-12c6146b",
            InstanceType="t3.medium",
            MinCount=1,
            MaxCount=1,
            SubnetId=subnet,
            SecurityGroupIds=[group],
            TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
        )
        id = made["Instances"][0]["InstanceId"] if made else "i-0123456789abcdef0"
        volume = self._try(ec2.create_volume, AvailabilityZone=f"{REGION}a", Size=100)["VolumeId"]
        self._try(ec2.create_tags, Resources=[id, volume], Tags=tags)
        self._try(ec2.attach_volume, Device="/dev/sdf", InstanceId=id, VolumeId=volume)
        self._try(ec2.create_snapshot, VolumeId=volume, Description="nightly")
        for name, parameters in (
            ("describe_instances", {"InstanceIds": [id]}),
            ("describe_instances", {"Filters": [{"Name": "tag:team", "Values": ["checkout"]}]}),
            ("describe_security_groups", {"GroupIds": [group]}),
            ("describe_subnets", {"SubnetIds": [subnet]}),
            ("describe_vpcs", {"VpcIds": [vpc]}),
            ("describe_volumes", {}),
            ("describe_network_interfaces", {"Filters": [{"Name": "group-id", "Values": [group]}]}),
            ("describe_instance_status", {"InstanceIds": [id]}),
            ("describe_tags", {"Filters": [{"Name": "resource-id", "Values": [id]}]}),
            ("describe_route_tables", {"Filters": [{"Name": "vpc-id", "Values": [vpc]}]}),
        ):
            self._try(getattr(ec2, name), **parameters)
        self._try(ec2.terminate_instances, InstanceIds=[id])

    def _iam(self) -> None:
        iam, sts = self._client("iam"), self._client("sts")
        role = {"RoleName": "bench-0003"}
        self._try(iam.create_role, **role, AssumeRolePolicyDocument=_TRUST)
        self._try(iam.put_role_policy, **role, PolicyName="bench-0004", PolicyDocument=_POLICY)
        self._try(iam.tag_role, **role, Tags=[{"Key": "team", "Value": "checkout"}])
        for name in ("get_role", "list_role_policies", "list_attached_role_policies", "list_role_tags"):
            self._try(getattr(iam, name), **role)
        self._try(iam.get_role_policy, **role, PolicyName="bench-0004")
        self._try(sts.get_caller_identity)

    def _storage(self) -> None:
        s3 = self._client("s3")
        bucket = {"Bucket": "bench-0005"}
        self._try(s3.create_bucket, **bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
        self._try(s3.put_bucket_tagging, **bucket, Tagging={"TagSet": [{"Key": "team", "Value": "checkout"}]})
        self._try(s3.put_bucket_versioning, **bucket, VersioningConfiguration={"Status": "Enabled"})
        for name in ("get_bucket_acl", "get_bucket_versioning", "get_bucket_tagging", "get_bucket_location"):
            self._try(getattr(s3, name), **bucket)
        self._try(s3.list_buckets)
        table = {"TableName": "bench-0006"}
        dynamodb = self._client("dynamodb")
        self._try(
            dynamodb.create_table,
            **table,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        self._try(dynamodb.describe_table, **table)
        self._try(dynamodb.list_tables)
        kms = self._client("kms")
        key = self._try(kms.create_key, Description="bench-0007")["KeyMetadata"]["KeyId"]
        data = self._try(kms.generate_data_key, KeyId=key, KeySpec="AES_256", EncryptionContext={"app": "checkout"})
        self._try(kms.decrypt, CiphertextBlob=data["CiphertextBlob"], EncryptionContext={"app": "checkout"})
        self._try(kms.describe_key, KeyId=key)

    def _services(self) -> None:
        sqs, sns, logs = self._client("sqs"), self._client("sns"), self._client("logs")
        queue = self._try(sqs.create_queue, QueueName="bench-0008")["QueueUrl"]
        self._try(sqs.get_queue_attributes, QueueUrl=queue, AttributeNames=["All"])
        self._try(sqs.set_queue_attributes, QueueUrl=queue, Attributes={"VisibilityTimeout": "60"})
        topic = self._try(sns.create_topic, Name="bench-0009")["TopicArn"]
        self._try(sns.get_topic_attributes, TopicArn=topic)
        self._try(logs.create_log_group, logGroupName="/aws/lambda/bench-0010")
        self._try(logs.create_log_stream, logGroupName="/aws/lambda/bench-0010", logStreamName="2026/03/10/bench-0011")
        self._try(logs.describe_log_groups, logGroupNamePrefix="/aws/lambda/bench-0010")
        ssm = self._client("ssm")
        self._try(ssm.put_parameter, Name="/bench-0012/url", Value="https://example.com", Type="String")
        self._try(ssm.get_parameter, Name="/bench-0012/url", WithDecryption=True)
        self._try(ssm.describe_parameters)
        secrets = self._client("secretsmanager")
        secret = self._try(secrets.create_secret, Name="bench-0013", SecretString="-").get("ARN", "")
        self._try(secrets.get_secret_value, SecretId=secret)
        body = io.BytesIO()
        with zipfile.ZipFile(body, "w") as archive:
            archive.writestr("main.py", "def handler(event, context): return 1")
        role = f"arn:aws:iam::{ACCOUNT}:role/bench-0003"
        self._try(
            self._client("lambda").create_function,
            FunctionName="bench-0014",
            Runtime="python3.13",
            Role=role,
            Handler="main.handler",
            Code={"ZipFile": body.getvalue()},
            Environment={"Variables": {"STAGE": "production"}},
        )
        self._try(self._client("lambda").get_function, FunctionName="bench-0014")
        self._try(self._client("lambda").list_functions)
        rds = self._client("rds")
        self._try(rds.describe_db_instances)
        self._try(
            rds.create_db_instance,
            DBInstanceIdentifier="bench-0015",
            DBInstanceClass="db.t4g.medium",
            Engine="postgres",
            MasterUsername="app",
            MasterUserPassword="not-a-secret",
            AllocatedStorage=100,
        )
        self._try(self._client("elbv2").describe_load_balancers)
        self._try(self._client("cloudwatch").describe_alarms)
        self._try(self._client("autoscaling").describe_auto_scaling_groups)
