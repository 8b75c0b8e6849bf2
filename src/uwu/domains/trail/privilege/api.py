"""Least privilege over HTTP, under ``/api/v1``."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromQuery

from uwu.domains.trail.privilege import service
from uwu.domains.trail.privilege.service import Report
from uwu.kernel import codec
from uwu.kernel.errors import BadInput
from uwu.kernel.runtime import Kernel

READ = {"action": "world.read"}


def _time(name: str, text: str) -> datetime | None:
    try:
        return codec.parse_time(text) if text else None
    except ValueError as error:
        raise BadInput(str(error), code="time-invalid", place=name, hint="2026-03-10T14:00:00Z") from None


@get("/trail/least-privilege", sync_to_thread=True, opt=READ)
def get_least_privilege(
    kernel: NamedDependency[Kernel],
    principal: FromQuery[str],
    since: FromQuery[str] = "",
    until: FromQuery[str] = "",
) -> Report:
    """What a role or user may do against what it did, the policy that is enough, and its replay over the history.

    It takes sight of everything: what somebody did lies in many accounts.
    """
    return service.report(kernel, principal, since=_time("since", since), until=_time("until", until))


HANDLERS: list[Any] = [get_least_privilege]
