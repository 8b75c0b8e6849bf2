"""Queues: what they tell of is taken once, kept until it is, and given up only where it cannot be read."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from tests.domains.trail.cutting import Cutting
from tests.domains.trail.pipes import Pipe, notification, records
from tests.domains.trail.test_ingest import count
from tests.domains.trail.test_s3 import s3_kernel
from uwu.domains.trail import DOMAIN, messages, pipeline, receive, sources, standing
from uwu.domains.trail.ingest import Taken, Trail
from uwu.kernel import codec
from uwu.kernel.errors import BadInput, Denied, Unavailable
from uwu.kernel.runtime import Kernel

if TYPE_CHECKING:
    from uwu.sim.server import MotoServer

__all__ = ["s3_kernel"]
AT = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=20)


@pytest.fixture
def pipe(aws_server: MotoServer, s3_kernel: Kernel) -> Pipe:
    return Pipe(aws_server.url)


def drain(kernel: Kernel, pipe: Pipe) -> Taken:
    return pipeline.drain(kernel, pipe.queue, holder="test", progress=lambda *_: None)


def reconcile(kernel: Kernel, pipe: Pipe) -> Taken:
    return pipeline.reconcile(kernel, Trail(pipe.source, pipe.queue), holder="test", progress=lambda *_: None)


def dead(kernel: Kernel) -> list[standing.Dead]:
    with kernel.db.read() as connection:
        return standing.dead(connection)


@pytest.mark.parametrize("way", ["notify_queue", "notify_topic"])
def test_what_s3_tells_of_is_taken_once(pipe: Pipe, s3_kernel: Kernel, made: Any, way: str):
    getattr(pipe, way)()
    for number in range(3):
        # a space and a plus are encoded in S3's notification
        pipe.put(records(made, 5, AT), AT, name=f"a b+{number}")
    pipe.s3.put_object(Bucket=pipe.name, Key="AWSLogs/1/CloudTrail-Digest/us-east-1/2026/01/01/x.json.gz", Body=b"{}")
    taken = drain(s3_kernel, pipe)
    assert (taken.objects, taken.events, taken.problems) == (3, 15, [])
    assert pipe.waiting() == 0
    assert reconcile(s3_kernel, pipe).objects == 0
    with s3_kernel.db.read() as connection:
        (bucket, queue) = sorted(standing.sources(connection), key=lambda each: each.kind)
    assert (queue.kind, queue.objects, queue.problem) == ("queue", 3, "")
    assert (bucket.kind, bucket.late, bucket.listed_at is not None) == ("bucket", 0, True)
    assert 0 <= queue.lag_seconds < 600


def test_redelivered_and_overlapping_events_count_once(pipe: Pipe, s3_kernel: Kernel, made: Any):
    same = records(made, 10, AT)
    keys = [pipe.put(same, AT), pipe.put(same[5:], AT)]
    for key in keys:
        mark = pipe.s3.head_object(Bucket=pipe.name, Key=key)["ETag"].strip('"')
        for _ in range(3):
            pipe.send(notification(pipe.name, key, mark))
    taken = drain(s3_kernel, pipe)
    assert (taken.objects, taken.events, taken.duplicates) == (2, 10, 5)
    assert count(s3_kernel) == 10
    assert pipe.waiting() == 0


def test_an_object_that_nothing_told_of_is_found_by_listing(pipe: Pipe, s3_kernel: Kernel, made: Any):
    pipe.notify_queue()
    pipe.put(records(made, 2, AT), AT)
    drain(s3_kernel, pipe)
    reconcile(s3_kernel, pipe)
    pipe.s3.put_bucket_notification_configuration(Bucket=pipe.name, NotificationConfiguration={})
    pipe.put(records(made, 4, AT), AT, name="0000-late")
    old = datetime.now(UTC) - timedelta(days=30)
    pipe.put(records(made, 8, old), old)
    assert reconcile(s3_kernel, pipe).events == 4, "what lies before the window is not listed"
    with s3_kernel.db.read() as connection:
        assert next(s.late for s in standing.sources(connection) if s.kind == "bucket") == 1


def test_what_cannot_be_read_becomes_a_dead_letter(
    pipe: Pipe, s3_kernel: Kernel, made: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(receive, "ATTEMPTS", 1)
    refused = pipe.put(records(made, 1, AT), AT, name="refused")
    fine = pipe.put(records(made, 2, AT), AT)
    for key in (refused, fine, pipe.key(AT, "gone")):
        pipe.send(notification(pipe.name, key, "" if key == fine else "0" * 32))
    pipe.send("no JSON at all")
    fetch = sources.fetch

    def denied(kernel: Kernel, held: sources.Object) -> bytes:
        if "refused" in held.name:
            raise Denied("KMS refuses it", code="aws-denied")
        return fetch(kernel, held)

    monkeypatch.setattr(sources, "fetch", denied)
    taken = drain(s3_kernel, pipe)
    assert taken.events == 2
    found = {each.code: each for each in dead(s3_kernel)}
    assert set(found) == {"aws-denied", "object-gone", "message-unknown"}
    assert found["message-unknown"].body == "no JSON at all"
    assert found["aws-denied"].object == f"s3://{pipe.name}/{refused}"
    assert pipe.waiting() == 0


def test_a_dead_letter_is_tried_again_by_hand(
    pipe: Pipe, s3_kernel: Kernel, made: Any, monkeypatch: pytest.MonkeyPatch
):
    key = pipe.put(records(made, 3, AT), AT)
    name = f"s3://{pipe.name}/{key}"
    standing.bury(s3_kernel.db, pipe.queue, [(name, "", Denied("no", code="aws-denied"))])
    done = pipeline.retry_dead(s3_kernel, [], holder="test", progress=lambda *_: None)
    assert (done["events"], done["left"]) == (3, 0)
    assert dead(s3_kernel) == []


def test_an_outage_buries_nothing(pipe: Pipe, s3_kernel: Kernel, made: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(receive, "_BACKOFF_SECONDS", (0.01,))
    monkeypatch.setattr(receive, "ATTEMPTS", 1)
    pipe.notify_queue()
    pipe.put(records(made, 3, AT), AT)
    fetch, calls = sources.fetch, []

    def away(kernel: Kernel, held: sources.Object) -> bytes:
        calls.append(held)
        if len(calls) == 1:
            raise Unavailable("S3 does not answer", code="s3-failed")
        return fetch(kernel, held)

    monkeypatch.setattr(sources, "fetch", away)
    with receive.lane(s3_kernel, "test", lambda *_: None) as run:
        receiver = receive.Receiver(s3_kernel, pipe.queue, run)
        monkeypatch.setattr(receiver, "_visible", lambda held, _: pipe_visible(pipe, held))
        taken = receiver.work(20, idle_seconds=1)
    assert (taken.events, len(calls), dead(s3_kernel)) == (3, 2, [])
    assert pipe.waiting() == 0


def pipe_visible(pipe: Pipe, held: list[receive.Message]) -> None:
    """At once instead of after some seconds."""
    for message in held:
        pipe.sqs.change_message_visibility(QueueUrl=pipe.queue, ReceiptHandle=message.receipt, VisibilityTimeout=0)


def test_messages_of_every_form():
    s3 = notification("logs", "AWSLogs/1/CloudTrail/x/a b+c=ü.json.gz", "abc")
    bridge = {
        "detail-type": "Object Created",
        "time": "2026-03-10T14:00:00Z",
        "detail": {"bucket": {"name": "logs"}, "object": {"key": "a b+c.json.gz", "etag": "abc", "size": 7}},
    }
    own = {"Message": codec.encode({"s3Bucket": "logs", "s3ObjectKey": ["x.json.gz", "y.json.gz"]}).decode()}
    (told,) = messages.objects(codec.encode({"Message": codec.encode(s3).decode()}).decode())
    assert told.object.key == "s3://logs/AWSLogs/1/CloudTrail/x/a b+c=ü.json.gz#abc"
    (told,) = messages.objects(codec.encode(bridge).decode())
    assert (told.object.name, told.object.mark, told.object.size) == ("s3://logs/a b+c.json.gz", "abc", 7)
    assert [t.object.name for t in messages.objects(codec.encode(own).decode())] == [
        "s3://logs/x.json.gz",
        "s3://logs/y.json.gz",
    ]
    assert messages.objects('{"Service":"Amazon S3","Event":"s3:TestEvent"}') == []
    for body in ("", "[]", "{}", '{"Message": 7}', '"' + "[" * 100_000):
        with pytest.raises(BadInput):
            messages.objects(body)


def test_the_network_is_cut_again_and_again(
    aws_server: MotoServer, pipe: Pipe, s3_kernel: Kernel, made: Any, monkeypatch: pytest.MonkeyPatch
):
    """S3 and SQS are gone for a while, in the middle of answers too: it costs time, no event and no dead letter."""
    monkeypatch.setattr(receive, "_BACKOFF_SECONDS", (0.05,))
    monkeypatch.setattr(receive, "VISIBILITY_SECONDS", 1)
    pipe.notify_queue()
    with Cutting(aws_server.url) as proxy:
        aws = msgspec.structs.replace(s3_kernel.settings.aws, endpoint_url=proxy.url)
        lake = msgspec.structs.replace(s3_kernel.settings.lake, batch_events=40)
        kernel = Kernel(msgspec.structs.replace(s3_kernel.settings, aws=aws, lake=lake), (DOMAIN,))
        done = threading.Event()
        failures: list[BaseException] = []

        def work() -> None:
            try:
                with receive.lane(kernel, "test", lambda *_: None) as run:
                    receive.Receiver(kernel, pipe.queue, run, wait_seconds=1).work(120, stop=done.is_set)
            except BaseException as error:
                failures.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        try:
            for _ in range(4):
                for _ in range(5):
                    pipe.put(records(made, 6, AT), AT)
                before = proxy.cuts
                proxy.cut()
                until(lambda before=before: proxy.cuts > before + 2 or bool(failures))
                proxy.mend()
            until(lambda: not pipe.waiting() or bool(failures))
        finally:
            done.set()
            thread.join(60)
        assert failures == []
        kernel.close()
    assert count(s3_kernel, what="count(distinct event_id)") == count(s3_kernel) == 120
    assert dead(s3_kernel) == []


def until(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    """Waits for what must come."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.02)
