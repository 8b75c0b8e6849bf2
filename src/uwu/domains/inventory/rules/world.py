"""What the rules look at, read once for all of them: places, environments, exposure, and what resources name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any

import sqlalchemy as sa

from uwu.domains.inventory.model import SOURCE
from uwu.domains.inventory.rules.model import Row
from uwu.domains.inventory.services import ACCOUNT
from uwu.kernel import codec, tables, urns
from uwu.kernel.exposure import Exposure
from uwu.kernel.model import CellStatus, Severity
from uwu.kernel.runtime import Kernel

_IN = 500
_HIGHER = {
    Severity.LOW: Severity.MEDIUM,
    Severity.MEDIUM: Severity.HIGH,
    Severity.HIGH: Severity.CRITICAL,
    Severity.CRITICAL: Severity.CRITICAL,
}


class World:
    """The graph as it is, for one judging. What several rules need of it is read when the first of them asks."""

    def __init__(self, kernel: Kernel, connection: sa.Connection, *, exposed: Iterable[Exposure] = ()) -> None:
        self.kernel = kernel
        self.connection = connection
        self.settings = kernel.settings.rules
        self.now = codec.now()
        self.exposures = {one.urn: one for one in exposed if one.answer != "no"}
        self.memo: dict[str, Any] = {}
        """What a rule has read for itself."""

    # ---- places

    @cached_property
    def cells(self) -> dict[str, str]:
        """The status of every cell of AWS."""
        c = tables.coverage
        query = sa.select(c.c.cell, c.c.status).where(c.c.source == SOURCE)
        return {row.cell: row.status for row in self.connection.execute(query)}

    @cached_property
    def _by_type(self) -> dict[str, list[tuple[str, str, str]]]:
        found: dict[str, list[tuple[str, str, str]]] = {}
        for cell, status in self.cells.items():
            _, account, region, type = cell.split("/", 3)
            found.setdefault(type, []).append((account, region, status))
        return found

    def whole(self, cell: str) -> bool:
        """Whether a cell was observed completely."""
        return self.cells.get(cell) == CellStatus.COMPLETE.value

    def hole(self, type: str, account: str = "", region: str = "") -> str:
        """In words, what of ``type`` was not observed completely there (empty: anywhere); empty where all of it was.

        That AWS does not offer it in a region is no hole, that nobody looked is one.
        """
        here = [
            (a, r, s)
            for a, r, s in self._by_type.get(type, ())
            if (not account or a == account) and (not region or r == region)
        ]
        if not here:
            return f"{type} was never observed there"
        seen = (CellStatus.COMPLETE.value, CellStatus.UNSUPPORTED.value)
        bad = sorted({(a, s) for a, _, s in here if s not in seen})
        if not bad:
            return ""
        return f"{type} was not observed completely" + (f": {bad[0][1]}" if len({s for _, s in bad}) == 1 else "")

    # ---- resources

    def rows(self, types: Sequence[str], some: frozenset[str] | None = None) -> Iterator[Row]:
        """The resources of ``types``, of each type together."""
        r = tables.resources
        fields = [r.c[name] for name in _FIELDS]
        if some is not None:
            wanted = sorted(some)
            for start in range(0, len(wanted), _IN):
                query = sa.select(*fields).where(r.c.urn.in_(wanted[start : start + _IN]), r.c.type.in_(types))
                yield from self._read(query)
            return
        for type in types:
            yield from self._read(sa.select(*fields).where(r.c.type == type))

    def _read(self, query: sa.Select[Any]) -> Iterator[Row]:
        for row in self.connection.execute(query):
            yield Row(*row, whole=self.whole(row.cell))

    def held(self, type: str) -> list[Row]:
        """Every resource of a type of which there are few, kept."""
        if type not in self._held:
            self._held[type] = list(self.rows((type,)))
        return self._held[type]

    @cached_property
    def _held(self) -> dict[str, list[Row]]:
        return {}

    def by(self, type: str, member: str) -> dict[str, Row]:
        """The resources of ``type`` by an attribute; ``urn`` stands for the urn."""
        key = type, member
        if key not in self._indexes:
            self._indexes[key] = {
                str(row.urn if member == "urn" else row.get(member) or ""): row for row in self.held(type)
            }
        return self._indexes[key]

    @cached_property
    def _indexes(self) -> dict[tuple[str, str], dict[str, Row]]:
        return {}

    @cached_property
    def places(self) -> set[tuple[str, str, str]]:
        """(type, account, region) of everything that there is."""
        r = tables.resources
        query = sa.select(r.c.type, r.c.account, r.c.region).distinct()
        return {(row[0], row[1], row[2]) for row in self.connection.execute(query)}

    def used(self, account: str, region: str, *types: str) -> bool:
        """Whether an account holds one of ``types`` in a region; of any region where it is empty."""
        if region:
            return any((type, account, region) in self.places for type in types)
        return any((type, account) in self._accounts_types for type in types)

    @cached_property
    def _accounts_types(self) -> set[tuple[str, str]]:
        return {(type, account) for type, account, _ in self.places}

    def targets(self, kind: str) -> set[str]:
        """What a relation of ``kind`` points to."""
        if kind not in self._targets:
            t = tables.relations
            query = sa.select(t.c.target).where(t.c.kind == kind, t.c.valid_to.is_(None)).distinct()
            self._targets[kind] = set(self.connection.scalars(query))
        return self._targets[kind]

    @cached_property
    def _targets(self) -> dict[str, set[str]]:
        return {}

    # ---- accounts

    @cached_property
    def accounts(self) -> dict[str, Row]:
        """The accounts that are observed, by their id."""
        return {row.account: row for row in self.held(ACCOUNT)}

    @cached_property
    def accounts_known(self) -> bool:
        """Whether every account of the organization is known."""
        return bool(self.accounts) and not self.hole(ACCOUNT)

    @cached_property
    def environments(self) -> dict[str, str]:
        """Account -> its environment: as its Account entity declares it, else by its tags."""
        found: dict[str, str] = {}
        for account, row in self.accounts.items():
            found[account] = _environment(row.tags)
        e = tables.entities
        for spec in self.connection.scalars(sa.select(e.c.spec).where(e.c.kind == "Account")):
            if spec.get("accountId") and spec.get("environment"):
                found[str(spec["accountId"])] = str(spec["environment"])
        return found

    def production(self, row: Row) -> bool:
        """Whether a resource is of a production environment: by its account, else by its own tags."""
        environment = self.environments.get(row.account) or _environment(row.tags)
        return any(fnmatchcase(environment.lower(), one) for one in self.settings.production)

    def raised(self, row: Row, severity: Severity) -> Severity:
        """``severity``, one higher in production."""
        return _HIGHER[severity] if self.production(row) else severity

    def outside(self, account: str) -> bool:
        """Whether ``account`` is neither of the organization nor trusted."""
        return account not in self.accounts and account not in self.settings.trusted_accounts

    # ---- time

    def older(self, at: datetime | None, days: int) -> bool:
        """Whether ``at`` is more than ``days`` ago."""
        return at is not None and self.now - at > timedelta(days=days)


_FIELDS = (
    "urn",
    "type",
    "account",
    "region",
    "name",
    "attributes",
    "tags",
    "managed_by",
    "cell",
    "changed_at",
)


def _environment(tags: dict[str, str]) -> str:
    lower = {name.lower(): value for name, value in tags.items()}
    return lower.get("environment") or lower.get("env") or ""


def filled(remedy: str, row: Row) -> str:
    """``remedy`` with what it leaves open: ``<name>``, ``<id>``, ``<arn>``, ``<url>``, ``<account>``, ``<region>``."""
    given = {
        "<name>": row.name,
        "<id>": urns.short(row.urn),
        "<arn>": row.urn,
        "<url>": str(row.get("QueueUrl") or "<url>"),
        "<account>": row.account,
        "<region>": row.region,
    }
    for name, value in given.items():
        remedy = remedy.replace(name, value)
    return remedy
