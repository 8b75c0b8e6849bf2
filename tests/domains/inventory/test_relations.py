"""The network, identity and edge pieces in moto: observed whole, named as AWS names them, tied to what they touch."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import botocore.session
import pytest
import sqlalchemy as sa

from tests.domains.inventory import world
from tests.domains.inventory.conftest import Open
from tests.domains.inventory.world import REGION, AccountWorld
from uwu.domains.inventory import DOMAIN
from uwu.domains.inventory.compared import kinds_of
from uwu.domains.inventory.services import SPECS
from uwu.kernel import graph, tables, urns

TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"AWS": ["arn:aws:iam::999988887777:root", "555566667777"], "Service": "ecs.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ],
}


def network(account: AccountWorld) -> None:
    ec2, ids = account.client("ec2"), account.ids
    vpc = ids["vpc"]
    ids["igw"] = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=ids["igw"], VpcId=vpc)
    ids["eigw"] = ec2.create_egress_only_internet_gateway(VpcId=vpc)["EgressOnlyInternetGateway"][
        "EgressOnlyInternetGatewayId"
    ]
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    ids["nat-eip"] = address
    ids["nat"] = ec2.create_nat_gateway(SubnetId=ids["subnet-a"], AllocationId=address)["NatGateway"]["NatGatewayId"]
    ids["table"] = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    ec2.associate_route_table(RouteTableId=ids["table"], SubnetId=ids["subnet-a"])
    ec2.create_route(RouteTableId=ids["table"], DestinationCidrBlock="0.0.0.0/0", GatewayId=ids["igw"])
    ids["acl"] = ec2.create_network_acl(VpcId=vpc)["NetworkAcl"]["NetworkAclId"]
    ids["endpoint"] = ec2.create_vpc_endpoint(
        VpcId=vpc, ServiceName=f"com.amazonaws.{REGION}.s3", RouteTableIds=[ids["table"]]
    )["VpcEndpoint"]["VpcEndpointId"]
    other = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    ids["other-vpc"] = other
    ids["peering"] = ec2.create_vpc_peering_connection(VpcId=vpc, PeerVpcId=other)["VpcPeeringConnection"][
        "VpcPeeringConnectionId"
    ]
    ids["tgw"] = ec2.create_transit_gateway()["TransitGateway"]["TransitGatewayId"]
    ids["attachment"] = ec2.create_transit_gateway_vpc_attachment(
        TransitGatewayId=ids["tgw"], VpcId=vpc, SubnetIds=[ids["subnet-a"]]
    )["TransitGatewayVpcAttachment"]["TransitGatewayAttachmentId"]
    ids["list"] = ec2.create_managed_prefix_list(
        PrefixListName="offices", MaxEntries=5, AddressFamily="IPv4", Entries=[{"Cidr": "203.0.113.0/24"}]
    )["PrefixList"]["PrefixListId"]
    ids["snapshot"] = ec2.create_snapshot(VolumeId=ids["volume"])["SnapshotId"]
    scaling = account.client("autoscaling")
    scaling.create_auto_scaling_group(
        AutoScalingGroupName="workers",
        MinSize=0,
        MaxSize=1,
        LaunchTemplate={"LaunchTemplateId": ids["lt"], "Version": "$Default"},
        VPCZoneIdentifier=f"{ids['subnet-a']},{ids['subnet-b']}",
        TargetGroupARNs=[ids["tg"]],
    )


def identities(account: AccountWorld) -> None:
    iam, ids = account.client("iam"), account.ids
    iam.create_group(GroupName="admins", Path="/people/")
    iam.add_user_to_group(GroupName="admins", UserName="breakglass")
    ids["provider"] = iam.create_open_id_connect_provider(
        Url="https://token.actions.githubusercontent.com", ThumbprintList=["a" * 40], ClientIDList=["sts.amazonaws.com"]
    )["OpenIDConnectProviderArn"]
    trust = {**TRUST, "Statement": [*TRUST["Statement"]]}
    trust["Statement"].append(
        {
            "Effect": "Allow",
            "Principal": {"Federated": ids["provider"]},
            "Action": "sts:AssumeRoleWithWebIdentity",
        }
    )
    ids["trusting"] = iam.create_role(RoleName="deployer", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]


def edge(account: AccountWorld) -> None:
    ids = account.ids
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("x.py", "x = 1")
    functions = account.client("lambda")
    functions.create_function_url_config(FunctionName="charge", AuthType="NONE")
    ids["mapping"] = functions.create_event_source_mapping(EventSourceArn=ids["queue"], FunctionName="charge")["UUID"]
    ids["subscription"] = account.client("sns").subscribe(
        TopicArn=ids["topic"], Protocol="sqs", Endpoint=ids["queue"], ReturnSubscriptionArn=True
    )["SubscriptionArn"]
    gateway = account.client("apigateway")
    api = gateway.create_rest_api(name="orders")["id"]
    ids["rest"] = api
    root = gateway.get_resources(restApiId=api)["items"][0]["id"]
    gateway.put_method(restApiId=api, resourceId=root, httpMethod="GET", authorizationType="NONE")
    uri = f"arn:aws:apigateway:{REGION}:lambda:path/2015-03-31/functions/{ids['function']}/invocations"
    gateway.put_integration(
        restApiId=api, resourceId=root, httpMethod="GET", type="AWS_PROXY", integrationHttpMethod="POST", uri=uri
    )
    gateway.create_deployment(restApiId=api, stageName="live")
    newer = account.client("apigatewayv2")
    ids["http"] = newer.create_api(Name="shop", ProtocolType="HTTP")["ApiId"]
    newer.create_integration(
        ApiId=ids["http"], IntegrationType="AWS_PROXY", IntegrationUri=ids["function"], PayloadFormatVersion="2.0"
    )
    ids["distribution"] = account.client("cloudfront").create_distribution(
        DistributionConfig={
            "CallerReference": account.id,
            "Comment": "",
            "Enabled": True,
            "Origins": {
                "Quantity": 1,
                "Items": [
                    {
                        "Id": "bucket",
                        "DomainName": f"{ids['bucket']}.s3.{REGION}.amazonaws.com",
                        "S3OriginConfig": {"OriginAccessIdentity": ""},
                    }
                ],
            },
            "DefaultCacheBehavior": {"TargetOriginId": "bucket", "ViewerProtocolPolicy": "https-only"},
        }
    )["Distribution"]["ARN"]
    account.client("s3").put_bucket_notification_configuration(
        Bucket=ids["bucket"],
        NotificationConfiguration={
            "QueueConfigurations": [{"QueueArn": ids["queue"], "Events": ["s3:ObjectCreated:*"]}]
        },
    )
    rules = account.client("events")
    rules.put_rule(Name="nightly", ScheduleExpression="rate(1 day)")
    rules.put_targets(Rule="nightly", Targets=[{"Id": "1", "Arn": ids["function"]}])
    firewall = account.client("wafv2")
    ids["web-acl"] = firewall.create_web_acl(
        Name="guard",
        Scope="REGIONAL",
        DefaultAction={"Allow": {}},
        VisibilityConfig={"SampledRequestsEnabled": False, "CloudWatchMetricsEnabled": False, "MetricName": "guard"},
    )["Summary"]["ARN"]
    firewall.associate_web_acl(WebACLArn=ids["web-acl"], ResourceArn=ids["application"])


def running(account: AccountWorld) -> None:
    ids = account.ids
    ecs = account.client("ecs")
    ids["cluster"] = ecs.create_cluster(clusterName="main")["cluster"]["clusterArn"]
    ids["task"] = ecs.register_task_definition(
        family="charge",
        taskRoleArn=ids["trusting"],
        containerDefinitions=[
            {
                "name": "charge",
                "image": "charge",
                "memory": 128,
                "environment": [{"name": "TOKEN", "value": "hush-hush-too"}],
                "secrets": [{"name": "DB", "valueFrom": f"{ids['secret']}:password::"}],
            }
        ],
    )["taskDefinition"]["taskDefinitionArn"]
    ids["service"] = ecs.create_service(
        cluster="main", serviceName="charge", taskDefinition="charge", desiredCount=0, loadBalancers=[]
    )["service"]["serviceArn"]
    account.client("eks").create_cluster(
        name="pods", roleArn=ids["trusting"], resourcesVpcConfig={"subnetIds": [ids["subnet-a"]]}
    )
    account.client("ecr").create_repository(repositoryName="charge")
    account.client("opensearch").create_domain(DomainName="logs")
    rds = account.client("rds")
    rds.create_db_cluster(
        DBClusterIdentifier="ledger",
        Engine="aurora-postgresql",
        MasterUsername="ledger",
        MasterUserPassword="not-a-secret",
    )


@pytest.fixture(scope="module")
def whole(aws_server: Any) -> AccountWorld:
    account = world.whole(aws_server.url)
    network(account)
    identities(account)
    edge(account)
    running(account)
    return account


@pytest.fixture
def seen(whole: AccountWorld, open_kernel: Open) -> Any:
    kernel = open_kernel(whole)
    world.sync(kernel)
    return kernel


def test_every_piece_is_observed_and_tied(whole: AccountWorld, seen: Any) -> None:
    ids, id = whole.ids, whole.id
    with seen.db.read() as connection:
        incomplete = [c for c in graph.coverage(connection, incomplete=True) if c.type != "aws_account"]
        t = tables.relations
        drawn = {tuple(row) for row in connection.execute(sa.select(t.c.source, t.c.kind, t.c.target))}
        told = str(connection.scalars(sa.select(tables.resources.c.attributes)).all())
    assert [(c.cell, c.code, c.message) for c in incomplete] == []
    assert "hush-hush-too" not in told

    def ec2(kind: str, key: str) -> str:
        return f"arn:aws:ec2:{REGION}:{id}:{kind}/{ids[key]}"

    def own(service: str, kind: str, name: str) -> str:
        return f"urn:uwu:aws:{service}:{kind}:{id}:{REGION}:{name}"

    vpc, iam = ec2("vpc", "vpc"), f"arn:aws:iam::{id}:"
    table, api = ec2("route-table", "table"), f"arn:aws:apigateway:{REGION}::"
    group = own("autoscaling", "group", "workers")
    someone = "urn:uwu:aws:iam:principal:::"
    expected = {
        (ec2("internet-gateway", "igw"), "attachedTo", vpc),
        (ec2("egress-only-internet-gateway", "eigw"), "attachedTo", vpc),
        (ec2("natgateway", "nat"), "inSubnet", ec2("subnet", "subnet-a")),
        (ec2("natgateway", "nat"), "hasAddress", ec2("elastic-ip", "nat-eip")),
        (table, "inVpc", vpc),
        (table, "routesFor", ec2("subnet", "subnet-a")),
        (table, "routesTo", ec2("internet-gateway", "igw")),
        (ec2("network-acl", "acl"), "inVpc", vpc),
        (ec2("vpc-endpoint", "endpoint"), "inRouteTable", table),
        (ec2("vpc-peering-connection", "peering"), "connects", vpc),
        (ec2("vpc-peering-connection", "peering"), "connects", ec2("vpc", "other-vpc")),
        (ec2("transit-gateway-attachment", "attachment"), "attachedTo", ec2("transit-gateway", "tgw")),
        (ec2("transit-gateway-attachment", "attachment"), "connects", vpc),
        (f"arn:aws:ec2:{REGION}::snapshot/{ids['snapshot']}", "madeFrom", ec2("volume", "volume")),
        (group, "usesLaunchTemplate", ec2("launch-template", "lt")),
        (group, "inSubnet", ec2("subnet", "subnet-b")),
        (group, "inTargetGroup", ids["tg"]),
        (iam + "instance-profile/runner", "hasRole", ids["role"]),
        (iam + "user/breakglass", "memberOf", iam + "group/people/admins"),
        (ids["trusting"], "trusts", "arn:aws:iam::999988887777:root"),
        (ids["trusting"], "trusts", "arn:aws:iam::555566667777:root"),
        (ids["trusting"], "trusts", someone + "ecs.amazonaws.com"),
        (ids["trusting"], "trusts", ids["provider"]),
        (own("lambda", "url", "charge"), "invokes", ids["function"]),
        (f"arn:aws:lambda:{REGION}:{id}:event-source-mapping:{ids['mapping']}", "readsFrom", ids["queue"]),
        (f"arn:aws:lambda:{REGION}:{id}:event-source-mapping:{ids['mapping']}", "invokes", ids["function"]),
        (ids["subscription"], "subscribesTo", ids["topic"]),
        (ids["subscription"], "deliversTo", ids["queue"]),
        (f"{api}/restapis/{ids['rest']}/stages/live", "partOf", f"{api}/restapis/{ids['rest']}"),
        (ids["distribution"], "hasOrigin", f"arn:aws:s3:::{ids['bucket']}"),
        (f"arn:aws:s3:::{ids['bucket']}", "notifies", ids["queue"]),
        (f"arn:aws:events:{REGION}:{id}:rule/nightly", "invokes", ids["function"]),
        (ids["web-acl"], "protects", ids["application"]),
        (ids["service"], "runs", ids["task"]),
        (ids["service"], "inCluster", ids["cluster"]),
        (ids["task"], "runsAs", ids["trusting"]),
        (ids["task"], "usesSecret", ids["secret"]),
        (f"arn:aws:eks:{REGION}:{id}:cluster/pods", "runsAs", ids["trusting"]),
    }
    assert expected - drawn == set()
    invoking = {
        source.split("::/")[1].split("/")[0]
        for source, kind, target in drawn
        if kind == "invokes" and target == ids["function"] and source.startswith("arn:aws:apigateway")
    }
    assert invoking == {"restapis", "apis"}
    listeners = {(kind, target) for source, kind, target in drawn if ":listener/" in source}
    assert listeners == {("listensFor", ids["application"]), ("forwardsTo", ids["tg"])}
    declared = {spec.name: set(kinds_of(spec)) for spec in SPECS}
    with seen.db.read() as connection:
        types = {row.urn: row.type for row in connection.execute(sa.select(tables.resources))}
    assert {(types[s], k) for s, k, _ in drawn if s in types and k not in declared.get(types[s], ())} == set()


def test_operations_and_members_are_those_of_aws() -> None:
    """What moto cannot hold is at least asked for by the API's own names."""
    session: Any = botocore.session.Session()
    for spec in SPECS:
        model: Any = session.get_service_model(spec.service)
        asked = [
            spec.operation,
            *(extra.operation for extra in spec.extras),
            spec.under.operation if spec.under else "",
        ]
        for operation in filter(None, asked):
            assert operation in model.operation_names, (spec.name, operation)
        if spec.operation and spec.path.isidentifier():
            members = model.operation_model(spec.operation).output_shape.members
            assert spec.path in members, (spec.name, spec.path)
    assert len({spec.name for spec in SPECS}) == len(SPECS)
    assert all(type.relations is not None for type in DOMAIN.types)


def test_an_auto_scaling_group_has_one_name() -> None:
    arn = f"arn:aws:autoscaling:{REGION}:111122223333:autoScalingGroup:5b1a-2:autoScalingGroupName/workers"
    assert urns.canonical(arn) == f"urn:uwu:aws:autoscaling:group:111122223333:{REGION}:workers"


def test_a_second_look_changes_nothing(seen: Any) -> None:
    second = world.sync(seen)
    assert (second["added"], second["changed"], second["removed"]) == (0, 0, 0)
