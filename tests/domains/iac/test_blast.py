"""Blast radius: over relations and over references between states, with the path; on both databases."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from tests.domains.iac.plans import change, plan
from uwu.domains.iac import blast, references, tables
from uwu.domains.iac.runs import planner
from uwu.domains.iac.state import Instance
from uwu.kernel import codec, declared
from uwu.kernel import tables as world
from uwu.kernel.db import Database
from uwu.kernel.model import Declaration, Entity, Place, Relation

A, R = "123456789012", "eu-west-1"
LB = f"arn:aws:elasticloadbalancing:{R}:{A}:loadbalancer/app/pay/1"
FN, KEY = f"arn:aws:lambda:{R}:{A}:function:pay", f"arn:aws:kms:{R}:{A}:key/1"
SECRET = f"arn:aws:secretsmanager:{R}:{A}:secret:pay-1"
PAY, DNS = "stack:default/payments", "stack:default/dns"


def declaration(stack: str, address: str, urn: str = "") -> Declaration:
    kind = address.partition(".")[0]
    return Declaration(
        source=stack, address=address, place="s#1", urn=urn, type=kind if urn else "", declared_type=kind
    )


def relate(connection: sa.Connection, *given: tuple[str, str, str]) -> None:
    now = codec.now()
    rows = [
        {
            "source": s,
            "kind": k,
            "target": t,
            "valid_from": now,
            "valid_to": None,
            "cell": "c",
            "evidence": f"{k} is so",
        }
        for s, k, t in given
    ]
    connection.execute(world.relations.insert(), rows)


def own(connection: sa.Connection, subject: str, owner: str) -> None:
    row: dict[str, Any] = {"strength": "tag", "evidence": [], "conflicts": [], "settled_at": codec.now()}
    connection.execute(world.ownership.insert().values(subject=subject, owner=owner, **row))


@pytest.fixture
def built(db: Database) -> Database:
    stack = Entity(kind="Stack", name="dns", api_version="uwu.dev/v1alpha1", place=Place("d.yaml", 1))
    with db.write() as connection:
        declared.replace_entities(
            connection,
            "file:dns",
            [stack],
            [Relation(source=DNS, kind="ownedBy", target="group:default/edge", evidence="")],
        )
        declared.replace_declarations(
            connection, PAY, [declaration(PAY, "aws_lb.pay", LB), declaration(PAY, "aws_kms_key.k", KEY)]
        )
        declared.replace_declarations(
            connection, DNS, [declaration(DNS, "aws_route53_record.pay"), declaration(DNS, "aws_acm_certificate.pay")]
        )
        connection.execute(
            tables.references.insert(),
            [
                {
                    "source": f"{DNS}#aws_route53_record.pay",
                    "target": f"{PAY}#aws_lb.pay",
                    "path": "alias.name",
                    "name": "pay.example.com",
                },
                {
                    "source": f"{DNS}#aws_acm_certificate.pay",
                    "target": f"{DNS}#aws_route53_record.pay",
                    "path": "domain_name",
                    "name": "pay.example.com",
                },
            ],
        )
        relate(
            connection, (SECRET, "encryptedBy", KEY), (FN, "usesSecret", SECRET), ("group:default/edge", "ownerOf", KEY)
        )
        own(connection, SECRET, "group:default/payments")
        own(connection, FN, "group:default/shop")
    return db


def test_dependents_across_states_and_owners_with_the_path(built: Database) -> None:
    given = plan(
        change("aws_lb", "replace", "pay", before={"arn": LB}),
        change("aws_kms_key", "delete", "k", before={"arn": KEY}),
    )
    with built.read() as connection:
        found = blast.radius(connection, given, source=PAY)
    told = {each.name: each for each in found.dependents}
    assert found.total == 4 and found.complete
    assert found.owners == {"group:default/edge": 2, "group:default/payments": 1, "group:default/shop": 1}
    assert found.categories == {"DNS name": 1, "certificate": 1, "secret": 1, "service": 1}
    record = next(each for each in found.dependents if "route53" in each.subject)
    assert (record.name, record.owner, record.stack, record.distance) == (
        "pay.example.com",
        "group:default/edge",
        DNS,
        1,
    )
    assert record.path == [blast.Hop(record.subject, "names", LB, "aws_route53_record.pay: alias.name")]
    function = next(each for each in found.dependents if each.subject == FN)
    assert [(hop.kind, hop.target) for hop in function.path] == [("usesSecret", SECRET), ("encryptedBy", KEY)]
    assert "usesSecret" in planner.told(function) and len(told) == 3
    assert {each.owner for each in planner.affected(found)} == {o for o in found.owners if o}


def test_what_the_plan_only_updates_or_also_deletes_does_not_count(built: Database) -> None:
    with built.read() as connection:
        assert (
            blast.radius(connection, plan(change("aws_lb", "update", "pay", before={"arn": LB})), source=PAY).total == 0
        )
        both = plan(
            change("aws_kms_key", "delete", "k", before={"arn": KEY}),
            change("aws_secretsmanager_secret", "delete", "s", before={"arn": SECRET}),
        )
        assert [each.subject for each in blast.radius(connection, both, source=PAY).dependents] == [FN]


def test_a_graph_that_is_not_known_whole_never_says_that_nothing_depends(built: Database) -> None:
    with built.write() as connection:
        now, c = codec.now(), world.coverage
        row: dict[str, Any] = {column.name: "" for column in c.columns}
        row |= dict.fromkeys(("resources", "calls", "seconds", "attempts", "throttled", "bytes", "cost"), 0)
        row |= {"cell": "aws/1/eu/x", "status": "denied", "observed_at": now}
        row |= dict.fromkeys(("complete_at", "since", "due_at"), now)
        connection.execute(c.insert().values(row))
        found = blast.radius(connection, plan(change("aws_sns_topic", "delete", before={"name": "t"})), source=PAY)
    assert found.total == 0 and not found.complete and found.lacks == ["aws/1/eu/x"]


def test_references_are_found_by_identifiers_and_hold_no_value() -> None:
    def instance(address: str, **attributes: Any) -> Instance:
        return Instance(address=address, type=address.partition(".")[0], provider="p", attributes=attributes)

    held = [
        ("a#aws_lb.pay", instance("aws_lb.pay", arn=LB, dns_name="pay-1.elb.amazonaws.com", id=LB)),
        ("b#aws_route53_record.r", instance("aws_route53_record.r", id="Z1_pay_A", fqdn="pay.example.com",
                                            alias=[{"name": "PAY-1.elb.amazonaws.com."}])),
        ("b#aws_iam_policy.p", instance("aws_iam_policy.p", id="p", policy=f'{{"Resource": "{KEY}/*"}}',
                                       password="hunter2!")),
        ("c#aws_kms_key.k", instance("aws_kms_key.k", arn=KEY, id="1")),
        ("c#aws_x.common", instance("aws_x.common", id="default", other="default")),
    ]  # fmt: skip
    rows = references.find(held)
    assert {(r["source"], r["target"], r["path"]) for r in rows} == {
        ("b#aws_route53_record.r", "a#aws_lb.pay", "alias.name"),
        ("b#aws_iam_policy.p", "c#aws_kms_key.k", "policy"),
    }
    assert {r["name"] for r in rows} == {"pay.example.com", ""} and "hunter2" not in repr(rows)


def test_references_are_replaced(db: Database) -> None:
    rows = [
        {"source": "a", "target": "b", "path": "p", "name": ""},
        {"source": "a", "target": "c", "path": "p", "name": ""},
    ]
    with db.write() as connection:
        assert [references.replace(connection, rows), references.replace(connection, rows)] == [2, 0]
        assert references.replace(connection, [{**rows[0], "path": "q"}]) == 3
