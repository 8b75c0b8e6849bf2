"""Who is on call: the rotation, its handover, and overrides."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from uwu.domains.catalog import authoring
from uwu.domains.catalog.oncall import on_call
from uwu.kernel.model import Entity, Place

START = datetime(2026, 1, 5, 9, tzinfo=UTC)


def team(**on: Any) -> Entity:
    spec = {"onCall": {"rotation": ["ana", "bo", "user:shop/cy"], "start": START.isoformat(), **on}} if on else {}
    return Entity(kind="Group", name="payments", api_version="x", spec=spec, place=Place("a.yaml", 1))


@pytest.mark.parametrize(
    ("hours", "user", "until"),
    [
        (-1, "", 0),
        (0, "user:default/ana", 24),
        (23.99, "user:default/ana", 24),
        (24, "user:default/bo", 48),
        (50, "user:shop/cy", 72),
        (72, "user:default/ana", 96),
    ],
)
def test_it_goes_round_and_hands_over_on_time(hours: float, user: str, until: float) -> None:
    duty = on_call(team(days=1), START + timedelta(hours=hours))
    assert duty is not None
    assert (duty.user, duty.until) == (user, START + timedelta(hours=until))


def test_an_override_takes_it_for_its_time_and_hands_it_back() -> None:
    swap = {"user": "bo", "from": "2026-01-05T15:00:00+01:00", "until": "2026-01-05T20:00:00Z", "reason": "dentist"}
    group = team(days=1, overrides=[swap])
    before, within, after = (on_call(group, START + timedelta(hours=hours)) for hours in (1, 6, 12))
    assert before is not None and within is not None and after is not None
    assert (before.user, before.until.hour, before.next) == ("user:default/ana", 14, "user:default/bo")
    assert (within.user, within.override, within.reason, within.next) == (
        "user:default/bo",
        True,
        "dentist",
        "user:default/ana",
    )
    assert (after.user, after.override) == ("user:default/ana", False)
    assert on_call(team(), START) is None


@pytest.mark.parametrize(
    ("on", "said"),
    [
        ("{rotation: [ana], start: '2026-01-05T09:00:00'}", "no time with a zone"),
        ("{rotation: [], start: '2026-01-05T09:00:00Z'}", "rotation"),
        ("{rotation: [ana], start: '2026-01-05T09:00:00Z', overrides: [{user: a, from: '2026-01-05T09:00:00Z',"
         " until: '2026-01-05T09:00:00Z'}]}", "not after from"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, on: str, said: str) -> None:
    head = "apiVersion: backstage.io/v1alpha1\nkind: Group\nmetadata: {name: p}\n"
    (tmp_path / "a.yaml").write_text(f"{head}spec:\n  type: team\n  children: []\n  onCall: {on}\n")
    problems = authoring.load(tmp_path).problems
    assert any(said in p.message and p.place.endswith(":7") for p in problems)
