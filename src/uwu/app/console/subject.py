"""The pages of one resource and of one finding."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from uwu.app.console import compare, facts, history, links, look, mapping, tell, ways, words
from uwu.app.console.history import Look
from uwu.app.console.lists import Query
from uwu.app.console.mapping import Names
from uwu.app.console.views import (
    Cause,
    Edge,
    Fact,
    FindingPage,
    Graph,
    Link,
    Moment,
    Node,
    Owner,
    Part,
    Proof,
    Said,
    Step,
    Subject,
)
from uwu.kernel import cause, codec, drift, explain
from uwu.kernel.errors import NotFound
from uwu.kernel.explain import Story
from uwu.kernel.graph import Version
from uwu.kernel.model import UNRESOLVED, CellStatus, Change, Finding, FindingStatus, Relation
from uwu.kernel.rules import GONE, UNDECLARED, UNOWNED
from uwu.kernel.runtime import Kernel

VERSIONS_SHOWN, CHANGES_SHOWN, DECLARED_LINES, FINDINGS_READ = 8, 8, 16, 200
_CODE = re.compile(r"terraform|cloudformation|opentofu|pulumi|cdk", re.IGNORECASE)
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


def resource(kernel: Kernel, urn: str, asked: Query) -> Subject:
    """The page of a resolved urn, as of the version or time that ``asked`` names, or with two versions side by side.

    Raises ``NotFound`` for what is not kept, ``BadInput`` for what is no version or time.
    """
    story = explain.explain(kernel, urn)
    looked = history.look(story.versions, asked)
    with kernel.db.read() as connection:
        names = Names(kernel, connection)
        names.load({end for r in story.relations for end in (r.source, r.target)})
        found = drift.findings(connection, subject=urn, status="all", limit=FINDINGS_READ).items
        page = _subject(story, names, None if looked.other is not None else looked)
        moments = _versions(story) if story.versions else []
        both = looked.other is not None
        told = mapping.changes(_aimed(story), names) if both else []
        now = story.exists and page.past is None and not both
        way = ways.exposed(kernel, connection, urn, names) if now else None
        track = history.slider(story.versions, moments, found, looked, codec.now(), exists=story.exists)
        return msgspec.structs.replace(
            page,
            slider=None if both else track,
            between=history.between(story.versions, moments, told, looked) if both else None,
            compare=_compare(story.versions),
            exposure=way,
            # what is judged is not guessed at too
            exposed=page.exposed if way is None else "Exposed to the internet" if way.answer == "yes" else "",
        )


def _compare(versions: Sequence[Version]) -> str:
    """The address that puts the last two versions side by side; empty where there are no two."""
    last = sorted(v.version for v in versions)[-2:]
    return f"?version={last[0]}&with={last[1]}" if len(last) == 2 else ""


def _subject(story: Story, names: Names, looked: Look | None) -> Subject:
    shown, past = _shown(story, looked or Look())
    open = [told.finding for told in story.findings if told.finding.status in UNRESOLVED]
    covered = story.coverage
    attributes = shown.attributes if shown is not None else {}
    first = story.declarations[0] if story.declarations else None
    if shown is None and first is not None:
        attributes = first.attributes
    stale = covered is not None and covered.status is not CellStatus.COMPLETE
    return Subject(
        urn=story.subject,
        title=story.title,
        icon=names.icon(story.type),
        type=story.type,
        type_title=story.type_title,
        account=story.account,
        account_name=names.account(story.account) if story.account else "",
        account_href=links.with_query(links.RESOURCES, {"account": story.account}),
        region=story.region,
        region_href=links.with_query(links.RESOURCES, {"region": story.region}),
        exists=story.exists,
        known=_known(story),
        stale=stale,
        owner=_owner(story),
        said=tell.story_of(story, names),
        diff=diff(story, open) if past is None else None,
        findings=mapping.rows(open, names),
        versions=_versions(story)[:VERSIONS_SHOWN] if story.versions else [],
        changes=mapping.changes(_aimed(story)[:CHANGES_SHOWN], names),
        graph=_graph(story, names),
        links=[_link(relation, story.subject, names) for relation in story.relations],
        facts=_facts(story, shown),
        attributes=facts.attributes(attributes),
        tags=sorted((shown.tags if shown is not None else first.tags if first is not None else {}).items()),
        past=past,
        exposed=facts.exposure(story.type, attributes) if story.exists and past is None else "",
    )


def _shown(story: Story, looked: Look) -> tuple[Version | None, Moment | None]:
    """The version to show, and its moment where it is not the current one."""
    number = looked.version
    last = story.versions[0] if story.versions else None
    if number is None or last is None or (number == last.version and story.exists):
        return last, None
    chosen = next((v for v in story.versions if v.version == number), None)
    if chosen is None:
        raise NotFound(f"version {number} is not kept", hint=f"the last is {last.version}")
    told = next(m for m in _versions(story) if m.version == number)
    return chosen, msgspec.structs.replace(told, at=looked.at) if looked.at is not None else told


def _known(story: Story) -> str:
    covered = story.coverage
    if covered is None:
        return ""
    if covered.status is CellStatus.COMPLETE:
        return f"observed {words.age(covered.complete_at)} ago"
    since = f"last complete {words.age(covered.complete_at)} ago" if covered.complete_at else "never complete"
    return f"{covered.status.value} {words.age(covered.observed_at)} ago, {since}"


def _aimed(story: Story) -> list[Change]:
    """The changes of the subject itself; those that only named it where there are no others."""
    return [c for c in story.changes if c.role == "target"] or story.changes


def _owner(story: Story) -> Owner | None:
    owned = story.ownership
    if owned is None or not owned.owner:
        return None
    agree = [e for e in owned.evidence if e.owner == owned.owner]
    against = [
        Fact(label=words.short_ref(e.owner), value=e.source, href=links.entity(e.owner)) for e in owned.conflicts
    ]
    told = [Fact(label=e.kind, value=_plain_source(e.source)) for e in agree]
    return Owner(
        name=words.short_ref(owned.owner),
        href=links.entity(owned.owner),
        agree=len({e.kind for e in agree}),
        conflicts=against,
        evidence=told,
    )


def _plain_source(source: str) -> str:
    made = source.removeprefix("made by ")
    return f"made by {words.short(made)}" if made != source else source


def _facts(story: Story, shown: Version | None) -> list[Fact]:
    outward = [r for r in story.relations if r.source == story.subject]
    told = facts.first(shown.attributes if shown is not None else {}, outward)
    if shown is not None and shown.managed_by and shown.managed_by != "aws":
        maker = shown.managed_by
        told.append(Fact(label="Made by", value=words.short(maker), href=links.subject(maker)))
    if story.declarations:
        first = story.declarations[0]
        others = len(story.declarations) - 1
        more = f" and {others} more" if others else ""
        href = links.entity(first.source)
        told.append(Fact(label="Declared as", value=first.address + more, href=href, mono=True))
    if story.versions:
        born = story.resource.first_seen if story.resource is not None else story.versions[-1].valid_from
        told.append(Fact(label="First seen", value=words.clock(born)))
    if story.coverage is not None:
        tone = "" if story.coverage.status is CellStatus.COMPLETE else "amber"
        told.append(Fact(label="Observed", value=f"{words.age(story.coverage.complete_at)} ago", tone=tone))
    return told


# ---- declared and observed


def diff(story: Story, findings: Sequence[Finding]) -> compare.Diff | None:
    """What the findings say side by side; None where none of them speaks of a difference."""
    declared = story.declarations[0] if story.declarations else None
    place = declared.place if declared is not None else next((f.place for f in findings if f.place), "")
    covered = story.coverage
    seen = f"{covered.source.upper()}, {words.clock(covered.complete_at)}" if covered and covered.complete_at else ""
    lines: list[compare.Line] = []
    notes: list[str] = []
    # two rules may speak of one attribute: the one that knows what is declared shows more
    told = sorted((f for f in findings if f.path), key=lambda f: f.declared is not None)
    differing = sorted({f.path: f for f in told}.values(), key=lambda f: f.path)
    for finding in differing:
        lines += compare.attribute(finding.path, finding.declared, finding.observed)
    if differing:
        notes.append(f"{words.plural(len(differing), 'attribute differs', 'attributes differ')}")
    kinds = {f.rule for f in findings}
    if GONE in kinds:
        text = [f"{declared.address} {{"] if declared is not None else []
        text += _short_attributes(declared.attributes if declared is not None else {})
        lines += compare.one_sided([*text[:DECLARED_LINES], "}"] if declared is not None else [], "declared")
        notes.append("declared, and nothing is there")
    elif UNDECLARED in kinds and story.resource is not None:
        text = [f"{story.resource.type} {story.resource.name} {{", *_short_attributes(story.resource.attributes)]
        lines += compare.one_sided([*text[:DECLARED_LINES], "}"], "observed")
        notes.append("there, and nothing declares it")
    if not lines:
        return None
    held, left = compare.cut(lines)
    if left:
        notes.append(f"{words.plural(left, 'more line')} not shown")
    return compare.Diff(place or "no declaration", seen or "nothing", held, notes)


def _short_attributes(values: Mapping[str, Any]) -> list[str]:
    return [f"  {a.name} = {a.value}" for a in facts.attributes(values) if not a.size and a.value not in ("", "null")]


# ---- versions


def _versions(story: Story) -> list[Moment]:
    """The versions newest first, each with what changed and who did it, where an event says so."""
    out: list[Moment] = []
    ordered = sorted(story.versions, key=lambda v: v.version)
    aimed = [c for c in story.changes if c.role == "target"]
    for i, version in enumerate(ordered):
        before = ordered[i - 1] if i else None
        title = _title(before, version)
        since = before.valid_from if before is not None else _LONG_AGO
        within = [c for c in aimed if since < c.at <= version.valid_from]
        change = cause.choose(within, asks=cause.CREATED) if before is None else (within[0] if within else None)
        if before is None and change is not None and words.past(words.split_camel(change.name)[0]) not in _BORN:
            change = None
        out.append(_moment(version.version, version.valid_from, title, change, current=False))
    last = ordered[-1]
    if story.exists:
        out[-1] = msgspec.structs.replace(out[-1], current=True)
    elif last.valid_to is not None:
        gone = cause.choose([c for c in aimed if c.at <= last.valid_to], asks=cause.DELETED)
        out.append(_moment(last.version, last.valid_to, "Gone", gone, current=False))
    return out[::-1]


_BORN = frozenset({"created", "launched", "allocated", "requested", "registered", "imported", "copied", "restored"})


def _moment(number: int, at: datetime, title: str, change: Change | None, *, current: bool) -> Moment:
    by = ""
    if change is not None:
        by = "code" if _CODE.search(change.through) else "hand" if change.actor.kind == "human" else ""
    return Moment(
        version=number,
        at=change.at if change is not None else at,
        title=title,
        through=f"{change.name}, {change.through}".rstrip(", ") if change is not None else "",
        who=mapping.who(change.actor) if change is not None else None,
        by=by,
        href="?" if current else f"?version={number}",
        current=current,
    )


def _title(before: Version | None, version: Version) -> str:
    if before is None:
        return "First seen"
    if before.valid_to is not None and before.valid_to < version.valid_from:
        return "Came back"
    keys = {*before.attributes, *version.attributes}
    changed = sorted(k for k in keys if before.attributes.get(k) != version.attributes.get(k))
    tags = {k for k in {*before.tags, *version.tags} if before.tags.get(k) != version.tags.get(k)}
    parts = [" and ".join(changed)] if len(changed) <= 2 else [f"{changed[0]} and {len(changed) - 1} more attributes"]
    if tags:
        parts.append(words.plural(len(tags), "tag"))
    text = ", ".join(filter(None, parts))
    return f"{text} changed" if text else "Renamed" if before.name != version.name else "Changed"


# ---- neighbours

_WIDTH, _TALL, _GAP, _COLUMNS = 175, 44, 72, (0, 242, 484)
_SIDE = 3


def _graph(story: Story, names: Names) -> Graph | None:
    """What reaches the subject at the left, what it reaches at the right; at most three on each side."""
    reaches = _ends(story.relations, story.subject, inward=True)
    reached = _ends(story.relations, story.subject, inward=False)
    if not reaches and not reached:
        return None
    left, right = reaches[:_SIDE], reached[:_SIDE]
    tall = max(len(left), len(right), 1)
    middle = 4 + (tall - 1) * _GAP // 2
    me = Node(
        name=_clip(story.title),
        detail=_clip(f"this {words.lower_first(story.type_title)}"),
        icon=names.icon(story.type),
        href="",
        x=_COLUMNS[1],
        y=middle,
        me=True,
    )
    nodes, edges = [me], []
    for column, side in ((0, left), (2, right)):
        for i, (kind, other) in enumerate(side):
            named = names.subject(other)
            y = middle + (2 * i - len(side) + 1) * _GAP // 2
            detail = names.type(named.type) if other.startswith(("arn:", "urn:")) else other.partition(":")[0]
            node = Node(
                name=_clip(named.name),
                detail=_clip(detail or words.label(kind)),
                icon=names.icon_of(other),
                href=links.subject(other),
                x=_COLUMNS[column],
                y=y,
            )
            nodes.append(node)
            edges.append(_edge(node, me, kind) if column == 0 else _edge(me, node, kind))
    more = len(reaches) - len(left) + len(reached) - len(right)
    return Graph(nodes=nodes, edges=edges, height=tall * _GAP - _GAP + _TALL + 8, more=more)


def _ends(relations: Sequence[Relation], subject: str, *, inward: bool) -> list[tuple[str, str]]:
    ends = [
        (r.kind, r.source if inward else r.target) for r in relations if (r.target if inward else r.source) == subject
    ]
    return [e for e in dict.fromkeys(ends) if e[1] != subject]


def _edge(source: Node, target: Node, kind: str) -> Edge:
    x0, y0 = source.x + _WIDTH + 1, source.y + _TALL // 2
    x1, y1 = target.x, target.y + _TALL // 2
    half = (x0 + x1) / 2
    path = f"M{x0} {y0}C{half} {y0} {half} {y1} {x1} {y1}"
    return Edge(path=path, label=" ".join(words.split_camel(kind.replace("_", " "))), x=half, y=(y0 + y1) / 2 + 4)


def _clip(text: str) -> str:
    return text if len(text) <= 21 else text[:20] + "…"


def _link(relation: Relation, subject: str, names: Names) -> Link:
    outward = relation.source == subject
    other = relation.target if outward else relation.source
    named = names.subject(other)
    kind = " ".join(words.split_camel(relation.kind.replace("_", " ")))
    return Link(
        kind=kind if outward else f"← {kind}",
        name=named.name,
        href=links.subject(other),
        detail=names.type(named.type) if named.type else other.partition(":")[0],
        icon=names.icon_of(other),
        evidence=relation.evidence,
    )


# ---- a finding


def finding(kernel: Kernel, id: str) -> FindingPage:
    """The page of a finding, closed ones too. Raises ``NotFound``."""
    with kernel.db.read() as connection:
        found = drift.finding(connection, id)
    story = explain.explain(kernel, found.subject)
    with kernel.db.read() as connection:
        return _finding(kernel, connection, story, found)


def _finding(kernel: Kernel, connection: sa.Connection, story: Story, found: Finding) -> FindingPage:
    names = Names(kernel, connection)
    siblings = [t.finding for t in story.findings if t.finding.id != found.id and t.finding.status in UNRESOLVED]
    row = mapping.row(found, names)
    rules = mapping.rule_titles(kernel)
    told = [
        Fact(
            label="Rule",
            value=rules.get(found.rule, found.rule),
            href=links.rule(found.rule) if found.rule in rules else "",
        ),
        Fact(
            label="Status", value=found.status.value, tone={"stale": "amber", "closed": "green"}.get(found.status, "")
        ),
        Fact(label="Since", value=f"{words.age(found.opened_at)}, {words.clock(found.opened_at)}"),
        Fact(label="Last seen", value=f"{words.age(found.last_seen)} ago"),
    ]
    if found.closed_at is not None:
        told.append(Fact(label="Closed", value=f"{words.age(found.closed_at)} ago"))
    if found.account:
        told.append(Fact(label="Account", value=names.account(found.account), href=_by("account", found.account)))
    if found.region:
        told.append(Fact(label="Region", value=found.region))
    if found.type:
        told.append(Fact(label="Type", value=names.type(found.type), href=_by("type", found.type)))
    if found.place:
        told.append(Fact(label="Declared in", value=found.place, mono=True))
    return FindingPage(
        row=row,
        path=found.path,
        said=_said(kernel, story, found, names),
        diff=diff(story, [found]),
        cause=_cause(found.cause, names) if found.cause is not None else None,
        facts=told,
        siblings=mapping.rows(siblings, names),
        closed_at=found.closed_at,
    )


def _by(key: str, value: str) -> str:
    return links.with_query(links.FINDINGS, {key: value})


def _said(kernel: Kernel, story: Story, found: Finding, names: Names) -> list[Said]:
    """The story of this finding alone: the kernel's sentences of a story that holds no other."""
    alone = msgspec.structs.replace(story, findings=[t for t in story.findings if t.finding.id == found.id])
    known = tell.known(alone)
    out = [tell.said(sentence, alone, names, known) for sentence in explain.summary(alone)]
    if found.cause is None and found.rule != UNOWNED:
        out = [_unexplained(kernel), *(one for one in out if one.icon != look.ABOUT["happened"])]
    if found.status is FindingStatus.CLOSED and found.closed_at is not None:
        closed = f"A complete observation {words.moment(found.closed_at)} found it no more."
        out.append(Said(icon="circle-check", parts=[Part(text="Closed. ", kind="lead"), Part(text=closed)]))
    return out


