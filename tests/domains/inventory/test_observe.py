"""What is observed of a real account: every type, its name, its relations, who made it, and its coverage."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from tests.domains.inventory import world
from tests.domains.inventory.conftest import Open
from tests.domains.inventory.world import REGION, AccountWorld, OrganizationWorld
from uwu.domains.inventory import DOMAIN
from uwu.domains.inventory.evidence import evidence
from uwu.domains.inventory.health import health
from uwu.domains.inventory.services import SPECS
from uwu.kernel import declared, graph, tables
from uwu.kernel.model import Entity, Place
from uwu.kernel.runtime import Kernel


def by_type(kernel: Kernel) -> dict[str, dict[str, Any]]:
    """Type -> urn -> row."""
    with kernel.db.read() as connection:
        rows = connection.execute(sa.select(tables.resources)).all()
    found: dict[str, dict[str, Any]] = {type.name: {} for type in DOMAIN.types}
    for row in rows:
        found[row.type][row.urn] = row
    return found


def relations(kernel: Kernel) -> set[tuple[str, str, str]]:
    t = tables.relations
    with kernel.db.read() as connection:
        rows = connection.execute(sa.select(t.c.source, t.c.kind, t.c.target).where(t.c.valid_to.is_(None)))
        return {tuple(row) for row in rows}  # type: ignore[misc]


@pytest.fixture
def seen(full: AccountWorld, open_kernel: Open) -> tuple[Kernel, dict[str, Any]]:
    kernel = open_kernel(full)
    return kernel, world.sync(kernel)


def test_both_clients_observe_the_same(full: AccountWorld, open_kernel: Open) -> None:
    """The fast client and botocore: the same resources with the same attributes, and the same relations."""
    fast, slow = open_kernel(full, client="fast"), open_kernel(full, client="botocore")
    assert world.sync(fast)["complete"] == world.sync(slow)["complete"]
    found = [
        {type: {urn: row.attributes for urn, row in rows.items()} for type, rows in by_type(kernel).items()}
        for kernel in (fast, slow)
    ]
    assert found[0] == found[1]
    assert relations(fast) == relations(slow)


def test_every_type_is_observed_under_the_name_that_aws_gives(full: AccountWorld, seen: Any) -> None:
    kernel, result = seen
    found, ids, at = by_type(kernel), full.ids, f"{REGION}:{full.id}"
    assert (result["cells"], result["complete"]) == (len(DOMAIN.types), len(DOMAIN.types) - 1)  # no organization here
    zone = ids["zone"].split("/")[-1]
    expected = {
        "aws_ec2_instance": f"arn:aws:ec2:{at}:instance/{ids['instance']}",
        "aws_ebs_volume": f"arn:aws:ec2:{at}:volume/{ids['volume']}",
        "aws_vpc_security_group": f"arn:aws:ec2:{at}:security-group/{ids['sg']}",
        "aws_vpc": f"arn:aws:ec2:{at}:vpc/{ids['vpc']}",
        "aws_vpc_subnet": f"arn:aws:ec2:{at}:subnet/{ids['subnet-a']}",
        "aws_ec2_network_interface": f"arn:aws:ec2:{at}:network-interface/{ids['eni']}",
        "aws_vpc_eip": f"arn:aws:ec2:{at}:elastic-ip/{ids['eip']}",
        "aws_ec2_ami": f"arn:aws:ec2:{REGION}::image/{ids['ami']}",
        "aws_ec2_launch_template": f"arn:aws:ec2:{at}:launch-template/{ids['lt']}",
        "aws_s3_bucket": f"arn:aws:s3:::{ids['bucket']}",
        "aws_iam_role": ids["role"],
        "aws_iam_user": ids["user"],
        "aws_iam_policy": ids["policy"],
        "aws_iam_access_key": f"urn:uwu:aws:iam:access-key:{full.id}::{ids['key']}",
        "aws_rds_db_instance": ids["db"],
        "aws_lambda_function": ids["function"],
        "aws_ec2_application_load_balancer": ids["application"],
        "aws_ec2_network_load_balancer": ids["network"],
        "aws_ec2_gateway_load_balancer": ids["gateway"],
        "aws_ec2_target_group": ids["tg"],
        "aws_route53_zone": f"arn:aws:route53:::hostedzone/{zone}",
        "aws_route53_record": f"urn:uwu:aws:route53:record-set:{full.id}::{zone}/www.example.org/A",
        "aws_kms_key": ids["kms"],
        "aws_secretsmanager_secret": ids["secret"],
        "aws_sqs_queue": ids["queue"],
        "aws_sns_topic": ids["topic"],
        "aws_acm_certificate": ids["certificate"],
        "aws_cloudformation_stack": ids["stack"],
    }
    assert set(expected) <= {type.name for type in DOMAIN.types}
    for type, urn in expected.items():
        assert urn in found[type], type
    assert f"arn:aws:ec2:{at}:instance/{ids['terminated']}" not in found["aws_ec2_instance"]
    assert found["aws_vpc_security_group"][expected["aws_vpc_security_group"]].tags == {
        "Name": "web",
        "team": "payments",
    }
    tagged = ("aws_iam_policy", "aws_kms_key", "aws_s3_bucket", "aws_rds_db_instance", "aws_lambda_function")
    for type in (*tagged, "aws_sqs_queue", "aws_sns_topic", "aws_secretsmanager_secret"):
        assert found[type][expected[type]].tags == {"team": "payments"}, type
    assert found["aws_route53_zone"][expected["aws_route53_zone"]].tags == {"team": "dns"}
    assert found["aws_ec2_target_group"][ids["tg"]].tags == {"team": "web"}
    regions = {type: {row.region for row in rows.values()} for type, rows in found.items()}
    assert regions["aws_s3_bucket"] == {REGION, "us-east-1"}
    assert regions["aws_iam_role"] == regions["aws_route53_zone"] == {"global"}


def test_attributes_are_the_api_s_own_as_plain_json(full: AccountWorld, seen: Any) -> None:
    kernel, _ = seen
    found, ids = by_type(kernel), full.ids
    bucket = found["aws_s3_bucket"][f"arn:aws:s3:::{ids['bucket']}"].attributes
    assert bucket["Versioning"]["Status"] == "Enabled"
    assert bucket["Policy"]["Statement"][0]["Effect"] == "Deny"
    assert bucket["PublicAccessBlockConfiguration"]["BlockPublicAcls"] is True
    rule = bucket["ServerSideEncryptionConfiguration"]["Rules"][0]["ApplyServerSideEncryptionByDefault"]
    assert rule["KMSMasterKeyID"] == ids["kms"]
    plain = found["aws_s3_bucket"][f"arn:aws:s3:::{ids['plain-bucket']}"].attributes
    assert "Policy" not in plain and "ServerSideEncryptionConfiguration" not in plain and plain["Region"] == "us-east-1"
    role = found["aws_iam_role"][ids["role"]]
    assert role.name == "runner" and role.attributes["Path"] == "/team/"
    assert role.attributes["AssumeRolePolicyDocument"]["Statement"][0]["Action"] == "sts:AssumeRole"
    assert role.attributes["RolePolicyList"][0]["PolicyDocument"]["Version"] == "2012-10-17"
    assert role.attributes["MaxSessionDuration"] == 3600
    assert "RoleLastUsed" not in role.attributes and "Tags" not in role.attributes
    assert found["aws_kms_key"][ids["kms"]].name == "alias/orders"
    assert found["aws_kms_key"][ids["kms"]].attributes["KeyRotationEnabled"] is True
    queue = found["aws_sqs_queue"][ids["queue"]].attributes
    assert queue["RedrivePolicy"]["deadLetterTargetArn"] == ids["dlq"] and queue["VisibilityTimeout"] == "30"
    assert "ApproximateNumberOfMessages" not in queue
    template = next(iter(found["aws_ec2_launch_template"].values())).attributes
    assert template["LaunchTemplateData"]["ImageId"] == ids["ami"]
    instance = found["aws_ec2_instance"][f"arn:aws:ec2:{REGION}:{full.id}:instance/{ids['instance']}"]
    assert instance.name == "web-1" and instance.attributes["LaunchTime"].endswith("Z")
    told = str([row.attributes for rows in found.values() for row in rows.values()])
    assert "hush-hush" not in told and "not-a-secret-1" not in told


def test_relations_lead_from_one_resource_to_the_next(full: AccountWorld, seen: Any) -> None:
    kernel, result = seen
    ids, drawn = full.ids, relations(kernel)

    def ec2(kind: str, id: str) -> str:
        return f"arn:aws:ec2:{REGION}:{full.id}:{kind}/{ids[id]}"

    def record(name: str) -> str:
        return f"urn:uwu:aws:route53:record-set:{full.id}::{ids['zone'].split('/')[-1]}/{name}.example.org/A"

    iam = f"arn:aws:iam::{full.id}:"
    expected = {
        (ec2("instance", "instance"), "inSubnet", ec2("subnet", "subnet-a")),
        (ec2("instance", "instance"), "hasSecurityGroup", ec2("security-group", "sg")),
        (ec2("instance", "instance"), "hasInstanceProfile", iam + "instance-profile/web"),
        (ids["role"], "inInstanceProfile", iam + "instance-profile/runner"),
        (ids["role"], "hasPolicy", ids["policy"]),
        (ec2("volume", "volume"), "attachedTo", ec2("instance", "instance")),
        (ec2("elastic-ip", "eip"), "attachedTo", ec2("instance", "instance")),
        (ec2("network-interface", "eni"), "inSubnet", ec2("subnet", "subnet-b")),
        (ids["application"], "hasSecurityGroup", ec2("security-group", "sg")),
        (ids["tg"], "servedBy", ids["application"]),
        (ids["tg"], "targets", ec2("instance", "instance")),
        (ids["function"], "runsAs", ids["role"]),
        (ids["db"], "encryptedBy", ids["kms"]),
        (ids["db"], "inSubnet", ec2("subnet", "subnet-b")),
        (f"arn:aws:s3:::{ids['bucket']}", "encryptedBy", ids["kms"]),
        (ids["secret"], "encryptedBy", ids["kms"]),
        (ids["topic"], "encryptedBy", ids["kms"]),
        (ids["queue"], "deadLettersTo", ids["dlq"]),
        (f"urn:uwu:aws:iam:access-key:{full.id}::{ids['key']}", "belongsTo", ids["user"]),
        (record("www"), "inZone", f"arn:aws:route53:::{ids['zone'].lstrip('/')}"),
        (record("www"), "resolvesTo", ids["application"]),
        (record("door"), "resolvesTo", ec2("elastic-ip", "eip")),
    }
    assert expected - drawn == set()
    assert result["names_resolved"] == 2


def test_what_aws_or_another_resource_made_is_marked(full: AccountWorld, seen: Any) -> None:
    kernel, _ = seen
    found, ids = by_type(kernel), full.ids
    instance = f"arn:aws:ec2:{REGION}:{full.id}:instance/{ids['instance']}"
    assert {row.managed_by for row in found["aws_vpc"].values() if row.attributes["IsDefault"]} == {"aws"}
    assert {row.managed_by for row in found["aws_vpc_subnet"].values() if row.attributes["DefaultForAz"]} == {"aws"}
    groups = found["aws_vpc_security_group"].values()
    assert {row.name: row.managed_by for row in groups} == {"default": "aws", "web": ""}
    roots = [row for row in found["aws_ebs_volume"].values() if row.managed_by == instance]
    assert len(roots) == 1 and roots[0].attributes["VolumeId"] != ids["volume"]
    assert found["aws_ebs_volume"][f"arn:aws:ec2:{REGION}:{full.id}:volume/{ids['volume']}"].managed_by == ""
    primary = [row for row in found["aws_ec2_network_interface"].values() if row.managed_by == instance]
    assert len(primary) == 1 and primary[0].attributes["NetworkInterfaceId"] != ids["eni"]
    roles = {row.name: row.managed_by for row in found["aws_iam_role"].values()}
    assert roles == {"runner": "", "AWSServiceRoleForrds": "aws"}
    records = {(row.name, row.attributes["Type"]): row.managed_by for row in found["aws_route53_record"].values()}
    assert records["example.org", "NS"] == records["example.org", "SOA"] == "aws"
    assert records["www.example.org", "A"] == ""
    assert {row.name: row.managed_by for row in found["aws_kms_key"].values()} == {
        "alias/orders": "",
        "alias/aws/ebs": "aws",
    }


def test_a_second_look_at_an_unchanged_world_makes_no_version(seen: Any) -> None:
    kernel, first = seen
    second = world.sync(kernel)
    assert (second["added"], second["changed"], second["removed"]) == (0, 0, 0)
    assert second["unchanged"] == first["added"] > 0
    with kernel.db.read() as connection:
        v = tables.versions
        assert connection.scalar(sa.select(sa.func.count()).where(v.c.version > 1)) == 0


def test_changes_and_deletions_are_noticed(open_kernel: Open, aws_server: Any) -> None:
    account = world.new_account(aws_server.url)
    sqs = account.client("sqs")
    urls = {name: sqs.create_queue(QueueName=name)["QueueUrl"] for name in ("kept", "gone")}
    kernel = open_kernel(account)
    world.sync(kernel)
    sqs.set_queue_attributes(QueueUrl=urls["kept"], Attributes={"VisibilityTimeout": "77"})
    sqs.delete_queue(QueueUrl=urls["gone"])
    result = world.sync(kernel)
    assert (result["added"], result["changed"], result["removed"]) == (0, 1, 1)
    arn = f"arn:aws:sqs:{REGION}:{account.id}:"
    with kernel.db.read() as connection:
        assert graph.resource(connection, arn + "gone") is None
        assert graph.history(connection, arn + "gone")[0].valid_to is not None
        assert [v.attributes["VisibilityTimeout"] for v in graph.history(connection, arn + "kept")] == ["77", "30"]


def test_the_organization_s_accounts_are_found_with_their_places(
    organized: OrganizationWorld, open_kernel: Open
) -> None:
    kernel = open_kernel(organized.management, regions=(REGION, "us-east-1"))
    result = world.sync(kernel)
    assert result["accounts"] == 3 and result["accounts_denied"] == []
    once = sum(1 for spec in SPECS if spec.everywhere)
    assert result["cells"] == result["complete"] == 1 + 3 * (once + 2 * (len(SPECS) - once))
    accounts = {row.name: row for row in by_type(kernel)["aws_account"].values()}
    payments = accounts["payments"]
    assert payments.account == organized.accounts["payments"].id
    assert payments.attributes["OuPath"] == "/Workloads/Production"
    assert accounts["staging"].attributes["OuPath"] == "/Workloads"
    assert payments.tags == {"environment": "payments"}
    assert payments.urn.startswith(f"arn:aws:organizations::{organized.management.id}:account/o-")
    with kernel.db.read() as connection:
        assert graph.account_names(connection)[payments.account] == "payments"
        covered = {(c.account, c.region, c.type) for c in graph.coverage(connection)}
    vpcs = {(a.id, r) for a in (*organized.accounts.values(), organized.management) for r in (REGION, "us-east-1")}
    assert {(a, r) for a, r, type in covered if type == "aws_vpc"} == vpcs
    assert {r for _, r, type in covered if type in {"aws_iam_role", "aws_s3_bucket"}} == {REGION}


def test_an_account_s_owner_and_a_stack_s_owner_are_evidence(full: AccountWorld, seen: Any) -> None:
    kernel, _ = seen
    place = Place("estate/accounts.yaml", 1)
    group = {"api_version": "backstage.io/v1alpha1", "kind": "Group", "place": place}
    entities = [
        Entity(name="platform", **group),
        Entity(name="payments", **group),
        Entity(
            api_version="uwu.dev/v1alpha1",
            kind="Account",
            name="main",
            spec={"accountId": full.id, "owner": "payments"},
            place=place,
        ),
    ]
    with kernel.db.write() as connection:
        declared.replace_entities(connection, "file:estate", entities, [])
        r = tables.resources
        member = f"arn:aws:s3:::stacked-{full.id}"
        connection.execute(r.update().where(r.c.urn == member).values(managed_by=full.ids["stack"]))
    with kernel.db.read() as connection:
        told = list(evidence(kernel, connection))
        count = connection.scalar(sa.select(sa.func.count()).select_from(tables.resources))
    assert sum(1 for e in told if e.kind == "account" and e.owner == "group:default/payments") == count
    stack = [e for e in told if e.kind == "stack"]
    assert [(e.subject, e.owner) for e in stack] == [(member, "group:default/platform")]
    assert "owner=platform" in stack[0].source


def test_health_says_how_much_is_known(full: AccountWorld, open_kernel: Open) -> None:
    kernel = open_kernel(full)
    assert health(kernel)[0].status == "never"
    world.sync(kernel)
    assert health(kernel)[0].status == "fresh"
    assert "cells complete" in health(kernel)[0].detail


def test_a_sync_is_the_same_on_both_databases(full: AccountWorld, open_kernel: Open, database_url: str) -> None:
    kernel = open_kernel(full, database_url=database_url)
    first = world.sync(kernel)
    second = world.sync(kernel)
    assert first["added"] == second["unchanged"] > 40
    assert second["changed"] == second["removed"] == 0
