"""Drift with the real Terraform and a real provider: the list is Terraform's own, each fact is one finding."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from tests.app.front import ask as ask_api
from tests.app.front import serving
from tests.domains.iac import plans
from tests.domains.iac.drift.world import REQUIRED, install
from tests.domains.iac.runs.test_runs import everything
from tests.domains.iac.runs.world import KEY, MIRA, STACK, House, declare, house
from tests.kernel.world import Log
from uwu.domains.iac import blast, observe, state_crypt, state_store
from uwu.domains.iac.drift import rules, schedule
from uwu.domains.iac.drift.found import Drifted
from uwu.domains.iac.policy.model import Verdict
from uwu.domains.iac.runs import store
from uwu.kernel import codec, declared, drift, graph
from uwu.kernel import rules as kernel_rules
from uwu.kernel.model import Actor, Cell, CellStatus, Change, Declaration, Finding, Outcome, Resource
from uwu.kernel.runtime import Kernel

SECRET = "a-token-that-nobody-reads-8842"
QUEUE = "arn:aws:sqs:eu-west-1:111122223333:pay"
MODULE = f"""{REQUIRED}
resource "world_thing" "one" {{
  name       = "one"
  size       = 1
  labels     = {{ env = "prod", team = "pay" }}
  policy     = jsonencode({{ Action = "read" }})
  token      = "{SECRET}"
  subnet_ids = ["a", "b"]
}}
resource "world_thing" "queue" {{
  name = "queue"
  size = 5
  arn  = "{QUEUE}"
}}
resource "world_thing" "lost" {{
  name = "lost"
}}
output "size" {{
  value = world_thing.one.size
}}
output "token" {{
  value     = world_thing.one.token
  sensitive = true
}}
"""


@pytest.fixture
def changed(kernel: Kernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[House, Path]]:
    """A stack that was applied, after which its world was changed by hand."""
    world = install(tmp_path, monkeypatch)
    iac = replace(kernel.settings.iac, run_env=("TF_CLI_CONFIG_FILE",))
    monkeypatch.setattr(kernel, "settings", replace(kernel.settings, iac=iac))
    with house(kernel, tmp_path / "estate", MODULE) as built:
        run = built.plan()
        assert run.status == store.PLANNED, built.log(run)
        built.approve(run)
        assert built.apply(run).status == store.APPLIED, built.log(run)
        observe.read_states(kernel)
        yield built, world


def edit(world: Path, name: str, **values: Any) -> None:
    path = world / f"{name}.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def by_hand(world: Path) -> None:
    edit(
        world,
        "one",
        size=3,
        labels={"env": "prod", "team": "risk", "new": "x"},
        policy='{ "Action": ["read"] }',
        token=f"{SECRET}-changed",
        subnet_ids=["b", "a"],
        updated_at="2026-02-02T00:00:00Z",
    )
    edit(world, "queue", size=6)
    (world / "lost.json").unlink()


def terraforms_own(built: House, tmp: Path) -> dict[str, Any]:
    """The plan of ``terraform plan -refresh-only``, made by hand on the same state and configuration."""
    folder = tmp / "by-hand"
    folder.mkdir()
    (folder / "main.tf").write_text(MODULE)
    (folder / "terraform.tfstate").write_bytes(
        state_store.current_content(built.kernel, f"{state_store.SCHEME}default/payments")
    )
    for arguments in (["init"], ["plan", "-refresh-only", "-out=p"]):
        done = subprocess.run(["terraform", *arguments, "-no-color"], cwd=folder, capture_output=True, timeout=120)
        assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
    shown = subprocess.run(["terraform", "show", "-json", "p"], cwd=folder, capture_output=True, timeout=120)
    return json.loads(shown.stdout)


def look(built: House) -> store.Run:
    return built.plan(refresh_only=True)


def findings(kernel: Kernel) -> list[Finding]:
    with kernel.db.read() as connection:
        return [each for each in drift.findings(connection, limit=200).items if each.rule.startswith("terraform.")]


def test_the_list_is_terraforms_own(changed: tuple[House, Path], tmp_path: Path) -> None:
    built, world = changed
    kernel = built.kernel
    assert look(built).status == store.CLEAN
    by_hand(world)
    run = look(built)
    assert (run.status, run.speculative, run.plan) == (store.DRIFTED, True, "")
    own = terraforms_own(built, tmp_path)
    document = store.document(kernel, run.id)
    assert document is not None
    assert [(c.address, c.op.value) for c in document.plan.drift] == [
        (each["address"], *each["change"]["actions"]) for each in own["resource_drift"]
    ]
    wanted = {
        each["address"]: sorted(
            name
            for name in each["change"]["before"]
            if each["change"]["after"] and each["change"]["before"][name] != each["change"]["after"][name]
        )
        for each in own["resource_drift"]
    }
    assert {c.address: list(c.changed) for c in document.plan.drift} == wanted
    assert set(wanted) == {"world_thing.one", "world_thing.queue", "world_thing.lost"}
    assert {each.name for each in document.plan.outputs} == {
        name for name, each in own["output_changes"].items() if each["actions"] != ["no-op"]
    }
    for file in ("plan_blob", "config_blob"):
        with kernel.db.read() as connection:
            assert getattr(store.blobs(connection, run.id), file) == ""

    drift.judge(kernel)
    told = {(each.rule, each.subject, each.path): each for each in findings(kernel)}
    assert set(told) == {
        (rules.CHANGED, STACK, "world_thing.one.size"),
        (rules.CHANGED, STACK, "world_thing.one.labels.team"),
        (rules.CHANGED, STACK, "world_thing.one.labels.new"),
        (rules.CHANGED, STACK, "world_thing.one.token"),
        (rules.CHANGED, QUEUE, "size"),
        (rules.GONE, STACK, "world_thing.lost"),
        (rules.OUTPUT, STACK, "output.size"),
        (rules.OUTPUT, STACK, "output.token"),
    }
    size = told[rules.CHANGED, QUEUE, "size"]
    assert (size.declared, size.observed, size.account, size.region) == (5, 6, "111122223333", "eu-west-1")
    assert SECRET not in str(told) and SECRET not in everything(kernel) and SECRET not in built.log(run)

    edit(world, "queue", size=5)
    again = look(built)
    drift.judge(kernel)
    assert again.status == store.DRIFTED and (rules.CHANGED, QUEUE, "size") not in {
        (each.rule, each.subject, each.path) for each in findings(kernel)
    }


def test_a_fact_that_inventory_tells_is_not_told_twice() -> None:
    def told(kind: str, path: str = "") -> Drifted:
        return Drifted(kind=kind, address="a.b", subject=QUEUE, path=path)

    differs, gone = (kernel_rules.ATTRIBUTE, "tags"), (kernel_rules.GONE, "")
    assert rules.same_fact(told("changed", "tags.env"), [differs])
    assert rules.same_fact(told("changed", "tags"), [(kernel_rules.ATTRIBUTE, "tags.env")])
    assert not rules.same_fact(told("changed", "tags_all"), [differs])
    assert not rules.same_fact(told("changed", "tags.env"), [gone])
    assert rules.same_fact(told("gone"), [gone]) and not rules.same_fact(told("gone"), [differs])


def test_inventory_and_refresh_find_one_fact_with_its_cause(sqlite_kernel: Kernel, tmp_path: Path) -> None:
    """The state of a queue, the inventory of it, and a refresh: what both see is the kernel's finding alone."""
    kernel = sqlite_kernel
    declare(kernel, tmp_path / "payments")
    shown = Resource(
        urn=QUEUE,
        type="aws_sqs_queue",
        account="111122223333",
        region="eu-west-1",
        name="pay",
        attributes={"VisibilityTimeout": "60"},
    )
    kept = Declaration(
        source=STACK,
        address="aws_sqs_queue.pay",
        place="default/payments#1",
        urn=QUEUE,
        type="aws_sqs_queue",
        declared_type="aws_sqs_queue",
        attributes={"visibility_timeout_seconds": 30, "name": "pay"},
    )
    cell = Cell(source="aws", account=shown.account, region=shown.region, type=shown.type)
    with kernel.db.write() as connection:
        outcome = Outcome(cell=cell, status=CellStatus.COMPLETE, observed_at=codec.now())
        graph.observe(connection, outcome, [shown], [])
        declared.replace_declarations(connection, STACK, [kept])
    before = {"visibility_timeout_seconds": 30, "max_message_size": 1024}
    after = {"visibility_timeout_seconds": 60, "max_message_size": 2048}
    document = made(plans.change("aws_sqs_queue", "update", "pay", before=before, after=after))
    keep(kernel, document)
    change = Change(
        event_id="e1",
        at=codec.now() - timedelta(minutes=5),
        name="SetQueueAttributes",
        source="sqs.amazonaws.com",
        account=shown.account,
        region=shown.region,
        urn=QUEUE,
        actor=Actor(kind="human", name="mira.k", principal="arn:aws:sts::111122223333:assumed-role/Admin/mira.k"),
        request={"attributes": {"MaxMessageSize": "2048", "VisibilityTimeout": "60"}},
    )
    log = Log()
    log.held = (change,)
    kernel.change_log = log
    drift.judge(kernel)
    with kernel.db.read() as connection:
        found = {
            (each.rule, each.path): each
            for each in drift.findings(connection, subject=QUEUE, limit=50).items
            if each.rule.startswith(("terraform.", "drift.attribute"))
        }
    assert set(found) == {("drift.attribute", "visibility_timeout_seconds"), (rules.CHANGED, "max_message_size")}
    cause = found[rules.CHANGED, "max_message_size"].cause
    assert cause is not None and cause.name == "SetQueueAttributes" and cause.actor.name == "mira.k"


