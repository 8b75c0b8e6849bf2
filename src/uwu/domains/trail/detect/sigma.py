"""Sigma rules -> detections: pySigma reads them, their conditions become DuckDB's SQL.

Sigma compares text without regard to case (Sigma specification 2.1, "Detection"): so does this. A field that is absent
matches nothing, and ``not`` of it is true: no condition is ever NULL.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import yaml
from sigma import conditions as c
from sigma import correlations as co
from sigma import types as t
from sigma.collection import SigmaCollection
from sigma.exceptions import SigmaError
from sigma.rule import SigmaLevel, SigmaRule
from sigma.rule.base import SigmaRuleBase

from uwu.domains.trail.detect import fields
from uwu.domains.trail.detect.fields import Field, literal
from uwu.domains.trail.detect.model import PREFIX, Detection, Part, Window
from uwu.domains.trail.detect.old_conditions import rewritten
from uwu.kernel import codec
from uwu.kernel.errors import BadInput
from uwu.kernel.model import Severity

OWN = "uwu"
"""The member of a rule that only uwu reads: ``name``, ``subject`` and ``remedy``."""
MAX_BYTES = 256 * 1024
"""Of one file: the largest of SigmaHQ's has some 20 KB."""
_HINT = "see the Sigma specification, and docs/detections.md for what is read of it"

_LEVELS = {
    SigmaLevel.CRITICAL: Severity.CRITICAL,
    SigmaLevel.HIGH: Severity.HIGH,
    SigmaLevel.MEDIUM: Severity.MEDIUM,
    SigmaLevel.LOW: Severity.LOW,
    SigmaLevel.INFORMATIONAL: Severity.LOW,
}
_OPS = {"LT": "<", "LTE": "<=", "GT": ">", "GTE": ">=", "NEQ": "<>"}
_HOLDS: Mapping[str, Callable[[float, float], bool]] = {"GT": operator.gt, "GTE": operator.ge, "EQ": operator.eq}
_WORDS = {"GT": "more than {}", "GTE": "{} or more", "EQ": "exactly {}"}


Values = Mapping[str, tuple[str, ...]]
"""What a rule's placeholders (``%Name%``) stand for."""


class _Reader:
    """What a file's conditions are read with: the values of placeholders, and what must be told of the rule."""

    def __init__(self, values: Values) -> None:
        self.values = values
        self.notes: dict[str, None] = {}

    def field(self, name: str) -> Field:
        field = Field(name)
        if not field.known:
            self.notes[f"CloudTrail has no field {name}: what asks for it never matches"] = None
        return field


def read(text: str, *, source: str, place: str, values: Values | None = None) -> list[Detection]:
    """The detections of a file of one or more Sigma rules. Raises ``BadInput`` for what is none, or says too much."""
    reader = _Reader(values or {})
    if len(text.encode()) > MAX_BYTES:
        raise BadInput(f"a rule of more than {MAX_BYTES >> 10} KiB", code="rule-too-large", place=place)
    try:
        documents = [one for one in yaml.safe_load_all(text) if one is not None]
    except yaml.YAMLError as error:
        raise BadInput(f"this is not YAML: {error}", code="rule-yaml", place=place) from None
    if not documents or not all(isinstance(one, dict) for one in documents):
        raise BadInput("this is no Sigma rule", code="rule-shape", place=place, hint=_HINT)
    try:
        rules = SigmaCollection.from_dicts([each for one in documents for each in rewritten(one)])
        rules.resolve_rule_references()
    except SigmaError as error:
        raise BadInput(f"pySigma cannot read it: {error}", code="rule-sigma", place=place, hint=_HINT) from None
    except BadInput as error:
        raise _placed(error, place) from None
    except (TypeError, ValueError, AttributeError, KeyError, RecursionError) as error:
        raise BadInput(f"this is no Sigma rule: {error}", code="rule-sigma", place=place, hint=_HINT) from None
    found: list[Detection] = []
    try:
        referred = _referred(rules)
        for rule in rules.rules:
            if id(rule) in referred:
                continue
            own = rule.custom_attributes.get(OWN) or {}
            if not isinstance(own, dict):
                raise BadInput(f"{OWN} holds name, subject and remedy", code="rule-shape", hint=_HINT)
            if isinstance(rule, SigmaRule):
                found.append(_detection(rule, own, (_part(reader, rule),), None, source, place, text, reader))
            elif isinstance(rule, co.SigmaCorrelationRule):
                parts, window = _correlation(reader, rule)
                found.append(_detection(rule, own, parts, window, source, place, text, reader))
    except SigmaError as error:
        raise BadInput(f"pySigma cannot read it: {error}", code="rule-sigma", place=place, hint=_HINT) from None
    except BadInput as error:
        raise _placed(error, place) from None
    return found


