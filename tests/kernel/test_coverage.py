"""The ledger in numbers: holes, what is late, causes, sums and pages, the same on both databases."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.kernel.world import ACCOUNT
from uwu.kernel import codec, graph, ledger
from uwu.kernel.aws_errors import REGION_OFF
from uwu.kernel.db import Database
from uwu.kernel.errors import BadInput
from uwu.kernel.ledger import Asked
from uwu.kernel.model import Cell, CellStatus, Outcome

NOW = codec.now()
OTHER = "999988887777"


def look(
    db: Database,
    type: str,
    status: CellStatus = CellStatus.COMPLETE,
    *,
    minutes: int = 0,
    account: str = ACCOUNT,
    region: str = "eu-west-1",
    code: str = "",
    action: str = "",
    due: int = 60,
    run: str = "run-1",
) -> None:
    at = NOW + timedelta(minutes=minutes)
    cell = Cell(source="aws", account=account, region=region, type=type)
    told = Outcome(
        cell=cell, status=status, observed_at=at, calls=2, attempts=3, throttled=1, bytes=100, seconds=0.5, cost=1e-6,
        code=code, message=code and f"{code}!", action=action, run=run, due_at=at + timedelta(minutes=due),
    )  # fmt: skip
    with db.write() as connection:
        graph.observe(connection, told, (), ())


@pytest.fixture
def ledger_db(db: Database) -> Database:
    look(db, "aws_a")
    look(db, "aws_b", due=-5)
    look(db, "aws_a", CellStatus.DENIED, account=OTHER, code="AccessDenied", action="a:ListA")
    look(db, "aws_b", CellStatus.DENIED, account=OTHER, code="AccessDenied", action="b:ListB", run="run-2")
    look(db, "aws_a", CellStatus.UNSUPPORTED, region="af-south-1", code=REGION_OFF)
    look(db, "aws_b", CellStatus.UNSUPPORTED, region="us-east-1", code="operation-not-offered")
    return db


def test_accounts_by_their_holes(ledger_db: Database) -> None:
    with ledger_db.read() as connection:
        accounts = ledger.accounts(connection, at=NOW)
        types = ledger.accounts_and_types(connection, [ACCOUNT], at=NOW)
    assert [(one.key, one.cells, one.complete, one.late, one.holes) for one in accounts] == [
        (OTHER, 2, 0, 0, 2),
        (ACCOUNT, 4, 2, 1, 1),
    ]
    assert accounts[0].oldest is None and accounts[1].oldest == NOW
    whole = ledger.together(accounts)
    assert (whole.cells, whole.complete, whole.late, whole.holes, whole.oldest) == (6, 2, 1, 3, NOW)
    assert {(account, type): (seen.cells, seen.holes) for account, type, seen in types} == {
        (ACCOUNT, "aws_a"): (2, 1),
        (ACCOUNT, "aws_b"): (2, 0),
    }


def test_one_cause_is_one_line_with_what_to_do(ledger_db: Database) -> None:
    with ledger_db.read() as connection:
        causes = ledger.causes(connection, Asked(), at=NOW).items
        mine = ledger.causes(connection, Asked(account=ACCOUNT), at=NOW).items
    assert [(c.code, c.cells, c.hole) for c in causes] == [
        ("AccessDenied", 2, True), (REGION_OFF, 1, True), ("operation-not-offered", 1, False),
    ]  # fmt: skip
    denied = causes[0]
    assert (denied.accounts, denied.types, denied.account, denied.since) == (1, 2, OTHER, NOW)
    assert denied.actions == ["a:ListA", "b:ListB"] and "allow a:ListA, b:ListB" in denied.hint
    assert "aws.regions" in causes[1].hint
    assert {c.code for c in mine} == {REGION_OFF, "operation-not-offered"}


@pytest.mark.parametrize(
    ("asked", "cells"),
    [
        (Asked(), 6),
        (Asked(holes=True), 3),
        (Asked(incomplete=True), 4),
        (Asked(late=True), 1),
        (Asked(account=ACCOUNT, type="aws_b"), 2),
        (Asked(types=("aws_a", "aws_z")), 3),
        (Asked(region="af-south-1"), 1),
        (Asked(code="AccessDenied"), 2),
        (Asked(code=""), 2),
        (Asked(run="run-2"), 1),
        (Asked(status="denied", account=ACCOUNT), 0),
    ],
)
def test_what_is_asked_for(ledger_db: Database, asked: Asked, cells: int) -> None:
    found, after = [], ""
    with ledger_db.read() as connection:
        while True:
            page = ledger.cells(connection, asked, at=NOW, limit=2, after=after)
            assert page.total == cells
            found += page.items
            if not (after := page.after):
                break
    assert len(found) == len({cell.cell for cell in found}) == cells


@pytest.mark.parametrize("by", ["account", "region", "type", "status", "run"])
def test_sums_add_up_and_come_in_pages(ledger_db: Database, by: ledger.By) -> None:
    found, after = [], ""
    with ledger_db.read() as connection:
        while True:
            page = ledger.sums(connection, Asked(), by, at=NOW, limit=1, after=after)
            found += page.items
            total = page.total
            if not (after := page.after):
                break
        with pytest.raises(BadInput):
            ledger.sums(connection, Asked(), by, at=NOW, after="x")
    assert sum(one.cells for one in found) == total.cells == 6
    assert (total.calls, total.attempts, total.throttled, total.bytes) == (12, 18, 6, 600)
    assert total.cost == pytest.approx(6e-6) and total.seconds == pytest.approx(3.0)
    assert [one.holes for one in found] == sorted((one.holes for one in found), reverse=True)


def test_since_is_when_the_state_began(db: Database) -> None:
    def since() -> object:
        with db.read() as connection:
            (cell,) = graph.coverage(connection)
        return cell.since

    look(db, "aws_a")
    look(db, "aws_a", minutes=1)
    assert since() == NOW
    look(db, "aws_a", CellStatus.DENIED, minutes=2, code="AccessDenied")
    look(db, "aws_a", CellStatus.DENIED, minutes=3, code="AccessDenied")
    assert since() == NOW + timedelta(minutes=2)
    look(db, "aws_a", CellStatus.DENIED, minutes=4, code="ExplicitDeny")
    assert since() == NOW + timedelta(minutes=4)
    look(db, "aws_a", minutes=5)
    assert since() == NOW + timedelta(minutes=5)


def test_the_page_of_accounts_reads_an_index_alone(db: Database) -> None:
    if db.dialect != "sqlite":
        return
    look(db, "aws_a")
    with db.read() as connection:
        query = "select account, count(*) filter (where code = 'x'), min(complete_at), max(observed_at) from coverage"
        plan = connection.exec_driver_sql(f"explain query plan {query} where due_at < 5 group by account").all()
        slow = connection.exec_driver_sql("explain query plan select * from coverage order by seconds desc, cell").all()
    assert "COVERING INDEX ix_coverage_seen" in str(plan)
    assert "INDEX ix_coverage_seconds" in str(slow)
