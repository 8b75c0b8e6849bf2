"""Holds what uwu found and explained against what the simulator did: its own ledger, which uwu never sees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import msgspec


class Expected(msgspec.Struct, frozen=True):
    """A finding that must be there. ``path`` is the attribute; empty for the whole subject."""

    rule: str
    subject: str
    path: str = ""


class Drift(msgspec.Struct, frozen=True, kw_only=True):
    """One change that someone made by hand."""

    kind: str
    """What sort of change, in words: ``port opened``."""
    subject: str
    human: str
    """The e-mail address or user name of who did it."""
    owner: str
    """The group that owns the subject; empty where nobody does."""
    event_id: str
    event_name: str
    at: str
    expected: tuple[Expected, ...]


class Posture(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is declared and built wrongly, which one rule must find."""

    kind: str
    """In words: ``database in one zone``."""
    rule: str
    subject: str


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """How the findings stand against the ledger."""

    drifts_seeded: int
    drifts_found: int
    """Every finding that the drift must give is there."""
    drifts_explained: int
    """Found, and each with the right owner, the right human and the right event."""
    false_findings: int
    """Findings that no drift accounts for."""
    postures_planted: int
    postures_found: int
    """Planted ones, each found by its rule."""
    postures_false: int
    """Findings of rules on posture that nothing planted accounts for."""
    missing: list[str]
    wrong: list[str]
    false: list[str]


class Owners(msgspec.Struct, frozen=True, kw_only=True):
    """How settled ownership stands against who made what."""

    known: int
    """Resources whose maker the simulator knows, and that are observed."""
    right: int
    unowned: list[str]
    wrong: list[str]


def judge_owners(made: Mapping[str, str], settled: Mapping[str, str]) -> Owners:
    """``made``: ARN -> the team that made it. ``settled``: ARN -> the owner, a group's reference, empty for nobody."""
    told = {arn: settled[arn].rpartition("/")[2] for arn in made if arn in settled}
    return Owners(
        known=len(told),
        right=sum(told[arn] == made[arn] for arn in told),
        unowned=sorted(arn for arn in told if not told[arn]),
        wrong=sorted(
            f"{arn} is of {made[arn]}, not of {told[arn]}" for arn in told if told[arn] not in ("", made[arn])
        ),
    )


def _person(name: str) -> str:
    return name.split("@")[0].lower()


DRIFT = "drift."
"""How the ids of the rules begin that compare with what is declared; the others are on posture."""


ALERT = "trail."
"""How the ids of detections begin: they fire on changes of the ledger, and on the building of what is built wrongly."""


def judge(ledger: Sequence[Drift], findings: Sequence[Mapping[str, Any]], postures: Sequence[Posture] = ()) -> Verdict:
    """``findings``: dicts with rule, subject, path, owner, actor and cause (with event_id).

    Those of the drift rules are held against ``ledger``, all others against ``postures``.
    """
    by_key = {(f["rule"], f["subject"], f["path"]): f for f in findings if f["rule"].startswith(DRIFT)}
    planted = {(p.rule, p.subject): p for p in postures}
    known = {drift.event_id for drift in ledger}, {p.subject for p in postures}
    told = {(f["rule"], f["subject"]) for f in findings if not f["rule"].startswith(DRIFT) and not _seen(f, *known)}
    told |= planted.keys() & {(f["rule"], f["subject"]) for f in findings}
    accounted: set[tuple[str, str, str]] = set()
    missing: list[str] = []
    wrong: list[str] = []
    found = explained = 0
    for drift in ledger:
        keys = [(e.rule, e.subject, e.path) for e in drift.expected]
        accounted.update(keys)
        absent = [key for key in keys if key not in by_key]
        if absent:
            missing += [f"{drift.kind}: no {rule} {path} on {subject}" for rule, subject, path in absent]
            continue
        found += 1
        faults = [fault for key in keys for fault in _faults(drift, by_key[key])]
        wrong += [f"{drift.kind} on {drift.subject}: {fault}" for fault in faults]
        explained += not faults
    false = [f"{f['rule']} {f['path']} on {f['subject']}" for key, f in by_key.items() if key not in accounted]
    strange = [f"{rule} on {subject}" for rule, subject in told - planted.keys()]
    missing += [f"{p.kind}: no {p.rule} on {p.subject}" for key, p in planted.items() if key not in told]
    return Verdict(
        drifts_seeded=len(ledger),
        drifts_found=found,
        drifts_explained=explained,
        false_findings=len(false),
        postures_planted=len(planted),
        postures_found=len(planted.keys() & told),
        postures_false=len(strange),
        missing=missing,
        wrong=wrong,
        false=sorted([*false, *strange]),
    )


def _seen(finding: Mapping[str, Any], events: AbstractSet[str], subjects: AbstractSet[str]) -> bool:
    """Whether it is an alert of what happened: one of a change of the ledger, or of what was built wrongly."""
    event = (finding["cause"] or {}).get("event_id", "")
    return finding["rule"].startswith(ALERT) and (event in events or finding["subject"] in subjects)


def _faults(drift: Drift, finding: Mapping[str, Any]) -> list[str]:
    faults: list[str] = []
    if finding["owner"].rsplit("/", 1)[-1] != drift.owner:
        faults.append(f"the owner is {drift.owner or 'nobody'}, not {finding['owner'] or 'nobody'}")
    if _person(finding["actor"]) != _person(drift.human):
        faults.append(f"{drift.human} did it, not {finding['actor'] or 'someone unknown'}")
    cause = finding.get("cause")
    if cause is not None and cause["event_id"] != drift.event_id:
        faults.append(f"the event is {drift.event_name} {drift.event_id}, not {cause['name']} {cause['event_id']}")
    return faults
