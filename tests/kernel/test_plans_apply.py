"""Applying on real durable jobs: once each, stopped at a failure, proven by a fresh observation, taken back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.kernel import plan_world
from tests.kernel.plan_world import Queues, built, finding, person, urn
from uwu.kernel import audit, codec, jobs, tables
from uwu.kernel.errors import Conflict, Denied, Misconfigured
from uwu.kernel.jobs import JobRecord, Jobs
from uwu.kernel.plans import Step, apply, approve, store, view
from uwu.kernel.plans.model import require_apply_role
from uwu.kernel.plans.view import PlanView
from uwu.kernel.runtime import Kernel
from uwu.kernel.settings import AwsSettings, Settings
from uwu.kernel.worker import Worker

MIRA, TEO, INES = person("mira", "platform"), person("teo", "payments"), person("ines", "payments")


@pytest.fixture
def kernel(database_url: str, tmp_path: Path) -> Iterator[Kernel]:
    opened = Kernel(Settings(home=str(tmp_path / "home"), database_url=database_url), (plan_world.DOMAIN,))
    yield opened
    opened.close()


@pytest.fixture
def worker(kernel: Kernel) -> Iterator[Worker]:
    running = Worker(kernel)
    running.start()
    yield running
    assert running.stop(10)


def approved(kernel: Kernel, *numbers: int, planner: str = "queues", **more: Any) -> str:
    request = {"findings": [finding(n) for n in numbers or (0, 1)]}
    id = approve.ask(kernel, MIRA, planner=planner, request=request, reason="put it right", **more).plan
    with kernel.db.read() as connection:
        hash = store.get(connection, id).hash
    assert approve.decide(kernel, TEO, id, "approve", hash=hash) == "approved"
    return id


def seen(kernel: Kernel, id: str) -> PlanView:
    with kernel.db.read() as connection:
        return view.view(kernel, connection, MIRA, id)


def run(kernel: Kernel, worker: Worker, id: str) -> JobRecord:
    return worker.run_until_done(apply.start(kernel, TEO, id))


def lines(kernel: Kernel, job: str) -> list[str]:
    with kernel.db.read() as connection:
        return [line.message for line in jobs.log(connection, job)]


def said(kernel: Kernel) -> list[tuple[str, str]]:
    with kernel.db.read() as connection:
        return [(entry.actor, entry.action) for entry in reversed(audit.entries(connection))]


def test_an_approved_plan_is_applied_and_proven(kernel: Kernel, worker: Worker) -> None:
    world = built(kernel)
    id = approved(kernel)
    record = run(kernel, worker, id)
    assert record.status == "done" and record.result is not None, record.problem
    assert record.requested_by == TEO.ref and record.result["status"] == "applied"
    assert record.result["counts"] == {"done": 2, "already": 0, "failed": 0, "not begun": 0}
    assert {found["id"] for found in record.result["closed"]} == {finding(0), finding(1)}
    assert record.result["open"] == []
    assert world.written() == ["q0", "q1"] and {q["retention"] for q in world.read().values()} == {4}
    plan = seen(kernel, id)
    assert plan.status == "applied" and plan.why == "" and plan.finished_at is not None
    assert [(c.status, c.note) for c in plan.changes] == [
        ("done", "sqs:SetQueueAttributes q0"),
        ("done", "sqs:SetQueueAttributes q1"),
    ]
    assert [stage.status for stage in plan.stages] == ["done"] * 4
    assert plan.proof is not None and plan.proof["observed_at"] and len(plan.proof["closed"]) == 2
    told = lines(kernel, record.id)
    assert told[0] == f"what is declared and observed is what was approved: {plan.hash}"
    assert told[1:3] == ["1 of 2 done: set the retention of q0 to 4", "2 of 2 done: set the retention of q1 to 4"]
    assert len([line for line in told if line.startswith("closed: ")]) == 2
    assert said(kernel) == [
        (MIRA.ref, "plan.request"),
        (TEO.ref, "plan.approve"),
        (TEO.ref, "plan.granted"),
        (TEO.ref, "plan.apply"),
        (TEO.ref, "plan.applied"),
    ]
    with kernel.db.read() as connection:
        n = tables.notices
        told_of = connection.execute(sa.select(n.c.kind, n.c.owner).where(n.c.subject == id).order_by(n.c.created_at))
        assert [tuple(row) for row in told_of] == [
            ("plan.waiting", "group:default/payments"),
            ("plan.approved", MIRA.ref),
            ("plan.applied", MIRA.ref),
        ]
    with pytest.raises(Conflict, match="plan 1 is applied"):
        apply.start(kernel, TEO, id)
    with kernel.db.read() as connection:
        assert audit.verify(connection).first_bad is None


@pytest.mark.parametrize("status", ["waiting", "rejected", "expired"])
def test_only_an_approved_plan_is_applied(kernel: Kernel, status: str) -> None:
    built(kernel)
    id = approve.ask(kernel, MIRA, planner="queues", request={"findings": [finding(0)]}, reason="x").plan
    hash = seen(kernel, id).hash
    if status == "rejected":
        approve.decide(kernel, TEO, id, "reject", hash=hash)
    if status == "expired":
        with kernel.db.write() as connection:
            connection.execute(sa.update(tables.plans).values(expires_at=codec.now()))
    with pytest.raises(Conflict) as caught:
        apply.start(kernel, TEO, id)
    assert caught.value.problem.code == "plan-not-approved" and status in caught.value.problem.message


def test_asking_twice_is_one_job_and_another_hash_is_refused(kernel: Kernel) -> None:
    built(kernel)
    id = approved(kernel)
    with pytest.raises(Conflict) as caught:
        apply.start(kernel, TEO, id, hash="0" * 64)
    assert caught.value.problem.code == "plan-changed"
    job = apply.start(kernel, TEO, id)
    assert apply.start(kernel, INES, id) == job
    with pytest.raises(Denied):
        apply.start(kernel, MIRA, id)
    assert said(kernel).count((TEO.ref, "plan.apply")) == 1
    with kernel.db.read() as connection:
        assert [record.id for record in jobs.jobs(connection, name=apply.JOB)] == [job]


def test_a_job_that_was_never_brought_into_being_is_brought_by_asking_again(kernel: Kernel, worker: Worker) -> None:
    """The process died between its transaction and the queue."""
    built(kernel)
    id = approved(kernel)
    job = apply._begin(kernel, TEO, id).job
    assert worker.run_until_done(apply.start(kernel, INES, id)).result is not None
    plan = seen(kernel, id)
    assert (plan.status, plan.job, plan.applied_by) == ("applied", job, TEO.ref)


def test_another_job_cannot_apply_it(kernel: Kernel, worker: Worker) -> None:
    world = built(kernel)
    id = approved(kernel)
    port = Jobs(kernel)
    before = worker.run_until_done(port.enqueue(apply.JOB, {"plan": id}))
    assert before.result is not None and before.result["why"] == "plan 1 is approved"
    apply._begin(kernel, TEO, id)
    beside = worker.run_until_done(port.enqueue(apply.JOB, {"plan": id}))
    port.close()
    assert beside.result is not None and "not by this job" in beside.result["why"]
    assert world.written() == []


def test_what_was_seen_before_applying_is_seen_again_and_held_against_the_approval(
    kernel: Kernel, worker: Worker
) -> None:
    """The graph still says what it said; the world does not."""
    world = built(kernel)
    id = approved(kernel)
    world.set("q1", retention=2)
    record = run(kernel, worker, id)
    plan = seen(kernel, id)
    assert plan.status == "void" and "observed" in plan.why and record.result is not None
    assert record.result["status"] == "void" and world.written() == []
    assert [stage.status for stage in plan.stages] == ["done", "failed", "never", "never"]
    assert (TEO.ref, "plan.void") in said(kernel)


def test_what_cannot_be_observed_is_not_written_and_the_approval_stays(kernel: Kernel, worker: Worker) -> None:
    world = built(kernel)
    id = approved(kernel)
    silence = world.file.with_name("unreachable")
    silence.touch()
    run(kernel, worker, id)
    plan = seen(kernel, id)
    assert plan.status == "approved" and "do not answer" in plan.why and world.written() == []
    assert said(kernel)[-1] == (TEO.ref, "plan.put-off")
    silence.unlink()
    run(kernel, worker, id)
    assert seen(kernel, id).status == "applied"


def test_it_stops_at_the_first_failure_and_tells_what_was_done_and_what_not_begun(
    kernel: Kernel, worker: Worker
) -> None:
    world = built(kernel, count=4, drifted=3)
    world.set("q1", refuse=True)
    plan_world.observe(kernel, ())
    id = approved(kernel, 0, 1, 2)
    record = run(kernel, worker, id)
    plan = seen(kernel, id)
    assert plan.status == "failed" and plan.why == "change 2 of 3 failed: q1 may not be written"
    assert [c.status for c in plan.changes] == ["done", "failed", "not begun"]
    problem = plan.changes[1].problem
    assert problem is not None and (problem.code, problem.hint) == ("AccessDenied", "allow it")
    assert world.written() == ["q0"]
    assert plan.proof is not None
    assert [found["id"] for found in plan.proof["closed"]] == [finding(0)]
    assert {found["id"] for found in plan.proof["open"]} == {finding(1), finding(2)}
    assert plan.proof["counts"] == {"done": 1, "already": 0, "failed": 1, "not begun": 1}
    assert "stopped: 1 not begun" in lines(kernel, record.id)
    assert said(kernel)[-1] == (TEO.ref, "plan.failed")
    assert plan.may.undo == "", "what was done of it can be taken back"


def test_a_change_that_harms_no_other_does_not_stop_them(
    kernel: Kernel, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    import msgspec

    made = plan_world.plan

    def harmless(kernel: Kernel, request: Any) -> Any:
        plan = made(kernel, request)
        changes = tuple(msgspec.structs.replace(change, harmless=True) for change in plan.changes)
        return msgspec.structs.replace(plan, changes=changes)

    monkeypatch.setattr(plan_world, "plan", harmless)
    world = built(kernel)
    world.set("q0", refuse=True)
    plan_world.observe(kernel, ())
    id = approved(kernel)
    run(kernel, worker, id)
    assert [c.status for c in seen(kernel, id).changes] == ["failed", "done"]
    assert seen(kernel, id).status == "failed" and world.written() == ["q1"]


def test_a_planner_that_breaks_fails_its_change_and_not_the_worker(
    kernel: Kernel, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_step: Step, _change: Any) -> Any:
        raise RuntimeError("token AKIAABCDEFGHIJKLMNOP was bad")

    monkeypatch.setattr(plan_world, "apply", broken)
    built(kernel)
    id = approved(kernel)
    run(kernel, worker, id)
    problem = seen(kernel, id).changes[0].problem
    assert problem is not None and problem.code == "change-failed"
    assert "RuntimeError" in problem.message and "AKIA" not in problem.message


def test_two_plans_do_not_change_one_subject_at_once(kernel: Kernel, worker: Worker) -> None:
    built(kernel)
    one, other = approved(kernel, 0), approved(kernel, 0, 1)
    apply._begin(kernel, TEO, one)
    with pytest.raises(Conflict) as caught:
        apply.start(kernel, TEO, other)
    assert caught.value.problem.code == "plan-overlap" and urn(0) in caught.value.problem.message
    run(kernel, worker, one)
    with pytest.raises(Conflict) as caught:
        apply.start(kernel, TEO, other)
    assert caught.value.problem.code == "plan-outdated", "the first has changed what the second was made from"


def test_a_cancelled_job_leaves_a_failed_plan_that_says_so(kernel: Kernel) -> None:
    built(kernel)
    id = approved(kernel)
    kernel.jobs.cancel(apply.start(kernel, TEO, id))
    plan = seen(kernel, id)
    assert (plan.status, plan.why) == ("failed", "its job was cancelled")
    assert [c.status for c in plan.changes] == ["not begun"] * 2
    with kernel.db.read() as connection:
        assert store.plans(connection, MIRA, status="failed").total == 1
        assert store.plans(connection, MIRA, status="open").total == 0


def test_undo_is_a_plan_like_any_other(kernel: Kernel, worker: Worker) -> None:
    world = built(kernel)
    id = approved(kernel)
    with pytest.raises(Conflict) as caught:
        approve.ask_undo(kernel, MIRA, id, reason="too early")
    assert caught.value.problem.code == "undo-nothing"
    run(kernel, worker, id)
    asked = approve.ask_undo(kernel, MIRA, id, reason="it broke something")
    undo = seen(kernel, asked.plan)
    assert (undo.status, undo.undoes, seen(kernel, id).undone_by) == ("waiting", id, [undo.id])
    assert [(c.subject, c.before, c.after) for c in undo.changes] == [(urn(1), 4, 1), (urn(0), 4, 1)]
    with pytest.raises(approve.SelfApproval):
        approve.decide(kernel, MIRA, undo.id, "approve", hash=undo.hash)
    approve.decide(kernel, TEO, undo.id, "approve", hash=undo.hash)
    run(kernel, worker, undo.id)
    assert {q["retention"] for n, q in world.read().items() if n != "q2"} == {1}
    reopened = seen(kernel, undo.id).proof
    assert reopened is not None and reopened["status"] == "applied"
    with kernel.db.read() as connection:
        from uwu.kernel import drift

        assert drift.finding(connection, finding(0)).status == "open"


def test_what_another_had_done_is_not_taken_back(kernel: Kernel, worker: Worker) -> None:
    world: Queues = built(kernel)
    id = approved(kernel)
    step = apply.check

    def checked(kernel: Kernel, plan: str, job: str) -> dict[str, Any]:
        told = step(kernel, plan, job)
        world.set("q0", retention=4)
        return told

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(apply, "check", checked)
        run(kernel, worker, id)
    assert [c.status for c in seen(kernel, id).changes] == ["already", "done"] and world.written() == ["q1"]
    asked = approve.ask_undo(kernel, MIRA, id, reason="back")
    assert [c.subject for c in seen(kernel, asked.plan).changes] == [urn(1)]


def test_a_planner_without_undo_says_so(kernel: Kernel, worker: Worker) -> None:
    built(kernel)
    id = approved(kernel, planner="queues-for-good")
    run(kernel, worker, id)
    assert seen(kernel, id).may.undo == "Queues cannot be taken back"
    with pytest.raises(Conflict) as caught:
        approve.ask_undo(kernel, MIRA, id, reason="back")
    assert caught.value.problem.code == "undo-impossible"


# ---- the role that applies


def test_there_is_no_applying_without_a_role_of_its_own() -> None:
    with pytest.raises(Misconfigured) as caught:
        require_apply_role("", "uwu-observer")
    assert (caught.value.problem.code, caught.value.problem.place) == ("apply-off", "aws.apply_role_name")
    with pytest.raises(Misconfigured, match="observer's role"):
        require_apply_role("uwu-observer", "uwu-observer")
    require_apply_role("uwu-applier", "uwu-observer")


def test_a_steps_token_is_the_same_for_every_try_and_fits_aws(sqlite_kernel: Kernel) -> None:
    tokens = {Step(sqlite_kernel, plan, 1, n).token for plan in ("plan_a", "plan_b") for n in (0, 1) for _try in (0, 1)}
    assert len(tokens) == 4 and all(len(token) <= 64 for token in tokens)
    with pytest.raises(Misconfigured):
        _ = Step(sqlite_kernel, "plan_a", 1, 0).aws
    assert AwsSettings().apply_role_name == ""
