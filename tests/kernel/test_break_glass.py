"""Break-glass: who may, for how long, what it grants, and that everyone learns of it."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from tests.app.asking import ADMIN, NOBODY, person
from uwu.kernel import audit, authorize, break_glass, codec, tables
from uwu.kernel.authorize import NotAllowed, Target
from uwu.kernel.break_glass import Glass
from uwu.kernel.errors import BadInput, Conflict, NotFound
from uwu.kernel.identity import Principal
from uwu.kernel.runtime import Kernel

MIRA = person("mira", roles=())
REASON = "the ledger is down, I restart its database"


def taken(kernel: Kernel, who: Principal = MIRA, minutes: int = 30) -> Glass:
    return break_glass.open(kernel, who, reason=REASON, minutes=minutes)


def held(kernel: Kernel, who: Principal = MIRA) -> str:
    with kernel.db.read() as connection:
        return break_glass.held_by(connection, who.ref)


def test_it_is_held_audited_and_told(kernel: Kernel) -> None:
    glass = taken(kernel)
    assert held(kernel) == glass.id
    assert glass.expires_at - glass.created_at == timedelta(minutes=30)
    with kernel.db.read() as connection:
        assert break_glass.active(connection) == [glass] == break_glass.entries(connection)
        entry = audit.entries(connection, limit=1)[0]
        notice = connection.execute(sa.select(tables.notices)).one()
    assert (entry.actor, entry.action, entry.subject) == (MIRA.ref, "break-glass.open", glass.id)
    assert entry.detail["reason"] == REASON
    assert (notice.kind, notice.severity) == ("break-glass.opened", "critical")
    assert REASON in notice.title


@pytest.mark.parametrize("reason", ["", "fix it", "         spaces         ", "x" * 501])
def test_a_reason_says_something(kernel: Kernel, reason: str) -> None:
    with pytest.raises(BadInput) as caught:
        break_glass.open(kernel, MIRA, reason=reason, minutes=5)
    assert caught.value.problem.code == "break-glass-reason"
    assert held(kernel) == ""


@pytest.mark.parametrize("minutes", [0, -1, 61, 10**6])
def test_its_time_is_boxed(kernel: Kernel, minutes: int) -> None:
    with pytest.raises(BadInput) as caught:
        taken(kernel, minutes=minutes)
    assert caught.value.problem.code == "break-glass-minutes"
    with kernel.db.read() as connection:
        assert break_glass.entries(connection) == []
        assert audit.entries(connection) == []


def test_one_at_a_time_and_a_second_leaves_no_trace(kernel: Kernel) -> None:
    taken(kernel)
    with pytest.raises(Conflict):
        taken(kernel)
    with kernel.db.read() as connection:
        assert len(break_glass.entries(connection)) == 1
        assert len(audit.entries(connection)) == 1


def test_services_and_nobody_may_not(kernel: Kernel) -> None:
    service = Principal(ref="service:default/bot", name="bot", kind="service", roles=("admin",), via="token")
    limited = person("mira", scopes=("read",))
    for who in (service, NOBODY, limited):
        with pytest.raises(NotAllowed):
            taken(kernel, who)


def test_it_ends_by_itself(kernel: Kernel) -> None:
    glass = taken(kernel)
    b = tables.break_glass
    with kernel.db.write() as connection:
        past = codec.now() - timedelta(seconds=1)
        connection.execute(b.update().values(created_at=past - timedelta(minutes=30), expires_at=past))
    assert held(kernel) == ""
    with pytest.raises(Conflict):
        break_glass.end(kernel, MIRA, glass.id)
    assert taken(kernel).id != glass.id  # and can be taken anew


def test_its_holder_and_an_admin_end_it_and_nobody_else(kernel: Kernel) -> None:
    glass = taken(kernel)
    with pytest.raises(NotAllowed):
        break_glass.end(kernel, person("teo", roles=("operator",)), glass.id)
    assert held(kernel) == glass.id
    ended = break_glass.end(kernel, ADMIN, glass.id)
    assert ended.ended_by == ADMIN.ref
    assert held(kernel) == ""
    assert break_glass.end(kernel, ADMIN, glass.id) == ended
    again = taken(kernel)
    assert break_glass.end(kernel, MIRA, again.id).ended_by == MIRA.ref
    with kernel.db.read() as connection:
        done = [entry.action for entry in audit.entries(connection)]
        assert done == ["break-glass.end", "break-glass.open", "break-glass.end", "break-glass.open"]
        assert audit.verify(connection).first_bad is None
    with pytest.raises(NotFound):
        break_glass.end(kernel, ADMIN, "bg_none")


def test_it_grants_what_an_admin_has_and_not_ones_own_plan(kernel: Kernel) -> None:
    glass = taken(kernel)
    holder = person("mira", roles=(), break_glass=glass.id)
    assert not authorize.decide(kernel, MIRA, "plans.force").allowed
    assert authorize.decide(kernel, holder, "plans.force").policies == ("break-glass-does-all",)
    own = Target("Plan", "p", attributes={"requesters": [holder.ref]})
    assert authorize.decide(kernel, holder, "plans.approve", own).policies == ("requester-is-not-approver",)
