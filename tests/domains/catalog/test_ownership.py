"""Ownership as the catalog knows it."""

from __future__ import annotations

from typing import Any

import pytest

from uwu.domains.catalog.ownership import OWNS, Owners, evidence
from uwu.kernel import codec, declared, graph
from uwu.kernel.model import Cell, CellStatus, Entity, Outcome, Place, Resource
from uwu.kernel.runtime import Kernel


def entity(kind: str, name: str, *, namespace: str = "default", owns: str = "", **spec: Any) -> Entity:
    return Entity(
        kind=kind,
        name=name,
        namespace=namespace,
        api_version="backstage.io/v1alpha1",
        metadata={"name": name, **({"annotations": {OWNS: owns}} if owns else {})},
        spec=spec,
        place=Place("estate/all.yaml", 7),
    )


ENTITIES = [
    entity("Group", "payments", profile={"email": "Pay@example.org"}),
    entity("Group", "search", namespace="shop"),
    entity("User", "jane", profile={"email": "jane@example.org"}),
    entity("Component", "checkout", owner="payments", owns="arn:aws:s3:::carts/x, vol-1  i-unknown"),
    entity("System", "twin", owner="payments"),
    entity("Component", "twin", owner="user:jane"),
    entity("Component", "lost", owner="nobody"),
]


@pytest.mark.parametrize(
    ("text", "owner"),
    [
        ("payments", "group:default/payments"),
        ("Payments ", "group:default/payments"),
        ("group:default/payments", "group:default/payments"),
        ("search", "group:shop/search"),
        ("user:jane", "user:default/jane"),
        ("pay@example.org", "group:default/payments"),
        ("checkout", "group:default/payments"),
        ("component:checkout", "group:default/payments"),
        ("twin", ""),
        ("lost", ""),
        ("nobody", ""),
        ("no one at all", ""),
        ("", ""),
    ],
)
def test_what_a_tag_value_means(text: str, owner: str) -> None:
    assert Owners(ENTITIES).meant(text) == owner


def test_evidence_from_annotations_and_the_strongest_tag(sqlite_kernel: Kernel) -> None:
    cell = Cell(source="aws", account="1", region="eu-west-1", type="x")

    def resource(urn: str, **tags: str) -> Resource:
        return Resource(urn=urn, type="x", account="1", region="eu-west-1", name=urn, tags=tags)

    volume = "arn:aws:ec2:eu-west-1:1:volume/vol-1"
    resources = [
        resource("arn:aws:s3:::carts"),
        resource(volume, app="twin", Team="nobody", service="checkout"),
        resource("arn:aws:s3:::other", owner="jane@example.org", team="payments"),
    ]
    with sqlite_kernel.db.write() as connection:
        declared.replace_entities(connection, "file:x", ENTITIES, [])
        outcome = Outcome(cell=cell, status=CellStatus.COMPLETE, observed_at=codec.now())
        graph.observe(connection, outcome, resources, [])
    with sqlite_kernel.db.read() as connection:
        found = {(e.subject, e.kind, e.owner, e.source) for e in evidence(sqlite_kernel, connection)}
    said = "component:default/checkout at estate/all.yaml:7"
    assert found == {
        ("arn:aws:s3:::carts", "estate", "group:default/payments", said),
        (volume, "estate", "group:default/payments", said),
        (volume, "tag", "group:default/payments", "tag service=checkout"),
        ("arn:aws:s3:::other", "tag", "user:default/jane", "tag owner=jane@example.org"),
    }
