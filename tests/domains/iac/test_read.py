"""Reading the states of all stacks into declarations: files and S3, what fails keeps what it declared."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import msgspec
import pytest

from uwu.domains.iac import observe, ownership
from uwu.domains.iac.attach import HELD_BY, PARTS
from uwu.kernel import declared
from uwu.kernel.model import Declaration, Entity, Place
from uwu.kernel.runtime import Kernel
from uwu.kernel.settings import AwsSettings

if TYPE_CHECKING:
    from uwu.sim.server import MotoServer

GROUP = "arn:aws:ec2:eu-west-1:123456789012:security-group/sg-1"


def state(*resources: tuple[str, str, dict[str, Any]], serial: int = 1, version: int = 4) -> str:
    made = [
        {"mode": "managed", "type": type, "name": name, "provider": "p", "instances": [{"attributes": attributes}]}
        for type, name, attributes in resources
    ]
    return json.dumps({"version": version, "serial": serial, "lineage": "l", "resources": made})


BUCKET = ("aws_s3_bucket", "b", {"arn": "arn:aws:s3:::b", "bucket": "b"})
SG = ("aws_security_group", "g", {"id": "sg-1", "arn": GROUP, "ingress": [], "name": "g"})
RULE = ("aws_security_group_rule", "r", {"security_group_id": "sg-1", "type": "ingress", "protocol": "tcp"})


def stack(kernel: Kernel, name: str, state: str | list[str], **spec: Any) -> Entity:
    return Entity(
        kind="Stack",
        name=name,
        api_version="uwu.dev/v1alpha1",
        spec={"owner": "payments", "state": state, **spec},
        place=Place(str(kernel.settings.home_path / "estate" / "stacks.yaml"), 3),
    )


def declare_stacks(kernel: Kernel, *stacks: Entity) -> None:
    team = Entity(kind="Group", name="payments", api_version="backstage.io/v1alpha1", place=Place("g.yaml", 1))
    with kernel.db.write() as connection:
        declared.replace_entities(connection, "file:estate", [team, *stacks], [])


@pytest.fixture
def states(kernel: Kernel) -> Path:
    folder = kernel.settings.home_path / "estate" / "states"
    folder.mkdir(parents=True)
    return folder


def held(kernel: Kernel) -> dict[str, Declaration]:
    with kernel.db.read() as connection:
        return {d.id: d for d in declared.declarations(connection)}


def test_states_become_declarations_of_their_stack(kernel: Kernel, states: Path) -> None:
    (states / "a.tfstate").write_text(state(BUCKET, serial=14))
    (states / "b.tfstate").write_text(state(BUCKET, ("aws_network_acl_rule", "n", {"id": "1"})))
    declare_stacks(
        kernel, stack(kernel, "one", "states/a.tfstate"), stack(kernel, "two", ["states/a.tfstate", "states/b.tfstate"])
    )
    result = observe.read_states(kernel)
    assert (result["states"], result["declarations"], result["named"]) == (3, 4, 3)
    assert (result["unnamed"], result["problems"]) == ({"aws_network_acl_rule": 1}, [])
    found = held(kernel)
    assert set(found) == {
        "stack:default/one#aws_s3_bucket.b",
        "stack:default/two@states/a.tfstate#aws_s3_bucket.b",
        "stack:default/two@states/b.tfstate#aws_s3_bucket.b",
        "stack:default/two@states/b.tfstate#aws_network_acl_rule.n",
    }
    one = found["stack:default/one#aws_s3_bucket.b"]
    assert (one.urn, one.type, one.place) == ("arn:aws:s3:::b", "aws_s3_bucket", "states/a.tfstate#14")
    assert observe.read_states(kernel)["changed"] == 0
    with kernel.db.read() as connection:
        evidence = {(e.subject, e.owner, e.kind, e.source) for e in ownership.evidence(kernel, connection)}
    assert ("arn:aws:s3:::b", "group:default/payments", "state", "stack:default/one aws_s3_bucket.b") in evidence
    assert {owner for _, owner, _, _ in evidence} == {"group:default/payments"}


def test_a_state_that_fails_keeps_what_it_declared(kernel: Kernel, states: Path) -> None:
    (states / "a.tfstate").write_text(state(BUCKET))
    (states / "b.tfstate").write_text(state(SG))
    declare_stacks(kernel, stack(kernel, "one", "states/a.tfstate"), stack(kernel, "two", "states/b.tfstate"))
    observe.read_states(kernel)
    (states / "a.tfstate").write_text(state(version=3))
    (states / "b.tfstate").write_text(state(SG, ("aws_vpc", "v", {"id": "vpc-1"}), serial=2)[:-9])
    result = observe.read_states(kernel)
    assert (result["states"], result["states_failed"], result["changed"]) == (0, 2, 0)
    assert [(p["code"], p["place"]) for p in result["problems"]] == [
        ("state-version", "states/a.tfstate"),
        ("state-truncated", "states/b.tfstate:1"),
    ]
    assert all("stacks.yaml:3" in p["message"] and p["hint"] for p in result["problems"])
    assert len(held(kernel)) == 2
    (states / "a.tfstate").unlink()
    assert observe.read_states(kernel)["problems"][0]["code"] == "state-missing"


def test_a_stack_that_is_gone_declares_nothing(kernel: Kernel, states: Path) -> None:
    (states / "a.tfstate").write_text(state(BUCKET))
    declare_stacks(kernel, stack(kernel, "one", "states/a.tfstate"))
    observe.read_states(kernel)
    declare_stacks(kernel, stack(kernel, "one", ["states/a.tfstate", "states/a2.tfstate"]))
    (states / "a2.tfstate").write_text(state(BUCKET))
    observe.read_states(kernel)
    assert {d.source for d in held(kernel).values()} == {
        "stack:default/one@states/a.tfstate",
        "stack:default/one@states/a2.tfstate",
    }


def test_rules_of_another_stack_are_brought_to_their_group(kernel: Kernel, states: Path) -> None:
    (states / "net.tfstate").write_text(state(SG))
    (states / "app.tfstate").write_text(state(RULE))
    declare_stacks(kernel, stack(kernel, "net", "states/net.tfstate"), stack(kernel, "app", "states/app.tfstate"))
    assert observe.read_states(kernel)["problems"] == []
    found = held(kernel)
    group, rule = found["stack:default/net#aws_security_group.g"], found["stack:default/app#aws_security_group_rule.r"]
    assert rule.urn == group.urn == GROUP
    assert rule.attributes[HELD_BY] == group.id
    assert [part["address"] for part in group.attributes[PARTS]] == ["aws_security_group_rule.r"]
    (states / "app.tfstate").write_text("{")
    assert observe.read_states(kernel)["changed"] == 0
    (states / "app.tfstate").write_text(state(serial=2))
    observe.read_states(kernel)
    assert PARTS not in held(kernel)["stack:default/net#aws_security_group.g"].attributes


def test_an_account_that_nobody_tells_is_a_warning(kernel: Kernel, states: Path) -> None:
    (states / "a.tfstate").write_text(state(("aws_eip", "e", {"id": "eipalloc-1"})))
    declare_stacks(kernel, stack(kernel, "one", "states/a.tfstate"))
    (problem,) = observe.read_states(kernel)["problems"]
    assert (problem["code"], problem["severity"]) == ("state-account-unknown", "warning")
    declare_stacks(kernel, stack(kernel, "one", "states/a.tfstate", account="123456789012", region="eu-west-1"))
    assert observe.read_states(kernel)["problems"] == []


def test_states_in_s3(sqlite_kernel: Kernel, aws_server: MotoServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    settings = msgspec.structs.replace(sqlite_kernel.settings, aws=AwsSettings(endpoint_url=aws_server.url))
    kernel = Kernel(settings)
    s3 = boto3.client("s3", endpoint_url=aws_server.url, region_name="us-east-1")
    s3.create_bucket(Bucket="tf-states-read-test")
    s3.put_object(Bucket="tf-states-read-test", Key="pay/prod.tfstate", Body=state(BUCKET, serial=9).encode())
    there = "s3://tf-states-read-test/pay/prod.tfstate"
    declare_stacks(
        kernel,
        stack(kernel, "one", there),
        stack(kernel, "two", "s3://tf-states-read-test/none"),
        stack(kernel, "three", "s3://no-such-bucket-at-all/x"),
        stack(kernel, "four", "s3://only-a-bucket"),
    )
    result = observe.read_states(kernel)
    kernel.close()
    assert {(p["code"], p["place"]) for p in result["problems"]} == {
        ("state-missing", "s3://tf-states-read-test/none"),
        ("state-missing", "s3://no-such-bucket-at-all/x"),
        ("state-location", "s3://only-a-bucket"),
    }
    assert [d.place for d in held(sqlite_kernel).values()] == [f"{there}#9"]
