"""What search and names are looked up by, in the database itself: kept by triggers, so that no writer can forget it.

For each of resources, entities and findings a table ``search_*`` holds its name and its other words in lower case. On
SQLite an FTS5 trigram index lies over it; on PostgreSQL a tsvector of words, and a trigram index where the extension
``pg_trgm`` is there. ``install`` makes it all anew and fills it; a migration that recreates one of those tables on
SQLite drops its triggers, so it must call ``install`` at its end.
"""

# the names in its SQL are its own: nothing comes from outside
# ruff: noqa: S608

from __future__ import annotations

import msgspec
import sqlalchemy as sa
from sqlalchemy import exc


class Indexed(msgspec.Struct, frozen=True):
    """A table that is searched: SQL of its name and of its other words, ``{0}`` being the row, for each dialect."""

    table: str
    key: str
    name: str
    sqlite_words: str
    postgresql_words: str
    watched: tuple[str, ...]
    """The columns that name and words come from."""

    @property
    def index(self) -> str:
        """The table that holds name and words."""
        return f"search_{self.table}"


_SQLITE_TAGS = (
    "coalesce((select group_concat(key || '=' || value, ' ') from json_each({0}.tags) where value <> {0}.name), '')"
)
_POSTGRESQL_TAGS = (
    "coalesce((select string_agg(key || '=' || value, ' ') from jsonb_each_text({0}.tags) where value <> {0}.name), '')"
)
_SQLITE_LABELS = "coalesce((select group_concat(value, ' ') from json_each({0}.metadata, '$.tags')), '')"
_POSTGRESQL_LABELS = (
    "coalesce((select string_agg(value, ' ') from jsonb_array_elements_text(case jsonb_typeof({0}.metadata -> 'tags') "
    "when 'array' then {0}.metadata -> 'tags' else '[]' end)), '')"
)

INDEXED = (
    Indexed(
        table="entities",
        key="ref",
        name="coalesce({0}.metadata ->> 'title', {0}.name)",
        sqlite_words="{0}.ref || ' ' || " + _SQLITE_LABELS,
        postgresql_words="{0}.ref || ' ' || " + _POSTGRESQL_LABELS,
        watched=("name", "metadata"),
    ),
    Indexed(
        table="resources",
        key="urn",
        name="{0}.name",
        sqlite_words="replace({0}.urn, {0}.name, '') || ' ' || " + _SQLITE_TAGS,
        postgresql_words="replace({0}.urn, {0}.name, '') || ' ' || " + _POSTGRESQL_TAGS,
        watched=("name", "tags"),
    ),
    Indexed(
        table="findings",
        key="id",
        name="{0}.title",
        sqlite_words="{0}.id || ' ' || {0}.subject",
        postgresql_words="{0}.id || ' ' || {0}.subject",
        watched=("title",),
    ),
)


def tail(dialect: str, column: str) -> sa.ColumnElement[str]:
    """The last part of a urn in lower case: what stands behind its last ``:`` or ``/``.

    There is an index on it: for resources, of those for which ``unlike_name`` holds.
    """
    return sa.literal_column(_tail(dialect, column), sa.Text())


def unlike_name(dialect: str) -> sa.ColumnElement[bool]:
    """A resource whose name is not the last part of its urn; the others are found by name in ``search_resources``."""
    return sa.literal_column(_unlike_name(dialect, "resources.urn", "resources.name"))


def _tail(dialect: str, column: str) -> str:
    if dialect == "postgresql":
        return f"lower(substring({column} from '[^:/]*$'))"
    rest = f"replace(replace({column}, ':', ''), '/', '')"
    return f"lower(substr({column}, length(rtrim({column}, {rest})) + 1))"


def _unlike_name(dialect: str, urn: str, name: str) -> str:
    return f"{_tail(dialect, urn)} <> lower({name})"


_RANK = "case severity when 'critical' then 0 when 'high' then 1 when 'medium' then 2 when 'low' then 3 else 9 end"
_UNRESOLVED = "status <> 'closed'"
RANK: sa.ColumnElement[int] = sa.literal_column(_RANK, sa.Integer())
"""The place of a finding's severity, 0 for critical, as the index of unresolved findings has it."""
UNRESOLVED: sa.ColumnElement[bool] = sa.literal_column(f"{_UNRESOLVED} and status <> 'exempt'")
"""A finding that is open or stale, beginning with the words of the indexes, which hold the exempt ones too. It has no
type: SQLAlchemy compares what it knows to be boolean with 1 on SQLite, and an index is then none."""
NOT_CLOSED: sa.ColumnElement[bool] = sa.literal_column(_UNRESOLVED)
"""A finding that is open, stale or exempt, in the words of the indexes."""
_EVENT = "cause ->> 'event_id'"
EVENT: sa.ColumnElement[str] = sa.literal_column(_EVENT, sa.Text())
"""The event that caused a finding, as the index of unresolved findings has it."""


