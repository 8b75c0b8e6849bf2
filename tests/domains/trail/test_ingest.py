"""Objects are taken once each; what is wrong costs only itself; who and what are looked up from the lake."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from uwu.domains.trail import ingest as ingest_
from uwu.domains.trail import sources, store, tables
from uwu.domains.trail.changes import Log
from uwu.domains.trail.ingest import Ingest, Taken
from uwu.kernel import codec
from uwu.kernel.errors import NotFound, UwuError
from uwu.kernel.lake import Batches
from uwu.kernel.model import Entity, Place
from uwu.kernel.runtime import Kernel

SG = "arn:aws:ec2:us-east-1:123837392027:security-group/sg-04cfb7a4712d75b00"


def take(kernel: Kernel, *given: Path | str) -> Taken:
    return ingest_.ingest(kernel, [str(each) for each in given], holder="test")


def count(kernel: Kernel, table: str = "events", what: str = "count(*)") -> int:
    kernel.lake.ensure(store.EVENTS)
    kernel.lake.ensure(store.EVENT_RESOURCES)
    with kernel.lake.connection() as connection:
        return connection.execute(f"select {what} from {kernel.lake.scan(table)}").fetchall()[0][0]


def write(path: Path, *records: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = codec.encode({"Records": list(records)})
    path.write_bytes(gzip.compress(data) if path.name.endswith(".gz") else data)
    return path


def test_the_real_objects_are_taken_once(kernel: Kernel, objects: list[Path]):
    seen: list[tuple[str, int, int]] = []
    taken = ingest_.ingest(kernel, [str(objects[0].parent)], holder="test", progress=lambda *told: seen.append(told))
    print(f"resource named: {taken.named_pct}% of successful writes; actor named: {taken.actor_pct}% of events")
    assert (taken.objects, taken.events, taken.duplicates, taken.rejected) == (55, 2900, 0, 0)
    assert taken.writes == 480
    assert taken.named_pct >= 95
    assert taken.actor_pct >= 99
    assert not taken.problems
    assert seen[-1][1:] == (55, 55)
    again = take(kernel, objects[0].parent)
    assert (again.objects, again.events) == (0, 0)
    assert count(kernel) == 2900
    stats = Log(kernel).stats()
    assert (stats.events, stats.writes, stats.named) == (2900, 480, taken.named)
    assert stats.actor_pct >= 99


def test_copies_under_other_names_add_nothing(sqlite_kernel: Kernel, objects: list[Path], tmp_path: Path):
    first = take(sqlite_kernel, *objects[:8])
    copies = tmp_path / "copies" / "deep"
    copies.mkdir(parents=True)
    for path in objects[:8]:
        (copies / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    again = take(sqlite_kernel, tmp_path / "copies")
    assert first.events == again.duplicates > 500
    assert (again.objects, again.events) == (8, 0)
    assert count(sqlite_kernel) == first.events
    # the same event in two objects of one batch
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    shutil.copy(objects[10], mixed / "a.json")
    (mixed / "b.json.gz").write_bytes(gzip.compress(objects[10].read_bytes()))
    both = take(sqlite_kernel, mixed)
    assert both.events == both.duplicates > 0


def test_what_is_wrong_is_named_and_the_rest_is_kept(sqlite_kernel: Kernel, objects: list[Path], tmp_path: Path):
    folder = tmp_path / "trail"
    folder.mkdir()
    good, cut, packed = objects[5], objects[8], objects[11]
    shutil.copy(good, folder / "good.json")
    (folder / "cut.json").write_bytes(cut.read_bytes()[:-3000])
    (folder / "packed.json.gz").write_bytes(gzip.compress(packed.read_bytes())[:-2000])
    (folder / "other.json").write_text('{"hello": "world"}')
    (folder / "ignored.txt").write_text("not ours")
    records = codec.decode(objects[12].read_bytes())["Records"]
    records[1] = 7
    (folder / "bad-record.json").write_bytes(codec.encode({"Records": records}))
    taken = take(sqlite_kernel, folder)
    codes = {(Path(p.place.split(" ")[0]).name, p.code) for p in taken.problems}
    assert codes == {
        ("cut.json", "object-truncated"),
        ("packed.json.gz", "gzip-truncated"),
        ("packed.json.gz", "object-truncated"),
        ("other.json", "object-shape"),
        ("bad-record.json", "record-shape"),
    }
    assert taken.rejected == 1
    whole = len(codec.decode(good.read_bytes())["Records"]) + len(records) - 1
    assert whole < taken.events < whole + sum(len(codec.decode(p.read_bytes())["Records"]) for p in (cut, packed))
    with sqlite_kernel.db.read() as connection:
        aside = store.rejects(connection)
    assert {(Path(r["object"]).name, r["index"], r["code"]) for r in aside} >= {
        ("bad-record.json", 1, "record-shape"),
        ("cut.json", store.OBJECT, "object-truncated"),
    }
    # fetched again whole, the cut objects bring only what was missing
    (folder / "cut.json").write_bytes(cut.read_bytes())
    mended = take(sqlite_kernel, folder)
    assert mended.objects == 1
    assert mended.events > 0
    assert not mended.problems
    assert count(sqlite_kernel, what="count(distinct event_id)") == count(sqlite_kernel)


def test_a_source_that_fails_costs_only_itself(sqlite_kernel: Kernel, objects: list[Path], tmp_path: Path):
    missing = tmp_path / "nothing"
    taken = take(sqlite_kernel, missing, objects[2])
    assert taken.events > 0
    assert [(p.code, p.place) for p in taken.problems] == [("source-missing", str(missing))]
    with pytest.raises(NotFound) as told:
        take(sqlite_kernel, missing)
    assert told.value.problem.code == "source-missing"
    assert told.value.problem.hint


class Killed(BaseException):
    """As if the process ended here."""


@contextmanager
def killed_at(monkeypatch: pytest.MonkeyPatch, name: str, *, after: bool) -> Iterator[None]:
    real = getattr(Batches, name)

    def dies(self: Batches, *args: Any, **more: Any) -> Any:
        if after:
            real(self, *args, **more)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Batches, name, dies)
        patch.setattr(Batches, "release", lambda *_: None)
        with pytest.raises(Killed):
            yield


@pytest.mark.parametrize(
    ("name", "after"), [("claim", True), ("write", False), ("write", True), ("commit", False), ("commit", True)]
)
def test_a_kill_neither_loses_nor_doubles(
    kernel: Kernel, objects: list[Path], monkeypatch: pytest.MonkeyPatch, name: str, after: bool
):
    some = objects[:6]
    total = sum(len(codec.decode(path.read_bytes())["Records"]) for path in some)
    take(kernel, some[0])
    with killed_at(monkeypatch, name, after=after):
        take(kernel, *some)
    take(kernel, *some)
    assert count(kernel) == count(kernel, what="count(distinct event_id)") == total
    writes = sum(
        not r["readOnly"] and not r.get("errorCode") for p in some for r in codec.decode(p.read_bytes())["Records"]
    )
    assert count(kernel, "event_resources", "count(distinct event_id)") <= writes
    assert count(kernel, "event_resources", "count(distinct (event_id, urn))") == count(kernel, "event_resources")
    assert take(kernel, *some).events == 0


def test_the_disk_is_full(sqlite_kernel: Kernel, objects: list[Path], monkeypatch: pytest.MonkeyPatch):
    from uwu.kernel.errors import StorageFull

    def full(*_: Any, **__: Any) -> Any:
        raise StorageFull("no room is left in the lake", hint="free some")

    with monkeypatch.context() as patch:
        patch.setattr(sqlite_kernel.lake, "copy", full)
        with pytest.raises(StorageFull):
            take(sqlite_kernel, objects[3])
    taken = take(sqlite_kernel, objects[3])
    assert taken.objects == 1
    assert count(sqlite_kernel) == taken.events > 0


def test_an_object_that_cannot_be_read_now_is_taken_later(
    sqlite_kernel: Kernel, objects: list[Path], monkeypatch: pytest.MonkeyPatch
):
    from uwu.kernel.errors import Unavailable

    real = sources.fetch

    def flaky(kernel: Kernel, held: sources.Object) -> bytes:
        if held.name == str(objects[1]):
            raise Unavailable("the far side does not answer", place=held.name)
        return real(kernel, held)

    with monkeypatch.context() as patch:
        patch.setattr(sources, "fetch", flaky)
        taken = take(sqlite_kernel, *objects[:3])
    assert (taken.objects, [p.place for p in taken.problems]) == (2, [str(objects[1])])
    assert take(sqlite_kernel, *objects[:3]).objects == 1


def test_only_one_ingest_at_a_time(sqlite_kernel: Kernel, objects: list[Path], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ingest_, "WAIT_SECONDS", 0.0)
    with Ingest.opened(sqlite_kernel, "first", lambda *_: None):
        with pytest.raises(UwuError) as told:
            ingest_.ingest(sqlite_kernel, [str(objects[0])], holder="second")
        assert told.value.problem.code == "lease-held"


def test_who_changed_it(kernel: Kernel, objects: list[Path]):
    take(kernel, objects[0].parent)
    log = Log(kernel)
    changes = log.changes([SG])
    assert [c.name for c in changes] == [
        "DeleteSecurityGroup",
        "RevokeSecurityGroupIngress",
        "AuthorizeSecurityGroupIngress",
        "AuthorizeSecurityGroupEgress",
        "AuthorizeSecurityGroupIngress",
        "RevokeSecurityGroupEgress",
        "CreateSecurityGroup",
    ]
    assert {c.actor.name for c in changes} == {"bert-jan"}
    assert {c.role for c in changes} == {"target"}
    first = changes[-1]
    assert (first.through, first.source, first.account) == ("Terraform", "ec2.amazonaws.com", "123837392027")
    assert first.request["vpcId"] == "vpc-0e568b18707c87afa"
    assert first.place.endswith(".json")
    assert first.at == codec.parse_time("2023-07-10T12:10:01Z")
    # bounds, and as many as are asked for
    assert [c.name for c in log.changes([SG], since=changes[2].at, until=changes[0].at)] == [
        c.name for c in changes[1:3]
    ]
    assert len(log.changes([SG], limit=2)) == 2
    assert log.changes([]) == []
    assert log.changes(["arn:aws:s3:::nobody-touched-it"]) == []
    assert log.as_of() == codec.parse_time("2023-07-10T12:37:50Z")
    recent = log.recent(since=codec.parse_time("2023-07-10T12:20:00Z"), limit=10)
    assert len(recent) == 10
    assert recent == sorted(recent, key=lambda c: c.at, reverse=True)
    # many at once give what each gives alone
    urns = sorted({c.urn for c in log.recent(since=codec.parse_time("2023-07-10T00:00:00Z"), limit=400)})
    assert len(urns) > 100
    many = log.changes(urns, limit=10_000)
    assert sorted((c.event_id, c.urn) for c in many if c.urn == SG) == sorted((c.event_id, c.urn) for c in changes)
    assert {c.urn for c in many} == set(urns)


def test_what_an_actor_did(sqlite_kernel: Kernel, objects: list[Path]):
    take(sqlite_kernel, objects[0].parent)
    log = Log(sqlite_kernel)
    machine = log.timeline("i-0dbc91f429e48eeed")
    assert {event.actor for event in machine} == {"i-0dbc91f429e48eeed"}
    assert len(machine) == 15
    refused = [event for event in log.timeline("bert-jan", limit=1000) if event.error]
    assert refused
    assert log.timeline("nobody") == []


def test_no_token_reaches_the_lake(sqlite_kernel: Kernel, objects: list[Path]):
    take(sqlite_kernel, objects[0].parent)
    with sqlite_kernel.lake.connection() as connection:
        rows = connection.execute(
            f"select response_elements from {sqlite_kernel.lake.scan('events')} where event_name = 'AssumeRole' "
            "and error_code = ''"
        ).fetchall()
    assert rows
    assert all(codec.decode(row[0])["credentials"]["sessionToken"] == "(redacted)" for row in rows if row[0])


def assumed(made: Any, key: str, at: str) -> dict[str, Any]:
    return made(
        "CreateVpc",
        eventTime=at,
        responseElements={"vpc": {"vpcId": "vpc-0a1b2c3d4e5f60718"}},
        userIdentity={
            "type": "AssumedRole",
            "principalId": "AROADEPLOY:s",
            "arn": "arn:aws:sts::111122223333:assumed-role/Deploy/s",
            "accountId": "111122223333",
            "accessKeyId": key,
            "sessionContext": {
                "sessionIssuer": {"type": "Role", "arn": "arn:aws:iam::111122223333:role/Deploy", "userName": "Deploy"},
                "attributes": {"creationDate": "2026-03-10T13:59:00Z"},
            },
        },
    )


def issued(made: Any, key: str) -> dict[str, Any]:
    return made(
        "AssumeRole",
        "sts.amazonaws.com",
        eventTime="2026-03-10T13:59:00Z",
        readOnly=True,
        requestParameters={"roleArn": "arn:aws:iam::111122223333:role/Deploy", "roleSessionName": "s"},
        responseElements={
            "credentials": {"accessKeyId": key, "sessionToken": "secret"},
            "assumedRoleUser": {"assumedRoleId": "AROADEPLOY:s"},
        },
    )


VPC = "arn:aws:ec2:eu-west-1:111122223333:vpc/vpc-0a1b2c3d4e5f60718"


def test_the_session_may_come_after_its_events(kernel: Kernel, made: Any, tmp_path: Path):
    take(kernel, write(tmp_path / "a" / "use.json.gz", assumed(made, "ASIALATE", "2026-03-10T14:05:00Z")))
    before = Log(kernel).changes([VPC])
    assert [(c.actor.kind, c.actor.confidence) for c in before] == [("unknown", "none")]
    assert Log(kernel).stats().actor_pct == 0
    late = take(kernel, write(tmp_path / "b" / "issue.json.gz", issued(made, "ASIALATE")))
    assert late.actors_named_later == 1
    after = Log(kernel).changes([VPC])
    assert [(c.actor.name, c.actor.how) for c in after] == [("mira.k", "IAM user, through 1 role")]
    assert after[0].actor.chain[0].endswith("user/mira.k")
    assert [e.name for e in Log(kernel).timeline("mira.k")] == ["CreateVpc", "AssumeRole"]
    assert Log(kernel).stats().actor_pct == 100


def test_a_session_of_an_earlier_batch_is_remembered(kernel: Kernel, made: Any, tmp_path: Path):
    take(kernel, write(tmp_path / "a.json", issued(made, "ASIAEARLY")))
    take(kernel, write(tmp_path / "b.json", assumed(made, "ASIAEARLY", "2026-03-10T14:05:00Z")))
    assert [c.actor.name for c in Log(kernel).changes([VPC])] == ["mira.k"]
    with kernel.db.read() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(tables.late)).scalar_one() == 0


def test_a_role_is_found_by_its_path_though_calls_tell_only_its_name(sqlite_kernel: Kernel, made: Any, tmp_path: Path):
    put = made("PutRolePolicy", "iam.amazonaws.com", requestParameters={"roleName": "deploy", "policyName": "p"})
    take(sqlite_kernel, write(tmp_path / "a.json", put))
    path = "arn:aws:iam::111122223333:role/team/deploy"
    assert [(c.urn, c.name) for c in Log(sqlite_kernel).changes([path])] == [(path, "PutRolePolicy")]


def test_declared_sources_are_beside_their_file():
    def trail(source: str) -> Entity:
        return Entity(
            kind="Trail",
            name="t",
            api_version="uwu.dev/v1alpha1",
            spec={"source": source},
            place=Place("/estate/a/t.yaml", 3),
        )

    found = sources.declared(
        [trail("s3://logs/AWSLogs"), trail("../trail"), trail("/var/trail"), trail("s3://logs/AWSLogs")]
    )
    assert found[0] == "s3://logs/AWSLogs"
    assert [str(Path(f).resolve()) for f in found[1:]] == ["/estate/trail", "/var/trail"]
