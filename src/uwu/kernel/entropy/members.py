"""What belongs to which scope: now, and within the last 30 days.

Mending often deletes: the resource that was open to the world, the one that nobody owned. Were it no longer counted,
what is left would look worse than before. So what was there still counts for 30 days where it was.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from uwu.kernel import codec, estate, tables
from uwu.kernel.entropy.formula import REMEMBERED
from uwu.kernel.errors import BadInput
from uwu.kernel.model import UNRESOLVED

KINDS = ("component", "system")
"""Entities that are a service."""
TAGS = frozenset({"uwu:service", "service", "app", "application", "component", "system"})
"""Tag keys, lower case, whose value may name a service."""
_OUT = ("ownerOf", "hasPart", "dependsOn")
"""Relations from a service to a resource that make it the service's."""

Place = tuple[str, str]
"""(scope, key)."""


class Member(msgspec.Struct, frozen=True):
    """Where a subject belongs now."""

    account: str
    owner: str
    services: tuple[str, ...]

    def places(self) -> set[Place]:
        """The scopes that it counts in; that of domains counts all."""
        held = {("owner", self.owner), ("account", self.account)}
        return held | {("service", service) for service in self.services}


class Members(msgspec.Struct, frozen=True):
    """Every subject as it is, and what was."""

    now: dict[str, Member]
    past: dict[str, dict[Place, datetime]]
    """Subject -> where it belonged within the last 30 days and does no more, and when that was noticed."""
    gone: dict[str, datetime]
    """Subjects that are no more, and when that was noticed."""

    def count(self) -> dict[Place, int]:
        """Subjects of each scope, those of the last 30 days included."""
        counts: defaultdict[Place, int] = defaultdict(int)
        if whole := len(self.now.keys() | self.gone.keys()):
            counts["all", ""] = whole
        for subject, member in self.now.items():
            for place in member.places() | self.past.get(subject, {}).keys():
                counts[place] += 1
        for subject in self.gone:
            for place in self.past.get(subject, {}):
                counts[place] += 1
        return counts


def read(connection: sa.Connection, at: datetime) -> Members:
    """What is there, and what was by the last time that it was kept."""
    now = current(connection)
    s = tables.entropy_subjects
    horizon = at - REMEMBERED
    past: dict[str, dict[Place, datetime]] = {}
    gone: dict[str, datetime] = {}
    for row in connection.execute(sa.select(s)):
        member = now.get(row.subject)
        held: dict[Place, datetime] = {}
        for name, until in row.past.items():
            if (ended := codec.parse_time(until)) > horizon:
                held[_place(name)] = ended
        ended = row.gone_at or at
        if row.gone_at is None:
            held |= dict.fromkeys(Member(row.account, row.owner, tuple(row.services)).places(), at)
        if member is None:
            if ended > horizon:
                gone[row.subject] = ended
        else:
            held = {place: until for place, until in held.items() if place not in member.places()}
        if held:
            past[row.subject] = held
    return Members(now, past, gone)


def rows(members: Members) -> dict[str, dict[str, Any]]:
    """What is to be kept of them, by subject."""
    found: dict[str, dict[str, Any]] = {}
    for subject in members.now.keys() | members.gone.keys():
        member = members.now.get(subject) or Member("", "", ())
        past = members.past.get(subject, {})
        found[subject] = {
            "subject": subject,
            "account": member.account,
            "owner": member.owner,
            "services": list(member.services),
            "gone_at": None if subject in members.now else members.gone[subject],
            "past": {f"{scope}={key}": codec.iso(past[scope, key]) for scope, key in sorted(past)},
        }
    return found


def _place(name: str) -> Place:
    scope, _, key = name.partition("=")
    return scope, key


