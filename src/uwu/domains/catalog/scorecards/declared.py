"""Checks over what an entity declares of itself. What its source may no longer say is not known."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

from uwu.domains.catalog.scorecards.facts import Group, Service, World
from uwu.domains.catalog.scorecards.model import Check, Proof, Status, Verdict
from uwu.kernel import codec

SHORTEST_DESCRIPTION = 20
"""Characters: a name said twice is none."""
TIERS = frozenset({"0", "1", "2", "3", "4", "critical", "high", "medium", "low"})
_TIER = re.compile(r"^(tier[\s_-]*)?", re.IGNORECASE)
_URL = re.compile(r"https?://[^\s/]+", re.IGNORECASE)


def proof(service: Service, place: str = "") -> Proof:
    """The line that declares the entity, or another of its places."""
    return Proof("entity", service.entity.ref, place or str(service.entity.place))


def _told(service: Service, good: bool, text: str, *proofs: Proof) -> Verdict:
    return Verdict(Status.PASSED if good else Status.FAILED, text, proofs or (proof(service),))


def _unknown(service: Service, why: str, *proofs: Proof) -> Verdict:
    return Verdict(Status.UNKNOWN, f"Not known: {why}", proofs or (proof(service),))


def _of_today(judge: Callable[[World, Service], Verdict]) -> Callable[[World, Service], Verdict]:
    """``judge`` where the entity is still declared; what is left over from before proves nothing."""

    def judged(world: World, service: Service) -> Verdict:
        return _unknown(service, service.doubt) if service.doubt else judge(world, service)

    return judged


def _dict(value: Any) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []


def link(service: Service, word: str) -> str:
    """The address of the link whose ``type`` is ``word`` or whose title has it; that of the annotation or field too."""
    metadata, spec = service.entity.metadata, service.entity.spec
    annotations = _dict(metadata.get("annotations"))
    told = [spec.get(word), annotations.get(f"uwu.dev/{word}"), annotations.get(word)]
    told += [
        each.get("url")
        for each in map(_dict, _list(metadata.get("links")))
        if str(each.get("type") or "").lower() == word or word in str(each.get("title") or "").lower()
    ]
    return next((one for one in told if isinstance(one, str) and one.strip()), "")


# ---- whose it is


def _owner(world: World, service: Service) -> Verdict:
    named = next((one for one in service.of("ownedBy")), None)
    if named is None:
        return _told(service, False, "It names no owner.")
    if not named.declared:
        return _told(service, False, f"Nothing declares its owner {named.target}.", proof(service, named.place))
    if named.target not in world.groups:
        return _told(service, False, f"{named.target} is no team: people leave.", proof(service, named.place))
    return _told(service, True, f"{named.target} owns it.", proof(service, named.place))


def _team(world: World, service: Service) -> Group | Verdict:
    group = world.groups.get(service.owner)
    return group or _unknown(service, f"nothing declares a team {service.owner}" if service.owner else "it has no team")


def _people(world: World, service: Service) -> Verdict:
    group = _team(world, service)
    if isinstance(group, Verdict):
        return group
    count = len(group.people)
    text = f"{group.ref} has {count} {'member' if count == 1 else 'members'}."
    return _told(service, count > 1, text, Proof("entity", group.ref, group.place))


def _on_call(world: World, service: Service) -> Verdict:
    group = _team(world, service)
    if isinstance(group, Verdict):
        return group
    text = f"{group.ref} says who is on call." if group.on_call else f"{group.ref} says nobody is on call."
    return _told(service, group.on_call, text, Proof("entity", group.ref, group.place))


# ---- what it says of itself


def _description(_world: World, service: Service) -> Verdict:
    told = str(service.entity.metadata.get("description") or "").strip()
    if not told:
        return _told(service, False, "It has no description.")
    short = len(told) < SHORTEST_DESCRIPTION
    return _told(service, not short, f"Its description has {len(told)} characters.")


def tier(service: Service) -> str:
    """The tier that it declares: in ``spec.tier``, or a label or an annotation of that name; empty for none."""
    metadata = service.entity.metadata
    places = (service.entity.spec, _dict(metadata.get("labels")), _dict(metadata.get("annotations")))
    return next((str(held[key]) for held in places for key in ("tier", "uwu.dev/tier") if held.get(key)), "")


def _tier(_world: World, service: Service) -> Verdict:
    told = tier(service)
    if not told:
        return _told(service, False, "It names no tier.")
    known = _TIER.sub("", told.strip()).lower() in TIERS
    return _told(service, known, f"It is of tier {told}." if known else f"{told[:40]!r} is no tier: 1 to 4.")


def _linked(word: str, what: str) -> Callable[[World, Service], Verdict]:
    def judge(_world: World, service: Service) -> Verdict:
        told = link(service, word)
        if not told:
            return _told(service, False, f"It links no {what}.")
        whole = bool(_URL.match(told))
        return _told(service, whole, f"Its {what}: {told}" if whole else f"{told[:60]!r} is no address of a {what}.")

    return judge


def _docs(world: World, service: Service) -> Verdict:
    reference = _dict(service.entity.metadata.get("annotations")).get("backstage.io/techdocs-ref")
    if isinstance(reference, str) and reference.partition(":")[2]:
        return _told(service, True, f"Its docs lie at {reference}.")
    return _linked("docs", "docs")(world, service)


def _objective(value: Any) -> bool:
    """Whether a service level objective names something measured, a share and a window."""
    told = _dict(value)
    share = told.get("objective", told.get("target"))
    number = isinstance(share, int | float) and not isinstance(share, bool) and 0 < share <= 100
    return number and bool(told.get("window")) and bool(told.get("name") or told.get("indicator"))


def _slo(_world: World, service: Service) -> Verdict:
    told = service.entity.spec.get("slo") or service.entity.spec.get("slos")
    each = _list(told) if isinstance(told, list) else [told] if told else []
    if not each:
        return _told(service, False, "It declares no service level objective.")
    whole = sum(map(_objective, each))
    text = f"{whole} of {len(each)} objectives say what is measured, the share in percent and the window."
    return _told(service, whole == len(each), text)


def _system(_world: World, service: Service) -> Verdict:
    parts = [one for one in service.of("partOf") if one.target.startswith("system:")]
    if not parts:
        return _told(service, False, "It is part of no system.")
    good = [one for one in parts if one.declared]
    text = f"It is part of {good[0].target}." if good else f"Nothing declares {parts[0].target}."
    return _told(service, bool(good), text, proof(service, (good or parts)[0].place))


def _dependencies(_world: World, service: Service) -> Verdict:
    told = service.of("dependsOn", "consumesApi")
    missing = [one for one in told if not one.declared]
    if missing:
        text = f"Nothing declares {len(missing)} of {len(told)} that it depends on: {missing[0].target}"
        return _told(service, False, text, *(proof(service, one.place) for one in missing[:3]))
    if not told and "dependsOn" not in service.entity.spec and "consumesApis" not in service.entity.spec:
        return _told(service, False, "It does not say what it depends on.")
    return _told(service, True, f"All {len(told)} that it depends on are declared.")


# ---- its APIs

_HEAD = {
    "openapi": re.compile(r"""^\s*["']?(openapi|swagger)["']?\s*:""", re.MULTILINE),
    "asyncapi": re.compile(r"""^\s*["']?asyncapi["']?\s*:""", re.MULTILINE),
}
_OPERATION = {
    "openapi": re.compile(r"""["']?\b(get|put|post|delete|patch|head|options|trace|query)["']?\s*:"""),
    "asyncapi": re.compile(r"""["']?\b(publish|subscribe|operations)["']?\s*:\s*(\{\s*["'\w]|$)""", re.MULTILINE),
}


