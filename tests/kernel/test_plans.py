from __future__ import annotations

import msgspec
import pytest

from uwu.kernel.errors import Conflict
from uwu.kernel.plans import Action, Plan, PlannedChange, SafetyLimit, UnsafePlan, check_current, check_safe


def plan(touched: int, total: int, action: Action = Action.DELETE) -> Plan:
    changes = tuple(PlannedChange(subject=f"s{i}", action=action) for i in range(touched))
    return Plan(
        domain="dns", title="plan 1", changes=changes, declared_hash="d", observed_hash="o", subjects_total=total
    )


@pytest.mark.parametrize(
    ("touched", "total", "action", "safe"),
    [
        (3, 10, Action.DELETE, True),
        (4, 10, Action.DELETE, False),
        (4, 10, Action.UPDATE, False),
        (10, 10, Action.CREATE, True),
        (9, 9, Action.DELETE, True),
    ],
)
def test_the_safety_limit(touched: int, total: int, action: Action, safe: bool) -> None:
    if safe:
        check_safe(plan(touched, total, action))
    else:
        with pytest.raises(UnsafePlan) as caught:
            check_safe(plan(touched, total, action))
        assert "30%" in str(caught.value)
        check_safe(plan(touched, total, action), force=True)
        check_safe(plan(touched, total, action), SafetyLimit(max_share=0.5))


def test_an_approval_binds_changes_order_and_both_hashes() -> None:
    first = plan(2, 10)
    others = (
        plan(3, 10),
        msgspec.structs.replace(first, changes=first.changes[::-1]),
        msgspec.structs.replace(first, observed_hash="p"),
    )
    assert first.hash == plan(2, 10).hash
    assert len({first.hash, *(p.hash for p in others)}) == 4


@pytest.mark.parametrize("changed", ["declared", "observed"])
def test_a_plan_of_yesterday_is_refused(changed: str) -> None:
    check_current(plan(1, 10), declared_hash="d", observed_hash="o")
    now = {"declared_hash": "d", "observed_hash": "o"} | {f"{changed}_hash": "x"}
    with pytest.raises(Conflict, match=changed):
        check_current(plan(1, 10), **now)
