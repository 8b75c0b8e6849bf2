"""Only versions that ended are kept as such: those that hold are the resources themselves."""

import sqlalchemy as sa
from alembic import op

import uwu.kernel.db

revision = "0015"
down_revision = "0014"

_FACTS = "cell, type, account, region, name, attributes, tags, managed_by, hash"


def upgrade() -> None:
    time = uwu.kernel.db.Time()
    json = uwu.kernel.db.Json
    words = sa.Text()
    op.create_table(
        "past_versions",
        sa.Column("urn", words, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("valid_from", time, nullable=False),
        sa.Column("valid_to", time, nullable=False),
        *(sa.Column(name, words, nullable=False) for name in ("cell", "type", "account", "region", "name")),
        sa.Column("attributes", json, nullable=False),
        sa.Column("tags", json, nullable=False),
        sa.Column("managed_by", words, nullable=False),
        sa.Column("hash", words, nullable=False),
        sa.Column("first_seen", time, nullable=False, comment="since when it had been there"),
        sa.Column("ended", words, nullable=False, comment="changed; moved, as what follows has another place; gone"),
        sa.PrimaryKeyConstraint("urn", "version", name=op.f("pk_past_versions")),
    )
    columns = f"urn, version, valid_from, valid_to, {_FACTS}"
    # whether what follows has another place is not looked at: "moved" costs a look when it is asked for
    op.execute(
        f"""
        with each as (
            select v.*, case when n.urn is null then 1 else 0 end as gone from versions v
            left join versions n on n.urn = v.urn and n.version = v.version + 1 and n.valid_from = v.valid_to
        ), lives as (
            select each.*, coalesce(sum(gone) over (
                partition by urn order by version rows between unbounded preceding and 1 preceding
            ), 0) as life from each
        ), born as (select lives.*, min(valid_from) over (partition by urn, life) as first_seen from lives)
        insert into past_versions ({columns}, first_seen, ended)
        select {columns}, first_seen, case gone when 1 then 'gone' else 'moved' end from born
        where valid_to is not null order by valid_to
        """  # noqa: S608 (its own names)
    )
    op.drop_table("versions")
    op.create_index(op.f("ix_past_versions_valid_from"), "past_versions", ["valid_from"])
    op.create_index(op.f("ix_past_versions_valid_to"), "past_versions", ["valid_to"])
    otherwise = sa.text("ended <> 'changed'")
    op.create_index(
        "ix_past_versions_otherwise",
        "past_versions",
        ["valid_to"],
        postgresql_where=otherwise,
        sqlite_where=otherwise,
    )
    op.create_index(op.f("ix_resources_first_seen"), "resources", ["first_seen"])
    dialect = op.get_bind().dialect.name
    op.execute("drop index if exists search_resources_by_name")
    op.execute("drop index if exists search_resources_by_tail")
    rest = "replace(replace(urn, ':', ''), '/', '')"
    tail = (
        "substring(urn from '[^:/]*$')" if dialect == "postgresql" else f"substr(urn, length(rtrim(urn, {rest})) + 1)"
    )
    op.execute(f"create index search_resources_by_tail on resources (lower({tail})) where lower({tail}) <> lower(name)")
    if dialect == "sqlite":
        for name in ("entities", "resources", "findings"):
            text = f"search_{name}_text"
            op.execute(f"insert into {text} ({text}, rank) values ('automerge', 16)")  # noqa: S608 (its own names)
    never = "cast(null as timestamptz)" if dialect == "postgresql" else "null"
    op.execute(
        f"create view versions as select urn, version, changed_at as valid_from, {never} as valid_to, {_FACTS} "  # noqa: S608 (its own names)
        f"from resources union all select {columns} from past_versions"
    )
