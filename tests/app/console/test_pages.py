"""The console's pages over a small world that went through the kernel: what they say, and what they never do."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape
from html.parser import HTMLParser
from typing import Any

import pytest
import sqlalchemy as sa
from litestar.testing import TestClient

from tests.app.console import world
from tests.app.console.server import client as client_of
from uwu.app.console import links, pages
from uwu.app.console.assets import assets
from uwu.kernel import codec, drift, tables
from uwu.kernel.runtime import Kernel

Client = TestClient[Any]


class Reader(HTMLParser):
    """A page as a browser would read it: its text, its links, its elements."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.pieces: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.pieces.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.pieces))

    @property
    def hrefs(self) -> list[str]:
        return [href for tag, attrs in self.tags if tag == "a" and (href := attrs.get("href"))]


def read(client: Client, path: str, status: int = 200) -> Reader:
    answer = client.get(path)
    assert answer.status_code == status, answer.text[:2000]
    return Reader(answer.text)


def every_page(kernel: Kernel) -> list[str]:
    with kernel.db.read() as connection:
        found = [f.id for f in drift.findings(connection).items]
        urns = list(connection.scalars(sa.select(tables.resources.c.urn)))
        refs = list(connection.scalars(sa.select(tables.entities.c.ref)))
    fixed = ["/", "/findings", "/changes", "/resources", "/catalog", "/coverage", "/search", "/search?q=script"]
    shaped = ["/changes?who=all&days=90", "/coverage?status=complete", "/findings?group=none&status=all"]
    return [
        *fixed,
        *shaped,
        *map(links.finding, found),
        *map(links.resource, [*urns, world.DLQ.urn]),
        *map(links.entity, refs),
    ]


# ---- what pages say


def test_home_says_it_in_a_sentence_and_every_number_leads_to_its_rows(client: Client) -> None:
    page = read(client, "/")
    assert "9 things are not as they should be; 1 is critical." in page.text
    assert "/findings?severity=critical" in page.hrefs
    assert "Port 5432 of sg-payments-db is open to the internet" in page.text
    assert "opened port 5432 to 0.0.0.0/0 on sg-payments-db" in page.text
    assert "and 9 by automation" in page.text
    assert "ci-deployer" not in page.text
    assert "Estate 1 d, late: not read since" in page.text
    assert "By team" in page.text


def test_counts_on_home_are_those_of_the_list_they_lead_to(client: Client, filled: Kernel) -> None:
    critical = read(client, "/findings?severity=critical")
    assert critical.text.count("is open to the internet") >= 1
    assert "RDS instance ledger-db" not in critical.text
    assert read(client, "/resources?owner=").text.count("tmp-export") == 1


def test_before_the_first_sync_home_names_the_next_due_thing(empty: Kernel) -> None:
    with client_of(empty) as client:
        page = read(client, "/")
        assert "The next step is the first sync." in page.text
        assert "uwu sync" in page.text
        assert "Nothing is observed yet" in read(client, "/resources").text
        assert "Nothing is wrong that uwu can see" in read(client, "/findings").text
        assert "Nothing is declared yet" in read(client, "/catalog").text


def test_a_running_sync_is_followed_and_its_end_reloads_the_page(empty: Kernel) -> None:
    j = tables.jobs
    at = codec.now()
    common = {
        "arguments": {},
        "requested_by": "cli",
        "created_at": at,
        "started_at": at,
        "stage": "",
        "total": 0,
        "done": 0,
    }
    with empty.db.write() as connection:
        run = {**common, "id": "job_1", "name": "sync", "parent": "", "status": "running", "stage": "inventory.sync"}
        connection.execute(j.insert().values(**run))
        shard = {
            "id": "job_2",
            "name": "inventory.sync",
            "parent": "job_1",
            "status": "running",
            "done": 12,
            "total": 40,
        }
        connection.execute(j.insert().values(**{**common, **shard}))
    with client_of(empty) as client:
        assert "12 of 40" in read(client, "/").text
        with empty.db.write() as connection:
            connection.execute(j.update().where(j.c.id == "job_1").values(status="done"))
        assert "event: end\ndata: done" in client.get("/sync-events").text
        with empty.db.write() as connection:
            failed = {"status": "failed", "problem": {"message": "no credentials", "hint": "set a profile"}}
            connection.execute(j.update().where(j.c.id == "job_1").values(**failed))
        assert "The last sync failed: no credentials" in read(client, "/").text