def _unexplained(kernel: Kernel) -> Said:
    log = kernel.change_log
    known_until = log.as_of() if log is not None else None
    if known_until is None:
        text = "No events are known, so nobody can be named."
        return Said(icon=look.ABOUT["happened"], parts=[Part(text=text)])
    proof = Proof(icon=look.SOURCE["event"], label=f"CloudTrail up to {words.clock(known_until)}")
    return Said(
        icon=look.ABOUT["happened"],
        parts=[Part(text="No event that is known explains how it came to be so.")],
        proofs=[proof],
    )


def _cause(change: Change, names: Names) -> Cause:
    actor = change.actor
    told = [
        Fact(label="Event", value=change.event_id, mono=True),
        Fact(label="Call", value=f"{change.source.removesuffix('.amazonaws.com')}:{change.name}", mono=True),
        Fact(label="At", value=words.stamp(change.at)),
    ]
    if change.through:
        told.append(Fact(label="Through", value=change.through))
    if change.region:
        told.append(Fact(label="Where", value=f"{names.account(change.account)}, {change.region}"))
    if change.place:
        told.append(Fact(label="Record", value=change.place, mono=True))
    steps: list[Step] = []
    if actor.kind == "human":
        steps.append(
            Step(name=actor.name, detail=f"{actor.confidence}, by {actor.how}" if actor.how else "", icon="user")
        )
    way = [i for i in actor.chain if i != actor.principal] + ([actor.principal] if actor.principal else [])
    steps += [Step(name=words.short(i), detail=i, icon=_identity_icon(i)) for i in way if i != actor.name]
    if not steps:
        steps.append(Step(name=actor.name or "unknown", detail=actor.how, icon="bot"))
    request = compare.pretty(change.request) if change.request is not None else ""
    return Cause(change=mapping.did(change, names), facts=told, chain=steps, request=request)


def _identity_icon(identity: str) -> str:
    if ":user/" in identity:
        return "user"
    return "shield-user" if "role/" in identity else "key-round"
