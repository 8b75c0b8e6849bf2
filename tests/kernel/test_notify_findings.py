"""Findings, silent sources and failed syncs -> notices: each turn once, a flood as one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from tests.kernel.notify_world import Clock, with_settings
from tests.kernel.world import LOG, T0, WORLD, change, declaration, outcome, queue
from uwu.kernel import codec, declared, drift, graph, jobs, ownership, tables
from uwu.kernel.domain import Domain, SourceHealth
from uwu.kernel.model import CellStatus
from uwu.kernel.notify import notices, watch
from uwu.kernel.runtime import Kernel

HEALTH: list[SourceHealth] = []


def health(kernel: Kernel) -> list[SourceHealth]:
    del kernel
    return HEALTH


@pytest.fixture
def told(kernel: Kernel) -> Iterator[Kernel]:
    """A kernel of the small world, that tells findings of every severity."""
    made = with_settings(kernel, {"finding_severity": "low"})
    made.domains = (WORLD,)
    LOG.held = ()
    yield made
    made.close()


def observe(kernel: Kernel, minutes: int, *names: str, size: int, status: CellStatus = CellStatus.COMPLETE) -> None:
    resources = [queue(name, tags={"team": "payments"}, size=size) for name in names]
    with kernel.db.write() as connection:
        graph.observe(connection, outcome(minutes, status), resources, [])


def declare(kernel: Kernel, *names: str) -> None:
    with kernel.db.write() as connection:
        declared.replace_declarations(
            connection, "stack:default/payments", [declaration(name, size=1) for name in names]
        )
        connection.execute(tables.declarations.update().values(declared_at=T0 - timedelta(days=1)))


def judged(kernel: Kernel) -> list[tuple[str, str]]:
    """Judges, and gives what that told: (kind, title)."""
    with kernel.db.read() as connection:
        before = set(connection.scalars(sa.select(tables.notices.c.id)))
    ownership.settle(kernel)
    drift.judge(kernel)
    with kernel.db.read() as connection:
        rows = notices.notices(connection, limit=500).items
    return sorted((row.notice.kind, row.notice.title) for row in rows if row.notice.id not in before)


def test_each_turn_of_a_finding_is_told_once(told: Kernel) -> None:
    declare(told, "a")
    observe(told, 0, "a", size=2)
    LOG.held = (change("SetQueueAttributes", -5, urn=queue("a").urn, request={"size": 2}),)
    ((kind, title),) = judged(told)
    assert kind == "finding.opened" and "size" in title
    assert judged(told) == []
    with told.db.read() as connection:
        (row,) = notices.notices(connection).items
    assert row.notice.owner == "group:default/payments" and row.notice.path == f"/findings/{row.notice.subject}"
    assert row.notice.detail["what"] == queue("a").urn
    assert codec.parse_time(row.notice.detail["since"]) <= codec.now()
    observe(told, 1, "a", size=1)
    assert judged(told) == [("finding.closed", f"{title}: is closed")]
    observe(told, 2, "a", size=2)
    assert judged(told) == [("finding.reopened", f"{title}: is back")]


def test_silence_is_told_once_an_opening(told: Kernel) -> None:
    declare(told, "a")
    observe(told, 0, "a", size=2)
    ((_, title),) = judged(told)
    for minutes in (1, 3):
        observe(told, minutes, "a", size=2, status=CellStatus.DENIED)
        assert judged(told) == ([("finding.stale", f"{title}: is no longer observed")] if minutes == 1 else [])
        observe(told, minutes + 1, "a", size=2)
        assert judged(told) == []


def test_only_what_is_severe_enough_is_told(kernel: Kernel) -> None:
    strict = with_settings(kernel, {"finding_severity": "critical"})
    strict.domains = (WORLD,)
    declare(strict, "a")
    observe(strict, 0, "a", size=2)
    assert judged(strict) == []
    strict.close()


def test_a_flood_is_one_notice_an_owner(told: Kernel) -> None:
    names = [f"q{number}" for number in range(40)]
    declare(told, *names)
    observe(told, 0, *names, size=2)
    assert judged(told) == [("finding.many", "40 findings changed at once: 40 opened")]
    with told.db.read() as connection:
        (row,) = notices.notices(connection).items
    assert row.notice.owner == "group:default/payments"
    assert row.notice.path == "/findings?owner=group:default/payments"
    assert row.notice.detail["and"] == "35 more"
    observe(told, 1, *names, size=1)
    assert judged(told) == [("finding.many", "40 findings changed at once: 40 closed")]


def test_a_silent_source_and_a_failed_sync_are_told_once(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    opened = Kernel(kernel.settings, (Domain("d", "D", health="tests.kernel.test_notify_findings:health"),))
    HEALTH[:] = [
        SourceHealth("aws", "late", clock.now - timedelta(days=2), "3 of 90 cells"),
        SourceHealth("estate", "fresh", clock.now),
        SourceHealth("trail", "never", None),
    ]
    _synced(opened, "job-1", result={"inventory.sync": {"problem": {"code": "denied", "message": "no"}}, "drift": {}})
    assert watch.is_amiss(opened)
    assert sorted((n.kind, n.title) for n in watch.untold(opened)) == [
        ("source.late", "The source aws is late"),
        ("sync.failed", "The sync failed in part: inventory.sync"),
    ]
    assert watch._tell(opened) == 2 and not watch.is_amiss(opened)
    _synced(opened, "job-2", result={"inventory.sync": {"problem": {"code": "denied", "message": "again"}}})
    assert not watch.is_amiss(opened), "the same reason, the same day"
    _synced(opened, "job-3", problem={"code": "boom", "message": "it broke"})
    assert [n.title for n in watch.untold(opened)] == ["The sync failed"]
    clock.forward(days=2)
    HEALTH[:] = []
    assert not watch.is_amiss(opened)
    opened.close()


def _synced(kernel: Kernel, id: str, *, result: Any = None, problem: Any = None) -> None:
    ticket = {"name": "sync", "arguments": {}, "parent": "", "requested_by": "", "created_at": codec.iso(codec.now())}
    row = {
        **jobs.queued_row(id, ticket),
        "status": "failed" if problem else "done",
        "finished_at": codec.now(),
        "result": result,
        "problem": problem,
    }
    with kernel.db.write() as connection:
        connection.execute(tables.jobs.insert().values(row))
