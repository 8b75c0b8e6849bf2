"""What is collected, as data for people: each type, the calls that read it, and what it points to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from functools import cache

import msgspec

from uwu.domains.inventory import services
from uwu.domains.inventory.catalog import cloud, types
from uwu.domains.inventory.catalog import model as catalog
from uwu.domains.inventory.compared import kinds_of
from uwu.domains.inventory.model import Spec
from uwu.kernel import paging
from uwu.kernel.runtime import Kernel


class Points(msgspec.Struct, frozen=True):
    """A relation that an attribute tells."""

    kind: str
    path: str


class TypeRow(msgspec.Struct, frozen=True, kw_only=True):
    """A type of resource and how it is read."""

    name: str
    title: str
    service: str
    """As botocore names it."""
    made: str
    """``core``: written by hand; ``curated``: generated, then looked at; ``generated``; ``cloud-control``."""
    collected: bool
    """Whether the settings choose it."""
    operation: str
    """The call that lists it; empty for settings that an account or a region has once."""
    path: str
    """JMESPath of the list in an answer."""
    under: str = ""
    """The call that lists what ``operation`` is asked for, one by one."""
    extras: tuple[str, ...] = ()
    """Further calls that tell more of each."""
    once: bool = False
    """Asked once an account, not once a region."""
    keys: tuple[str, ...] = ()
    """The attributes that tell most."""
    relations: tuple[Points, ...] = ()
    kinds: tuple[str, ...] = ()
    """Every kind of relation that it may hold."""


class TypePage(msgspec.Struct, frozen=True):
    """Some types by name."""

    items: list[TypeRow]
    after: str
    """What to ask the next page with; empty at the end."""
    total: int
    """How many fit, on all pages."""


class CatalogSums(msgspec.Struct, frozen=True, kw_only=True):
    """How much of AWS's API the catalog knows to list."""

    botocore: str
    """The version of botocore that it was generated from."""
    services: int
    lists: int
    """Operations that list without an argument of their own."""
    second: int
    """Operations that are asked for each item of such a list: what lies under it, tells it in full, or its tags."""
    unclear: int
    """Operations that list something and cannot be read by what the models tell."""
    types: int
    """Types that can be collected, those written by hand and those of Cloud Control among them."""
    collected: int
    left_out: dict[str, int]
    """Why an operation makes no type -> how many."""


class OperationRow(msgspec.Struct, frozen=True, kw_only=True):
    """One operation as the catalog knows it."""

    service: str
    operation: str
    form: str
    path: str
    under: str
    argument: str
    id: str
    arn: str
    tags: str
    left_out: str


class OperationPage(msgspec.Struct, frozen=True):
    """Some operations by service and name, and the sums of all."""

    items: list[OperationRow]
    after: str
    sums: CatalogSums


def page(kernel: Kernel, *, service: str, pattern: str, every: bool, limit: int, after: str) -> TypePage:
    """The types that fit, by name; with ``every`` also those that are not collected.

    Raises ``BadInput`` for an ``after`` that no page gave.
    """
    chosen = _collected(kernel)
    known: Iterable[str] = services.all_names() if every else sorted(chosen)
    found = [
        name
        for name in known
        if (not pattern or fnmatchcase(name, pattern)) and (not service or _service(name, chosen) == service)
    ]
    place = paging.place(after, str)
    left = [name for name in found if place is None or name > place[0]]
    shown = left[:limit]
    rows = [row(chosen.get(name) or services.spec(name), collected=name in chosen) for name in shown]
    return TypePage(rows, paging.cursor(shown[-1]) if len(left) > limit else "", len(found))


def _collected(kernel: Kernel) -> dict[str, Spec]:
    held = services.collected(kernel.settings.inventory).values()
    return {spec.name: spec for specs in held for spec in specs}


def _service(name: str, chosen: Mapping[str, Spec]) -> str:
    if name in chosen:
        return chosen[name].service
    plan = types.planned().get(name)
    return plan.row.service if plan is not None else services.spec(name).service


def row(spec: Spec, *, collected: bool) -> TypeRow:
    """``spec`` for people."""
    return TypeRow(
        name=spec.name,
        title=spec.title,
        service=spec.service,
        made=_made().get(spec.name, "cloud-control"),
        collected=collected,
        operation=spec.operation,
        path=spec.path,
        under=spec.under.operation if spec.under is not None else "",
        extras=tuple(extra.operation for extra in spec.extras),
        once=spec.everywhere,
        keys=spec.keys,
        relations=tuple(Points(link.kind, link.path) for link in spec.links if not link.path.startswith("_")),
        kinds=kinds_of(spec),
    )


@cache
def _made() -> dict[str, str]:
    found = {name: "curated" if plan.curated is not None else "generated" for name, plan in types.planned().items()}
    found.update((spec.name, "cloud-control") for spec in cloud.SPECS)
    return found | {spec.name: "core" for spec in services.SPECS}


def operations(kernel: Kernel, *, service: str, pattern: str, limit: int, after: str) -> OperationPage:
    """The operations of the catalog that fit, by service and name, with the sums of all."""
    place = paging.place(after, str, str, str)
    found = [
        each
        for each in catalog.load().rows
        if (not service or each.service == service)
        and (not pattern or fnmatchcase(each.operation, pattern))
        and (place is None or (each.service, each.operation, each.form) > place)
    ]
    found.sort(key=lambda each: (each.service, each.operation, each.form))
    shown = found[:limit]
    rows = [
        OperationRow(
            service=each.service,
            operation=each.operation,
            form=each.form,
            path=each.path,
            under=each.parent,
            argument=each.argument,
            id=each.id,
            arn=each.arn,
            tags=each.tags,
            left_out=each.left_out,
        )
        for each in shown
    ]
    end = paging.cursor(shown[-1].service, shown[-1].operation, shown[-1].form) if len(found) > limit else ""
    return OperationPage(rows, end, _sums(len(_collected(kernel))))


def _sums(collected: int) -> CatalogSums:
    held = catalog.load()
    left_out: dict[str, int] = {}
    for each in held.rows:
        if each.left_out:
            left_out[each.left_out] = left_out.get(each.left_out, 0) + 1
    return CatalogSums(
        botocore=held.botocore,
        services=len(catalog.by_service()),
        lists=sum(each.form == "list" for each in held.rows),
        second=sum(each.form != "list" for each in held.rows),
        unclear=held.unclear,
        types=len(services.all_names()),
        collected=collected,
        left_out=left_out,
    )
