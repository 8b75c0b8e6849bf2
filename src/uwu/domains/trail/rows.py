"""Records -> the rows of the lake's tables."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from uwu.domains.trail import clients, store
from uwu.domains.trail.names import TARGET, Named, Namer, is_write
from uwu.domains.trail.parse import Record
from uwu.domains.trail.redact import redact
from uwu.kernel import codec
from uwu.kernel.model import Actor, Change

_TYPES = {"text": "string", "json": "string", "int": "int32", "long": "int64", "boolean": "bool_", "double": "float64"}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def _json(value: Any) -> str | None:
    return None if value is None else codec.encode(redact(value)).decode()


MORE = ("additionalEventData", "serviceEventDetails", "resources", "sessionCredentialFromConsole", "vpcEndpointId")
"""Members without a column of their own that tell something."""
_NOISE = frozenset({"x-amz-id-2", "bytesTransferredIn", "bytesTransferredOut"})
"""Of S3's data events: as large as the rest of the record, and different in each."""


def _more(data: dict[str, Any]) -> str | None:
    held = {name: data[name] for name in MORE if data.get(name)}
    extra = held.get("additionalEventData")
    if isinstance(extra, dict):
        held["additionalEventData"] = {key: value for key, value in extra.items() if key not in _NOISE}
    return _json(held or None)


class Rows:
    """The rows of one batch, by table."""

    def __init__(self, told_since: datetime) -> None:
        """Changes from ``told_since`` on are gathered in ``changes``."""
        self._told_since = told_since
        self.changes: list[Change] = []
        self._events: list[tuple[Any, ...]] = []
        self._resources: list[tuple[Any, ...]] = []
        self.writes = 0
        """Successful writes."""
        self.named = 0
        """Those with a target."""

    def add(self, name: str, record: Record, actor: Actor, namer: Namer) -> None:
        """One record of the object ``name``, with what a successful write names."""
        data = record.data
        identity = data.get("userIdentity") or {}
        write = is_write(data)
        error = _text(data.get("errorCode"))
        changed = write and not error
        named = namer.name(data) if changed else []
        targets = [one.urn for one in named if one.role == TARGET]
        self.writes += changed
        self.named += bool(targets)
        account = _text(data.get("recipientAccountId") or identity.get("accountId"))
        region = _text(data.get("awsRegion"))
        request = _json(data.get("requestParameters"))
        through = clients.through(data)
        chain = codec.encode(actor.chain).decode()
        who = (actor.kind, actor.name, actor.confidence, actor.how, chain, actor.principal, through)
        what = (data["eventSource"], data["eventName"], account, region)
        principal_id = _text(identity.get("principalId"))
        self._events.append(
            (
                record.at,
                data["eventID"],
                *what,
                not write,
                error,
                _text(data.get("errorMessage")),
                *who,
                _text(identity.get("type")),
                _text(identity.get("accessKeyId")),
                principal_id if ":" in principal_id else "",
                _text(data.get("sourceIPAddress")),
                _text(data.get("userAgent")),
                codec.encode(targets).decode(),
                request,
                _json(data.get("responseElements")),
                codec.encode(identity).decode(),
                _more(data),
                _text(data.get("sharedEventID")),
                _text(data.get("eventType")),
                _text(data.get("eventCategory")),
                name,
                record.index,
            )
        )
        if named and record.at >= self._told_since:
            self.changes += [_change(record, one, what, actor, through, name) for one in named]
        for one in named:
            asked = request if one.role == TARGET else None
            self._resources.append((record.at, one.urn, one.role, one.step, data["eventID"], *what, *who, asked, name))

    def tables(self) -> dict[str, Any]:
        """The rows as Arrow tables, by the name of the lake's table."""
        return {
            store.EVENTS.name: _table(store.EVENTS, self._events),
            store.EVENT_RESOURCES.name: _table(store.EVENT_RESOURCES, self._resources),
        }


def _change(record: Record, one: Named, what: tuple[Any, ...], actor: Actor, through: str, name: str) -> Change:
    source, event, account, region = what
    return Change(
        event_id=record.data["eventID"],
        at=record.at,
        name=event,
        source=source,
        account=account,
        region=region,
        urn=one.urn,
        role=one.role,
        actor=actor,
        through=through,
        place=name,
    )


def _table(spec: Any, rows: list[tuple[Any, ...]]) -> Any:
    import pyarrow as pa

    columns = list(zip(*rows, strict=True)) if rows else [() for _ in spec.columns]
    arrays = []
    for column, values in zip(spec.columns, columns, strict=True):
        type = pa.timestamp("us", tz="UTC") if column.type == "time" else getattr(pa, _TYPES[column.type])()
        arrays.append(pa.array(values, type))
    return pa.table(arrays, names=[column.name for column in spec.columns])
