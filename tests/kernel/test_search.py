"""Search finds by every part of a word, ranks names first, and no write can make it forget."""

from __future__ import annotations

import msgspec
import pytest
import sqlalchemy as sa

from tests.kernel.world import ACCOUNT, outcome, queue
from uwu.kernel import codec, declared, graph, migrate, search, search_index, subjects, tables
from uwu.kernel.db import Database
from uwu.kernel.errors import BadInput, NotFound
from uwu.kernel.model import CellStatus, Entity, Place, Resource

NAMES = ("orders", "orders-dead", "reorders", "Zahlung", "100%_sure", 'it\'s "odd" AND (new', "ab")


def observed(db: Database, *resources: Resource, minutes: int = 0, status: CellStatus = CellStatus.COMPLETE) -> None:
    with db.write() as connection:
        graph.observe(connection, outcome(minutes, status), resources, ())


def found(db: Database, text: str, *, limit: int = 20) -> list[tuple[str, int]]:
    with db.read() as connection:
        return [(hit.title, hit.rank) for hit in search.search(connection, text, limit=limit)]


@pytest.fixture
def world(db: Database) -> Database:
    observed(db, *(queue(name, tags={"team": "treasury", "Name": name}) for name in NAMES))
    return db


def test_whole_before_beginning_before_part_before_what_is_not_the_name(world: Database) -> None:
    assert found(world, "orders") == [("orders", 0), ("orders-dead", 1), ("reorders", 2)]
    assert found(world, "ORDERS")[0] == ("orders", 0)
    assert {rank for _, rank in found(world, "treasury")} == {3}
    assert len(found(world, "treasury")) == len(NAMES)
    assert len(found(world, ACCOUNT)) == len(NAMES), "a part of the key"
    assert len(found(world, "treasury", limit=3)) == 3


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_found_whatever_stands_in_it(world: Database, name: str) -> None:
    assert (name, 0) in found(world, name)
    urn = queue(name).urn
    assert found(world, urn) == [(name, 0)], "the whole key names one thing"
    with world.read() as connection:
        assert subjects.resolve(connection, name) == urn
        assert subjects.resolve(connection, f"{ACCOUNT}:{name}".upper()) == urn


@pytest.mark.parametrize("text", ["", "  ", "%", "__", '"', "\0", "nothing-like-it", "*", "name:orders", "a" * 5000])
def test_what_names_nothing_finds_nothing(world: Database, text: str) -> None:
    if text != "%":
        assert found(world, text) == []
    with world.read() as connection, pytest.raises((NotFound, BadInput)):
        subjects.resolve(connection, text or "nothing")


def test_short_texts_find_how_names_begin(world: Database) -> None:
    assert found(world, "or") == [("orders", 1), ("orders-dead", 1)]
    assert found(world, "ab") == [("ab", 0)]


def test_it_follows_every_write(world: Database) -> None:
    renamed = msgspec.structs.replace(queue("orders"), name="bookings", tags={"team": "sales"})
    observed(world, renamed, queue("later"), minutes=1)
    assert found(world, "bookings") == [("bookings", 0)]
    assert found(world, "sales") == [("bookings", 3)]
    assert found(world, "later") == [("later", 0)]
    assert found(world, "reorders") == [], "it is gone"
    assert found(world, "treasury") == []
    with world.write() as connection:
        connection.execute(tables.resources.update().values(name="written past the kernel"))
    assert [rank for _, rank in found(world, "past the")] == [2, 2]


