"""What is bad costs only itself: everything else is found, and what was wrong is told with code, place and hint.

Each kind of bad input has its own tests where it is handled; here the whole loop meets all of it.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import Synced
from tests.acceptance.world import Said, Small, environment, facts, opened, uwu
from tests.domains.inventory.world import Fault, FaultProxy, faulty
from uwu.kernel import jobs
from uwu.kernel.runtime import Kernel

OFF = "af-south-1"

BAD_ESTATE = {
    "broken.yaml": "apiVersion: backstage.io/v1alpha1\nkind: Group\nmetadata: {name: open\nspec: {}\n",
    "kinds.yaml": """\
apiVersion: backstage.io/v1alpha1
kind: Componnent
metadata: {name: misspelt}
spec: {type: service, lifecycle: production, owner: platform}
---
apiVersion: backstage.io/v1alpha1
kind: Component
metadata: {name: adrift}
spec: {type: service, lifecycle: production, owner: platfrom}
""",
    "twice.yaml": """\
apiVersion: backstage.io/v1alpha1
kind: Group
metadata: {name: Platform}
spec: {type: team, children: []}
""",
    "old.yaml": """\
apiVersion: uwu.dev/v1alpha1
kind: Stack
metadata: {name: from-long-ago}
spec: {owner: platform, state: old.tfstate, account: "123456789012"}
""",
    "old.tfstate": '{"version": 3, "terraform_version": "0.11.14", "serial": 2, "lineage": "l", "modules": []}',
}


@dataclass
class Troubled:
    """A home in which all of it happened at once, and what its sync said."""

    home: Path
    kernel: Kernel
    proxy: FaultProxy
    env: dict[str, str]
    denied: str
    """The account that denies the role."""
    said: Said
    result: dict[str, Any]

    def problem(self, job: str, code: str) -> dict[str, Any]:
        """The only problem with ``code`` in the result of ``job``; the log of the job and the terminal tell it too."""
        (found,) = [p for p in self.result[job]["problems"] if p["code"] == code]
        with self.kernel.db.read() as connection:
            (sync,) = jobs.jobs(connection, name="sync")
            lines = jobs.log(connection, f"{sync.id}:{job}")
        (line,) = [line for line in lines if line.data and line.data.get("code") == code]
        assert found["message"] in line.message and line.level in ("warning", "error")
        for told in ("place", "message", "hint"):
            assert found[told] in self.said.out
        assert f"  {code}" in self.said.out
        return found


@pytest.fixture(scope="module")
def troubled(small: Small, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Troubled]:
    home = small.home(tmp_path_factory.mktemp("troubled") / "home")
    folder = home / "estate" / "zz"
    folder.mkdir()
    for name, text in BAD_ESTATE.items():
        (folder / name).write_text(text)
    denied = next(drift for drift in small.organisation.ledger if "unowned" in drift.expected[-1].rule)
    account = denied.subject.split(":")[4]
    with faulty(small.organisation.endpoint_url) as proxy:
        proxy.faults.append(Fault(lambda r: r.action == "AssumeRole" and account in r.body, "AccessDenied", 403))
        proxy.faults.append(Fault(lambda r: r.region == OFF, "AuthFailure", 401))
        env = environment(
            home,
            small.organisation,
            UWU_AWS_ENDPOINT_URL=proxy.url,
            UWU_AWS_REGIONS=f"us-east-1,{OFF}",
            UWU_AWS_MAX_ATTEMPTS="1",
        )
        said = uwu(env, "sync")
        kernel = opened(home)
        with kernel.db.read() as connection:
            (sync,) = jobs.jobs(connection, name="sync")
        assert sync.result is not None, said.err
        yield Troubled(home, kernel, proxy, env, account, said, sync.result)
        kernel.close()


@pytest.mark.parametrize(
    ("code", "place", "hint"),
    [
        ("yaml-syntax", "broken.yaml:4", ""),
        ("unknown-kind", "kinds.yaml:2", "Component"),
        ("dangling-reference", "kinds.yaml:9", "group:default/platform"),
        ("duplicate-entity", "twice.yaml:3", "rename"),
    ],
)
def test_a_fault_of_the_estate_is_told_with_its_line(troubled: Troubled, code: str, place: str, hint: str) -> None:
    problem = troubled.problem("catalog.load", code)
    assert problem["place"].endswith(f"/zz/{place}")
    assert problem["hint"] and hint in problem["hint"]


def test_a_state_of_version_3_is_named(troubled: Troubled) -> None:
    problem = troubled.problem("iac.read", "state-version")
    assert problem["place"] == "old.tfstate"
    assert "stack:default/from-long-ago" in problem["message"] and "old.yaml:" in problem["message"]
    assert "3" in problem["message"] and "terraform" in problem["hint"]
    assert troubled.result["iac.read"]["states_failed"] == 1


def test_an_account_that_denies_the_role_is_named(troubled: Troubled) -> None:
    problem = troubled.problem("inventory.sync", "assume-role-denied")
    assert troubled.denied in problem["place"]
    assert "uwu-observer" in problem["message"] + problem["hint"]
    assert troubled.result["inventory.sync"]["accounts_denied"] == [troubled.denied]


def test_a_region_that_is_off_is_named(troubled: Troubled) -> None:
    problem = troubled.problem("inventory.sync", "region-off")
    assert OFF in problem["place"] and "aws.regions" in problem["hint"]
    assert [p["code"] for p in troubled.result["inventory.sync"]["problems"]] == ["assume-role-denied", "region-off"]


def test_all_the_rest_is_found(troubled: Troubled, synced: Synced) -> None:
    assert troubled.said.status == 0, "the sync itself was done"
    expected, got = facts(synced.kernel), facts(troubled.kernel)
    for name in ("events", "event_resources"):
        assert got[name] == expected[name]
    # a queue's attributes hold its URL, and that is the proxy's here: names are compared
    inside = [row[:2] for row in expected["resources"] if troubled.denied not in row[1].split("/")]
    assert [row[:2] for row in got["resources"]] == inside and len(inside) < len(expected["resources"])
    findings = [row for row in expected["findings"] if troubled.denied not in row[2]]
    assert got["findings"] == findings and len(findings) < len(expected["findings"])
    more = {"component:default/adrift", "stack:default/from-long-ago"}
    assert {ref for ref, _ in got["entities"]} == {ref for ref, _ in expected["entities"]} | more
    assert got["declarations"] == expected["declarations"]


def test_wrong_credentials_end_the_observation_and_lose_nothing(troubled: Troubled) -> None:
    before = facts(troubled.kernel)
    troubled.proxy.faults.insert(0, Fault(lambda r: r.action == "GetCallerIdentity", "InvalidClientTokenId", 403))
    said = uwu(troubled.env, "sync")
    troubled.proxy.faults.pop(0)
    assert said.status == 1
    assert "inventory.sync failed" in said.out and "aws-credentials" in said.out and "aws sso login" in said.out
    with troubled.kernel.db.read() as connection:
        sync = jobs.jobs(connection, name="sync")[0]
    assert sync.result is not None and sync.result["inventory.sync"]["problem"]["code"] == "aws-credentials"
    assert all("problem" not in sync.result[job] for job in ("catalog.load", "iac.read", "ownership", "drift"))
    assert facts(troubled.kernel) == before


def test_a_database_of_a_newer_version_is_left_alone(synced: Synced, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    synced.kernel.db.close()
    with sqlite3.connect(synced.home / "state.db") as source, sqlite3.connect(home / "state.db") as copy:
        source.backup(copy)
        copy.execute("update alembic_version set version_num = '9999'")
    source.close()
    copy.close()
    shutil.copy(synced.home / "uwu.toml", home)
    before = (home / "state.db").read_bytes()
    for command in ("status", "sync", "serve"):
        said = uwu({**synced.env, "UWU_HOME": str(home)}, command)
        assert said.status == 7
        assert "database-newer" in said.err and "9999" in said.err
        assert "hint" in said.err and str(home) in said.err
    assert (home / "state.db").read_bytes() == before
