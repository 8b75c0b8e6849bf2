"""CloudTrail's field names as rules write them -> DuckDB expressions over the lake's ``events``.

Rules name fields with dots (``requestParameters.bucketName``). The lake keeps the parameters as JSON text: a path
into them is a JSON path; where it passes a list, every element of it counts, as other stores of events do it.
"""

from __future__ import annotations

import re
from itertools import combinations

from uwu.domains.trail import rows

COLUMNS = {
    "eventTime": "event_time",
    "eventID": "event_id",
    "eventSource": "event_source",
    "eventName": "event_name",
    "recipientAccountId": "account",
    "awsRegion": "region",
    "readOnly": "read_only",
    "errorCode": "error_code",
    "errorMessage": "error_message",
    "sourceIPAddress": "source_ip",
    "userAgent": "user_agent",
    "sharedEventID": "shared_event_id",
    "eventType": "event_type",
    "eventCategory": "event_category",
    "userIdentity.type": "identity_type",
    "userIdentity.accessKeyId": "access_key",
    # names that rules of many products share
    "src_ip": "source_ip",
    "status": "status",
    # uwu's own: who stands behind the call, and what it was about
    "actor": "actor",
    "actor_kind": "actor_kind",
    "actor_confidence": "actor_confidence",
    "principal": "principal",
    "through": "through",
    "targets": "targets",
}
"""Fields that are columns of their own."""

JSON = {
    "requestParameters": "request_parameters",
    "responseElements": "response_elements",
    "userIdentity": "identity",
}
"""Fields whose members are looked for in a column of JSON text."""

MORE = "more"
"""The column that holds the members that have none of their own."""

KEYWORDS = ("event_source", "event_name", "error_code", "error_message", "source_ip", "user_agent", "identity")
KEYWORDS += ("request_parameters", "response_elements", MORE)
"""Where a keyword without a field is looked for."""

_PLAIN = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$")
_SEVERAL_STARS = 2


def literal(text: str) -> str:
    """A SQL text."""
    return "'" + text.replace("'", "''") + "'"


class Field:
    """A field as SQL: one value, or every value along a path that passes lists."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.column = COLUMNS.get(name, "")
        head, _, rest = name.partition(".")
        self._json = ""
        self._parts: list[str] = []
        if self.column:
            return
        if head in JSON:
            self._json, self._parts = JSON[head], rest.split(".") if rest else []
        elif head in rows.MORE:
            self._json, self._parts = MORE, name.split(".")

    @property
    def known(self) -> bool:
        """Whether events have it at all."""
        return bool(self.column or self._json)

    @property
    def scalar(self) -> str:
        """The expression of its one value, as text; NULL where it is not there."""
        if not self.known:
            return "null"
        if self.column == "status":
            return "(case when error_code = '' then 'success' else 'failure' end)"
        if self.column == "read_only":
            return "cast(read_only as varchar)"
        if self.column == "event_time":
            return "strftime(event_time, '%Y-%m-%dT%H:%M:%SZ')"
        if self.column:
            return f"nullif({self.column}, '')"
        if not self._parts:
            return self._json
        return f"json_extract_string({self._json}, {literal(_path(self._parts, ()))})"

    @property
    def exists(self) -> str:
        return f"({self.scalar} is not null)"

    def any(self, test: str) -> str:
        """Whether ``test`` (an expression over ``{}``) holds of some value; false, never NULL, where there is none."""
        if self.column in {"read_only", "event_time", "status"}:
            return f"coalesce({test.format(self.scalar)}, false)"
        if self.column:
            return f"coalesce({test.format(self.column)}, false)"
        if not self._parts:
            return f"coalesce({test.format(self._json)}, false)"
        found = [f"[{self.scalar}]"]
        found += [
            f"json_extract_string({self._json}, {literal(_path(self._parts, stars))})"
            for stars in _stars(len(self._parts))
        ]
        values = f"list_concat({', '.join(found)})"
        return f"coalesce(len(list_filter({values}, lambda x: {test.format('x')})) > 0, false)"


def _stars(depth: int) -> list[tuple[int, ...]]:
    """After which parts of a path a list may stand: AWS's own have at most two on the way."""
    most = min(depth, _SEVERAL_STARS)
    return [stars for number in range(1, most + 1) for stars in combinations(range(depth), number)]


def _path(parts: list[str], stars: tuple[int, ...]) -> str:
    path = "$"
    for i, part in enumerate(parts):
        escaped = part.replace("\\", "\\\\").replace('"', '\\"')
        path += f".{part}" if _PLAIN.match(part) else f'."{escaped}"'
        path += "[*]" if i in stars else ""
    return path