_VALUES = ("severity", "rule", "owner", "account", "type", "actor", "domain")


def _by_value(first: str) -> str:
    """Unresolved findings by one value with the others behind it: every filter is counted without the rows."""
    rest = ", ".join(column for column in _VALUES if column != first)
    return f"findings ({first}, {rest}, opened_at, status) where {_UNRESOLVED}"  # SQLite looks at the status again


def install(connection: sa.Connection) -> None:
    """Makes tables, triggers and indexes anew and fills them from what is there."""
    dialect = connection.dialect.name
    remove(connection)
    for one in INDEXED:
        for statement in _postgresql(one) if dialect == "postgresql" else _sqlite(one):
            connection.exec_driver_sql(statement)
    for statement in _owner_postgresql() if dialect == "postgresql" else _owner_sqlite():
        connection.exec_driver_sql(statement)
    for name, on in (
        (
            "search_resources_by_tail",
            f"resources ({_tail(dialect, 'urn')}) where {_unlike_name(dialect, 'urn', 'name')}",
        ),
        ("search_declarations_by_tail", f"declarations ({_tail(dialect, 'urn')})"),
        ("search_entities_by_name", "entities (lower(name))"),
        ("search_findings_by_rank", f"findings (({_RANK}), opened_at desc, id, status) where {_UNRESOLVED}"),
        *((f"search_findings_by_{first}", _by_value(first)) for first in _VALUES),
        ("search_findings_by_event", f"findings (({_EVENT})) where {_UNRESOLVED}"),
    ):
        connection.exec_driver_sql(f"create index {name} on {on}")
    if dialect == "postgresql":
        _trigrams(connection)


def remove(connection: sa.Connection) -> None:
    """Takes all of it away: what is then written is found again once ``install`` has run."""
    if connection.dialect.name == "postgresql":
        triggers = (
            "select tgname, relname from pg_trigger join pg_class on pg_class.oid = tgrelid "
            "where starts_with(tgname, 'search_') and not tgisinternal"
        )
        indexes = (
            "select indexname from pg_indexes where schemaname = current_schema() "
            "and starts_with(indexname, 'search_') and not starts_with(tablename, 'search_')"
        )
    else:
        triggers = "select name, '' from sqlite_master where type = 'trigger' and name glob 'search_*'"
        indexes = (
            "select name from sqlite_master where type = 'index' and name glob 'search_*' "
            "and not tbl_name glob 'search_*'"
        )
    for name, table in connection.exec_driver_sql(triggers).all():
        connection.exec_driver_sql(f"drop trigger {name}{f' on {table}' if table else ''}")
    for (name,) in connection.exec_driver_sql(indexes).all():
        connection.exec_driver_sql(f"drop index {name}")
    for one in INDEXED:
        connection.exec_driver_sql(f"drop table if exists {one.index}_text")
        connection.exec_driver_sql(f"drop table if exists {one.index}")


def _trigrams(connection: sa.Connection) -> None:
    """PostgreSQL's own trigram index, where the extension can be had: then words are found by any part of them."""
    offered = sa.text("select 1 from pg_available_extensions where name = 'pg_trgm'")
    if connection.execute(offered).first() is None:
        return
    try:
        with connection.begin_nested():
            connection.exec_driver_sql("create extension if not exists pg_trgm")
    except exc.DBAPIError:
        return  # only its owner may: search then reads the whole table for what no word begins with
    for one in INDEXED:
        connection.exec_driver_sql(
            f"create index {one.index}_trigrams on {one.index} using gin ((name || ' ' || words) gin_trgm_ops)"
        )


_PARTS = 16
"""Parts of the trigram index that are there before they are merged: at SQLite's 4, half of a write is merging."""


def _filled(one: Indexed, words: str) -> str:
    return (
        f"insert into {one.index} (key, name, words) "
        f"select {one.key}, lower({one.name.format(one.table)}), lower({words.format(one.table)}) from {one.table}"
    )


