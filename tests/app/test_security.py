"""Attacks on the front door and the pages, one test each: what must not work does not."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import zlib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

import pytest
import sqlalchemy as sa

from tests.app.console import world
from tests.app.front import Answer, ask, exchange, serving
from uwu.app.asgi import MAX_BODY_BYTES
from uwu.kernel import jobs, tables
from uwu.kernel.db import Database
from uwu.kernel.runtime import Kernel

JSON = "application/json"
MARK = "uwu_xss"
TAG = "x-born"


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Kernel]:
    home = tmp_path_factory.mktemp("home")
    shutil.copy(sqlite_template, home / "state.db")
    kernel = world.open_kernel(home)
    world.fill(kernel)
    yield kernel
    kernel.close()


@pytest.fixture(scope="module")
def url(filled: Kernel) -> Iterator[str]:
    with serving(filled) as address:
        yield address


def jobs_of(kernel: Kernel) -> int:
    with kernel.db.read() as connection:
        return len(jobs.jobs(connection, limit=500))


# ---- writes of other sites (CSRF)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1.evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Origin": ""},
        {"Cookie": "uwu_session=stolen"},
        {"Cookie": "theme=dark; __Host-uwu=stolen"},
    ],
)
def test_a_write_that_another_site_may_have_sent_is_refused(url: str, filled: Kernel, headers: dict[str, str]) -> None:
    before = jobs_of(filled)
    for path in ("/api/v1/jobs", "/theme", "/api/v1/query"):
        answer = ask(url, "POST", path, b'{"name": "sync"}', **{"Content-Type": JSON, **headers})
        assert (answer.status, answer.json["code"]) == (403, "cross-origin"), path
    assert jobs_of(filled) == before


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "",
        "text/plain;application/json",
    ],
)
def test_a_form_can_not_speak_to_the_api(url: str, filled: Kernel, kind: str) -> None:
    before = jobs_of(filled)
    answer = ask(url, "POST", "/api/v1/jobs", b'{"name": "sync"}', **({"Content-Type": kind} if kind else {}))
    assert (answer.status, answer.json["code"]) == (415, "media-type-unsupported")
    assert jobs_of(filled) == before


def test_no_answer_lets_another_origin_read_it(url: str) -> None:
    for method in ("GET", "OPTIONS", "POST"):
        answer = ask(url, method, "/api/v1/status", Origin="https://evil.example", Access_Control_Request_Method="POST")
        assert [name for name in answer.headers if name.startswith("access-control")] == []
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"


# ---- headers of ours that others could write


def test_no_parameter_writes_a_header(url: str) -> None:
    split = "x%0d%0aSet-Cookie:%20a=b%0d%0a%0d%0a<script>"
    for path in (
        f"/resources/{split}",
        f"/catalog/{split}",
        f"/search?q={split}",
        f"/findings?owner={split}&format=csv",
        f"/resources?text={split}&format=json",
        f"/{split}",
        f"/api/v1/resources?{split}=1",
        f"/api/v1/jobs/{split}",
    ):
        answer = ask(url, "GET", path)
        assert "set-cookie" not in answer.headers, path
        assert answer.status < 500, path
        assert all("\r" not in value and "\n" not in value for value in answer.headers.values()), path
    for form in (f"theme=dark&next=/{split}", f"theme={split}&next=/"):
        answer = ask(url, "POST", "/theme", form.encode(), Content_Type="application/x-www-form-urlencoded")
        assert answer.headers.get("set-cookie", "").count("a=b") == 0
        assert "\n" not in answer.headers.get("location", "")


def test_a_request_id_writes_no_header(url: str) -> None:
    start = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
    said = exchange(url, start + b"X-Request-Id: abcdefgh\tSet-Cookie: a=b\r\n\r\n")
    assert b"set-cookie" not in said.lower()


# ---- paths that lead elsewhere


@pytest.mark.parametrize(
    "path",
    [
        "/assets/../../../../etc/passwd",
        "/assets/..%2f..%2f..%2fetc/passwd",
        "/assets/%2e%2e/%2e%2e/templates/base.html",
        "/assets/....//....//etc/passwd",
        "/assets/%252e%252e/base.html",
        "/assets//etc/passwd",
        "/assets/..\\..\\uwu.toml",
        "/assets/uwu.css",
        "/assets/%00",
        "/api/v1/schema/../../../../etc/passwd",
        "/api/v1/jobs/..%2f..%2fstate.db",
        "/api/v1/entity?ref=../../../../etc/passwd",
        "/api/v1/explain?subject=file:///etc/passwd",
        "/resources/..%2f..%2f..%2fetc%2fpasswd",
        "/catalog/../../uwu.toml",
        "//etc/passwd",
    ],
)
def test_no_path_leaves_its_place(url: str, path: str) -> None:
    said = exchange(url, f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
    status = int(said.split(b" ", 2)[1])
    assert status in (400, 404) or (status in (301, 302, 303, 307, 308) and b"location: /" in said.lower()), said[:300]
    assert b"root:" not in said
    assert b"{% block" not in said
    assert b"SQLite format" not in said


def test_a_redirect_stays_on_this_site(url: str) -> None:
    for target in (
        "//evil.example",
        "https://evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "/%09/evil.example",
    ):
        form = f"theme=dark&next={quote(target, safe='')}".encode()
        answer = ask(url, "POST", "/theme", form, Content_Type="application/x-www-form-urlencoded")
        landed = urlsplit(urljoin(url, answer.headers.get("location", "/")))
        assert landed.netloc == urlsplit(url).netloc, target
        assert landed.scheme == "http", target


# ---- hosts


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "evil.example:8420", "127.0.0.1@evil.example", "[::1", "", "a b"]
)
def test_a_name_that_is_not_ours_gets_nothing(url: str, host: str) -> None:
    said = exchange(url, f"GET /api/v1/status HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    assert int(said.split(b" ", 2)[1]) in (400, 421), said[:200]
    assert b"resources" not in said


def test_two_hosts_are_none(url: str) -> None:
    said = exchange(url, b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n")
    assert int(said.split(b" ", 2)[1]) in (400, 421)


def test_a_forwarded_host_bends_no_link(url: str) -> None:
    answer = ask(
        url, "GET", "/", X_Forwarded_Host="evil.example", Forwarded="host=evil.example", X_Original_Url="/evil"
    )
    assert b"evil" not in answer.body


# ---- one request that is taken for two


SMUGGLED = b"GET /api/v1/audit HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


@pytest.mark.parametrize(
    "lengths",
    [
        b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
        b"Content-Length: 4\r\nContent-Length: 60\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Transfer-Encoding: xchunked\r\nContent-Length: 4\r\n",
        b"Transfer-Encoding : chunked\r\nContent-Length: 4\r\n",
        b"Content-Length: +4\r\n",
        b"Content-Length: -1\r\n",
    ],
)
def test_a_request_with_two_lengths_is_refused_and_its_connection_closed(url: str, lengths: bytes) -> None:
    head = b"POST /api/v1/query HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    said = exchange(url, head + lengths + b"\r\n0\r\n\r\n" + SMUGGLED)
    statuses = re.findall(rb"HTTP/1\.1 (\d{3})", said)
    assert len(statuses) == 1, said
    assert int(statuses[0]) in (400, 501), said


# ---- too much


def test_headers_that_are_too_large_are_refused(url: str) -> None:
    said = exchange(url, b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Large: " + b"a" * 200_000 + b"\r\n\r\n")
    assert said == b"" or int(said.split(b" ", 2)[1]) in (400, 431)
    assert ask(url, "GET", "/healthz").status == 200


def test_a_body_that_is_too_large_is_refused(url: str) -> None:
    body = b'{"sql": "' + b"x" * MAX_BODY_BYTES + b'"}'
    for headers in ({}, {"Idempotency-Key": "large-body-1"}):
        answer = ask(url, "POST", "/api/v1/query", body, Content_Type=JSON, **headers)
        assert (answer.status, answer.json["code"]) == (413, "request-too-large")
        assert answer.headers["content-type"] == "application/problem+json"


def test_a_body_without_an_end_is_refused_as_it_grows(url: str) -> None:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=20)
    connection.putrequest("POST", "/api/v1/query")
    connection.putheader("Content-Type", JSON)
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders()
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    try:
        for _ in range(10 * MAX_BODY_BYTES // 65536):
            connection.send(chunk)
    except OSError:
        pass
    try:
        assert connection.getresponse().status == 413
    except OSError:
        pass  # the connection was closed on us while we still wrote: refused as well
    finally:
        connection.close()
    assert ask(url, "GET", "/healthz").status == 200


def test_deep_json_breaks_nothing(url: str) -> None:
    body = b'{"name": "sync", "arguments": {"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}"
    assert ask(url, "POST", "/api/v1/jobs", body, Content_Type=JSON).status == 400


# ---- what estate and AWS name (XSS)


PAYLOADS = (
    f"<script>{MARK}()</script>",
    f"\"'><{TAG} onmouseover={MARK}()><img src=x onerror={MARK}()>",
    f'" onmouseover="{MARK}()" style="color:red" autofocus onfocus="{MARK}()',
    f"</title></textarea></style></script><{TAG}>{MARK}",
    f"javascript:{MARK}()",
    f"data:text/html,<script>{MARK}()</script>",
    f"{{{{ {MARK} }}}}${{{MARK}}}<!--{MARK}--><{TAG}",
)
KEPT = frozenset({
    "status", "severity", "level", "kind", "type", "id", "domain", "strength", "scope", "day", "hash", "prev", "cell",
    "api_version", "source", "name_of", "event_id", "operation", "via", "state",
})  # fmt: skip
"""Columns and members that are uwu's own words, or that its own code reads."""


