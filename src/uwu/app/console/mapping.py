"""From the kernel's nouns to what templates show: people, rows of findings, rows of changes, names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import msgspec
import sqlalchemy as sa

from uwu.app.console import links, look, words
from uwu.app.console.views import Did, Row, Who
from uwu.kernel import domain, exemptions, graph, rulebook, search_index, tables
from uwu.kernel.model import UNRESOLVED, Actor, Change, Finding
from uwu.kernel.runtime import Kernel

_IN = 500
_COMMAND = re.compile(r"(terraform|tofu|aws|uwu|git|cd|kubectl|ansible\S*)\s")


class Named(msgspec.Struct, frozen=True):
    """What a subject is called."""

    name: str
    type: str
    account: str
    owner: str
    exists: bool


class Names:
    """Names of accounts, types and rules, read once for a page; subjects are asked for as they come."""

    def __init__(self, kernel: Kernel, connection: sa.Connection) -> None:
        self.kernel = kernel
        self.connection = connection
        self.accounts = graph.account_names(connection)
        self.types = domain.types_of(kernel.domains)
        self._subjects: dict[str, Named] = {}

    def on(self, connection: sa.Connection) -> Names:
        """The same names, asked for more on another connection."""
        self.connection = connection
        return self

    def account(self, account: str) -> str:
        return self.accounts.get(account) or words.account_number(account)

    def known(self, type: str) -> domain.ResourceType | None:
        """What is said of a type of resource; None for one that no domain knows."""
        return domain.type_of(self.kernel.domains, type)

    def type(self, type: str) -> str:
        known = self.known(type)
        return known.title if known is not None else type

    def icon(self, type: str) -> str:
        known = self.known(type)
        return known.icon if known is not None else look.FALLBACK

    def icon_of(self, subject: str) -> str:
        if not subject.startswith(("arn:", "urn:")):
            return look.entity_icon(subject.partition(":")[0])
        return self.icon(self.subject(subject).type)

    def subject(self, subject: str) -> Named:
        """What ``subject`` is called; call ``load`` before, for many."""
        if subject not in self._subjects:
            self.load([subject])
        return self._subjects[subject]

    def load(self, subjects: Iterable[str]) -> None:
        """Reads the names of ``subjects`` in few queries: from what is observed, else from its last version."""
        wanted = sorted({s for s in subjects if s not in self._subjects})
        r, v, o, e = tables.resources, tables.versions, tables.ownership, tables.entities
        for i in range(0, len(wanted), _IN):
            some = wanted[i : i + _IN]
            joined = r.outerjoin(o, o.c.subject == r.c.urn)
            query = sa.select(r.c.urn, r.c.name, r.c.type, r.c.account, sa.func.coalesce(o.c.owner, ""))
            for row in self.connection.execute(query.select_from(joined).where(r.c.urn.in_(some))):
                self._subjects[row[0]] = Named(row[1], row[2], row[3], row[4], True)
            lost = [s for s in some if s not in self._subjects]
            gone = sa.select(v.c.urn, v.c.name, v.c.type, v.c.account, sa.func.coalesce(o.c.owner, ""))
            gone = gone.select_from(v.outerjoin(o, o.c.subject == v.c.urn)).order_by(v.c.version)
            for row in self.connection.execute(gone.where(v.c.urn.in_(lost))):
                self._subjects[row[0]] = Named(row[1], row[2], row[3], row[4], False)
            title = sa.func.coalesce(e.c.metadata["title"].as_string(), e.c.name)
            for row in self.connection.execute(
                sa.select(e.c.ref, title.label("title"), e.c.kind).where(e.c.ref.in_(lost))
            ):
                self._subjects[row.ref] = Named(row.title, row.kind, "", "", True)
            for subject in lost:
                self._subjects.setdefault(subject, Named(words.short(subject), "", "", "", False))
        for subject in wanted:
            if not self._subjects[subject].name:
                self._subjects[subject] = msgspec.structs.replace(self._subjects[subject], name=words.short(subject))


def rule_titles(kernel: Kernel) -> dict[str, str]:
    """Rule id -> its title, of the kernel and of all domains."""
    return {rule.id: rule.title for _, rule in rulebook.rules(kernel)}


def who(actor: Actor) -> Who:
    """A person is round, a machine or service square. Of an unknown actor the principal is shown."""
    person = actor.kind == "human"
    name = actor.name or words.short(actor.principal) or "unknown"
    return Who(
        name=name,
        short=words.handle(name),
        person=person,
        hue=look.hue(name) if person else 0,
        guess=actor.confidence in {"guess", "none"} and person,
        href=links.with_query(links.CHANGES, {"actor": name, "days": "90"}),
    )


def owner_href(owner: str) -> str:
    return links.entity(owner) if owner else ""


def row(finding: Finding, names: Names) -> Row:
    """A finding as a line of a list."""
    cause = finding.cause
    return Row(
        id=finding.id,
        href=links.finding(finding.id),
        severity=finding.severity.value,
        title=finding.title,
        subject=finding.subject,
        subject_name=names.subject(finding.subject).name,
        rule=finding.rule,
        owner=words.short_ref(finding.owner),
        owner_href=owner_href(finding.owner),
        account=finding.account,
        account_name=names.account(finding.account) if finding.account else "",
        who=who(cause.actor) if cause is not None else None,
        through=cause.through if cause is not None else "",
        opened_at=finding.opened_at,
        status=finding.status.value,
    )


def rows(findings: Sequence[Finding], names: Names) -> list[Row]:
    names.load(f.subject for f in findings)
    ends = exemptions.ends(names.connection, {f.exemption for f in findings if f.exemption})
    made = [row(f, names) for f in findings]
    if not ends:
        return made
    until = [ends.get(f.exemption) for f in findings]
    return [msgspec.structs.replace(one, exempt_until=end) for one, end in zip(made, until, strict=True)]


def is_change(change: Change) -> bool:
    """It changed something: signing in does not."""
    return change.name not in words.SIGN_IN


def changes(found: Sequence[Change], names: Names, limit: int | None = None) -> list[Did]:
    """Changes as lines of a list: one for each event, about its target, with the number of others it touched.

    Of more events than ``limit`` only so many become lines.
    """
    events: dict[str, list[Change]] = {}
    for change in found:
        events.setdefault(change.event_id, []).append(change)
    shown = list(events.values())[:limit]
    chosen = [(min(some, key=lambda c: c.role != "target"), len(some) - 1) for some in shown]
    names.load(change.urn for change, _ in chosen if change.urn)
    causes = _causes(names.connection, [change.event_id for change, _ in chosen])
    declared = _declared(names.connection, [change.urn for change, _ in chosen])
    return [did(change, names, more, causes, declared) for change, more in chosen]


def did(
    change: Change,
    names: Names,
    more: int = 0,
    causes: dict[str, str] | None = None,
    declared: set[str] | None = None,
) -> Did:
    """One change as a line; ``causes`` is event -> finding, ``declared`` the subjects that are as declared."""
    named = names.subject(change.urn) if change.urn else Named("", "", "", "", False)
    finding = (causes or {}).get(change.event_id, "")
    verdict = "undeclared" if finding else "declared" if change.urn in (declared or set()) else ""
    return Did(
        id=change.event_id,
        at=change.at,
        who=who(change.actor),
        phrase=words.did(change),
        event=change.name,
        name=named.name,
        type=names.type(named.type) if named.type else "",
        href=links.subject(change.urn) if change.urn else "",
        owner=words.short_ref(named.owner),
        owner_href=owner_href(named.owner),
        account_name=names.account(change.account) if change.account else "",
        through=change.through,
        more=more,
        verdict=verdict,
        finding=links.finding(finding) if finding else "",
    )


def _causes(connection: sa.Connection, events: Sequence[str]) -> dict[str, str]:
    """Event -> the unresolved finding that it caused."""
    f, event = tables.findings, search_index.EVENT
    found: dict[str, str] = {}
    for i in range(0, len(events), _IN):
        query = sa.select(event, f.c.id).where(search_index.UNRESOLVED, event.in_(events[i : i + _IN]))
        found.update((row[0], row[1]) for row in connection.execute(query.order_by(f.c.id)))
    return found


def _declared(connection: sa.Connection, urns: Sequence[str]) -> set[str]:
    """Those of ``urns`` that a declaration holds and no finding speaks against."""
    d, f = tables.declarations, tables.findings
    wanted = sorted(set(urns))
    held: set[str] = set()
    for i in range(0, len(wanted), _IN):
        some = wanted[i : i + _IN]
        held.update(connection.scalars(sa.select(d.c.urn).where(d.c.urn.in_(some))))
        wrong = sa.select(f.c.subject).where(f.c.status.in_(UNRESOLVED), f.c.subject.in_(some))
        held.difference_update(connection.scalars(wrong))
    return held


def is_command(text: str) -> bool:
    """A remedy that can be pasted into a shell, rather than a sentence."""
    return _COMMAND.match(text) is not None
