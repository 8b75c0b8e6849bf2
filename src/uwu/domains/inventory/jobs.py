"""The jobs of the inventory: the sync with its shards, and refreshes."""

from __future__ import annotations

from uwu.domains.inventory import observe, refresh

JOBS = (*observe.JOBS, *refresh.JOBS)
