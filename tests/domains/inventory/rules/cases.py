"""What every rule says: where it fires, of which nearest neighbours it is silent, and where it cannot judge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.domains.inventory.rules.held import Held, World, ago, network, production
from tests.domains.inventory.test_exposure import ec2, instance
from tests.kernel.world import ACCOUNT, REGION
from uwu.domains.inventory.rules.model import CRITICAL, HIGH, MEDIUM
from uwu.kernel.model import CellStatus, Severity

OTHER, ELSEWHERE = "999988887777", "eu-north-1"
DENIED = CellStatus.DENIED


@dataclass(frozen=True)
class Case:
    """The first of each world is what the rule speaks of."""

    rule: str
    fires: World
    severity: Severity
    title: str
    path: str
    observed: Any
    silent: tuple[World, ...]
    unjudged: World = ()
    settings: tuple[tuple[str, Any], ...] = ()
    says: int = 1


CASES: list[Case] = []


def case(
    rule: str,
    fires: Held | World,
    severity: Severity,
    title: str,
    path: str,
    observed: Any,
    *silent: Held | World,
    unjudged: Held | World = (),
    **settings: Any,
) -> None:
    def world(one: Held | World) -> World:
        return (one,) if isinstance(one, Held) else one

    CASES.append(
        Case(
            rule,
            world(fires),
            severity,
            title,
            path,
            observed,
            tuple(world(each) for each in silent),
            world(unjudged),
            tuple(settings.items()),
        )
    )


def policy(principal: Any = "*", action: Any = "*", resource: Any = "*", **more: Any) -> dict[str, Any]:
    told = {"Sid": "One", "Effect": "Allow", "Principal": principal, "Action": action, "Resource": resource, **more}
    return {"Version": "2012-10-17", "Statement": [told]}


ORG = {"StringEquals": {"aws:PrincipalOrgID": "o-abc1234567"}}
ODD = {"StringLike": {"aws:PrincipalTag/team": "pay*"}}
EVERYONE, OURS, UNCLEAR = policy(), policy(Condition=ORG), policy(Condition=ODD)

# ---- exposure

machine = Held("aws_ec2_instance", instance("i-1", "subnet-1", ["sg-web"], "203.0.113.9"), urn=ec2("instance", "i-1"))
inside = machine.of(told=instance("i-1", "subnet-1", ["sg-web"]))
UNROUTED = {"aws_vpc_route_table": DENIED, "aws_vpc_security_group": DENIED}
case(
    "admin-ports-public",
    (production(machine), *network(port=22)),
    CRITICAL,
    "is open to the internet for SSH",
    "IpPermissions",
    ["tcp/22"],
    (machine, *network(port=443)),
    (inside, *network(port=22)),
    unjudged=(machine, *(held for held in network(port=22) if held.type != "aws_vpc_security_group")),
)
case(
    "data-ports-public",
    (machine, *network(port=6379)),
    HIGH,
    "is open to the internet for Redis",
    "IpPermissions",
    ["tcp/6379"],
    (machine, *network(port=22)),
    unjudged=(machine, *(held for held in network(port=6379) if held.type != "aws_vpc_security_group")),
)
database = Held(
    "aws_rds_db_instance",
    {
        "DBInstanceIdentifier": "orders",
        "PubliclyAccessible": True,
        "Endpoint": {"Address": "orders.rds.amazonaws.com", "Port": 5432},
        "DBSubnetGroup": {"VpcId": "vpc-1", "Subnets": [{"SubnetIdentifier": "subnet-1"}]},
        "VpcSecurityGroups": [{"VpcSecurityGroupId": "sg-web"}],
        "Engine": "postgres",
        "EngineVersion": "16.3",
        "StorageEncrypted": True,
        "BackupRetentionPeriod": 7,
        "DeletionProtection": True,
        "MultiAZ": True,
    },
    id="orders",
)
case(
    "database-public",
    (database, *network(port=5432)),
    CRITICAL,
    "RDS instance orders is open to the internet",
    "PubliclyAccessible",
    ["tcp/5432"],
    (database.but(PubliclyAccessible=False), *network(port=5432)),
    (database, *network(port=443)),
    unjudged=(database.but(PubliclyAccessible=None).of(status=DENIED), *network(port=5432)),
)
warehouse = Held("aws_redshift_cluster", {"PubliclyAccessible": True, "Encrypted": False})
case(
    "warehouse-public",
    warehouse,
    HIGH,
    "Redshift cluster one has a public address",
    "PubliclyAccessible",
    True,
    warehouse.but(PubliclyAccessible=False),
    unjudged=warehouse.partly("PubliclyAccessible"),
)
eks = Held(
    "aws_eks_cluster",
    {"name": "one", "version": "1.30", "resourcesVpcConfig": {"endpointPublicAccess": True,
     "publicAccessCidrs": ["0.0.0.0/0"]}},
)  # fmt: skip
case(
    "cluster-endpoint-public",
    eks,
    MEDIUM,
    "has an API that is open to the internet",
    "resourcesVpcConfig.endpointPublicAccess",
    ["tcp/443"],
    eks.but(resourcesVpcConfig={"endpointPublicAccess": True, "publicAccessCidrs": ["198.51.100.0/24"]}),
    eks.but(resourcesVpcConfig={"endpointPublicAccess": False}),
    unjudged=eks.but(resourcesVpcConfig={}),
)
v1 = machine.but(
    MetadataOptions={"HttpTokens": "optional", "HttpEndpoint": "enabled"},
    IamInstanceProfile={"Arn": "arn:aws:iam::1:instance-profile/web"},
)
case(
    "imds-v1-public",
    (v1, *network()),
    HIGH,
    "is on the internet and answers version 1",
    "MetadataOptions.HttpTokens",
    ["tcp/443"],
    (v1.but(MetadataOptions={"HttpTokens": "required", "HttpEndpoint": "enabled"}), *network()),
    (v1.but(IamInstanceProfile=None), *network()),
    (inside.but(**{n: (v1.told or {})[n] for n in ("MetadataOptions", "IamInstanceProfile")}), *network()),
    unjudged=v1.partly("MetadataOptions"),
)
search = Held(
    "aws_opensearch_domain", {"DomainName": "one", "Endpoint": "one.es.amazonaws.com", "AccessPolicies": EVERYONE}
)
case(
    "search-public",
    search,
    CRITICAL,
    "is open to the internet",
    "AccessPolicies",
    ["tcp/443"],
    search.but(AccessPolicies=OURS),
    search.but(VPCOptions={"VPCId": "vpc-1"}),
    unjudged=search.but(AccessPolicies=UNCLEAR),
)
bucket = Held("aws_s3_bucket", {"Name": "one", "Policy": EVERYONE, "Acl": {"Grants": []}, "Region": REGION})
s3_account = Held("aws_s3_account_settings", {}, region="global")
s3_account_here = Held("aws_s3_account_settings", {})
case(
    "bucket-public",
    (bucket, s3_account_here),
    HIGH,
    "is public",
    "PublicAccessBlockConfiguration",
    None,
    (bucket.but(PublicAccessBlockConfiguration={"RestrictPublicBuckets": True}), s3_account_here),
    (bucket, s3_account_here.but(PublicAccessBlockConfiguration={"RestrictPublicBuckets": True})),
    (bucket.but(Policy=OURS), s3_account_here),
    unjudged=(bucket, s3_account_here.of(told=None, status=DENIED)),
)
snapshot = Held("aws_rds_db_snapshot", {"SnapshotType": "manual", "SnapshotAttributes": [
    {"AttributeName": "restore", "AttributeValues": ["all"]}]})  # fmt: skip
shared = [{"AttributeName": "restore", "AttributeValues": [OTHER]}]
case(
    "snapshot-public",
    snapshot,
    CRITICAL,
    "is shared with every AWS account",
    "RestorePermissions",
    None,
    snapshot.but(SnapshotAttributes=shared),
    Held("aws_ebs_snapshot", {"SnapshotId": "snap-1"}),
    unjudged=snapshot.partly("SnapshotAttributes"),
)
image = Held("aws_ec2_ami", {"ImageId": "ami-1", "Public": True})
case(
    "image-public",
    image,
    HIGH,
    "can be launched by every AWS account",
    "Public",
    None,
    image.but(Public=False),
    unjudged=image.but(Public=False).of(status=DENIED),
)
queue = Held(
    "aws_sqs_queue", {"QueueUrl": "https://sqs/one", "QueueArn": "arn:one", "Policy": EVERYONE,
    "SqsManagedSseEnabled": "false"},
)  # fmt: skip
topic = Held("aws_sns_topic", {"TopicArn": "arn:one", "Policy": EVERYONE})
key = Held(
    "aws_kms_key",
    {
        "KeyState": "Enabled",
        "KeyManager": "CUSTOMER",
        "KeySpec": "SYMMETRIC_DEFAULT",
        "Origin": "AWS_KMS",
        "KeyRotationEnabled": True,
        "Policy": EVERYONE,
    },
)
secret = Held("aws_secretsmanager_secret", {"Name": "one", "CreatedDate": ago(400), "ResourcePolicy": EVERYONE})
registry = Held("aws_ecr_repository", {"repositoryName": "one", "policy": EVERYONE})
function = Held("aws_lambda_function", {"FunctionName": "one", "Runtime": "python3.13", "Policy": EVERYONE})
for _rule, _held, _member, _severity in (
    ("queue-public", queue, "Policy", HIGH),
    ("topic-public", topic, "Policy", HIGH),
    ("key-public", key, "Policy", CRITICAL),
    ("secret-public", secret, "ResourcePolicy", CRITICAL),
    ("registry-public", registry, "policy", HIGH),
):
    case(
        _rule,
        _held,
        _severity,
        "by its policy",
        _member,
        None,
        _held.but(**{_member: OURS}),
        _held.but(**{_member: policy({"AWS": f"arn:aws:iam::{OTHER}:root"})}),
        unjudged=_held.but(**{_member: UNCLEAR}),
    )
case(
    "function-public",
    function,
    HIGH,
    "lets everyone invoke it by its policy",
    "Policy",
    ...,
    function.but(Policy=policy({"Service": "apigateway.amazonaws.com"}, "lambda:InvokeFunction")),
    function.but(Policy=OURS),
    function.but(Policy=None),
    unjudged=function.partly("Policy"),
)

# ---- identity

role = Held("aws_iam_role", {"RoleName": "one", "AssumeRolePolicyDocument": {}}, region="global")


def trusting(principal: Any, action: str = "sts:AssumeRole", **more: Any) -> Held:
    return role.but(AssumeRolePolicyDocument=policy(principal, action, **more))


case(
    "role-anyone",
    trusting("*"),
    CRITICAL,
    "may be assumed by anyone",
    "AssumeRolePolicyDocument",
    ...,
    trusting("*", Condition=ORG),
    trusting({"Service": "ec2.amazonaws.com"}),
    unjudged=role.partly("AssumeRolePolicyDocument"),
)
account = Held("aws_account", {"Status": "ACTIVE"}, region="global")
sibling = account.of(account="222233334444")
foreign = trusting({"AWS": f"arn:aws:iam::{OTHER}:root"})
case(
    "role-foreign",
    (foreign, account),
    HIGH,
    f"may be assumed by {OTHER}",
    "AssumeRolePolicyDocument",
    [OTHER],
    (trusting({"AWS": OTHER}, Condition={"StringEquals": {"sts:ExternalId": "x"}}), account),
    (trusting({"AWS": "arn:aws:iam::222233334444:root"}), account, sibling),
    (trusting({"AWS": f"arn:aws:iam::{ACCOUNT}:role/x"}), account),
    unjudged=(foreign, account.of(status=DENIED)),
)
GITHUB = {"Federated": f"arn:aws:iam::{ACCOUNT}:oidc-provider/token.actions.githubusercontent.com"}
BY_TOKEN, SUB = "sts:AssumeRoleWithWebIdentity", "token.actions.githubusercontent.com:sub"
case(
    "oidc-any-subject",
    trusting(GITHUB, BY_TOKEN),
    CRITICAL,
    "takes any token of token.actions.githubusercontent.com",
    "AssumeRolePolicyDocument",
    "token.actions.githubusercontent.com",
    trusting(GITHUB, BY_TOKEN, Condition={"StringLike": {SUB: "repo:acme/shop:*"}}),
    trusting({"Federated": f"arn:aws:iam::{ACCOUNT}:saml-provider/okta"}, "sts:AssumeRoleWithSAML"),
)
for_events = policy({"Service": "events.amazonaws.com"}, "sqs:SendMessage")
case(
    "service-for-anyone",
    queue.but(Policy=for_events),
    MEDIUM,
    "lets events.amazonaws.com in for anyone",
    "Policy",
    ["events.amazonaws.com"],
    queue.but(
        Policy=policy(
            {"Service": "events.amazonaws.com"}, Condition={"ArnEquals": {"aws:SourceArn": "arn:aws:events:x"}}
        )
    ),
    bucket.but(Policy=policy({"Service": "cloudtrail.amazonaws.com"}, "s3:GetBucketAcl")),
    bucket.but(
        Policy=policy({"Service": "cloudtrail.amazonaws.com"}, "s3:PutObject", f"arn:aws:s3:::logs/AWSLogs/{ACCOUNT}/*")
    ),
    queue.but(Policy=policy({"Service": "lambda.amazonaws.com"})),
    unjudged=queue.partly("Policy"),
)
root = Held(
    "aws_iam_account_summary",
    {"AccountAccessKeysPresent": 1, "AccountMFAEnabled": 0, "AccountPasswordPresent": 1},
    managed_by="aws",
    region="global",
)
case(
    "root-access-keys",
    root,
    CRITICAL,
    "has access keys",
    "AccountAccessKeysPresent",
    1,
    root.but(AccountAccessKeysPresent=0),
    unjudged=root.partly("AccountAccessKeysPresent"),
)
case(
    "root-no-mfa",
    root,
    CRITICAL,
    "has no MFA",
    "AccountMFAEnabled",
    0,
    root.but(AccountMFAEnabled=1),
    root.but(AccountPasswordPresent=0),
    unjudged=root.partly("AccountMFAEnabled"),
)
user = Held(
    "aws_iam_user",
    {"UserName": "one", "LoginProfile": {"CreateDate": ago(9)}, "MFADevices": [], "AttachedManagedPolicies": []},
    region="global",
)
ADMINISTRATOR = [{"PolicyName": "AdministratorAccess", "PolicyArn": "arn:aws:iam::aws:policy/AdministratorAccess"}]
READER = [{"PolicyName": "ReadOnlyAccess", "PolicyArn": "arn:aws:iam::aws:policy/ReadOnlyAccess"}]
case(
    "user-console-no-mfa",
    user,
    HIGH,
    "signs in without MFA",
    "MFADevices",
    [],
    user.but(LoginProfile=None),
    user.but(MFADevices=[{"SerialNumber": "arn:mfa"}]),
    unjudged=user.partly("MFADevices"),
)
case(
    "user-admin",
    user.but(AttachedManagedPolicies=ADMINISTRATOR),
    HIGH,
    "may do everything by AdministratorAccess",
    "AttachedManagedPolicies",
    ["AdministratorAccess"],
    user.but(AttachedManagedPolicies=READER),
    unjudged=user.partly("AttachedManagedPolicies"),
)
access = Held(
    "aws_iam_access_key",
    {"AccessKeyId": "one", "UserName": "ada", "Status": "Active", "CreateDate": ago(200), "LastUsedDate": "never"},
    region="global",
)
case(
    "access-key-old",
    access,
    MEDIUM,
    "of ada is 200 days old",
    "CreateDate",
    ago(200),
    access.but(CreateDate=ago(80)),
    access.but(Status="Inactive"),
    unjudged=access.partly("CreateDate"),
)
case(
    "access-key-unused",
    access,
    MEDIUM,
    "of ada was never used",
    "LastUsedDate",
    "never",
    access.but(LastUsedDate=ago(20)[:7]),
    access.but(CreateDate=ago(20)),
    access.but(Status="Inactive"),
    unjudged=access.partly("LastUsedDate"),
)
ALL = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
SOME = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
own = Held("aws_iam_policy", {"PolicyVersionList": [{"VersionId": "v2", "IsDefaultVersion": True, "Document": ALL}]})
case(
    "policy-everything",
    own,
    MEDIUM,
    "allows everything on everything",
    "PolicyVersionList",
    "v2",
    own.but(
        PolicyVersionList=[
            {"VersionId": "v1", "IsDefaultVersion": False, "Document": ALL},
            {"VersionId": "v2", "IsDefaultVersion": True, "Document": SOME},
        ]
    ),
    unjudged=own.partly("PolicyVersionList"),
)
