"""Each comparer: what the API says of a resource as declared is no difference; each change is one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from uwu.domains.iac import sensitive
from uwu.domains.iac.attach import attach
from uwu.domains.iac.compare.severity import of as severity_of
from uwu.domains.iac.compare.table import COMPARE
from uwu.kernel import domain
from uwu.kernel.model import Declaration, Difference, Resource, Severity

TRUST = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": "*"}]}
TRUST_OTHERWISE = {"Principal": {"AWS": ["*"]}, "Action": ["sts:AssumeRole"], "Effect": "Allow"}
OPEN = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}


def declaration(
    type: str, attributes: dict[str, Any], *, name: str = "x", tags: dict[str, str] | None = None
) -> Declaration:
    return Declaration(
        source="stack:default/s",
        address=f"{type}.{name}",
        place="s#1",
        urn="arn:aws:x:eu-west-1:1:y",
        type="t",
        declared_type=type,
        attributes=attributes,
        tags=tags or {},
    )


def resource(attributes: dict[str, Any], tags: dict[str, str] | None = None) -> Resource:
    urn = "arn:aws:x:eu-west-1:1:y"
    return Resource(
        urn=urn, type="t", account="1", region="eu-west-1", name="y", attributes=attributes, tags=tags or {}
    )


def compare(declared: Declaration, observed: Resource) -> list[Difference]:
    return list(domain.load(COMPARE[declared.declared_type])(declared, observed))


# type, what the state says, what the API says of it, and changes of the API's answer with the path each must give
CASES: list[tuple[str, dict[str, Any], dict[str, Any], list[tuple[dict[str, Any], str]]]] = [
    (
        "aws_instance",
        {
            "instance_type": "t3.small",
            "ami": "ami-1",
            "subnet_id": "subnet-1",
            "vpc_security_group_ids": ["sg-2", "sg-1"],
            "source_dest_check": True,
            "monitoring": False,
            "iam_instance_profile": "web",
            "disable_api_termination": True,
            "key_name": "",
            "user_data": sensitive.MARK,
            "private_ip": "10.0.0.7",
            "metadata_options": [{"http_tokens": "required", "http_endpoint": "enabled"}],
        },
        {
            "InstanceType": "t3.small",
            "ImageId": "ami-1",
            "SubnetId": "subnet-1",
            "SecurityGroups": [{"GroupId": "sg-1"}, {"GroupId": "sg-2"}],
            "SourceDestCheck": True,
            "Monitoring": {"State": "disabled"},
            "IamInstanceProfile": {"Arn": "arn:aws:iam::1:instance-profile/team/web"},
            "MetadataOptions": {"HttpTokens": "required", "HttpEndpoint": "enabled"},
            "PrivateIpAddress": "10.0.0.8",
        },
        [
            ({"InstanceType": "t3.large"}, "instance_type"),
            ({"ImageId": "ami-2"}, "ami"),
            ({"SecurityGroups": [{"GroupId": "sg-1"}]}, "vpc_security_group_ids"),
            ({"SourceDestCheck": False}, "source_dest_check"),
            ({"Monitoring": {"State": "enabled"}}, "monitoring"),
            ({"IamInstanceProfile": {"Arn": "arn:aws:iam::1:instance-profile/admin"}}, "iam_instance_profile"),
            ({"IamInstanceProfile": None}, "iam_instance_profile"),
            ({"DisableApiTermination": False}, "disable_api_termination"),
            ({"MetadataOptions": {"HttpTokens": "optional", "HttpEndpoint": "enabled"}}, "metadata_options"),
        ],
    ),
    (
        "aws_ebs_volume",
        {"size": 100, "type": "gp3", "iops": 3000, "throughput": 0, "encrypted": True},
        {"Size": 100, "VolumeType": "gp3", "Iops": 3000, "Throughput": 125, "Encrypted": True},
        [
            ({"Size": 200}, "size"),
            ({"VolumeType": "io2"}, "type"),
            ({"Iops": 9000}, "iops"),
            ({"Encrypted": False}, "encrypted"),
        ],
    ),
    (
        "aws_vpc",
        {"cidr_block": "10.0.0.0/16", "enable_dns_support": True, "instance_tenancy": "default"},
        {"CidrBlock": "10.0.0.0/16", "InstanceTenancy": "default"},
        [({"EnableDnsSupport": False}, "enable_dns_support")],
    ),
    (
        "aws_subnet",
        {"cidr_block": "10.0.0.0/24", "map_public_ip_on_launch": False},
        {"CidrBlock": "10.0.0.0/24", "MapPublicIpOnLaunch": False},
        [({"MapPublicIpOnLaunch": True}, "map_public_ip_on_launch")],
    ),
    (
        "aws_network_interface",
        {"description": "", "security_groups": ["sg-1"], "source_dest_check": True},
        {"Groups": [{"GroupId": "sg-1"}], "SourceDestCheck": True},
        [({"Groups": [{"GroupId": "sg-9"}]}, "security_groups"), ({"SourceDestCheck": False}, "source_dest_check")],
    ),
    (
        "aws_eip",
        {"instance": "i-1", "network_interface": "eni-1"},
        {"InstanceId": "i-1", "NetworkInterfaceId": "eni-1"},
        [({"InstanceId": "i-2"}, "instance"), ({"InstanceId": None}, "instance")],
    ),
    ("aws_eip", {"instance": "", "network_interface": ""}, {"InstanceId": "i-1"}, []),
    ("aws_ami", {"description": "base"}, {"Description": "base"}, [({"Description": "other"}, "description")]),
    (
        "aws_launch_template",
        {"default_version": 1, "latest_version": 2},
        {"DefaultVersionNumber": 1, "LatestVersionNumber": 2},
        [({"LatestVersionNumber": 3}, "latest_version"), ({"DefaultVersionNumber": 2}, "default_version")],
    ),
    (
        "aws_s3_bucket",
        {"versioning": [{"enabled": True}], "policy": "", "server_side_encryption_configuration": []},
        {"Versioning": {"Status": "Enabled"}, "ServerSideEncryptionConfiguration": {"Rules": [{}]}},
        [({"Versioning": {"Status": "Suspended"}}, "versioning"), ({"Policy": OPEN}, "policy")],
    ),
    (
        "aws_s3_bucket",
        {"versioning": [{"enabled": False}], "policy": None},
        {"Versioning": {"Status": "Enabled"}, "Policy": OPEN},
        [],
    ),
    (
        "aws_s3_bucket_versioning",
        {"versioning_configuration": [{"status": "Enabled", "mfa_delete": ""}]},
        {"Versioning": {"Status": "Enabled"}},
        [({"Versioning": {}}, "versioning"), ({"Versioning": {"Status": "Suspended"}}, "versioning")],
    ),
    (
        "aws_s3_bucket_server_side_encryption_configuration",
        {
            "rule": [
                {"apply_server_side_encryption_by_default": [{"sse_algorithm": "aws:kms", "kms_master_key_id": "k-1"}]}
            ]
        },
        {
            "ServerSideEncryptionConfiguration": {
                "Rules": [
                    {
                        "ApplyServerSideEncryptionByDefault": {
                            "SSEAlgorithm": "aws:kms",
                            "KMSMasterKeyID": "arn:aws:kms:eu-west-1:1:key/k-1",
                        }
                    }
                ]
            }
        },
        [
            (
                {
                    "ServerSideEncryptionConfiguration": {
                        "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
                    }
                },
                "server_side_encryption",
            ),
            ({"ServerSideEncryptionConfiguration": None}, "server_side_encryption"),
        ],
    ),
    (
        "aws_s3_bucket_public_access_block",
        {
            "block_public_acls": True,
            "block_public_policy": True,
            "ignore_public_acls": True,
            "restrict_public_buckets": True,
        },
        {
            "PublicAccessBlockConfiguration": {
                "BlockPublicAcls": True,
                "BlockPublicPolicy": True,
                "IgnorePublicAcls": True,
                "RestrictPublicBuckets": True,
            }
        },
        [({"PublicAccessBlockConfiguration": None}, "public_access_block")],
    ),
    (
        "aws_s3_bucket_policy",
        {"policy": '{"Statement": []}'},
        {"Policy": {"Statement": []}},
        [({"Policy": OPEN}, "policy"), ({"Policy": None}, "policy")],
    ),
    (
        "aws_iam_role",
        {
            "assume_role_policy": json.dumps({**TRUST, "Statement": TRUST_OTHERWISE}),
            "max_session_duration": 3600,
            "description": "",
            "permissions_boundary": "",
            "managed_policy_arns": ["p-1"],
            "inline_policy": [{"name": "", "policy": ""}],
            "name": "ci",
        },
        {
            "AssumeRolePolicyDocument": TRUST,
            "MaxSessionDuration": 3600,
            "AttachedManagedPolicies": [{"PolicyName": "one", "PolicyArn": "p-1"}],
            "RolePolicyList": [],
        },
        [
            ({"AssumeRolePolicyDocument": OPEN}, "assume_role_policy"),
            ({"MaxSessionDuration": 43200}, "max_session_duration"),
            ({"Description": "mine"}, "description"),
            ({"PermissionsBoundary": {"PermissionsBoundaryArn": "b"}}, "permissions_boundary"),
            ({"AttachedManagedPolicies": []}, "managed_policy_arns"),
            ({"RolePolicyList": [{"PolicyName": "all", "PolicyDocument": OPEN}]}, "inline_policy"),
        ],
    ),
    (
        "aws_iam_user",
        {"name": "jo", "path": "/", "permissions_boundary": ""},
        {"Path": "/", "AttachedManagedPolicies": [], "UserPolicyList": []},
        [({"AttachedManagedPolicies": [{"PolicyArn": "p-2"}]}, "managed_policy_arns")],
    ),
    (
        "aws_iam_policy",
        {"policy": '{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": ["*"], "Resource": "*"}}'},
        {
            "PolicyVersionList": [
                {"IsDefaultVersion": False, "Document": TRUST},
                {"IsDefaultVersion": True, "Document": OPEN},
            ]
        },
        [({"PolicyVersionList": [{"IsDefaultVersion": True, "Document": TRUST}]}, "policy")],
    ),
    ("aws_iam_access_key", {"status": "Active"}, {"Status": "Active"}, [({"Status": "Inactive"}, "status")]),
    (
        "aws_db_instance",
        {
            "instance_class": "db.t3.micro",
            "engine_version": "14",
            "allocated_storage": 20,
            "max_allocated_storage": 100,
            "publicly_accessible": False,
            "deletion_protection": True,
            "multi_az": False,
            "storage_encrypted": True,
            "backup_retention_period": 7,
            "password": sensitive.MARK,
        },
        {
            "DBInstanceClass": "db.t3.micro",
            "EngineVersion": "14.9",
            "AllocatedStorage": 40,
            "PubliclyAccessible": False,
            "DeletionProtection": True,
            "MultiAZ": False,
            "StorageEncrypted": True,
            "BackupRetentionPeriod": 7,
        },
        [
            ({"DBInstanceClass": "db.r5.large"}, "instance_class"),
            ({"EngineVersion": "15.2"}, "engine_version"),
            ({"EngineVersion": "140.2"}, "engine_version"),
            ({"AllocatedStorage": 200}, "allocated_storage"),
            ({"PubliclyAccessible": True}, "publicly_accessible"),
            ({"DeletionProtection": False}, "deletion_protection"),
            ({"MultiAZ": True}, "multi_az"),
            ({"BackupRetentionPeriod": 0}, "backup_retention_period"),
        ],
    ),
    (
        "aws_db_instance",
        {"engine_version": "5.7.26", "auto_minor_version_upgrade": True},
        {"EngineVersion": "5.7.44"},
        [],
    ),
    (
        "aws_lambda_function",
        {
            "runtime": "python3.12",
            "handler": "a.b",
            "memory_size": 128,
            "timeout": 3,
            "role": "r",
            "layers": [],
            "environment": [{"variables": {"MODE": sensitive.fingerprint("fast"), "API_KEY": sensitive.MARK}}],
        },
        {
            "Runtime": "python3.12",
            "Handler": "a.b",
            "MemorySize": 128,
            "Timeout": 3,
            "Role": "r",
            "Environment": {"Variables": {"MODE": "fast", "API_KEY": "any"}},
        },
        [
            ({"Runtime": "python3.9"}, "runtime"),
            ({"MemorySize": 512}, "memory_size"),
            ({"Layers": [{"Arn": "l-1"}]}, "layers"),
            ({"Environment": {"Variables": {"MODE": "slow", "API_KEY": "any"}}}, "environment"),
            ({"Environment": None}, "environment"),
        ],
    ),
    (
        "aws_lb",
        {"internal": True, "security_groups": ["sg-1"], "subnets": ["b", "a"], "ip_address_type": "ipv4"},
        {
            "Scheme": "internal",
            "SecurityGroups": ["sg-1"],
            "AvailabilityZones": [{"SubnetId": "a"}, {"SubnetId": "b"}],
            "IpAddressType": "ipv4",
        },
        [({"Scheme": "internet-facing"}, "internal"), ({"SecurityGroups": ["sg-1", "sg-2"]}, "security_groups")],
    ),
    (
        "aws_lb_target_group",
        {
            "port": 80,
            "protocol": "HTTP",
            "health_check": [{"path": "/up", "port": "traffic-port", "interval": 30, "matcher": "200"}],
        },
        {
            "Port": 80,
            "Protocol": "HTTP",
            "HealthCheckPath": "/up",
            "HealthCheckPort": "traffic-port",
            "HealthCheckIntervalSeconds": 30,
            "Matcher": {"HttpCode": "200"},
        },
        [({"HealthCheckPath": "/", "HealthCheckIntervalSeconds": 5}, "health_check"), ({"Port": 81}, "port")],
    ),
    ("aws_route53_zone", {"comment": "ours"}, {"Config": {"Comment": "ours"}}, [({"Config": {}}, "comment")]),
    (
        "aws_route53_record",
        {"type": "TXT", "ttl": 300, "records": ["v=spf1 -all", 'abc""def'], "alias": []},
        {"TTL": 300, "ResourceRecords": [{"Value": '"abc" "def"'}, {"Value": '"v=spf1 -all"'}]},
        [({"TTL": 60}, "ttl"), ({"ResourceRecords": [{"Value": '"v=spf1 +all"'}]}, "records")],
    ),
    (
        "aws_route53_record",
        {
            "type": "A",
            "ttl": 0,
            "records": None,
            "alias": [{"name": "LB-1.elb.amazonaws.com", "zone_id": "Z9", "evaluate_target_health": True}],
        },
        {
            "AliasTarget": {
                "DNSName": "dualstack.lb-1.elb.amazonaws.com.",
                "HostedZoneId": "Z9",
                "EvaluateTargetHealth": True,
            }
        },
        [({"AliasTarget": None}, "alias")],
    ),
    (
        "aws_kms_key",
        {"enable_key_rotation": True, "description": "main", "is_enabled": True},
        {"KeyRotationEnabled": True, "Description": "main", "Enabled": True, "KeyState": "Enabled"},
        [
            ({"KeyRotationEnabled": False}, "enable_key_rotation"),
            ({"Enabled": False, "KeyState": "Disabled"}, "is_enabled"),
            ({"Enabled": False, "KeyState": "PendingDeletion", "KeyRotationEnabled": False}, "is_enabled"),
        ],
    ),
    (
        "aws_secretsmanager_secret",
        {"description": "", "kms_key_id": "arn:aws:kms:eu-west-1:1:alias/aws/secretsmanager", "rotation_enabled": True},
        {"RotationEnabled": True},
        [({"RotationEnabled": False}, "rotation_enabled"), ({"KmsKeyId": "k-1"}, "kms_key_id")],
    ),
    (
        "aws_secretsmanager_secret_rotation",
        {"rotation_lambda_arn": "l", "rotation_rules": [{"automatically_after_days": 30}]},
        {"RotationEnabled": True, "RotationLambdaARN": "l", "RotationRules": {"AutomaticallyAfterDays": 30}},
        [
            ({"RotationEnabled": False}, "rotation_enabled"),
            ({"RotationRules": {"AutomaticallyAfterDays": 90}}, "rotation_rules"),
        ],
    ),
    (
        "aws_sqs_queue",
        {
            "visibility_timeout_seconds": 30,
            "message_retention_seconds": 345600,
            "kms_master_key_id": "",
            "sqs_managed_sse_enabled": True,
            "policy": "",
            "redrive_policy": '{"deadLetterTargetArn":"q","maxReceiveCount":3}',
        },
        {
            "VisibilityTimeout": "30",
            "MessageRetentionPeriod": "345600",
            "SqsManagedSseEnabled": "true",
            "RedrivePolicy": {"deadLetterTargetArn": "q", "maxReceiveCount": "3"},
        },
        [
            ({"VisibilityTimeout": "0"}, "visibility_timeout_seconds"),
            ({"SqsManagedSseEnabled": "false"}, "sqs_managed_sse_enabled"),
            ({"Policy": OPEN}, "policy"),
            ({"RedrivePolicy": None}, "redrive_policy"),
            ({"KmsMasterKeyId": "alias/x"}, "kms_master_key_id"),
        ],
    ),
    ("aws_sqs_queue_policy", {"policy": OPEN}, {"Policy": OPEN}, [({"Policy": None}, "policy")]),
    ("aws_sqs_queue_redrive_policy", {"redrive_policy": "{}"}, {}, [({"RedrivePolicy": {"a": 1}}, "redrive_policy")]),
    (
        "aws_sns_topic",
        {"display_name": "", "kms_master_key_id": "alias/aws/sns", "policy": OPEN},
        {"KmsMasterKeyId": "alias/aws/sns", "Policy": OPEN},
        [
            ({"DisplayName": "x"}, "display_name"),
            ({"KmsMasterKeyId": None}, "kms_master_key_id"),
            ({"Policy": TRUST}, "policy"),
        ],
    ),
    ("aws_sns_topic", {"policy": ""}, {"Policy": OPEN}, []),
    ("aws_sns_topic_policy", {"policy": OPEN}, {"Policy": OPEN}, [({"Policy": TRUST}, "policy")]),
    (
        "aws_acm_certificate",
        {"domain_name": "a.org", "subject_alternative_names": ["b.a.org"]},
        {"DomainName": "a.org", "SubjectAlternativeNames": ["a.org", "b.a.org"]},
        [({"SubjectAlternativeNames": ["a.org"]}, "subject_alternative_names")],
    ),
    (
        "aws_cloudformation_stack",
        {
            "disable_rollback": False,
            "iam_role_arn": "",
            "parameters": {"Size": sensitive.fingerprint("2"), "Pass": sensitive.fingerprint("x")},
        },
        {
            "DisableRollback": False,
            "Parameters": [
                {"ParameterKey": "Size", "ParameterValue": "2"},
                {"ParameterKey": "Pass", "ParameterValue": "****"},
                {"ParameterKey": "Default", "ParameterValue": "d"},
            ],
        },
        [
            (
                {
                    "Parameters": [
                        {"ParameterKey": "Size", "ParameterValue": "9"},
                        {"ParameterKey": "Pass", "ParameterValue": "****"},
                    ]
                },
                "parameters",
            )
        ],
    ),
]


@pytest.mark.parametrize(
    ("type", "declared", "observed", "changes"), CASES, ids=[f"{c[0]}-{i}" for i, c in enumerate(CASES)]
)
def test_as_declared_is_silent_and_each_change_is_one_difference(
    type: str, declared: dict[str, Any], observed: dict[str, Any], changes: list[tuple[dict[str, Any], str]]
) -> None:
    wanted = declaration(type, declared)
    assert compare(wanted, resource(observed)) == []
    for change, path in changes:
        altered = {key: value for key, value in {**observed, **change}.items() if value is not None}
        assert [d.path for d in compare(wanted, resource(altered))] == [path], change


def test_every_comparer_loads_and_says_nothing_of_what_is_not_known() -> None:
    for type in COMPARE:
        if type != "aws_secretsmanager_secret_rotation":  # to be there is what it declares
            assert compare(declaration(type, {}), resource({"Unknown": 1})) == [], type


def test_tags_are_one_difference_of_those_that_differ() -> None:
    declared = declaration("aws_vpc", {}, tags={"team": "pay", "env": "prod", "keep": "1"})
    observed = resource({}, {"team": "search", "keep": "1", "new": "x", "aws:cloudformation:stack-id": "s"})
    (found,) = compare(declared, observed)
    assert found.path == "tags"
    assert found.declared == {"team": "pay", "env": "prod", "new": None}
    assert found.observed == {"team": "search", "env": None, "new": "x"}


def test_values_that_may_be_secrets_are_not_shown() -> None:
    declared = declaration(
        "aws_lambda_function", {"environment": [{"variables": {"MODE": sensitive.fingerprint("fast")}}]}
    )
    (found,) = compare(declared, resource({"Environment": {"Variables": {"MODE": "slow", "NEW": "v4lue"}}}))
    assert found.sensitive
    assert found.declared == {"MODE": sensitive.MARK, "NEW": None}
    assert found.observed == {"MODE": sensitive.MARK, "NEW": sensitive.MARK}


def test_attachments_of_their_own_are_the_roles() -> None:
    role, one, inline = attach(
        [
            declaration("aws_iam_role", {"name": "ci", "managed_policy_arns": [], "inline_policy": []}),
            declaration("aws_iam_role_policy_attachment", {"role": "ci", "policy_arn": "p-1"}),
            declaration("aws_iam_role_policy", {"role": "ci", "name": "own", "policy": OPEN}),
        ]
    )
    observed = {
        "AttachedManagedPolicies": [{"PolicyArn": "p-1"}],
        "RolePolicyList": [{"PolicyName": "own", "PolicyDocument": OPEN}],
    }
    assert compare(role, resource(observed)) == []
    assert compare(one, resource({})) == compare(inline, resource({})) == []
    extra = {**observed, "AttachedManagedPolicies": [{"PolicyArn": "p-1"}, {"PolicyArn": "admin"}]}
    (found,) = compare(role, resource(extra))
    assert (found.path, found.declared, found.observed) == ("managed_policy_arns", [], ["admin"])
    paths = [d.path for d in compare(role, resource({"AttachedManagedPolicies": [], "RolePolicyList": []}))]
    assert paths == ["managed_policy_arns", "inline_policy"]


def test_a_shared_attachment_counts_for_each_role_it_names() -> None:
    role, other, _ = attach(
        [
            declaration("aws_iam_role", {"name": "ci"}),
            declaration("aws_iam_role", {"name": "web"}, name="y"),
            declaration("aws_iam_policy_attachment", {"roles": ["ci"], "users": [], "policy_arn": "p-1"}),
        ]
    )
    del other
    assert compare(role, resource({"AttachedManagedPolicies": [{"PolicyArn": "p-1"}]})) == []


def test_an_attachment_whose_role_nobody_declares_is_compared_by_itself() -> None:
    (one,) = attach([declaration("aws_iam_role_policy_attachment", {"role": "ci", "policy_arn": "p-1"})])
    assert compare(one, resource({"AttachedManagedPolicies": [{"PolicyArn": "p-1"}, {"PolicyArn": "p-2"}]})) == []
    assert [d.path for d in compare(one, resource({"AttachedManagedPolicies": []}))] == ["managed_policy_arns"]


def test_a_part_of_its_own_silences_the_wholes_stale_copy() -> None:
    bucket, _, _ = attach(
        [
            declaration("aws_s3_bucket", {"policy": "", "versioning": [{"enabled": True}]}),
            declaration("aws_s3_bucket_policy", {"policy": OPEN}),
            declaration("aws_s3_bucket_versioning", {"versioning_configuration": [{"status": "Suspended"}]}),
        ]
    )
    assert compare(bucket, resource({"Policy": OPEN, "Versioning": {"Status": "Suspended"}})) == []


@pytest.mark.parametrize(
    ("path", "observed", "severity"),
    [
        ("ingress", [{"cidr": "0.0.0.0/0", "protocol": "tcp"}], Severity.CRITICAL),
        ("ingress", [{"cidr": "::/0", "protocol": "tcp"}], Severity.CRITICAL),
        ("ingress", [{"cidr": "10.0.0.0/8", "protocol": "tcp"}], Severity.HIGH),
        ("ingress.aws_security_group_rule.x", [], Severity.HIGH),
        ("publicly_accessible", True, Severity.CRITICAL),
        ("publicly_accessible", False, None),
        ("managed_policy_arns", ["arn:aws:iam::aws:policy/AdministratorAccess"], Severity.HIGH),
        ("memory_size", 1024, None),
    ],
)
def test_what_opens_a_door_is_worse(path: str, observed: Any, severity: Severity | None) -> None:
    assert severity_of(path, observed) is severity
