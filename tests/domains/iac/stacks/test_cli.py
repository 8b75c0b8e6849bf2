"""What the commands of drift and stacks print."""

from __future__ import annotations

from typing import Any

import pytest

from uwu.domains.iac.runs import cli as runs_cli
from uwu.domains.iac.stacks import cli
from uwu.kernel.errors import NotFound

VIEW = {
    "ref": "stack:default/pay",
    "owner": "group:default/payments",
    "states": ["uwu://default/pay"],
    "planned": 3,
    "inputs": [{"name": "cidr", "required": True, "description": "the network"}],
    "outputs": [
        {"name": "ports", "type": "list", "sensitive": False, "value": [80]},
        {"name": "token", "type": "string", "sensitive": True, "value": "(sensitive value)"},
    ],
    "needs": [],
    "dependents": [{"stack": "stack:default/web", "how": "outputs", "count": 1}],
    "problems": [],
}


class Fake:
    """A client that answers from a table and notes what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        """End of a path -> answer; the first that fits."""
        self.asked: list[tuple[str, str, Any]] = []

    def _answer(self, method: str, path: str, body: Any = None) -> Any:
        self.asked.append((method, path, body))
        return next(value for key, value in self.answers.items() if path.endswith(key))

    def get(self, path: str, **_: Any) -> Any:
        return self._answer("GET", path)

    def post(self, path: str, body: Any = None) -> Any:
        return self._answer("POST", path, body)

    def start(self, path: str, body: Any) -> Any:
        return self._answer("START", path, body)


def test_drift_prints_what_was_changed_and_exits_with_two() -> None:
    run = {"id": "run_1", "number": 4, "stack": "stack:default/pay", "status": "drifted", "why": ""}
    fact = {"kind": "changed", "address": "a.b", "path": "size", "before": 1, "after": 2, "noise": ""}
    drifted = [
        fact,
        {**fact, "path": "etag", "noise": "computed"},
        {**fact, "kind": "gone", "path": "", "address": "a.c"},
        {**fact, "kind": "output", "address": "size"},
    ]
    client = Fake()
    client.answers = {"pay/runs": {"run": "run_1"}, "run_1/plan": {"drifted": drifted}, "run_1": run}
    answer = runs_cli.drift("pay", client=client)  # type: ignore[arg-type]
    assert client.asked[0][2]["refresh_only"] and answer.exit_code == 2
    assert answer.text is not None and answer.text.splitlines() == [
        "run 4 of default/pay: drifted",
        "  ~  a.b size: 1 -> 2",
        "  -  a.c does not exist",
        "  ~  output size: 1 -> 2",
        "1 more are noise: --noise tells them",
    ]
    loud = runs_cli.drift("pay", noise=True, client=client)  # type: ignore[arg-type]
    assert "a.b etag: 1 -> 2  (noise: computed)" in (loud.text or "")
    client.answers["run_1"] = {**run, "status": "failed", "why": "x"}
    assert runs_cli.drift("pay", client=client).exit_code == 1  # type: ignore[arg-type]


def test_a_sensitive_output_is_asked_for_by_itself() -> None:
    client = Fake()
    client.answers = {"reveal": {"name": "token", "value": "s3cret"}, "default/pay": VIEW}
    assert cli.output("pay", "ports", client=client).text == "[80]"  # type: ignore[arg-type]
    assert all(method == "GET" for method, _, _ in client.asked)
    assert cli.output("pay", "token", client=client).text == "s3cret"  # type: ignore[arg-type]
    assert client.asked[-1][:2] == ("POST", "/iac/stacks/default/pay/outputs/token/reveal")
    assert "(sensitive value)" in (cli.output("pay", client=client).text or "")  # type: ignore[arg-type]
    with pytest.raises(NotFound):
        cli.output("pay", "none", client=client)  # type: ignore[arg-type]


def test_a_stack_and_the_coverage_are_told_in_words() -> None:
    client = Fake()
    share = {"name": "", "total": 3, "managed": 1}
    whole = {"total": 3, "managed": 1, "accounts": [{**share, "name": "1"}], "owners": [share], "types": []}
    client.answers = {"default/pay": VIEW, "iac/coverage": whole}
    text = cli.stack("pay", client=client).text or ""  # type: ignore[arg-type]
    assert "cidr" in text and "the network, required" in text and "default/web" in text
    text = cli.coverage(client=client).text or ""  # type: ignore[arg-type]
    assert "1 of 3 resources are in a state: 33.3%" in text and "nobody" in text
    client.answers["iac/coverage"] = {**whole, "total": 0, "managed": 0}
    assert "uwu sync" in (cli.coverage(client=client).text or "")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"diff": "+import {", "written": True}, "1 import blocks are in f.tf. Then: uwu iac plan default/pay"),
        ({"diff": "+import {", "written": False}, "Nothing was written."),
        ({"diff": "", "written": False}, "There is nothing to import"),
    ],
)
def test_an_import_tells_what_it_did(told: dict[str, Any], words: str) -> None:
    client = Fake()
    left = [{"urn": "u", "type": "t", "why": "why"}]
    rest = {"left": left, "adopted": [{}], "file": "f.tf", "next": "uwu iac plan default/pay"}
    client.answers = {"pay/import": {**rest, **told}}
    text = cli.import_("pay", dry_run=True, client=client).text or ""  # type: ignore[arg-type]
    assert words in text and "left out: u (t): why" in text
    assert client.asked[0][2] == {"resources": [], "dry_run": True}
