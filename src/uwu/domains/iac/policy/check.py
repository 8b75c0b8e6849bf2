"""Judging a plan by the rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from uwu.domains.iac.plan_json import Change, Plan
from uwu.domains.iac.policy import cedar
from uwu.domains.iac.policy.model import PlanRule, Verdict, Violation
from uwu.kernel.errors import Problem
from uwu.kernel.exemptions import Exempting
from uwu.kernel.model import Severity

_RANK = {severity: rank for rank, severity in enumerate(Severity)}
_NONE = Exempting(())


def judge(
    plan: Plan,
    rules: Sequence[PlanRule],
    *,
    source: str = "",
    account: str = "",
    urns: Mapping[str, str] | None = None,
    exempting: Exempting = _NONE,
) -> Verdict:
    """What ``rules`` say of ``plan``.

    ``source`` is the stack whose plan it is; ``urns`` tells the urn of an address where it has one. An exemption counts
    where it names the resource's urn, its ``stack#address``, the stack as a whole, or the account.
    """
    urns = urns or {}
    found: list[Violation] = []
    problems: list[Problem] = list(plan.problems)
    changes = plan.effective

    def tell(rule: PlanRule, address: str, message: str) -> None:
        own = f"{source}#{address}" if source and address else source or address
        subject = urns.get(address) or own
        names = dict.fromkeys((subject, own, source))
        exempt = next((id for name in names if (id := exempting.of(rule.id, name, account))), "")
        found.append(
            Violation(
                rule=rule.id,
                title=rule.title,
                severity=rule.severity,
                mandatory=rule.mandatory,
                address=address,
                subject=subject,
                message=message,
                why=rule.why,
                remedy=rule.remedy,
                exemption=exempt,
            )
        )

    for rule in rules:
        if rule.change is not None:
            for change in changes:
                if not rule.types or change.type in rule.types:
                    for message in _asked(rule, change, problems):
                        tell(rule, change.address, message)
        elif rule.plan is not None:
            try:
                for address, message in rule.plan(plan):
                    tell(rule, address, message)
            except Exception as error:  # a rule of another's file must not take the others with it
                problems.append(_broken(rule, "the plan", error))
    written = [rule for rule in rules if rule.cedar]
    for rule, change in cedar.judge(written, changes, stack=source, account=account, urns=urns, problems=problems):
        tell(rule, change.address, f"{rule.title[0].lower()}{rule.title[1:]} ({change.op.value})")
    found.sort(key=lambda v: (bool(v.exemption), not v.mandatory, _RANK[v.severity], v.rule, v.address))
    return Verdict(rules=len(rules), violations=tuple(found), problems=tuple(problems))


def _asked(rule: PlanRule, change: Change, problems: list[Problem]) -> Sequence[str]:
    try:
        return list(rule.change(change)) if rule.change is not None else ()
    except Exception as error:  # as above; what a rule could not judge is told, never passed over
        problems.append(_broken(rule, change.address, error))
        return ()


def _broken(rule: PlanRule, what: str, error: Exception) -> Problem:
    message = f"{rule.id} cannot judge {what} ({type(error).__name__})"
    return Problem("plan-policy", message, rule.place, "the values are not of the form that the rule expects")
