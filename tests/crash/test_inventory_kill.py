"""A worker is killed in the middle of a sync of AWS: the next one goes on, and asks nothing that was written."""

from __future__ import annotations

import signal
from dataclasses import replace

import pytest
import sqlalchemy as sa
from bench.inventory.canned import Plan
from bench.inventory.cells import OPERATIONS, REGIONS, Estate, account_id, estate, wait

from uwu.kernel import graph, ledger, tables
from uwu.kernel.graph import Covered

ACCOUNTS, PLACES = 2, REGIONS[:3]
DENIED = "ec2:DescribeSubnets"


def slow(plan: Plan) -> Plan:
    """Slow enough that the kill comes in the middle; one type is denied in one account."""
    return replace(plan, delay=0.05, deny=frozenset({(account_id(1), DENIED)}))


def cells_of(made: Estate) -> list[Covered]:
    with made.kernel.db.read() as connection:
        return [cell for cell in graph.coverage(connection) if cell.type != "aws_account"]


@pytest.mark.timeout(180)
def test_a_killed_sync_goes_on_where_the_ledger_ends() -> None:
    with estate(ACCOUNTS, PLACES, plan=slow) as made:
        id = made.sync()
        first = made.worker()
        wait(lambda: made.written() >= 40, first)
        first.send_signal(signal.SIGSTOP)
        finished, rows = set(made.finished()), {cell.cell: cell for cell in cells_of(made)}
        first.kill()
        first.wait()
        assert 40 <= len(finished) < ACCOUNTS * len(PLACES) * OPERATIONS, "it was killed in the middle"
        made.server.reset()
        made.worker()
        result = made.result(id)
        asked = made.server.stats().cells
        assert not [cell for cell in finished if asked[cell]], "what was written is not asked again"
        cells = cells_of(made)
        assert len(cells) == ACCOUNTS * len(PLACES) * OPERATIONS
        assert {cell.run for cell in cells} == {f"{id}"}, "one run wrote them all"
        assert all(rows[cell.cell] == cell for cell in cells if cell.cell in rows)
        denied = [cell for cell in cells if cell.status.value != "complete"]
        assert {(cell.account, cell.code, cell.action) for cell in denied} == {
            (account_id(1), "AccessDenied", "ec2:DescribeSubnets")
        }
        assert len(denied) == len(PLACES)
        with made.kernel.db.read() as connection:
            whole = ledger.sums(connection, ledger.Asked(run=id), "run", at=cells[0].observed_at).total
            vpcs = connection.scalar(
                sa.select(sa.func.count()).where(tables.resources.c.type == "aws_vpc"),
            )
        assert result["cells"] == whole.cells == len(cells) + 1, "and the accounts"
        assert result["calls"] == whole.calls
        assert vpcs == ACCOUNTS * len(PLACES)
