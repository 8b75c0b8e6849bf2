"""A plan of 5,000 changes: read from its JSON, its blast radius told from a graph and another state, judged."""

from __future__ import annotations

import gc
import random
import statistics
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from bench.harness import Report
from uwu.domains.iac import blast, plan_json, tables
from uwu.domains.iac.policy import check
from uwu.domains.iac.policy.shipped import SHIPPED
from uwu.kernel import codec, declared, migrate
from uwu.kernel import tables as world
from uwu.kernel.db import Database
from uwu.kernel.model import Declaration

CHANGES, BAR_SECONDS = 5_000, 2.0
STACK, OTHER = "stack:default/large", "stack:default/names"
A, R = "123456789012", "eu-west-1"
TYPES = ("aws_instance", "aws_security_group", "aws_s3_bucket", "aws_iam_role", "aws_db_instance", "aws_lb")
OPS = (["create"], ["update"], ["delete"], ["delete", "create"])


def plan(report: Report, folder: Path, *, times: int) -> None:
    """The seconds that one analysis takes, in all and by its parts; the plan is read from its bytes each time."""
    data, gone = content()
    database = Database(f"sqlite:///{folder / 'plan.db'}")
    try:
        migrate.upgrade(database)
        fill(database, gone)
        report.figure("plan_changes", CHANGES, peer=f"{len(gone):,} destroyed or replaced")
        report.figure("plan_json_mb", round(len(data) / 1e6, 1), unit=" MB")
        told: dict[str, list[float]] = {"read": [], "blast_radius": [], "policy": [], "all": []}
        total = 0
        for _ in range(times):
            gc.collect()
            marks = [time.perf_counter()]
            read = plan_json.parse(data)
            marks.append(time.perf_counter())
            with database.read() as connection:
                radius = blast.radius(connection, read, source=STACK, account=A, region=R)
                subjects = blast.subjects(connection, read, STACK, A, R)
            marks.append(time.perf_counter())
            check.judge(read, SHIPPED, source=STACK, account=A, urns=subjects)
            marks.append(time.perf_counter())
            for name, took in zip(told, (*(b - a for a, b in pairwise(marks)), marks[-1] - marks[0]), strict=True):
                told[name].append(took)
            total = radius.total
        report.figure("plan_dependents", total, peer=f"within {blast.LENGTH} hops, over 2 states")
        for name in ("read", "blast_radius", "policy"):
            report.figure(f"plan_{name}_s_p50", round(statistics.median(told[name]), 3), unit=" s")
        worst = round(max(told["all"]), 3)
        report.bar("plan_analysed_s_worst", worst, at_most=BAR_SECONDS, unit=" s", peer=f"all three, {times} times")
    finally:
        database.close()


def content() -> tuple[bytes, list[tuple[str, str]]]:
    """The plan, and (address, urn) of what it destroys or replaces."""
    chance = random.Random(11)
    entries: list[dict[str, Any]] = []
    gone: list[tuple[str, str]] = []
    for number in range(CHANGES):
        kind, actions = TYPES[number % len(TYPES)], OPS[number % len(OPS)]
        arn = f"arn:aws:made:{R}:{A}:{kind}/{chance.getrandbits(64):016x}"
        address = f'module.m{number % 40}.{kind}.x["{number}"]'
        values = {
            "arn": arn,
            "id": arn,
            "name": f"{kind}-{number}",
            "tags": {"team": "payments", "build": f"{chance.getrandbits(64):x}"},
            "ingress": [{"cidr_blocks": ["10.0.0.0/8"], "from_port": 443, "to_port": 443, "protocol": "tcp"}],
            "policy": '{"Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]}',
            "list": [{"a": chance.random(), "b": f"{chance.getrandbits(160):040x}"} for _ in range(8)],
            "password": f"{chance.getrandbits(64):x}" if number % 50 == 0 else None,
        }
        before = None if actions == ["create"] else values
        after = None if actions == ["delete"] else {**values, "name": f"{kind}-{number}-new"}
        mask = {"password": True} if number % 50 == 0 else {}
        change = {"actions": actions, "before": before, "after": after, "after_unknown": {"etag": True}}
        change |= {"before_sensitive": mask, "after_sensitive": mask}
        entry = {"address": address, "mode": "managed", "type": kind, "name": "x", "change": change}
        entries.append({**entry, "provider_name": "registry.terraform.io/hashicorp/aws"})
        if "delete" in actions:
            gone.append((address, arn))
    return codec.encode({"format_version": "1.2", "terraform_version": "1.11.4", "resource_changes": entries}), gone


def fill(database: Database, gone: list[tuple[str, str]]) -> None:
    """A graph in which something depends on each, in ways of up to four hops, and a state that names every other."""
    now = codec.now()
    related: list[dict[str, Any]] = []
    names: list[Declaration] = []
    for number, (_, arn) in enumerate(gone):
        target = arn
        for hop in range(number % 4):
            source = f"arn:aws:made:{R}:{A}:dependent/{number}-{hop}"
            related.append(
                {"source": source, "kind": "uses", "target": target, "valid_from": now, "valid_to": None,
                 "cell": "made", "evidence": "made"}
            )  # fmt: skip
            target = source
        if number % 2:
            names.append(
                Declaration(source=OTHER, address=f"aws_route53_record.r{number}", place="s", urn="", type="",
                            declared_type="aws_route53_record")
            )  # fmt: skip
    own = [
        Declaration(source=STACK, address=address, place="s", urn=arn, type="", declared_type="x")
        for address, arn in gone
    ]
    with database.write() as connection:
        connection.execute(world.relations.insert(), related)
        declared.replace_declarations(connection, STACK, own)
        declared.replace_declarations(connection, OTHER, names)
        rows = [
            {
                "source": f"{OTHER}#aws_route53_record.r{n}",
                "target": f"{STACK}#{address}",
                "path": "alias.name",
                "name": f"r{n}",
            }
            for n, (address, _) in enumerate(gone)
            if n % 2
        ]
        connection.execute(tables.references.insert(), rows)
