"""Entity tags and compression: what has not changed is not sent again, what is large goes out small."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import Any

import pytest

from tests.app.front import ask, serving, through
from uwu.app import etags
from uwu.app.layers import App, Receive, Scope, Send
from uwu.kernel.runtime import Kernel

LARGE = json.dumps([{"name": f"resource-{i}"} for i in range(5000)]).encode()


def giving(body: bytes, kind: str = "application/json", status: int = 200, **headers: str) -> App:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        given = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
        given += [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": given})
        await send({"type": "http.response.body", "body": body})

    return etags.layer(app)


def test_an_answer_that_has_not_changed_is_not_sent_again() -> None:
    first = through(giving(b'{"a":1}'))
    assert first.headers["etag"].startswith('W/"')
    assert first.headers["cache-control"] == "private, no-cache", "a proxy keeps nothing of what one may see"
    for known in (first.headers["etag"], "*", f'"other", {first.headers["etag"]}', first.headers["etag"][2:]):
        again = through(giving(b'{"a":1}'), headers={"If-None-Match": known})
        assert (again.status, again.body) == (304, b""), known
        assert again.headers["etag"] == first.headers["etag"]
        assert "content-length" not in again.headers
    changed = through(giving(b'{"a":2}'), headers={"If-None-Match": first.headers["etag"]})
    assert (changed.status, changed.body) == (200, b'{"a":2}')


@pytest.mark.parametrize(
    ("given", "method"),
    [
        ({"status": 404}, "GET"),
        ({"kind": "text/css"}, "GET"),
        ({"cache_control": "no-store"}, "GET"),
        ({"set_cookie": "a=b"}, "GET"),
        ({}, "POST"),
    ],
)
def test_what_gets_no_tag(given: dict[str, Any], method: str) -> None:
    answer = through(giving(b"{}", **given), method, headers={"If-None-Match": "*"})
    assert answer.status == given.get("status", 200)
    assert "etag" not in answer.headers
    assert answer.body == b"{}"


def test_large_answers_go_out_small_to_who_accepts_it() -> None:
    plain = through(giving(LARGE))
    packed = through(giving(LARGE), headers={"Accept-Encoding": "br, gzip;q=0.8"})
    assert plain.body == LARGE
    assert gzip.decompress(packed.body) == LARGE
    assert len(packed.body) < len(LARGE) / 5
    assert packed.headers["content-length"] == str(len(packed.body))
    assert packed.headers["content-encoding"] == "gzip"
    assert plain.headers["vary"] == packed.headers["vary"] == "accept-encoding"
    assert plain.headers["etag"] == packed.headers["etag"], "a weak tag: both say the same"
    for refused in ("gzip;q=0", "identity", "br"):
        assert "content-encoding" not in through(giving(LARGE), headers={"Accept-Encoding": refused}).headers


def test_what_is_small_or_packed_already_stays_as_it_is() -> None:
    assert "content-encoding" not in through(giving(b"{}"), headers={"Accept-Encoding": "gzip"}).headers
    answer = through(giving(LARGE, content_encoding="br"), headers={"Accept-Encoding": "gzip"})
    assert (answer.headers["content-encoding"], answer.body) == ("br", LARGE)


def test_a_stream_passes_as_it_comes() -> None:
    events: list[str] = []

    async def stream(scope: Scope, receive: Receive, send: Send) -> None:
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/x-ndjson")]}
        )
        events.append("began")
        await send({"type": "http.response.body", "body": b"{}\n", "more_body": True})
        events.append("more")
        await send({"type": "http.response.body", "body": b""})

    async def send(message: Any) -> None:
        events.append(message["type"].rpartition(".")[2])

    async def run() -> None:
        await etags.layer(stream)({"type": "http", "method": "GET", "headers": []}, send, send)  # type: ignore[arg-type]

    asyncio.run(run())
    assert events == ["start", "began", "body", "more", "body"], "nothing is held back"


def test_over_http_pages_and_answers_are_tagged(sqlite_kernel: Kernel) -> None:
    with serving(sqlite_kernel) as url:
        for path in ("/api/v1/status", "/api/v1/resources", "/api/v1/schema/openapi.json"):
            first = ask(url, "GET", path)
            assert first.status == 200
            again = ask(url, "GET", path, If_None_Match=first.headers["etag"])
            assert (again.status, again.body) == (304, b""), path
            head = ask(url, "HEAD", path)
            assert (head.status, head.body, head.headers["etag"]) == (200, b"", first.headers["etag"])
        document = ask(url, "GET", "/api/v1/schema/openapi.json", Accept_Encoding="gzip")
        assert json.loads(gzip.decompress(document.body))["openapi"] == "3.1.0"
