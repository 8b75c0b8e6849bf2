"""Leases: one holder at a time, epochs that only rise."""

from __future__ import annotations

import threading

import pytest

from uwu.kernel import leases
from uwu.kernel.db import Database
from uwu.kernel.errors import Conflict


def test_one_holder_at_a_time(db: Database) -> None:
    mine = leases.take(db, "x", "a", 60)
    assert mine is not None
    assert leases.take(db, "x", "b", 60) is None
    assert leases.take(db, "y", "b", 60) is not None
    leases.release(db, mine)
    theirs = leases.take(db, "x", "b", 60)
    assert theirs is not None
    assert theirs.epoch > mine.epoch
    assert not leases.renew(db, mine, 60)


def test_an_expired_lease_is_taken_and_its_old_holder_knows(db: Database) -> None:
    old = leases.take(db, "x", "a", -1)
    assert old is not None
    new = leases.take(db, "x", "b", 60)
    assert new is not None
    assert new.epoch == old.epoch + 1
    assert not leases.renew(db, old, 60)
    leases.release(db, old)  # does nothing to the new holder
    assert leases.renew(db, new, 60)


def test_a_holder_that_comes_back_gets_its_lease_with_a_new_epoch(db: Database) -> None:
    first = leases.take(db, "x", "a", 60)
    again = leases.take(db, "x", "a", 60)
    assert first is not None
    assert again is not None
    assert again.epoch == first.epoch + 1
    assert not leases.renew(db, first, 60)


def test_hold_names_who_has_it(db: Database) -> None:
    leases.take(db, "x", "the-other-worker", 60)
    with pytest.raises(Conflict, match="the-other-worker") as caught, leases.hold(db, "x", "me", wait=0.05):
        pass
    assert caught.value.problem.code == "lease-held"


def test_many_takers_one_winner(db: Database) -> None:
    won: list[leases.Lease] = []
    barrier = threading.Barrier(6)

    def taker(name: str) -> None:
        barrier.wait()
        lease = leases.take(db, "x", name, 60)
        if lease is not None:
            won.append(lease)

    threads = [threading.Thread(target=taker, args=(f"w{i}",)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
