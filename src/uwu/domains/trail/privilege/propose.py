"""From what was used to the policy that would have been enough: never more than is granted, on its conditions."""

from __future__ import annotations

import os.path
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from uwu.domains.trail.privilege import actions
from uwu.domains.trail.privilege.policy import Answer, Statement, action_matches, applies, covers, decide
from uwu.kernel import codec

MOST_LISTED = 8
"""Resources of a kind that are listed one by one; more are a pattern."""
LEAST_FAMILY = 4
"""Used reads of metadata (Describe*, List*) of a service that are one pattern, where all of them are granted."""
FAMILIES = ("Describe", "List")
MOST_CHARACTERS = 6_144
"""Of a managed policy, white space not counted (IAM quotas)."""


class Use(msgspec.Struct, kw_only=True):
    """An action on a resource, as calls asked for it."""

    action: str
    resource: str
    context: dict[str, str]
    first: datetime
    last: datetime
    calls: int = 1


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """The reduced policy."""

    document: dict[str, Any]
    characters: int
    kept: list[str]
    """Actions that stay because no event can tell whether they are used."""
    widened: list[str]
    """Patterns that stand for resources that come and go."""


def propose(
    granted: Sequence[Statement],
    uses: Sequence[Use],
    *,
    since: datetime,
    until: datetime,
    seen_data: frozenset[str] = frozenset(),
) -> Proposal:
    """The least policy within ``granted`` that allows every one of ``uses``.

    ``seen_data`` are the IAM prefixes whose data events are recorded: of the others the data actions stay as they are.
    """
    pairs: set[tuple[str, str, str]] = set()
    conditions: dict[str, dict[str, Any]] = {"": {}}
    widened: set[str] = set()
    allows = [one for one in granted if one.allow]
    for action, of_action in _by_action(uses).items():
        wide = _generalised(of_action, since, until)
        for use in of_action:
            wanted = wide.get(use.resource, use.resource)
            for statement in _granting(allows, use):
                conditions[statement.key] = statement.condition
                for resource in _within(statement, use, wanted):
                    pairs.add((action, resource, statement.key))
                    if resource == wanted and wanted != use.resource:
                        widened.add(wanted)
    kept = _unseen(allows, seen_data, pairs, conditions)
    _families(allows, pairs)
    document = {"Version": "2012-10-17", "Statement": [*_assembled(pairs, conditions), *_denials(granted)]}
    size = len(re.sub(r"\s", "", codec.encode(document).decode()))
    return Proposal(document=document, characters=size, kept=sorted(kept), widened=sorted(widened))


def _by_action(uses: Iterable[Use]) -> dict[str, list[Use]]:
    found: defaultdict[str, list[Use]] = defaultdict(list)
    for use in uses:
        found[use.action].append(use)
    return dict(sorted(found.items()))


def _granting(allows: Sequence[Statement], use: Use) -> list[Statement]:
    """The statements that let the call pass: one without condition where there is one, else all that may have."""
    found = [one for one in allows if _speaks(one, use)]
    free = [one for one in found if not one.condition]
    return free[:1] or found


def _speaks(statement: Statement, use: Use) -> bool:
    if applies(statement, use.action, use.resource, use.context) is not False:
        return True
    if "?" not in use.resource and "*" not in use.resource:
        return False
    # the record does not tell the whole ARN: what could be meant is granted
    action = not statement.actions or any(action_matches(one, use.action) for one in statement.actions)
    action = action and not any(action_matches(one, use.action) for one in statement.not_actions)
    return action and any(covers(use.resource, one) for one in statement.resources)


def _within(statement: Statement, use: Use, wanted: str) -> list[str]:
    """``wanted`` as far as ``statement`` grants it: itself, what is narrower, or what the call asked for."""
    if not statement.resources:
        return [use.resource]
    if any("${" in one for one in statement.resources):
        return list(statement.resources)
    if wanted == "*":
        return ["*"] if "*" in statement.resources else list(statement.resources)
    if any(covers(one, wanted) for one in statement.resources):
        return [wanted]
    narrower = [one for one in statement.resources if covers(wanted, one)]
    inside = [one for one in narrower if covers(one, use.resource) or covers(use.resource, one)]
    return inside or [use.resource]