def _placed(error: BadInput, place: str) -> BadInput:
    told = error.problem
    return BadInput(told.message, code=told.code, place=told.place or place, hint=told.hint)


def _referred(rules: SigmaCollection) -> set[int]:
    """The rules that stand for a correlation's sake alone."""
    found: set[int] = set()
    for rule in rules.rules:
        if isinstance(rule, co.SigmaCorrelationRule) and not rule.generate:
            found |= {id(one.rule) for one in _references(rule)}
    return found


def _references(rule: co.SigmaCorrelationRule) -> list[co.SigmaRuleReference]:
    return list(rule.rules or rule.referenced_rules)


def _detection(
    rule: SigmaRuleBase,
    own: Mapping[str, Any],
    parts: tuple[Part, ...],
    window: Window | None,
    source: str,
    place: str,
    text: str,
    reader: _Reader,
) -> Detection:
    name = str(own.get("name") or rule.name or rule.id or "")
    if not name:
        name = "-".join("".join(ch if ch.isalnum() else " " for ch in rule.title.lower()).split())
    if not name:
        raise BadInput("the rule has no id, name or title", code="rule-id", hint=_HINT)
    subject = own.get("subject", "target")
    if subject not in {"target", "principal", "account"}:
        raise BadInput(f"subject {subject!r} is none of target, principal, account", code="rule-subject", hint=_HINT)
    return Detection(
        id=name if name.startswith(PREFIX) else PREFIX + name,
        title=rule.title or name,
        description=" ".join((rule.description or "").split()),
        severity=_LEVELS.get(rule.level, Severity.MEDIUM) if rule.level else Severity.MEDIUM,
        parts=parts,
        hash=codec.digest([name, text]),
        source=source,
        place=place,
        text=text,
        window=window,
        subject=subject,
        tags=tuple(str(tag) for tag in rule.tags),
        references=tuple(rule.references),
        false_positives=tuple(str(one) for one in rule.falsepositives),
        remedy=" ".join(str(own.get("remedy") or "").split()),
        notes=tuple(reader.notes),
    )


def _part(reader: _Reader, rule: SigmaRule, by: tuple[str, ...] = (), value: str = "") -> Part:
    log = rule.logsource
    if (log.product or "aws").lower() != "aws" or (log.service or "cloudtrail").lower() != "cloudtrail":
        raise BadInput(
            f"the rule is for {log.product or 'any product'}/{log.service or 'any service'}, not for aws/cloudtrail",
            code="rule-logsource",
            hint="only rules over CloudTrail run here",
        )
    said = [_sql(reader, parsed.parsed) for parsed in rule.detection.parsed_condition]
    return Part(str(rule.name or rule.id or rule.title), _any(said), by, value)


def _any(said: list[str]) -> str:
    return said[0] if len(said) == 1 else "(" + " or ".join(said) + ")"


# ---- conditions


def _sql(reader: _Reader, node: Any) -> str:
    if isinstance(node, c.ConditionAND):
        return "(" + " and ".join(_sql(reader, one) for one in node.args) + ")"
    if isinstance(node, c.ConditionOR):
        return "(" + " or ".join(_sql(reader, one) for one in node.args) + ")"
    if isinstance(node, c.ConditionNOT):
        return f"(not {_sql(reader, node.args[0])})"
    if isinstance(node, c.ConditionFieldEqualsValueExpression):
        return _equals(reader, reader.field(node.field), node.value)
    if isinstance(node, c.ConditionValueExpression):
        test = _test(node.value, contains=True)
        return "(" + " or ".join(f"coalesce({test.format(column)}, false)" for column in fields.KEYWORDS) + ")"
    raise BadInput(f"a condition of {type(node).__name__} is not known", code="rule-unsupported", hint=_HINT)


