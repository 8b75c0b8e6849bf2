"""What the small world does: jobs that run and ran, a resource with a past, a saved view. One row of every page."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import msgspec
import sqlalchemy as sa

from tests.app.console import world
from tests.app.console.world import LEDGER, NOW, ago
from uwu.app import identify
from uwu.domains.catalog.scorecards import judge
from uwu.domains.iac import state_crypt, state_lock, state_write
from uwu.domains.iac.actions import ACTIONS
from uwu.domains.iac.blast import Dependent, Hop, Radius
from uwu.domains.iac.plan_json import Change, Op, Variable
from uwu.domains.iac.plan_json import Plan as TerraformPlan
from uwu.domains.iac.policy.model import Verdict, Violation
from uwu.domains.iac.runs import execute, store
from uwu.domains.iac.runs.store import Document
from uwu.domains.iac.state_lock import Told
from uwu.domains.iac.state_write import Wanted
from uwu.kernel import codec, declared, drift, exemptions, tables
from uwu.kernel.domain import Planner
from uwu.kernel.errors import Conflict
from uwu.kernel.identity import Principal
from uwu.kernel.model import Entity, Place, Severity
from uwu.kernel.notify.notices import Notice, tell
from uwu.kernel.plans import Action, Plan, PlannedChange, approve
from uwu.kernel.rules import ATTRIBUTE, UNDECLARED
from uwu.kernel.runtime import Kernel
from uwu.kernel.sensitive import MARK
from uwu.kernel.settings import Settings

SYNC, SHARD, FAILED, RUNNING = "job_sync", "job_shard_3", "job_failed", "job_running"
VIEW = "v_critical"
HERE = "tests.app.console.lively"


def plan(kernel: Kernel, request: Mapping[str, Any]) -> Plan:
    """Closes what stands open on sg-payments-db."""
    with kernel.db.read() as connection:
        found = drift.findings(connection, subject=world.SG_PAYMENTS.urn, rule=ATTRIBUTE, limit=1).items[0]
    change = PlannedChange(
        subject=found.subject,
        action=Action.UPDATE,
        title=f"revoke ingress tcp 5432 from 0.0.0.0/0 {world.HOSTILE}",
        before=found.observed,
        after=found.declared,
        reason=found.id,
    )
    declared, observed = codec.digest(found.declared), codec.digest(found.observed)
    return Plan(
        domain="world",
        title="Restore the declared ingress of sg-payments-db",
        changes=(change,),
        declared_hash=declared,
        observed_hash=observed,
        subjects_total=len(request) + 9,
    )


def nothing(*given: Any) -> Any:
    """What is never called here: nothing of this world is applied."""
    raise AssertionError(given)


PLANNER = Planner(
    name="close", title="Ingress rules", plan=f"{HERE}:plan", apply=f"{HERE}:nothing", observe=f"{HERE}:nothing"
)
DOMAIN = dataclasses.replace(world.WORLD, planners=(PLANNER,), actions=ACTIONS)


def open_kernel(home: Any) -> Kernel:
    """A kernel of the world that can be mended."""
    return Kernel(Settings(home=str(home), organization="Larkspur"), (DOMAIN,))


def enliven(kernel: Kernel) -> None:
    """Adds it all to a filled world."""
    with kernel.db.write() as connection:
        connection.execute(tables.jobs.insert(), _jobs())
        connection.execute(tables.job_log.insert(), _lines())
        connection.execute(
            tables.saved_views.insert().values(
                id=VIEW,
                owner=f"user:local/{_user()}",
                name="Critical, by owner",
                path="/findings?severity=critical&group=owner",
                created_by=f"user:local/{_user()}",
                created_at=ago(days=2),
            )
        )
        give_a_past(connection)
        told = Notice("finding.opened", "f_1", "group:default/payments", Severity.HIGH.value, f"Opened {world.HOSTILE}")
        tell(connection, told)
    approve.ask(kernel, identify.local(), planner="close", request={}, reason="Ledger is open")
    keep_states(kernel)
    keep_exemptions(kernel)
    keep_runs(kernel)
    judge.judge(kernel)


def keep_exemptions(kernel: Kernel) -> None:
    """A resource and an account that are exempt, and what a rule could not judge."""
    local = identify.local()
    for what, rule, days in (({"subject": world.STRAY.urn}, "drift.*", 12), ({"account": world.WEB}, UNDECLARED, 40)):
        until = codec.now() + timedelta(days=days)
        exemptions.exempt(kernel, local, rule=rule, until=until, reason=f"It moves out {world.HOSTILE}", **what)
    named = [world.EVIL.urn, world.RECEIPTS.urn]
    reasons = [
        {"why": "Policy was not observed", "type": world.QUEUE, "count": 14, "subjects": named},
        {"why": f"{world.HOSTILE} was not observed", "type": world.BUCKET, "count": 1, "subjects": named[1:]},
    ]
    j = tables.judgements
    with kernel.db.write() as connection:
        connection.execute(j.update().where(j.c.rule == "world.open").values(unjudged=15, reasons=reasons))


def keep_states(kernel: Kernel) -> None:
    """A state with a past and a lock, one that is free, and a write that was refused."""
    ci = Principal(ref="service:default/ci", name="ci", kind="service", via="token")
    secret = {"type": "get_attr", "value": "password"}

    def state(serial: int, size: str, *more: str) -> bytes:
        made = [
            {
                "mode": "managed",
                "type": "aws_db_instance",
                "name": name,
                "provider": "aws",
                "instances": [
                    {
                        "attributes": {"id": name, "instance_class": size, "password": f"hunter2-{size}"},
                        "sensitive_attributes": [[secret]],
                    }
                ],
            }
            for name in ("ledger", *more)
        ]
        outputs = {"endpoint": {"value": f"ledger.{size}.example", "type": "string"}}
        whole = {"version": 4, "terraform_version": "1.11.4", "serial": serial, "lineage": "8f0c-22"}
        return codec.encode({**whole, "outputs": outputs, "resources": made})

    payments = Wanted(namespace="default", name="payments", via="http", operation="OperationTypeApply")
    for serial, (size, *more) in enumerate((("small",), ("large", "audit", world.HOSTILE), ("large", "audit")), 1):
        state_write.write(kernel, ci, payments, state(serial, size, *more))
    with contextlib.suppress(Conflict):
        state_write.write(kernel, ci, payments, state(1, "tiny"))
    state_write.write(kernel, ci, msgspec.structs.replace(payments, name="network"), state(4, "small"))
    held = Told(id="4f6b", who=f"mira@laptop {world.HOSTILE}", operation="OperationTypeApply", version="1.11.4")
    state_lock.lock(kernel, ci, "default/payments", held)


GIVEN = (
    Variable(name="cidr", description=f"of the network {world.HOSTILE}", required=True),
    Variable(name="db_password", sensitive=True),
)


def keep_runs(kernel: Kernel) -> None:
    """A run that waits for approval, with a blast radius and broken rules, and one that failed."""
    stack = Entity(
        kind="Stack",
        name="ledger-live",
        api_version="uwu.dev/v1alpha1",
        spec={"owner": "payments", "state": "uwu://", "source": "ledger"},
        place=Place("stacks.yaml", 1),
    )
    with kernel.db.write() as connection:
        declared.replace_entities(connection, "file:runs", [stack], [])
    by = Principal(ref="user:default/mira", name="mira", kind="human", via="session")
    gone = Change(
        address="aws_lb.pay",
        type="aws_lb",
        op=Op.REPLACE,
        before={"name": "pay", "token": MARK},
        after={"name": f"pay-2 {world.HOSTILE}", "token": MARK},
        changed=("name", "token"),
        forces=("name",),
    )
    record = "stack:default/web#aws_route53_record.pay"
    feels = Dependent(
        subject=record, name=f"pay.example.com {world.HOSTILE}", type="aws_route53_record", category="DNS name",
        owner="group:default/edge", account="", stack="stack:default/web", distance=1, in_plan=False,
        path=[Hop(record, "names", "arn:aws:x:eu-west-1:1:lb/pay", "aws_route53_record.pay: alias.name")],
    )  # fmt: skip
    broken = Violation(
        rule="plan.data-destroyed", title="x", severity=Severity.CRITICAL, mandatory=False, address="aws_lb.pay",
        subject="", message=f"it is replaced {world.HOSTILE}", why="Because.", remedy="Move it.",
    )  # fmt: skip
    radius = Radius(
        gone=["aws_lb.pay"], dependents=[feels], total=1, owners={"group:default/edge": 1}, categories={"DNS name": 1},
        stacks=["stack:default/web"], complete=False, lacks=["aws/1/eu-west-1/aws_lb"],
    )  # fmt: skip
    document = Document(
        plan=TerraformPlan(
            format_version="1.2",
            terraform_version="1.11.4",
            changes=(gone,),
            drift=(gone,),
            managed=4,
            variables=GIVEN,
        ),
        subjects={},
        verdict=Verdict(rules=23, violations=(broken,)),
        radius=radius,
    )
    common = {"stack": stack.ref, "state": "default/ledger-live", "origin": "cli", "started_at": ago(minutes=3)}
    with kernel.db.write() as connection:
        sealed = state_crypt.seal(state_crypt.keys(kernel), msgspec.json.encode(document))
        id = store.insert(connection, by, {**common, "reason": f"A new name {world.HOSTILE}"})
        ready = {"summary": execute.summary(document), "json_blob": state_crypt.store(connection, sealed)}
        store.update(connection, id, status=store.PLANNED, plan_sha256="ab" * 32, finished_at=ago(minutes=2), **ready)
        failed = store.insert(connection, by, {**common, "speculative": True, "revision": "c0ffee" * 6 + "c0ff"})
        store.update(connection, failed, status=store.FAILED, why=f"no {world.HOSTILE}", finished_at=ago(minutes=1))
    log = store.Log(kernel, failed, "plan")
    log.say("$ terraform plan")
    log.say(f"Error: {world.HOSTILE}", "error")
    log.flush()


def _user() -> str:
    return identify.local().name.lower()


def job(id: str, name: str, status: str = "done", parent: str = "", **more: Any) -> dict[str, Any]:
    """A row of a job that took 19 s."""
    finished = status in {"done", "failed", "cancelled"}
    return {
        "id": id,
        "name": name,
        "arguments": {},
        "parent": parent,
        "status": status,
        "requested_by": "user:local/mira" if not parent else "",
        "created_at": ago(minutes=30),
        "started_at": ago(minutes=30),
        "finished_at": ago(minutes=30) + timedelta(seconds=19) if finished else None,
        "stage": "",
        "done": 0,
        "total": 0,
        "result": None,
        "problem": None,
        **more,
    }


def _jobs() -> list[dict[str, Any]]:
    denied = {
        "code": "AccessDenied",
        "message": "uwu-observer may not call rds:DescribeDBInstances",
        "hint": "grant it",
    }
    shards: list[dict[str, Any]] = []
    for i in range(8):
        where = {"account": world.DATA, "region": f"eu-west-{i}", "service": "rds"}
        ended: dict[str, Any] = {"status": "failed", "problem": denied} if i == 3 else {"status": "done"}
        shards.append(job(f"job_shard_{i}", "inventory.shard", parent="job_inventory", arguments=where, **ended))
    return [
        job(SYNC, "sync", "done", result={"resources": 42, "findings": 9}),
        job("job_inventory", "inventory.sync", "done", SYNC, stage="accounts", done=8, total=8),
        job("job_trail", "trail.ingest", "done", SYNC),
        *shards,
        job(FAILED, "trail.ingest", "failed", problem={**denied, "message": world.HOSTILE}),
        job(
            RUNNING,
            "inventory.sync",
            "running",
            stage="shards",
            done=12,
            total=40,
            created_at=ago(minutes=1),
            started_at=ago(seconds=50),
        ),
        job("job_running_1", "inventory.shard", "running", RUNNING, stage="ec2", done=3, total=9),
    ]


def _lines() -> list[dict[str, Any]]:
    said = [("info", "12 accounts"), ("warning", "rds in eu-west-3 was denied"), ("error", world.HOSTILE)]
    return [
        {"job": id, "line": n, "at": ago(minutes=29), "level": level, "message": text, "data": None}
        for id in (SYNC, RUNNING)
        for n, (level, text) in enumerate(said, 1)
    ]


PAST = ((20, 14), (12, 7), (11, 14))
"""(days ago, the retention that ledger-db then had)."""


def give_a_past(connection: sa.Connection) -> None:
    """Gives ledger-db three versions before the one that it has, and a finding that was closed."""
    v, p, r, f = tables.versions, tables.past_versions, tables.resources, tables.findings
    last = connection.execute(sa.select(v).where(v.c.urn == LEDGER.urn)).one()._asdict()
    begins = [ago(days=days) for days, _ in PAST] + [ago(hours=2)]
    for i, (_, kept) in enumerate(PAST):
        attributes = {**LEDGER.attributes, "BackupRetentionPeriod": kept}
        held = {"valid_from": begins[i], "valid_to": begins[i + 1], "first_seen": begins[0], "ended": "changed"}
        given = {"version": i + 1, "attributes": attributes, "hash": codec.digest([i, kept])}
        connection.execute(p.insert().values(**last | given | held))
    now = {"version": len(begins), "first_seen": begins[0], "changed_at": begins[-1]}
    connection.execute(r.update().where(r.c.urn == LEDGER.urn).values(**now))
    open_one = connection.execute(sa.select(f).where(f.c.subject == LEDGER.urn, f.c.rule == ATTRIBUTE)).first()
    assert open_one is not None
    closed = {"id": "f_closed0000000000", "status": "closed", "cause": None, "actor": ""}
    when = {"opened_at": begins[1], "last_seen": begins[1], "closed_at": begins[2]}
    connection.execute(f.insert().values(**open_one._asdict() | closed | when))


__all__ = ["FAILED", "NOW", "RUNNING", "SHARD", "SYNC", "VIEW", "enliven", "give_a_past", "job"]