# ---- resources that come and go


def _generalised(uses: Sequence[Use], since: datetime, until: datetime) -> dict[str, str]:
    """Resource -> the pattern that stands for it, where its kind has many or still gets new ones."""
    kinds: defaultdict[str, dict[str, datetime]] = defaultdict(dict)
    for use in uses:
        if use.resource == "*":
            continue
        known = kinds[_kind(use.resource)]
        known[use.resource] = min(known.get(use.resource, use.first), use.first)
    half = since + (until - since) / 2
    found: dict[str, str] = {}
    for kind, held in kinds.items():
        names = sorted(held)
        late = sum(first >= half for first in held.values())
        if len(names) == 1 or (len(names) <= MOST_LISTED and not late):
            continue
        for pattern, members in _patterns(kind, names, held, half).items():
            found |= dict.fromkeys(members, pattern)
    return found


_COUNTED = re.compile(r"(?<=[-_/:.])(?:\d+[-_/:.]?)+$")
"""Numbers and dates at the end of a prefix."""


def _kind(arn: str) -> str:
    """What resources of a kind have in common: a bucket's objects, a region's tables."""
    head, _, rest = (
        arn.rpartition(":") if arn.count(":") == 5 else (":".join(arn.split(":")[:5]), ":", arn.split(":", 5)[-1])
    )
    match = re.match(r"[^/:]+[/:]", rest)
    return f"{head}:{match.group(0) if match else ''}"


def _patterns(kind: str, names: Sequence[str], first: Mapping[str, datetime], half: datetime) -> dict[str, list[str]]:
    """One pattern for all, or one for each folder where the folders are few and no new ones appear."""
    folders: defaultdict[str, list[str]] = defaultdict(list)
    for name in names:
        rest = name[len(kind) :]
        folders[kind + rest.split("/", 1)[0] + "/" if "/" in rest else kind].append(name)
    settled = all(min(first[name] for name in members) < half for members in folders.values())
    if len(folders) <= MOST_LISTED and settled and kind not in folders and len(folders) > 1:
        return {f"{folder}*": members for folder, members in folders.items()}
    common = os.path.commonprefix(list(names))  # noqa: RUF071 - names, of which the characters count
    cut = max((common.rfind(mark) for mark in "/:-_."), default=-1) + 1
    # a year that all names share ends, and so would the right
    stable = _COUNTED.sub("", common[:cut])
    prefix = stable if len(stable) > len(kind) and len(names) > 2 else kind
    return {f"{prefix}*": list(names)}


# ---- what events cannot tell


def _unseen(
    allows: Sequence[Statement],
    seen: frozenset[str],
    pairs: set[tuple[str, str, str]],
    conditions: dict[str, dict[str, Any]],
) -> list[str]:
    kept: set[str] = set()
    unseen = [(prefix, name) for prefix, names in actions.NEVER_LOGGED.items() for name in names]
    unseen += [(prefix, name) for prefix, names in actions.DATA.items() if prefix not in seen for name in names]
    for prefix, name in unseen:
        action = f"{prefix}:{name}"
        for statement in allows:
            if statement.actions and not any(action_matches(one, action) for one in statement.actions):
                continue
            if any(action_matches(one, action) for one in statement.not_actions):
                continue
            conditions[statement.key] = statement.condition
            service = _resources_of(statement, prefix)
            pairs.update((action, resource, statement.key) for resource in service)
            if service:
                kept.add(action)
    return sorted(kept)


def _resources_of(statement: Statement, prefix: str) -> list[str]:
    """The resources of a statement that can be of the service."""
    return [
        one
        for one in statement.resources
        if one == "*" or one.count(":") < 5 or action_matches(one.split(":", 3)[2], prefix) or "*" in one.split(":")[2]
    ]


