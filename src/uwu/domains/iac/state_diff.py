"""What is different between two versions of a state, with the paths of what has changed and without a secret.

Secret is what Terraform marks so (``sensitive_attributes``, sensitive outputs), what providers are known to keep secret
(``uwu.domains.iac.sensitive``), and every other place where the same value stands: Terraform marks a value where it
was given, not where a provider repeats it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, cast

import msgspec

from uwu.domains.iac import sensitive, state, state_store
from uwu.domains.iac.state import Instance
from uwu.kernel import codec
from uwu.kernel.errors import Conflict
from uwu.kernel.runtime import Kernel
from uwu.kernel.sensitive import MARK

SHORTEST_SECRET = 4
"""A shorter value that is marked (``true``, ``1``) says nothing where it stands elsewhere."""
MOST_PATHS = 200
"""Paths of one resource that are told; how many more there are is told too."""
MOST_CHARACTERS = 400
"""Of a value that is shown."""

Kind = Literal["added", "changed", "removed"]
Path = tuple[str | int, ...]


class PathChange(msgspec.Struct, frozen=True, kw_only=True):
    """One attribute that differs. A side is None where the attribute is not there."""

    path: str
    """``tags.env``, ``ingress[0].from_port``."""
    before: Any
    after: Any
    secret: bool
    """Its values are never shown; that they differ is."""


class ResourceChange(msgspec.Struct, frozen=True, kw_only=True):
    """One resource instance or output that is not as it was."""

    address: str
    """As Terraform prints it; of an output ``output.<name>``."""
    type: str
    kind: Kind
    paths: list[PathChange]
    """Of one that has changed; at most ``MOST_PATHS``."""
    more: int
    """Paths that are not in ``paths``."""


class StateDiff(msgspec.Struct, frozen=True, kw_only=True):
    """What is different."""

    state: str
    before: int
    """The number of the earlier version; 0 for nothing at all."""
    after: int
    serials: tuple[int, int]
    added: int
    changed: int
    removed: int
    changes: list[ResourceChange]


class Opened(msgspec.Struct, frozen=True):
    """A version that was opened, its secrets known and replaced."""

    serial: int
    items: dict[str, tuple[str, Any]]
    """Address -> (type, attributes without secrets)."""


def between(kernel: Kernel, key: str, before: int, after: int) -> StateDiff:
    """What is in version ``after`` (0: the current one) that was not in ``before`` (0: the one before it). Who looks
    sees what they may see. Raises ``NotFound``, ``Conflict`` where there is nothing to compare, ``BadInput``."""
    with kernel.db.read() as connection:
        found = state_store.get(connection, key)
        if after:
            new = state_store.version(connection, found.id, after)
        elif found.version is not None:
            new = found.version
        else:
            raise Conflict("nothing was written to this state yet", code="state-missing", place=key)
        old = state_store.before(connection, found.id, before or new.number, exact=bool(before))
    for each in (old, new):
        if each is not None and each.opaque:
            raise Conflict(
                f"version {each.number} is encrypted by its client: nothing in it can be compared",
                code="state-encrypted",
                place=key,
            )
    both = [opened(state_store.content(kernel, each.id), key) if each is not None else None for each in (old, new)]
    assert both[1] is not None
    numbers = (old.number if old is not None else 0, new.number)
    return difference(both[0], both[1], state=key, numbers=numbers)


def opened(data: bytes, place: str) -> Opened:
    """The instances and outputs of a state, ready to be compared. Secrets keep a mark that differs where they differ.

    Raises ``BadInput``.
    """
    read = state.parse(data, place)
    outputs = cast("dict[str, dict[str, Any]]", codec.decode(data).get("outputs") or {})
    secrets = set(secret_texts(read.instances, outputs))
    long = sorted((text for text in secrets if len(text) >= 2 * SHORTEST_SECRET), key=len, reverse=True)
    items: dict[str, tuple[str, Any]] = {}
    for each in read.instances:
        marked = sensitive.marked(each.type, each.attributes, each.sensitive)
        items[each.address] = (each.type, _without(marked, secrets, long))
    for name, held in outputs.items():
        value = held.get("value")
        shown = sensitive.fingerprinted(value) if held.get("sensitive") else _without(value, secrets, long)
        items[f"output.{name}"] = ("output", {"value": shown})
    return Opened(read.serial, items)


def difference(before: Opened | None, after: Opened, *, state: str, numbers: tuple[int, int]) -> StateDiff:
    """What is in ``after`` that was not in ``before``, by address."""
    old = before.items if before is not None else {}
    new = after.items
    changes: list[ResourceChange] = []
    for address in sorted(old.keys() | new.keys()):
        if address not in new:
            changes.append(_whole(address, old[address][0], "removed"))
        elif address not in old:
            changes.append(_whole(address, new[address][0], "added"))
        elif old[address] != new[address]:
            changes.append(_changed(address, old[address], new[address]))
    counts = {kind: sum(each.kind == kind for each in changes) for kind in ("added", "changed", "removed")}
    serials = (before.serial if before is not None else 0, after.serial)
    return StateDiff(state=state, before=numbers[0], after=numbers[1], serials=serials, changes=changes, **counts)


def _whole(address: str, type: str, kind: Kind) -> ResourceChange:
    return ResourceChange(address=address, type=type, kind=kind, paths=[], more=0)


def _changed(address: str, old: tuple[str, Any], new: tuple[str, Any]) -> ResourceChange:
    found = list(_paths((), old[1], new[1]))
    paths = [
        PathChange(path=_written(path), before=_shown(before), after=_shown(after), secret=_hides(before, after))
        for path, before, after in found[:MOST_PATHS]
    ]
    more = max(0, len(found) - MOST_PATHS)
    return ResourceChange(address=address, type=new[0], kind="changed", paths=paths, more=more)


def _paths(path: Path, old: Any, new: Any) -> Iterator[tuple[Path, Any, Any]]:
    """The places where two values differ: within mappings and lists of one length, else the whole value."""
    if old == new:
        return
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}, key=str):
            yield from _paths((*path, key), old.get(key), new.get(key))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from _paths((*path, index), one, other)
    else:
        yield path, old, new


def _written(path: Path) -> str:
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".") or "."


def _hides(*values: Any) -> bool:
    return any(MARK[:-1] in codec.encode(value).decode() for value in values)


def _shown(value: Any) -> Any:
    """``value`` with plain marks: the fingerprints by which secrets were compared are for nobody's eyes."""
    if isinstance(value, str):
        marked = sensitive.unfingerprinted(value)
        return marked if len(marked) <= MOST_CHARACTERS else marked[:MOST_CHARACTERS] + "…"
    if isinstance(value, dict):
        return {key: _shown(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_shown(each) for each in value]
    return value


# ---- what is secret


def secret_texts(instances: tuple[Instance, ...], outputs: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """The texts of a state that nobody may read: of its resources, and of outputs that are sensitive."""
    for each in instances:
        for value in sensitive.secrets(each.type, each.attributes, each.sensitive):
            yield from _texts(value)
    for held in outputs.values():
        if held.get("sensitive"):
            yield from _texts(held.get("value"))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        if len(value) >= SHORTEST_SECRET:
            yield value
    elif isinstance(value, int | float) and not isinstance(value, bool):
        if len(str(value)) >= 2 * SHORTEST_SECRET:
            yield str(value)
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)


def _without(value: Any, secrets: set[str], long: list[str]) -> Any:
    """``value``, each secret in it marked: one that is the whole text, or a long one that stands within another."""
    if not secrets:
        return value
    if isinstance(value, str):
        if value in secrets or any(each in value for each in long if len(each) < len(value)):
            return sensitive.fingerprinted(value)
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return sensitive.fingerprinted(value) if str(value) in secrets else value
    if isinstance(value, dict):
        return {key: _without(each, secrets, long) for key, each in value.items()}
    if isinstance(value, list):
        return [_without(each, secrets, long) for each in value]
    return value