def _sqlite(one: Indexed) -> list[str]:
    index, text = one.index, f"{one.index}_text"
    values = f"new.{one.key}, lower({one.name.format('new')}), lower({one.sqlite_words.format('new')})"
    changed = " or ".join(f"old.{column} is not new.{column}" for column in one.watched)
    triggers = [
        (
            f"{index}_added",
            f"after insert on {one.table}",
            f"insert into {index} (key, name, words) values ({values});",
        ),
        (
            f"{index}_changed",
            f"after update of {', '.join(one.watched)} on {one.table} when {changed}",
            f"update {index} set (name, words) = (select {values.partition(', ')[2]}) where key = new.{one.key};",
        ),
        (f"{index}_gone", f"after delete on {one.table}", f"delete from {index} where key = old.{one.key};"),
        (
            f"{index}_text_added",
            f"after insert on {index}",
            f"insert into {text} (rowid, name, words) values (new.id, new.name, new.words);",
        ),
        (
            f"{index}_text_changed",
            f"after update on {index} when old.name is not new.name or old.words is not new.words",
            f"insert into {text} ({text}, rowid, name, words) values ('delete', old.id, old.name, old.words); "
            f"insert into {text} (rowid, name, words) values (new.id, new.name, new.words);",
        ),
        (
            f"{index}_text_gone",
            f"after delete on {index}",
            f"insert into {text} ({text}, rowid, name, words) values ('delete', old.id, old.name, old.words);",
        ),
    ]
    return [
        f"create table {index} (id integer primary key, key text not null unique, name text not null, "
        "words text not null)",
        _filled(one, one.sqlite_words),
        f"create index {index}_names on {index} (name)",
        f"create virtual table {text} using fts5(name, words, content='{index}', content_rowid='id', "
        "tokenize='trigram', columnsize=0)",
        f"insert into {text} ({text}) values ('rebuild')",
        f"insert into {text} ({text}, rank) values ('automerge', {_PARTS})",
        *(f"create trigger {name} {when} begin {what} end" for name, when, what in triggers),
    ]


def _postgresql(one: Indexed) -> list[str]:
    index = one.index
    values = f"new.{one.key}, lower({one.name.format('new')}), lower({one.postgresql_words.format('new')})"
    changed = " or ".join(f"old.{column} is distinct from new.{column}" for column in one.watched)
    return [
        f'create table {index} (key text primary key, name text collate "C" not null, words text not null, '
        "vector tsvector generated always as "
        "(to_tsvector('simple', regexp_replace(name || ' ' || words, '[^[:alnum:]]+', ' ', 'g'))) stored)",
        _filled(one, one.postgresql_words),
        f"create index {index}_names on {index} (name)",
        f"create index {index}_vector on {index} using gin (vector)",
        f"create or replace function {index}_put() returns trigger language plpgsql as $$ begin "
        f"insert into {index} (key, name, words) values ({values}) "
        "on conflict (key) do update set name = excluded.name, words = excluded.words; return null; end $$",
        f"create or replace function {index}_drop() returns trigger language plpgsql as $$ begin "
        f"delete from {index} where key = old.{one.key}; return null; end $$",
        f"create trigger {index}_added after insert on {one.table} for each row execute function {index}_put()",
        f"create trigger {index}_changed after update of {', '.join(one.watched)} on {one.table} for each row "
        f"when ({changed}) execute function {index}_put()",
        f"create trigger {index}_gone after delete on {one.table} for each row execute function {index}_drop()",
        f"analyze {index}",
    ]


_FILL_OWNER = (
    "update resources set owner = coalesce((select o.owner from ownership o where o.subject = resources.urn), '') "
    "where owner <> coalesce((select o.owner from ownership o where o.subject = resources.urn), '')"
)
"""``resources.owner`` repeats ``ownership.owner``: lists and counts by owner need no join of all rows."""


def _owner_sqlite() -> list[str]:
    triggers = [
        (
            "search_owner_new",
            "after insert on resources when exists (select 1 from ownership where subject = new.urn and owner <> '')",
            "update resources set owner = (select owner from ownership where subject = new.urn) where urn = new.urn;",
        ),
        (
            "search_owner_added",
            "after insert on ownership when new.owner <> ''",
            "update resources set owner = new.owner where urn = new.subject;",
        ),
        (
            "search_owner_changed",
            "after update of owner on ownership when old.owner <> new.owner",
            "update resources set owner = new.owner where urn = new.subject;",
        ),
        (
            "search_owner_gone",
            "after delete on ownership when old.owner <> ''",
            "update resources set owner = '' where urn = old.subject;",
        ),
    ]
    return [
        _FILL_OWNER,
        *(f"create trigger {name} {when} begin {what} end" for name, when, what in triggers),
    ]


def _owner_postgresql() -> list[str]:
    return [
        _FILL_OWNER,
        "create or replace function search_owner_of() returns trigger language plpgsql as $$ begin "
        "new.owner := coalesce((select o.owner from ownership o where o.subject = new.urn), ''); return new; end $$",
        "create or replace function search_owner_put() returns trigger language plpgsql as $$ begin "
        "update resources set owner = new.owner where urn = new.subject; return null; end $$",
        "create or replace function search_owner_drop() returns trigger language plpgsql as $$ begin "
        "update resources set owner = '' where urn = old.subject; return null; end $$",
        "create trigger search_owner_new before insert on resources for each row execute function search_owner_of()",
        "create trigger search_owner_added after insert on ownership for each row when (new.owner <> '') "
        "execute function search_owner_put()",
        "create trigger search_owner_changed after update of owner on ownership for each row "
        "when (old.owner <> new.owner) execute function search_owner_put()",
        "create trigger search_owner_gone after delete on ownership for each row when (old.owner <> '') "
        "execute function search_owner_drop()",
    ]
