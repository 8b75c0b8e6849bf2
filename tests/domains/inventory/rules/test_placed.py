"""What is declared for one account and stands in another."""

from __future__ import annotations

from dataclasses import replace

from tests.domains.inventory.rules.cases import OTHER, queue
from tests.domains.inventory.rules.held import NOW, Held, fill, said
from tests.kernel.world import ACCOUNT
from uwu.kernel import tables
from uwu.kernel.db import upsert
from uwu.kernel.model import Found
from uwu.kernel.runtime import Kernel

RULE, STACK = "wrong-account", "stack:default/shop"


def declared(kernel: Kernel, account: str, *held: Held) -> None:
    entity = {
        "ref": STACK,
        "kind": "Stack",
        "namespace": "default",
        "name": "shop",
        "api_version": "v1",
        "metadata": {},
        "spec": {"account": account},
        "file": "shop.yaml",
        "line": 1,
        "origin": "",
        "hash": "",
        "orphan": False,
        "first_seen": NOW,
        "last_seen": NOW,
    }
    rows = [
        {
            "id": f"{STACK}#{one.at}",
            "source": STACK,
            "address": one.at,
            "place": "shop.tf:1",
            "urn": one.at,
            "type": one.type,
            "declared_type": one.type,
            "attributes": {},
            "tags": {},
            "declared_at": NOW,
            "hash": "h",
        }
        for one in held
    ]
    with kernel.db.write() as connection:
        upsert(connection, tables.entities, [entity])
        upsert(connection, tables.declarations, rows)


def test_what_is_declared_for_another_account(kernel: Kernel) -> None:
    fill(kernel, (queue, replace(queue, id="undeclared")))
    declared(kernel, OTHER, queue)
    (found,) = said(kernel, RULE)
    assert isinstance(found, Found) and found.subject == queue.at
    assert f"is in {ACCOUNT}, declared for {OTHER} by {STACK}" in found.title
    assert (found.path, found.observed) == ("account", ACCOUNT) and "spec.account" in found.remedy


def test_what_is_where_it_is_declared(sqlite_kernel: Kernel) -> None:
    fill(sqlite_kernel, (queue,))
    declared(sqlite_kernel, ACCOUNT, queue)
    assert said(sqlite_kernel, RULE) == []
