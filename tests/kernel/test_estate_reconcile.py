"""The estate becomes what is declared, file by file: whatever happens to the files, in whatever order."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from uwu.domains.catalog.declare import KINDS
from uwu.kernel import entity_history, estate, tables
from uwu.kernel.db import Database
from uwu.kernel.estate import pool
from uwu.kernel.estate.reconcile import Reconciled, reconcile
from uwu.kernel.runtime import Kernel

KNOWN = {kind.kind.lower(): kind for kind in KINDS}
HEAD = "apiVersion: backstage.io/v1alpha1\n"


def group(name: str) -> str:
    return f"{HEAD}kind: Group\nmetadata: {{name: {name}}}\nspec: {{type: team, children: []}}\n"


def service(name: str, owner: str, title: str = "", uses: Sequence[str] = ()) -> str:
    depends = ", ".join(f"component:{each}" for each in uses)
    return (
        f"{HEAD}kind: Component\nmetadata: {{name: {name}, title: {title or name!r}}}\n"
        f"spec: {{type: service, lifecycle: production, owner: {owner}, dependsOn: [{depends}]}}\n"
    )


def write(path: Path, *documents: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("---\n".join(documents))
    old(path)


def old(path: Path) -> None:
    """A file that was written a while ago: its mark can be believed. Each writing has another time."""
    old.at += 1_000_000_000  # type: ignore[attr-defined]
    os.utime(path, ns=(old.at, old.at))  # type: ignore[attr-defined]


old.at = 1_700_000_000_000_000_000  # type: ignore[attr-defined]


def take(db: Database, *paths: Path) -> Reconciled:
    return reconcile(db, paths, KNOWN)


def world(db: Database) -> tuple[dict[str, tuple[Any, ...]], set[tuple[str, str, str]]]:
    """(what is declared and is no orphan, its relations)."""
    e, t = tables.entities, tables.relations
    with db.read() as connection:
        entities = {
            row.ref: (row.file, row.line, row.metadata, row.spec)
            for row in connection.execute(sa.select(e).where(sa.not_(e.c.orphan)))
        }
        relations = {
            (row.source, row.kind, row.target) for row in connection.execute(sa.select(t).where(t.c.valid_to.is_(None)))
        }
    return entities, relations


def codes(result: Reconciled) -> list[str]:
    return [problem.code for problem in result.problems]


def test_only_what_was_written_is_read(kernel: Kernel, tmp_path: Path) -> None:
    folder = tmp_path / "estate"
    write(folder / "groups.yaml", group("payments"), group("search"))
    write(folder / "a.yaml", service("a", "payments"))
    write(folder / "b.yaml", service("b", "search", uses=["a"]))
    first = take(kernel.db, folder)
    assert (first.files, first.read, first.changed, first.entities, first.problems) == (3, 3, 4, 4, [])
    assert (first.relations, len(world(kernel.db)[1])) == (6, 6)
    again = take(kernel.db, folder)
    assert (again.read, again.changed, again.relations) == (0, 0, 6)
    write(folder / "b.yaml", service("b", "payments", uses=["a"]))
    changed = take(kernel.db, folder)
    assert (changed.read, changed.changed, changed.orphaned) == (1, 1, 0)
    assert ("group:default/payments", "ownerOf", "component:default/b") in world(kernel.db)[1]
    assert ("group:default/search", "ownerOf", "component:default/b") not in world(kernel.db)[1]


def test_a_file_that_was_just_written_is_read_again(kernel: Kernel, tmp_path: Path) -> None:
    file = tmp_path / "estate" / "a.yaml"
    write(file, group("payments"))
    os.utime(file)
    take(kernel.db, file.parent)
    assert take(kernel.db, file.parent).read == 1


def test_a_reference_is_resolved_when_its_target_comes_and_lost_when_it_goes(kernel: Kernel, tmp_path: Path) -> None:
    folder = tmp_path / "estate"
    write(folder / "a.yaml", service("a", "payments"))
    assert codes(take(kernel.db, folder)) == ["dangling-reference"]
    write(folder / "z.yaml", group("payments"))
    found = take(kernel.db, folder)
    assert (found.read, codes(found)) == (1, [])
    assert len(world(kernel.db)[1]) == 2
    (folder / "z.yaml").unlink()
    lost = take(kernel.db, folder)
    assert (lost.orphaned, codes(lost)) == (1, ["dangling-reference"])
    assert world(kernel.db)[1] == set()


def test_of_two_files_that_hold_an_entity_the_one_accepted_first_keeps_it(kernel: Kernel, tmp_path: Path) -> None:
    folder = tmp_path / "estate"
    write(folder / "b.yaml", group("payments"))
    take(kernel.db, folder)
    write(folder / "a.yaml", group("Payments"))
    found = take(kernel.db, folder)
    assert [(p.code, p.place) for p in found.problems] == [("duplicate-entity", f"{folder}/a.yaml:3")]
    assert f"{folder}/b.yaml:3" in found.problems[0].hint
    assert world(kernel.db)[0]["group:default/payments"][0] == f"{folder}/b.yaml"
    (folder / "b.yaml").unlink()
    moved = take(kernel.db, folder)
    assert (codes(moved), moved.orphaned) == ([], 0)
    assert world(kernel.db)[0]["group:default/payments"][0] == f"{folder}/a.yaml"


def test_a_file_that_moves_takes_its_entities_along_without_a_gap(kernel: Kernel, tmp_path: Path) -> None:
    folder = tmp_path / "estate"
    write(folder / "groups.yaml", group("payments"))
    write(folder / "old" / "a.yaml", service("a", "payments"))
    take(kernel.db, folder)
    shutil.move(folder / "old", folder / "new")
    moved = take(kernel.db, folder)
    assert (moved.orphaned, moved.changed, moved.read) == (0, 1, 1)
    t = tables.relations
    with kernel.db.read() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(t)) == 2, "no relation ended and began again"


def test_what_cannot_be_read_stays_and_may_be_referred_to(kernel: Kernel, tmp_path: Path) -> None:
    folder = tmp_path / "estate"
    write(folder / "groups.yaml", group("payments"), group("search"))
    write(folder / "a.yaml", service("a", "payments"))
    take(kernel.db, folder)
    before = world(kernel.db)
    write(folder / "groups.yaml", group("payments"), "a: b: c\n")
    broken = take(kernel.db, folder)
    assert (codes(broken), broken.orphaned) == (["yaml-syntax"], 0)
    assert world(kernel.db) == before
    write(folder / "groups.yaml", group("payments").replace("type: team, ", ""))
    assert take(kernel.db, folder).orphaned == 0
    assert world(kernel.db) == before
    (folder / "groups.yaml").rename(folder / "renamed.yaml")
    renamed = take(kernel.db, folder)
    assert "group:default/payments" in world(kernel.db)[0], "its new file holds it, though it does not fit"
    assert renamed.orphaned == 1, "of the other nothing says that it is still there"
    write(folder / "renamed.yaml", group("search"))
    assert take(kernel.db, folder).orphaned == 1
    assert set(world(kernel.db)[0]) == {"group:default/search", "component:default/a"}


def test_an_embedded_file_that_changes_is_read_again(kernel: Kernel, tmp_path: Path) -> None:
    folder = tmp_path / "estate"
    api = (
        f"{HEAD}kind: API\nmetadata: {{name: a}}\n"
        "spec: {type: openapi, lifecycle: production, owner: x, definition: {$text: ./a.json}}\n"
    )
    write(folder / "a.yaml", api)
    write(folder / "a.json", "one")
    take(kernel.db, folder)
    assert world(kernel.db)[0]["api:default/a"][3]["definition"] == "one"
    write(folder / "a.json", "two")
    assert take(kernel.db, folder).changed == 1
    assert world(kernel.db)[0]["api:default/a"][3]["definition"] == "two"
    (folder / "a.json").unlink()
    assert "substitution-missing" in codes(take(kernel.db, folder))
    assert world(kernel.db)[0]["api:default/a"][3]["definition"] == "two"


def test_what_a_location_no_longer_names_is_gone(kernel: Kernel, tmp_path: Path) -> None:
    folder = tmp_path / "estate"
    (folder / "more").mkdir(parents=True)

    def location(*targets: str) -> str:
        return f"{HEAD}kind: Location\nmetadata: {{name: all}}\nspec: {{type: file, targets: [{', '.join(targets)}]}}\n"

    write(folder / "more" / "a.txt", group("a"))
    write(folder / "more" / "b.txt", group("b"))
    write(folder / "all.yaml", location("./more/*.txt"))
    assert take(kernel.db, folder).entities == 3
    assert take(kernel.db, folder).read == 0
    write(folder / "more" / "c.txt", group("c"))
    assert (take(kernel.db, folder).entities, take(kernel.db, folder).read) == (4, 0)
    write(folder / "all.yaml", location("./more/b.txt"))
    assert (take(kernel.db, folder).orphaned, set(world(kernel.db)[0])) == (
        2,
        {"location:default/all", "group:default/b"},
    )


def test_sources_do_not_take_each_others_entities_with_them(kernel: Kernel, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    write(one / "a.yaml", group("payments"))
    write(two / "a.yaml", group("search"), service("a", "payments"))
    take(kernel.db, one, two)
    shutil.move(two, tmp_path / "away")
    silent = take(kernel.db, one, two)
    assert (codes(silent), silent.orphaned) == (["estate-missing"], 0), "what cannot be read is not gone"
    assert take(kernel.db, one).orphaned == 2, "what is no longer configured is"
    assert set(world(kernel.db)[0]) == {"group:default/payments"}
    shutil.move(tmp_path / "away", two)
    assert take(kernel.db, one, two).changed == 2
    assert len(world(kernel.db)[1]) == 2


def test_many_files_are_read_by_more_processes_alike(
    sqlite_kernel: Kernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "PARALLEL_FROM", 2)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    folder = tmp_path / "estate"
    write(folder / "groups.yaml", group("payments"))
    for number in range(90):
        write(folder / f"{number:02}.yaml", service(f"s{number}", "payments", uses=[f"s{max(0, number - 1)}"]))
    write(folder / "bad.yaml", "a: b: c")
    found = take(sqlite_kernel.db, folder)
    alone = estate.load([folder], KNOWN)
    assert (found.entities, found.relations) == (91, len(alone.relations))
    assert found.problems == list(alone.problems)


def test_an_entity_has_a_version_for_each_time_that_it_says_something_else(kernel: Kernel, tmp_path: Path) -> None:
    folder = tmp_path / "estate"
    write(folder / "a.yaml", group("payments"), service("a", "payments"))
    take(kernel.db, folder)
    write(folder / "a.yaml", group("payments"), "# moves it down\n\n", service("a", "payments"))
    take(kernel.db, folder)
    assert world(kernel.db)[0]["component:default/a"][1] > 6
    write(folder / "a.yaml", group("payments"), service("a", "payments", title="A"))
    take(kernel.db, folder)
    (folder / "a.yaml").rename(folder / "a.txt")
    take(kernel.db, folder)
    (folder / "a.txt").rename(folder / "a.yaml")
    take(kernel.db, folder)
    with kernel.db.read() as connection:
        page = entity_history.versions(connection, "component:default/a", limit=2)
        first = entity_history.versions(connection, "component:default/a", limit=2, after=page.after)
    assert [(v.version, v.changed, v.valid_to is None) for v in page.items] == [
        (3, [], True),
        (2, ["metadata.title"], False),
    ]
    assert [(v.version, v.changed) for v in first.items] == [(1, [])]
    assert first.after == ""
    assert first.items[0].valid_to == page.items[1].valid_from
    assert page.items[1].valid_to is not None and page.items[1].valid_to < page.items[0].valid_from, "it was gone"


# ---- whatever happens


NAMES = ("a", "b", "c", "d")
FILES = ("one/x.yaml", "one/y.yaml", "two/x.yaml")


@st.composite
def contents(draw: st.DrawFn) -> tuple[str, ...]:
    """Documents of a file: entities, two of a name, broken ones, ones that do not fit."""
    found: list[str] = []
    for name in draw(st.lists(st.sampled_from(NAMES), max_size=3)):
        kind = draw(st.sampled_from(("group", "service", "service", "unfit", "broken")))
        if kind == "group":
            found.append(group(name))
        elif kind == "service":
            owner, uses = draw(st.sampled_from(NAMES)), draw(st.lists(st.sampled_from(NAMES), max_size=2, unique=True))
            found.append(service(name, owner, draw(st.sampled_from(("", "other"))), uses))
        elif kind == "unfit":
            found.append(group(name).replace("type: team, ", ""))
        else:
            found.append("x: y: z\n")
    return tuple(found)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.sampled_from(FILES), contents()),
        st.tuples(st.just("remove"), st.sampled_from(FILES), st.just(())),
        st.tuples(st.just("take"), st.just(""), st.just(())),
    ),
    min_size=1,
    max_size=14,
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(steps=STEPS)
def test_any_way_to_the_same_files_ends_in_the_same_world(sqlite_kernel: Kernel, tmp_path: Path, steps: Any) -> None:
    """Taken at any times, what is declared in the end is what one reading of the last files declares: but for what
    could not be read, which stays as it was, and for whose of two entities of one name was first."""
    db, folder = sqlite_kernel.db, tmp_path / "estate"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "one").mkdir(parents=True)
    _empty(db)
    for action, file, documents in steps:
        if action == "write":
            write(folder / file, *documents)
        elif action == "remove":
            (folder / file).unlink(missing_ok=True)
        else:
            take(db, folder)
    result = take(db, folder)
    entities, relations = world(db)
    alone = estate.load([folder], KNOWN)
    files = {str(path): path for path in folder.rglob("*.yaml")}
    holding: dict[str, set[str]] = {}
    for path in files:
        for entity in estate.load([files[path]], KNOWN).entities:
            holding.setdefault(entity.ref, set()).add(path)
    for ref, where in holding.items():
        assert ref in entities
        stays = entities[ref][0] not in files or entities[ref][0] in alone.unread
        assert entities[ref][0] in where or stays
    for ref in entities.keys() - holding.keys():
        assert alone.unread, f"{ref} is held by nothing, and everything could be read"
    expected = {(r.source, r.kind, r.target) for r in alone.relations}
    if not alone.unread and all(len(where) == 1 for where in holding.values()):
        assert relations == expected
        assert set(entities) == {entity.ref for entity in alone.entities}
        assert {e.ref: (e.place.file, e.place.line, e.metadata, e.spec) for e in alone.entities} == entities
        assert sorted(map(str, result.problems)) == sorted(map(str, alone.problems))
    again = take(db, folder)
    assert (again.read, again.changed, again.orphaned, world(db)) == (0, 0, 0, (entities, relations))
    assert (again.problems, again.relations) == (result.problems, result.relations)


def _empty(db: Database) -> None:
    with db.write() as connection:
        for table in (
            tables.estate_files,
            tables.estate_claims,
            tables.estate_references,
            tables.estate_pending,
            tables.entities,
            tables.entity_facts,
            tables.entity_versions,
            tables.relations,
        ):
            connection.execute(table.delete())
