"""The story of a subject: what it is, who owns it, whether it is as declared, who changed it, what puts it right."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from uwu.kernel import declared, domain, drift, graph, ownership, tables, urns
from uwu.kernel.db import columns, to_struct
from uwu.kernel.graph import Covered, Observed, Version
from uwu.kernel.model import Change, Declaration, Entity, Finding, Relation
from uwu.kernel.ownership import Owned
from uwu.kernel.rules import GONE, UNDECLARED, UNOWNED
from uwu.kernel.runtime import Kernel

CHANGES_SHOWN = 20


class Source(msgspec.Struct, frozen=True):
    """Where a claim comes from: ``kind`` is event, state, estate, coverage or evidence; ``key`` finds it again."""

    kind: str
    label: str
    key: str


class Sentence(msgspec.Struct, frozen=True):
    """One claim with its sources. ``about`` is what, happened, declared, observed, owned or fix."""

    about: str
    text: str
    sources: list[Source] = []
    at: datetime | None = None


class Told(msgspec.Struct, frozen=True):
    """A finding with its sentences."""

    finding: Finding
    sentences: list[Sentence]


class Story(msgspec.Struct, frozen=True):
    """Everything that is known of a subject, each claim with its source."""

    subject: str
    title: str
    type: str
    type_title: str
    account: str
    account_name: str
    region: str
    exists: bool
    """It is observed now. A subject that only declarations or history know does not."""
    resource: Observed | None
    entity: Entity | None
    declarations: list[Declaration]
    ownership: Owned | None
    coverage: Covered | None
    findings: list[Told]
    changes: list[Change]
    versions: list[Version]
    relations: list[Relation]
    owns: int
    """Resources that the entity owns; 0 for a resource."""
    sentences: list[Sentence]
    """The whole in at most five sentences."""
    at: datetime | None = None
    """The time that it is told of; None for now. Of a past time what was declared and covered is not kept: those are
    empty; owner and entity are today's."""


def explain(kernel: Kernel, subject: str, at: datetime | None = None) -> Story:
    """The story of a resolved subject (see ``subjects.resolve``), as it is or as it was at ``at``."""
    with kernel.db.read() as connection:
        resource = graph.resource(connection, subject) if at is None else graph.resource_at(connection, subject, at)
        entity = declared.entity(connection, subject) if resource is None else None
        declarations = declared.declarations(connection, urn=subject) if entity is None and at is None else []
        versions = graph.history(connection, subject, limit=50, at=at) if entity is None else []
        owned = ownership.owner_of(connection, subject)
        relations = graph.neighbours(connection, subject, at=at)
        found = drift.findings(connection, subject=subject, at=at, limit=100).items
        names = graph.account_names(connection)
        cell = resource.cell if resource is not None else found[0].cell if found else ""
        covered = _covered(connection, cell) if at is None else None
        owns = _owns(connection, entity) if entity is not None else 0
    log = kernel.change_log
    changes = log.changes([subject], until=at, limit=CHANGES_SHOWN) if log is not None and entity is None else []
    last = versions[0] if versions else None
    shape = resource or last
    type = shape.type if shape is not None else declarations[0].type if declarations else ""
    known = domain.type_of(kernel.domains, type)
    account = shape.account if shape is not None else urns.account_of(subject) or (covered.account if covered else "")
    told = [Told(one, _sentences(kernel, one)) for one in found]
    story = Story(
        subject=subject,
        title=_title(subject, resource, last, entity, declarations),
        type=type,
        type_title=known.title if known is not None else entity.kind if entity is not None else type,
        account=account,
        account_name=names.get(account, ""),
        region=shape.region if shape is not None else covered.region if covered is not None else "",
        exists=resource is not None,
        resource=resource,
        entity=entity,
        declarations=declarations,
        ownership=owned,
        coverage=covered,
        findings=told,
        changes=changes,
        versions=versions,
        relations=relations,
        owns=owns,
        sentences=[],
        at=at,
    )
    return msgspec.structs.replace(story, sentences=summary(story))


def mend_command(kernel: Kernel, finding: Finding) -> str:
    """The command that plans the mending of ``finding``; empty where no planner can, or could not be applied."""
    from uwu.kernel.plans import mender_of

    mender = mender_of(kernel.domains, finding)
    if mender is None or (mender.in_aws and not kernel.settings.aws.apply_role_name):
        return ""
    return " ".join(["uwu plan mend", finding.id, *(f"--{name} {name.upper()}" for name in mender.asks)])


def _covered(connection: sa.Connection, cell: str) -> Covered | None:
    c = tables.coverage
    row = connection.execute(sa.select(*columns(c, Covered)).where(c.c.cell == cell)).first()
    return to_struct(Covered, row) if row is not None else None


def _owns(connection: sa.Connection, entity: Entity) -> int:
    o = tables.ownership
    return connection.execute(sa.select(sa.func.count()).where(o.c.owner == entity.ref)).scalar_one()


def _title(
    subject: str,
    resource: Observed | None,
    last: Version | None,
    entity: Entity | None,
    declarations: list[Declaration],
) -> str:
    if entity is not None:
        return str(entity.metadata.get("title") or entity.name)
    name = resource.name if resource is not None else last.name if last is not None else ""
    return name or (urns.short(subject) if not declarations else declarations[0].address)


# ---- sentences


