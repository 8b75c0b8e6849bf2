"""Runs with the real Terraform: planned, approved, applied and proven; cancelled; tampered with; without secrets."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.app.front import ask as ask_api
from tests.app.front import serving
from tests.domains.iac.runs.world import ADA, KEY, MIRA, MODULE, SECRET, STACK, TEO, House, declare, house, person
from tests.domains.iac.states import PAYMENTS
from uwu.domains.iac import state_crypt, state_lock, state_store, state_write, tables
from uwu.domains.iac.runs import ask, execute, store
from uwu.kernel import audit, codec, db, declared, drift, exemptions
from uwu.kernel.errors import Conflict, NotFound, UwuError
from uwu.kernel.model import Declaration
from uwu.kernel.plans import apply, approve
from uwu.kernel.plans import store as plans
from uwu.kernel.runtime import Kernel

HELD = """
resource "terraform_data" "first" {
  input = "a"
}
resource "terraform_data" "held" {
  input = terraform_data.first.output
  provisioner "local-exec" {
    command = "touch %s/began; while [ ! -e %s/go ]; do sleep 0.05; done"
  }
}
"""


@pytest.fixture
def built(kernel: Kernel, tmp_path: Path) -> Iterator[House]:
    with house(kernel, tmp_path / "estate") as made:
        yield made


@pytest.fixture
def small(sqlite_kernel: Kernel, tmp_path: Path) -> Iterator[House]:
    with house(sqlite_kernel, tmp_path / "estate") as made:
        yield made


def until(holds: Callable[[], object], what: str, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def everything(kernel: Kernel) -> str:
    """All that the database says, as text."""
    found: list[str] = []
    with kernel.db.read() as connection:
        for table in db.metadata.sorted_tables:
            for row in connection.execute(sa.select(table)):
                found += [value.decode("latin-1") if isinstance(value, bytes) else str(value) for value in row]
    return "\n".join(found)


def state(kernel: Kernel) -> state_store.State:
    with kernel.db.read() as connection:
        return state_store.get(connection, KEY)


def test_a_stack_is_planned_approved_applied_and_proven(built: House) -> None:
    kernel = built.kernel
    run = built.plan()
    assert (run.status, run.why) == (store.PLANNED, "")
    assert run.summary is not None and run.summary["counts"] == {"create": 3, "update": 0, "replace": 0, "delete": 0}
    assert run.plan_status == plans.WAITING and len(run.plan_sha256) == 64
    with pytest.raises(UwuError, match="only an approved one"):
        apply.start(kernel, TEO, run.plan)
    with pytest.raises(UwuError, match="another must"):
        built.approve(run, MIRA)
    assert built.approve(run) == plans.APPROVED
    done = built.apply(run)
    assert (done.status, done.why, done.plan_status) == (store.APPLIED, "", plans.APPLIED)
    assert done.outcomes is not None and done.outcomes["proof"] == "proven: a new plan changes nothing"
    assert set(done.outcomes["changes"]) == {f"terraform_data.{name}" for name in ("network", "login", "loud")}
    with kernel.db.read() as connection:
        told = plans.outcomes(connection, run.plan)
    assert [told[n].status for n in sorted(told)] == ["done"] * 4
    version = state(kernel).version
    assert version is not None and version.resources == 3 and version.created_by == TEO.ref
    assert state(kernel).lock is None and not execute.sandbox(kernel, run).root.exists()
    assert "said by a provisioner" in built.log(run)
    again = built.plan()
    assert (again.status, again.plan) == (store.CLEAN, "")


def test_no_secret_is_in_a_log_an_audit_entry_or_a_byte_of_the_database(built: House) -> None:
    os.environ["UWU_OWN_SECRET"] = "of-the-worker-itself-4711"
    try:
        run = built.plan()
        built.approve(run)
        assert built.apply(run).status == store.APPLIED
        built.write(MODULE.replace("10.0.0.0/16", "10.1.0.0/16"))
        built.plan(destroy=True)
    finally:
        del os.environ["UWU_OWN_SECRET"]
    log = built.log(run)
    assert "env" in MODULE and "TF_HTTP_USERNAME=run" in log and "HOME=" in log  # the provisioner told its environment
    text = everything(built.kernel)
    for secret in (SECRET, "of-the-worker-itself-4711", "uwu-simulated-"):
        assert secret not in log and secret not in text, secret
    assert "TF_HTTP_PASSWORD=(sensitive value)" in log and "AWS_SECRET_ACCESS_KEY=(sensitive value)" in log
    with built.kernel.db.read() as connection:
        assert {"iac.run.request", "iac.run.planned", "iac.run.applied"} <= {
            entry.action for entry in audit.entries(connection, limit=200)
        }


def test_another_plan_file_than_the_approved_one_is_not_applied(small: House) -> None:
    kernel = small.kernel
    run = small.plan()
    small.approve(run)
    with kernel.db.write() as connection:
        other = state_crypt.store(connection, state_crypt.seal(state_crypt.keys(kernel), b"PK another plan"))
        store.update(connection, run.id, plan_blob=other)
    failed = small.apply(run)
    assert failed.status == store.FAILED and "not the one that was approved" in failed.why
    assert state(kernel).version is None


def test_a_plan_whose_bytes_and_hash_were_both_changed_is_void(small: House) -> None:
    kernel = small.kernel
    run = small.plan()
    small.approve(run)
    forged = b"PK another plan"
    with kernel.db.write() as connection:
        other = state_crypt.store(connection, state_crypt.seal(state_crypt.keys(kernel), forged))
        store.update(connection, run.id, plan_blob=other, plan_sha256=hashlib.sha256(forged).hexdigest())
    with pytest.raises(Conflict, match="void"):
        apply.start(kernel, TEO, run.plan)
    assert small.run(run.id).status == store.DISCARDED


def test_bytes_of_a_plan_file_that_were_changed_break_its_seal(small: House) -> None:
    run = small.plan()
    small.approve(run)
    with small.kernel.db.write() as connection:
        blob = store.blobs(connection, run.id).plan_blob
        c = tables.chunks
        data = connection.execute(sa.select(c.c.data).where(c.c.blob == blob)).scalar_one()
        connection.execute(c.update().where(c.c.blob == blob).values(data=bytes([data[0] ^ 1]) + data[1:]))
    failed = small.apply(run)
    assert failed.status == store.FAILED and "seal" in failed.why


def test_a_stale_plan_says_so(small: House) -> None:
    first = small.plan()
    small.approve(first)
    assert small.apply(first).status == store.APPLIED
    small.write(MODULE.replace("10.0.0.0/16", "10.1.0.0/16"))
    stale = small.plan()
    small.approve(stale)
    current = state_store.current_content(small.kernel, f"uwu://{KEY}")
    serial = state(small.kernel).version.serial  # type: ignore[union-attr]
    moved = current.replace(f'"serial": {serial}'.encode(), f'"serial": {serial + 1}'.encode())
    state_write.write(small.kernel, MIRA, PAYMENTS, moved)
    with pytest.raises(Conflict, match="observed has changed"):
        apply.start(small.kernel, TEO, stale.plan)
    run = small.run(stale.id)
    assert run.status == store.DISCARDED and "changed" in run.why


def test_a_run_that_applies_is_cancelled_and_what_was_done_is_in_the_state(small: House, tmp_path: Path) -> None:
    small.write(HELD % (tmp_path, tmp_path))
    run = small.plan()
    small.approve(run)
    job = apply.start(small.kernel, TEO, run.plan)
    until((tmp_path / "began").exists, "the provisioner did not begin")
    until(lambda: "terraform_data.first: Creation complete" in small.log(run), "nothing is told while it runs")
    with pytest.raises(Conflict, match="not ended"):
        ask.again(small.kernel, MIRA, run.id, origin="cli")
    waiting = ask.start(small.kernel, MIRA, "payments", ask.Asked(), origin="cli")
    ask.cancel(small.kernel, TEO, run.id)
    small.worker.run_until_done(job)
    ended = small.run(run.id)
    assert ended.status == store.CANCELLED and ended.plan_status == plans.FAILED
    version = state(small.kernel).version
    assert version is not None and state(small.kernel).lock is None
    assert b'"first"' in state_store.current_content(small.kernel, f"uwu://{KEY}")
    small.worker.run_until_done(waiting.job)  # one at a time: it had to wait
    assert small.run(waiting.id).status == store.PLANNED
    again = ask.again(small.kernel, MIRA, run.id, origin="cli")
    small.worker.run_until_done(again.job)
    assert small.run(again.id).status == store.PLANNED and again.retries == run.id


def test_a_run_that_waits_for_approval_is_withdrawn(small: House) -> None:
    run = small.plan()
    assert run.status == store.PLANNED
    gone = ask.cancel(small.kernel, MIRA, run.id)
    assert (gone.status, gone.plan_status) == (store.DISCARDED, plans.WITHDRAWN)
    with pytest.raises(Conflict, match="nothing to cancel"):
        ask.cancel(small.kernel, MIRA, run.id)


def test_a_run_that_fails_tells_terraforms_first_error(small: House) -> None:
    small.write('resource "terraform_data" "x" {\n  input = nowhere.at.all\n}\n')
    run = small.plan()
    assert run.status == store.FAILED and "Reference to undeclared resource" in run.why
    small.write('resource "null_resource" "x" {}\n')
    assert small.plan().why.startswith("terraform init failed")
    assert not execute.sandbox(small.kernel, run).root.exists()


def test_a_rule_refuses_a_plan_and_another_only_warns(small: House) -> None:
    rules = small.kernel.settings.home_path / "rules"
    rules.mkdir()
    assert small.plan().summary["policy"]["warned"] == 1  # type: ignore[index]
    (rules / "own.cedar").write_text(
        '@id("own.no-login") @title("A login") @why("No.") @remedy("None.") @mandatory("true")\n'
        'forbid (principal, action, resource) when { resource.address like "*login" };'
    )
    import msgspec

    settings = small.kernel.settings
    small.kernel.settings = msgspec.structs.replace(  # type: ignore[misc]
        settings, iac=msgspec.structs.replace(settings.iac, policies=("rules",))
    )
    run = small.plan()
    assert run.status == store.REFUSED and "own.no-login" in run.why and not run.plan


def test_a_speculative_run_is_never_applied(small: House) -> None:
    run = small.plan(speculative=True)
    assert run.status == store.PLANNED and not run.plan
    with pytest.raises(Conflict, match="speculative"):
        approve.ask(small.kernel, MIRA, planner="terraform", request={"run": run.id}, reason="x")


def test_who_may_not_does_not_run(small: House) -> None:
    stranger = person("zoe", roles=("viewer",))
    with pytest.raises(UwuError, match=r"may not|not allowed|permits"):
        ask.start(small.kernel, stranger, "payments", ask.Asked(), origin="cli")
    with pytest.raises(NotFound, match="no stack"):
        ask.start(small.kernel, ADA, "nowhere", ask.Asked(), origin="cli")


def test_a_lock_of_another_is_left_alone(small: House) -> None:
    run = small.plan()
    small.approve(run)
    state_lock.lock(small.kernel, ADA, KEY, state_lock.told(b'{"ID": "theirs", "Who": "ada@host"}', KEY))
    execute.give_back(small.kernel, run, "ours")
    held = state(small.kernel).lock
    assert held is not None and held.id == "theirs" and run.stack == STACK


def test_owners_of_what_depends_on_what_is_destroyed_must_approve(small: House, tmp_path: Path) -> None:
    kernel = small.kernel
    first = small.plan()
    small.approve(first)
    small.apply(first)
    declare(kernel, tmp_path / "estate" / "dns", name="dns", owner="edge")
    record = "stack:default/dns#aws_route53_record.pay"
    with kernel.db.write() as connection:
        made = Declaration(
            source="stack:default/dns", address="aws_route53_record.pay", place="s", urn="", type="", declared_type="r"
        )
        declared.replace_declarations(connection, "stack:default/dns", [made])
        row = {"target": f"{STACK}#terraform_data.network", "path": "alias.name", "name": "pay.example.com"}
        connection.execute(tables.references.insert().values(source=record, **row))
    small.write(MODULE.replace('input = "10.0.0.0/16"', 'input = "10.1.0.0/16"\n  triggers_replace = ["x"]'))
    run = small.plan()
    assert run.summary is not None and run.summary["radius"]["owners"] == {"group:default/edge": 1}
    with kernel.db.read() as connection:
        stored = plans.get(connection, run.plan)
    assert stored.required == ["group:default/payments", "group:default/edge"]
    assert [(a.owner, a.why) for a in stored.plan.affected] == [
        ("group:default/edge", "pay.example.com names terraform_data.network")
    ]
    assert small.approve(run) == plans.WAITING
    assert small.approve(run, person("eve", "edge")) == plans.APPROVED
    assert small.apply(run).status == store.APPLIED


def test_a_broken_rule_is_a_finding_until_its_plan_is_gone_and_can_be_exempt(small: House) -> None:
    kernel = small.kernel
    subject = f"{STACK}#terraform_data.loud"
    run = small.plan()

    def open_findings() -> list[str]:
        drift.judge(kernel)
        with kernel.db.read() as connection:
            return [each.subject for each in drift.findings(connection, rule="plan.provisioner", limit=10).items]

    assert open_findings() == [subject]
    ends = codec.now() + timedelta(days=1)
    exemptions.exempt(kernel, ADA, rule="plan.provisioner", subject=subject, until=ends, reason="known")
    ask.cancel(kernel, MIRA, run.id)
    with kernel.db.read() as connection:
        assert not store.blobs(connection, run.id).plan_blob  # what can no longer be applied is not kept
    again = small.plan()
    assert again.summary is not None and again.summary["policy"]["exempt"] == 1
    ask.cancel(kernel, MIRA, again.id)
    assert open_findings() == []


def test_the_api_tells_runs_plans_and_logs(small: House) -> None:
    run = small.plan()
    with serving(small.kernel, principal=MIRA) as url:
        found = ask_api(url, "GET", "/api/v1/iac/runs?stack=payments").json
        assert [each["number"] for each in found["items"]] == [1] and found["items"][0]["status"] == "planned"
        told = ask_api(url, "GET", "/api/v1/iac/runs/1/plan")
        assert told.json["changes_total"] == 3 and SECRET not in told.body.decode()
        log = ask_api(url, "GET", "/api/v1/iac/runs/1/log?after_line=2&limit=2").json
        assert [line["line"] for line in log["items"]] == [3, 4] and log["last"] == 4
        assert ask_api(url, "GET", "/api/v1/iac/runs/9").json["code"] == "run-unknown"
        gone = ask_api(url, "POST", f"/api/v1/iac/runs/{run.id}/cancel", b"{}", Content_Type="application/json")
        assert gone.json["status"] == "discarded"
    with serving(small.kernel, principal=person("zoe", roles=("viewer",))) as url:
        path = "/api/v1/iac/stacks/default/payments/runs"
        assert ask_api(url, "POST", path, b"{}", Content_Type="application/json").status == 403