def test_a_resource_tells_its_story_with_proofs(client: Client) -> None:
    page = read(client, links.resource(world.SG_PAYMENTS.urn))
    assert "mira.k changed IpPermissions through AWS console" in page.text
    assert "CloudTrail AuthorizeSecurityGroupIngress 7f3a09c1" in page.text
    assert "stack:default/payments declares it as module.ledger.aws_security_group.db." in page.text
    assert "Owned by payments, by tag team=payments." in page.text
    assert "aws ec2 revoke-security-group-ingress" in page.text
    assert "Open to the internet: port 5432" in page.text
    assert '"CidrIp": "0.0.0.0/0"' in page.text
    assert links.resource(world.VPC_PAYMENTS.urn) in page.hrefs
    assert links.resource(world.LEDGER.urn) in page.hrefs


def test_an_earlier_version_says_that_it_is_not_current(client: Client) -> None:
    page = read(client, links.resource(world.SG_PAYMENTS.urn) + "?version=1")
    assert "You are looking at version 1" in page.text
    assert "0.0.0.0/0" not in page.text
    read(client, links.resource(world.SG_PAYMENTS.urn) + "?version=99", status=404)
    read(client, links.resource(world.SG_PAYMENTS.urn) + "?version=x", status=400)


def test_a_resource_that_is_gone_has_its_page(client: Client) -> None:
    page = read(client, links.resource(world.DLQ.urn))
    assert "does not exist any more" in page.text
    assert "ines.v deleted it through AWS CLI" in page.text
    assert "declared, and nothing is there" in page.text


def test_whatever_names_a_resource_leads_to_it(client: Client) -> None:
    answer = client.get("/resources/sg-payments-db", follow_redirects=False)
    assert answer.status_code == 303
    assert answer.headers["location"] == links.resource(world.SG_PAYMENTS.urn)
    assert (
        client.get("/resources/checkout", follow_redirects=False).headers["location"]
        == "/catalog/component:default/checkout"
    )
    page = read(client, "/resources/ledger-dbx", status=404)
    assert "nothing here is called 'ledger-dbx'" in page.text


def test_a_finding_names_the_human_the_chain_and_the_remedy(client: Client, filled: Kernel) -> None:
    with filled.db.read() as connection:
        found = drift.findings(connection, severity="critical").items[0]
    page = read(client, links.finding(found.id))
    assert "mira.k" in page.text
    assert "sso session name" in page.text
    assert "AWSReservedSSO_Admin_1f2e3d" in page.text
    assert "7f3a09c1-4be2-4c6e-9a8f-03d1b2c3a4f5" in page.text
    assert "aws ec2 revoke-security-group-ingress" in page.text
    assert "Also on sg-payments-db" in page.text
    read(client, "/findings/f_0000000000000000", status=404)


def test_how_an_undeclared_resource_is_declared_can_be_copied_whole(client: Client, filled: Kernel) -> None:
    with filled.db.read() as connection:
        found = drift.findings(connection, rule="drift.undeclared", subject=world.THUMBS.urn).items[0]
    page = read(client, links.finding(found.id))
    copied = [attrs["data-copy"] for tag, attrs in page.tags if tag == "button" and "data-copy" in attrs]
    assert 'import {\n  to = aws_lambda_function.this\n  id = "thumbnails-debug"\n}' in copied


def test_signing_in_is_no_change(client: Client) -> None:
    assert "signed in" not in read(client, "/changes?who=all&days=90").text


def test_changes_are_people_first_and_automation_on_demand(client: Client) -> None:
    people = read(client, "/changes")
    assert "8 changes by people in the last 7 days, and 9 by automation" in people.text
    assert "ci-deployer" not in people.text
    assert "ci-deployer" in read(client, "/changes?who=automation").text
    one = read(client, "/changes?actor=jun")
    assert "changed DB instance ledger-db" in one.text
    assert "sg-payments-db" not in one.text
    assert "undeclared" in one.text


