"""Which change caused a finding: the latest that speaks of what differs; none rather than a wrong one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from uwu.kernel import codec
from uwu.kernel.model import Change

_CREATED = re.compile(r"^(Create(?!Tags)|Run|Allocate|Request|Register|Import|Launch|Copy|Restore|Publish)")
_DELETED = re.compile(r"^(Delete(?!Tags)|Terminate|Remove|Release|Deregister|Schedule|Close|Revoke|Purge)")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_COMMON = frozenset(
    {"id", "ids", "name", "arn", "set", "value", "key", "type", "configuration", "attribute", "attributes"}
    # what is enabled may have been disabled: the direction says nothing of which setting is meant
    | {"enable", "enabled", "disable", "disabled", "is", "put", "update", "modify", "change"}
)

CREATED, DELETED, CHANGED = "created", "deleted", "changed"
"""What a finding asks for: how the subject came, how it went, how it was changed."""


def words(text: str) -> set[str]:
    """The telling words of a name in any case style, singular, in lower case."""
    found = {word.lower() for word in _WORD.findall(text)}
    return {word[:-1] if len(word) > 3 and word.endswith("s") else word for word in found} - _COMMON


def choose(
    changes: Sequence[Change], *, asks: str, path: str = "", declared: Any = None, observed: Any = None
) -> Change | None:
    """The change among ``changes`` (of one subject, any order) that best explains what is found."""
    aimed = [c for c in changes if c.role == "target" and not c.error]
    aimed.sort(key=lambda c: c.at, reverse=True)
    if asks == CREATED:
        created = [c for c in aimed if _CREATED.match(c.name)]
        return created[0] if created else aimed[-1] if aimed else None
    if asks == DELETED:
        return next((c for c in aimed if _DELETED.match(c.name)), None)
    wanted = words(path)
    fresh = _leaves(observed) - _leaves(declared)
    stale = _leaves(declared) - _leaves(observed)
    best: Change | None = None
    best_score = 0
    for change in aimed:
        if _CREATED.match(change.name):
            continue
        request = codec.encode(change.request).decode() if change.request is not None else ""
        score = 3 * len(wanted & words(change.name)) + len(wanted & words(" ".join(_keys(change.request))))
        score += 4 * any(f'"{leaf}"' in request or f":{leaf}" in request for leaf in fresh)
        score += 2 * any(f'"{leaf}"' in request for leaf in stale)
        if score > best_score:
            best, best_score = change, score
    if best is None:
        changed = [c for c in aimed if not _CREATED.match(c.name)]
        return changed[0] if len(changed) == 1 else None
    return best


def _keys(value: Any) -> Iterable[str]:
    if isinstance(value, dict):
        for key, inner in value.items():  # pyright: ignore[reportUnknownVariableType]
            yield str(key)  # pyright: ignore[reportUnknownArgumentType]
            yield from _keys(inner)
    elif isinstance(value, list):
        for inner in value:  # pyright: ignore[reportUnknownVariableType]
            yield from _keys(inner)


def _leaves(value: Any) -> set[str]:
    """The leaf values that are telling enough to be looked for in a request."""
    if isinstance(value, dict):
        return set[str]().union(*(_leaves(inner) for inner in value.values()))  # pyright: ignore
    if isinstance(value, list | tuple):
        return set[str]().union(*(_leaves(inner) for inner in value))  # pyright: ignore
    if isinstance(value, bool) or value is None:
        return set()
    text = str(value)
    return {text} if len(text) >= 2 else set()
