"""Events -> the rows of the lake's tables, column by column."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.compute

from uwu.domains.trail import callers, redact, store
from uwu.domains.trail.callers import Caller, Callers
from uwu.domains.trail.names import TARGET, Named, Namer, is_write
from uwu.domains.trail.read import NOTHING, Event
from uwu.kernel import codec
from uwu.kernel.model import Change

pc: Any = pyarrow.compute
"""Its functions are made as it is imported: no type checker sees them."""

_TIME = pa.timestamp("us", tz="UTC")
_NO_TARGETS = "[]"
_EMPTY = (b"null", b"{}", b"[]", b'""')
_REWRITE = redact.MAY_HOLD + r"|\\u|\n"
"""Text that cannot be kept as it was written: it may hold a secret, or is not in the form that is searched."""


class Late(NamedTuple):
    """An event whose actor a later event may name."""

    event_id: str
    at: datetime
    identity: dict[str, Any]
    shared_event: str


class Rows:
    """The rows of one batch, whose events are given in the order of time."""

    def __init__(self, events: Sequence[Event], who: Callers, namer: Namer, told_since: datetime) -> None:
        """Changes from ``told_since`` on are gathered in ``changes``."""
        self.events = events
        self.writes = 0
        """Successful writes."""
        self.named = 0
        """Those with a target."""
        self.kinds: Counter[str] = Counter()
        """Kinds of actors."""
        self.changes: list[Change] = []
        self.late: list[Late] = []
        self._who = who
        self._callers = [who.all[number] for number in who.numbers]
        self._through: list[str] = []
        self._read_only: list[bool] = []
        self._targets: list[str] = []
        self._resources: list[tuple[int, Named]] = []
        self._name(namer, codec.iso(told_since))

    def _name(self, namer: Namer, told_since: str) -> None:
        for row, (event, caller) in enumerate(zip(self.events, self._callers, strict=True)):
            way = callers.through(caller, event)
            self._through.append(way)
            write = not event.read_only if event.read_only is not None else is_write({"eventName": event.name})
            self._read_only.append(not write)
            if not caller.settled:
                self.late.append(Late(event.id, codec.parse_time(event.time), caller.identity, event.shared))
            if not write or event.error_code:
                self._targets.append(_NO_TARGETS)
                continue
            named = namer.name(event.record(caller.identity))
            targets = [one.urn for one in named if one.role == TARGET]
            self.writes += 1
            self.named += bool(targets)
            self._targets.append(codec.encode(targets).decode())
            self._resources += [(row, one) for one in named]
            if named and event.time >= told_since:
                self.changes += [_change(event, one, caller, way) for one in named]
        for number, count in Counter(self._who.numbers).items():
            self.kinds[self._who.all[number].actor.kind] += count

    def tables(self) -> dict[str, pa.Table]:
        """The rows as Arrow tables in the lake's order, by the name of its table."""
        events = self.events
        request = _json([event.request for event in events])
        whose = pa.array(self._who.numbers, pa.int32())
        everyone = self._who.all

        def of(values: list[str]) -> Any:
            return pa.DictionaryArray.from_arrays(whose, pa.array(values, pa.string()))

        columns: dict[str, Any] = {
            "event_time": pc.cast(_strings([e.time for e in events]), _TIME),
            "event_id": _strings([e.id for e in events]),
            "event_source": _strings([e.source for e in events]),
            "event_name": _strings([e.name for e in events]),
            "account": _strings([e.account or c.account for e, c in zip(events, self._callers, strict=True)]),
            "region": _strings([e.region for e in events]),
            "read_only": pa.array(self._read_only, pa.bool_()),
            "error_code": _strings([e.error_code for e in events]),
            "error_message": _strings([e.error_message for e in events]),
            "actor_kind": of([c.actor.kind for c in everyone]),
            "actor": of([c.actor.name for c in everyone]),
            "actor_confidence": of([c.actor.confidence for c in everyone]),
            "actor_how": of([c.actor.how for c in everyone]),
            "actor_chain": of([c.chain for c in everyone]),
            "principal": of([c.actor.principal for c in everyone]),
            "through": _strings(self._through),
            "identity_type": of([str(c.identity.get("type") or "") for c in everyone]),
            "access_key": of([str(c.identity.get("accessKeyId") or "") for c in everyone]),
            "assumed_role": of([c.assumed_role for c in everyone]),
            "source_ip": _strings([e.address for e in events]),
            "user_agent": _strings([e.agent for e in events]),
            "targets": _strings(self._targets),
            "request_parameters": request,
            "response_elements": _json([e.response for e in events]),
            "identity": of([c.text for c in everyone]),
            "more": _json([_more(e) for e in events]),
            "shared_event_id": _strings([e.shared for e in events]),
            "event_type": _strings([e.type for e in events]),
            "event_category": _strings([e.category for e in events]),
            "object": _strings([e.object for e in events]),
            "record_index": pa.array([e.index for e in events], pa.int32()),
        }
        table = _table(store.EVENTS, columns).take(self._order())
        return {store.EVENTS.name: table, store.EVENT_RESOURCES.name: self._resource_rows(columns)}

    def _order(self) -> Any:
        """The rows, which are in the order of time, as the table of events sorts them."""
        keys = [(caller.actor.name, caller.actor.principal) for caller in self._who.all]
        places = {key: place for place, key in enumerate(sorted(set(keys)))}
        rank = [places[key] * len(self.events) for key in keys]
        order = [rank[number] + row for row, number in enumerate(self._who.numbers)]
        return pc.sort_indices(pa.array(order, pa.int64()))

    def _resource_rows(self, columns: dict[str, Any]) -> pa.Table:
        """A row for each resource that a write names: what is shown of the write stands beside it."""
        self._resources.sort(key=lambda pair: pair[1].urn)
        rows = pa.array([row for row, _ in self._resources], pa.int32())
        own = {
            "urn": _strings([one.urn for _, one in self._resources]),
            "role": _strings([one.role for _, one in self._resources]),
            "step": _strings([one.step for _, one in self._resources]),
        }
        taken = {
            column.name: columns[column.name].take(rows)
            for column in store.EVENT_RESOURCES.columns
            if column.name in columns
        }
        target = pa.array([one.role == TARGET for _, one in self._resources], pa.bool_())
        taken["request_parameters"] = pc.if_else(target, taken["request_parameters"], pa.scalar(None, pa.string()))
        return _table(store.EVENT_RESOURCES, taken | own)


