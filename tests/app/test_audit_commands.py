"""``uwu audit`` and ``uwu entropy`` as they are typed: against a home, and offline."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.app.console import world
from uwu.app.cli import entropy as entropy_cli
from uwu.app.cli import keep
from uwu.app.client import ApiClient, Embedded
from uwu.kernel import audit
from uwu.kernel import entropy as entropy_
from uwu.kernel.domain import Answer
from uwu.kernel.errors import BadInput, NotFound
from uwu.kernel.runtime import Kernel


@pytest.fixture
def api(sqlite_kernel: Kernel) -> Iterator[ApiClient]:
    kernel = world.open_kernel(Path(sqlite_kernel.settings.home))
    client = ApiClient(Embedded(kernel))
    yield client
    client.close()


def kernel_of(api: Any) -> Kernel:
    assert isinstance(api.transport, Embedded)
    return api.transport.kernel


def act(api: Any, count: int) -> None:
    for i in range(count):
        with kernel_of(api).db.write() as connection:
            audit.append(connection, actor=f"user:default/u{i % 2}", action="plan.approve", subject=f"plan_{i}")


def test_a_copy_is_verified_without_the_home(api: Any, tmp_path: Path) -> None:
    act(api, 5)
    assert "signs entry 5" in keep.checkpoint(client=api).text
    key, copy, kept = tmp_path / "audit.pem", tmp_path / "audit.jsonl", tmp_path / "checkpoints.jsonl"
    key.write_text(keep.key_(client=api).text)
    done = keep.export_(output=copy, client=api)
    assert isinstance(done, Answer)
    assert done.value["entries"] == 6
    kept.write_bytes(Path(api.get("/audit/key")["checkpoints"]).read_bytes())
    nobody: Any = None
    told = keep.verify(file=copy, checkpoints=kept, key=key, client=nobody)
    assert told.exit_code == 0
    assert (told.value["entries"], told.value["checkpoints"]) == (6, 1)
    lines = copy.read_bytes().splitlines(keepends=True)
    copy.write_bytes(b"".join(lines[:4]))
    cut = keep.verify(file=copy, checkpoints=kept, key=key, client=nobody)
    assert (cut.exit_code, cut.value["first_bad"]) == (1, 5)
    with pytest.raises(BadInput, match="--key"):
        keep.verify(file=copy, checkpoints=kept, client=nobody)
    with pytest.raises(BadInput) as missing:
        keep.verify(file=tmp_path / "none", client=nobody)
    assert missing.value.problem.code == "file-unreadable"


def test_the_home_is_compared_with_checkpoints_that_others_kept(api: Any, tmp_path: Path) -> None:
    act(api, 3)
    keep.checkpoint(client=api)
    kept = tmp_path / "kept.jsonl"
    kept.write_bytes(Path(api.get("/audit/key")["checkpoints"]).read_bytes())
    assert keep.verify(checkpoints=kept, client=api).exit_code == 0
    with kernel_of(api).db.write() as connection:
        connection.exec_driver_sql("delete from audit where seq >= 2")
    Path(api.get("/audit/key")["checkpoints"]).unlink()
    assert keep.verify(client=api).exit_code == 0, "everything that could tell is gone here"
    found = keep.verify(checkpoints=kept, client=api)
    assert (found.exit_code, found.value["first_bad"]) == (1, 2)
    told = json.loads(kept.read_text())
    kept.write_text(json.dumps(told, separators=(",", ":")).replace('"seq":3', '"seq":1') + "\n")
    assert keep.verify(checkpoints=kept, client=api).value["bad_checkpoint"] == 1


def test_entries_are_filtered_and_paged(api: Any) -> None:
    act(api, 5)
    assert [e["seq"] for e in keep.list_(actor="user:default/u1", client=api).value["items"]] == [4, 2]
    page = api.get("/audit", limit=2)
    assert [e["seq"] for e in page["items"]] == [5, 4]
    assert [e["seq"] for e in api.get("/audit", limit=2, after=page["after"])["items"]] == [3, 2]
    assert api.get("/audit", since="2020-01-01", until="2020-01-02")["items"] == []
    for wrong in ({"since": "yesterday"}, {"after": "!"}):
        with pytest.raises(BadInput):
            api.get("/audit", **wrong)


def test_an_export_as_csv_goes_to_standard_output(api: Any, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    act(api, 2)
    assert keep.export_(format="csv", client=api) == 0
    import sys

    sys.stdout.flush()
    rows = capfdbinary.readouterr().out.split(b"\r\n")
    assert rows[0] == b"seq,at,actor,action,subject,detail,prev,hash"
    assert len(rows) == 4


def test_entropy_by_scope_and_its_rows(api: Any) -> None:
    assert entropy_cli.entropy(client=api).text.startswith("Nothing is known yet")
    world.fill(kernel_of(api))
    entropy_.record(kernel_of(api))
    everything = entropy_cli.entropy(client=api)
    for title in ("By team", "By account", "By domain"):
        assert title in everything.text
    owner = next(s for s in everything.value if s["scope"] == "owner" and s["findings"] and s["key"])
    plain = owner["key"].rpartition("/")[2]
    one = entropy_cli.entropy(team=plain, client=api)
    assert one.value["score"] == owner
    assert len(one.value["days"]) == 30
    rows = entropy_cli.entropy(team=plain, rows=True, client=api)
    assert round(sum(row["share"] for row in rows.value["items"]), 2) == owner["entropy"]
    assert f"{owner['findings']} rows sum to" in rows.text or owner["findings"] == 1
    with pytest.raises(BadInput, match="one scope"):
        entropy_cli.entropy(team="a", account="b", client=api)
    with pytest.raises(BadInput, match="there is no team"):
        entropy_cli.entropy(team="not-there", client=api)
    with pytest.raises(NotFound):
        api.get("/entropy/owner", key="group:default/not-there")
    with pytest.raises(BadInput):
        api.get("/entropy/planet")
    assert api.get("/entropy/history", of="owner", key="nobody") == []
