"""The queue of what events touched and the budgets, on both databases: nothing twice, nothing lost, nothing over."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest

from uwu.domains.inventory import refresh_queue
from uwu.domains.inventory.refresh_queue import Refreshed, Touch
from uwu.kernel import codec
from uwu.kernel.db import Database


def touch(urn: str, *, event: str = "CreateTags", at: datetime | None = None, due: datetime | None = None) -> Touch:
    at = at or codec.now() - timedelta(minutes=1)
    return Touch(
        urn=urn,
        account="111122223333",
        region="eu-west-1",
        type="aws_vpc",
        cell="aws/111122223333/eu-west-1/aws_vpc",
        event=event,
        event_id=codec.new_id("e"),
        event_at=at,
        related=("arn:aws:ec2:eu-west-1:111122223333:subnet/subnet-1",),
        allowance=3,
        due_at=due or at,
    )


def test_events_on_one_resource_become_one_row(db: Database) -> None:
    now, first, second = codec.now(), touch("a"), touch("a", event="DeleteVpc", at=codec.now())
    with db.write() as connection:
        refresh_queue.add(connection, [second, first, first], now)
        (one,) = refresh_queue.take(connection, codec.now(), 10)
    assert (one.events, one.event_id, one.event_at) == (("CreateTags", "DeleteVpc"), second.event_id, second.event_at)
    assert (one.allowance, one.due_at, one.noted_at) == (9, second.due_at, now)


def test_nothing_is_read_before_it_is_due(db: Database) -> None:
    soon = codec.now() + timedelta(hours=1)
    with db.write() as connection:
        refresh_queue.add(connection, [touch("a", due=soon)], codec.now())
        assert refresh_queue.take(connection, codec.now(), 10) == []
        assert refresh_queue.next_due(connection, codec.now()) == soon
        assert [one.urn for one in refresh_queue.take(connection, soon, 10)] == ["a"]
        assert refresh_queue.next_due(connection, codec.now()) is None


def test_many_workers_take_each_once(db: Database) -> None:
    with db.write() as connection:
        refresh_queue.add(connection, [touch(f"u{number:03}") for number in range(60)], codec.now())

    def work(_: int) -> list[str]:
        taken: list[str] = []
        for _ in range(5):
            with db.write() as connection:
                taken += [one.urn for one in refresh_queue.take(connection, codec.now(), 4)]
        return taken

    with ThreadPoolExecutor(4) as pool:
        everything = [urn for taken in pool.map(work, range(4)) for urn in taken]
    assert len(everything) == len(set(everything)) == 60


def test_a_budget_is_never_passed_and_comes_back_each_minute(db: Database) -> None:
    now = codec.now().replace(second=10, microsecond=0)

    def ask(_: int) -> bool:
        with db.write() as connection:
            return refresh_queue.reserve(connection, "a", 2, 7, now)

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(ask, range(20))) == 3
    with db.write() as connection:
        assert refresh_queue.reserve(connection, "b", 2, 7, now)
        refresh_queue.give_back(connection, "a", 2, now)
        assert refresh_queue.reserve(connection, "a", 2, 7, now)
        assert not refresh_queue.reserve(connection, "a", 2, 7, now)
        assert refresh_queue.reserve(connection, "a", 50, 7, refresh_queue.next_minute(now))  # alone in its minute
        assert not refresh_queue.reserve(connection, "a", 1, 7, refresh_queue.next_minute(now))


def test_what_was_too_early_comes_again(db: Database) -> None:
    later = codec.now() + timedelta(minutes=1)
    with db.write() as connection:
        refresh_queue.add(connection, [touch("a")], codec.now())
        (one,) = refresh_queue.take(connection, codec.now(), 1)
        refresh_queue.again(connection, one, later, tried=True)
        (one,) = refresh_queue.take(connection, later, 1)
        assert one.tries == 1
        refresh_queue.add(connection, [touch("a", event="DeleteVpc")], codec.now())
        refresh_queue.again(connection, one, later + timedelta(hours=1), tried=True)
        (one,) = refresh_queue.take(connection, later, 1)  # the event that came meanwhile is not put off
        assert (one.tries, one.events) == (0, ("CreateTags", "DeleteVpc"))


@pytest.mark.parametrize("result", ["changed", "left"])
def test_the_record_is_counted_told_and_forgotten(db: Database, result: str) -> None:
    now = codec.now()

    def record(at: datetime) -> Refreshed:
        place: dict[str, Any] = {"account": "1", "region": "r", "type": "aws_vpc"}
        return Refreshed(id=codec.new_id("refresh"), at=at, urn="a", result=result, calls=("DescribeVpcs",), **place)

    old, new = record(now - refresh_queue.KEPT - timedelta(hours=1)), record(now)
    with db.write() as connection:
        refresh_queue.write(connection, [old, new])
        assert refresh_queue.results(connection, now - timedelta(days=1)) == {result: 1}
        assert refresh_queue.latest(connection, "a") == [new, old]
        assert refresh_queue.forget(connection, now) == 1
        assert refresh_queue.latest(connection) == [new]
