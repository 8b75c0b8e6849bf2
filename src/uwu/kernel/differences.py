"""What differs between two times, and who did it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from uwu.kernel import graph
from uwu.kernel.graph import Diff, How, ResourceChange
from uwu.kernel.model import Change
from uwu.kernel.runtime import Kernel

LAG = timedelta(hours=6)
"""A change may have been made so long before a look first saw it."""
TOLD = 5
"""Events told of one resource."""
_EVENTS_EACH = 20


def between(
    kernel: Kernel,
    begin: datetime,
    end: datetime,
    *,
    type: str = "",
    account: str = "",
    owner: str | None = None,
    how: How | Literal[""] = "",
    limit: int = 50,
    after: str = "",
) -> Diff:
    """One page of what differs between ``begin`` and ``end``, by urn, each with the events that did it.

    Raises ``BadInput``: code ``time-order`` where ``end`` is not later than ``begin``.
    """
    with kernel.db.read() as connection:
        diff = graph.between(
            connection,
            begin,
            end,
            type=type,
            account=account,
            owner=owner,
            how=how,
            limit=limit,
            after=after,
        )
    return msgspec.structs.replace(diff, items=_with_events(kernel, diff))


def _with_events(kernel: Kernel, diff: Diff) -> list[ResourceChange]:
    log = kernel.change_log
    if log is None or not diff.items:
        return diff.items
    urns = [item.urn for item in diff.items]
    until = max(item.at for item in diff.items)
    found = log.changes(urns, since=diff.begin - LAG, until=until, limit=_EVENTS_EACH * len(urns))
    by_urn: defaultdict[str, list[Change]] = defaultdict(list)
    for change in found:
        if change.role == "target":
            by_urn[change.urn].append(change)
    return [msgspec.structs.replace(item, changes=_of(item, by_urn[item.urn], diff.begin)) for item in diff.items]


def _of(item: ResourceChange, changes: Sequence[Change], begin: datetime) -> list[Change]:
    """Those between the times, as far as the look could see them; where there is none, the last before."""
    seen = [change for change in changes if change.at <= item.at]
    return [change for change in seen if change.at > begin][:TOLD] or seen[:1]