def _equals(reader: _Reader, field: Field, value: Any) -> str:
    if not field.known:
        return str(isinstance(value, t.SigmaNull) or (isinstance(value, t.SigmaExists) and not value.exists)).lower()
    if isinstance(value, t.SigmaExpansion):
        return "(" + " or ".join(_equals(reader, field, one) for one in value.values) + ")"
    if isinstance(value, t.SigmaNull):
        return f"(not {field.exists})"
    if isinstance(value, t.SigmaExists):
        return field.exists if value.exists else f"(not {field.exists})"
    if isinstance(value, t.SigmaString) and value.contains_placeholder():
        return _placeholder(reader, field, value)
    if isinstance(value, t.SigmaFieldReference):
        other = f"lower({Field(value.field).scalar})"
        if value.starts_with:
            return field.any(f"starts_with(lower({{}}), {_braced(other)})")
        if value.ends_with:
            return field.any(f"ends_with(lower({{}}), {_braced(other)})")
        return field.any(f"lower({{}}) = {_braced(other)}")
    if isinstance(value, t.SigmaCIDRExpression):
        return field.any(_cidr(value))
    if isinstance(value, t.SigmaTimestampPart):
        unit = value.timestamp_part.name.lower()
        if field.column != "event_time":
            raise BadInput("parts of a time are asked of eventTime alone", code="rule-unsupported", hint=_HINT)
        return f"(extract('{unit}' from event_time) = {int(value.number)})"
    if isinstance(value, t.SigmaString) and value == "" and field.column:
        return f"(not {field.exists})"  # the lake keeps an absent text as an empty one
    return field.any(_test(value))


def _placeholder(reader: _Reader, field: Field, value: t.SigmaString) -> str:
    """Each of the values that the settings give; false where they give none."""
    name = next(part.name for part in value.s if isinstance(part, t.Placeholder))
    if name not in reader.values:
        reader.notes[f"the settings give no values for %{name}%: what asks for it never matches"] = None
        return "false"
    filled = [
        t.SigmaString("".join(one if isinstance(part, t.Placeholder) else _written(part) for part in value.s))
        for one in reader.values[name]
    ]
    return "(" + " or ".join(field.any(_test(one)) for one in filled) + ")" if filled else "false"


def _written(part: Any) -> str:
    return part if isinstance(part, str) else "*" if part == t.SpecialChars.WILDCARD_MULTI else "?"


def _braced(sql: str) -> str:
    return sql.replace("{", "{{").replace("}", "}}")


def _test(value: Any, *, contains: bool = False) -> str:
    """The test of one value as an expression over ``{}``, other braces doubled."""
    if isinstance(value, t.SigmaString):
        return _text(value, contains=contains)
    if isinstance(value, t.SigmaNumber):
        if contains:
            return f"contains({{}}, {literal(str(value.number))})"
        return f"try_cast({{}} as double) = {value.number}"
    if isinstance(value, t.SigmaBool):
        return f"lower({{}}) = '{str(bool(value.boolean)).lower()}'"
    if isinstance(value, t.SigmaRegularExpression):
        flags = "".join(sorted(value.sigma_to_re_flag[flag] for flag in value.flags))
        pattern = (f"(?{flags})" if flags else "") + str(value.regexp)
        return f"regexp_matches({{}}, {_braced(literal(pattern))})"
    if isinstance(value, t.SigmaCompareExpression):
        return f"try_cast({{}} as double) {_OPS[value.op.name]} {value.number.number}"
    raise BadInput(f"a value of {type(value).__name__} is not known", code="rule-unsupported", hint=_HINT)


