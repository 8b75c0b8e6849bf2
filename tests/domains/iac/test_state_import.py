"""States that are there already: taken in from files and S3, and read as what a stack declares."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import msgspec
import pytest

from tests.domains.iac.states import KEY, PAYMENTS, resource, state, write
from tests.domains.iac.test_read import declare_stacks, held, stack
from uwu.app import worker
from uwu.domains.iac import observe, state_import, state_store
from uwu.kernel import authorize, jobs
from uwu.kernel.errors import BadInput, NotFound
from uwu.kernel.identity import Principal
from uwu.kernel.runtime import Kernel

if TYPE_CHECKING:
    from uwu.sim.server import MotoServer


OTHER = msgspec.structs.replace(PAYMENTS, namespace="team", name="other")


def ran(kernel: Kernel, **arguments: Any) -> dict[str, Any]:
    """The result of the job, run by a worker of this process."""
    with worker.inline(kernel):
        id = kernel.jobs.enqueue("iac.state.import", arguments, requested_by="user:default/ada")
        list(jobs.follow(kernel.db, id))
        with kernel.db.read() as connection:
            record = jobs.job(connection, id)
    assert record.status == "done" and record.result is not None, record
    return record.result


def names(found: list[list[str]]) -> list[str]:
    return [key for _, key in found]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """How people keep states."""
    made = tmp_path / "infra"
    files = {
        "network/prod/terraform.tfstate": state(3, resource("a"), lineage="net"),
        "payments.tfstate": state(7, resource("b"), resource("c"), lineage="pay"),
        "broken.tfstate": b'{"version": 4, "serial":',
        "payments.tfstate.backup": state(6, lineage="pay"),
        "network/.terraform/terraform.tfstate": b"{}",
        "README.md": b"states",
    }
    for name, data in files.items():
        path = made / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return made


def test_a_folder_is_taken_in_and_what_is_broken_is_named(sqlite_kernel: Kernel, folder: Path) -> None:
    told = ran(sqlite_kernel, sources=[str(folder)])
    assert {each["state"]: each["serial"] for each in told["states"]} == {
        "default/network-prod": 3,
        "default/payments": 7,
    }
    assert (told["imported"], told["failed"]) == (2, 1)
    assert told["problems"][0]["code"] == "state-truncated" and told["problems"][0]["place"].endswith("broken.tfstate")
    with sqlite_kernel.db.read() as connection:
        payments = state_store.get(connection, KEY)
    assert payments.version is not None
    assert (payments.version.via, payments.version.created_by) == ("import", "user:default/ada")
    again = ran(sqlite_kernel, sources=[str(folder)])
    assert {each["version"] for each in again["states"]} == {1}, "what is there already is not written twice"


def test_one_state_gets_the_name_that_is_given(sqlite_kernel: Kernel, folder: Path) -> None:
    found = state_import.locate(sqlite_kernel, [str(folder / "payments.tfstate")], "default", "team/ledger")
    assert names(found) == ["team/ledger"]
    for sources, into, code in (
        ([str(folder)], "a/b", "import-name"),
        ([str(folder / "none")], "", "import-missing"),
        ([str(folder / "payments.tfstate")], "bad name", "state-name"),
        ([str(folder / "payments.tfstate"), str(folder)], "a/b", "import-name"),
    ):
        with pytest.raises((BadInput, NotFound)) as caught:
            state_import.locate(sqlite_kernel, sources, "default", into)
        assert caught.value.problem.code == code


def test_a_prefix_of_s3_is_taken_in_with_its_workspaces(
    sqlite_kernel: Kernel, aws_server: MotoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    s3: Any = boto3.client("s3", region_name="us-east-1", endpoint_url=aws_server.url)
    s3.create_bucket(Bucket="kept-states")
    for key, data in {
        "tf/network.tfstate": state(1, lineage="n"),
        "tf/env:/prod/network.tfstate": state(2, lineage="p"),
        "tf/apps/checkout/terraform.tfstate": state(3, lineage="c"),
        "tf/network.tfstate.tflock": b"{}",
        "other/x.tfstate": state(4, lineage="o"),
    }.items():
        s3.put_object(Bucket="kept-states", Key=key, Body=data)
    aws = msgspec.structs.replace(sqlite_kernel.settings.aws, endpoint_url=aws_server.url)
    sqlite_kernel.settings = msgspec.structs.replace(sqlite_kernel.settings, aws=aws)
    for source, expected in (
        ("s3://kept-states/tf/", ["default/apps-checkout", "default/network-prod", "default/network"]),
        ("s3://kept-states/other/x.tfstate", ["default/other-x"]),
    ):
        assert names(state_import.locate(sqlite_kernel, [source], "default", "")) == expected
    found = state_import.locate(sqlite_kernel, ["s3://kept-states/other/x.tfstate"], "default", "")
    assert observe.read(sqlite_kernel, found[0][0], "x") == state(4, lineage="o")
    with pytest.raises(NotFound):
        state_import.locate(sqlite_kernel, ["s3://kept-states/empty/"], "default", "")


def test_the_import_takes_more_than_to_run_a_job(sqlite_kernel: Kernel) -> None:
    operator = Principal(ref="user:default/o", name="o", kind="human", roles=("operator",), via="session")
    admin = msgspec.structs.replace(operator, roles=("admin",))
    job = state_import.JOBS[0]
    assert authorize.decide(sqlite_kernel, operator, "jobs.run").allowed
    assert not authorize.decide(sqlite_kernel, operator, job.action).allowed
    assert authorize.decide(sqlite_kernel, admin, job.action).allowed


# ---- what is kept here is what a stack declares


def test_a_stack_declares_what_its_kept_state_holds(kernel: Kernel) -> None:
    secret = "kept-here-and-hidden-1187"
    queue = resource("q", arn="arn:aws:sqs:eu-west-1:123456789012:q")
    login = resource(
        "db", "aws_db_instance", ("password",), arn="arn:aws:rds:eu-west-1:123456789012:db:db", password=secret
    )
    write(kernel, state(4, queue, login))
    write(kernel, state(1, queue), OTHER)
    declare_stacks(
        kernel, stack(kernel, "payments", "uwu://"), stack(kernel, "both", ["uwu://team/other", "uwu://gone/x"])
    )
    told = observe.read_states(kernel)
    assert (told["states"], told["states_failed"]) == (2, 1)
    assert told["problems"][0]["code"] == "state-missing" and told["problems"][0]["place"] == "uwu://gone/x"
    found = held(kernel)
    assert set(found) == {
        "stack:default/payments#aws_sqs_queue.q",
        "stack:default/payments#aws_db_instance.db",
        "stack:default/both@uwu://team/other#aws_sqs_queue.q",
    }
    assert found["stack:default/payments#aws_sqs_queue.q"].place == f"uwu://{KEY}#4"
    assert secret not in str(found)
    with kernel.db.read() as connection:
        other, own = state_store.get(connection, "team/other"), state_store.get(connection, KEY)
    assert (other.stack, own.stack) == ("stack:default/both", "stack:default/payments")
