"""How things look: the icon of a kind, the colour of a person, the level of a severity."""

from __future__ import annotations

import hashlib

ABOUT = {
    "what": "info",
    "happened": "history",
    "declared": "file-code",
    "observed": "radar",
    "owned": "users",
    "fix": "wrench",
}
"""The icon of each kind of sentence in a story."""

SOURCE = {
    "event": "scroll-text",
    "state": "database",
    "estate": "file-code",
    "coverage": "radar",
    "evidence": "badge-check",
}
"""The icon of each kind of source behind a claim."""

ENTITY = {
    "component": "box",
    "system": "boxes",
    "domain": "layers",
    "api": "plug",
    "resource": "database",
    "group": "users",
    "user": "user",
    "location": "map-pin",
    "template": "file-text",
    "account": "wallet-cards",
    "stack": "layers",
    "trail": "footprints",
}
"""The icon of each kind of entity."""

FALLBACK = "box"
ICONS = tuple(
    sorted(
        {FALLBACK, *ABOUT.values(), *SOURCE.values(), *ENTITY.values()}
        | {"house", "circle-alert", "boxes", "book-open", "search", "monitor", "sun", "moon", "check", "lock"}
        | {
            "unplug",
            "circle-check",
            "circle-dot",
            "circle-dashed",
            "circle-x",
            "user",
            "key-round",
            "shield-user",
            "bot",
        }
    )
)
"""Every icon that code, rather than a template, names."""


def hue(name: str) -> int:
    """1-6: the tint of a person's avatar, the same for ever."""
    return hashlib.sha256(name.encode()).digest()[0] % 6 + 1


def entity_icon(kind: str) -> str:
    return ENTITY.get(kind.lower(), FALLBACK)