def defines(type: str, definition: Any) -> bool:
    """Whether an API's definition is of its type and holds an operation.

    It looks for the words alone: to parse every document of an estate at each grading would take minutes.
    """
    if not definition:
        return False
    text = definition if isinstance(definition, str) else codec.encode(definition).decode()
    if text.lstrip().startswith("{"):  # JSON may stand on one line
        text = text.replace("{", "{\n")
    head = _HEAD.get(type.lower())
    if head is None:  # GraphQL and gRPC are languages of their own
        return bool(text.strip())
    return bool(head.search(text) and _OPERATION[type.lower()].search(text))


def _apis(_world: World, service: Service) -> Verdict:
    told = service.of("providesApi")
    if not told:
        return _told(service, True, "It provides no API.")
    if absent := [one for one in told if not one.declared]:
        text = f"nothing declares {absent[0].target}, which it says that it provides"
        return _unknown(service, text, proof(service, absent[0].place))
    bad = [ref for ref, (_, type, definition) in sorted(service.apis.items()) if not defines(type, definition)]
    if bad:
        text = f"{len(bad)} of {len(told)} APIs define no operation: {bad[0]}"
        return _told(service, False, text, *(Proof("entity", ref, service.apis[ref][0]) for ref in bad[:3]))
    proofs = (Proof("entity", ref, place) for ref, (place, _, _) in sorted(service.apis.items())[:3])
    return _told(service, True, f"All {len(told)} APIs that it provides are defined.", *proofs)


