"""From events to findings: once, by hash, grouped, suppressed until a day, closed for a reason."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa

from tests.domains.trail.detect.conftest import ACCOUNT, Told, Trail, user
from tests.domains.trail.test_ingest import take, write
from uwu.domains.trail import tables
from uwu.domains.trail.detect import alerts, jobs, load
from uwu.kernel import codec, drift, exemptions, rulebook
from uwu.kernel import tables as kernel_tables
from uwu.kernel.errors import BadInput, Conflict, NotFound
from uwu.kernel.identity import Principal
from uwu.kernel.runtime import Kernel

NOEL = f"arn:aws:iam::{ACCOUNT}:user/noel.b"
LOCAL = Principal(ref="user:local/test", name="Test", kind="local", roles=("admin",), via="home")
RULE = "trail.key-for-another"


@pytest.fixture(autouse=True)
def lately(told: Told):
    """What happens in these tests happened an hour ago: alerts of long ago are over."""
    told.clock.set(codec.now() - timedelta(hours=1))


def stolen(told: Told, number: int = 1) -> None:
    for _ in range(number):
        told.call(user(), "iam", "CreateAccessKey", UserName="noel.b")


def findings(kernel: Kernel, status: str = "unresolved"):
    with kernel.db.read() as connection:
        return drift.findings(connection, domain="trail", status=status).items


def held(kernel: Kernel) -> list[alerts.Alert]:
    with kernel.db.read() as connection:
        return alerts.listed(connection, closed=True).items


def test_an_event_becomes_a_finding_with_its_actor_and_its_events(kernel: Kernel, told: Told, tmp_path: Path):
    trail = Trail(kernel, tmp_path / "objects")
    stolen(told)
    done = trail.land(told.records)
    assert (done["batches"], done["events"], done["alerts"], done["findings"]) == (1, 1, 1, 1)
    (finding,) = findings(kernel)
    assert (finding.rule, finding.subject, finding.actor) == (RULE, NOEL, "mira.k")
    assert finding.title == "An access key was made for another user: mira.k on noel.b"
    assert finding.cause is not None and finding.cause.name == "CreateAccessKey"
    (alert,) = held(kernel)
    assert alert.finding == finding.id
    (pin,) = alert.events
    assert finding.observed["pinned"] == [{"id": told.records[0]["eventID"], "sha256": pin.sha256}]
    assert finding.observed["rule_sha256"] == load.loaded(kernel).of(RULE).hash
    (shown,) = alerts.shown(kernel, alert)
    assert shown.intact and shown.held
    assert (shown.name, shown.actor) == ("CreateAccessKey", "mira.k")
    # a judging of everything keeps it
    drift.judge(kernel)
    assert [one.id for one in findings(kernel)] == [finding.id]


def test_a_batch_is_seen_once_and_history_never_wakes_anybody(trail: Trail, told: Told):
    stolen(told)
    trail.land(told.records)
    again = trail.land(told.records)  # delivered twice: nothing of it is new
    assert (again["events"], again["alerts"]) == (0, 0)
    assert not jobs.due(trail.kernel)
    (alert,) = held(trail.kernel)
    assert alert.count == 1


def test_what_belongs_together_is_one_alert(trail: Trail, told: Told):
    stolen(told, 3)
    trail.land(told.records)
    told.wait(minutes=10)
    stolen(told, 2)
    trail.land(told.records[3:])
    told.call(user("olga.p"), "iam", "CreateAccessKey", UserName="noel.b")
    trail.land(told.records[5:])
    found = sorted(held(trail.kernel), key=lambda one: one.actor)
    assert [(one.actor, one.count, len(one.events)) for one in found] == [("mira.k", 5, 5), ("olga.p", 1, 1)]
    assert len(findings(trail.kernel)) == 2


def test_a_threshold_is_passed_over_two_batches(trail: Trail, told: Told):
    for n in range(12):
        told.call(user(), "secretsmanager", "GetSecretValue", SecretId=f"app/{n}")
    assert trail.land(told.records[:6])["alerts"] == 0
    assert trail.land(told.records[6:10])["alerts"] == 1
    assert trail.land(told.records[10:])["alerts"] == 1
    (alert,) = held(trail.kernel)
    assert (alert.rule, alert.count, len(alert.events)) == ("trail.secrets-read-in-bulk", 12, 12)
    assert alert.subject == user().user_identity["arn"]


def test_events_that_come_late_complete_a_window(trail: Trail, told: Told):
    for n in range(10):
        told.call(user(), "secretsmanager", "GetSecretValue", SecretId=f"app/{n}")
    assert trail.land(told.records[4:])["alerts"] == 0
    assert trail.land(told.records[:4])["alerts"] == 1


def test_a_suppression_hides_it_until_its_day(trail: Trail, told: Told):
    kernel = trail.kernel
    stolen(told)
    trail.land(told.records)
    exemptions.exempt(
        kernel, LOCAL, rule=RULE, subject=NOEL, until=codec.now() + timedelta(days=3), reason="we rotate by hand"
    )
    assert findings(kernel) == []
    told.wait(minutes=5)
    stolen(told)
    trail.land(told.records[1:])
    assert findings(kernel) == []
    (hidden,) = findings(kernel, status="exempt")
    assert hidden.observed["events"] == 2


def test_closing_needs_a_reason_and_what_follows_is_another_alert(trail: Trail, told: Told):
    kernel = trail.kernel
    stolen(told)
    trail.land(told.records)
    (finding,) = findings(kernel)
    with pytest.raises(BadInput):
        alerts.close(kernel, LOCAL, finding.id, "  ")
    closed = alerts.close(kernel, LOCAL, finding.id, "mira asked noel")
    assert closed.closed_by == LOCAL.ref
    assert findings(kernel) == []
    assert [one.id for one in findings(kernel, status="closed")] == [finding.id]
    with pytest.raises(Conflict):
        alerts.close(kernel, LOCAL, finding.id, "again")
    with pytest.raises(NotFound):
        alerts.close(kernel, LOCAL, "alert_none", "x")
    with kernel.db.read() as connection:
        audited = connection.scalars(
            sa.select(kernel_tables.audit.c.action).where(kernel_tables.audit.c.action == "trail.alert.close")
        ).all()
    assert len(audited) == 1
    told.wait(minutes=5)
    stolen(told)
    trail.land(told.records[1:])
    assert len(findings(kernel)) == 1
    assert len(held(kernel)) == 2


def test_an_alert_is_over_in_time(trail: Trail, told: Told):
    kernel = trail.kernel
    stolen(told)
    trail.land(told.records)
    with kernel.db.write() as connection:
        connection.execute(tables.alerts.update().values(last_at=codec.now() - timedelta(days=31)))
    drift.judge(kernel)
    assert findings(kernel) == []


def test_an_event_that_was_changed_since_is_told(trail: Trail, told: Told):
    stolen(told)
    trail.land(told.records)
    (alert,) = held(trail.kernel)
    forged = msgspec.structs.replace(alert, events=[msgspec.structs.replace(alert.events[0], sha256="0" * 64)])
    assert not alerts.shown(trail.kernel, forged)[0].intact
    gone = msgspec.structs.replace(alert, events=[msgspec.structs.replace(alert.events[0], id="not there")])
    assert not alerts.shown(trail.kernel, gone)[0].held


def test_rules_of_a_folder_and_of_the_estate_run_beside_our_own(sqlite_kernel: Kernel, told: Told, tmp_path: Path):
    folder = sqlite_kernel.settings.home_path / "rules"
    folder.mkdir(parents=True)
    base = {"title": "Deletes", "logsource": {"product": "aws"}, "level": "low"}
    rule = {**base, "name": "deletes", "detection": {"s": {"eventName": "Delete*"}, "condition": "s"}}
    (folder / "one.yml").write_text(json.dumps(rule))
    (folder / "broken.yml").write_text("title: [")
    (folder / "two.py").write_text(
        "from uwu.domains.trail.detect.python import Rule, request\n"
        "from uwu.kernel.model import Severity\n"
        "RULES = [Rule(name='py', title='Py', description='d', severity=Severity.LOW,\n"
        "              where=\"event_name = 'CreateUser'\", match=lambda e: request(e).get('userName') == 'x')]\n"
    )
    (folder / "bad.py").write_text("1/0\n")
    settings = msgspec.structs.replace(
        sqlite_kernel.settings,
        detect=msgspec.structs.replace(sqlite_kernel.settings.detect, rules=("rules", "nowhere")),
        rules=msgspec.structs.replace(sqlite_kernel.settings.rules, disabled=("trail.key-*",)),
    )
    kernel = Kernel(settings, sqlite_kernel.domains)
    loaded = load.loaded(kernel)
    assert sorted(problem.code for problem in loaded.problems) == ["rule-folder", "rule-python", "rule-yaml"]
    assert loaded.of("deletes").source == str(folder)
    assert {"trail.deletes", "trail.py"} <= {rule.id for _, rule in rulebook.rules(kernel)}
    assert RULE not in {rule.id for rule in load.running(kernel)}
    told.call(user(), "sqs", "DeleteQueue", QueueUrl="https://sqs.eu-west-1.amazonaws.com/1/q")
    told.call(user(), "iam", "CreateUser", UserName="x")
    told.call(user(), "iam", "CreateUser", UserName="y")
    stolen(told)
    Trail(kernel, tmp_path / "objects").land(told.records)
    assert sorted(one.rule for one in findings(kernel)) == ["trail.deletes", "trail.py"]
    with pytest.raises(NotFound) as caught:
        loaded.of("delete")
    assert "deletes" in caught.value.problem.hint
    kernel.close()


def test_a_backtest_finds_what_landing_found_and_writes_nothing(trail: Trail, told: Told):
    kernel = trail.kernel
    since = told.clock.at
    stolen(told, 2)
    for n in range(10):
        told.call(user(), "secretsmanager", "GetSecretValue", SecretId=f"app/{n}")
    trail.land(told.records)
    before = held(kernel)
    until = codec.now()
    for rule, events, number in ((RULE, 2, 1), ("secrets-read-in-bulk", 10, 1), ("mfa-removed", 0, 0)):
        found = jobs.backtest(kernel, load.loaded(kernel).of(rule), since - timedelta(days=3), until)
        assert (found["matches"], found["alerts"], sum(found["days"].values())) == (events, number, events)
        assert found["events"] == 12
    assert held(kernel) == before
    with pytest.raises(BadInput):
        jobs.backtest(kernel, load.loaded(kernel).of(RULE), until, since)


def test_a_batch_whose_files_were_merged_is_told_by_its_objects(sqlite_kernel: Kernel, told: Told, tmp_path: Path):
    kernel = sqlite_kernel
    stolen(told)
    take(kernel, write(tmp_path / "1.json.gz", *told.records))
    with kernel.db.write() as connection:
        b = kernel_tables.lake_batches
        files = connection.execute(sa.select(b.c.files)).scalar_one()
        files["events"] = [{**file, "path": file["path"] + ".merged"} for file in files["events"]]
        connection.execute(b.update().values(files=files))
    assert jobs.detect(kernel, holder="test")["alerts"] == 1
