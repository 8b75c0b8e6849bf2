"""``uwu catalog``: what it prints and its exit status."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from uwu.domains.catalog import cli
from uwu.kernel.domain import Client

GOOD = "apiVersion: backstage.io/v1alpha1\nkind: Group\nmetadata: {name: payments}\nspec: {type: team, children: []}\n"
BAD = "apiVersion: backstage.io/v1alpha1\nkind: Grop\nmetadata: {name: x}\nspec: {}\n"
STACK = "apiVersion: uwu.dev/v1alpha1\nkind: Stack\nmetadata: {name: net}\nspec: {owner: paymnets, state: 7}\n"


def test_validate_tells_place_code_and_hint_and_fails(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(f"{GOOD}---\n{BAD}---\n{STACK}")
    answer = cli.validate(tmp_path)
    assert answer.exit_code == 1
    assert answer.text.splitlines() == [
        f"{tmp_path}/a.yaml:7: there is no kind 'Grop' [unknown-kind]",
        "  hint: did you mean Group?",
        f"{tmp_path}/a.yaml:14: spec.state must be a text, not a whole number [schema]",
        "  hint: quote it to make it a text",
        "1 entities (1 Group), 2 problems",
    ]
    assert (answer.value["errors"], answer.value["kinds"]) == (2, {"Group": 1})
    assert {p["code"] for p in answer.value["problems"]} == {"unknown-kind", "schema"}


def test_validate_passes_on_warnings_alone(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(GOOD)
    (tmp_path / "mkdocs.yml").write_text("site_name: x\n")
    answer = cli.validate(tmp_path)
    assert (answer.exit_code, answer.value["errors"], len(answer.value["problems"])) == (0, 0, 1)
    assert cli.validate(tmp_path / "nowhere").exit_code == 1


class Api(Client):
    """Answers of the API by path."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def get(self, path: str, **parameters: Any) -> Any:
        self.asked.append((path, parameters))
        return self.answers[path.strip("/")]

    def post(self, path: str, body: Any = None) -> Any:
        raise NotImplementedError(path, body)

    def put(self, path: str, body: bytes, *, sha256: str = "") -> Any:
        raise NotImplementedError(path)

    def lines(self, path: str) -> Iterator[Any]:
        raise NotImplementedError(path)

    def start(self, path: str, body: Any) -> dict[str, Any]:
        raise NotImplementedError(path, body)

    def run(self, job: str, arguments: Any = None) -> dict[str, Any]:
        raise NotImplementedError(job, arguments)


ENTITY = {
    "kind": "Component",
    "name": "Checkout",
    "namespace": "default",
    "metadata": {"description": "Takes money"},
    "spec": {"owner": "payments", "dependsOn": ["resource:db"]},
    "place": {"file": "estate/a.yaml", "line": 7},
}


def test_list_and_show() -> None:
    api = Api(entities={"items": [ENTITY], "total": 1, "after": ""})
    assert cli.list_("component", client=api).text == "component:default/checkout  payments  estate/a.yaml:7"
    assert api.asked == [("/entities", {"kind": "component", "orphan": None, "limit": 500})]
    ref = "component:default/checkout"
    relations = [
        {"source": ref, "kind": "ownedBy", "target": "group:default/payments"},
        {"source": "group:default/payments", "kind": "ownerOf", "target": ref},
    ]
    shown = cli.show(
        "checkout", client=Api(entity={"ref": ref, "entity": ENTITY, "relations": relations, "orphan": True})
    )
    assert shown.text.splitlines() == [
        "component:default/checkout  (orphan: its source no longer holds it)",
        "  Takes money",
        "  declared at estate/a.yaml:7",
        "  owner: payments",
        '  dependsOn: ["resource:db"]',
        "  ownedBy group:default/payments",
    ]
