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
        sa.PrimaryKeyConstraint("urn", "version", name=op.f("pk_past_versions")),
    )
    columns = f"urn, version, valid_from, valid_to, {_FACTS}"
    op.execute(
        f"insert into past_versions ({columns}) select {columns} from versions "  # noqa: S608 (its own names)
        "where valid_to is not null order by valid_to"
    )
    op.drop_table("versions")
    op.create_index(op.f("ix_past_versions_valid_from"), "past_versions", ["valid_from"])
    op.create_index(op.f("ix_past_versions_valid_to"), "past_versions", ["valid_to"])
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