def _strings(values: list[str]) -> Any:
    return pa.array(values, pa.string())


def _json(raws: list[msgspec.Raw]) -> Any:
    """The texts, secrets redacted, in one form: compact, letters not escaped. Null where there is none."""
    texts: list[str | None] = [
        None if raw is NOTHING or (text := str(raw, "utf-8")) == "null" else text for raw in raws
    ]
    found = pa.array(texts, pa.string())
    doubtful = pc.fill_null(pc.match_substring_regex(found, _REWRITE), False)
    rows = pc.indices_nonzero(doubtful).to_pylist()
    if not rows:
        return found
    for row in rows:
        texts[row] = codec.encode(redact.redact(codec.decode(texts[row] or "null"))).decode()
    return pa.array(texts, pa.string())


MORE = ("additionalEventData", "serviceEventDetails", "resources", "sessionCredentialFromConsole", "vpcEndpointId")
"""What the column ``more`` holds: members without a column of their own that tell something."""
_NOISE = frozenset({"x-amz-id-2", "bytesTransferredIn", "bytesTransferredOut"})
"""Of S3's data events: as large as the rest of the record, and different in each."""


def _more(event: Event) -> msgspec.Raw:
    """Members without a column of their own that tell something, as one object."""
    held: list[bytes] = []
    for name, raw in (
        (b"additionalEventData", event.additional),
        (b"serviceEventDetails", event.details),
        (b"resources", event.resources),
    ):
        if raw is NOTHING:
            continue
        text = bytes(raw)
        if raw is event.additional and b"x-amz-id-2" in text:
            value = codec.decode(text)
            text = codec.encode(
                {k: v for k, v in value.items() if k not in _NOISE} if isinstance(value, dict) else value
            )
        if text not in _EMPTY:
            held.append(b'"%s":%s' % (name, text))
    for name, value in (("sessionCredentialFromConsole", event.from_console), ("vpcEndpointId", event.endpoint)):
        if value:
            held.append(b'"%s":%s' % (name.encode(), codec.encode(value)))
    return msgspec.Raw(b"{" + b",".join(held) + b"}") if held else NOTHING


def _change(event: Event, one: Named, caller: Caller, through: str) -> Change:
    return Change(
        event_id=event.id,
        at=codec.parse_time(event.time),
        name=event.name,
        source=event.source,
        account=event.account or caller.account,
        region=event.region,
        urn=one.urn,
        role=one.role,
        actor=caller.actor,
        through=through,
        place=event.object,
    )


def _table(spec: Any, columns: dict[str, Any]) -> pa.Table:
    names = [column.name for column in spec.columns if column.name in columns]
    return pa.table([columns[name] for name in names], names=names)
