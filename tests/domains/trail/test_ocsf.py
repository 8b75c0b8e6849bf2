"""Events in OCSF, against the published schema."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import ocsf_json_schema
import pyarrow.parquet as pq
import pytest

from tests.domains.trail.test_ingest import take
from uwu.domains.trail import export_cli, ocsf
from uwu.kernel.errors import BadInput
from uwu.kernel.runtime import Kernel

NAMES = {3001: "account_change", 3002: "authentication", 6003: "api_activity"}
SINCE, UNTIL = datetime(2023, 1, 1, tzinfo=UTC), datetime(2023, 12, 31, tzinfo=UTC)


@pytest.fixture(scope="module")
def validators() -> dict[int, Any]:
    schema = ocsf_json_schema.OcsfJsonSchemaEmbedded(ocsf_json_schema.get_ocsf_schema(ocsf.VERSION))
    return {
        uid: jsonschema.Draft202012Validator(schema.get_class_schema(name, ["cloud"])) for uid, name in NAMES.items()
    }


class Lines:
    """A client whose stream is the export itself."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel

    def lines(self, path: str) -> Any:
        assert path.startswith("/trail/ocsf?since=")
        return ocsf.events(self.kernel, SINCE, UNTIL)


def test_real_events_are_what_the_schema_asks_for(
    sqlite_kernel: Kernel, objects: list[Path], validators: dict[int, Any], tmp_path: Path
):
    take(sqlite_kernel, objects[0].parent)
    found = list(ocsf.events(sqlite_kernel, SINCE, UNTIL))
    assert len(found) == 2900
    counts = Counter(event["class_uid"] for event in found)
    assert counts[3001] > 10 and counts[3002] >= 1 and counts[6003] > 2000
    wrong = Counter(
        f"{event['class_uid']} {error.json_path}: {error.message[:120]}"
        for event in found
        for error in validators[event["class_uid"]].iter_errors(event)
    )
    assert not wrong, wrong.most_common(8)
    assert len({event["metadata"]["uid"] for event in found}) == 2900
    assert [event["time"] for event in found] == sorted(event["time"] for event in found)
    for name in ("all.jsonl", "all.parquet"):
        told = export_cli.export(since="2023-01-01T00:00:00Z", out=tmp_path / name, client=Lines(sqlite_kernel))  # type: ignore[arg-type]
        assert told.value["events"] == 2900
    table = pq.read_table(tmp_path / "all.parquet")
    assert table.num_rows == 2900
    assert json.loads(table.column("actor")[0].as_py())
    assert len((tmp_path / "all.jsonl").read_text().splitlines()) == 2900
    assert not list(tmp_path.glob("*.part"))


def test_a_class_and_a_window(sqlite_kernel: Kernel, objects: list[Path]):
    take(sqlite_kernel, objects[0].parent)
    assert {e["class_uid"] for e in ocsf.events(sqlite_kernel, SINCE, UNTIL, (3001,))} == {3001}
    with pytest.raises(BadInput):
        ocsf.events(sqlite_kernel, UNTIL, SINCE)
    with pytest.raises(BadInput):
        ocsf.events(sqlite_kernel, SINCE, SINCE + timedelta(days=500))
    with pytest.raises(BadInput):
        ocsf.events(sqlite_kernel, SINCE, UNTIL, (9999,))
    with pytest.raises(BadInput):
        export_cli.export(since="x", ocsf=False, out=Path("x"), client=Lines(sqlite_kernel))  # type: ignore[arg-type]
