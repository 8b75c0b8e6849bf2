"""Homes that earlier versions left, brought to this one with what they hold."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import sqlalchemy as sa

from uwu.kernel import graph, migrate, tables
from uwu.kernel.db import Database
from uwu.kernel.model import Cell, CellStatus, Outcome, Resource

T0 = datetime(2026, 1, 5, 8, tzinfo=UTC)
WEB, GONE = "arn:aws:sqs:eu-west-1:444455556666:web", "arn:aws:sqs:eu-west-1:444455556666:gone"
CELL = Cell(source="aws", account="444455556666", region="eu-west-1", type="aws_sqs_queue")


def at(hours: int) -> datetime:
    return T0 + timedelta(hours=hours)


def home_at(db: Database, revision: str, tmp_path: Path) -> Database:
    """A database of ``revision`` with nothing in it, of the same kind as ``db``."""
    if db.dialect == "sqlite":
        made = Database(f"sqlite:///{tmp_path}/before.db")
    else:
        made = db
        with db.write() as connection:
            connection.execute(sa.text("drop schema public cascade"))
            connection.execute(sa.text("create schema public"))
    migrate.upgrade(made, revision)
    return made


def test_versions_that_ended_are_kept_with_how_they_ended(db: Database, tmp_path: Path) -> None:
    """A queue that changed, was gone, came back and changed again, and one that is gone."""
    home = home_at(db, "0014", tmp_path)
    time = tables.resources.c.first_seen.type
    facts = {"cell": CELL.id, "type": CELL.type, "account": CELL.account, "region": CELL.region, "name": "web"}
    facts |= {"attributes": "{}", "tags": "{}", "managed_by": ""}
    ends = ((WEB, 1, 0, 1), (WEB, 2, 1, 2), (WEB, 3, 4, 5), (WEB, 4, 5, None), (GONE, 1, 0, 3))
    with home.write() as connection:
        for urn, version, begin, end in ends:
            row = {**facts, "urn": urn, "version": version, "hash": f"h{version}", "at": at(begin)}
            row["ended"] = at(end) if end is not None else None
            names = ("urn", "version", "cell", "type", "account", "region", "name", "managed_by", "hash")
            columns = ", ".join((*names, "attributes", "tags", "valid_from", "valid_to"))
            values = ", ".join((*(f":{name}" for name in names), "'{}'", "'{}'", ":at", ":ended"))
            bound = [sa.bindparam("at", type_=time), sa.bindparam("ended", type_=time)]
            connection.execute(sa.text(f"insert into versions ({columns}) values ({values})").bindparams(*bound), row)
        held = {**facts, "attributes": {}, "tags": {}, "urn": WEB, "version": 4, "hash": "h4", "owner": ""}
        connection.execute(tables.resources.insert().values(**held, first_seen=at(4), changed_at=at(5)))
    migrate.upgrade(home)
    p, v = tables.past_versions, tables.versions
    with home.read() as connection:
        kept = connection.execute(
            sa.select(p.c.urn, p.c.version, p.c.first_seen, p.c.ended).order_by(p.c.urn, p.c.version)
        )
        assert [tuple(row) for row in kept] == [
            (GONE, 1, at(0), "gone"),
            (WEB, 1, at(0), "moved"),
            (WEB, 2, at(0), "gone"),
            (WEB, 3, at(4), "moved"),
        ]
        every = connection.execute(sa.select(v.c.urn, v.c.version, v.c.valid_from, v.c.valid_to))
        assert {tuple(row) for row in every} == {
            (urn, version, at(begin), at(end) if end is not None else None) for urn, version, begin, end in ends
        }
        assert [graph.count_at(connection, at(hour)) for hour in range(-1, 7)] == [0, 2, 2, 1, 0, 1, 1, 1]
    with home.write() as connection:
        outcome = Outcome(cell=CELL, status=CellStatus.COMPLETE, observed_at=at(8))
        attributes = {"DelaySeconds": 5}
        web = Resource(
            urn=WEB,
            type=CELL.type,
            account=CELL.account,
            region=CELL.region,
            name="web",
            attributes=attributes,
            tags={},
        )
        graph.observe(connection, outcome, [web], [])
        assert [one.version for one in graph.history(connection, WEB)] == [5, 4, 3, 2, 1]
        assert graph.count_at(connection, at(6)) == 1
    if home is not db:
        home.close()
