"""An account made in moto by AWS's own client, observed by the real reader, judged by every rule at once."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.domains.inventory import world
from tests.domains.inventory.conftest import Open
from tests.domains.inventory.rules.cases import ALL, policy
from uwu.domains.inventory.rules import RULES, sweep
from uwu.kernel.model import Found

if TYPE_CHECKING:
    from uwu.sim.server import MotoServer


EXPECTED: dict[str, tuple[str, ...]] = {
    "database-no-backup": ("RDS instance careless",),
    "database-no-deletion-protection": ("DynamoDB table orders", "RDS instance careless"),
    "database-single-zone": ("RDS instance careless",),
    "database-unencrypted": ("RDS instance careless",),
    "dns-dangling": ("DNS record gone.example.net leads to the bucket gone.example.net",),
    "ebs-default-encryption": ("Region eu-west-1",),
    "engine-ended": ("RDS instance careless is on mysql 5.7",),
    "function-secret-in-plain": ("Lambda function old holds API_KEY in",),
    "key-deletion": ("KMS key doomed",),
    "key-rotation": ("KMS key orders", "KMS key turning"),
    "oidc-any-subject": ("IAM role any-repository",),
    "policy-everything": ("IAM policy everything",),
    "queue-public": ("SQS queue open",),
    "queue-unencrypted": ("SQS queue open",),
    "role-anyone": ("IAM role anyone",),
    "runtime-ended": ("Lambda function old",),
    "s3-account-block": ("BlockPublicAcls",),
    "snapshot-public": ("EBS snapshot",),
    "table-no-recovery": ("DynamoDB table orders",),
    "trail-missing": ("is recorded by no trail",),
    "trail-no-validation": ("CloudTrail trail quiet",),
    "trail-stopped": ("CloudTrail trail quiet",),
    "user-admin": ("IAM user ada",),
    "user-console-no-mfa": ("IAM user ada",),
}
"""Rule -> what it says, of whom; their good neighbours (bob, careful, closed, rotated, one-repository) are not here."""


def careless(account: world.AccountWorld) -> None:
    """What the rules should find, beside its good neighbours."""
    world.network(account)
    iam, ec2 = account.client("iam"), account.client("ec2")

    def role(name: str, principal: Any, action: str = "sts:AssumeRole", **more: Any) -> None:
        trust = policy(principal, action, **more)
        del trust["Statement"][0]["Resource"]
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))

    role("anyone", "*")
    role("service", {"Service": "lambda.amazonaws.com"})
    github = {"Federated": f"arn:aws:iam::{account.id}:oidc-provider/token.actions.githubusercontent.com"}
    role("any-repository", github, "sts:AssumeRoleWithWebIdentity")
    pinned = {"StringLike": {"token.actions.githubusercontent.com:sub": "repo:acme/shop:*"}}
    role("one-repository", github, "sts:AssumeRoleWithWebIdentity", Condition=pinned)
    for name in ("ada", "bob"):
        iam.create_user(UserName=name)
    iam.create_login_profile(UserName="ada", Password="Not-a-secret-1!")
    iam.put_user_policy(UserName="ada", PolicyName="everything", PolicyDocument=json.dumps(ALL))
    iam.create_policy(PolicyName="everything", PolicyDocument=json.dumps(ALL))
    ec2.create_volume(AvailabilityZone=world.REGION + "a", Size=8, Encrypted=False)
    sqs = account.client("sqs")
    for name, who in (("open", "*"), ("closed", {"AWS": f"arn:aws:iam::{account.id}:root"})):
        sqs.create_queue(
            QueueName=name,
            Attributes={
                "Policy": json.dumps(policy(who, "sqs:*")),
                "SqsManagedSseEnabled": str(name != "open").lower(),
            },
        )
    kms = account.client("kms")
    kms.create_key(Description="turning")
    kms.enable_key_rotation(KeyId=kms.create_key(Description="rotated")["KeyMetadata"]["KeyId"])
    doomed = kms.create_key(Description="doomed")["KeyMetadata"]["KeyId"]
    kms.schedule_key_deletion(KeyId=doomed, PendingWindowInDays=7)
    rds = account.client("rds")
    for name, good in (("careless", False), ("careful", True)):
        rds.create_db_instance(
            DBInstanceIdentifier=name,
            DBInstanceClass="db.t3.micro",
            Engine="mysql",
            EngineVersion="8.4.3" if good else "5.7.44",
            AllocatedStorage=20,
            MasterUsername="orders",
            MasterUserPassword="not-a-secret-1",
            StorageEncrypted=good,
            BackupRetentionPeriod=7 if good else 0,
            DeletionProtection=good,
            MultiAZ=good,
            Tags=world.tags(environment="production"),
        )
    world.identities(account)
    account.ids["kms"] = kms.create_key(Description="orders")["KeyMetadata"]["Arn"]
    world.application(account)
    account.client("lambda").create_function(
        FunctionName="old",
        Runtime="python3.8",
        Role=account.ids["role"],
        Handler="x.y",
        Code={"ZipFile": b"x"},
        Environment={"Variables": {"API_KEY": "hush-hush-1", "STAGE": "test"}},
    )
    dynamodb = account.client("dynamodb")
    dynamodb.create_table(
        TableName="orders",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        Tags=world.tags(environment="production"),
    )
    account.client("s3").create_bucket(
        Bucket=f"logs-{account.id}", CreateBucketConfiguration={"LocationConstraint": world.REGION}
    )
    trail = account.client("cloudtrail")
    trail.create_trail(Name="quiet", S3BucketName=f"logs-{account.id}", EnableLogFileValidation=False)
    snapshot = ec2.create_snapshot(VolumeId=account.ids["volume"])["SnapshotId"]
    ec2.modify_snapshot_attribute(
        SnapshotId=snapshot, Attribute="createVolumePermission", OperationType="add", GroupNames=["all"]
    )
    account.ids["shared"] = snapshot
    dns = account.client("route53")
    zone = dns.create_hosted_zone(Name="example.net", CallerReference=account.id)["HostedZone"]["Id"]
    record = {
        "Name": "gone.example.net",
        "Type": "CNAME",
        "TTL": 60,
        "ResourceRecords": [{"Value": "gone.example.net.s3-website-eu-west-1.amazonaws.com"}],
    }
    dns.change_resource_record_sets(
        HostedZoneId=zone, ChangeBatch={"Changes": [{"Action": "UPSERT", "ResourceRecordSet": record}]}
    )


def test_a_careless_account(aws_server: MotoServer, open_kernel: Open) -> None:
    account = world.new_account(aws_server.url)
    careless(account)
    kernel = open_kernel(account)
    world.sync(kernel)
    with kernel.db.read() as connection:
        said = list(sweep(kernel, connection, frozenset(rule.id for rule in RULES)))
    found: dict[str, set[str]] = {}
    for id, one in said:
        if isinstance(one, Found):
            found.setdefault(id.removeprefix("inventory."), set()).add(one.title)
    assert found.keys() >= EXPECTED.keys()
    for rule, names in EXPECTED.items():
        assert len(found[rule]) == len(names), (rule, found[rule])
        for name in names:
            assert any(name in title for title in found[rule]), (rule, name, found[rule])
    assert found.keys() - EXPECTED.keys() == set(), "nothing else is said of it"
    assert "hush-hush" not in str(said), "no value of a secret is told"
