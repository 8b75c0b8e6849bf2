"""Jobs in the console: the list, one of them with its parts and log, following it, asking and stopping."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from litestar.testing import TestClient

from tests.app.console import lively, world
from tests.app.console.server import client as client_of
from uwu.app.console import jobs, links
from uwu.kernel import codec, tables
from uwu.kernel.runtime import Kernel

SAME_SITE = {"sec-fetch-site": "same-origin"}
Client = TestClient[Any]


@pytest.fixture
def working(empty: Kernel) -> Kernel:
    """A kernel whose workers never run: what is asked for stays queued."""
    return empty


@pytest.fixture(scope="module")
def lived(lively_kernel: Kernel) -> Iterator[Client]:
    with client_of(lively_kernel) as client:
        yield client


def test_the_list_folds_children_under_the_job_that_asked_for_them(lived: Client) -> None:
    page = lived.get("/jobs").text
    assert "job_inventory" not in page
    assert "2 done" in page
    below = lived.get(links.with_query(links.JOBS, {"parent": "job_inventory"})).text
    assert below.count("data-row") == 8
    assert "uwu-observer may not call rds:DescribeDBInstances" in below
    failed = lived.get("/jobs?status=failed").text
    assert failed.count("data-row") == 1
    assert world.HOSTILE not in failed


def test_a_page_of_the_list_goes_on_where_the_last_ended(lively_kernel: Kernel) -> None:
    with lively_kernel.db.read() as connection:
        everything, rest = jobs._page(connection, [], "", 100)
        first, after = jobs._page(connection, [], "", 5)
        second, _ = jobs._page(connection, [], after, 100)
    assert rest == ""
    assert [job.id for job in [*first, *second]] == [job.id for job in everything]


def test_an_unknown_page_or_job_is_told(lived: Client) -> None:
    assert lived.get("/jobs?after=nothing").status_code == 400
    assert lived.get("/jobs/nothing").status_code == 404
    assert lived.get("/jobs/nothing/events").status_code == 404
    assert lived.get("/jobs/nothing/log").status_code == 404
    assert lived.get(f"/jobs/{lively.SYNC}/events?after=x").status_code == 400


def test_a_job_shows_its_parts_the_failed_first_and_its_log(lived: Client) -> None:
    page = lived.get(links.job("job_inventory")).text
    assert "7 done" in page and "1 failed" in page
    assert page.index("eu-west-3") < page.index("Log</h2>")
    assert "eu-west-5" not in page  # done: the number says enough
    log = lived.get(links.job(lively.SYNC)).text
    assert "rds in eu-west-3 was denied" in log
    assert world.HOSTILE not in log
    raw = lived.get(f"/jobs/{lively.SYNC}/log")
    assert raw.headers["content-type"].startswith("text/plain")
    assert raw.text.splitlines()[-1].endswith(f"error   {world.HOSTILE}")


def test_only_what_runs_can_be_cancelled_and_is_followed(lived: Client) -> None:
    running, done = (lived.get(links.job(id)).text for id in (lively.RUNNING, lively.SYNC))
    assert f'data-live="/jobs/{lively.RUNNING}/events?after=3"' in running
    assert "Cancel this job" in running and "12 of 40" in running
    assert "data-live" not in done and "Cancel this job" not in done


def events(text: str) -> list[tuple[str, str]]:
    """(event, data) of a text/event-stream."""
    out: list[tuple[str, str]] = []
    for block in text.split("\n\n"):
        fields = [line.partition(": ")[::2] for line in block.splitlines()]
        name = next((value for key, value in fields if key == "event"), "")
        if name:
            out.append((name, "\n".join(value for key, value in fields if key == "data")))
    return out


def test_the_stream_of_a_finished_job_tells_its_log_and_ends(lived: Client) -> None:
    answer = lived.get(f"/jobs/{lively.SYNC}/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-store"
    names = [name for name, _ in events(answer.text)]
    assert names == ["part", "lines", "end"]
    assert events(answer.text)[-1] == ("end", "done")
    assert "id: 3" in answer.text
    again = lived.get(f"/jobs/{lively.SYNC}/events", headers={"last-event-id": "3"})
    assert [name for name, _ in events(again.text)] == ["part", "end"]


def test_the_stream_follows_a_job_to_its_end(working: Kernel) -> None:
    with working.db.write() as connection:
        connection.execute(tables.jobs.insert(), [lively.job("job_a", "sync", "running", done=1, total=4)])

    async def follow() -> list[bytes]:
        follower = jobs.Follower(working.db, "job_a")
        seen: list[bytes] = []
        async for piece in jobs.stream(lambda: jobs._look(working, follower)):
            seen.append(piece)
            if b"1 of 4" in piece:
                with working.db.write() as connection:
                    row = {"job": "job_a", "line": 1, "at": codec.now(), "level": "info", "message": "it moves"}
                    connection.execute(tables.job_log.insert().values(**row))
                    connection.execute(tables.jobs.update().values(status="done", finished_at=codec.now()))
        return seen

    seen = b"".join(asyncio.run(asyncio.wait_for(follow(), 20))).decode()
    assert [name for name, _ in events(seen)] == ["part", "part", "lines", "end"]
    assert "it moves" in seen


def test_an_event_cannot_be_forged_by_what_a_log_says() -> None:
    assert "\r" not in jobs.event("lines", "a\rb").decode()
    told = jobs.event("lines", "a\nevent: end\rdata: x\r\n\nb", "7").decode()
    assert events(told) == [("lines", "a\nevent: end\ndata: x\n\nb")]


def test_a_sync_is_asked_for_once_and_is_audited(working: Kernel) -> None:
    with client_of(working) as client:
        first = client.post("/jobs", headers=SAME_SITE, follow_redirects=False)
        again = client.post("/jobs", headers=SAME_SITE, follow_redirects=False)
        assert first.status_code == 303
        assert first.headers["location"] == again.headers["location"]
        page = client.get(first.headers["location"]).text
        assert "It waits for a worker." in page
        stopped = client.post(first.headers["location"] + "/cancel", headers=SAME_SITE, follow_redirects=False)
        assert stopped.status_code == 303
        assert "cancelled" in client.get(first.headers["location"]).text
        assert client.post(first.headers["location"] + "/cancel", headers=SAME_SITE).status_code == 409
    with working.db.read() as connection:
        told = [row.action for row in connection.execute(tables.audit.select().order_by(tables.audit.c.seq))]
    assert told == ["job.sync", "job.sync", "job.cancel"]


def test_another_site_cannot_ask_or_stop(working: Kernel) -> None:
    with client_of(working) as client:
        foreign = {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}
        assert client.post("/jobs", headers=foreign).status_code == 403
        assert client.post(f"/jobs/{lively.SYNC}/cancel", headers=foreign).status_code == 403
    with working.db.read() as connection:
        assert connection.execute(tables.jobs.select()).first() is None
