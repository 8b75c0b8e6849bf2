"""Stacks in the catalog: outputs by permission, who reads whom, what is managed, what is imported."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.app.front import ask as ask_api
from tests.app.front import serving
from tests.domains.iac.drift.world import REQUIRED, install
from tests.domains.iac.runs.test_runs import everything
from tests.domains.iac.runs.world import MIRA, STACK, declare, person
from uwu.domains.iac import coverage, observe, remedy
from uwu.domains.iac.declare import Source
from uwu.domains.iac.stacks import adopt, view
from uwu.domains.iac.stacks import remote as links
from uwu.domains.iac.state import parse
from uwu.kernel import audit, codec, declared, graph, ownership, query
from uwu.kernel.errors import Conflict, NotFound
from uwu.kernel.model import Cell, CellStatus, Outcome, Relation, Resource
from uwu.kernel.runtime import Kernel

ACCOUNT, REGION = "111122223333", "eu-west-1"
SECRET = "an-output-that-nobody-logs-5519"


def resource(type: str, urn: str, name: str, **more: Any) -> Resource:
    return Resource(
        urn=urn,
        type=type,
        account=ACCOUNT,
        region=REGION,
        name=name,
        attributes=more.pop("attributes", {}),
        tags={"team": "payments"},
        **more,
    )


def queue(name: str, **more: Any) -> Resource:
    urn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"
    attributes = {"QueueUrl": f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{name}"}
    return resource("aws_sqs_queue", urn, name, attributes=attributes, **more)


def observed(kernel: Kernel, *resources: Resource) -> None:
    """Inventory saw these, each of its type alone, and their owners were settled."""
    by_type: dict[str, list[Resource]] = {}
    for each in resources:
        by_type.setdefault(each.type, []).append(each)
    for type, some in by_type.items():
        cell = Cell(source="aws", account=ACCOUNT, region=REGION, type=type)
        with kernel.db.write() as connection:
            outcome = Outcome(cell=cell, status=CellStatus.COMPLETE, observed_at=codec.now())
            graph.observe(connection, outcome, some, [])
    ownership.settle(kernel)


def state(outputs: dict[str, Any] | None = None, *resources: dict[str, Any]) -> bytes:
    top = {"version": 4, "terraform_version": "1.11.4", "serial": 1, "lineage": "l", "outputs": outputs or {}}
    return json.dumps({**top, "resources": list(resources)}).encode()


def held(type: str, name: str, **attributes: Any) -> dict[str, Any]:
    return {
        "mode": "managed",
        "type": type,
        "name": name,
        "provider": 'provider["registry.terraform.io/hashicorp/aws"]',
        "instances": [{"attributes": attributes}],
    }


def stack(kernel: Kernel, tmp_path: Path, name: str, content: bytes, **spec: Any) -> Path:
    """A stack with its state in a file and a folder of its own."""
    folder = tmp_path / name
    folder.mkdir(parents=True, exist_ok=True)
    (tmp_path / f"{name}.tfstate").write_bytes(content)
    declare(kernel, folder, name=name, **{"state": f"{name}.tfstate", "account": ACCOUNT, "region": REGION, **spec})
    return folder


OUTPUTS = {
    "queue": {"value": "pay", "type": "string"},
    "ports": {"value": [80, 443], "type": ["list", "number"]},
    "password": {"value": SECRET, "type": "string", "sensitive": True},
    "repeats": {"value": f"postgres://u:{SECRET}@db", "type": "string"},
}


def test_outputs_are_read_by_permission_and_secrets_stand_nowhere(kernel: Kernel, tmp_path: Path) -> None:
    stack(kernel, tmp_path, "payments", state(OUTPUTS))
    observe.read_states(kernel)
    with serving(kernel) as url:
        found = ask_api(url, "GET", "/api/v1/iac/stacks/default/payments").json
    told = {each["name"]: each for each in found["outputs"]}
    assert told["queue"]["value"] == "pay" and told["ports"] == {
        "name": "ports",
        "type": "list",
        "sensitive": False,
        "value": [80, 443],
    }
    assert told["password"]["value"] == "(sensitive value)" and told["password"]["sensitive"]
    assert SECRET not in json.dumps(found)
    assert view.reveal(kernel, MIRA, "payments", "password") == SECRET
    with pytest.raises(NotFound):
        view.reveal(kernel, MIRA, "payments", "none")
    with kernel.db.read() as connection:
        entry = next(each for each in audit.entries(connection, limit=50) if each.action == "iac.stack.output")
    assert (entry.actor, entry.subject, entry.detail) == (MIRA.ref, STACK, {"output": "password", "sensitive": True})
    assert SECRET not in everything(kernel)


def remote(**config: Any) -> dict[str, Any]:
    return {
        "mode": "data",
        "type": "terraform_remote_state",
        "name": "net",
        "provider": 'provider["terraform.io/builtin/terraform"]',
        "instances": [
            {
                "attributes": {
                    "backend": "x",
                    "config": {"value": config, "type": ["object", {}]},
                    "outputs": {"value": {"p": SECRET}},
                }
            }
        ],
    }


def test_the_graph_of_stacks_is_told_by_what_they_declare_and_read(kernel: Kernel, tmp_path: Path) -> None:
    stack(kernel, tmp_path, "network", state({}, held("aws_sqs_queue", "q", id="q-0abc-17", arn=queue("net").urn)))
    stack(kernel, tmp_path, "app", state({}, remote(path=str(tmp_path / "network.tfstate"))))
    stack(kernel, tmp_path, "jobs", state({}, held("aws_x", "x", queue=queue("net").urn)))
    folder = stack(kernel, tmp_path, "web", state({}), dependsOn=["network"])
    assert folder.is_dir()
    with kernel.db.write() as connection:
        web = declared.entity(connection, "stack:default/web")
        assert web is not None
        needs = Relation(source=web.ref, kind="dependsOn", target="stack:default/network", evidence="spec.dependsOn")
        declared.replace_entities(connection, "file:web", [web], [needs])
    observe.read_states(kernel)
    found = view.view(kernel, "network")
    assert [(edge.stack, edge.how) for edge in found.dependents] == [
        ("stack:default/web", "declared"),
        ("stack:default/app", "outputs"),
        ("stack:default/jobs", "resources"),
    ]
    assert [(edge.stack, edge.how) for edge in view.view(kernel, "app").needs] == [("stack:default/network", "outputs")]
    assert SECRET not in everything(kernel)


@pytest.mark.parametrize(
    ("config", "path"),
    [
        ({"bucket": "states", "key": "net.tfstate"}, "s3://states/net.tfstate"),
        ({"address": "https://uwu.example.com/iac/state/default/net"}, "uwu://default/net"),
        ({"organization": "default", "workspaces": [{"name": "net"}]}, "uwu://default/net"),
        ({"path": "../net.tfstate"}, "/estate/net.tfstate"),
    ],
)
def test_another_state_is_known_however_it_is_named(config: dict[str, Any], path: str) -> None:
    read = parse(state({}, remote(**config)), "app")
    assert SECRET not in codec.encode(read).decode()
    app, net = (
        Source(stack=f"stack:default/{n}", source=f"stack:default/{n}", key=n, path=p, account="", region="", place="")
        for n, p in (("app", "/estate/app/app.tfstate"), ("net", path))
    )
    assert list(links.rows([app, net], [(app, read)])) == [
        {
            "source": "stack:default/app#data.terraform_remote_state.net",
            "target": "stack:default/net#",
            "path": "outputs",
            "name": "data.terraform_remote_state.net",
        }
    ]


def test_how_much_is_managed_by_account_owner_and_type(kernel: Kernel, tmp_path: Path) -> None:
    stack(kernel, tmp_path, "payments", state({}, held("aws_sqs_queue", "pay", id="x", arn=queue("pay").urn)))
    observe.read_states(kernel)
    vpc = resource("aws_vpc", f"arn:aws:ec2:{REGION}:{ACCOUNT}:vpc/vpc-1", "default", managed_by="aws")
    observed(kernel, queue("pay"), queue("left"), queue("more"), vpc)
    with kernel.db.read() as connection:
        found = coverage.of(coverage.cells(connection))
    assert (found.total, found.managed, found.percent) == (3, 1, 33.3)
    assert [(each.name, each.total, each.managed) for each in found.accounts] == [(ACCOUNT, 3, 1)]
    assert [(each.name, each.total, each.managed) for each in found.types] == [("aws_sqs_queue", 3, 1)]
    owners = {each.name: (each.total, each.managed) for each in found.owners}
    assert owners.pop("group:default/payments")[1] == 1 and sum(total for total, _ in owners.values()) <= 2
    asked = query.run(kernel, "select sum(total)::int as t, sum(managed)::int as m from iac_coverage")
    assert list(asked.rows[0]) == [3, 1]


def test_a_share_is_never_whole_while_something_is_left() -> None:
    assert coverage.percent(9_999, 10_000) == 99.9 and coverage.percent(0, 0) == 100.0
    assert coverage.of([]).percent == 100.0


def test_an_import_writes_blocks_and_tells_what_it_left_out(kernel: Kernel, tmp_path: Path) -> None:
    folder = stack(kernel, tmp_path, "payments", state({}, held("aws_sqs_queue", "pay", id="x", arn=queue("pay").urn)))
    observe.read_states(kernel)
    key = resource("aws_iam_access_key", f"urn:uwu:iam:{ACCOUNT}:access-key/AKIA", "AKIA")
    observed(kernel, queue("pay"), queue("left"), queue("left-2"), key)
    wanted = [queue("pay").urn, queue("left").urn, key.urn]
    dry = adopt.adopt(kernel, MIRA, "payments", wanted, write=False)
    assert [(each.address, each.id, each.whole) for each in dry.adopted] == [
        ("aws_sqs_queue.left", f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/left", True)
    ]
    assert {(each.urn, each.why) for each in dry.left} == {
        (queue("pay").urn, "stack:default/payments holds it"),
        (key.urn, "its type's import id is not known"),
    }
    assert not dry.written and not (folder / adopt.FILE).exists() and "+import {" in dry.diff
    done = adopt.adopt(kernel, MIRA, "payments", wanted, write=True)
    text = (folder / adopt.FILE).read_text()
    assert done.written and text.count("import {") == 1 and '  name = "left"' in text and '"team" = "payments"' in text
    again = adopt.adopt(kernel, MIRA, "payments", wanted, write=True)
    assert not again.written and again.diff == "" and (folder / adopt.FILE).read_text() == text
    with kernel.db.read() as connection:
        entries = [each for each in audit.entries(connection, limit=50) if each.action == "iac.stack.import"]
    assert len(entries) == 1 and entries[0].detail["resources"] == [queue("left").urn]
    with pytest.raises(NotFound):
        adopt.adopt(kernel, MIRA, "payments", ["arn:aws:sqs:eu-west-1:1:none"], write=False)
    stack(kernel, tmp_path, "far", state(), source="git::https://example.com/a.git")
    with pytest.raises(Conflict):
        adopt.adopt(kernel, MIRA, "far", wanted, write=False)


def test_what_the_owner_has_is_imported_where_nothing_is_named(sqlite_kernel: Kernel, tmp_path: Path) -> None:
    kernel = sqlite_kernel
    stack(kernel, tmp_path, "payments", state({}, held("aws_sqs_queue", "pay", id="x", arn=queue("pay").urn)))
    observe.read_states(kernel)
    observed(kernel, queue("pay"), queue("left"))
    with kernel.db.write() as connection:
        from uwu.kernel import tables

        o = tables.ownership
        connection.execute(o.update().values(owner="group:default/payments"))
    told = adopt.adopt(kernel, MIRA, "payments", write=False)
    assert [each.urn for each in told.adopted] == [queue("left").urn]
    assert told.next == "uwu iac plan default/payments"


def test_terraform_imports_what_was_written_and_writes_its_configuration(
    sqlite_kernel: Kernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = sqlite_kernel
    world = install(tmp_path, monkeypatch)
    (world / "found.json").write_text(
        json.dumps(
            {
                **dict.fromkeys(("labels", "policy", "token", "subnet_ids", "arn"), None),
                "id": "found",
                "name": "found",
                "size": 7,
                "updated_at": "x",
            }
        )
    )
    folder = stack(kernel, tmp_path / "estate", "payments", state())
    (folder / "main.tf").write_text(REQUIRED)
    thing = resource("world_thing", f"urn:uwu:world:{ACCOUNT}:thing/found", "found")
    observed(kernel, thing)
    monkeypatch.setitem(remedy.IMPORTS, "world_thing", ("world_thing", lambda each: each.name))
    told = adopt.adopt(kernel, MIRA, "payments", [thing.urn], write=True)
    assert told.next == f"terraform -chdir={folder} plan -generate-config-out=uwu_generated.tf"
    for arguments in (["init"], [*told.next.split()[2:], "-out=p"], ["apply", "p"]):
        done = subprocess.run(["terraform", *arguments, "-no-color"], cwd=folder, capture_output=True, timeout=120)
        assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
    generated = (folder / "uwu_generated.tf").read_text()
    assert 'resource "world_thing" "found"' in generated and "7" in generated
    shown = subprocess.run(["terraform", "state", "list"], cwd=folder, capture_output=True, timeout=60)
    assert shown.stdout.decode().split() == ["world_thing.found"]


def test_who_may_not_reads_no_secret(sqlite_kernel: Kernel, tmp_path: Path) -> None:
    from uwu.domains.iac.actions import OUTPUT
    from uwu.domains.iac.runs import store
    from uwu.kernel import authorize

    kernel = sqlite_kernel
    stack(kernel, tmp_path, "payments", state(OUTPUTS))
    with kernel.db.read() as connection:
        target = store.target(connection, STACK)
    assert authorize.decide(kernel, person("mira", "payments"), OUTPUT, target).allowed
    assert not authorize.decide(kernel, person("eva", "other", roles=("viewer",)), OUTPUT, target).allowed