def _families(allows: Sequence[Statement], pairs: set[tuple[str, str, str]]) -> None:
    """Writes many reads of metadata on everything as one pattern, where the pattern itself is granted."""
    groups: defaultdict[tuple[str, str], list[tuple[str, str, str]]] = defaultdict(list)
    for pair in pairs:
        prefix, _, name = pair[0].partition(":")
        family = next((one for one in FAMILIES if name.startswith(one)), "")
        if family and pair[1] == "*" and not pair[2]:
            groups[prefix, family].append(pair)
    for (prefix, family), members in groups.items():
        pattern = f"{prefix}:{family}*"
        granted = any(
            not one.condition
            and "*" in one.resources
            and any(covers(each, pattern, action=True) for each in one.actions)
            for one in allows
        )
        if granted and len(members) >= LEAST_FAMILY:
            pairs.difference_update(members)
            pairs.add((pattern, "*", ""))


# ---- the document


def _assembled(pairs: Iterable[tuple[str, str, str]], conditions: Mapping[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Statements: actions that are asked on the same resources under the same condition stand together."""
    resources: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for action, resource, key in pairs:
        resources[action, key].add(resource)
    grouped: defaultdict[tuple[tuple[str, ...], str, str], list[str]] = defaultdict(list)
    for (action, key), held in resources.items():
        # one service a statement: so people read it, and so its resources are its own
        grouped[_minimal(held), key, action.partition(":")[0]].append(action)
    written: list[dict[str, Any]] = []
    for (held, key, _), names in sorted(grouped.items(), key=lambda one: (sorted(one[1]), one[0][0])):
        statement: dict[str, Any] = {"Effect": "Allow", "Action": _plain(sorted(names)), "Resource": _plain(list(held))}
        if key:
            statement["Condition"] = conditions[key]
        written.append(statement)
    return written


def _minimal(held: set[str]) -> tuple[str, ...]:
    """Without those that another covers."""
    if "*" in held:
        return ("*",)
    return tuple(one for one in sorted(held) if not any(other != one and covers(other, one) for other in held))


def _plain(values: list[str]) -> str | list[str]:
    return values[0] if len(values) == 1 else values


def _denials(granted: Iterable[Statement]) -> list[dict[str, Any]]:
    """Every Deny as it is."""
    written: list[dict[str, Any]] = []
    for one in granted:
        if one.allow:
            continue
        statement: dict[str, Any] = {"Effect": "Deny"}
        for name, values in (
            ("Action", one.actions),
            ("NotAction", one.not_actions),
            ("Resource", one.resources),
            ("NotResource", one.not_resources),
        ):
            if values:
                statement[name] = _plain(list(values))
        if one.condition:
            statement["Condition"] = one.condition
        written.append(statement)
    return written


# ---- the proof


class Miss(msgspec.Struct, frozen=True, kw_only=True):
    """A call that was allowed and that the reduced policy would not have let pass."""

    action: str
    resource: str
    calls: int
    last: datetime
    answer: str


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """A policy against what was allowed."""

    calls: int
    allowed: int
    on_condition: int
    """Of the allowed: those that depend on a condition that the record does not tell, and that was met before."""
    misses: list[Miss]

    @property
    def recall_pct(self) -> float:
        return round(100 * self.allowed / self.calls, 4) if self.calls else 100.0


def replay(reduced: Sequence[Statement], uses: Iterable[Use]) -> Replayed:
    """Judges every use by ``reduced``."""
    calls = allowed = on_condition = 0
    misses: list[Miss] = []
    for use in uses:
        calls += use.calls
        answer = decide(reduced, use.action, use.resource, use.context)
        if answer is Answer.NOTHING and any(_speaks(one, use) for one in reduced if one.allow):
            answer = Answer.ALLOW
        if answer is Answer.ALLOW or answer is Answer.UNKNOWN:
            allowed += use.calls
            on_condition += use.calls if answer is Answer.UNKNOWN else 0
        else:
            misses.append(
                Miss(action=use.action, resource=use.resource, calls=use.calls, last=use.last, answer=answer.value)
            )
    misses.sort(key=lambda one: (-one.calls, one.action, one.resource))
    return Replayed(calls=calls, allowed=allowed, on_condition=on_condition, misses=misses)


RECENT = timedelta(days=10)
"""Actions that were first seen so lately tell that the window is too short."""