def test_filters_are_query_parameters_and_keep_each_other(client: Client) -> None:
    page = read(client, "/findings?rule=drift.attribute&account=" + world.PAYMENTS)
    assert page.text.count("is not as declared") == 2
    assert f"/findings?account={world.PAYMENTS}" in page.hrefs
    assert "/findings?rule=drift.attribute" in page.hrefs
    listed = read(client, f"/resources?type={world.DB}&owner=group%3Adefault%2Fpayments")
    assert "ledger-db-replica" in listed.text
    assert "No resource is like that" in read(client, f"/resources?type={world.DB}&account={world.NETWORK}").text


def test_resources_are_paged_by_what_came_last(client: Client) -> None:
    first = read(client, "/resources")
    assert not [href for href in first.hrefs if "after=" in href], "37 resources fit on one page"


def test_coverage_shows_what_could_not_be_seen(client: Client) -> None:
    page = read(client, "/coverage")
    assert "AccessDenied" in page.text
    assert "uwu-observer may not call rds:DescribeDBInstances" in page.text
    assert "never" in page.text


def test_an_entity_shows_what_it_owns(client: Client) -> None:
    page = read(client, "/catalog/group:default/payments")
    assert "ledger-db" in page.text
    assert "Port 5432 of sg-payments-db is open to the internet" in page.text
    read(client, "/catalog/group:default/nobody", status=404)


def test_search_answers_first(client: Client) -> None:
    lines = client.get("/search?q=ledger-db&palette=1").text
    assert lines.index("Answer") < lines.index("Resources")
    assert "jun changed BackupRetentionPeriod of <mark>ledger-db</mark>" in lines
    assert "<html" not in lines
    assert "Nothing here is called" in client.get("/search?q=zzzz&palette=1").text
    assert "Needs attention" in client.get("/search?palette=1").text


# ---- what pages never do


def test_what_the_world_says_stays_text_and_nothing_is_inline(client: Client, filled: Kernel) -> None:
    seen = 0
    for path in every_page(filled):
        answer = client.get(path)
        assert answer.status_code == 200, path
        page = Reader(answer.text)
        for tag, attrs in page.tags:
            assert tag not in {"img", "iframe", "object", "embed", "style", "base"}, (path, tag)
            assert "style" not in attrs, (path, tag)
            assert not [name for name in attrs if name.startswith("on")], (path, tag, attrs)
            assert not str(attrs.get("href", "")).lower().startswith("javascript:"), path
            if tag == "script":
                assert str(attrs.get("src")).startswith("/assets/"), path
        seen += world.HOSTILE in unescape(answer.text)
        assert world.HOSTILE not in answer.text, path
    assert seen > 5
    assert "{{7*7}}" in read(client, links.resource(world.EVIL.urn)).text


def test_every_link_of_every_page_leads_somewhere(client: Client, filled: Kernel) -> None:
    wanted: set[str] = set()
    for path in every_page(filled):
        base = path.split("?")[0]
        for href in Reader(client.get(path).text).hrefs:
            if href.startswith("?"):
                href = base + href
            wanted.add(href.split("#")[0] or path)
    assert len(wanted) > 150
    for href in sorted(wanted):
        assert href.startswith("/"), href
        status = client.get(href).status_code
        assert status == 200, (status, href)


def test_every_page_has_one_heading_and_its_place_in_the_navigation(client: Client, filled: Kernel) -> None:
    for path in every_page(filled):
        tags = Reader(client.get(path).text).tags
        assert sum(tag == "h1" for tag, _ in tags) == 1, path
        assert [attrs.get("id") for tag, attrs in tags if tag == "main"] == ["main"], path
        ids = [attrs["id"] for _, attrs in tags if "id" in attrs]
        assert len(ids) == len(set(ids)), path
        for tag, attrs in tags:
            if tag == "button":
                assert attrs.get("type"), path


