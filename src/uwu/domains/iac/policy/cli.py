"""``uwu iac check``: rules over a plan's JSON, for any CI. It works on local files alone: no server, no home."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from cyclopts import App, Parameter

from uwu.domains.iac import blast, plan_json
from uwu.domains.iac.policy import check as check_
from uwu.domains.iac.policy import files
from uwu.domains.iac.policy.model import Verdict, Violation
from uwu.kernel import codec
from uwu.kernel.domain import Answer
from uwu.kernel.errors import BadInput, NotFound
from uwu.kernel.exemptions import Exempting, Exemption
from uwu.kernel.model import Severity

STOPPED, UNJUDGED = 9, 10
"""Exit statuses beside 0: a rule stands against it; a rule could not judge it. What cannot be read is 2 or 3."""
_RANK = {severity: rank for rank, severity in enumerate(Severity)}
_LEVELS = {Severity.CRITICAL: "error", Severity.HIGH: "error", Severity.MEDIUM: "warning"}


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What ``--json`` prints."""

    plan: str
    passed: bool
    rules: int
    counts: dict[str, int]
    violations: Sequence[Violation]
    problems: Sequence[object]


def add(app: App) -> None:
    """The command, on ``app``."""
    app.command(check)


def check(
    plan: Annotated[str, Parameter(allow_leading_hyphen=True)],
    *,
    rules: tuple[str, ...] = (),
    exemptions: str = "",
    stack: str = "",
    account: str = "",
    strict: Literal["", "critical", "high", "medium", "low"] = "",
    format: Literal["text", "github"] = "text",
) -> Answer:
    """Judge a plan by the rules, without a server: terraform show -json FILE > plan.json.

    Exit status: 0 nothing stands against it, 9 a rule does, 10 a rule could not judge it, 2 the plan, the rules or the
    exemptions cannot be read, 3 there is no such file.

    Parameters
    ----------
    plan
        The plan in Terraform's JSON; - reads it from standard input.
    rules
        Files or folders of more rules (*.cedar, *.py). One of an id that uwu ships takes its place.
    exemptions
        A file that `uwu --json rules exemptions` wrote: those that hold now count.
    stack
        Whose plan it is, such as stack:default/payments: exemptions name resources by it.
    account
        The AWS account that it is for: exemptions may name it.
    strict
        Stop at every violation of this severity or above, not only at those that always stop a run.
    format
        text, or github: annotations of GitHub Actions.
    """
    name, data = _read(plan)
    parsed = plan_json.parse(data, name)
    verdict = check_.judge(
        parsed,
        files.rules(rules),
        source=stack,
        account=account,
        urns=blast.urns_of(parsed, account),
        exempting=_exempting(exemptions),
    )
    worst = Severity(strict) if strict else None
    stops = [v for v in verdict.violations if not v.exemption and (v.mandatory or _at_least(v, worst))]
    unjudged = [p for p in verdict.problems if p.severity == "error"]
    code = STOPPED if stops else UNJUDGED if unjudged else 0
    counts = parsed.counts
    result = Result(
        plan=name,
        passed=code == 0,
        rules=verdict.rules,
        counts=counts,
        violations=verdict.violations,
        problems=verdict.problems,
    )
    lines = _github(verdict, stops, name) if format == "github" else _text(verdict, stops, counts)
    return Answer(codec.builtins(result), "\n".join(lines), code)


def _at_least(violation: Violation, worst: Severity | None) -> bool:
    return worst is not None and _RANK[violation.severity] <= _RANK[worst]


def _read(plan: str) -> tuple[str, bytes]:
    if plan == "-":
        return "standard input", sys.stdin.buffer.read(plan_json.MAX_BYTES + 1)
    path = Path(plan)
    try:
        if path.stat().st_size > plan_json.MAX_BYTES:
            raise BadInput("the plan is too large", code="plan-too-large", place=plan, hint="part the stack")
        return plan, path.read_bytes()
    except FileNotFoundError:
        hint = "terraform plan -out FILE, then terraform show -json FILE > plan.json"
        raise NotFound("there is no such plan", code="plan-missing", place=plan, hint=hint) from None
    except OSError as error:
        raise BadInput(f"the plan cannot be read: {error.strerror}", code="plan-unreadable", place=plan) from None


class _Page(msgspec.Struct, frozen=True):
    items: list[Exemption]


def _exempting(path: str) -> Exempting:
    """The exemptions of a file that hold now."""
    if not path:
        return Exempting(())
    try:
        page = msgspec.json.decode(Path(path).read_bytes(), type=_Page)
    except FileNotFoundError:
        raise NotFound("there are no such exemptions", code="exemptions-missing", place=path) from None
    except (OSError, msgspec.MsgspecError) as error:
        raise BadInput(
            f"the exemptions cannot be read: {error}",
            code="exemptions-invalid",
            place=path,
            hint="uwu --json rules exemptions > exemptions.json",
        ) from None
    now = codec.now()
    return Exempting(one for one in page.items if one.ended_at is None and one.until > now)


def _text(verdict: Verdict, stops: Sequence[Violation], counts: dict[str, int]) -> list[str]:
    told = ", ".join(f"{count} to {name}" for name, count in counts.items())
    lines = [f"{verdict.rules} rules over {told}"]
    for each in verdict.violations:
        word = "exempt" if each.exemption else "STOP" if each in stops else "look"
        lines += ["", f"{word:<6} {each.severity.value:<8} {each.rule}  {each.address}", f"       {each.message}"]
        if not each.exemption:
            lines += [f"       why: {each.why}", f"       instead: {each.remedy}"]
    for problem in verdict.problems:
        lines += ["", f"not judged: {problem}"]
    warned = sum(not v.exemption for v in verdict.violations) - len(stops)
    if not verdict.violations and not verdict.problems:
        lines.append("Nothing stands against it.")
    else:
        lines += ["", f"{len(stops)} stop it, {warned} to look at, {len(verdict.exempt)} exempt"]
    return lines


def _github(verdict: Verdict, stops: Sequence[Violation], name: str) -> list[str]:
    """Workflow commands of GitHub Actions: ``::error title=...::message``."""
    lines: list[str] = []
    for each in verdict.violations:
        if each.exemption:
            continue
        level = "error" if each in stops else _LEVELS.get(each.severity, "notice")
        level = "warning" if level == "error" and each not in stops else level
        text = f"{each.address}: {each.message}\n{each.why} {each.remedy}"
        lines.append(f"::{level} title={_escaped(f'{each.rule} ({each.severity.value})', True)}::{_escaped(text)}")
    lines += [f"::error title={_escaped(name, True)}::{_escaped(str(problem))}" for problem in verdict.problems]
    return lines


def _escaped(text: str, property: bool = False) -> str:
    text = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return text.replace(":", "%3A").replace(",", "%2C") if property else text
