"""Generated types against moto: what is made in some forty services is seen, named and tagged as it should be."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pytest

from tests.domains.inventory import world
from tests.domains.inventory.world import REGION, AccountWorld
from uwu.domains.inventory import reader, services
from uwu.domains.inventory.model import Scope
from uwu.kernel.model import CellStatus, Resource
from uwu.kernel.runtime import Kernel
from uwu.kernel.settings import InventorySettings

if TYPE_CHECKING:
    from uwu.sim.server import MotoServer

TAGS = [{"Key": "team", "Value": "payments"}]
_KEYED = [{"key": "team", "value": "payments"}]
_MAP = {"team": "payments"}
_TRUST = json.dumps({"Version": "2012-10-17", "Statement": []})

Make = tuple[str, str, dict[str, Any], str, str, bool]
"""Service, method, its arguments, the type that it makes, its name, and whether it has the tag."""


def _role(account: AccountWorld) -> str:
    return f"arn:aws:iam::{account.id}:role/worker"


def _made(account: AccountWorld) -> list[Make]:
    role, ids = _role(account), account.ids
    bucket = f"logs-{account.id}"
    return [
        ("dynamodb", "create_table", {"TableName": "orders", "BillingMode": "PAY_PER_REQUEST", "Tags": TAGS,
          "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
          "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}]},
          "aws_dynamodb_table", "orders", True),
        ("kinesis", "create_stream", {"StreamName": "clicks", "ShardCount": 1}, "aws_kinesis_stream", "clicks", False),
        ("firehose", "create_delivery_stream", {"DeliveryStreamName": "raw", "Tags": TAGS,
          "S3DestinationConfiguration": {"RoleARN": role, "BucketARN": f"arn:aws:s3:::{bucket}"}},
         "aws_kinesis_firehose_delivery_stream", "raw", True),
        ("stepfunctions", "create_state_machine", {"name": "settle", "roleArn": role, "tags": _KEYED,
          "definition": '{"StartAt":"A","States":{"A":{"Type":"Pass","End":true}}}'},
          "aws_sfn_state_machine", "settle", True),
        ("logs", "create_log_group", {"logGroupName": "/app/web", "tags": _MAP},
         "aws_cloudwatch_log_group", "/app/web", True),
        ("logs", "put_metric_filter", {"logGroupName": "/app/web", "filterName": "errors", "filterPattern": "ERROR",
          "metricTransformations": [{"metricName": "e", "metricNamespace": "n", "metricValue": "1"}]},
         "aws_cloudwatch_log_metric_filter", "errors", False),
        ("cloudwatch", "put_metric_alarm", {"AlarmName": "hot", "ComparisonOperator": "GreaterThanThreshold",
          "EvaluationPeriods": 1, "MetricName": "CPU", "Namespace": "n", "Period": 60, "Statistic": "Average",
          "Threshold": 1.0, "Tags": TAGS}, "aws_cloudwatch_alarm", "hot", True),
        ("cloudwatch", "put_dashboard", {"DashboardName": "all", "DashboardBody": '{"widgets": []}'},
         "aws_cloudwatch_dashboard", "all", False),
        ("cloudtrail", "create_trail", {"Name": "audit", "S3BucketName": bucket, "TagsList": TAGS},
         "aws_cloudtrail_trail", "audit", False),
        ("config", "put_configuration_recorder", {"ConfigurationRecorder": {"name": "main", "roleARN": role,
          "recordingGroup": {"allSupported": True}}}, "aws_config_configuration_recorder", "main", False),
        ("codebuild", "create_project", {"name": "build-web", "source": {"type": "S3", "location": f"{bucket}/src"},
          "artifacts": {"type": "NO_ARTIFACTS"}, "serviceRole": role, "tags": _KEYED,
          "environment": {"type": "LINUX_CONTAINER", "image": "x", "computeType": "BUILD_GENERAL1_SMALL",
                          "environmentVariables": [{"name": "TOKEN", "value": "hunter2"}]}},
         "aws_codebuild_project", "build-web", True),
        ("codedeploy", "create_application", {"applicationName": "web", "computePlatform": "Server"},
         "aws_codedeploy_app", "web", False),
        ("athena", "create_work_group", {"Name": "analysts", "Configuration": {}},
         "aws_athena_workgroup", "analysts", False),
        ("glue", "create_database", {"DatabaseInput": {"Name": "sales"}}, "aws_glue_catalog_database", "sales", False),
        ("glue", "create_job", {"Name": "clean", "Role": role, "Command": {"Name": "glueetl"}, "Tags": _MAP},
         "aws_glue_job", "clean", True),
        ("backup", "create_backup_vault", {"BackupVaultName": "safe"}, "aws_backup_vault", "safe", False),
        ("efs", "create_file_system", {"CreationToken": "t", "Encrypted": True,
          "Tags": [*TAGS, {"Key": "Name", "Value": "home"}]}, "aws_efs_file_system", "home", True),
        ("elasticache", "create_user", {"UserId": "reader", "UserName": "reader", "Engine": "redis",
          "AccessString": "on ~* +@read", "NoPasswordRequired": True}, "aws_elasticache_user", "reader", False),
        ("redshift", "create_cluster", {"ClusterIdentifier": "dwh", "NodeType": "dc2.large", "MasterUsername": "admin",
          "MasterUserPassword": "Secret123", "Tags": TAGS}, "aws_redshift_cluster", "dwh", True),
        ("rds", "create_db_parameter_group", {"DBParameterGroupName": "tuned", "DBParameterGroupFamily": "mysql8.0",
          "Description": "d", "Tags": TAGS}, "aws_rds_db_parameter_group", "tuned", True),
        ("ssm", "put_parameter", {"Name": "/web/url", "Value": "x", "Type": "String"},
         "aws_ssm_parameter", "/web/url", False),
        ("ssm", "create_document", {"Name": "restart", "DocumentType": "Command", "DocumentFormat": "JSON",
          "Content": json.dumps({"schemaVersion": "2.2", "description": "d", "mainSteps": []})},
         "aws_ssm_document", "restart", False),
        ("events", "create_event_bus", {"Name": "orders", "Tags": TAGS}, "aws_eventbridge_bus", "orders", True),
        ("scheduler", "create_schedule", {"Name": "nightly", "ScheduleExpression": "rate(1 day)",
          "FlexibleTimeWindow": {"Mode": "OFF"}, "Target": {"Arn": f"arn:aws:sqs:{REGION}:{account.id}:q",
          "RoleArn": role}},
         "aws_scheduler_schedule", "nightly", False),
        ("appsync", "create_graphql_api", {"name": "shop", "authenticationType": "API_KEY", "tags": _MAP},
         "aws_appsync_graphql_api", "shop", True),
        ("cognito-idp", "create_user_pool", {"PoolName": "customers"}, "aws_cognito_user_pool", "customers", False),
        ("cognito-identity", "create_identity_pool", {"IdentityPoolName": "guests",
         "AllowUnauthenticatedIdentities": True},
         "aws_cognito_identity_pool", "guests", False),
        ("guardduty", "create_detector", {"Enable": True, "Tags": _MAP}, "aws_guardduty_detector", "", True),
        ("kafka", "create_cluster_v2", {"ClusterName": "bus", "Tags": _MAP, "Serverless": {"VpcConfigs": [
          {"SubnetIds": [ids["subnet-a"]], "SecurityGroupIds": [ids["sg"]]}]}}, "aws_msk_cluster", "bus", True),
        ("mq", "create_broker", {"BrokerName": "rabbit", "EngineType": "RABBITMQ", "EngineVersion": "3.8.6",
          "HostInstanceType": "mq.t3.micro", "DeploymentMode": "SINGLE_INSTANCE", "PubliclyAccessible": False,
          "AutoMinorVersionUpgrade": True, "Users": [{"Username": "admin", "Password": "hunter2hunter2"}],
          "Tags": _MAP},
         "aws_mq_broker", "rabbit", True),
        ("servicediscovery", "create_http_namespace", {"Name": "internal", "Tags": TAGS},
         "aws_service_discovery_namespace", "internal", True),
        ("sesv2", "create_email_identity", {"EmailIdentity": "larkspur.example"},
         "aws_ses_email_identity", "larkspur.example", False),
        ("transfer", "create_server", {"Tags": TAGS}, "aws_transfer_server", "", False),
        ("sagemaker", "create_notebook_instance", {"NotebookInstanceName": "lab", "InstanceType": "ml.t2.medium",
          "RoleArn": role, "Tags": TAGS}, "aws_sagemaker_notebook_instance", "lab", True),
        ("network-firewall", "create_firewall", {"FirewallName": "edge", "VpcId": ids["vpc"], "FirewallPolicyArn":
          f"arn:aws:network-firewall:{REGION}:{account.id}:firewall-policy/p", "SubnetMappings": []},
         "aws_networkfirewall_firewall", "edge", False),
        ("resource-groups", "create_group", {"Name": "shop", "ResourceQuery": {"Type": "TAG_FILTERS_1_0", "Query":
          json.dumps({"ResourceTypeFilters": ["AWS::AllSupported"], "TagFilters": [{"Key": "a", "Values": ["b"]}]})}},
         "aws_resource_groups_group", "shop", False),
        ("ram", "create_resource_share", {"name": "subnets", "tags": _KEYED},
         "aws_ram_resource_share", "subnets", False),
        ("iot", "create_thing_type", {"thingTypeName": "sensor"}, "aws_iot_thing_type", "sensor", False),
        ("wafv2", "create_ip_set", {"Name": "office", "Scope": "REGIONAL", "IPAddressVersion": "IPV4",
          "Addresses": ["192.0.2.0/24"], "Tags": TAGS}, "aws_wafv2_ip_set", "office", True),
        ("ec2", "create_key_pair", {"KeyName": "ops", "TagSpecifications": [{"ResourceType": "key-pair",
         "Tags": TAGS}]},
         "aws_ec2_key_pair", "ops", True),
        ("ec2", "create_dhcp_options", {"DhcpConfigurations": [{"Key": "domain-name", "Values": ["x.example"]}],
          "TagSpecifications": [{"ResourceType": "dhcp-options", "Tags": TAGS}]}, "aws_vpc_dhcp_options", "", False),
        ("ec2", "create_flow_logs", {"ResourceIds": [ids["vpc"]], "ResourceType": "VPC", "TrafficType": "ALL",
          "LogDestinationType": "s3", "LogDestination": f"arn:aws:s3:::{bucket}"}, "aws_vpc_flow_log", "", False),
        ("apigateway", "create_usage_plan", {"name": "gold", "tags": _MAP}, "aws_api_gateway_usage_plan", "gold", True),
        ("route53", "create_health_check", {"CallerReference": "a", "HealthCheckConfig": {"Type": "HTTP",
          "FullyQualifiedDomainName": "www.example.com"}}, "aws_route53_health_check", "", False),
        ("emr-serverless", "create_application", {"name": "jobs", "type": "SPARK", "releaseLabel": "emr-6.9.0"},
         "aws_emr_serverless_application", "jobs", False),
        ("ds", "create_directory", {"Name": "corp.example", "Password": "Passw0rd!x", "Size": "Small", "VpcSettings":
          {"VpcId": ids["vpc"], "SubnetIds": [ids["subnet-a"], ids["subnet-b"]]}},
         "aws_directory_service_directory", "corp.example", False),
        ("dms", "create_replication_subnet_group", {"ReplicationSubnetGroupIdentifier": "copy",
          "ReplicationSubnetGroupDescription": "d", "SubnetIds": [ids["subnet-a"], ids["subnet-b"]]},
         "aws_dms_replication_subnet_group", "copy", False),
        ("route53resolver", "create_resolver_rule", {"CreatorRequestId": "a", "RuleType": "FORWARD",
          "DomainName": "corp.example", "Name": "corp", "TargetIps": [{"Ip": "10.0.0.5", "Port": 53}]},
         "aws_route53_resolver_rule", "corp", False),
        ("acm-pca", "create_certificate_authority", {"CertificateAuthorityType": "ROOT", "Tags": TAGS,
          "CertificateAuthorityConfiguration": {"KeyAlgorithm": "RSA_2048", "SigningAlgorithm": "SHA256WITHRSA",
                                                "Subject": {"CommonName": "root"}}},
         "aws_acmpca_certificate_authority", "", True),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def made(aws_server: MotoServer) -> tuple[AccountWorld, list[Make]]:
    """An account in which one thing of each is made."""
    account = world.new_account(aws_server.url)
    ec2 = account.client("ec2")
    account.ids["vpc"] = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    for name, block in (("a", "10.0.0.0/24"), ("b", "10.0.1.0/24")):
        subnet = ec2.create_subnet(VpcId=account.ids["vpc"], CidrBlock=block, AvailabilityZone=f"{REGION}{name}")
        account.ids[f"subnet-{name}"] = subnet["Subnet"]["SubnetId"]
    account.ids["sg"] = ec2.create_security_group(GroupName="x", Description="x", VpcId=account.ids["vpc"])["GroupId"]
    account.client("iam").create_role(RoleName="worker", AssumeRolePolicyDocument=_TRUST)
    bucket = {"LocationConstraint": REGION}
    account.client("s3").create_bucket(Bucket=f"logs-{account.id}", CreateBucketConfiguration=bucket)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.py", "x = 1")
    account.client("lambda").publish_layer_version(LayerName="common", Content={"ZipFile": packed.getvalue()})
    wanted = _made(account)
    for service, method, arguments, _, _, _ in wanted:
        getattr(account.client(service), method)(**arguments)
    return account, wanted


@pytest.fixture
def look(made: tuple[AccountWorld, list[Make]], open_kernel: Callable[..., Kernel]) -> Callable[[str], list[Resource]]:
    """Reads one type; it must be complete."""
    account, _ = made
    kernel = open_kernel(account)

    def read(type: str) -> list[Resource]:
        spec = services.spec(type)
        (one,) = reader.observe(kernel.aws, Scope(account.id, REGION), spec.service, [spec])
        # moto has the tags of most services, not of all
        whole = (
            one.outcome.status is CellStatus.COMPLETE or one.outcome.code == "ListTagsForResource.operation-not-offered"
        )
        assert whole, (type, one.outcome.code, one.outcome.message)
        return list(one.resources)

    return read


def test_what_was_made_is_seen(made: tuple[AccountWorld, list[Make]], look: Callable[[str], list[Resource]]) -> None:
    _, wanted = made
    assert len({service for service, *_ in wanted}) >= 25
    wrong: list[str] = []
    for service, _, _, type, name, tagged in wanted:
        seen = [each for each in look(type) if not name or each.name == name]
        if len(seen) != 1:
            wrong.append(f"{type}: {[each.name for each in look(type)]}")
            continue
        if tagged and seen[0].tags.get("team") != "payments":
            wrong.append(f"{type} of {service}: tags {seen[0].tags}")
        if not seen[0].urn.startswith(("arn:aws", "urn:uwu:aws")):
            wrong.append(f"{type}: {seen[0].urn}")
    assert wrong == []


def test_secrets_are_fingerprints(look: Callable[[str], list[Resource]]) -> None:
    (project,) = look("aws_codebuild_project")
    assert "hunter2" not in str(project) and project.attributes["serviceRole"].endswith("role/worker")
    assert "hunter2" not in str(look("aws_mq_broker"))


def test_relations_and_names(made: tuple[AccountWorld, list[Make]], open_kernel: Callable[..., Kernel]) -> None:
    account, _ = made
    kernel = open_kernel(account)

    def relations(type: str) -> set[tuple[str, str]]:
        spec = services.spec(type)
        (one,) = reader.observe(kernel.aws, Scope(account.id, REGION), spec.service, [spec])
        return {(relation.kind, relation.target) for relation in one.relations}

    role = _role(account)
    subnet = f"arn:aws:ec2:{REGION}:{account.id}:subnet/{account.ids['subnet-a']}"
    assert ("runsAs", role) in relations("aws_codebuild_project")
    assert ("runsAs", role) in relations("aws_sfn_state_machine")
    assert ("inSubnet", subnet) in relations("aws_directory_service_directory")
    group = f"arn:aws:logs:{REGION}:{account.id}:log-group:/app/web"
    assert ("logsTo", group) in relations("aws_cloudwatch_log_metric_filter")
    spec = services.spec("aws_codedeploy_app")
    (one,) = reader.observe(kernel.aws, Scope(account.id, REGION), spec.service, [spec])
    assert [each.urn for each in one.resources] == [f"arn:aws:codedeploy:{REGION}:{account.id}:application:web"]


def test_reading_again_makes_no_version(
    made: tuple[AccountWorld, list[Make]], look: Callable[[str], list[Resource]]
) -> None:
    # moto tells the time of the question as the time at which a workgroup of Athena was made
    asked = sorted({type for _, _, _, type, _, _ in made[1]} - {"aws_athena_workgroup"})
    assert [type for type in asked if look(type) != look(type)] == []


OURS = ("ParamValidationError", "KeyError", "TypeError", "AttributeError", "ValueError", "IndexError", "JMESPath")


def _swept(kernel: Kernel, account: AccountWorld, held: Mapping[str, Any]) -> Iterator[reader.Observation]:
    for service, specs in held.items():
        yield from reader.each(kernel.aws, Scope(account.id, REGION), service, specs)


def test_every_collected_type_can_be_asked(open_kernel: Callable[..., Kernel], aws_server: MotoServer) -> None:
    account = world.new_account(aws_server.url)
    kernel = open_kernel(account)
    held = services.collected(InventorySettings())
    seen = list(_swept(kernel, account, held))
    assert len(seen) == sum(map(len, held.values())) >= 250
    ours = [(one.outcome.cell.type, one.outcome.code) for one in seen if any(name in one.outcome.code for name in OURS)]
    assert ours == []
    complete = [one for one in seen if one.outcome.status is CellStatus.COMPLETE]
    assert len(complete) >= 200
    # what moto has by itself is AWS's own, or it would be said to be nobody's
    unowned = [
        each.urn for one in complete for each in one.resources if not each.managed_by and ":ec2:" not in each.urn
    ]
    assert unowned == []
