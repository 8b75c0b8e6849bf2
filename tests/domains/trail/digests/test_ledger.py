"""Each hour is proven, delivered or missing; what was found is kept, told and found again."""

from __future__ import annotations

import gzip
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.domains.trail.digests.chains import ACCOUNT, HOUR, REGION, START, Chained
from tests.domains.trail.digests.test_chain import home
from uwu.domains.trail.digests import ledger, rules, verify
from uwu.domains.trail.digests.chain import ABSENT, Fault
from uwu.domains.trail.digests.ledger import DELIVERED, MISSING, PROVEN, Hour
from uwu.kernel import query
from uwu.kernel.db import Database
from uwu.kernel.errors import BadInput, Unavailable
from uwu.kernel.runtime import Kernel

if TYPE_CHECKING:
    from uwu.sim.server import MotoServer

__all__ = ["home"]
HOURS = 8
FIRST = START - HOUR
NOW = START + (HOURS - 1) * HOUR + ledger.LATE + timedelta(minutes=46)
"""The last digest has come, and its hour is over for long enough."""


@pytest.fixture
def chained(aws_server: MotoServer) -> Chained:
    return Chained(aws_server.url)


def run(home: Kernel, chained: Chained, now: datetime = NOW, since: datetime | None = FIRST) -> verify.Verified:
    return verify.run(home, [chained.source], since, now=now)


def strip(home: Kernel, until: datetime = NOW) -> str:
    with home.db.read() as connection:
        (found,) = ledger.strips(connection, FIRST, until)
    assert (found.account, found.region, found.since) == (ACCOUNT, REGION, ledger.floor(FIRST))
    return found.hours


def test_hours_that_digests_cover_are_proven_and_the_young_ones_not_judged(home: Kernel, chained: Chained):
    chained.chain(0, HOURS)
    done = run(home, chained)
    assert (done.chains, done.digests, done.logs, done.faults, done.problems) == (1, HOURS, 2 * HOURS, 0, [])
    # from 23:14 to 07:14: the last hour is covered in part, so it waits for the next digest
    assert strip(home) == "PPPPPPPPM----"
    assert (done.hours, done.proven, done.missing) == (9, 8, 1)
    sooner = run(home, chained, now=NOW - timedelta(minutes=59))
    assert (sooner.hours, sooner.proven, sooner.missing) == (8, 8, 0)
    found = query.run(home, "select state, count(*), sum(objects), sum(proven) from trail_hours group by 1 order by 1")
    assert found.rows[-1][:2] == [PROVEN, 8]


def test_absent_altered_and_unlisted_files_make_hours_missing_and_are_told(home: Kernel, chained: Chained):
    chained.chain(0, HOURS)
    for n in (4, 5):
        chained.delete(chained.key(n))
    altered = chained.logs[3].key  # of the second digest
    original = chained.s3.get_object(Bucket=chained.bucket, Key=altered)["Body"].read()
    chained.change(altered, lambda _: gzip.compress(b'{"Records":[]}'))
    now = NOW - timedelta(minutes=59)
    done = run(home, chained, now)
    assert (done.faults, done.tampering) == (3, 1)
    assert strip(home, now).rstrip("-") == "PMMPMMMP"  # 00:14 to 01:14 and 03:14 to 05:14 touch five hours
    with home.db.read() as connection:
        told = ledger.faults(connection)
        assert [f.key for f in ledger.faults(connection, tampering=True).items] == [altered]
        page = ledger.faults(connection, limit=2)
        rest = ledger.faults(connection, limit=2, after=page.after)
        tampered, gaps = (list(rule.check(home, connection)) for rule in rules.RULES if rule.check is not None)
    assert [f.key for f in told.items] == [chained.key(5), chained.key(4), altered]
    assert [*page.items, *rest.items] == told.items
    assert (page.after != "", rest.after) == (True, "")
    assert [(g.subject, g.path, g.observed["files"]) for g in gaps] == [(f"arn:aws:iam::{ACCOUNT}:root", REGION, 2)]
    assert [t.observed["named"][0]["object"] for t in tampered] == [f"s3://{chained.bucket}/{altered}"]
    chained.change(altered, lambda _: original)
    assert run(home, chained, now + timedelta(seconds=1)).tampering == 0
    with home.db.read() as connection:
        assert [f.key for f in ledger.faults(connection).items] == [chained.key(5), chained.key(4)]


def test_a_log_file_that_no_digest_names_is_told(home: Kernel, chained: Chained):
    chained.chain(0, HOURS)
    forged = chained.log(START + 3 * HOUR + timedelta(minutes=20))
    done = run(home, chained, NOW - timedelta(minutes=59))
    assert (done.faults, done.tampering) == (1, 1)
    with home.db.read() as connection:
        (fault,) = ledger.faults(connection).items
    assert (fault.code, fault.key) == (ledger.UNLISTED, forged.key)