def test_entities_and_findings_are_found_by_title_tag_and_subject(db: Database) -> None:
    entity = Entity(
        kind="Component",
        name="checkout",
        namespace="default",
        api_version="v1",
        metadata={"name": "checkout", "title": "Kasse", "tags": ["money", "java"]},
        spec={"owner": "pay"},
        place=Place("a.yaml", 1),
        origin="file:a",
    )
    at = codec.now()
    row = dict.fromkeys(tables.findings.columns.keys(), "") | {
        "id": "f_1234",
        "title": "Port 22 is open",
        "subject": "arn:aws:x:::bastion",
        "severity": "high",
        "status": "open",
        "declared": None,
        "observed": None,
        "cause": None,
        "opened_at": at,
        "last_seen": at,
        "closed_at": None,
    }
    with db.write() as connection:
        declared.replace_entities(connection, "file:a", [entity], ())
        connection.execute(tables.findings.insert(), [row])
    assert found(db, "kasse") == [("Kasse", 0)]
    assert found(db, "java") == [("Kasse", 3)]
    assert found(db, "checkout") == [("Kasse", 3)], "its reference holds it"
    assert found(db, "port 22") == [("Port 22 is open", 1)]
    assert found(db, "bastion") == [("Port 22 is open", 3)]
    with db.write() as connection:
        connection.execute(tables.findings.update().values(status="closed", closed_at=at))
    assert found(db, "bastion") == [], "it is closed"


def test_a_home_from_before_is_filled_and_filling_again_changes_nothing(world: Database) -> None:
    before = {text: found(world, text) for text in ("orders", "treasury", "ab")}
    with world.write() as connection:
        search_index.remove(connection)
        connection.execute(sa.text("update alembic_version set version_num = '0002'"))
        for index in [i for i in tables.resources.indexes | tables.coverage.indexes if "_by_" in str(i.name)]:
            index.drop(connection)
        connection.execute(sa.text("create index ix_resources_type on resources (type)"))
        connection.execute(sa.text("create index ix_resources_account_resources_region on resources (account, region)"))
        connection.execute(sa.text("create index ix_coverage_status on coverage (status)"))
        connection.execute(sa.text("create index ix_coverage_account on coverage (account)"))
        connection.execute(sa.text("drop index ix_declarations_address"))
        connection.execute(sa.text("alter table resources drop column owner"))
        connection.execute(sa.text("insert into ownership values (:s, :o, 'tag', '[]', '[]', :at)").bindparams(
            sa.bindparam("s", queue("orders").urn), sa.bindparam("o", "group:default/pay"),
            sa.bindparam("at", codec.now(), tables.ownership.c.settled_at.type),
        ))  # fmt: skip
    migrate.upgrade(world, "0003")
    assert {text: found(world, text) for text in before} == before
    with world.read() as connection:
        owners = {row.name: row.owner for row in connection.execute(sa.select(tables.resources))}
    assert owners == dict.fromkeys(NAMES, "") | {"orders": "group:default/pay"}
    with world.write() as connection:
        search_index.install(connection)
    assert {text: found(world, text) for text in before} == before


def test_the_owner_beside_a_resource_is_the_one_that_was_settled(world: Database) -> None:
    o, r = tables.ownership, tables.resources
    urn = queue("orders").urn

    def owner() -> str | None:
        with world.read() as connection:
            return connection.scalar(sa.select(r.c.owner).where(r.c.urn == urn))

    row = {"subject": urn, "owner": "a", "strength": "", "evidence": [], "conflicts": [], "settled_at": codec.now()}
    with world.write() as connection:
        connection.execute(o.insert(), [row])
    assert owner() == "a"
    with world.write() as connection:
        connection.execute(o.update().values(owner="b"))
    assert owner() == "b"
    observed(world, queue("orders", size=2), minutes=1)
    assert owner() == "b", "a new version keeps it"
    observed(world, minutes=2)
    observed(world, queue("orders"), minutes=3)
    assert owner() == "b", "what comes back is owned as it was"
    with world.write() as connection:
        connection.execute(o.delete())
    assert owner() == ""


def test_a_list_that_holds_a_text_pages_whether_few_or_many_do(
    world: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def listed(**asked: str) -> tuple[list[str], int, bool]:
        names, after, page = [], "", None
        while page is None or after:
            with world.read() as connection:
                page = graph.find(connection, limit=2, after=after, **asked)
            names += [item.name for item in page.items]
            after = page.after
        return names, page.total, page.counted

    few = listed(text="order")
    assert few == (["orders", "orders-dead", "reorders"], 3, True)
    assert listed(text="treasury", account="nowhere") == ([], 0, True)
    monkeypatch.setattr(search, "MANY", 1)
    assert listed(text="order") == few
    monkeypatch.setattr(search, "COUNTED", 2)
    assert listed(text="order") == (few[0], 2, False)
