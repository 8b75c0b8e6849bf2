"""Whoever created a resource is the last word on who owns it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.domains.trail.test_ingest import take, write
from uwu.domains.trail import creators
from uwu.kernel import codec, declared, graph
from uwu.kernel.model import Cell, CellStatus, Entity, Evidence, Outcome, Place, Relation, Resource
from uwu.kernel.runtime import Kernel

A = "111122223333"
VPC = f"arn:aws:ec2:eu-west-1:{A}:vpc/vpc-0a1b2c3d4e5f60718"
USER = f"arn:aws:iam::{A}:user/robot"


def human(name: str) -> dict[str, Any]:
    return {"type": "IAMUser", "userName": name, "accountId": A, "arn": f"arn:aws:iam::{A}:user/{name}"}


def entity(kind: str, name: str, **spec: Any) -> Entity:
    return Entity(kind=kind, name=name, api_version="backstage.io/v1alpha1", spec=spec, place=Place("/e.yaml", 1))


@pytest.fixture
def peopled(kernel: Kernel) -> Kernel:
    """Three people, two of them in one group each, and two resources."""
    member = [
        Relation(source="user:default/mira.k", kind="memberOf", target="group:default/payments"),
        Relation(source="user:default/jonas", kind="memberOf", target="group:default/search"),
        Relation(source="user:default/both", kind="memberOf", target="group:default/search"),
        Relation(source="user:default/both", kind="memberOf", target="group:default/payments"),
    ]
    people = [
        entity("User", "mira.k"),
        entity("User", "jonas", profile={"email": "Jonas.B@example.com"}),
        entity("User", "both"),
    ]
    at = codec.now()
    with kernel.db.write() as connection:
        declared.replace_entities(connection, "file:/e.yaml", people, member)
        for type, urn in (("aws_vpc", VPC), ("aws_iam_user", USER)):
            cell = Cell(source="aws", account=A, region="eu-west-1", type=type)
            outcome = Outcome(cell=cell, status=CellStatus.COMPLETE, observed_at=at)
            graph.observe(
                connection, outcome, [Resource(urn=urn, type=type, account=A, region="eu-west-1", name="x")], []
            )
    return kernel


def told(kernel: Kernel) -> list[Evidence]:
    with kernel.db.read() as connection:
        return sorted(creators.evidence(kernel, connection), key=lambda e: e.subject)


def test_the_creators_group_owns(peopled: Kernel, made: Any, tmp_path: Path):
    assert told(peopled) == []
    response = {"vpc": {"vpcId": "vpc-0a1b2c3d4e5f60718"}}
    take(
        peopled,
        write(
            tmp_path / "a.json",
            made("CreateVpc", userIdentity=human("jonas.b@example.com"), responseElements=response),
            made(
                "CreateUser", "iam.amazonaws.com", userIdentity=human("mira.k"), requestParameters={"userName": "robot"}
            ),
            # a later call of another person that creates something of the user, not the user
            made(
                "CreateLoginProfile",
                "iam.amazonaws.com",
                eventTime="2026-03-10T15:00:00Z",
                userIdentity=human("jonas"),
                requestParameters={"userName": "robot"},
            ),
        ),
    )
    assert told(peopled) == [
        Evidence(
            subject=VPC, owner="group:default/search", kind="creator", source="jonas.b@example.com called CreateVpc"
        ),
        Evidence(subject=USER, owner="group:default/payments", kind="creator", source="mira.k called CreateUser"),
    ]


def test_one_of_two_groups_or_a_machine_tells_nothing(peopled: Kernel, made: Any, tmp_path: Path):
    response = {"vpc": {"vpcId": "vpc-0a1b2c3d4e5f60718"}}
    service = {"type": "AWSService", "invokedBy": "mira.k"}
    take(
        peopled,
        write(
            tmp_path / "a.json",
            made("CreateVpc", userIdentity=human("both"), responseElements=response),
            made("CreateUser", "iam.amazonaws.com", userIdentity=service, requestParameters={"userName": "robot"}),
        ),
    )
    assert told(peopled) == []
