"""A queue's messages -> events: any number of receivers on one queue, each object once.

A message is deleted when the rows of its objects are written for good, and not before. Until then its receiver keeps
it invisible to others by heartbeats; one that dies loses it to another. What cannot be read for good becomes a dead
letter; an outage of S3, of the queue or of the database only costs time.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import msgspec
from sqlalchemy import exc

from uwu.domains.trail import ingest, messages, sources, standing
from uwu.domains.trail.ingest import Ingest, Progress, Taken
from uwu.domains.trail.messages import Told
from uwu.domains.trail.sources import Gone, Object
from uwu.kernel import codec
from uwu.kernel.errors import Conflict, Denied, UwuError
from uwu.kernel.runtime import Kernel

VISIBILITY_SECONDS = 120
HEARTBEAT_SECONDS = 30.0
LINGER_SECONDS = 1.0
"""How long a batch waits for more messages after its first."""
ATTEMPTS = 4
"""Deliveries of a message whose object is refused; then it is a dead letter."""
LANES = 16
"""Receivers at once."""
_WAIT_SECONDS = 10
_BACKOFF_SECONDS = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0)
_log = logging.getLogger("uwu.trail")


class Message(msgspec.Struct):
    """A message in flight."""

    id: str
    receipt: str
    body: str
    times: int
    """How often it was delivered."""
    told: list[Told] = []


@contextmanager
def lane(kernel: Kernel, holder: str, progress: Progress) -> Iterator[Ingest]:
    """A free lane. Raises ``Conflict`` where all are taken."""
    for number in range(LANES):
        try:
            opened = Ingest.opened(kernel, holder, progress, lane=f"queue-{number}", wait=0.0)
            run = opened.__enter__()
        except Conflict:
            continue
        try:
            yield run
        finally:
            opened.__exit__(None, None, None)
        return
    raise Conflict(f"{LANES} receivers run already", code="trail-lanes", hint="fewer workers are enough")


class Receiver:
    """One receiver of one queue."""

    def __init__(self, kernel: Kernel, queue: str, run: Ingest, *, wait_seconds: int = _WAIT_SECONDS) -> None:
        self.kernel = kernel
        self.queue = queue
        self.run = run
        self.taken = Taken()
        self._wait = wait_seconds
        self._client: Any = None
        self._looked = 0.0

    def work(self, seconds: float, *, idle_seconds: float = 0.0, stop: Callable[[], bool] = lambda: False) -> Taken:
        """Receives for ``seconds``, or until nothing has come for ``idle_seconds`` where that is given."""
        until = time.monotonic() + seconds
        failures, quiet = 0, time.monotonic()
        while time.monotonic() < until and not stop():
            try:
                self.run.renew()
                if failures or time.monotonic() - quiet > ingest.CLAIM_SECONDS / 3 or not self._looked:
                    self.taken.add(self.run.recover())
                self._look()
                wait = min(self._wait, max(0, int(until - time.monotonic())))
                got = self._gather(int(idle_seconds) if idle_seconds else wait)
                if got:
                    with self._kept(got):
                        self._handle(got)
                    quiet = time.monotonic()
                elif idle_seconds and time.monotonic() - quiet >= idle_seconds:
                    break
                failures = 0
            except Conflict as error:
                if error.problem.code == "ingest-lost":
                    raise
                failures = self._failed(error, failures)
            except (UwuError, exc.SQLAlchemyError, OSError) as error:
                failures = self._failed(error, failures)
        self.run.upkeep()
        return self.taken

    def _failed(self, error: Exception, failures: int) -> int:
        """Waits a while: the queue keeps what was not deleted."""
        told = error.problem.message if isinstance(error, UwuError) else type(error).__name__
        _log.warning("%s does not go on: %s", self.queue, told)
        try:
            standing.update_source(self.kernel.db, self.queue, problem=told[:500])
        except (UwuError, exc.SQLAlchemyError, OSError):
            _log.debug("nor can the database be told")
        time.sleep(_BACKOFF_SECONDS[min(failures, len(_BACKOFF_SECONDS) - 1)])
        return failures + 1

    # ---- the queue

    def _call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            if self._client is None:
                parts = (urlsplit(self.queue).hostname or "").split(".")
                region = parts[1] if len(parts) > 3 and parts[0] == "sqs" else ""
                self._client = self.kernel.aws.client("sqs", region=region)
            return getattr(self._client, operation)(QueueUrl=self.queue, **parameters)
        except (ClientError, BotoCoreError) as error:
            raise sources.failed(self.kernel, error, self.queue) from None

    def _gather(self, wait: int) -> list[Message]:
        """Messages for one batch: until it is full, or nothing has come for a moment."""
        found: list[Message] = []
        size, limit, began = 0, self.kernel.settings.lake.batch_events, 0.0
        while len(found) < ingest.OBJECTS_PER_BATCH - 10 and size < limit:
            answer = self._call(
                "receive_message",
                MaxNumberOfMessages=10,
                WaitTimeSeconds=0 if found else min(wait, 20),
                VisibilityTimeout=VISIBILITY_SECONDS,
                AttributeNames=["ApproximateReceiveCount"],
            )
            got = answer.get("Messages") or []
            if not got and (not found or time.monotonic() - began > LINGER_SECONDS):
                break
            if not got:
                time.sleep(0.1)
            began = began or time.monotonic()
            for each in got:
                times = int((each.get("Attributes") or {}).get("ApproximateReceiveCount", 1))
                message = Message(each["MessageId"], each["ReceiptHandle"], each["Body"], times)
                try:
                    message.told = messages.objects(message.body)
                except UwuError as error:
                    name = f"{self.queue}#{message.id}"
                    standing.bury(self.kernel.db, self.queue, [(name, "", error)], body=message.body)
                size += sum(told.object.events for told in message.told)
                found.append(message)
        return found

    @contextmanager
    def _kept(self, held: Sequence[Message]) -> Iterator[None]:
        """Keeps messages invisible and the lane's lease while a batch is worked on."""
        done = threading.Event()

        def beat() -> None:
            while not done.wait(HEARTBEAT_SECONDS):
                try:
                    self.run.renew()
                    self._visible(held, VISIBILITY_SECONDS)
                except (UwuError, exc.SQLAlchemyError, OSError) as error:
                    _log.warning("a heartbeat of %s failed: %s", self.queue, type(error).__name__)

        thread = threading.Thread(target=beat, name="trail-heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def _visible(self, held: Sequence[Message], seconds: int) -> None:
        for start in range(0, len(held), 10):
            entries = [
                {"Id": str(n), "ReceiptHandle": message.receipt, "VisibilityTimeout": seconds}
                for n, message in enumerate(held[start : start + 10])
            ]
            self._call("change_message_visibility_batch", Entries=entries)

    def _delete(self, done: Sequence[Message]) -> None:
        for start in range(0, len(done), 10):
            entries = [{"Id": str(n), "ReceiptHandle": m.receipt} for n, m in enumerate(done[start : start + 10])]
            self._call("delete_message_batch", Entries=entries)

    def _look(self) -> None:
        """Tells from time to time how much the queue holds."""
        if self._looked and time.monotonic() - self._looked < 30:
            return
        held = self._call("get_queue_attributes", AttributeNames=["ApproximateNumberOfMessages"])
        waiting = int((held.get("Attributes") or {}).get("ApproximateNumberOfMessages", 0))
        standing.update_source(self.kernel.db, self.queue, waiting=waiting, seen_at=codec.now(), problem="")
        self._looked = time.monotonic()

    # ---- a batch

    def _handle(self, got: list[Message]) -> None:
        failed: dict[str, UwuError] = {}
        objects: dict[str, Object] = {}
        for told in (told for message in got for told in message.told):
            name = told.object.name
            try:
                held = told.object if told.object.mark else sources.current(self.kernel, told.object)
                objects[held.key] = held
            except UwuError as error:
                failed[name] = error
        before = self.taken.objects
        wanted = set(self.run.batches.unclaimed(list(objects)))
        new = [held for key, held in objects.items() if key in wanted]
        for group in ingest.groups(new, self.kernel.settings.lake.batch_events):
            failed |= self._group(group)
        self._settle(got, objects, failed)
        times = [told.at for message in got for told in message.told if told.at is not None]
        lag = max(0, round((codec.now() - max(times)).total_seconds())) if times else 0
        added = self.taken.objects - before
        standing.update_source(
            self.kernel.db, self.queue, objects=added, lag_seconds=lag, seen_at=codec.now(), problem=""
        )

    def _group(self, group: list[Object]) -> dict[str, UwuError]:
        try:
            taken, failed = self.run.group(group)
            self.taken.add(taken)
        except (UwuError, exc.SQLAlchemyError, OSError):
            raise
        except Exception as error:
            _log.exception("a batch of %d objects failed", len(group))
            if len(group) == 1:
                why = UwuError(f"it cannot be taken: {type(error).__name__}", code="object-failed")
                return {group[0].name: why}
            failed = {}
            for held in group:  # the one that it is about must not keep the others
                failed |= self._group([held])
        return failed

    def _settle(self, got: list[Message], objects: dict[str, Object], failed: dict[str, UwuError]) -> None:
        """Deletes the messages that are done with; those to be tried again come back by themselves."""
        kept = {sources.of_key(key).name for key in self.run.batches.kept(list(objects))}
        done: list[Message] = []
        dead: list[tuple[str, str, UwuError]] = []
        later: list[Message] = []
        for message in got:
            names = {told.object.name: told.object for told in message.told}
            open_ = [name for name in names if name not in kept]
            final = [n for n in names if n in failed and self._given_up(failed[n], message.times)]
            dead += [(name, names[name].mark, failed[name]) for name in final]
            if all(name in final for name in open_):
                done.append(message)
            else:
                later.append(message)
        if dead:
            standing.bury(self.kernel.db, self.queue, dead, attempts=max(message.times for message in got))
        self._delete(done)
        if later:
            self._visible(later, 5)

    def _given_up(self, error: UwuError, times: int) -> bool:
        if isinstance(error, Gone):
            return True
        return (isinstance(error, Denied) or error.problem.code == "object-failed") and times >= ATTEMPTS
