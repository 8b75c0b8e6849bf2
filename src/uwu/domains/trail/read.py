"""CloudTrail objects -> events as the ingest handles them: a few members typed, the rest as the text it was written in.

An event's parameters are JSON text in the lake as in the object: to read them into Python and write them again would
cost more than everything else. An object that is not as AWS writes them goes the careful way of ``parse``.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from uwu.domains.trail import parse
from uwu.domains.trail.parse import Record, Reject
from uwu.kernel import codec
from uwu.kernel.errors import Problem

NOTHING = msgspec.Raw(b"null")
_TIME = pa.timestamp("us", tz="UTC")


class Event(msgspec.Struct, gc=False):
    """A record that is whole. ``time`` is ISO 8601 in UTC with a Z, so it sorts as text."""

    id: str = msgspec.field(name="eventID")
    time: str = msgspec.field(name="eventTime")
    source: str = msgspec.field(name="eventSource")
    name: str = msgspec.field(name="eventName")
    identity: msgspec.Raw = msgspec.field(name="userIdentity", default=NOTHING)
    region: str = msgspec.field(name="awsRegion", default="")
    address: str = msgspec.field(name="sourceIPAddress", default="")
    agent: str = msgspec.field(name="userAgent", default="")
    error_code: str = msgspec.field(name="errorCode", default="")
    error_message: str = msgspec.field(name="errorMessage", default="")
    request: msgspec.Raw = msgspec.field(name="requestParameters", default=NOTHING)
    response: msgspec.Raw = msgspec.field(name="responseElements", default=NOTHING)
    resources: msgspec.Raw = msgspec.field(name="resources", default=NOTHING)
    additional: msgspec.Raw = msgspec.field(name="additionalEventData", default=NOTHING)
    details: msgspec.Raw = msgspec.field(name="serviceEventDetails", default=NOTHING)
    read_only: bool | None = msgspec.field(name="readOnly", default=None)
    account: str = msgspec.field(name="recipientAccountId", default="")
    shared: str = msgspec.field(name="sharedEventID", default="")
    type: str = msgspec.field(name="eventType", default="")
    category: str = msgspec.field(name="eventCategory", default="")
    from_console: str = msgspec.field(name="sessionCredentialFromConsole", default="")
    endpoint: str = msgspec.field(name="vpcEndpointId", default="")
    object: str = msgspec.field(name="uwu.object", default="")
    """The object that holds it, and its place there: no member of a record has such a name."""
    index: int = msgspec.field(name="uwu.index", default=0)

    def record(self, identity: dict[str, Any]) -> dict[str, Any]:
        """The members of the record that names of resources and sessions are read from."""
        return {
            "eventID": self.id,
            "eventTime": self.time,
            "eventSource": self.source,
            "eventName": self.name,
            "userIdentity": identity,
            "awsRegion": self.region,
            "errorCode": self.error_code,
            "requestParameters": codec.decode(self.request),
            "responseElements": None if self.response is NOTHING else codec.decode(self.response),
            "resources": None if self.resources is NOTHING else codec.decode(self.resources),
            "additionalEventData": None if self.additional is NOTHING else codec.decode(self.additional),
            "serviceEventDetails": None if self.details is NOTHING else codec.decode(self.details),
            "readOnly": self.read_only,
            "recipientAccountId": self.account,
            "sharedEventID": self.shared,
        }


class _Object(msgspec.Struct, gc=False):
    events: list[Event] = msgspec.field(name="Records")


_decoder = msgspec.json.Decoder(_Object)


class Read(msgspec.Struct, frozen=True):
    """What an object holds: events, what is no event, what is wrong with it as a whole."""

    events: list[Event]
    rejects: list[Reject]
    problems: list[Problem]


def read(name: str, data: bytes) -> Read:
    """The events of the object ``name``. Never raises for what the object holds."""
    problems: list[Problem] = []
    text = parse.inflate(name, data, problems)
    if text is None:
        return Read([], [], problems)
    if not problems:
        events = _as_aws_writes(name, text)
        if events is not None:
            return Read(events, [], problems)
    parsed = parse.parse_text(name, text, problems)
    return Read([_event(name, record) for record in parsed.records], parsed.rejects, parsed.problems)


def _as_aws_writes(name: str, text: bytes) -> list[Event] | None:
    """The events of an object without a fault; None where it has one, or is not written as AWS writes."""
    try:
        str(text, "utf-8")
        events = _decoder.decode(text).events
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    times = [event.time for event in events]
    if any(len(time) != 20 or time[19] != "Z" for time in times):
        return None
    try:
        pc.cast(pa.array(times, pa.string()), _TIME)
    except pa.ArrowInvalid:
        return None
    if text.count(b'"userIdentity":{') != len(events) and any(
        bytes(e.identity)[:1] not in (b"{", b"n") for e in events
    ):
        return None
    for index, event in enumerate(events):
        if not (event.id and event.source and event.name):
            return None
        event.object = name
        event.index = index
    return events


def _event(name: str, record: Record) -> Event:
    """An event of members that may be of any type."""
    data = record.data
    read_only = data.get("readOnly")
    return Event(
        id=data["eventID"],
        time=codec.iso(record.at),
        source=data["eventSource"],
        name=data["eventName"],
        identity=_raw(data.get("userIdentity")),
        region=_text(data.get("awsRegion")),
        address=_text(data.get("sourceIPAddress")),
        agent=_text(data.get("userAgent")),
        error_code=_text(data.get("errorCode")),
        error_message=_text(data.get("errorMessage")),
        request=_raw(data.get("requestParameters")),
        response=_raw(data.get("responseElements")),
        resources=_raw(data.get("resources")),
        additional=_raw(data.get("additionalEventData")),
        details=_raw(data.get("serviceEventDetails")),
        read_only=read_only if isinstance(read_only, bool) else None,
        account=_text(data.get("recipientAccountId")),
        shared=_text(data.get("sharedEventID")),
        type=_text(data.get("eventType")),
        category=_text(data.get("eventCategory")),
        from_console=_text(data.get("sessionCredentialFromConsole")),
        endpoint=_text(data.get("vpcEndpointId")),
        object=name,
        index=record.index,
    )


def _text(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else str(value)


def _raw(value: Any) -> msgspec.Raw:
    if value is None:
        return NOTHING
    try:
        return msgspec.Raw(codec.encode(value))
    except UnicodeEncodeError:  # half of a surrogate pair, which no UTF-8 text can hold
        return msgspec.Raw(json.dumps(value).encode().replace(b"\\ud", b"\\\\ud"))
