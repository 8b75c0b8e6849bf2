"""The graph of observed resources: versions over time, relations, coverage.

A cell (source, account, region, type) is observed as a whole and written in one transaction. A resource
disappears only where its cell's observation is complete; a partial, denied or late one can only add and change.
"""

from __future__ import annotations

from uwu.kernel.graph.diff import AttributeChange, Diff, How, ResourceChange, Tally, between, tally
from uwu.kernel.graph.ledger import Cells, Covered, cells, coverage
from uwu.kernel.graph.links import set_relations
from uwu.kernel.graph.over_time import Version, Versions, as_of, history, versions
from uwu.kernel.graph.past import By, census, count_at
from uwu.kernel.graph.past import find as find_at
from uwu.kernel.graph.past import resource as resource_at
from uwu.kernel.graph.read import Observed, Page, account_names, count, find, like, neighbours, resource
from uwu.kernel.graph.write import Delta, Look, observe, observe_all, prepare, refresh

__all__ = [
    "AttributeChange",
    "By",
    "Cells",
    "Covered",
    "Delta",
    "Diff",
    "How",
    "Look",
    "Observed",
    "Page",
    "ResourceChange",
    "Tally",
    "Version",
    "Versions",
    "account_names",
    "as_of",
    "between",
    "cells",
    "census",
    "count",
    "count_at",
    "coverage",
    "find",
    "find_at",
    "history",
    "like",
    "neighbours",
    "observe",
    "observe_all",
    "prepare",
    "refresh",
    "resource",
    "resource_at",
    "set_relations",
    "tally",
    "versions",
]
