"""The statements that write resources, their past versions and tombstones."""

# the names in its SQL are its own: nothing comes from outside
# ruff: noqa: S608

from __future__ import annotations

from uwu.kernel import bulk, tables
from uwu.kernel.bulk import Bulk

_FACTS = {
    "urn": "text",
    "cell": "text",
    "type": "text",
    "account": "text",
    "region": "text",
    "name": "text",
    "attributes": "json",
    "tags": "json",
    "managed_by": "text",
    "hash": "text",
    "version": "int",
}
ADD = bulk.upsert(tables.resources, {**_FACTS, "first_seen": "time", "changed_at": "time"})
_CONTENT = {
    "urn": "text",
    "attributes": "json",
    "tags": "json",
    "hash": "text",
    "version": "int",
    "changed_at": "time",
}
# an index or a trigger costs where its column is set, whether or not to the same: what seldom changes goes apart
CHANGE = Bulk(
    _CONTENT,
    "update resources set attributes = :attributes:, tags = :tags:, hash = :hash:, version = :version:, "
    "changed_at = :changed_at: where urn = :urn:",
    "update resources r set attributes = given.attributes, tags = given.tags, hash = given.hash, "
    "version = given.version, changed_at = given.changed_at from given where r.urn = given.urn",
)
_PLACE: dict[str, str] = dict.fromkeys(("urn", "cell", "type", "account", "region", "name", "managed_by"), "text")
MOVE = Bulk(
    _PLACE,
    "update resources set cell = :cell:, type = :type:, account = :account:, region = :region:, name = :name:, "
    "managed_by = :managed_by: where urn = :urn:",
    "update resources r set cell = given.cell, type = given.type, account = given.account, region = given.region, "
    "name = given.name, managed_by = given.managed_by from given where r.urn = given.urn",
)
_FROM_RESOURCES = (
    "insert into past_versions "
    "(urn, version, valid_from, valid_to, cell, type, account, region, name, attributes, "
    "tags, managed_by, hash, first_seen, ended) "
    "select r.urn, r.version, r.changed_at, {at}, r.cell, r.type, r.account, r.region, r.name, r.attributes, "
    "r.tags, r.managed_by, r.hash, r.first_seen, {ended} from {given} where r.urn = {urn}"
)
KEEP = Bulk(
    {"urn": "text", "at": "time", "ended": "text"},
    _FROM_RESOURCES.format(at=":at:", ended=":ended:", given="resources r", urn=":urn:"),
    _FROM_RESOURCES.format(at="given.at", ended="given.ended", given="resources r, given", urn="given.urn"),
)
"""Keeps the versions that hold as ended; before what they are is overwritten."""
MOVED = Bulk(
    {"urn": "text", "version": "int"},
    "update past_versions set ended = 'moved' where urn = :urn: and version = :version:",
    "update past_versions p set ended = 'moved' from given where p.urn = given.urn and p.version = given.version",
)
"""Says of past versions that the next has another place: two looks at one time told of it differently."""
REMOVE = Bulk(
    {"urn": "text"},
    "delete from resources where urn = :urn:",
    "delete from resources r using given where r.urn = given.urn",
)
NOTE = Bulk(
    {"urn": "text", "at": "time"},
    "update resources set seen_at = :at: where urn = :urn: and (seen_at is null or seen_at < :at:)",
    "update resources r set seen_at = given.at from given where r.urn = given.urn "
    "and (r.seen_at is null or r.seen_at < given.at)",
)
_LATER = "on conflict (urn) do update set cell = excluded.cell, gone_at = excluded.gone_at where excluded.gone_at > "
BURY = Bulk(
    {"urn": "text", "cell": "text", "gone_at": "time"},
    f"insert into tombstones (urn, cell, gone_at) values (:urn:, :cell:, :gone_at:) {_LATER} tombstones.gone_at",
    f"insert into tombstones (urn, cell, gone_at) select urn, cell, gone_at from given {_LATER} tombstones.gone_at",
)
UNBURY = Bulk(
    {"cell": "text", "at": "time"},
    "delete from tombstones where cell = :cell: and gone_at <= :at:",
    "delete from tombstones t using given where t.cell = given.cell and t.gone_at <= given.at",
)