def current(connection: sa.Connection) -> dict[str, Member]:
    """Every subject that is declared, observed or found wanting, and where it belongs."""
    r, d, o, f = tables.resources, tables.declarations, tables.ownership, tables.findings
    services = Services(connection)
    owners = {row.subject: row.owner for row in connection.execute(sa.select(o.c.subject, o.c.owner))}
    found: dict[str, Member] = {}
    observed = sa.select(r.c.urn, r.c.account, r.c.tags).where(r.c.managed_by != "aws")
    for row in connection.execute(observed):
        found[row.urn] = Member(row.account, owners.get(row.urn, ""), services.of(row.urn, row.tags))
    for urn in connection.scalars(sa.select(d.c.urn).where(d.c.urn != "")):
        if urn not in found:
            found[urn] = Member("", owners.get(urn, ""), services.of(urn, {}))
    unresolved = sa.select(f.c.subject, f.c.account, f.c.owner).where(f.c.status.in_(UNRESOLVED))
    for row in connection.execute(unresolved):
        member = found.get(row.subject)
        if member is None or (row.account and not member.account):
            owner = member.owner if member is not None else row.owner
            found[row.subject] = Member(row.account, owner, services.of(row.subject, {}))
    return found


class Services:
    """Which components and systems a subject belongs to.

    By a tag that names one, by the estate's own word (the evidence of its owner), by a relation, or by the stack that
    declares it; what belongs to a component belongs to its system.
    """

    def __init__(self, connection: sa.Connection) -> None:
        e, t, o, d = tables.entities, tables.relations, tables.ownership, tables.declarations
        self._refs: set[str] = set()
        named: defaultdict[str, set[str]] = defaultdict(set)
        kinds = sa.select(e.c.ref, e.c.name).where(sa.func.lower(e.c.kind).in_(KINDS))
        for row in connection.execute(kinds):
            self._refs.add(row.ref)
            named[row.name.lower()].add(row.ref)
        self._named = {name: next(iter(refs)) for name, refs in named.items() if len(refs) == 1}
        self._above: defaultdict[str, set[str]] = defaultdict(set)
        self._of: defaultdict[str, set[str]] = defaultdict(set)
        self._meant: dict[str, str] = {}
        if not self._refs:
            return
        parts = sa.select(t.c.source, t.c.target).where(t.c.kind == "partOf", t.c.valid_to.is_(None))
        for row in connection.execute(parts):
            if row.target in self._refs:
                self._above[row.source].add(row.target)
        within = sa.select(t.c.source, t.c.target).where(t.c.kind.in_(_OUT), t.c.valid_to.is_(None))
        for row in connection.execute(within.where(t.c.source.in_(sorted(self._refs)))):
            if row.target not in self._refs:
                self._of[row.target].add(row.source)
        for row in connection.execute(sa.select(o.c.subject, o.c.evidence).where(o.c.strength == "estate")):
            for told in row.evidence:
                ref = str(told.get("source", "")).partition(" at ")[0]
                if told.get("kind") == "estate" and ref in self._refs:
                    self._of[row.subject].add(ref)
        stacks = sorted(source for source, above in self._above.items() if above and source not in self._refs)
        for i in range(0, len(stacks), 500):
            declared = sa.select(d.c.urn, d.c.source).where(d.c.urn != "", d.c.source.in_(stacks[i : i + 500]))
            for row in connection.execute(declared):
                self._of[row.urn] |= self._above[row.source]

    def of(self, subject: str, tags: Mapping[str, str]) -> tuple[str, ...]:
        """References, sorted."""
        if not self._refs:
            return ()
        direct = set(self._of.get(subject, ()))
        for key, value in tags.items():
            if key.lower() in TAGS and (ref := self._mean(str(value))):
                direct.add(ref)
        if not direct:
            return ()
        return tuple(sorted(self._with_above(direct)))

    def _mean(self, text: str) -> str:
        if text not in self._meant:
            self._meant[text] = self._named.get(text.strip().lower(), "") or self._exact(text)
        return self._meant[text]

    def _exact(self, text: str) -> str:
        try:
            ref = str(estate.parse_reference(text, kind="component", namespace="default"))
        except BadInput:
            return ""
        return ref if ref in self._refs else ""

    def _with_above(self, direct: Iterable[str]) -> set[str]:
        found: set[str] = set()
        waiting = list(direct)
        while waiting:
            ref = waiting.pop()
            if ref not in found:
                found.add(ref)
                waiting += self._above.get(ref, ())
        return found
