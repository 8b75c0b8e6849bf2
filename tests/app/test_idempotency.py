"""Idempotency keys: what is asked twice is done once, whoever dies in between."""

from __future__ import annotations

import asyncio
import uuid
from datetime import timedelta

import pytest
import sqlalchemy as sa

from tests.app.front import Answer, ask, passed, post, serving, through
from uwu.app import idempotency
from uwu.app.layers import App, Receive, Scope, Send
from uwu.kernel import codec, tables
from uwu.kernel.db import Database
from uwu.kernel.errors import Conflict
from uwu.kernel.identity import Principal
from uwu.kernel.runtime import Kernel

MIRA = Principal(ref="user:default/mira.k", name="Mira", kind="human", via="session")
TEO = Principal(ref="user:default/teo.r", name="Teo", kind="human", via="token")
PATH = "/api/v1/things"


class Things:
    """An application that makes a thing at each write."""

    def __init__(self, *, status: int = 201, headers: tuple[tuple[bytes, bytes], ...] = (), size: int = 0) -> None:
        self.made = 0
        self.status, self.headers, self.size = status, headers, size
        self.bodies: list[bytes] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.begun = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.begun.set()
        self.bodies.append((await receive())["body"])
        await self.gate.wait()
        self.made += 1
        headers = [(b"content-type", b"application/json"), *self.headers]
        body = b'{"thing":%d}' % self.made + b" " * self.size
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": body[:5], "more_body": True})
        await send({"type": "http.response.body", "body": body[5:]})


def once(things: App, db: Database) -> App:
    return idempotency.layer(things, db, 1000)


def write(
    app: App, body: bytes = b"{}", key: str = "key-00000001", principal: Principal = MIRA, path: str = PATH
) -> Answer:
    return through(app, "POST", path, body, principal=principal, headers={"Idempotency-Key": key})


def test_the_same_request_is_done_once_and_answered_again(db: Database) -> None:
    things = Things()
    app = once(things, db)
    first, again = write(app), write(app)
    assert (first.status, first.body) == (again.status, again.body) == (201, b'{"thing":1}')
    assert again.headers["content-type"] == "application/json"
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    assert things.made == 1
    assert things.bodies == [b"{}"], "the application reads the body as it was sent"
    assert write(app, key='"key-00000001"').body == first.body, "quoted, as the draft writes it, it is the same key"


def test_another_request_under_the_same_key_is_refused(db: Database) -> None:
    app = once(Things(), db)
    write(app)
    refused = write(app, b'{"other": 1}')
    assert (refused.status, refused.json["code"]) == (422, "idempotency-key-reused")


def test_a_key_belongs_to_who_asks_and_to_what_is_asked(db: Database) -> None:
    things = Things()
    app = once(things, db)
    answers = [write(app), write(app, principal=TEO), write(app, path=PATH + "?a=1"), write(app, path=PATH + "/x")]
    answers.append(through(app, "PUT", PATH, b"{}", principal=MIRA, headers={"Idempotency-Key": "key-00000001"}))
    assert [a.body for a in answers] == [b'{"thing":%d}' % n for n in range(1, 6)]


def test_while_the_first_is_at_work_the_second_is_told_so(db: Database) -> None:
    async def run() -> tuple[Answer, Answer, Answer, int]:
        things = Things()
        things.gate.clear()
        app = once(things, db)
        given = {"principal": MIRA, "headers": {"Idempotency-Key": "key-00000001"}}
        first = asyncio.create_task(passed(app, "POST", PATH, b"{}", **given))
        await things.begun.wait()
        second = await passed(app, "POST", PATH, b"{}", **given)
        other = await passed(app, "POST", PATH, b"{1}", **given)
        things.gate.set()
        assert (await first).status == 201
        return second, other, await passed(app, "POST", PATH, b"{}", **given), things.made

    second, other, third, made = asyncio.run(run())
    assert (second.status, second.json["code"]) == (409, "idempotency-at-work")
    assert other.status == 422
    assert (third.status, made) == (201, 1)


def test_of_many_at_once_one_is_done(db: Database) -> None:
    async def run() -> tuple[list[int], int]:
        things = Things()
        app = once(things, db)
        given = {"principal": MIRA, "headers": {"Idempotency-Key": "key-00000001"}}
        answers = await asyncio.gather(*(passed(app, "POST", PATH, b"{}", **given) for _ in range(12)))
        return [a.status for a in answers], things.made

    statuses, made = asyncio.run(run())
    assert made == 1
    assert set(statuses) <= {201, 409}


def test_what_failed_may_be_tried_again_with_its_key(db: Database) -> None:
    things = Things(status=503)
    app = once(things, db)
    assert write(app).status == 503
    things.status = 201
    assert (write(app).status, things.made) == (201, 2)


