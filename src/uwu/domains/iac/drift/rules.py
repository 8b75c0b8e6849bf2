"""What the newest refresh of each stack found, as findings: one for each fact that inventory does not tell as well."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import sqlalchemy as sa

from uwu.domains.iac import tables
from uwu.domains.iac.declare import ignored
from uwu.domains.iac.drift import found as drifts
from uwu.domains.iac.drift.found import Drifted
from uwu.domains.iac.runs import store
from uwu.kernel import cause, declared, rulebook, urns
from uwu.kernel import rules as kernel_rules
from uwu.kernel.domain import Rule
from uwu.kernel.model import Entity, Found, Severity, Unjudged
from uwu.kernel.runtime import Kernel

THEME = "Drift"
CHANGED, GONE, OUTPUT = "terraform.drift", "terraform.gone", "terraform.output"
RULES = (
    Rule(
        id=CHANGED,
        title="Terraform's refresh finds an attribute changed",
        severity=Severity.MEDIUM,
        theme=THEME,
        why="It was changed past the review, and the next apply undoes it, or keeps it where nobody looks.",
        remedy="uwu iac plan STACK puts it back; or take the change into the configuration",
    ),
    Rule(
        id=GONE,
        title="Terraform's refresh does not find a resource",
        severity=Severity.HIGH,
        theme=THEME,
        why="The state holds it, something relies on it, and its provider says that it is not there.",
        remedy="uwu iac plan STACK makes it again; or remove it from the configuration",
        asks=cause.DELETED,
    ),
    Rule(
        id=OUTPUT,
        title="Terraform's refresh finds an output changed",
        severity=Severity.LOW,
        theme=THEME,
        why="Other stacks read the value that the state has, which is no longer so.",
        remedy="uwu iac plan STACK writes it anew",
    ),
)
_RULE_OF = {"changed": CHANGED, "gone": GONE, "output": OUTPUT}
_KERNELS = {rule.id: rule for rule in kernel_rules.RULES}


def sweep(
    kernel: Kernel, connection: sa.Connection, rules: frozenset[str], some: frozenset[str] | None = None
) -> Iterator[tuple[str, Found | Unjudged]]:
    """What the newest refreshes found."""
    wanted = rules & set(_RULE_OF.values())
    if some is not None or not wanted:
        return
    found: list[tuple[Entity, store.Run, Drifted]] = []
    for stack, run in newest(connection):
        document = store.document(kernel, run.id)
        if document is not None:
            told = drifts.of(document.plan, document.subjects, ignored(stack))
            found += [(stack, run, each) for each in told if not each.noise]
    known = told_by_inventory(kernel, connection, {each.subject for _, _, each in found if each.subject})
    owners = {stack.ref: store.owner_of(connection, stack.ref) for stack, _, _ in found}
    for stack, run, each in found:
        rule = _RULE_OF[each.kind]
        if rule in wanted and not same_fact(each, known.get(each.subject, ())):
            yield rule, _finding(stack, run, each, owners[stack.ref])


def newest(connection: sa.Connection) -> Iterator[tuple[Entity, store.Run]]:
    """Each declared stack whose newest refresh found something, and that no later apply has proven right, with the
    run of that refresh."""
    stacks = {stack.ref: stack for stack in declared.entities(connection, kind="Stack")}
    r = tables.runs
    looked = sa.and_(r.c.refresh_only, r.c.status.in_((store.DRIFTED, store.CLEAN)))
    last = sa.select(sa.func.max(r.c.number)).where(looked).group_by(r.c.stack)
    query = sa.select(r.c.id, r.c.stack, r.c.number).where(r.c.number.in_(last), r.c.status == store.DRIFTED)
    drifted = connection.execute(query.order_by(r.c.number)).all()
    if not drifted:
        return
    later = sa.select(r.c.stack, r.c.number, r.c.outcomes)
    later = later.where(r.c.status == store.APPLIED, r.c.number > drifted[0].number)
    proven: dict[str, int] = {}
    for row in connection.execute(later.order_by(r.c.number)):
        if str((row.outcomes or {}).get("proof") or "").startswith("proven"):
            proven[row.stack] = row.number
    for id, stack, number in drifted:
        if stack in stacks and proven.get(stack, 0) < number:
            yield stacks[stack], store.get(connection, id)


def told_by_inventory(
    kernel: Kernel, connection: sa.Connection, subjects: set[str]
) -> Mapping[str, list[tuple[str, str]]]:
    """Subject -> (rule, path) of what the comparison of state and inventory says of it."""
    found: dict[str, list[tuple[str, str]]] = {}
    if not subjects:
        return found
    for id in (kernel_rules.ATTRIBUTE, kernel_rules.GONE):
        check = _KERNELS[id].check_some
        if check is None or not rulebook.judges(kernel.settings.rules, id):
            continue
        ordered = sorted(subjects)
        for start in range(0, len(ordered), 500):
            for one in check(kernel, connection, frozenset(ordered[start : start + 500])):
                found.setdefault(one.subject, []).append((id, one.path))
    return found


def same_fact(drifted: Drifted, known: Iterable[tuple[str, str]]) -> bool:
    """Whether one of ``known`` tells the same: the subject is gone, or the attribute, or one that holds it, differs."""
    for rule, path in known:
        if drifted.kind == "gone" and rule == kernel_rules.GONE:
            return True
        if drifted.kind == "changed" and rule == kernel_rules.ATTRIBUTE and _within(drifted.path, path):
            return True
    return False


def _within(one: str, other: str) -> bool:
    return one == other or one.startswith(f"{other}.") or other.startswith(f"{one}.")


def _finding(stack: Entity, run: store.Run, each: Drifted, owner: str) -> Found:
    parts = urns.parse(each.subject) if each.subject else None
    name = run.stack.removeprefix("stack:")
    if each.kind == "output":
        path, title = f"output.{each.address}", f"output {each.address} of {name} is not as its state says"
    elif each.kind == "gone":
        path, title = each.address, f"{each.address} of {name} is in its state and does not exist"
    else:
        path = each.path if each.subject else ".".join(filter(None, (each.address, each.path)))
        title = f"{each.address} of {name}: {each.path or 'it'} was changed outside of Terraform"
    return Found(
        subject=each.subject or run.stack,
        title=title,
        path="" if each.kind == "gone" and each.subject else path,
        type=each.type,
        account=urns.account_of(each.subject) if each.subject else _text(stack, "account"),
        region=parts.region if parts is not None else _text(stack, "region"),
        declared=each.before if each.kind != "gone" else each.address,
        observed=each.after,
        place=f"{run.stack} {each.address} (run {run.number})",
        remedy=f"uwu iac plan {name}",
        owner=owner,
    )


def _text(stack: Entity, name: str) -> Any:
    return str(stack.spec.get(name) or "")
