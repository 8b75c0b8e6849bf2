"""The generated catalog against botocore's own models, and the types that are made of it."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import botocore.session
import pytest

from uwu.domains.inventory import services
from uwu.domains.inventory.catalog import build, cloud, infer, model, names, overlay, types
from uwu.domains.inventory.catalog.model import NO_IDENTITY, Row
from uwu.domains.inventory.model import ITS_ACCOUNT, Each, Scope
from uwu.kernel.errors import BadInput, Misconfigured
from uwu.kernel.settings import InventorySettings

_loader: Any = botocore.session.Session().get_component("data_loader")
ROWS = model.load().rows


@cache
def _model(service: str) -> Any:
    return _loader.load_service_model(service, "service-2")


def _at(service: str, shape: str, path: str) -> str:
    """The shape at a JMESPath of members and ``[]``; empty where the model has no such path."""
    shapes = _model(service)["shapes"]
    for part in [] if path == "@" else path.split("."):
        held = shapes[shape].get("members", {}) if shapes[shape]["type"] == "structure" else {}
        ref = held.get(part.partition("[")[0])
        if ref is None:
            return ""
        shape = ref["shape"]
        if "[" in part:
            if shapes[shape]["type"] != "list":
                return ""
            shape = shapes[shape]["member"]["shape"]
    return shape


def _item(row: Row) -> str:
    """The shape of an item of ``row``."""
    output = _model(row.service)["operations"][row.operation]["output"]["shape"]
    found = _at(row.service, output, row.path)
    told: Any = _model(row.service)["shapes"][found] if found else {"type": ""}
    return told["member"]["shape"] if told["type"] == "list" else found


def _members(row: Row) -> set[str]:
    held = _model(row.service)["shapes"][_item(row)].get("members", {})
    return {row.text} if row.text else set(held)


def test_it_is_that_of_the_installed_botocore() -> None:
    assert model.encode(build.build()) == build.installed().read_bytes(), "run `uwu inventory catalog build`"


def test_it_lists_what_can_be_listed_with_no_code_of_its_own() -> None:
    lists = {(row.service, row.operation) for row in ROWS if row.form == "list"}
    second = {(row.service, row.operation) for row in ROWS if row.form != "list"}
    assert len(lists) >= 2_100 and len(second) >= 2_000 and not lists & second
    assert len(ROWS) == len(lists) + len(second)
    assert list(ROWS) == list(model.decode(build.installed().read_bytes()).rows)


def test_every_path_and_member_is_in_the_models() -> None:
    wrong: list[str] = []
    for row in ROWS:
        item = _item(row)
        if not item:
            wrong.append(f"{row.service} {row.operation}: {row.path}")
            continue
        told = [row.id, row.arn, row.name, row.created, *row.noise] if row.form != "tags" else []
        wanted = [name for name in told if name and name != NO_IDENTITY and name != row.text and name[0] != "~"]
        wanted += [row.tags] if row.form != "tags" and row.tags else []
        paths = [*wanted, *(link.path for link in row.links)]
        wrong += [f"{row.service} {row.operation}: {path}" for path in paths if not _at(row.service, item, path)]
    assert wrong == []


def test_what_is_asked_is_what_the_models_take() -> None:
    wrong: list[str] = []
    for row in ROWS:
        operation = _model(row.service)["operations"][row.operation]
        shape = operation.get("input", {}).get("shape", "")
        told = _model(row.service)["shapes"].get(shape, {})
        if set(told.get("required", ())) - {row.argument}:
            wrong.append(f"{row.service} {row.operation} needs more")
        if row.argument and row.argument not in told.get("members", {}):
            wrong.append(f"{row.service} {row.operation} takes no {row.argument}")
        if row.parent:
            parent = model.find(row.service, row.parent)
            if parent is None or parent.form != "list" or row.given not in _members(parent):
                wrong.append(f"{row.service} {row.operation}: {row.parent} gives no {row.given}")
    assert wrong == []


def test_paths_and_names_of_lists_that_are_known() -> None:
    def told(service: str, operation: str) -> tuple[str, str, str, str]:
        row = model.find(service, operation)
        assert row is not None
        return row.path, row.noun, row.id, row.arn

    assert told("ec2", "DescribeInstances") == ("Reservations[].Instances[]", "instance", "InstanceId", "~instance")
    assert told("cloudfront", "ListDistributions") == ("DistributionList.Items", "distribution", "Id", "ARN")
    assert told("cloudfront", "ListCachePolicies")[0] == "CachePolicyList.Items[].CachePolicy"
    assert told("batch", "DescribeJobQueues") == ("jobQueues", "job_queue", "", "jobQueueArn")
    assert told("cloudwatch", "DescribeAlarms")[0] == "MetricAlarms"
    assert told("dynamodb", "ListTables") == ("TableNames", "table", "TableName", "")
    assert told("ec2", "DescribeNatGateways")[3] == "~natgateway"
    table = model.find("dynamodb", "DescribeTable")
    assert table is not None
    assert (table.form, table.parent, table.argument, table.given) == ("detail", "ListTables", "TableName", "TableName")
    nodes = model.find("eks", "ListNodegroups")
    assert nodes is not None and (nodes.form, nodes.parent, nodes.given) == ("each", "ListClusters", "cluster")
    budgets = model.find("budgets", "DescribeBudgets")
    assert budgets is not None and (budgets.argument, budgets.given) == ("AccountId", ITS_ACCOUNT)


def test_nothing_that_answers_with_a_secret_is_asked() -> None:
    asked = {row.operation for row in ROWS}
    assert not asked & {"GetSecretValue", "GetPasswordData", "GetParameter", "GetClusterCredentials", "GetSessionToken"}


@pytest.mark.parametrize(
    ("word", "one"),
    [
        ("job_queues", "job_queue"),
        ("policies", "policy"),
        ("db_proxies", "db_proxy"),
        ("addresses", "address"),
        ("aliases", "alias"),
        ("event_buses", "event_bus"),
        ("statuses", "status"),
        ("databases", "database"),
        ("dns", "dns"),
        ("status", "status"),
    ],
)
def test_singular(word: str, one: str) -> None:
    assert names.singular(word) == one == names.singular(one)


def test_names_follow_steampipe() -> None:
    assert names.noun("ListGroupSummaries") == "group" and names.noun("ListClustersV2") == "cluster"
    assert names.type_name("apigateway", "usage_plan") == "aws_api_gateway_usage_plan"
    assert names.title("batch", "job_queue") == "Batch job queue"
    every = services.all_names()
    assert len(every) == len(set(every)) and all(re.fullmatch(r"aws(_[a-z0-9]+)+", name) for name in every)


# ---- what people added


def test_curated_types_say_what_the_models_have() -> None:
    icons = set(re.findall(r'id="i-([a-z0-9-]+)"', _icons()))
    wrong: list[str] = []
    written = {spec.name for spec in services.SPECS}
    for one in types.curated():
        assert one.name not in written, f"{one.name} is written by hand: take its line out of curated.txt"
        plan = types.planned()[one.name]
        had = _members(plan.row)
        detail = model.find(one.service, one.detail) if one.detail else None
        if detail is not None:
            had |= _members(detail)
        named = [*one.keys, *one.drop, *re.findall(r"{(\w+)}", one.arn)]
        wrong += [f"{one.name}: {name}" for name in named if name not in had]
        wrong += [f"{one.name}: icon {one.icon}"] if one.icon not in icons else []
    assert wrong == []
    assert len(types.curated()) + len(services.SPECS) >= 200
    assert len({one.name for one in types.curated()}) == len(types.curated())
    titles = [one.title for one in types.curated()]
    assert sorted(title for title in set(titles) if titles.count(title) > 1) == []


def _icons() -> str:
    import uwu.app.console

    return (Path(uwu.app.console.__path__[0]) / "static" / "icons.svg").read_text("utf-8")


def test_no_type_twice_and_none_of_what_is_left_out() -> None:
    written = {spec.name for spec in services.SPECS}
    planned = types.planned()
    assert not written & set(planned) and not written & {spec.name for spec in cloud.SPECS}
    assert not set(planned) & {spec.name for spec in cloud.SPECS}
    generated = [plan for plan in planned.values() if plan.curated is None]
    assert generated and not [plan.name for plan in generated if plan.row.left_out]
    assert len({(plan.row.service, plan.row.noun) for plan in generated}) == len(generated)


def test_reasons_of_what_is_left_out() -> None:
    assert overlay.reason("ec2", "DescribeInstanceTypes") == "what AWS offers, not what the account has"
    assert overlay.reason("rds", "DescribeEvents").startswith("what happened")
    assert overlay.reason("docdb", "DescribeDBClusters").startswith("the same resources")
    assert overlay.reason("glue", "GetJobs") == "" and overlay.reason("ec2", "DescribeVpcs") == ""


def test_what_is_generated_of_members() -> None:
    shapes = {
        "Text": {"type": "string"},
        "Secret": {"type": "string", "sensitive": True},
        "Time": {"type": "timestamp"},
        "Texts": {"type": "list", "member": {"shape": "Text"}},
        "Tag": {"type": "structure", "members": {"Key": {"shape": "Text"}, "Value": {"shape": "Text"}}},
        "Tags": {"type": "list", "member": {"shape": "Tag"}},
        "Net": {"type": "structure", "members": {"SubnetIds": {"shape": "Texts"}, "VpcId": {"shape": "Text"}}},
        "Broker": {
            "type": "structure",
            "members": {
                "BrokerName": {"shape": "Text"},
                "BrokerArn": {"shape": "Text"},
                "RoleArn": {"shape": "Text"},
                "KmsKeyId": {"shape": "Text"},
                "Network": {"shape": "Net"},
                "AdminPassword": {"shape": "Text"},
                "PasswordSecretArn": {"shape": "Text"},
                "Motd": {"shape": "Secret"},
                "LastUsedTime": {"shape": "Time"},
                "CreatedAt": {"shape": "Time"},
                "Tags": {"shape": "Tags"},
            },
        },
    }
    own = infer.identity(shapes, "Broker", "broker")
    assert own == ("", "BrokerArn", "BrokerName", "Tags", "CreatedAt")
    assert infer.noise(shapes, "Broker", own) == ("LastUsedTime",)
    assert infer.secrets(shapes, "Broker", own) == ("AdminPassword", "Motd")
    assert {(link.kind, link.path, link.to) for link in infer.links(shapes, "Broker", own, "broker")} == {
        ("runsAs", "RoleArn", "arn"),
        ("encryptedBy", "KmsKeyId", "kms"),
        ("inSubnet", "Network.SubnetIds[]", "subnet"),
        ("inVpc", "Network.VpcId", "vpc"),
        ("usesSecret", "PasswordSecretArn", "arn"),
    }


# ---- from a row to a resource's name


HERE = Scope("111122223333", "eu-west-1")


def test_urns_are_arns_where_they_can_be_and_never_the_same() -> None:
    queue, plan = types.spec("aws_batch_queue"), types.spec("aws_api_gateway_usage_plan")
    arn = "arn:aws:batch:eu-west-1:111122223333:job-queue/high"
    assert queue.urn(HERE, {"jobQueueArn": arn, "jobQueueName": "high"}) == arn
    assert plan.urn(HERE, {"id": "abc"}) == "arn:aws:apigateway:eu-west-1:111122223333:/usageplans/abc"
    peering = types.spec("aws_vpc_flow_log")
    assert peering.urn(HERE, {"FlowLogId": "fl-1"}) == "arn:aws:ec2:eu-west-1:111122223333:vpc-flow-log/fl-1"
    nodes = types.spec("aws_eks_node_group")
    one, other = ({"nodegroup": "blue", "_parent": parent} for parent in ("a", "b"))
    assert nodes.urn(HERE, one) == "urn:uwu:aws:eks:nodegroup:111122223333:eu-west-1:a/blue" != nodes.urn(HERE, other)
    nameless = next(p for p in types.planned().values() if p.row.id == NO_IDENTITY and not p.row.arn and not p.row.name)
    told = types.spec(nameless.name)
    assert told.urn(HERE, {"A": 1}) == told.urn(HERE, {"A": 1}) != told.urn(HERE, {"A": 2})


def test_what_is_of_another_account_or_region_or_aws_itself_is_left_out() -> None:
    spec = types.spec("aws_batch_queue")
    assert spec.where is not None and spec.managed_by is not None

    def here(account: str, region: str, **more: str) -> bool:
        assert spec.where is not None
        return spec.where(HERE, {"jobQueueArn": f"arn:aws:batch:{region}:{account}:job-queue/x", **more})

    assert here("111122223333", "eu-west-1")
    assert not here("999999999999", "eu-west-1") and not here("111122223333", "us-east-1")
    assert not here("111122223333", "eu-west-1", OwnerId="999999999999") and not here("aws", "")
    assert (
        spec.managed_by(HERE, {"jobQueueName": "default"}) == "aws" == spec.managed_by(HERE, {"jobQueueName": "aws/x"})
    )
    assert spec.managed_by(HERE, {"jobQueueName": "defaults-of-ours"}) == ""


def test_tags_are_asked_for_where_the_list_has_none() -> None:
    role = types.spec("aws_iot_role_alias")
    asked = [extra for extra in role.extras if isinstance(extra, Each)]
    assert [extra.operation for extra in asked] == ["DescribeRoleAlias", "ListTagsForResource"]
    assert asked[0].arguments({"roleAlias": "fleet"}) == {"roleAlias": "fleet"}
    item = {"roleAlias": "fleet"}
    assert role.where is not None and role.where(HERE, item) and asked[1].when is not None and asked[1].when(item)
    assert asked[1].arguments(item) == {"resourceArn": "arn:aws:iot:eu-west-1:111122223333:rolealias/fleet"}
    assert not asked[1].when({"roleAlias": "fleet"})


# ---- what is collected


def _names(*chosen: str, exclude: tuple[str, ...] = ()) -> set[str]:
    held = services.collected(InventorySettings(types=chosen, exclude=exclude))
    assert all(spec.service == service for service, specs in held.items() for spec in specs)
    return {spec.name for specs in held.values() for spec in specs}


def test_settings_choose_what_is_collected() -> None:
    core, curated, every = _names("core"), _names("curated"), _names("all")
    assert core == {spec.name for spec in services.SPECS} < curated < every == set(services.all_names())
    assert {one.name for one in types.curated() if one.asked} & curated == set()
    assert _names("aws_glue_*") == {name for name in every if name.startswith("aws_glue_")}
    assert _names("core", "aws_batch_queue") == core | {"aws_batch_queue"}
    assert _names("curated", exclude=("aws_batch_*",)) == {n for n in curated if not n.startswith("aws_batch_")}
    for settings in (InventorySettings(types=("aws_nothing_*",)), InventorySettings(exclude=("aws_nothing",))):
        with pytest.raises(Misconfigured) as caught:
            services.collected(settings)
        assert caught.value.problem.code == "type-unknown"


def test_a_sync_may_ask_for_what_is_not_collected() -> None:
    settings = InventorySettings(types=("core",))
    assert services.chosen(settings, ()) == services.collected(settings)
    ec2 = {spec.name for specs in services.chosen(settings, ("aws_ec2_*",)).values() for spec in specs}
    assert ec2 and ec2 <= {spec.name for spec in services.SPECS}
    assert [*services.chosen(settings, ("aws_batch_queue",))] == ["batch"]
    (grant,) = services.chosen(settings, ("AWS::S3::AccessGrant",))["cloudcontrol"]
    assert grant.name == "aws_s3_access_grant"
    (other,) = services.chosen(settings, ("AWS::MSK::ServerlessCluster",))["cloudcontrol"]
    assert (other.name, other.arguments) == ("aws_msk_serverless_cluster", {"TypeName": "AWS::MSK::ServerlessCluster"})
    with pytest.raises(BadInput) as caught:
        services.chosen(settings, ("aws_nothing",))
    assert caught.value.problem.code == "type-unknown"


def test_the_command_line_does_not_pay_for_it() -> None:
    code = (
        "import sys, uwu.app.cli, uwu.domains.inventory, uwu.domains.inventory.cli\n"
        "loaded = [m for m in sys.modules if m.startswith(('uwu.domains.inventory.catalog', 'boto'))]\n"
        "assert not loaded, loaded"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