def test_without_digests_what_lies_there_is_delivered_and_the_rest_missing(home: Kernel, chained: Chained):
    chained.log(START)
    chained.log(START + 2 * HOUR)
    done = run(home, chained, START + 2 * HOUR + ledger.LATE + HOUR)
    assert (done.hours, done.delivered, done.missing, done.digests) == (3, 2, 1, 0)
    with home.db.read() as connection:
        found = ledger.completeness(connection, ACCOUNT, START, START + 3 * HOUR)
        other = ledger.completeness(connection, "999988887777", START, START + 3 * HOUR)
    assert (found.hours, found.proven, found.delivered, found.missing, found.proven_pct) == (4, 0, 2, 1, 0.0)
    assert other.missing == 0
    assert (other.hours, other.proven, other.proven_pct) == (4, 0, 0.0)


def test_a_later_run_looks_at_what_is_new_and_sees_a_trail_that_fell_silent(home: Kernel, chained: Chained):
    before = chained.chain(0, HOURS)
    run(home, chained, NOW - timedelta(minutes=59))
    chained.chain(HOURS, 4, previous=before)
    later = NOW + 3 * HOUR
    done = run(home, chained, later, since=None)
    assert 4 <= done.digests < HOURS + 4
    assert done.missing <= 1
    silent = run(home, chained, later + 6 * HOUR, since=None)
    assert silent.missing >= 5
    assert strip(home, later + 6 * HOUR).rstrip("-").endswith("MMMMM")


def test_a_source_that_does_not_answer_changes_nothing(home: Kernel, chained: Chained, monkeypatch: pytest.MonkeyPatch):
    chained.chain(0, HOURS)
    run(home, chained, NOW - timedelta(minutes=59))
    before = strip(home)

    def away(*_args: Any, **_kwargs: Any) -> Any:
        raise Unavailable("S3 does not answer")

    monkeypatch.setattr("uwu.domains.trail.digests.sources.S3Store.get", away)
    done = run(home, chained, NOW - timedelta(minutes=59))
    assert [problem.message for problem in done.problems] == ["S3 does not answer"]
    assert strip(home) == before
    with pytest.raises(BadInput):
        run(home, chained, since=NOW + HOUR)


def _hour(n: int, state: str, region: str = REGION) -> Hour:
    at = ledger.floor(START) + n * HOUR
    return Hour(account=ACCOUNT, region=region, hour=at, state=state, why="", objects=1, proven=1)


def _fault(n: int) -> Fault:
    at = ledger.floor(START) + n * HOUR
    return Fault(code=ABSENT, bucket="b", key=f"k{n}", message="", since=at, until=at + HOUR)


def test_what_is_found_again_keeps_its_first_time_and_what_is_not_goes(db: Database):
    at = START + 50 * HOUR
    with db.write() as connection:
        ledger.save(connection, ACCOUNT, REGION, [_hour(0, MISSING)], [_fault(0), _fault(1), _fault(2)], START, at)
        ledger.save(connection, ACCOUNT, "us-east-1", [_hour(0, PROVEN, "us-east-1")], [], START, at)
        since = START + HOUR
        ledger.save(connection, ACCOUNT, REGION, [_hour(0, DELIVERED)], [_fault(1)], since, at + HOUR)
        kept = {fault.key: (fault.first_at, fault.seen_at) for fault in ledger.faults(connection).items}
        whole = ledger.completeness(connection, ACCOUNT, START, START + timedelta(minutes=5))
        one = ledger.completeness(connection, ACCOUNT, START, START + timedelta(minutes=5), region="us-east-1")
        strips = ledger.strips(connection, START, START + 2 * HOUR)
    assert kept == {"k0": (at, at), "k1": (at, at + HOUR)}
    assert (whole.hours, whole.proven, whole.delivered, whole.proven_pct) == (2, 1, 1, 50.0)
    assert (one.hours, one.proven, one.proven_pct) == (1, 1, 100.0)
    assert [(s.region, s.hours) for s in strips] == [(REGION, "D--"), ("us-east-1", "P--")]


def test_the_trail_that_tells_most_of_an_hour_counts():
    judged = [[_hour(0, MISSING), _hour(1, DELIVERED)], [_hour(0, PROVEN), _hour(1, MISSING), _hour(2, MISSING)]]
    assert [hour.state for hour in ledger.best(judged)] == [PROVEN, DELIVERED, MISSING]
