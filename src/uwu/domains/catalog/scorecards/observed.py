"""Checks over what is observed of the resources that a service runs: coverage, owners, code, findings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from uwu.domains.catalog.scorecards.facts import Service, World, Wrong
from uwu.domains.catalog.scorecards.model import Check, Proof, Status, Verdict
from uwu.kernel.domain import Rule

MOST_PROOFS = 5
CODED_PERCENT = 90
"""So much of what runs stands in code: a hand-made bucket for a trial is no scandal."""
OLD_DAYS = 7
"""So long a severe finding may be open before nobody can say that it is being looked at."""
SEVERE = ("critical", "high")
_ORDER = ("critical", "high", "medium", "low")
DRIFT = ("drift.attribute", "drift.gone", "drift.undeclared", "terraform.drift", "terraform.gone")


def _unknown(text: str, *proofs: Proof) -> Verdict:
    return Verdict(Status.UNKNOWN, f"Not known: {text}", proofs)


def _nothing(world: World, service: Service) -> Verdict:
    """Nothing of it is observed: neither good nor bad can be said of what it runs."""
    why = "no resource is known to be its" if world.observed else "nothing has been observed yet"
    return _unknown(why, Proof("entity", service.entity.ref, str(service.entity.place)))


def _resources(urns: Iterable[str]) -> tuple[Proof, ...]:
    return tuple(Proof("resource", urn) for urn in list(urns)[:MOST_PROOFS])


def _many(count: int, one: str, more: str) -> str:
    return f"{count:,} {one if count == 1 else more}"


def told(found: Sequence[Wrong]) -> tuple[Proof, ...]:
    """The worst of ``found`` as proofs."""
    worst = sorted(found, key=lambda one: (_ORDER.index(one.severity), one.opened_at, one.id))[:MOST_PROOFS]
    return tuple(Proof("finding", one.id, one.title, one.subject) for one in worst)


# ---- what is known of it


def _attached(world: World, service: Service) -> Verdict:
    if service.runs:
        accounts = len({one.account for one in service.runs})
        text = f"{_many(len(service.runs), 'resource', 'resources')} in {_many(accounts, 'account', 'accounts')}."
        return Verdict(Status.PASSED, text, _resources(one.urn for one in service.runs))
    if not world.observed:
        return _nothing(world, service)
    if world.unseen_anywhere:
        count = world.unseen_anywhere
        return _unknown(f"no resource is its, and {_many(count, 'cell was', 'cells were')} not seen completely")
    return Verdict(
        Status.FAILED,
        "Everything was looked at, and no resource is its.",
        (Proof("entity", service.entity.ref, str(service.entity.place)),),
    )


def _coverage(world: World, service: Service) -> Verdict:
    if not service.runs:
        return _nothing(world, service)
    unseen = world.unseen(service, ())
    if unseen:
        counted = Counter(one.status for one in unseen)
        text = ", ".join(f"{count} {status}" for status, count in sorted(counted.items()))
        proofs = tuple(Proof("cell", one.cell, one.status) for one in unseen[:MOST_PROOFS])
        return Verdict(Status.FAILED, f"Of what it runs is not seen completely: {text}.", proofs)
    if late := world.late(service):
        text = f"{_many(len(late), 'look is', 'looks are')} overdue at what it runs."
        return Verdict(Status.FAILED, text, tuple(Proof("cell", cell, "late") for cell in late[:MOST_PROOFS]))
    cells = sorted({one.cell for one in service.runs})
    text = f"All {_many(len(cells), 'cell', 'cells')} of what it runs are complete and fresh."
    return Verdict(Status.PASSED, text, tuple(Proof("cell", cell, "complete") for cell in cells[:MOST_PROOFS]))


def _owned(world: World, service: Service) -> Verdict:
    if not service.runs:
        return _nothing(world, service)
    if service.doubt or not service.owner:
        return _unknown(
            service.doubt or "it names no owner", Proof("entity", service.entity.ref, str(service.entity.place))
        )
    others = [one for one in service.runs if one.owner != service.owner]
    if not others:
        text = f"{service.owner} owns all {len(service.runs)} that it runs."
        return Verdict(Status.PASSED, text, _resources(one.urn for one in service.runs))
    nobody = sum(not one.owner for one in others)
    text = f"{len(others)} of {len(service.runs)} that it runs are not its owner's"
    text += f", {nobody} of them nobody's." if nobody else "."
    return Verdict(Status.FAILED, text, _resources(one.urn for one in others))


def _coded(world: World, service: Service) -> Verdict:
    if not service.runs:
        return _nothing(world, service)
    if not world.any_code:
        return _unknown("no state of a declaring tool is read")
    bare = [one for one in service.runs if not one.coded]
    share = 100 * (len(service.runs) - len(bare)) / len(service.runs)
    text = f"{len(service.runs) - len(bare)} of {len(service.runs)} stand in code ({share:.0f} %)."
    if share >= CODED_PERCENT:
        return Verdict(Status.PASSED, text, _resources(one.urn for one in service.runs if one.coded))
    return Verdict(Status.FAILED, text, _resources(one.urn for one in bare))


# ---- what is found wrong


def _severe(world: World, service: Service) -> Verdict:
    if not service.runs and not service.wrong:
        return _nothing(world, service)
    before = world.long_ago(OLD_DAYS)
    old = [one for one in service.wrong if one.severity in SEVERE and one.opened_at <= before]
    if still := [one for one in old if one.open]:
        text = f"{_many(len(still), 'severe finding has', 'severe findings have')} been open for {OLD_DAYS} days."
        return Verdict(Status.FAILED, text, told(still))
    if old:
        text = (
            f"{_many(len(old), 'severe finding is', 'severe findings are')} stale: nobody sees whether it still holds"
        )
        return _unknown(text, *told(old))
    unjudged = [rule for rule in world.rules.values() if rule.severity.value in SEVERE]
    return _unsure(world, service, unjudged) or Verdict(
        Status.PASSED,
        f"No severe finding of what it runs is older than {OLD_DAYS} days.",
        _resources(one.urn for one in service.runs),
    )


def _free_of(name: str, rules: Callable[[World], Sequence[Rule]]) -> Callable[[World, Service], Verdict]:
    """Passed where ``rules`` looked at all that it runs and found nothing."""

    def judge(world: World, service: Service) -> Verdict:
        asked = rules(world)
        ids = {rule.id for rule in asked}
        found = [one for one in service.wrong if one.rule in ids]
        if open_ := [one for one in found if one.open]:
            counted = Counter(one.severity for one in open_)
            split = ", ".join(f"{counted[severity]} {severity}" for severity in _ORDER if counted[severity])
            text = f"{_many(len(open_), 'finding', 'findings')} of {name}: {split}."
            return Verdict(Status.FAILED, text, told(open_))
        if found:
            return _unknown(f"{_many(len(found), 'finding is', 'findings are')} stale", *told(found))
        if not asked:
            return _unknown(f"no rule of {name} is switched on")
        if not service.runs:
            return _nothing(world, service)
        if unsure := _unsure(world, service, asked):
            return unsure
        types = {type for rule in asked for type in rule.types}
        looked = [one for one in service.runs if not types or one.type in types]
        if not looked:
            text = f"None of the {len(service.runs)} that it runs is of a kind that these rules look at."
        else:
            text = (
                f"{_many(len(asked), 'rule', 'rules')} found nothing on {_many(len(looked), 'resource', 'resources')}."
            )
        proofs = tuple(Proof("rule", rule.id, rule.title) for rule in asked[:MOST_PROOFS])
        return Verdict(Status.PASSED, text, proofs)

    return judge


def _unsure(world: World, service: Service, rules: Sequence[Rule]) -> Verdict | None:
    """Why that ``rules`` found nothing proves nothing; None where it does."""
    run = {one.type for one in service.runs}
    # a rule of types that it does not run could still be of something that was not seen: the cells tell that
    asked = [rule for rule in rules if not rule.types or run.intersection(rule.types)]
    silent = [rule for rule in asked if rule.id not in world.judged]
    if silent:
        proofs = tuple(Proof("rule", rule.id, rule.title) for rule in silent[:MOST_PROOFS])
        return _unknown(f"{_many(len(silent), 'rule has', 'rules have')} not judged yet", *proofs)
    types = {type for rule in rules for type in rule.types}
    if unseen := world.unseen(service, types):
        proofs = tuple(Proof("cell", one.cell, one.status) for one in unseen[:MOST_PROOFS])
        return _unknown(f"{_many(len(unseen), 'cell is', 'cells are')} not seen completely where it runs", *proofs)
    for rule in asked:
        judged = world.judged[rule.id]
        if named := [one for one in service.runs if one.urn in judged.named]:
            return _unknown(judged.named[named[0].urn], *_resources(one.urn for one in named))
        for type in sorted(run & judged.unnamed.keys()):
            return _unknown(
                f"{rule.id} could not judge {judged.unnamed[type]} of {type}, perhaps its",
                Proof("rule", rule.id, rule.title),
            )
    return None


def _themes(*names: str) -> Callable[[World], Sequence[Rule]]:
    return lambda world: [rule for name in names for rule in world.themes.get(name, ())]


def _ids(*ids: str) -> Callable[[World], Sequence[Rule]]:
    return lambda world: [world.rules[id] for id in ids if id in world.rules]


def _checks() -> Iterable[Check]:
    data, safe, sound = "Data", "Security", "Reliability"
    yield Check(
        "attached",
        "Its resources are known",
        "What runs for a service must be named before anything can be said of it.",
        "tag its resources with service=NAME, or name the component in spec.system of the stack that makes them",
        data,
        2,
        _attached,
    )
    yield Check(
        "coverage",
        "What it runs is seen completely",
        "What was not looked at only seems to be well.",
        "uwu coverage tells what is denied or late, and the right that is missing",
        data,
        2,
        _coverage,
    )
    yield Check(
        "resources-owned",
        "What it runs is its team's",
        "A bill or an alert that reaches another team reaches nobody.",
        "uwu own ARN --to TEAM, or the tag of the owner",
        "Ownership",
        2,
        _owned,
    )
    yield Check(
        "in-code",
        f"{CODED_PERCENT} % of it stands in code",
        "What was made by hand cannot be made again.",
        "uwu explain ARN tells the block that imports a resource",
        sound,
        2,
        _coded,
    )
    yield Check(
        "no-drift",
        "Runs as declared",
        "The next apply takes back what was done by hand, or breaks on it.",
        "uwu findings tells for each the command that restores what is declared",
        sound,
        2,
        _free_of("drift", _ids(*DRIFT)),
    )
    yield Check(
        "severe-findings",
        f"No severe finding is older than {OLD_DAYS} days",
        "A severe finding that stays is one that nobody looks at.",
        "mend them, or exempt them until a day with a reason",
        safe,
        3,
        _severe,
    )
    yield Check(
        "exposure",
        "Shows the internet nothing that it should not",
        "What everyone can reach somebody will try.",
        "close the way that the finding tells",
        safe,
        3,
        _free_of("exposure", _themes("Exposure", "Edge")),
    )
    yield Check(
        "encryption",
        "Encrypts what it keeps",
        "A disk, a snapshot or a backup may leave the house.",
        "turn on the encryption that the finding names",
        safe,
        2,
        _free_of("encryption", _themes("Encryption")),
    )
    yield Check(
        "secrets",
        "Keeps its secrets secret",
        "A password in an environment variable is read by whoever may describe it.",
        "move the secret into a store, and replace it",
        safe,
        2,
        _free_of("secrets", _themes("Secrets")),
    )
    yield Check(
        "credentials",
        "Uses and replaces its credentials",
        "A key that is old or unused is found by others first.",
        "delete what is unused, replace what is old, narrow what anyone may assume",
        safe,
        2,
        _free_of("identity", _themes("Identity")),
    )
    yield Check(
        "supported",
        "Runs what is still patched",
        "After the end of support no hole is closed any more.",
        "move to the version that the finding names",
        sound,
        2,
        _free_of("end of support", _themes("Lifecycle")),
    )
    yield Check(
        "resilience",
        "Survives a lost zone or a wrong call",
        "Backups, zones and protection are missed on the day that they are needed.",
        "turn on what the finding names",
        sound,
        2,
        _free_of("resilience", _themes("Resilience")),
    )
    yield Check(
        "waste",
        "Pays for nothing that it does not use",
        "What is attached to nothing is also watched by nobody.",
        "delete it, or attach it",
        sound,
        1,
        _free_of("waste", _themes("Waste")),
    )


CHECKS = tuple(_checks())
