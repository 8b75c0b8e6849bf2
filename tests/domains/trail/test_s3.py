"""Objects in S3, read with the management credentials."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import botocore.session
import pytest

from tests.domains.trail.test_ingest import count, take
from uwu.domains.trail import DOMAIN, sources
from uwu.domains.trail.ingest import declared_sources
from uwu.kernel import codec, declared
from uwu.kernel.errors import NotFound, UwuError
from uwu.kernel.model import Entity, Place
from uwu.kernel.runtime import Kernel
from uwu.kernel.settings import AwsSettings, Settings

if TYPE_CHECKING:
    from uwu.sim.server import MotoServer

BUCKET = "trail-test-logs"
PREFIX = "AWSLogs/o-abc/123837392027/CloudTrail/us-east-1/2023/07/10"


@pytest.fixture
def s3_kernel(
    aws_server: MotoServer, sqlite_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Kernel]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(sqlite_template, home / "state.db")
    opened = Kernel(Settings(home=str(home), aws=AwsSettings(endpoint_url=aws_server.url, max_attempts=1)), (DOMAIN,))
    yield opened
    opened.close()


@pytest.fixture
def client(aws_server: MotoServer, s3_kernel: Kernel) -> Any:
    made = botocore.session.get_session().create_client("s3", region_name="us-east-1", endpoint_url=aws_server.url)
    made.create_bucket(Bucket=BUCKET)
    yield made
    for page in made.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
        for each in page.get("Contents", ()):
            made.delete_object(Bucket=BUCKET, Key=each["Key"])
    made.delete_bucket(Bucket=BUCKET)


def test_a_prefix_is_taken_once_and_later_objects_too(client: Any, s3_kernel: Kernel, objects: list[Path]):
    for path in objects[:6]:
        client.put_object(Bucket=BUCKET, Key=f"{PREFIX}/{path.name}.gz", Body=gzip.compress(path.read_bytes()))
    digest = "AWSLogs/o-abc/123837392027/CloudTrail-Digest/us-east-1/2023/07/10/x.json.gz"
    client.put_object(Bucket=BUCKET, Key=digest, Body=gzip.compress(b"{}"))
    source = f"s3://{BUCKET}/AWSLogs"
    first = take(s3_kernel, source)
    assert (first.objects, first.problems) == (6, [])
    assert first.events == sum(len(codec.decode(p.read_bytes())["Records"]) for p in objects[:6])
    assert take(s3_kernel, source).objects == 0
    # a key that sorts before those taken is late, not lost
    late = objects[7]
    client.put_object(Bucket=BUCKET, Key=f"{PREFIX}/0-late.json.gz", Body=gzip.compress(late.read_bytes()))
    assert take(s3_kernel, source).objects == 1
    assert count(s3_kernel, what="count(distinct event_id)") == count(s3_kernel)
    with s3_kernel.lake.connection() as connection:
        place = connection.execute(f"select min(object) from {s3_kernel.lake.scan('events')}").fetchall()[0][0]
    assert place.startswith(f"s3://{BUCKET}/{PREFIX}/")


def test_an_object_that_changed_since_it_was_listed_is_told(client: Any, s3_kernel: Kernel):
    client.put_object(Bucket=BUCKET, Key="a.json.gz", Body=b"1")
    held = next(sources.discover(s3_kernel, f"s3://{BUCKET}/"))
    client.put_object(Bucket=BUCKET, Key="a.json.gz", Body=b"22")
    with pytest.raises(sources.Gone):
        sources.fetch(s3_kernel, held)
    client.delete_object(Bucket=BUCKET, Key="a.json.gz")
    with pytest.raises(sources.Gone):
        sources.fetch(s3_kernel, held)


@pytest.mark.parametrize(
    ("source", "code"), [("s3://no-such-bucket-here/x", "source-missing"), ("s3:///x", "source-syntax")]
)
def test_a_wrong_prefix_is_told(client: Any, s3_kernel: Kernel, source: str, code: str):
    with pytest.raises(UwuError) as told:
        take(s3_kernel, source)
    assert told.value.problem.code == code
    assert told.value.problem.place == source
    assert isinstance(told.value, NotFound) == (code == "source-missing")


def test_the_estate_declares_sources(s3_kernel: Kernel):
    trail = Entity(
        kind="Trail",
        name="org",
        api_version="uwu.dev/v1alpha1",
        spec={"source": "s3://logs/x"},
        place=Place("/e/t.yaml"),
    )
    with s3_kernel.db.write() as connection:
        declared.replace_entities(connection, "file:/e", [trail], [])
    assert declared_sources(s3_kernel) == ["s3://logs/x"]
