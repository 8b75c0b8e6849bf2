"""A small organisation, homes that look at it, and what can be compared between two homes."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from uwu.kernel import domain, query, settings, tables
from uwu.kernel.runtime import Kernel
from uwu.sim import Organisation, build, write_home

UWU = str(Path(sys.executable).parent / "uwu")
SEED = 5


@dataclass(frozen=True)
class Small:
    """An organisation of four accounts in one region, and a home that has not looked at it yet."""

    organisation: Organisation
    template: Path

    @classmethod
    def built(cls, url: str, template: Path, seed: int = SEED) -> Small:
        """Builds it in the moto server at ``url``."""
        organisation = build(url, template, seed=seed, accounts=4, regions=1, resources=100)
        write_home(template, organisation)
        return cls(organisation, template)

    def home(self, path: Path) -> Path:
        """A fresh home at ``path``."""
        shutil.copytree(self.template, path)
        return path


def environment(home: Path, organisation: Organisation | None, **more: str) -> dict[str, str]:
    """The environment of a process that works on ``home`` with the management account's credentials."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("UWU_", "AWS_"))}
    credentials = organisation.credentials if organisation is not None else {}
    none = {name: str(home / "none") for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")}
    return {**inherited, **none, "AWS_EC2_METADATA_DISABLED": "true", "UWU_HOME": str(home), **credentials, **more}


@dataclass(frozen=True)
class Said:
    """How a command ended and what it said."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        assert self.out, self.err
        return json.loads(self.out)


def uwu(env: Mapping[str, str], *arguments: str, timeout: float = 120) -> Said:
    """Runs one command in a process of its own."""
    done = subprocess.run(
        [UWU, *arguments], env=dict(env), capture_output=True, text=True, timeout=timeout, check=False
    )
    return Said(done.returncode, done.stdout, done.stderr)


def opened(home: Path, database_url: str = "") -> Kernel:
    """A kernel on ``home``, whatever this process's own variables say."""
    variables = {"UWU_DATABASE_URL": database_url} if database_url else {}
    return Kernel(settings.load(home, variables), domain.installed())


def rows(kernel: Kernel, sql: str) -> list[tuple[Any, ...]]:
    """The answer of ``uwu query``."""
    answer = query.run(kernel, sql)
    assert not answer.truncated, sql
    return [tuple(row) for row in answer.rows]


def facts(kernel: Kernel) -> dict[str, list[Any]]:
    """Everything that two homes must agree on after the same observations, each list sorted, doubles kept."""
    r, t, f, o = tables.resources, tables.relations, tables.findings, tables.ownership
    d, e, c = tables.declarations, tables.entities, tables.coverage
    with kernel.db.read() as connection:

        def told(*columns: sa.Column[Any], where: sa.ColumnElement[bool] | None = None) -> list[Any]:
            query_ = sa.select(*columns)
            return sorted(map(tuple, connection.execute(query_ if where is None else query_.where(where))))

        found = connection.execute(sa.select(f)).mappings().all()
        known: dict[str, list[Any]] = {
            "resources": told(r.c.urn, r.c.cell, r.c.hash),
            "relations": told(t.c.source, t.c.kind, t.c.target, where=t.c.valid_to.is_(None)),
            "entities": told(e.c.ref, e.c.orphan),
            "declarations": told(d.c.id, d.c.urn, d.c.hash),
            "coverage": told(c.c.cell, c.c.status, c.c.resources),
            "ownership": told(o.c.subject, o.c.owner, o.c.strength),
            "findings": sorted(
                (
                    *(row[name] for name in ("id", "rule", "subject", "path", "severity", "status", "owner", "actor")),
                    (row["cause"] or {}).get("event_id", ""),
                    row["remedy"],
                )
                for row in found
            ),
        }
    known["events"] = sorted(rows(kernel, "select event_id, event_name, actor_kind, actor from events"))
    known["event_resources"] = sorted(rows(kernel, "select event_id, urn from event_resources"))
    return known


def different(one: dict[str, list[Any]], other: dict[str, list[Any]]) -> dict[str, Any]:
    """What only one of two homes knows, by kind of fact; empty where they agree."""
    found: dict[str, Any] = {}
    for name, here in one.items():
        there = other[name]
        if here != there:
            found[name] = {"only here": sorted(set(here) - set(there)), "only there": sorted(set(there) - set(here))}
    return found


def versions(kernel: Kernel) -> dict[str, list[Any]]:
    """urn -> its versions, the oldest first."""
    v = tables.versions
    found: defaultdict[str, list[Any]] = defaultdict(list)
    with kernel.db.read() as connection:
        for row in connection.execute(sa.select(v).order_by(v.c.urn, v.c.version)):
            found[row.urn].append(row)
    return dict(found)


def faults(kernel: Kernel) -> list[str]:
    """What is wrong with the histories of a home whose resources never come back: doubled, lost, with gaps."""
    wrong: list[str] = []
    r, t = tables.resources, tables.relations
    with kernel.db.read() as connection:
        current = {row.urn: row for row in connection.execute(sa.select(r.c.urn, r.c.version, r.c.hash))}
        ends = sa.select(t.c.source, t.c.kind, t.c.target).where(t.c.valid_to.is_(None))
        open_relations = [tuple(row) for row in connection.execute(ends)]
    history = versions(kernel)
    wrong += [f"{urn} has no version" for urn in current if urn not in history]
    wrong += [f"the relation {one} is doubled" for one in {x for x in open_relations if open_relations.count(x) > 1}]
    for urn, chain in history.items():
        if [row.version for row in chain] != list(range(1, len(chain) + 1)):
            wrong.append(f"{urn} counts {[row.version for row in chain]}")
        for before, after in itertools.pairwise(chain):
            if before.hash == after.hash:
                wrong.append(f"{urn} has version {after.version} twice")
            if before.valid_to != after.valid_from or before.valid_from >= after.valid_from:
                wrong.append(f"{urn} has a gap or an overlap before version {after.version}")
        last = chain[-1]
        if urn in current and (last.valid_to is not None or last.hash != current[urn].hash):
            wrong.append(f"{urn} is not as its last version says")
        if urn not in current and last.valid_to is None:
            wrong.append(f"{urn} is gone and its last version is open")
    return wrong
