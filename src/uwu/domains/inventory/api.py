"""What the inventory collects, over HTTP under ``/api/v1``."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromQuery, JSONBody

from uwu.domains.inventory import refresh_ask, told
from uwu.domains.inventory.told import OperationPage, TypePage
from uwu.kernel.identity import Principal
from uwu.kernel.runtime import Kernel

READ = {"action": "world.read"}


@get("/inventory/types", sync_to_thread=True, opt=READ)
def list_inventory_types(
    kernel: NamedDependency[Kernel],
    service: FromQuery[str] = "",
    type: FromQuery[str] = "",
    every: FromQuery[bool] = False,
    limit: FromQuery[int] = 100,
    after: FromQuery[str] = "",
) -> TypePage:
    """What is collected and by which call, by name. ``type`` is a name or a pattern (``aws_ec2_*``); ``every`` also
    gives what is known but not collected."""
    return told.page(kernel, service=service, pattern=type, every=every, limit=limit, after=after)


@get("/inventory/catalog", sync_to_thread=True, opt=READ)
def list_catalog_operations(
    kernel: NamedDependency[Kernel],
    service: FromQuery[str] = "",
    operation: FromQuery[str] = "",
    limit: FromQuery[int] = 100,
    after: FromQuery[str] = "",
) -> OperationPage:
    """The operations of AWS that list something, as the generated catalog knows them, by service and name; why those
    that make no type do not; and how many there are of each."""
    return told.operations(kernel, service=service, pattern=operation, limit=limit, after=after)


class Subjects(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to read again."""

    subjects: list[str]
    """ARNs, ids or names: 1 to 100."""


class Asked(msgspec.Struct, frozen=True):
    """The job that reads them; the one that runs already where they were asked for twice."""

    id: str


@post("/inventory/refresh", sync_to_thread=True, opt={"action": refresh_ask.ACTION}, status_code=202)
def refresh_resources(
    kernel: NamedDependency[Kernel], principal: NamedDependency[Principal], data: JSONBody[Subjects]
) -> Asked:
    """Reads resources in AWS again, each by itself and whole. The job's result tells the calls and what changed."""
    return Asked(refresh_ask.ask(kernel, principal, data.subjects))


HANDLERS: list[Any] = [list_inventory_types, list_catalog_operations, refresh_resources]
