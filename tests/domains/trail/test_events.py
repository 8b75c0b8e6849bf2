"""Search: each way to ask finds what a plain look through the records finds, page by page."""

from __future__ import annotations

import gzip
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.domains.trail.test_ingest import take
from uwu.domains.trail import events
from uwu.domains.trail.events import Filter
from uwu.kernel import codec
from uwu.kernel.errors import BadInput
from uwu.kernel.runtime import Kernel


@pytest.fixture
def held(sqlite_kernel: Kernel, objects: list[Path], tmp_path: Path) -> Kernel:
    """The real events, a third of them moved by 3 and by 40 days: so a page reaches over files."""
    for number, path in enumerate(objects):
        found = codec.decode(path.read_bytes())["Records"]
        for each in found:
            at = codec.parse_time(each["eventTime"]) + timedelta(days=(0, 3, 40)[number % 3])
            each["eventTime"] = f"{at:%Y-%m-%dT%H:%M:%SZ}"
        (tmp_path / f"{path.name}.gz").write_bytes(gzip.compress(codec.encode({"Records": found})))
    take(sqlite_kernel, tmp_path)
    return sqlite_kernel


def everything(kernel: Kernel, given: Filter, limit: int = 500) -> list[events.Found]:
    found: list[events.Found] = []
    after = ""
    while True:
        page = events.search(kernel, given, limit=limit, after=after)
        found += page.items
        after = page.after
        if not after:
            return found


def test_each_way_to_ask(held: Kernel, by_id: dict[str, Any]):
    whole = everything(held, Filter())
    assert len(whole) == len({each.event_id for each in whole}) == 2900
    assert [each.at for each in whole] == sorted((each.at for each in whole), reverse=True)

    def ids(keep: Any) -> set[str]:
        return {id for id, record in by_id.items() if keep(record)}

    def texts(record: dict[str, Any]) -> str:
        parts = (record.get("requestParameters"), record.get("responseElements"))
        return "\n".join([*(codec.encode(each).decode() for each in parts if each), record.get("userAgent") or ""])

    for given, keep in (
        (Filter(name="DescribeInstances"), lambda r: r["eventName"] == "DescribeInstances"),
        (Filter(service="iam"), lambda r: r["eventSource"] == "iam.amazonaws.com"),
        (Filter(error="AccessDenied"), lambda r: r.get("errorCode") == "AccessDenied"),
        (Filter(region="us-east-1"), lambda r: r["awsRegion"] == "us-east-1"),
        (Filter(address=whole[5].address), lambda r: r["sourceIPAddress"] == whole[5].address),
        (Filter(text="TERRAFORM"), lambda r: "terraform" in texts(r).lower()),
        (Filter(text="10.0."), lambda r: "10.0." in texts(r)),
        (Filter(event_id=whole[7].event_id), lambda r: r["eventID"] == whole[7].event_id),
        (Filter(text="terraform.*"), lambda _: False),
        (Filter(text="no-such-text-anywhere"), lambda _: False),
    ):
        assert {each.event_id for each in everything(held, given, limit=97)} == ids(keep), given
    human = next(each for each in whole if each.actor_kind == "human")
    assert human.event_id in {each.event_id for each in everything(held, Filter(who=human.actor))}
    signed = next(each for each in whole if each.principal.startswith("arn:"))
    found = everything(held, Filter(who=signed.principal))
    assert {each.principal for each in found} == {signed.principal}
    write = next(each for each in whole if each.targets)
    named = everything(held, Filter(resource=write.targets[0], writes=True))
    assert write.event_id in {each.event_id for each in named}
    assert all(write.targets[0] in each.targets for each in named)


def test_days_are_counted_and_bounds_hold(held: Kernel):
    days = events.by_day(held, Filter())
    assert sum(day.events for day in days) == 2900
    assert [day.day for day in days] == sorted(day.day for day in days)
    assert (days[0].day, len(days)) == ("2023-07-10", 3)
    middle = codec.parse_time("2023-07-12T00:00:00Z")
    before, after = everything(held, Filter(until=middle)), everything(held, Filter(since=middle))
    assert len(before) + len(after) == 2900
    assert max(each.at for each in before) < middle <= min(each.at for each in after)
    assert sum(day.events for day in events.by_day(held, Filter(since=middle))) == len(after)


def test_nothing_is_held_yet(sqlite_kernel: Kernel):
    assert events.search(sqlite_kernel, Filter(who="mira")).items == []
    assert events.by_day(sqlite_kernel, Filter()) == []
    with pytest.raises(BadInput):
        events.search(sqlite_kernel, Filter(), after="what")
