"""Sigma's older aggregations (``selection | count() by x > 5``, ``a | near b``) rewritten as correlation rules.

Sigma replaced them in 2024 (Sigma specification 2.0, "Sigma Correlation Rules"); many published rules still have them.
"""

from __future__ import annotations

import re
from typing import Any

from uwu.kernel.errors import BadInput

DEFAULT_TIMEFRAME = "1h"
"""Of a rule that gives none."""
_COUNT = re.compile(
    r"^\s*count\(\s*(?P<field>[\w.]*)\s*\)\s*(?:by\s+(?P<by>[\w.]+(?:\s*,\s*[\w.]+)*)\s*)?(?P<op><=|>=|<|>|==|=)\s*(?P<n>\d+)\s*$"
)
_NEAR = re.compile(r"^\s*near\s+(?P<other>.+)$")
_OPS = {">": "gt", ">=": "gte", "<": "lt", "<=": "lte", "=": "eq", "==": "eq"}


def rewritten(document: dict[str, Any]) -> list[dict[str, Any]]:
    """``document`` as it is, or its selections and the correlation that its condition means. Raises ``BadInput``."""
    detection = document.get("detection")
    condition = detection.get("condition") if isinstance(detection, dict) else None
    if not isinstance(detection, dict) or not isinstance(condition, str) or "|" not in condition:
        return [document]
    selected, _, aggregation = condition.partition("|")
    span = str(detection.get("timeframe") or document.get("timeframe") or DEFAULT_TIMEFRAME)
    count, near = _COUNT.match(aggregation), _NEAR.match(aggregation)
    if count:
        correlation: dict[str, Any] = {
            "type": "value_count" if count["field"] else "event_count",
            "rules": ["selected"],
            "timespan": span,
            "condition": {_OPS[count["op"]]: int(count["n"]), **({"field": count["field"]} if count["field"] else {})},
        }
        if count["by"]:
            correlation["group-by"] = [field.strip() for field in count["by"].split(",")]
        parts = {"selected": selected}
    elif near:
        parts = {"selected": selected, "near": near["other"]}
        correlation = {"type": "temporal", "rules": list(parts), "timespan": span}
    else:
        raise BadInput(
            f"the aggregation {aggregation.strip()!r} is not known",
            code="rule-unsupported",
            hint="write a Sigma correlation rule",
        )
    named = {key: value for key, value in detection.items() if key not in {"condition", "timeframe"}}
    bases = [
        {
            "title": f"{document.get('title', 'rule')} ({name})",
            "name": name,
            "logsource": document.get("logsource", {}),
            "detection": {**named, "condition": text.strip()},
        }
        for name, text in parts.items()
    ]
    rest = {key: value for key, value in document.items() if key not in {"detection", "logsource"}}
    return [*bases, {**rest, "correlation": correlation}]
