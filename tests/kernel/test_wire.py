"""A wire by itself: what is decided before anything runs, what is bounded, how refusals are told."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from uwu.kernel import codec
from uwu.kernel.authorize import Target
from uwu.kernel.errors import Conflict, NotFound
from uwu.kernel.identity import ANONYMOUS, Principal
from uwu.kernel.runtime import Kernel
from uwu.kernel.wire import LARGE_BYTES, PRINCIPAL, Asked, Reply, Route, Wire

ADMIN = Principal(ref="user:default/ada", name="Ada", kind="human", roles=("admin",), via="token")
VIEWER = Principal(ref="user:default/teo", name="Teo", kind="human", roles=("viewer",), via="token")
ran: list[str] = []


def echo(asked: Asked) -> Reply:
    ran.append(asked.params.get("name", ""))
    return Reply(200, codec.encode([asked.params, dict(asked.query), asked.body.decode()]))


def broken(_asked: Asked) -> Reply:
    raise Conflict("it has moved on", code="moved", place="here", hint="ask again")


def pieces(_asked: Asked) -> Reply:
    def given() -> Iterator[bytes]:
        yield b"one "
        yield b"two"

    return Reply(200, given(), "text/plain")


def lost(_asked: Asked) -> Reply:
    def given() -> Iterator[bytes]:
        raise NotFound("it is gone")
        yield b""

    return Reply(200, given())


def body_names(asked: Asked) -> Target:
    return Target("Entity", "x", asked.json()["owner"])


ROUTES = (
    Route(("GET", "POST"), "/things/{name}", echo, "plans.apply", None, 100),
    Route(("GET",), "/open", echo, "health.read"),
    Route(("GET",), "/broken", broken, "health.read"),
    Route(("GET",), "/pieces", pieces, "health.read"),
    Route(("GET",), "/lost", lost, "health.read"),
    Route(("POST",), "/late", echo, "plans.apply", body_names, 100, late=True),
)


class Said:
    def __init__(self, messages: list[Any]) -> None:
        self.status = messages[0]["status"]
        self.headers = {name.decode(): value.decode() for name, value in messages[0]["headers"]}
        self.body = b"".join(each.get("body", b"") for each in messages[1:])
        self.json: Any = codec.decode(self.body) if self.body[:1] in (b"{", b"[") else None


def ask(
    kernel: Kernel, method: str, path: str, body: bytes = b"", principal: Principal = ADMIN, **headers: str
) -> Said:
    """One request below the prefix ``/wire``."""
    sent: list[Any] = []
    path, _, query = path.partition("?")

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    given = {"content-length": str(len(body)), **{name.replace("_", "-"): value for name, value in headers.items()}}
    scope: dict[str, Any] = {
        "type": "http",
        "method": method,
        "path": f"/wire{path}",
        "raw_path": f"/wire{path}".encode(),
        "root_path": "/wire",
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
        PRINCIPAL: principal,
    }
    asyncio.run(Wire(kernel, ROUTES)(scope, receive, send))
    return Said(sent)


def test_places_queries_and_bodies_arrive(sqlite_kernel: Kernel) -> None:
    said = ask(sqlite_kernel, "POST", "/things/a%2Fb?x=1&x=2", b"hello")
    assert said.json == [{"name": "a/b"}, {"x": "2"}, "hello"]
    assert said.headers["cache-control"] == "no-store"


def test_nothing_runs_before_it_is_decided(sqlite_kernel: Kernel) -> None:
    ran.clear()
    for principal, status in ((VIEWER, 403), (ANONYMOUS, 401)):
        said = ask(sqlite_kernel, "POST", "/things/x", b"y", principal)
        assert said.status == status and said.json["code"] in {"not-allowed", "sign-in-needed"}
    assert ask(sqlite_kernel, "POST", "/late", b'{"owner": "group:default/x"}', VIEWER).status == 403
    assert ran == []
    mine = Principal(ref="user:default/mi", name="Mi", kind="human", groups=("group:default/x",), via="token")
    assert ask(sqlite_kernel, "POST", "/late", b'{"owner": "group:default/x"}', mine).status == 200


def test_what_is_not_there_too_long_or_refused_is_told(sqlite_kernel: Kernel) -> None:
    assert ask(sqlite_kernel, "GET", "/nothing").status == 404
    wrong = ask(sqlite_kernel, "PUT", "/open")
    assert (wrong.status, wrong.json["hint"]) == (405, "it takes GET")
    assert ask(sqlite_kernel, "POST", "/things/x", b"x" * 101).status == 413
    assert (
        ask(sqlite_kernel, "POST", "/things/x", b"x" * 101, transfer_encoding="chunked", content_length="").status
        == 413
    )
    said = ask(sqlite_kernel, "GET", "/broken")
    assert (said.status, said.json["code"], said.json["place"], said.json["hint"]) == (
        409,
        "moved",
        "here",
        "ask again",
    )


def test_a_stream_is_sent_in_pieces_and_one_that_fails_at_once_is_an_error(sqlite_kernel: Kernel) -> None:
    assert ask(sqlite_kernel, "GET", "/pieces").body == b"one two"
    assert ask(sqlite_kernel, "GET", "/lost").status == 404


@pytest.mark.parametrize(
    "route",
    [
        Route(("GET",), "/x", echo, "no.such-action"),
        Route(("POST",), "/x", echo, "health.read", None, LARGE_BYTES + 1, late=True),
    ],
)
def test_a_route_that_could_not_be_decided_is_refused_at_the_start(sqlite_kernel: Kernel, route: Route) -> None:
    with pytest.raises(ValueError, match="/x"):
        Wire(sqlite_kernel, (route,))
