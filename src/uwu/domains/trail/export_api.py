"""The export of events over HTTP, under ``/api/v1``."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromQuery
from litestar.response import Stream

from uwu.domains.trail import ocsf
from uwu.kernel import codec, sight
from uwu.kernel.errors import BadInput
from uwu.kernel.runtime import Kernel

READ = {"action": "world.read"}


@get("/trail/ocsf", sync_to_thread=True, opt=READ)
def export_ocsf(
    kernel: NamedDependency[Kernel], since: FromQuery[str], until: FromQuery[str] = "", classes: FromQuery[str] = ""
) -> Stream:
    """Events as OCSF 1.3 in JSON lines, by time. ``classes`` are some of 3001, 3002 and 6003, with commas between.

    It takes sight of everything.
    """
    sight.require_all("the events of every account")
    begin, end = _time("since", since), _time("until", until) if until else codec.now()
    chosen = tuple(int(one) for one in classes.split(",") if one.strip().isdigit()) or ocsf.CLASSES
    found = ocsf.events(kernel, begin, end, chosen)
    return Stream(_lines(found), media_type="application/x-ndjson", headers={"cache-control": "private, no-store"})


def _lines(found: Iterator[dict[str, Any]]) -> Iterator[bytes]:
    for event in found:
        yield codec.encode(event) + b"\n"


def _time(name: str, text: str) -> datetime:
    try:
        return codec.parse_time(text)
    except ValueError as error:
        raise BadInput(str(error), code="time-invalid", place=name, hint="2026-03-10T14:00:00Z") from None


HANDLERS: list[Any] = [export_ocsf]
