"""What helps those who write the estate: schemas, one form of writing, whom a change touches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from uwu.domains.catalog import authoring
from uwu.domains.catalog.cli import fmt, touches
from uwu.kernel import documents
from uwu.kernel.errors import BadInput, Problem

KINDS = authoring.kinds()
COMPONENT: dict[str, Any] = {
    "apiVersion": "backstage.io/v1alpha1",
    "kind": "Component",
    "metadata": {"name": "checkout", "tags": ["java"]},
    "spec": {"type": "service", "lifecycle": "production", "owner": "payments"},
}


@pytest.mark.parametrize("kind", ["", "component"])
def test_the_published_schema_is_one_and_takes_what_the_reader_takes(kind: str) -> None:
    published = authoring.publish(KINDS, kind)
    jsonschema.Draft202012Validator.check_schema(published)
    checks = jsonschema.Draft202012Validator(published)
    assert not list(checks.iter_errors(COMPONENT))
    embedded = {**COMPONENT, "spec": {**COMPONENT["spec"], "type": {"$text": "./type.txt"}}}
    assert not list(checks.iter_errors(embedded))


@pytest.mark.parametrize(
    "wrong",
    [
        {**COMPONENT, "kind": "Componnet"},
        {**COMPONENT, "apiVersion": "backstage.io/v9"},
        {**COMPONENT, "metadata": {"name": "-x-"}},
        {**COMPONENT, "spec": {"type": "service", "owner": "payments"}},
        {**COMPONENT, "spec": {**COMPONENT["spec"], "dependsOn": "a"}},
        {key: value for key, value in COMPONENT.items() if key != "spec"},
    ],
)
def test_the_published_schema_refuses_what_the_reader_refuses(wrong: dict[str, Any]) -> None:
    checks = jsonschema.Draft202012Validator(authoring.publish(KINDS))
    assert list(checks.iter_errors(wrong))


def test_the_schema_of_a_kind_that_is_not_there() -> None:
    with pytest.raises(BadInput, match="no kind 'Servant'"):
        authoring.publish(KINDS, "Servant")


UNTIDY = """\
# who takes the money
kind: Component
apiVersion: backstage.io/v1alpha1
spec:
    type:   service   # the only one
    lifecycle: "production"
    owner: payments
    dependsOn:
    - component:ledger
    - resource:db
metadata:
    description: >-
        Takes the money,
        and keeps it.
    name: checkout
---
metadata: {tags: [b, a], name: payments}
kind: Group
apiVersion: backstage.io/v1alpha1
spec: {type: team, children: []}
"""


def test_a_file_is_written_in_one_form_and_says_the_same(tmp_path: Path) -> None:
    told = authoring.format_text(UNTIDY, "a.yaml")
    assert (told.changed, told.problems) == (True, [])
    assert list(yaml.safe_load_all(told.text)) == list(yaml.safe_load_all(UNTIDY))
    assert "# who takes the money" in told.text
    assert "type: service" in told.text and "# the only one" in told.text
    second = told.text.split("---\n")[1]
    assert [line.split(":")[0] for line in second.splitlines()] == ["apiVersion", "kind", "metadata", "spec"]
    assert "{name: payments, tags: [b, a]}" in second
    assert not authoring.format_text(told.text, "a.yaml").changed, "the form is the same the second time"
    file = tmp_path / "a.yaml"
    file.write_text(UNTIDY)
    assert fmt(tmp_path, check=True).exit_code == 1
    assert file.read_text() == UNTIDY
    assert fmt(tmp_path).exit_code == 0
    assert file.read_text() == told.text
    assert fmt(tmp_path, check=True).exit_code == 0


def test_a_file_that_is_no_yaml_is_left_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("kind: a: b\n")
    answer = fmt(file)
    assert (answer.exit_code, file.read_text()) == (1, "kind: a: b\n")
    assert "yaml-syntax" in answer.text


PLAIN = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=12),
    st.integers(-5, 5),
    st.booleans(),
    st.none(),
    st.sampled_from(["no", "on", "1e3", "0o7", "2024-01-01", "~", "- a", "a: b", "#x", "{", "'", '"', "a # b", " a "]),
)
VALUES = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(PLAIN.map(str), inner, max_size=3), max_leaves=8
)


@settings(max_examples=150, deadline=None)
@given(spec=VALUES, style=st.sampled_from([None, False, True]), width=st.integers(20, 200))
def test_no_file_is_changed_in_what_it_says(spec: Any, style: bool | None, width: int) -> None:
    text = yaml.safe_dump({**COMPONENT, "spec": {"x": spec}}, default_flow_style=style, width=width, allow_unicode=True)
    told = authoring.format_text(text, "a.yaml")

    def says(written: str) -> list[Any]:
        return [r if isinstance(r, Problem) else r.value for r in documents.read_text(written, "a.yaml")]

    assert says(told.text) == says(text)


def test_whom_a_change_touches(tmp_path: Path) -> None:
    def entity(kind: str, name: str, spec: str) -> str:
        return f"apiVersion: backstage.io/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {spec}\n"

    service = "{type: service, lifecycle: production, owner: %s, dependsOn: [%s]}"
    groups = "---\n".join(entity("Group", name, "{type: team, children: []}") for name in ("payments", "search", "web"))
    (tmp_path / "groups.yaml").write_text(groups)
    (tmp_path / "ledger.yaml").write_text(entity("Component", "ledger", service % ("payments", "")))
    (tmp_path / "shop.yaml").write_text(entity("Component", "shop", service % ("web", "component:ledger")))
    (tmp_path / "find.yaml").write_text(entity("Component", "find", service % ("search", "")))
    answer = touches(tmp_path / "ledger.yaml", estate=tmp_path)
    assert answer.value == [
        {"owner": "group:default/payments", "declares": ["component:default/ledger"], "depends": []},
        {"owner": "group:default/web", "declares": [], "depends": ["component:default/shop"]},
    ]
    assert "nobody" in touches(tmp_path / "none.yaml", estate=tmp_path).text
