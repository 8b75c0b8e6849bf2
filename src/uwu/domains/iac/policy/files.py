"""Rules that a home or a repository brings: ``*.cedar`` with annotations, and ``*.py`` with a tuple ``RULES``."""

from __future__ import annotations

import runpy
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import cedarpy

from uwu.domains.iac.policy import cedar
from uwu.domains.iac.policy.model import PlanRule
from uwu.domains.iac.policy.shipped import SHIPPED
from uwu.kernel import codec
from uwu.kernel.errors import BadInput, NotFound
from uwu.kernel.model import Severity

MAX_BYTES = 1_000_000
_HINT = '@id("team.no-zone-deletes") @title("...") @why("...") @remedy("...") @severity("high") @mandatory("true")'


def rules(paths: Iterable[Path | str] = ()) -> tuple[PlanRule, ...]:
    """The rules that come with uwu and those of ``paths``, files or folders. A rule of an id that is there already
    takes its place. Raises ``BadInput`` (``plan-policy``) or ``NotFound``, naming the file.

    A Python file is run: give only files that may do all that uwu may.
    """
    known = {rule.id: rule for rule in SHIPPED}
    given: dict[str, str] = {}
    for path in paths:
        for file in _files(Path(path)):
            for rule in _of(file):
                if rule.id in given:
                    message = f"two rules are called {rule.id}; the other is in {given[rule.id]}"
                    raise BadInput(message, code="plan-policy", place=str(file), hint="give each an id of its own")
                given[rule.id] = str(file)
                known[rule.id] = rule
    return tuple(known.values())


def _files(path: Path) -> Sequence[Path]:
    if path.is_dir():
        return sorted(each for each in path.rglob("*") if each.suffix in (".cedar", ".py") and each.is_file())
    if not path.is_file():
        raise NotFound("there are no such rules", code="plan-policy", place=str(path), hint="name a file or a folder")
    return [path]


def _of(path: Path) -> Iterator[PlanRule]:
    if path.suffix == ".py":
        yield from _python(path)
        return
    try:
        data = path.read_bytes()
        text = data.decode("utf-8") if len(data) <= MAX_BYTES else ""
    except (OSError, UnicodeDecodeError):
        text = ""
    if not text.strip():
        raise BadInput("this holds no rules", code="plan-policy", place=str(path), hint=_HINT)
    cedar.check_text(text, str(path))
    whole = cast("dict[str, Any]", codec.decode(cedarpy.policies_to_json_str(text)))
    for number, (_, policy) in enumerate(sorted(whole["staticPolicies"].items()), 1):
        yield _cedar(policy, f"{path} policy {number}")


def _cedar(policy: dict[str, Any], place: str) -> PlanRule:
    told = policy.get("annotations") or {}
    missing = [name for name in ("id", "title", "why", "remedy") if not told.get(name)]
    if missing:
        names = ", ".join(f"@{name}" for name in missing)
        raise BadInput(f"the policy lacks {names}", code="plan-policy", place=place, hint=_HINT)
    if policy.get("effect") != "forbid":
        raise BadInput(
            "a rule forbids; this one permits", code="plan-policy", place=place, hint="write forbid, and unless { ... }"
        )
    severity = str(told.get("severity") or "medium")
    if severity not in {each.value for each in Severity}:
        names = ", ".join(each.value for each in Severity)
        raise BadInput(f"{severity[:20]!r} is no severity", code="plan-policy", place=place, hint=f"one of: {names}")
    alone = {"staticPolicies": {"policy0": policy}, "templates": {}, "templateLinks": []}
    return PlanRule(
        id=str(told["id"]),
        title=str(told["title"]),
        severity=Severity(severity),
        why=str(told["why"]),
        remedy=str(told["remedy"]),
        mandatory=told.get("mandatory") in ("true", ""),
        cedar=cedarpy.policies_from_json_str(codec.encode(alone).decode()),
        place=place,
    )


def _python(path: Path) -> Sequence[PlanRule]:
    try:
        found = runpy.run_path(str(path)).get("RULES")
    except Exception as error:  # whatever a file of another's does while it is read is its own defect
        raise BadInput(
            f"the rules cannot be loaded: {type(error).__name__}: {error}",
            code="plan-policy",
            place=str(path),
            hint="run it with Python by itself",
        ) from error
    rules = list(cast("Iterable[object]", found)) if isinstance(found, tuple | list) else []
    if not rules or not all(isinstance(rule, PlanRule) for rule in rules):
        raise BadInput(
            "the file names no rules",
            code="plan-policy",
            place=str(path),
            hint="RULES = (PlanRule(...),) of uwu.domains.iac.policy.model",
        )
    return cast("list[PlanRule]", rules)