def hostile(text: str) -> str:
    """``text`` with an attack in it: the same one for the same text, so that what refers still refers."""
    return text + PAYLOADS[zlib.crc32(text.encode()) % len(PAYLOADS)] if text else text


def poisoned(value: Any, name: str = "") -> Any:
    if isinstance(value, str):
        stays = name in KEPT or re.fullmatch(r"\d{4}-\d\d-\d\dT.*|true|false|\d+", value)
        return value if stays else hostile(value)
    if isinstance(value, dict):
        return {key: poisoned(inner, key) for key, inner in value.items()}
    if isinstance(value, list):
        return [poisoned(inner, name) for inner in value]
    return value


def poison(db: Database) -> int:
    """Puts an attack into every text of every table of the world; gives how many."""
    changed = 0
    for table in (
        tables.entities, tables.declarations, tables.resources, tables.past_versions, tables.relations,
        tables.ownership, tables.findings, tables.coverage, tables.jobs, tables.job_log, tables.audit, tables.notices,
        tables.saved_views,
    ):  # fmt: skip
        with db.write() as connection:
            rows = [dict(row._mapping) for row in connection.execute(sa.select(table))]
            connection.execute(table.delete())
            for row in rows:
                fresh = {name: poisoned(value, name) for name, value in row.items()}
                changed += sum(fresh[name] != row[name] for name in row)
                connection.execute(table.insert().values(fresh))
    return changed


