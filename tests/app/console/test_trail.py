"""The trail's page: sources, history, dead letters, and events by what is asked for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from litestar.testing import TestClient

from tests.app.console.server import client as client_of
from uwu.domains.trail import ingest, standing
from uwu.kernel import codec
from uwu.kernel.errors import Denied
from uwu.kernel.runtime import Kernel

QUEUE = "https://sqs.eu-west-1.amazonaws.com/111122223333/org-trail"


@pytest.fixture
def client(sqlite_kernel: Kernel):
    with client_of(sqlite_kernel) as http:
        yield http


def test_nothing_is_held_yet(client: TestClient):
    text = client.get("/trail").text
    assert "No events are held yet" in text
    assert "Sources" not in text


def test_sources_dead_letters_and_events(client: TestClient, sqlite_kernel: Kernel, shared_data: Path):
    ingest.ingest(sqlite_kernel, [str(shared_data / "cloudtrail" / "invictus")], holder="test")
    standing.update_source(sqlite_kernel.db, QUEUE, objects=12_843, waiting=17, lag_seconds=41, seen_at=codec.now())
    why = Denied("KMS refuses <it>", code="aws-denied")
    standing.bury(sqlite_kernel.db, QUEUE, [("s3://logs/x.json.gz", "", why)], attempts=4)
    text = client.get("/trail").text
    for part in (QUEUE, "12,843", "17 waiting", "41 s", "s3://logs/x.json.gz", "KMS refuses &lt;it&gt;", "dead retry"):
        assert part in text, part
    assert text.count("<time datetime=") == 50
    after = re.search(r'href="(/trail\?[^"]*after=[^"]*)"', text)
    assert after is not None
    second = client.get(after[1].replace("&amp;", "&")).text
    assert second.count("<time datetime=") == 50
    assert QUEUE not in second, "sources stand on the first page"


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("q=terraform", True),
        ("q=nowhere-at-all", False),
        ("name=AssumeRole", True),
        ("error=AccessDenied", True),
        ("q=arn:aws:ec2:us-east-1:123837392027:security-group/sg-04cfb7a4712d75b00", True),
        ("q=00000000-0000-4000-8000-000000000000", False),
        ("who=%3Cscript%3E", False),
    ],
)
def test_what_is_asked_for(client: TestClient, sqlite_kernel: Kernel, shared_data: Path, asked: str, found: bool):
    ingest.ingest(sqlite_kernel, [str(shared_data / "cloudtrail" / "invictus")], holder="test")
    answer = client.get(f"/trail?{asked}")
    assert answer.status_code == 200
    assert ("<time datetime=" in answer.text) is found
    assert ("No event is like that" in answer.text) is not found
    assert "<script>" not in answer.text
