"""The places of the navigation, in their order; one is shown where its page exists."""

from __future__ import annotations

from functools import cache

import msgspec

from uwu.app.console import links

OPERATE, GOVERN = "Operate", "Govern"


class Place(msgspec.Struct, frozen=True):
    """One place: its name, icon, address, the keys that lead to it, and the heading that it stands under."""

    name: str
    icon: str
    href: str
    keys: str
    group: str = ""
    action: str = "console.view"
    """What it takes to see it: filled from its page."""

    @property
    def order(self) -> int:
        return ("", OPERATE, GOVERN).index(self.group)


_ALL = (
    Place("Home", "house", links.HOME, "gh"),
    Place("Findings", "circle-alert", links.FINDINGS, "gf"),
    Place("Changes", "history", links.CHANGES, "gc"),
    Place("Resources", "boxes", links.RESOURCES, "gr"),
    Place("Catalog", "book-open", links.CATALOG, "gk"),
    Place("Graph", "waypoints", links.GRAPH, "gg"),
    Place("Plans", "git-pull-request-arrow", links.PLANS, "gp", OPERATE),
    Place("Runs", "rocket", links.RUNS, "gx", OPERATE),
    Place("Stacks", "workflow", links.STACKS, "gz", OPERATE),
    Place("States", "layers", links.STATES, "gt", OPERATE),
    Place("Jobs", "activity", links.JOBS, "gj", OPERATE),
    Place("Coverage", "radar", links.COVERAGE, "gv", OPERATE),
    Place("Trail", "footprints", links.TRAIL, "gl", OPERATE),
    Place("Rules", "shield-alert", links.RULES, "gu", OPERATE),
    Place("Ownership", "users", links.OWNERSHIP, "go", OPERATE),
    Place("Scorecards", "gauge", links.SCORECARDS, "gq", OPERATE),
    Place("Detections", "zap", links.DETECTIONS, "gd", OPERATE),
    Place("Entropy", "chart-line", links.ENTROPY, "ge", OPERATE),
    Place("Notices", "bell", links.NOTICES, "gn", GOVERN),
    Place("Audit", "scroll-text", links.AUDIT, "ga", GOVERN),
    Place("Settings", "settings-2", links.SETTINGS, "gs", GOVERN),
)

ICONS = tuple(place.icon for place in _ALL)


@cache
def standing() -> tuple[Place, ...]:
    """The places whose page exists."""
    from uwu.app.console import frame

    pages = {route.path: route for route in frame.found() if isinstance(route, frame.Page)}
    return tuple(
        Place(place.name, place.icon, place.href, place.keys, place.group, pages[place.href].action)
        for place in _ALL
        if place.href in pages
    )
