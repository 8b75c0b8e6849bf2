"""The pages of stacks: what is managed, what goes in and comes out, who depends on whom; no secret."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from litestar.testing import TestClient

from tests.app.console import lively, world
from tests.app.console.server import client as client_of
from uwu.domains.iac import state_write, tables
from uwu.domains.iac.state_write import Wanted
from uwu.kernel import codec, declared, ownership
from uwu.kernel.identity import Principal
from uwu.kernel.model import Entity, Place, Relation
from uwu.kernel.runtime import Kernel

SECRET = "a-password-of-the-ledger-3301"
OUTPUTS = {
    "endpoint": {"value": f"ledger.example {world.HOSTILE}", "type": "string"},
    "password": {"value": SECRET, "type": "string", "sensitive": True},
}
STATE = {"version": 4, "terraform_version": "1.11.4", "serial": 1, "lineage": "l", "outputs": OUTPUTS, "resources": []}


def furnish(kernel: Kernel) -> None:
    """A stack with a run, a state and two that depend on it."""
    lively.keep_runs(kernel)
    by = Principal(ref="user:default/mira", name="mira", kind="human", via="session")
    wanted = Wanted(namespace="default", name="ledger-live", via="http", operation="OperationTypeApply")
    state_write.write(kernel, by, wanted, codec.encode(STATE))
    web = Entity(
        kind="Stack",
        name="web",
        api_version="uwu.dev/v1alpha1",
        spec={"owner": "edge", "state": "uwu://", "drift": {"every": "6h"}, "dependsOn": ["ledger-live"]},
        place=Place("web.yaml", 1),
    )
    needs = Relation(source=web.ref, kind="dependsOn", target="stack:default/ledger-live", evidence="spec.dependsOn")
    with kernel.db.write() as connection:
        declared.replace_entities(connection, "file:web", [web], [needs])
        reference = {"path": "outputs", "name": "data.terraform_remote_state.ledger"}
        ends = {"source": f"{web.ref}#data.terraform_remote_state.ledger", "target": "stack:default/ledger-live#"}
        connection.execute(tables.references.insert(), [{**ends, **reference}])
    ownership.settle(kernel)


@pytest.fixture
def client(sqlite_template: Path, tmp_path: Path) -> Iterator[TestClient[Any]]:
    shutil.copy(sqlite_template, tmp_path / "state.db")
    kernel = lively.open_kernel(tmp_path)
    world.fill(kernel)
    furnish(kernel)
    with client_of(kernel) as opened:
        yield opened
    kernel.close()


def words(client: TestClient[Any], path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    assert SECRET not in answer.text and world.HOSTILE not in answer.text
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.text.partition("<main")[2]))


def test_the_list_tells_what_is_managed_and_the_last_run(client: TestClient[Any]) -> None:
    text = words(client, "/stacks")
    assert "% of" in text and "resources are in a state" in text and "Not managed" in text
    assert "ledger-live" in text and "failed" in text and "every 6h" in text
    links = re.findall(r'href="(/findings\?[^"]*rule=drift.undeclared[^"]*)"', client.get("/stacks").text)
    assert len(links) > 2
    for link in links:
        assert client.get(link.replace("&amp;", "&")).status_code == 200


def test_a_stack_shows_inputs_outputs_and_dependents(client: TestClient[Any]) -> None:
    text = words(client, "/stacks/default/ledger-live")
    assert "endpoint" in text and "ledger.example" in text and "password" in text and "sensitive" in text
    assert "cidr" in text and "required" in text
    assert "web" in text and "declares it" in text and "reads its outputs" in text
    other = words(client, "/stacks/default/web")
    assert "ledger-live" in other
    assert client.get("/stacks/default/none").status_code == 404


def test_the_catalog_leads_to_it(client: TestClient[Any]) -> None:
    assert "/stacks/default/web" in client.get("/catalog/stack:default/web").text