def _checks() -> Iterable[Check]:
    people, words = "Ownership", "Description"
    yield Check(
        "owner",
        "Belongs to a team",
        "What nobody owns nobody mends.",
        "name a declared Group in spec.owner",
        people,
        3,
        _of_today(_owner),
    )
    yield Check(
        "team",
        "Has a team of two or more",
        "One person is on holiday, ill, or gone.",
        "name two or more members in the Group, or memberOf in their User",
        people,
        1,
        _of_today(_people),
    )
    yield Check(
        "on-call",
        "Somebody is on call",
        "At night an alert must reach a person.",
        "declare spec.onCall of the owning Group",
        people,
        2,
        _of_today(_on_call),
    )
    yield Check(
        "description",
        "Says what it is",
        "Who meets it the first time must know what it is for.",
        f"write metadata.description, {SHORTEST_DESCRIPTION} characters or more",
        words,
        1,
        _of_today(_description),
    )
    yield Check(
        "tier",
        "Names its tier",
        "How fast somebody must come depends on what breaks with it.",
        "set spec.tier, or the label tier, to 1, 2, 3 or 4",
        words,
        1,
        _of_today(_tier),
    )
    yield Check(
        "runbook",
        "Links a runbook",
        "Who is woken at night may never have seen it.",
        "add to metadata.links one of type runbook with the url of the page",
        words,
        2,
        _of_today(_linked("runbook", "runbook")),
    )
    yield Check(
        "docs",
        "Has docs",
        "Others use what they can read about.",
        "set the annotation backstage.io/techdocs-ref to dir:., or add a link of type docs",
        words,
        1,
        _of_today(_docs),
    )
    yield Check(
        "slo",
        "Declares objectives",
        "Without a number nobody can say whether it is good enough.",
        "declare spec.slo: [{name: availability, objective: 99.9, window: 30d}]",
        words,
        2,
        _of_today(_slo),
    )
    yield Check(
        "system",
        "Is part of a system",
        "Services are understood by what they do together.",
        "name a declared System in spec.system",
        words,
        1,
        _of_today(_system),
    )
    yield Check(
        "dependencies",
        "Says what it depends on",
        "What breaks with what must be known before it breaks.",
        "list spec.dependsOn and spec.consumesApis, an empty list where there is nothing; declare what they name",
        words,
        1,
        _of_today(_dependencies),
    )
    yield Check(
        "api-definition",
        "Defines its APIs",
        "A client is built on the definition, not on the code.",
        "put the document into spec.definition of the API, with $text from its file",
        words,
        1,
        _of_today(_apis),
    )


CHECKS = tuple(_checks())
