"""Reading plans: what is in them, what is kept of them, and what is no plan."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.domains.iac.plans import change, content, plan
from uwu.domains.iac import plan_json
from uwu.domains.iac.plan_json import UNKNOWN, Op
from uwu.domains.iac.scrub import Scrubber
from uwu.kernel.errors import BadInput
from uwu.kernel.sensitive import MARK

SECRET = "correct-horse-battery"


def test_changes_drift_outputs_and_what_the_configuration_calls() -> None:
    read = plan(
        change("aws_sqs_queue", "replace-first", before={"name": "a"}, after={"name": "b"}, replace_paths=[["name"]]),
        change("aws_sqs_queue", "no-op", "kept", before={"name": "k"}),
        change("aws_sqs_queue", "delete", "old", before={"name": "o"}, deposed="abcd1234"),
        change("aws_ami", "read", address="data.aws_ami.x", mode="data"),
        change(
            "aws_sqs_queue", "update", "moved", before={"a": 1}, after={"a": 2}, previous_address="aws_sqs_queue.was"
        ),
        resource_drift=[change("aws_sqs_queue", "update", "kept", before={"delay": 0}, after={"delay": 9})],
        output_changes={"url": {"actions": ["update"], "before": "x", "after": None, "after_unknown": True}},
        configuration={"root_module": {"module_calls": {"net": {"source": "./net", "module": {}}}}},
        checks=[{"address": {"to_display": "check.up"}, "status": "fail"}],
        errored=False,
    )
    assert (read.changes[0].op, read.changes[0].address) == (Op.REPLACE, "aws_sqs_queue.x")
    assert read.changes[0].forces == ("name",) and read.changes[0].create_before_destroy
    assert (read.counts, read.reads, read.managed) == ({"create": 0, "update": 1, "replace": 1, "delete": 1}, 1, 4)
    assert read.changes[1].deposed == "abcd1234" and read.changes[2].previous_address == "aws_sqs_queue.was"
    assert [(d.address, d.changed) for d in read.drift] == [("aws_sqs_queue.kept", ("delay",))]
    assert read.outputs[0].after == UNKNOWN and read.modules[0].source == "./net"
    assert read.failed_checks == ("check.up",)


def test_nothing_sensitive_is_kept_wherever_it_stands() -> None:
    data = content(
        change(
            "aws_db_instance",
            "update",
            before={"name": "db", "list": [{"token_of": SECRET, "size": 1}], "echo": f"x {SECRET} y"},
            after={"name": "db", "list": [{"token_of": "n" + SECRET, "size": 2}], "password": "plain-and-unmarked"},
            before_sensitive={"list": [{"token_of": True}]},
            after_sensitive={"list": [{"token_of": True}]},
            after_unknown={"arn": True, "list": [{"id": True}]},
        ),
        change("aws_ssm_parameter", after={"name": "p", "value": "an-ssm-value-unmarked"}),
        variables={"key": {"value": "variable-value-9"}},
        configuration={"root_module": {"variables": {"key": {"sensitive": True}}}},
        output_changes={"o": {"actions": ["create"], "before": None, "after": SECRET, "after_sensitive": True}},
        prior_state={"values": {"root_module": {"resources": [{"mode": "managed", "values": {"x": SECRET}}]}}},
    )
    read = plan_json.parse(data)
    text = repr(read)
    for secret in (SECRET, "plain-and-unmarked", "an-ssm-value-unmarked", "variable-value-9"):
        assert secret not in text, secret
    first = read.changes[0]
    assert first.before is not None and first.after is not None
    assert first.before["list"][0] == {"token_of": MARK, "size": 1} and first.before["echo"] == f"x {MARK} y"
    assert first.after["arn"] == UNKNOWN and first.after["list"][0]["id"] == UNKNOWN
    assert {"list", "echo", "password", "arn"} == set(first.changed)  # that a secret changed is told, not which it is
    assert plan_json.secrets(data) == {SECRET, "n" + SECRET, "variable-value-9"}


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b" ", "plan-empty"),
        (b"PK\x03\x04rest", "plan-binary"),
        (content()[:-20], "plan-truncated"),
        (b'{"a": nonsense}', "plan-json"),
        (b"[]", "plan-shape"),
        (b"{}", "plan-shape"),
        (b'{"format_version": "1.0", "values": {}}', "plan-shape"),
        (content(version="2.0"), "plan-version"),
        (b'{"version": 4, "serial": 1, "lineage": "x", "resources": []}', "plan-state"),
        (b'{"@level": "info", "@message": "x"}\n{"@level": "info"}\n', "plan-stream"),
        (b'{"format_version": "1.2", "resource_changes": {}}'.replace(b"{}", b'{"a": 1}'), "plan-shape"),
        (b"\xff\xfe{", "plan-json"),
    ],
)
def test_what_is_no_plan_is_refused_with_its_reason(data: bytes, code: str) -> None:
    with pytest.raises(BadInput) as caught:
        plan_json.parse(data, "given.json")
    assert caught.value.problem.code == code and "given.json" in caught.value.problem.place


def test_a_change_of_an_unknown_form_is_told_and_the_others_are_read() -> None:
    broken = {"address": "x.y", "change": {"actions": ["explode"]}}
    read = plan(broken, change("aws_sns_topic", after={"name": "t"}))
    assert len(read.changes) == 1 and read.problems[0].place == "plan /resource_changes/0"


def test_every_shared_state_is_refused_as_a_state(shared_data: Path) -> None:
    files = sorted((shared_data / "terraform-states").glob("*.tfstate"))
    assert len(files) == 33
    codes: set[str] = set()
    for file in files:
        with pytest.raises(BadInput) as caught:
            plan_json.parse(file.read_bytes(), file.name)
        codes.add(caught.value.problem.code)
    assert codes == {"plan-state"}


def test_the_scrubber_finds_secrets_however_many_there_are() -> None:
    few, many = (
        Scrubber([SECRET, "a\nlonger one", "no"]),
        Scrubber([SECRET, *(f"other-{n}-secret" for n in range(200))]),
    )
    for scrubber in (few, many):
        assert scrubber.text(f"<{SECRET}>") == f"<{MARK}>" and scrubber.text(SECRET) == MARK
        assert scrubber.value({"k": [SECRET, 1]}) == {"k": [MARK, 1]}
    assert few.text("a longer one\nno") == f"a {MARK}\nno"
    quoted = 'p"4ss\\word'
    assert "4ss" not in Scrubber([quoted]).text(json.dumps({"x": quoted}))
