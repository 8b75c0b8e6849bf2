"""Orphans are kept for a while, then deleted, unless that were too many."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from uwu.domains.catalog import orphans
from uwu.domains.catalog.observe import load_estate
from uwu.kernel import audit, codec, tables
from uwu.kernel.runtime import Kernel

GROUP = "apiVersion: backstage.io/v1alpha1\nkind: Group\nmetadata: {name: %s}\nspec: {type: team, children: []}\n"
E = tables.entities


@pytest.fixture
def folder(kernel: Kernel) -> Path:
    path = kernel.settings.home_path / "estate"
    path.mkdir()
    for number in range(12):
        (path / f"{number}.yaml").write_text(GROUP % f"g{number}")
    load_estate(kernel)
    return path


def lose(kernel: Kernel, folder: Path, count: int, *, days: int) -> None:
    """Removes files, and lets their entities be orphans for ``days``."""
    for number in range(count):
        (folder / f"{number}.yaml").unlink()
    assert load_estate(kernel)["orphaned"] == count
    with kernel.db.write() as connection:
        at = codec.now() - timedelta(days=days)
        connection.execute(E.update().where(E.c.orphan).values(last_seen=at))


def count(kernel: Kernel, table: sa.Table) -> int:
    with kernel.db.read() as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()


def test_orphans_are_kept_for_a_while(kernel: Kernel, folder: Path) -> None:
    lose(kernel, folder, 2, days=29)
    assert orphans.sweep(kernel, "test") == {"deleted": 0, "waiting": 0, "problems": []}
    assert count(kernel, E) == 12


def test_then_they_are_deleted_and_the_audit_says_so(kernel: Kernel, folder: Path) -> None:
    lose(kernel, folder, 3, days=31)
    facts = count(kernel, tables.entity_facts)
    assert orphans.sweep(kernel, "test")["deleted"] == 3
    assert count(kernel, E) == 9
    assert count(kernel, tables.entity_facts) == facts * 9 // 12
    a = tables.audit
    with kernel.db.read() as connection:
        (entry,) = connection.execute(sa.select(a).where(a.c.action == "entities.delete")).all()
        assert audit.verify(connection).holds
    assert entry.detail["entities"] == 3
    assert entry.detail["first"] == ["group:default/g0", "group:default/g1", "group:default/g2"]
    (folder / "0.yaml").write_text(GROUP % "g0")
    assert load_estate(kernel)["changed"] == 1, "what is declared again is there again"


def test_too_many_at_once_are_kept_until_somebody_insists(kernel: Kernel, folder: Path) -> None:
    lose(kernel, folder, 4, days=31)
    kept = orphans.sweep(kernel, "test")
    assert (kept["deleted"], kept["waiting"]) == (0, 4)
    assert kept["problems"][0]["code"] == "too-many-orphans"
    assert "4 of 12 entities (33 %)" in kept["problems"][0]["message"]
    assert orphans.sweep(kernel, "test", force=True)["deleted"] == 4
