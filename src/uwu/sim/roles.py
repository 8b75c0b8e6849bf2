"""Roles at work: weeks of calls by roles with habits, each with the policies that it was given, which are too wide.

Habits are of the kinds that real roles have: daily and weekly calls, resources that stay, resources that come and go,
reads that grow, a condition on a region, a denial, roles that are passed on, calls that are refused.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import botocore.session
import msgspec

from uwu.sim.cloudtrail import Clock, Identity, Recorder

ACCOUNT, REGION = "111122223333", "eu-west-1"
_WEEK, _DAY = 7, 1


class Role(msgspec.Struct, frozen=True):
    """A role and what it was given: the attributes of ``aws_iam_role`` as inventory observes them."""

    name: str
    policies: dict[str, dict[str, Any]]

    @property
    def arn(self) -> str:
        return f"arn:aws:iam::{ACCOUNT}:role/{self.name}"

    @property
    def attributes(self) -> dict[str, Any]:
        held = [{"PolicyName": name, "PolicyDocument": document} for name, document in self.policies.items()]
        return {"RoleName": self.name, "Arn": self.arn, "RolePolicyList": held, "AttachedManagedPolicies": []}


class _Habit(msgspec.Struct, frozen=True):
    every_days: int
    chance: float
    """That it happens on such a day; 1 where it always does."""
    make: Callable[[random.Random, int], tuple[str, str, dict[str, Any]]]
    """(random, day) -> service, operation, parameters."""
    times: int = 1
    error: str = ""


def _policy(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **one} for one in statements]}


def _bucket(name: str) -> list[str]:
    return [f"arn:aws:s3:::{name}", f"arn:aws:s3:::{name}/*"]


def _arn(service: str, rest: str) -> str:
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{rest}"


def _calls(service: str, *operations: str) -> list[_Habit]:
    return [_Habit(_DAY, 1, lambda _r, _d, o=operation: (service, o, {})) for operation in operations]


ROLES = (
    Role(
        "shop-app",
        {
            "data": _policy(
                {
                    "Action": "dynamodb:*",
                    "Resource": [_arn("dynamodb", "table/orders*"), _arn("dynamodb", "table/users")],
                },
                {"Action": "s3:*", "Resource": _bucket("shop-uploads")},
                {"Action": ["sqs:*", "sns:Publish"], "Resource": "*"},
                {"Action": "secretsmanager:*", "Resource": _arn("secretsmanager", "secret:shop/*")},
                {"Action": ["logs:*", "cloudwatch:PutMetricData"], "Resource": "*"},
            )
        },
    ),
    Role(
        "deploy",
        {
            "everything": _policy(
                {"Action": ["ec2:*", "rds:*", "lambda:*", "elasticloadbalancing:*", "logs:*"], "Resource": "*"},
                {"Action": "iam:PassRole", "Resource": f"arn:aws:iam::{ACCOUNT}:role/shop-*"},
                {"Action": "s3:*", "Resource": [*_bucket("terraform-state"), *_bucket("artifacts")]},
                {"Action": "dynamodb:*", "Resource": "*"},
            )
        },
    ),
    Role(
        "reports",
        {
            "reports": _policy(
                {"Action": "s3:*", "Resource": "*"},
                {"Action": ["athena:*", "glue:Get*"], "Resource": "*"},
                {
                    "Action": "kms:*",
                    "Resource": "*",
                    "Condition": {"StringEquals": {"kms:ViaService": "s3.amazonaws.com"}},
                },
            )
        },
    ),
    Role("monitor", {"reads": _policy({"Action": ["*"], "Resource": "*"})}),
    Role(
        "janitor",
        {
            "clean": {
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Effect": "Allow",
                        "Action": ["ec2:Delete*", "ec2:Describe*", "rds:*"],
                        "Resource": "*",
                        "Condition": {"StringEquals": {"aws:RequestedRegion": [REGION, "eu-central-1"]}},
                    },
                    {"Effect": "Deny", "Action": "rds:DeleteDBInstance", "Resource": _arn("rds", "db:ledger")},
                ],
            }
        },
    ),
    Role(
        "engineer",
        {
            "power": _policy({"NotAction": ["iam:*", "organizations:*"], "Resource": "*"}),
        },
    ),
)


def _hex(random_: random.Random, length: int = 17) -> str:
    return f"{random_.getrandbits(4 * length):0{length}x}"


def _habits(start: datetime) -> dict[str, list[_Habit]]:
    def day(n: int) -> str:
        return f"{start + timedelta(days=n):%Y-%m-%d}"

    def h(every: int, make: Any, *, chance: float = 1, times: int = 1, error: str = "") -> _Habit:
        return _Habit(every, chance, make, times, error)

    functions = ("checkout", "search", "mailer")
    return {
        "shop-app": [
            h(1, lambda r, _: ("dynamodb", "GetItem", {"TableName": r.choice(("orders", "users"))}), times=6),
            h(1, lambda _r, d: ("dynamodb", "PutItem", {"TableName": f"orders-{day(d)}"})),
            h(
                1,
                lambda r, d: ("s3", "PutObject", {"Bucket": "shop-uploads", "Key": f"in/{day(d)}/{_hex(r)}"}),
                times=4,
            ),
            h(
                1,
                lambda r, d: ("s3", "GetObject", {"Bucket": "shop-uploads", "Key": f"in/{day(d)}/{_hex(r)}"}),
                times=3,
            ),
            h(1, lambda _r, _: ("s3", "ListObjectsV2", {"Bucket": "shop-uploads"})),
            h(1, lambda _r, _: ("secretsmanager", "GetSecretValue", {"SecretId": "shop/db"})),
            h(
                1,
                lambda _r, _: (
                    "sqs",
                    "SendMessage",
                    {"QueueUrl": f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/mail"},
                ),
            ),
            h(
                3,
                lambda _r, _: ("secretsmanager", "GetSecretValue", {"SecretId": "bank/db"}),
                error="AccessDeniedException",
            ),
        ],
        "deploy": [
            *_calls("ec2", "DescribeInstances", "DescribeVpcs", "DescribeSubnets", "DescribeSecurityGroups"),
            *_calls("rds", "DescribeDBInstances"),
            h(1, lambda _r, _: ("s3", "GetObject", {"Bucket": "terraform-state", "Key": "shop.tfstate"}), times=2),
            h(2, lambda _r, _: ("s3", "PutObject", {"Bucket": "terraform-state", "Key": "shop.tfstate"})),
            h(1, lambda _r, _: ("dynamodb", "PutItem", {"TableName": "terraform-lock"})),
            h(
                2,
                lambda r, _: ("lambda", "UpdateFunctionCode20150331v2", {"FunctionName": r.choice(functions)}),
                times=3,
            ),
            h(
                _WEEK,
                lambda _r, _: (
                    "lambda",
                    "UpdateFunctionConfiguration20150331v2",
                    {"FunctionName": "checkout", "Role": f"arn:aws:iam::{ACCOUNT}:role/shop-app"},
                ),
            ),
            h(
                3,
                lambda r, _: (
                    "ec2",
                    "CreateTags",
                    {"Resources": [f"i-{_hex(r)}"], "Tags": [{"Key": "v", "Value": "2"}]},
                ),
            ),
            h(
                4,
                lambda r, _: (
                    "ec2",
                    "RunInstances",
                    {
                        "ImageId": f"ami-{_hex(r)}",
                        "InstanceType": "m7g.large",
                        "MinCount": 1,
                        "MaxCount": 1,
                        "IamInstanceProfile": {"Arn": f"arn:aws:iam::{ACCOUNT}:instance-profile/shop"},
                        "TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "app", "Value": "shop"}]}],
                    },
                ),
            ),
            h(4, lambda r, _: ("ec2", "TerminateInstances", {"InstanceIds": [f"i-{_hex(r)}"]})),
        ],
        "reports": [
            h(1, lambda _r, d: ("s3", "GetObject", {"Bucket": "lake-raw", "Key": f"sales/{day(d)}.parquet"}), times=2),
            h(1, lambda _r, d: ("s3", "PutObject", {"Bucket": "lake-out", "Key": f"daily/{day(d)}.csv"})),
            h(_WEEK, lambda _r, d: ("s3", "PutObject", {"Bucket": "lake-out", "Key": f"weekly/{day(d)}.csv"})),
            h(1, lambda _r, _: ("s3", "ListObjectsV2", {"Bucket": "lake-raw"})),
            h(1, lambda _r, _: ("athena", "StartQueryExecution", {"QueryString": "select 1", "WorkGroup": "reports"})),
            h(1, lambda _r, _: ("kms", "Decrypt", {"KeyId": _arn("kms", "key/0f1e2d3c-0000-4000-8000-000000000001")})),
            h(5, lambda _r, _: ("s3", "DeleteBucket", {"Bucket": "lake-raw"}), error="AccessDenied"),
        ],
        "monitor": [
            *_calls("ec2", "DescribeInstances", "DescribeVolumes", "DescribeSnapshots", "DescribeAddresses"),
            *_calls("rds", "DescribeDBInstances", "DescribeDBClusters"),
            *_calls("iam", "ListUsers", "ListRoles", "GetAccountSummary"),
            *_calls("s3", "ListBuckets"),
            h(1, lambda r, _: ("s3", "GetBucketPolicy", {"Bucket": r.choice(("a-logs", "b-logs", "c-logs"))}), times=3),
            h(_WEEK, lambda _r, _: ("ec2", "DescribeReservedInstances", {})),
        ],
        "janitor": [
            *_calls("ec2", "DescribeSnapshots"),
            h(1, lambda r, _: ("ec2", "DeleteSnapshot", {"SnapshotId": f"snap-{_hex(r)}"}), times=3),
            h(_WEEK, lambda _r, d: ("rds", "DeleteDBSnapshot", {"DBSnapshotIdentifier": f"daily-{day(d)}"})),
            h(2, lambda _r, _: ("rds", "DeleteDBInstance", {"DBInstanceIdentifier": "ledger"}), error="AccessDenied"),
        ],
        "engineer": [
            *_calls("ec2", "DescribeInstances", "DescribeSecurityGroups"),
            *_calls("logs", "DescribeLogGroups"),
            h(1, lambda _r, _: ("logs", "FilterLogEvents", {"logGroupName": "/aws/lambda/checkout"}), times=2),
            h(3, lambda _r, _: ("lambda", "Invoke", {"FunctionName": "checkout"})),
            h(_WEEK, lambda _r, _: ("iam", "CreateUser", {"UserName": "x"}), error="AccessDenied"),
        ],
    }


def worked(start: datetime, days: int, *, seed: int = 7, times: int = 1) -> list[dict[str, Any]]:
    """The records of ``days`` days from ``start``, by time. ``times`` makes each habit as many times as busy."""
    clock = Clock(seed)
    recorder = Recorder("http://127.0.0.1:1", clock, seed)
    choose = random.Random(seed)  # noqa: S311
    models = botocore.session.Session()
    operations: dict[tuple[str, str], Any] = {}
    habits = _habits(start)

    def model_of(service: str, operation: str) -> Any:
        if (service, operation) not in operations:
            model = models.get_service_model(service)
            names: Any = model.operation_names
            name = next(one for one in names if operation.startswith(one) and _fits(one, operation))
            operations[service, operation] = model.operation_model(name)
        return operations[service, operation]

    for day in range(days):
        for role in ROLES:
            identity = _identity(role, day)
            clock.set(start + timedelta(days=day, hours=6, minutes=ROLES.index(role)))
            for habit in habits[role.name]:
                if day % habit.every_days or choose.random() > habit.chance:
                    continue
                for _ in range(1 if habit.error else habit.times * times):
                    service, operation, parameters = habit.make(choose, day)
                    parsed = {"Error": {"Code": habit.error, "Message": "no"}} if habit.error else {}
                    http = SimpleNamespace(status_code=403 if habit.error else 200)
                    recorder.record(identity, service, REGION, model_of(service, operation), parameters, parsed, http)
                    record = recorder.last
                    if operation[-1].isdigit() or _is_data(service, operation):
                        record["eventName"] = operation
                    if _is_data(service, operation):
                        record |= {"managementEvent": False, "eventCategory": "Data"}
    return sorted((record for _, record in recorder.records), key=lambda record: record["eventTime"])


def _fits(name: str, operation: str) -> bool:
    return name == operation or operation[len(name) :][:2] == "20"


def _is_data(service: str, operation: str) -> bool:
    data = {"s3": ("GetObject", "PutObject"), "dynamodb": ("GetItem", "PutItem"), "lambda": ("Invoke",)}
    return operation in data.get(service, ()) or (service, operation) == ("sqs", "SendMessage")


def _identity(role: Role, day: int) -> Identity:
    key = f"ASIA{role.name.upper().replace('-', ''):X<11}{day:05d}"[:20]
    session = "mira.k@larkspur.example" if role.name == "engineer" else f"{role.name}-{day}"
    return Identity(
        user_identity={
            "type": "AssumedRole",
            "principalId": f"AROA{role.name.upper().replace('-', ''):X<17}"[:21] + f":{session}",
            "arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/{role.name}/{session}",
            "accountId": ACCOUNT,
            "accessKeyId": key,
            "sessionContext": {
                "sessionIssuer": {
                    "type": "Role",
                    "principalId": f"AROA{role.name.upper().replace('-', ''):X<17}"[:21],
                    "arn": role.arn,
                    "accountId": ACCOUNT,
                    "userName": role.name,
                }
            },
        },
        account=ACCOUNT,
        user_agent="Boto3/1.34.0",
        source_ip="198.51.100.20",
        access_key=key,
        secret_key="none",  # noqa: S106
    )
