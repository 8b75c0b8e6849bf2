"""Messages of a queue -> the objects that they tell of: S3's own, through SNS, through EventBridge, CloudTrail's own.

Amazon S3 User Guide, "Event message structure" (keys are URL-encoded) and "EventBridge event message structure" (they
are not); CloudTrail User Guide, "Amazon SNS notifications for CloudTrail".
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import unquote_plus

import msgspec

from uwu.domains.trail.sources import Object, holds_events
from uwu.kernel import codec
from uwu.kernel.errors import BadInput

_WRAPPINGS = 4
"""SNS around EventBridge around S3 is the deepest that makes sense."""


class Told(msgspec.Struct, frozen=True):
    """An object that a message tells of."""

    object: Object
    """Its ``mark`` is empty where the message does not tell the ETag."""
    at: datetime | None
    """When it was delivered to the bucket."""


def objects(body: str) -> list[Told]:
    """The objects that hold events, of one message; none for S3's test message and for other things that happen.

    Raises ``BadInput`` (``message-unknown``) for a message of no known form.
    """
    value: Any = body
    for _ in range(_WRAPPINGS):
        if isinstance(value, str):
            try:
                value = codec.decode(value)
            except (msgspec.DecodeError, RecursionError):
                break
        if not isinstance(value, dict):
            break
        if isinstance(value.get("Records"), list):
            return [told for each in value["Records"] for told in _s3(each)]
        if value.get("Event") == "s3:TestEvent":
            return []
        if isinstance(value.get("detail"), dict) and "detail-type" in value:
            return _event_bridge(value)
        if isinstance(value.get("s3ObjectKey"), list) and value.get("s3Bucket"):
            return [
                told for key in value["s3ObjectKey"] for told in _told(str(value["s3Bucket"]), str(key), "", 0, None)
            ]
        if "Message" not in value:
            break
        value = value["Message"]
    raise BadInput(
        "the message tells of no object in a form that is known",
        code="message-unknown",
        hint="send the bucket's notifications there: from S3, through SNS or EventBridge",
    )


def _s3(record: Any) -> list[Told]:
    held = record.get("s3") if isinstance(record, dict) else None
    if not isinstance(held, dict) or not str(record.get("eventName", "")).removeprefix("s3:").startswith(
        "ObjectCreated"
    ):
        return []
    thing = held.get("object") or {}
    key = unquote_plus(str(thing.get("key") or ""))
    bucket = str((held.get("bucket") or {}).get("name") or "")
    return _told(bucket, key, str(thing.get("eTag") or ""), thing.get("size"), record.get("eventTime"))


def _event_bridge(value: dict[str, Any]) -> list[Told]:
    if value["detail-type"] != "Object Created":
        return []
    detail = value["detail"]
    thing = detail.get("object") or {}
    bucket = str((detail.get("bucket") or {}).get("name") or "")
    return _told(
        bucket, str(thing.get("key") or ""), str(thing.get("etag") or ""), thing.get("size"), value.get("time")
    )


def _told(bucket: str, key: str, mark: str, size: Any, at: Any) -> list[Told]:
    if not bucket or not holds_events(key):
        return []
    delivered = None
    if isinstance(at, str):
        try:
            delivered = codec.parse_time(at)
        except ValueError:
            delivered = None
    return [Told(Object(f"s3://{bucket}/{key}", mark.strip('"'), size if isinstance(size, int) else 0), delivered)]