def test_what_broke_lets_its_key_go(db: Database) -> None:
    broken = True

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if broken:
            raise RuntimeError("it broke")
        await Things()(scope, receive, send)

    with pytest.raises(RuntimeError):
        write(once(app, db))
    broken = False
    assert write(once(app, db)).status == 201


@pytest.mark.parametrize(
    "given",
    [
        {"headers": ((b"cache-control", b"no-store"),)},
        {"headers": ((b"set-cookie", b"s=hunter2"),)},
        {"size": idempotency.MAX_ANSWER_BYTES},
    ],
)
def test_a_secret_is_never_stored(db: Database, given: dict[str, tuple[tuple[bytes, bytes], ...]]) -> None:
    things = Things(**given)  # type: ignore[arg-type]
    app = once(things, db)
    assert write(app).status == 201
    with db.read() as connection:
        row = connection.execute(sa.select(tables.idempotency)).one()
    assert (row.status, row.answer) == (201, None)
    again = write(app)
    assert (again.status, again.json["code"], things.made) == (409, "idempotency-answer-gone", 1)
    assert "revoke" in again.json["hint"]


def test_a_key_lives_for_a_day_and_one_of_a_dead_process_for_minutes(db: Database) -> None:
    things = Things()
    app = once(things, db)
    write(app)

    def aged(by: timedelta, **values: int) -> None:
        with db.write() as connection:
            connection.execute(tables.idempotency.update().values(created_at=codec.now() - by, **values))

    aged(timedelta(hours=23))
    assert write(app).body == b'{"thing":1}'
    aged(timedelta(hours=25))
    assert write(app).body == b'{"thing":2}'
    aged(idempotency.AT_WORK - timedelta(minutes=1), status=idempotency.WAITING)
    assert write(app).status == 409
    aged(idempotency.AT_WORK + timedelta(minutes=1))
    assert write(app).body == b'{"thing":3}'


def test_the_late_end_of_a_lost_request_changes_nothing(db: Database) -> None:
    assert idempotency.begin(db, "k", "r") is None
    idempotency.end(db, "k", idempotency.Kept(200, "application/json", b"1"))
    idempotency.end(db, "k", None)
    assert idempotency.begin(db, "k", "r") == idempotency.Kept(200, "application/json", b"1")
    assert idempotency.begin(db, "other", "r") is None
    with pytest.raises(Conflict):
        idempotency.begin(db, "other", "r")


@pytest.mark.parametrize("key", ["short", "x" * 256, "with space in it", '"unclosed-key', "ümlaut-key-1"])
def test_what_is_no_key_is_refused(db: Database, key: str) -> None:
    things = Things()
    scope_headers = {"Idempotency-Key": key}
    answer = through(once(things, db), "POST", PATH, b"{}", headers=scope_headers)
    assert (answer.status, answer.json["code"], things.made) == (400, "idempotency-key-invalid", 0)


def test_a_body_that_is_too_large_is_refused_unread(db: Database) -> None:
    things = Things()
    answer = write(once(things, db), b"x" * 1001)
    assert (answer.status, answer.json["code"], things.made) == (413, "request-too-large", 0)


def test_reads_and_pages_pass(db: Database) -> None:
    things = Things()
    app = once(things, db)
    for method, path in (("GET", PATH), ("POST", "/theme")):
        for _ in range(2):
            through(app, method, path, b"", headers={"Idempotency-Key": "key-00000001"})
    assert things.made == 4


def test_over_http_a_job_is_asked_for_once(sqlite_kernel: Kernel) -> None:
    with serving(sqlite_kernel) as url:
        key = str(uuid.uuid4())
        job = {"name": "sync"}
        first = post(url, "/api/v1/jobs", job, Idempotency_Key=key)
        assert first.status == 202
        id = first.json["id"]
        assert ask(url, "POST", f"/api/v1/jobs/{id}/cancel").status == 200
        again = post(url, "/api/v1/jobs", job, Idempotency_Key=key)
        assert (again.status, again.json) == (202, first.json)
        fresh = post(url, "/api/v1/jobs", job, Idempotency_Key=str(uuid.uuid4()))
        assert fresh.json["id"] != id, "the first one has ended: without the key it would be asked for anew"
        assert post(url, "/api/v1/jobs", {"name": "x"}, Idempotency_Key=key).status == 422


def test_over_http_the_secret_of_a_token_is_shown_once_and_stored_nowhere(sqlite_kernel: Kernel) -> None:
    with serving(sqlite_kernel) as url:
        key = str(uuid.uuid4())
        made = post(url, "/api/v1/access/bootstrap", {}, Idempotency_Key=key)
        assert made.status < 300
        again = post(url, "/api/v1/access/bootstrap", {}, Idempotency_Key=key)
        assert (again.status, again.json["code"]) == (409, "idempotency-answer-gone")
    home = sqlite_kernel.settings.home_path
    secret = made.json["secret"].encode()
    assert len(secret) > 20
    assert [path.name for path in home.rglob("*") if path.is_file() and secret in path.read_bytes()] == []