def made(*changes: dict[str, Any]) -> store.Document:
    plan = plans.plan(resource_drift=list(changes))
    subjects = {change.address: QUEUE for change in plan.drift}
    return store.Document(plan=plan, subjects=subjects, verdict=Verdict(rules=0, violations=()), radius=blast.NONE)


def keep(kernel: Kernel, document: store.Document) -> store.Run:
    """A refresh of the stack that found what ``document`` says."""
    with kernel.db.write() as connection:
        values = {"stack": STACK, "state": KEY, "speculative": True, "refresh_only": True}
        id = store.insert(connection, MIRA, values)
        blob = state_crypt.store(connection, state_crypt.seal(state_crypt.keys(kernel), msgspec.json.encode(document)))
        store.update(connection, id, status=store.DRIFTED, json_blob=blob, finished_at=codec.now())
        return store.get(connection, id)


def test_stacks_that_say_how_often_are_looked_at_when_their_time_has_come(
    sqlite_kernel: Kernel, tmp_path: Path
) -> None:
    kernel = sqlite_kernel
    declared: tuple[tuple[str, dict[str, Any]], ...] = (("often", {"drift": {"every": "30m"}}), ("never", {}))
    for name, spec in declared:
        declare(kernel, tmp_path / name, name=name, **spec)
    assert schedule.is_due(kernel)
    begun = schedule._begin(kernel, ["stack:default/often"])
    assert begun == {"runs": [1], "problems": []}
    with kernel.db.read() as connection:
        run = store.get(connection, "1")
        assert (run.refresh_only, run.speculative, run.origin, run.requested_by) == (
            True,
            True,
            "schedule",
            schedule.DRIFT.ref,
        )
        assert schedule.due(connection) == []
    with kernel.db.write() as connection:
        store.update(connection, run.id, requested_at=codec.now() - timedelta(minutes=31))
    with kernel.db.read() as connection:
        assert schedule.due(connection) == ["stack:default/often"]
    assert schedule._begin(kernel, ["stack:default/often"])["runs"] == []  # the one before has not ended


