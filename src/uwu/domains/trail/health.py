"""How fresh the trail is, and its tables for ``uwu query``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from uwu.domains.trail import changes, store
from uwu.domains.trail.digests import ledger
from uwu.kernel import codec
from uwu.kernel.domain import SourceHealth
from uwu.kernel.query import Source
from uwu.kernel.runtime import Kernel


def health(kernel: Kernel) -> Sequence[SourceHealth]:
    """One line: up to when events are known, and what is still without a name."""
    until = changes.committed_until(kernel)
    if until is None:
        return (SourceHealth("cloudtrail", "never", None, "declare a Trail in the estate, then run `uwu sync trail`"),)
    with kernel.db.read() as connection:
        _, unknown = store.unresolved(connection)
    late = codec.now() - timedelta(hours=kernel.settings.drift.stale_after_hours)
    detail = f"{unknown} events without a known actor" if unknown else "every actor is known"
    return (SourceHealth("cloudtrail", "fresh" if until >= late else "late", until, detail),)


def query_tables(_kernel: Kernel) -> Mapping[str, Source]:
    """``events``, ``event_resources`` and ``trail_hours``."""
    lake = {spec.name: Source.lake(spec) for spec in (store.EVENTS, store.EVENT_RESOURCES)}
    return {**lake, "trail_hours": ledger.SOURCE}
