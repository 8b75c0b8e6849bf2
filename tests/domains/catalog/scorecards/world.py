"""A small company for scorecards: one service that passes every check, written so that each can be spoiled alone."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import yaml

from uwu.domains.catalog.observe import load_estate
from uwu.kernel import codec, declared, graph, ownership, tables
from uwu.kernel.db import upsert
from uwu.kernel.model import Cell, CellStatus, Declaration, Outcome, Resource
from uwu.kernel.rulebook import rules
from uwu.kernel.runtime import Kernel

ACCOUNT, REGION = "111122223333", "eu-west-1"
SHOP, PAY = "component:default/shop", "group:default/pay"
QUEUE = f"arn:aws:sqs:{REGION}:{ACCOUNT}:shop-orders"
BASE, UWU = "backstage.io/v1alpha1", "uwu.dev/v1alpha1"
OPENAPI = "openapi: 3.1.0\ninfo: {title: Shop, version: '1'}\npaths:\n  /orders:\n    get: {responses: {}}\n"


def entity(kind: str, name: str, spec: dict[str, Any], api: str = BASE, **metadata: Any) -> dict[str, Any]:
    return {"apiVersion": api, "kind": kind, "metadata": {"name": name, **metadata}, "spec": spec}


def service(name: str = "shop", **spec: Any) -> dict[str, Any]:
    return entity(
        "Component",
        name,
        {
            "type": "service",
            "lifecycle": "production",
            "owner": "pay",
            "system": "store",
            "providesApis": ["shop-api"],
            "dependsOn": [],
            "tier": "1",
            "slo": [{"name": "availability", "objective": 99.9, "window": "30d"}],
            **spec,
        },
        description="Takes the orders of every customer",
        links=[{"url": "https://wiki.example/shop", "title": "Runbook", "type": "runbook"}],
        annotations={"backstage.io/techdocs-ref": "dir:."},
    )


def company(*more: dict[str, Any]) -> list[dict[str, Any]]:
    rota = {"rotation": ["mira", "teo"], "start": "2026-01-05T09:00:00Z"}
    return [
        entity("Group", "pay", {"type": "team", "children": [], "members": ["mira", "teo"], "onCall": rota}),
        entity("Group", "search", {"type": "team", "children": []}),
        entity("User", "mira", {}),
        entity("User", "teo", {}),
        entity("System", "store", {"owner": "pay"}),
        entity(
            "API", "shop-api", {"type": "openapi", "lifecycle": "production", "owner": "pay", "definition": OPENAPI}
        ),
        service(),
        *more,
    ]


def write(kernel: Kernel, documents: list[dict[str, Any]]) -> Path:
    """Makes ``documents`` the whole estate, and loads it."""
    (folder,) = kernel.settings.estate_paths
    folder.mkdir(exist_ok=True)
    (folder / "all.yaml").write_text(yaml.safe_dump_all(documents, sort_keys=False))
    told = load_estate(kernel)
    assert all(one["code"] == "dangling-reference" for one in told["problems"]), told["problems"]
    return folder / "all.yaml"


def observe(
    kernel: Kernel,
    *,
    status: CellStatus = CellStatus.COMPLETE,
    late: bool = False,
    owner: str = "pay",
    coded: bool = True,
) -> None:
    """One queue of the shop's, seen, owned, in code; and every rule has judged."""
    cell = Cell(source="aws", account=ACCOUNT, region=REGION, type="aws_sqs_queue")
    queue = Resource(
        urn=QUEUE,
        type="aws_sqs_queue",
        account=ACCOUNT,
        region=REGION,
        name="shop-orders",
        tags={"service": "shop", "team": owner},
    )
    at = codec.now()
    due = at - timedelta(hours=1) if late else at + timedelta(hours=1)
    state = Declaration(
        source="stack:default/shop",
        address="aws_sqs_queue.orders",
        place="shop.tfstate#1",
        urn=QUEUE if coded else f"{QUEUE}-other",
        type="aws_sqs_queue",
        declared_type="aws_sqs_queue",
    )
    with kernel.db.write() as connection:
        graph.observe(
            connection, Outcome(cell=cell, status=CellStatus.COMPLETE, observed_at=at, due_at=due), [queue], []
        )
        if status is not CellStatus.COMPLETE:
            graph.observe(connection, Outcome(cell=cell, status=status, observed_at=at, code="AccessDenied"), [], [])
        declared.replace_declarations(connection, "stack:default/shop", [state])
        judged(connection, kernel)
    ownership.settle(kernel)


def judged(connection: sa.Connection, kernel: Kernel, **reasons: list[dict[str, Any]]) -> None:
    """Every rule has judged; of ``reasons`` (rule's last word -> reasons) it could not say all."""
    rows = [
        {
            "rule": rule.id,
            "judged_at": codec.now(),
            "unjudged": sum(one["count"] for one in told),
            "reasons": told,
        }
        for _, rule in rules(kernel)
        for told in [reasons.get(rule.id.rpartition(".")[2].replace("-", "_"), [])]
    ]
    upsert(connection, tables.judgements, rows)


def find(
    kernel: Kernel, rule: str, *, severity: str = "low", status: str = "open", days: int = 1, subject: str = QUEUE
) -> str:
    """A finding of ``rule`` on the queue."""
    at = codec.now()
    id = codec.new_id("f")
    with kernel.db.write() as connection:
        connection.execute(
            tables.findings.insert().values(
                id=id,
                rule=rule,
                subject=subject,
                path="",
                domain="inventory",
                severity=severity,
                title=f"{rule} holds",
                status=status,
                type="aws_sqs_queue",
                account=ACCOUNT,
                region=REGION,
                owner=PAY,
                place="",
                cell="",
                actor="",
                remedy="",
                opened_at=at - timedelta(days=days),
                last_seen=at,
            )
        )
    return id