@pytest.mark.parametrize(
    ("proof", "left"), [("proven: a new plan changes nothing", 0), ("not proven: the new plan failed", 1)]
)
def test_an_apply_ends_drift_once_it_is_proven(sqlite_kernel: Kernel, tmp_path: Path, proof: str, left: int) -> None:
    kernel = sqlite_kernel
    declare(kernel, tmp_path / "payments")
    keep(kernel, made(plans.change("world_thing", "update", "x", before={"a": 1}, after={"a": 2})))
    drift.judge(kernel)
    (found,) = findings(kernel)
    assert (found.rule, found.path) == (rules.CHANGED, "a")
    with kernel.db.write() as connection:
        id = store.insert(connection, MIRA, {"stack": STACK, "state": KEY})
        store.update(connection, id, status=store.APPLIED, outcomes={"changes": {}, "proof": proof})
    drift.judge(kernel)
    assert len(findings(kernel)) == left


def test_the_owner_of_what_has_no_name_is_that_of_its_stack(sqlite_kernel: Kernel, tmp_path: Path) -> None:
    kernel = sqlite_kernel
    declare(kernel, tmp_path / "payments")
    document = made(plans.change("world_thing", "delete", "x", before={"a": 1}))
    keep(kernel, msgspec.structs.replace(document, subjects={}))
    drift.judge(kernel)
    (found,) = findings(kernel)
    assert (found.rule, found.subject, found.owner) == (rules.GONE, STACK, "group:default/payments")


def test_the_api_tells_drift_attribute_by_attribute(sqlite_kernel: Kernel, tmp_path: Path) -> None:
    kernel = sqlite_kernel
    declare(kernel, tmp_path / "payments", drift={"ignore": ["aws_sqs_queue.b"]})
    change = plans.change("aws_sqs_queue", "update", "pay", before={"a": 1, "b": 1}, after={"a": 2, "b": 2})
    run = keep(kernel, made(change))
    with serving(kernel) as url:
        found = ask_api(url, "GET", f"/api/v1/iac/runs/{run.number}/plan").json
    assert found["run"]["refresh_only"] is True
    assert [(each["path"], each["before"], each["after"], each["noise"]) for each in found["drifted"]] == [
        ("a", 1, 2, ""),
        ("b", 1, 2, "ignored"),
    ]
