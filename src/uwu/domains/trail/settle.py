"""Events that two workers took at once from different objects: dropped before the later batch is committed.

A batch is compared with the lake when it is read. Batches that were on their way then are compared here, when the
tables hold exactly the batches before this one: so nothing slips between two workers.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from uwu.domains.trail import store
from uwu.kernel import codec
from uwu.kernel.lake import Lake, WrittenFile

Files = dict[str, list[WrittenFile]]


def without_known(lake: Lake, number: int, files: Files, detail: Mapping[str, Any]) -> Files | None:
    """The files of batch ``number`` without events that the tables hold; None where there are none such."""
    events = files.get(store.EVENTS.name) or []
    if not events or int(detail.get("checked", 0)) >= number - 1:
        return None
    since, until = codec.parse_time(str(detail["since"])), codec.parse_time(str(detail["until"]))
    known = _known(lake, [file.path for file in events], since, until + timedelta(seconds=1))
    if len(known) == 0:
        return None
    kept: Files = {}
    with lake.connection() as connection:
        connection.register("known_ids", known)
        for name, written in files.items():
            if not written:
                kept[name] = []
                continue
            scan = lake.scan_files(name, [file.path for file in written])
            query = f"select * from {scan} anti join known_ids using (event_id)"  # noqa: S608 - the lake's own expression
            rows = connection.sql(query).to_arrow_table()
            kept[name] = lake.copy(name, rows, f"{store.STREAM}-{number:08d}-settled-{codec.new_id('s')}")
    return kept


def _known(lake: Lake, mine: list[str], since: Any, until: Any) -> Any:
    """The ids in the files ``mine`` that the table of events holds, as a table of ``event_id``."""
    name = store.EVENTS.name
    theirs = lake.scan(name, since=since, until=until)
    query = (
        f"select distinct m.event_id from {lake.scan_files(name, mine)} m semi join "  # noqa: S608 - as above
        f"(select event_id, event_time from {theirs} where event_time between ? and ?) t "
        "on m.event_id = t.event_id and m.event_time = t.event_time"
    )
    with lake.connection() as connection:
        return connection.sql(query, params=[since, until]).to_arrow_table()
