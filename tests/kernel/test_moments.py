from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from uwu.kernel import moments
from uwu.kernel.errors import BadInput

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("now", NOW),
        ("30m", NOW - timedelta(minutes=30)),
        ("3h", NOW - timedelta(hours=3)),
        ("2 d ago", NOW - timedelta(days=2)),
        ("1w", NOW - timedelta(weeks=1)),
        ("2026-11-19", datetime(2026, 11, 19, tzinfo=UTC)),
        ("2026-11-20T10:00:00+05:00", datetime(2026, 11, 20, 5, tzinfo=UTC)),
        ("2026-11-20T10:00:00 05:00", datetime(2026, 11, 20, 5, tzinfo=UTC)),
        ("2026-11-20T11:59:59.5Z", NOW - timedelta(seconds=0.5)),
        ("1700000000", datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)),
        ("2026-11-20T12:00:30Z", NOW + timedelta(seconds=30)),
    ],
)
def test_a_time_is_read_as_people_write_it(text: str, at: datetime) -> None:
    assert moments.parse(text, now=NOW) == at


@pytest.mark.parametrize(
    "text", ["", "yesterday", "3", "3y", "-3h", "2026-13-01", "2026-11-20T10:00:00", "999999999w", "20 Nov"]
)
def test_what_is_no_time_is_refused_with_what_is(text: str) -> None:
    with pytest.raises(BadInput) as caught:
        moments.parse(text, now=NOW, place="from")
    assert (caught.value.problem.code, caught.value.problem.place) == ("time", "from")
    assert "3h" in caught.value.problem.hint


@pytest.mark.parametrize("text", ["2026-11-21", "2026-11-20T12:05:00Z"])
def test_what_is_yet_to_come_is_refused(text: str) -> None:
    with pytest.raises(BadInput) as caught:
        moments.parse(text, now=NOW)
    assert caught.value.problem.code == "time-future"
