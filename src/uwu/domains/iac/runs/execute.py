"""Planning and applying: the steps of a run that run Terraform. Each may run again after a kill.

A plan that is interrupted is made anew. An apply that is interrupted is not begun again unless nothing was written:
what Terraform could not write when the worker died it left behind, and that is brought into the state first.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
import uuid
from typing import Any

import msgspec

from uwu.domains.iac import (
    blast,
    plan_json,
    state_crypt,
    state_lock,
    state_store,
    state_write,
)
from uwu.domains.iac.blast import Radius
from uwu.domains.iac.declare import ignored, sources
from uwu.domains.iac.drift import found as drifts
from uwu.domains.iac.plan_json import Plan
from uwu.domains.iac.policy import check, files
from uwu.domains.iac.runs import comments, config, store
from uwu.domains.iac.runs.sandbox import Sandbox, Stopped
from uwu.domains.iac.runs.store import Document, Log, Run
from uwu.domains.iac.runs.tools import Tools, opened, state_version
from uwu.kernel import audit, codec, exemptions
from uwu.kernel.errors import Conflict, UwuError
from uwu.kernel.identity import Principal
from uwu.kernel.model import Entity
from uwu.kernel.plans import approve
from uwu.kernel.runtime import Kernel

PLAN_FILE = "uwu.tfplan"
TURN_SECONDS = 3600
"""How long an apply waits for another run of its stack."""
PROVEN, CHANGED = 0, 2
"""Exit statuses of ``plan -detailed-exitcode``."""


class NotAsApproved(Conflict):
    """What would be applied is not what was approved."""

    code = "run-plan-file"


class Stale(Conflict):
    """The state has moved on since it was planned."""

    code = "run-stale"


# ---- planning


def planned(kernel: Kernel, id: str) -> dict[str, Any]:
    """Plans the run ``id`` and keeps what came of it; gives its status. What goes wrong is kept, not raised."""
    with kernel.db.read() as connection:
        run = store.get(connection, id)
        stack = store.stack_of(connection, run.stack)
        asked = store.blobs(connection, id)
    if run.ended:
        return {"status": run.status, "why": run.why}
    log = Log(kernel, id, "plan")
    values: dict[str, Any]
    document: Document | None = None
    try:
        give_back(kernel, run, asked.lock_id)
        values, document = _plan(kernel, run, stack, msgspec.convert(asked.principal, Principal), log)
    except Stopped:
        values = {"status": store.CANCELLED, "why": f"cancelled by {_canceller(kernel, id)}"}
    except UwuError as error:
        log.say(f"{error.problem.message} [{error.problem.code}]", "error")
        values = {"status": store.FAILED, "why": log.scrubber.text(error.problem.message)}
    log.flush()
    with kernel.db.write() as connection:
        # a step that runs again leaves nothing behind of the one before
        store.forget(connection, (asked.plan_blob, asked.json_blob, asked.config_blob))
        sealed = {name: values.pop(name) for name in ("plan_blob", "json_blob", "config_blob") if name in values}
        stored = {name: state_crypt.store(connection, each) for name, each in sealed.items()}
        store.update(connection, id, **{**values, **stored, "finished_at": codec.now()})
        store.tidy(connection, run.stack)
        detail = {"number": run.number, "stack": run.stack, "status": values["status"], "why": values.get("why", "")}
        detail["plan_sha256"] = values.get("plan_sha256", "")
        audit.append(connection, actor=run.requested_by, action="iac.run.planned", subject=id, detail=detail)
    if run.pull_request is not None:
        _comment(kernel, id, document, log)
    return {"status": values["status"], "why": values.get("why", "")}


def _plan(
    kernel: Kernel, run: Run, stack: Entity, principal: Principal, log: Log
) -> tuple[dict[str, Any], Document | None]:
    place = sandbox(kernel, run)
    place.open()
    try:
        with opened(kernel, run, stack, place, principal, "plan", log) as tools:
            found = config.of(stack, place, tools.git, run.revision)
            config.unpack(found.packed, place.work)
            version = state_version(kernel, run.state)
            tools.need(["init", "-no-color", "-reconfigure"], "terraform init failed")
            plan_file = place.root / PLAN_FILE
            arguments = ["plan", "-json", f"-out={plan_file}", "-lock-timeout=120s"]
            arguments += ["-destroy"] if run.destroy else []
            arguments += ["-refresh-only"] if run.refresh_only else []
            arguments += ["-lock=false"] if run.speculative else []
            tools.need(arguments, "terraform plan failed")
            shown = tools.shown(plan_file)
            log.scrubber.add(plan_json.secrets(shown))
            # init chooses versions of providers: what was locked is part of what is applied
            lock_file = place.work / ".terraform.lock.hcl"
            lock = lock_file.read_bytes() if lock_file.exists() else b""
            file = plan_file.read_bytes()
    finally:
        place.close()
    plan = plan_json.parse(shown, f"run {run.number}")
    document = judged(kernel, run.stack, stack, plan)
    if run.refresh_only:
        return _looked(kernel, log, stack, document, found, version), document
    return _kept(kernel, log, document, found, lock, file, version), document


def judged(kernel: Kernel, source: str, stack: Entity, plan: Plan) -> Document:
    """What the rules and the graph say of ``plan``."""
    account, region = str(stack.spec.get("account") or ""), str(stack.spec.get("region") or "")
    source = next((each.source for each in sources([stack])), source)
    rules = files.rules(kernel.settings.home_path / each for each in kernel.settings.iac.policies)
    with kernel.db.read() as connection:
        subjects = blast.subjects(connection, plan, source, account, region)
        radius = blast.radius(connection, plan, source=source, account=account, region=region)
        exempting = exemptions.holding(connection, codec.now())
    verdict = check.judge(plan, rules, source=source, account=account, urns=subjects, exempting=exempting)
    return Document(plan=plan, subjects=subjects, verdict=verdict, radius=radius)


def _kept(
    kernel: Kernel,
    log: Log,
    document: Document,
    found: config.Configuration,
    lock: bytes,
    file: bytes,
    version: state_store.Version | None,
) -> dict[str, Any]:
    plan, verdict = document.plan, document.verdict
    keys = state_crypt.keys(kernel)
    values: dict[str, Any] = {
        "status": store.PLANNED,
        "why": "",
        "revision": found.revision,
        "config_sha256": found.sha256,
        "plan_sha256": hashlib.sha256(file).hexdigest(),
        "serial": version.serial if version is not None else -1,
        "lineage": version.lineage if version is not None else "",
        "summary": summary(document),
        "json_blob": state_crypt.seal(keys, msgspec.json.encode(document)),
    }
    counts = ", ".join(f"{count} to {name}" for name, count in plan.counts.items())
    log.say(f"planned: {counts}; the plan file's SHA-256 is {values['plan_sha256']}")
    for violation in (*verdict.failed, *verdict.warned):
        level = "error" if violation.mandatory else "warning"
        log.say(f"{violation.rule} {violation.address}: {violation.message} ({violation.severity.value})", level)
    for problem in verdict.problems:
        log.say(str(problem), "error")
    _tell_radius(log, document.radius)
    if plan.errored:
        return {**values, "status": store.FAILED, "why": "the plan is not whole: Terraform met errors"}
    if plan.is_empty:
        return {**values, "status": store.CLEAN}
    if verdict.failed:
        rules = ", ".join(dict.fromkeys(v.rule for v in verdict.failed))
        return {
            **values,
            "status": store.REFUSED,
            "why": f"{rules} {'does' if ',' not in rules else 'do'} not allow it",
        }
    if any(problem.code == "plan-policy" for problem in verdict.problems):
        return {**values, "status": store.REFUSED, "why": "a rule could not judge it: nothing is known to be right"}
    packed = msgspec.msgpack.encode([found.packed, lock])
    return {**values, "plan_blob": state_crypt.seal(keys, file), "config_blob": state_crypt.seal(keys, packed)}


def _looked(
    kernel: Kernel,
    log: Log,
    stack: Entity,
    document: Document,
    found: config.Configuration,
    version: state_store.Version | None,
) -> dict[str, Any]:
    """What is kept of a run that looked for drift: no plan file, for it is never applied."""
    told = drifts.of(document.plan, document.subjects, ignored(stack))
    loud = [each for each in told if not each.noise]
    for each in told:
        what = f"{each.address} {each.path}".strip() if each.kind != "gone" else f"{each.address} is gone"
        log.say(
            f"drift: {what}" + (f" (noise: {each.noise})" if each.noise else ""), "info" if each.noise else "warning"
        )
    log.say(f"{len(loud)} drifted; {len(told) - len(loud)} more are noise")
    values: dict[str, Any] = {
        "status": store.DRIFTED if loud else store.CLEAN,
        "why": "",
        "revision": found.revision,
        "config_sha256": found.sha256,
        "serial": version.serial if version is not None else -1,
        "lineage": version.lineage if version is not None else "",
        "summary": {**summary(document), "drift": len(loud), "noise": len(told) - len(loud)},
        "json_blob": state_crypt.seal(state_crypt.keys(kernel), msgspec.json.encode(document)),
    }
    if document.plan.errored:
        return {**values, "status": store.FAILED, "why": "the refresh is not whole: Terraform met errors"}
    return values


def _tell_radius(log: Log, radius: Radius) -> None:
    if not radius.gone:
        return
    owners = ", ".join(f"{owner or 'nobody'} {count}" for owner, count in radius.owners.items())
    log.say(f"blast radius: {radius.total} depend on what it destroys or replaces" + (f" ({owners})" if owners else ""))
    if not radius.complete:
        log.say("the graph is not known whole: more may depend on it", "warning")


def summary(document: Document) -> dict[str, Any]:
    """The numbers of what was found out, for lists."""
    verdict, radius = document.verdict, document.radius
    return {
        "counts": document.plan.counts,
        "drift": len(document.plan.drift),
        "outputs": len(document.plan.outputs),
        "managed": document.plan.managed,
        "policy": {
            "rules": verdict.rules,
            "failed": len(verdict.failed),
            "warned": len(verdict.warned),
            "exempt": len(verdict.exempt),
        },
        "radius": {"total": radius.total, "owners": radius.owners, "complete": radius.complete},
    }


def ask(kernel: Kernel, id: str) -> dict[str, Any]:
    """Asks for the approval of what was planned, in the name of whoever asked for the run."""
    with kernel.db.read() as connection:
        run = store.get(connection, id)
        asked = store.blobs(connection, id)
    if run.status != store.PLANNED or run.speculative or run.plan:
        return {"plan": run.plan_number}
    try:
        came = approve.ask(
            kernel,
            msgspec.convert(asked.principal, Principal),
            planner="terraform",
            request={"run": id},
            reason=run.reason or f"run {run.number}",
            force=run.forced,
        )
    except UwuError as error:
        with kernel.db.write() as connection:
            store.update(connection, id, status=store.REFUSED, why=error.problem.message)
        log = Log(kernel, id, "plan")
        log.say(str(error), "error")
        log.flush()
        return {"plan": 0}
    with kernel.db.write() as connection:
        store.update(connection, id, plan=came.plan)
        run = store.get(connection, id)
    log = Log(kernel, id, "plan")
    log.say(came.told or f"plan {run.plan_number}")
    log.flush()
    return {"plan": run.plan_number}


def _comment(kernel: Kernel, id: str, document: Document | None, log: Log) -> None:
    with kernel.db.read() as connection:
        run = store.get(connection, id)
    told = run.pull_request or {}
    comment = comments.Comment(
        repository=str(told["repository"]),
        number=int(told["number"]),
        commit=run.revision or str(told.get("commit", "")),
        key=f"uwu:{run.stack}",
        text=log.scrubber.text(comments.text(run, document, str(told.get("base_url", "")))),
    )
    try:
        comments.of(kernel).put(comment, log)
    except UwuError as error:
        log.say(f"nobody was told: {error}", "warning")
    log.flush()


# ---- applying


def applied(kernel: Kernel, id: str, plan_sha256: str, actor: str) -> dict[str, Any]:
    """Applies exactly the plan file that has ``plan_sha256``, and proves it by a new plan; gives what was told.

    Raises ``NotAsApproved`` for another file, ``Stale`` where the state has moved on, ``PlanFailed``, ``Stopped``.
    """
    with kernel.db.read() as connection:
        run = store.get(connection, id)
        stack = store.stack_of(connection, run.stack)
        held = store.blobs(connection, id)
    if run.status == store.APPLIED:
        return {"note": "applied before", "already": True}
    log = Log(kernel, id, "apply")
    try:
        try:
            return _apply(kernel, run, stack, held, plan_sha256, actor, log)
        except UwuError as error:
            status = store.CANCELLED if isinstance(error, Stopped) else store.FAILED
            why = log.scrubber.text(error.problem.message)
            log.say(f"{error.problem.message} [{error.problem.code}]", "error")
            with kernel.db.write() as connection:
                store.update(connection, id, status=status, why=why, finished_at=codec.now())
                detail = {"number": run.number, "stack": run.stack, "status": status, "why": why}
                audit.append(connection, actor=actor, action="iac.run.failed", subject=id, detail=detail)
            raise
    finally:
        log.flush()


def _apply(
    kernel: Kernel, run: Run, stack: Entity, held: store.Blobs, plan_sha256: str, actor: str, log: Log
) -> dict[str, Any]:
    place = sandbox(kernel, run)
    principal = Principal(ref=actor, name=actor.rpartition("/")[2], kind="human")
    if run.status == store.APPLYING:
        recover(kernel, run, held.lock_id, place, principal, log)
    if run.status not in (store.PLANNED, store.APPLYING) or not held.plan_blob:
        raise Conflict(f"run {run.number} is {run.status}: there is nothing to apply", code="run-not-planned")
    file = store.content(kernel, held.plan_blob)
    found = hashlib.sha256(file).hexdigest()
    if found != plan_sha256 or found != run.plan_sha256:
        raise NotAsApproved(
            "the plan file is not the one that was approved: nothing was applied",
            place=f"run {run.number}",
            hint="plan again, and have it approved; look in the audit for who could write to the database",
        )
    packed, lock = msgspec.msgpack.decode(store.content(kernel, held.config_blob), type=tuple[bytes, bytes])
    if hashlib.sha256(packed).hexdigest() != run.config_sha256:
        raise NotAsApproved("the configuration is not the one that was planned", place=f"run {run.number}")
    _take_turn(kernel, run, log)
    require_fresh(kernel, run)
    place.open()
    outcomes: dict[str, Any] = {}
    try:
        with opened(kernel, run, stack, place, principal, "apply", log) as tools:
            config.unpack(packed, place.work)
            if lock:
                (place.work / ".terraform.lock.hcl").write_bytes(lock)
            plan_file = place.root / PLAN_FILE
            plan_file.write_bytes(file)
            plan_file.chmod(0o400)
            tools.need(["init", "-no-color", "-reconfigure"], "terraform init failed")
            log.scrubber.add(plan_json.secrets(tools.shown(plan_file)))
            tools.outcomes = outcomes
            try:
                tools.need(["apply", "-json", "-lock-timeout=120s", str(plan_file)], "terraform apply failed")
            finally:
                rescue(kernel, run, place, principal, log)
                with kernel.db.write() as connection:
                    store.update(connection, run.id, outcomes={"changes": outcomes})
            log.say("applied; a new plan is made to prove it")
            proof = _proof(tools, log)
    finally:
        _close(place, log)
    with kernel.db.write() as connection:
        values = {"status": store.APPLIED, "why": "", "finished_at": codec.now(), "plan_blob": "", "config_blob": ""}
        store.update(connection, run.id, **values, outcomes={"changes": outcomes, "proof": proof})
        store.forget(connection, (held.plan_blob, held.config_blob))
        detail = {"number": run.number, "stack": run.stack, "plan_sha256": plan_sha256, "proof": proof}
        audit.append(connection, actor=actor, action="iac.run.applied", subject=run.id, detail=detail)
    log.say(proof)
    return {"note": f"terraform apply of {plan_sha256[:12]}: {proof}", "already": False}


def _take_turn(kernel: Kernel, run: Run, log: Log) -> None:
    """Waits while another run of the stack is at work. Raises ``Stopped``, ``Conflict`` (``run-busy``)."""
    until, told = time.monotonic() + TURN_SECONDS, 0
    while True:
        if store.is_cancelled(kernel, run.id):
            raise Stopped(f"run {run.number} was cancelled before it was applied")
        with kernel.db.write() as connection:
            other = store.turn(connection, run, store.APPLYING)
        if other is None:
            return
        if told != other.number:
            told = other.number
            log.say(f"waiting for run {other.number} of the same stack, which is {other.status}")
            log.flush()
        if time.monotonic() > until:
            raise Conflict(
                f"run {other.number} of {run.stack} is at work: one at a time",
                code="run-busy",
                hint=f"cancel it, or wait for it: uwu iac cancel {other.number}; then plan again",
            )
        time.sleep(0.5)


def _proof(tools: Tools, log: Log) -> str:
    """What a new plan says once everything is applied. It decides nothing: what was applied is applied."""
    try:
        status = tools.run(["plan", "-json", "-lock=false", "-detailed-exitcode"])
    except UwuError as error:
        log.say(str(error), "warning")
        return "not proven: the new plan did not come to its end"
    if status == PROVEN:
        return "proven: a new plan changes nothing"
    return "not proven: a new plan would change something" if status == CHANGED else "not proven: the new plan failed"


def require_fresh(kernel: Kernel, run: Run) -> None:
    """Raises ``Stale`` where the state is not the one that was planned from."""
    version = state_version(kernel, run.state)
    serial, lineage = (version.serial, version.lineage) if version is not None else (-1, "")
    if (serial, lineage) != (run.serial, run.lineage):
        raise Stale(
            f"the plan is stale: {run.state} has serial {serial} now; it was planned from {run.serial}",
            place=f"run {run.number}",
            hint=f"plan again: uwu iac plan {run.stack.removeprefix('stack:')}",
        )


# ---- after a kill


def recover(kernel: Kernel, run: Run, lock: str, place: Sandbox, principal: Principal, log: Log) -> None:
    """Puts right what a worker left that died while it applied. Raises ``Stale`` where something was written."""
    log.say("the worker died while it applied: looking what it had done", "warning")
    place.wait()
    rescue(kernel, run, place, principal, log)
    give_back(kernel, run, lock)
    try:
        require_fresh(kernel, run)
    except Stale:
        place.close()
        raise Stale(
            "the worker died while it applied, after a part was done: what was done is in the state",
            code="run-interrupted",
            place=f"run {run.number}",
            hint="plan again: what is left is in the new plan",
        ) from None
    log.say("nothing had been written: it is applied from the beginning")


def rescue(kernel: Kernel, run: Run, place: Sandbox, principal: Principal, log: Log) -> None:
    """Brings into the state what Terraform could not write there."""
    left = place.work / "errored.tfstate"
    if not left.is_file():
        return
    namespace, name = state_store.named(run.state)
    with kernel.db.read() as connection:
        lock = store.blobs(connection, run.id).lock_id
    wanted = state_write.Wanted(
        namespace=namespace, name=name, via="http", lock_id=lock, operation="OperationTypeApply"
    )
    version = state_write.write(
        kernel, principal, wanted, _following(state_version(kernel, run.state), left.read_bytes())
    )
    left.unlink()
    log.say(f"what Terraform could not write is in the state now: version {version.number}", "warning")


def _following(current: state_store.Version | None, data: bytes) -> bytes:
    """What Terraform left behind as the version after ``current``. It numbers a state, and gives the first one its
    lineage, only once it has reached the backend, which it had not."""
    told = codec.decode(data)
    if not isinstance(told, dict):
        return data
    serial = current.serial if current is not None else 0
    if current is None or told.get("lineage") in ("", current.lineage):
        told["lineage"] = current.lineage if current is not None else told.get("lineage") or str(uuid.uuid4())
        told["serial"] = max(int(told.get("serial") or 0), serial + 1)
    return codec.encode(told)


def _close(place: Sandbox, log: Log) -> None:
    """Deletes the folder of a run, unless a state lies in it that could not be brought where it belongs."""
    left = place.work / "errored.tfstate"
    if left.is_file():
        log.say(f"the state that Terraform left lies in {left}: bring it in with uwu iac state import", "error")
        return
    place.close()


def give_back(kernel: Kernel, run: Run, lock: str) -> None:
    """Gives the lock back that an earlier try of the run took; another's stays."""
    if not lock:
        return
    with contextlib.suppress(UwuError):  # another holds it by now, or the state is gone
        state_lock.unlock(kernel, Principal(ref=run.requested_by, name="", kind="human"), run.state, lock)
    with kernel.db.write() as connection:
        store.update(connection, run.id, lock_id="")


# ---- what both use


def sandbox(kernel: Kernel, run: Run) -> Sandbox:
    """The folder of a run."""
    given = kernel.settings.iac
    root = kernel.settings.home_path.absolute() / "runs" / run.id
    return Sandbox(root, given.run_minutes * 60, given.run_memory_mb, given.run_env)


def _canceller(kernel: Kernel, id: str) -> str:
    with kernel.db.read() as connection:
        return store.get(connection, id).cancelled_by or "whoever cancelled its job"
