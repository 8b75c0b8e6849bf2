"""The record of an event as CloudTrail wrote it, from the object that holds it. Secrets are redacted here too."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from uwu.domains.trail import sources, store
from uwu.domains.trail.parse import parse
from uwu.domains.trail.redact import redact
from uwu.domains.trail.sources import Object
from uwu.kernel.errors import NotFound
from uwu.kernel.runtime import Kernel


class Original(msgspec.Struct, frozen=True):
    """A record and where it lies."""

    event_id: str
    object: str
    index: int
    """Its place in the object, from 0."""
    record: dict[str, Any]


def place(kernel: Kernel, event_id: str) -> tuple[str, int, datetime]:
    """(object, index, time) of an event. Raises ``NotFound``."""
    kernel.lake.ensure(store.EVENTS)
    scan = kernel.lake.scan(store.EVENTS.name)
    query = f"select object, record_index, event_time from {scan} where event_id = ? limit 1"  # noqa: S608 - own text
    with kernel.lake.reading() as connection:
        found = connection.sql(query, params=[event_id]).to_arrow_table().to_pylist()
    if not found:
        raise NotFound(f"no event {event_id!r} is held", code="event-unknown", hint="it may lie before the window")
    return found[0]["object"], int(found[0]["record_index"]), found[0]["event_time"]


def fetch(kernel: Kernel, event_id: str) -> Original:
    """The record of an event from its object. Raises ``NotFound``, ``Gone``, ``Denied`` or ``Unavailable``."""
    name, index, _ = place(kernel, event_id)
    held = Object(name, "")
    if name.startswith("s3://"):
        held = sources.current(kernel, held)
    parsed = parse(name, sources.fetch(kernel, held))
    for record in sorted(parsed.records, key=lambda record: record.index != index):
        if record.data.get("eventID") == event_id:
            return Original(event_id, name, record.index, redact(record.data))
    raise NotFound(
        "the object does not hold the event any more", code="event-gone", place=name, hint="it was written anew"
    )