def test_each_route_has_its_action(filled: Kernel) -> None:
    handlers = pages.routes(filled)
    assert handlers
    assert all(handler.opt.get("action") for handler in handlers)


def test_an_error_is_a_page_that_tells_no_secret(filled: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object, **kwargs: object) -> None:
        raise RuntimeError("password=hunter2")

    monkeypatch.setattr("uwu.app.console.coverage.overview", broken)
    with client_of(filled, raises=False) as client:
        page = read(client, "/coverage", status=500)
        assert "This page could not be made" in page.text
        assert "hunter2" not in page.text
        assert "Findings" in page.text
    long = "x" * 600
    with client_of(filled) as client:
        assert "longer than 500 characters" in read(client, f"/findings?q={long}", status=400).text


def test_a_source_whose_health_fails_costs_only_its_line(filled: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(kernel: Kernel) -> None:
        raise OSError("gone")

    monkeypatch.setattr(world, "health", broken)
    with client_of(filled) as client:
        page = read(client, "/")
        assert "it could not be asked" in page.text
        assert "Needs attention" in page.text


def test_an_address_that_is_nothing_is_a_page_for_browsers_and_json_for_programs(client: Client) -> None:
    page = client.get("/nothing/here", headers={"accept": "text/html,*/*"})
    assert page.status_code == 404
    assert "There is no such page" in page.text
    told = client.get("/api/v9/nothing", headers={"accept": "application/json"})
    assert told.status_code == 404
    assert told.headers["content-type"] == "application/problem+json"


# ---- theme and files


def test_the_theme_is_kept_in_a_cookie_and_rendered_by_the_server(filled: Kernel) -> None:
    with client_of(filled) as client:
        assert "data-theme" not in client.get("/").text.split(">", 3)[1]
        form = {"theme": "dark", "next": "/findings"}
        answer = client.post("/theme", data=form, follow_redirects=False)
        assert answer.status_code == 303
        assert answer.headers["location"] == "/findings"
        assert "HttpOnly" in answer.headers["set-cookie"]
        assert '<html lang="en" data-theme="dark">' in client.get("/").text
        same = {"sec-fetch-site": "same-origin"}
        assert client.post("/theme", data={"theme": "pink"}, headers=same).status_code == 400
        away = client.post(
            "/theme", data={"theme": "dark", "next": "//evil.example"}, headers=same, follow_redirects=False
        )
        assert away.headers["location"] == "/"
    with client_of(filled) as client:
        client.cookies.set("uwu_theme", '"><script>')
        assert "data-theme" not in client.get("/").text.split(">", 3)[1]


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "null"},
    ],
)
def test_another_site_may_not_set_the_theme(client: Client, headers: dict[str, str]) -> None:
    assert client.post("/theme", data={"theme": "dark"}, headers=headers).status_code == 403


def test_files_are_cached_for_ever_compressed_and_answered_with_304(client: Client) -> None:
    url = assets().url("uwu.css")
    plain = client.get(url, headers={"accept-encoding": "identity"})
    packed = client.get(url, headers={"accept-encoding": "gzip"})
    assert plain.content == packed.content
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert packed.headers["vary"] == "accept-encoding"
    assert packed.headers["content-type"] == "text/css; charset=utf-8"
    again = client.get(url, headers={"if-none-match": f'"other", W/{packed.headers["etag"]}'})
    assert again.status_code == 304
    assert again.content == b""
    assert client.get("/assets/uwu.000000000000.css").status_code == 404
    assert client.get("/assets/..%2fpages.py").status_code == 404
    font = client.get(assets().url("fonts/inter-latin-var.woff2"), headers={"accept-encoding": "gzip"})
    assert "content-encoding" not in font.headers


def test_a_stale_finding_says_so(empty: Kernel) -> None:
    world.fill(empty)
    f = tables.findings
    with empty.db.write() as connection:
        late = {"status": "stale", "last_seen": codec.now() - timedelta(days=3)}
        connection.execute(f.update().where(f.c.rule == "world.open").values(**late))
    with client_of(empty) as client:
        assert "stale" in read(client, "/findings?status=stale").text
