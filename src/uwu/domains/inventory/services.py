"""Every type that can be observed, and which of them are: what the settings choose, by service."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import cache
from typing import TYPE_CHECKING

from uwu.domains.inventory import (
    types_app,
    types_data,
    types_ec2,
    types_edge,
    types_guard,
    types_iam,
    types_net,
    types_run,
)
from uwu.domains.inventory.model import Spec
from uwu.kernel.errors import BadInput, Misconfigured

if TYPE_CHECKING:
    from uwu.kernel.domain import ResourceType
    from uwu.kernel.settings import InventorySettings

SPECS: tuple[Spec, ...] = (
    *types_ec2.SPECS,
    *types_net.SPECS,
    *types_iam.SPECS,
    *types_data.SPECS,
    *types_app.SPECS,
    *types_edge.SPECS,
    *types_run.SPECS,
    *types_guard.SPECS,
)
"""The core: written by hand, with what further calls tell."""


def _by_service(specs: Iterable[Spec]) -> dict[str, tuple[Spec, ...]]:
    found: dict[str, list[Spec]] = {}
    for spec in specs:
        found.setdefault(spec.service, []).append(spec)
    return {service: tuple(held) for service, held in found.items()}


SERVICES: dict[str, tuple[Spec, ...]] = _by_service(SPECS)
"""Service -> its types of the core, in the order in which one thread reads them."""

ACCOUNT = "aws_account"
"""The type of accounts; Organizations tells them, not a shard."""

CORE, CURATED, ALL = "core", "curated", "all"
"""What ``inventory.types`` may name beside patterns."""


def collected(settings: InventorySettings) -> Mapping[str, tuple[Spec, ...]]:
    """Service -> the types that ``settings`` choose.

    Raises ``Misconfigured`` (code ``type-unknown``) for a name or pattern that fits no type.
    """
    return _collected(settings.types, settings.exclude)


def chosen(settings: InventorySettings, patterns: Sequence[str]) -> Mapping[str, tuple[Spec, ...]]:
    """Service -> what is collected and fits one of ``patterns``; all of it where there is none.

    A pattern that fits nothing that is collected may name any type there is, also by CloudFormation's name. Raises
    ``BadInput`` (code ``type-unknown``) for one that fits none.
    """
    if not patterns:
        return collected(settings)
    return _chosen(settings.types, settings.exclude, tuple(patterns))


@cache
def _chosen(types: tuple[str, ...], exclude: tuple[str, ...], patterns: tuple[str, ...]) -> dict[str, tuple[Spec, ...]]:
    specs = [spec for held in _collected(types, exclude).values() for spec in held]
    wanted: dict[str, Spec] = {}
    for pattern in patterns:
        found = [spec for spec in specs if fnmatchcase(spec.name, pattern)] or [*_named(pattern)]
        if not found:
            raise BadInput(
                f"no type is called {pattern!r}",
                code="type-unknown",
                hint="`uwu inventory types --every` lists them; * stands for any characters",
            )
        wanted.update((spec.name, spec) for spec in found)
    return _by_service(wanted.values())


@cache
def _collected(types: tuple[str, ...], exclude: tuple[str, ...]) -> dict[str, tuple[Spec, ...]]:
    found: dict[str, Spec] = {}
    for asked in types:
        if asked in {CORE, CURATED, ALL}:
            found.update((spec.name, spec) for spec in SPECS)
        if asked == CURATED:
            found.update((spec.name, spec) for spec in _curated())
        elif asked == ALL:
            found.update((spec.name, spec) for spec in _named("*"))
        elif asked != CORE:
            _need(asked, some := [*_named(asked)])
            found.update((spec.name, spec) for spec in some)
    for pattern in exclude:
        _need(pattern, [name for name in (*found, *all_names()) if fnmatchcase(name, pattern)])
        found = {name: spec for name, spec in found.items() if not fnmatchcase(name, pattern)}
    return _by_service(found.values())


def _need(pattern: str, found: Sequence[object]) -> None:
    if not found:
        raise Misconfigured(
            f"no type is called {pattern!r}",
            code="type-unknown",
            place="inventory",
            hint="`uwu inventory types --every` lists them; core, curated and all stand for many",
        )


def _curated() -> Iterable[Spec]:
    from uwu.domains.inventory.catalog import types

    names = types.planned()
    yield from (types.spec(one.name) for one in types.curated() if not one.asked and one.name in names)


def all_names() -> tuple[str, ...]:
    """The name of every type there is, by name."""
    from uwu.domains.inventory.catalog import cloud, types

    return tuple(sorted({*(spec.name for spec in (*SPECS, *cloud.SPECS)), *types.planned()}))


def spec(name: str) -> Spec:
    """The type called ``name``. Raises ``KeyError`` where there is none."""
    from uwu.domains.inventory.catalog import cloud, types

    written = next((spec for spec in (*SPECS, *cloud.SPECS) if spec.name == name), None)
    return written or types.spec(name)


def _named(pattern: str) -> Iterable[Spec]:
    from uwu.domains.inventory.catalog import cloud

    told = cloud.any_type(pattern)
    if told is not None:
        return (told,)
    return (spec(name) for name in all_names() if fnmatchcase(name, pattern))


@cache
def resource_types() -> Mapping[str, ResourceType]:
    """The types beside the core, by name, as the platform shows them."""
    from uwu.domains.inventory.catalog import cloud, names, types
    from uwu.kernel.domain import ResourceType

    found: dict[str, ResourceType] = {}
    for name, plan in types.planned().items():
        one, row = plan.curated, plan.row
        found[name] = ResourceType(
            name,
            one.title if one is not None else names.title(row.service, row.noun),
            row.service,
            one.icon if one is not None else "box",
            relations=tuple(
                sorted({*(link.kind for link in row.links), "partOf", *(["belongsTo"] if row.parent else [])})
            )
            if one is None or not one.detail
            else None,
            once=row.everywhere or (one is not None and one.once),
        )
    for one in cloud.SPECS:
        found[one.name] = ResourceType(one.name, one.title, one.service, one.icon, relations=("partOf",))
    return found