def _text(value: t.SigmaString, *, contains: bool) -> str:
    cased = isinstance(value, t.SigmaCasedString)
    plain = all(isinstance(part, str) for part in value.s)
    if plain and not contains:
        text = "".join(str(part) for part in value.s)
        said = literal(text if cased else text.lower())
        return f"{'{}' if cased else 'lower({})'} = {_braced(said)}"
    pattern = "".join(
        _escaped(part) if isinstance(part, str) else "%" if part == t.SpecialChars.WILDCARD_MULTI else "_"
        for part in value.s
    )
    if contains:
        pattern = f"%{pattern}%"
    return f"{{}} {'like' if cased else 'ilike'} {_braced(literal(pattern))} escape '\\'"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _cidr(value: t.SigmaCIDRExpression) -> str:
    """Whether an address lies in a network: by number for IPv4, by prefix for IPv6."""
    network = value.network
    if network.version == 4:
        first, last = int(network.network_address), int(network.broadcast_address)
        octet = "try_cast(split_part({0}, '.', {1}) as bigint)"
        number = " + ".join(f"{octet.format('{0}', i + 1)} * {256 ** (3 - i)}" for i in range(4))
        is_one = "regexp_full_match({0}, '(\\d{{1,3}}\\.){{3}}\\d{{1,3}}')"
        return f"case when {is_one} then {number} between {first} and {last} else false end"
    patterns = [pattern.replace("*", "%") for pattern in value.expand()]
    return "(" + " or ".join(f"{{0}} ilike {literal(pattern)}" for pattern in patterns) + ")"


# ---- correlations


def _correlation(reader: _Reader, rule: co.SigmaCorrelationRule) -> tuple[tuple[Part, ...], Window]:
    condition = rule.condition
    kind = rule.type.name.lower()
    span = timedelta(seconds=rule.timespan.seconds)
    by = tuple(rule.group_by or ())
    value = ""
    holds: Callable[[float], bool] = lambda _: True  # noqa: E731 - replaced below where the condition is a number
    present = None
    words = "all of them"
    if isinstance(condition, co.SigmaExtendedCorrelationCondition):
        present = _presence(condition.parsed)
        words = condition.expression
    elif kind not in {"temporal", "temporal_ordered"}:
        op = condition.op.name
        if op not in _HOLDS:
            raise BadInput(
                "a correlation asks for more than, at least or exactly so many",
                code="rule-unsupported",
                hint="what does not happen is no event: no batch can tell of it",
            )
        holds = _holds(op, float(condition.count))
        words = _WORDS[op].format(condition.count)
    if not isinstance(condition, co.SigmaExtendedCorrelationCondition) and condition.fieldref:
        if isinstance(condition.fieldref, list):
            raise BadInput("a correlation counts one field", code="rule-unsupported", hint=_HINT)
        value = reader.field(condition.fieldref).scalar
    if kind.startswith("value_") and not value:
        raise BadInput(f"{kind} needs a field to count", code="rule-sigma", hint=_HINT)
    parts: list[Part] = []
    for reference in _references(rule):
        base = reference.rule
        if not isinstance(base, SigmaRule):
            raise BadInput("a correlation of correlations does not run here", code="rule-unsupported", hint=_HINT)
        keys = tuple(reader.field(_aliased(rule, name, reference)).scalar for name in by)
        part = _part(reader, base, keys, value)
        parts.append(Part(reference.reference, part.where, keys, value))
    minutes = rule.timespan.spec
    if value and not isinstance(condition, co.SigmaExtendedCorrelationCondition):
        words += {"value_count": f" different {condition.fieldref}"}.get(kind, f" by {kind} of {condition.fieldref}")
    told = f"{words} within {minutes}" + (f" by {', '.join(by)}" if by else "")
    return tuple(parts), Window(
        type=kind,
        span=span,
        holds=holds,
        order=tuple(part.name for part in parts),
        present=present,
        percentile=getattr(condition, "percentile", None) or 50,
        text=told,
    )


def _holds(op: str, number: float) -> Callable[[float], bool]:
    test = _HOLDS[op]
    return lambda found: test(found, number)


def _aliased(rule: co.SigmaCorrelationRule, name: str, reference: co.SigmaRuleReference) -> str:
    alias = rule.aliases.aliases.get(name)
    if alias is None:
        return name
    for of, field in alias.mapping.items():
        if of.reference == reference.reference:
            return field
    raise BadInput(f"the alias {name!r} says nothing of {reference.reference!r}", code="rule-sigma", hint=_HINT)


def _presence(node: Any) -> Callable[[frozenset[str]], bool]:
    if isinstance(node, co.SigmaRuleReference):
        return lambda found: node.reference in found
    tests = [_presence(one) for one in node.args]
    if isinstance(node, co.CorrelationConditionAND):
        return lambda found: all(test(found) for test in tests)
    if isinstance(node, co.CorrelationConditionOR):
        return lambda found: any(test(found) for test in tests)
    return lambda found: not tests[0](found)