class Page(HTMLParser):
    """What a browser would make of a page: its elements, their attributes, its links."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.script = ""
        self._inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        self._inside = tag if tag in ("script", "style") else ""

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.script += data


ADDRESSES = ("href", "src", "action", "formaction", "xlink:href", "data", "poster", "cite", "hx-get", "hx-post")


def born(page: Page) -> list[str]:
    """What an attack made: elements, handlers, styles, addresses that run."""
    found: list[str] = []
    for tag, attributes in page.elements:
        if tag == TAG or (tag == "script" and not attributes.get("src", "").startswith("/assets/")) or tag == "iframe":
            found.append(f"<{tag} {attributes}>")
        for name, value in attributes.items():
            if name.startswith("on") or name == "style" or "<" in name or MARK in name:
                found.append(f"{tag}@{name}={value}")
            if name in ADDRESSES and urlsplit(value.strip()).scheme not in ("", "http", "https"):
                found.append(f"{tag}@{name}={value}")
    return found + ([page.script] if page.script.strip() else [])


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[tuple[Kernel, str]]:
    home = tmp_path_factory.mktemp("attacked")
    shutil.copy(sqlite_template, home / "state.db")
    kernel = world.open_kernel(home)
    world.fill(kernel)
    assert poison(kernel.db) > 200
    with serving(kernel) as address:
        yield kernel, address
    kernel.close()


MOST_PAGES = 400


def crawl(url: str) -> Iterator[tuple[str, Answer, Page]]:
    """Every page that can be reached from home by links."""
    waiting, seen = ["/"], {"/"}
    while waiting and len(seen) < MOST_PAGES:
        path = waiting.pop(0)
        answer = ask(url, "GET", path)
        for _ in range(3):
            if answer.status not in (301, 302, 303, 307, 308):
                break
            answer = ask(
                url,
                "GET",
                urlsplit(urljoin(url + path, answer.headers["location"]))
                ._replace(scheme="", netloc="", fragment="")
                .geturl(),
            )
        if not answer.headers.get("content-type", "").startswith("text/html"):
            continue
        page = Page()
        page.feed(answer.body.decode())
        yield path, answer, page
        for tag, attributes in page.elements:
            link = urlsplit(urljoin(url + path, attributes.get("href", ""))) if tag == "a" else None
            if link is None or link.netloc != urlsplit(url).netloc:
                continue
            target = link._replace(scheme="", netloc="", fragment="").geturl()
            shape = re.sub(r"=[^&]*", "=", link.query)
            if target not in seen and not link.path.startswith("/assets/") and "format=" not in shape:
                seen.add(target)
                waiting.append(target)


def test_what_others_named_is_text_on_every_page(attacked: tuple[Kernel, str]) -> None:
    _, url = attacked
    pages, marked, failed = 0, 0, []
    for path, answer, page in crawl(url):
        pages += 1
        if answer.status >= 500:
            failed.append(path)
        marked += MARK in answer.body.decode()
        assert born(page) == [], path
        assert "unsafe" not in answer.headers["content-security-policy"]
    assert failed == []
    assert pages > 30
    assert marked > pages / 3, "the attacks are on the pages: as text"


def test_what_others_named_is_text_in_answers_and_files(attacked: tuple[Kernel, str]) -> None:
    _, url = attacked
    for path in ("/api/v1/resources", "/api/v1/findings", "/api/v1/entities", "/resources?format=json"):
        answer = ask(url, "GET", path)
        assert answer.status == 200, path
        assert answer.headers["content-type"].startswith(JSON), path
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert MARK in json.dumps(answer.json)
    exported = ask(url, "GET", "/resources?format=csv")
    assert exported.headers["content-type"].startswith("text/csv")
    assert exported.headers["content-disposition"].startswith("attachment")


def test_what_is_asked_for_is_text_too(attacked: tuple[Kernel, str]) -> None:
    _, url = attacked
    for payload in PAYLOADS:
        value = quote(payload, safe="")
        for path in (
            f"/search?q={value}", f"/findings?owner={value}&severity={value}", f"/resources?text={value}&type={value}",
            f"/changes?actor={value}", f"/coverage?account={value}", f"/catalog?kind={value}", f"/resources/{value}",
            f"/catalog/{value}", f"/findings/{value}", f"/{value}", f"/jobs?status={value}", f"/graph?subject={value}",
        ):  # fmt: skip
            answer = ask(url, "GET", path)
            assert answer.status < 500, path
            if answer.headers.get("content-type", "").startswith("text/html"):
                page = Page()
                page.feed(answer.body.decode())
                assert born(page) == [], path