def who(change: Change) -> str:
    """The actor of a change for people: a human by name, a machine or service as what it is."""
    actor = change.actor
    if actor.kind == "human":
        return actor.name + (" (a guess)" if actor.confidence == "guess" else "")
    if actor.kind == "unknown":
        return f"someone unknown as {actor.name}" if actor.name else "someone unknown"
    return f"{actor.name} ({actor.kind})"


def _event(change: Change) -> Source:
    return Source("event", f"CloudTrail {change.name}", change.event_id)


def _happened(change: Change) -> Sentence:
    through = f" through {change.through}" if change.through else ""
    chain = f", as {urns.short(change.actor.principal)}" if change.actor.principal else ""
    return Sentence("happened", f"{who(change)} called {change.name}{through}{chain}.", [_event(change)], change.at)


def _sentences(kernel: Kernel, finding: Finding) -> list[Sentence]:
    told: list[Sentence] = []
    if finding.cause is not None:
        told.append(_happened(finding.cause))
    if finding.place:
        told.append(
            Sentence("declared", f"Declared in {finding.place}.", [Source("state", finding.place, finding.place)])
        )
    told += [Sentence("fix", way) for way in (mend_command(kernel, finding), finding.remedy) if way]
    return told


def summary(story: Story) -> list[Sentence]:
    """The whole story in at most five sentences."""
    told = [
        one for one in (_what_happened(story), _declared(story), _observed(story), _owned(story), _fix(story)) if one
    ]
    return told[:5]


def _what_happened(story: Story) -> Sentence | None:
    caused = [one.finding for one in story.findings if one.finding.cause is not None]
    if caused:
        finding = max(caused, key=lambda f: f.cause.at if f.cause is not None else f.opened_at)
        change = finding.cause
        assert change is not None
        verb = {GONE: "deleted it", UNDECLARED: "created it outside of code", UNOWNED: "created it"}.get(
            finding.rule, f"changed {finding.path}"
        )
        through = f" through {change.through}" if change.through else ""
        others = len({f.cause.event_id for f in caused if f.cause is not None}) - 1
        more = f"; {others} more change{'s' if others > 1 else ''} below" if others else ""
        return Sentence("happened", f"{who(change)} {verb}{through}{more}.", [_event(change)], change.at)
    change = next((c for c in story.changes if c.role == "target"), None)
    if change is not None:
        return Sentence("happened", f"Last changed by {who(change)}: {change.name}.", [_event(change)], change.at)
    return None


def _declared(story: Story) -> Sentence | None:
    if story.entity is not None:
        place = str(story.entity.place)
        return Sentence("declared", f"Declared in {place}.", [Source("estate", place, place)])
    if story.declarations:
        first = story.declarations[0]
        others = len(story.declarations) - 1
        more = f" and {others} more place{'s' if others > 1 else ''}" if others else ""
        return Sentence(
            "declared",
            f"{first.source} declares it as {first.address}{more}.",
            [Source("state", d.place, d.id) for d in story.declarations[:3]],
        )
    if story.resource is not None and story.resource.managed_by == "aws":
        return Sentence("declared", "AWS made it by itself; nobody declares it.")
    if story.resource is not None and story.resource.managed_by:
        return Sentence("declared", f"It is a part of {urns.short(story.resource.managed_by)}, which made it.")
    if any(one.finding.rule == UNDECLARED for one in story.findings):
        return Sentence("declared", "No declaration holds it.")
    return None


def _observed(story: Story) -> Sentence | None:
    if story.entity is not None:
        return None
    paths = sorted({one.finding.path for one in story.findings if one.finding.path})
    sources = [Source("coverage", story.coverage.cell, story.coverage.cell)] if story.coverage is not None else []
    at = story.coverage.complete_at if story.coverage is not None else None
    if not story.exists:
        if story.at is not None and not story.versions:
            return Sentence("observed", "Nothing is known of it by then.")
        gone = "It does not exist any more." if story.at is None else "It did not exist then."
        return Sentence("observed", gone, sources, at)
    if story.at is not None and not paths:
        since = max(version.valid_from for version in story.versions)
        return Sentence("observed", "Observed to exist, as it had been since.", sources, since)
    if paths:
        return Sentence("observed", f"Observed to differ in {', '.join(paths)}.", sources, at)
    if story.declarations:
        return Sentence("observed", "Observed to be as declared.", sources, at)
    return Sentence("observed", "Observed to exist.", sources, at)


def _owned(story: Story) -> Sentence | None:
    owned = story.ownership
    if story.entity is not None:
        owner: Any = story.entity.spec.get("owner")
        return Sentence("owned", f"Owned by {owner}.") if owner else None
    if owned is None:
        return None
    if not owned.owner:
        return Sentence("owned", "Nobody owns it: no tag, state, account or creator names an owner.")
    agree = [e for e in owned.evidence if e.owner == owned.owner]
    against = f"; {len(owned.conflicts)} disagree" if owned.conflicts else ""
    return Sentence(
        "owned",
        f"Owned by {owned.owner.split('/')[-1]}, by {agree[0].source}{against}.",
        [Source("evidence", e.source, e.kind) for e in agree],
    )


def _fix(story: Story) -> Sentence | None:
    return next((sentence for one in story.findings for sentence in one.sentences if sentence.about == "fix"), None)
