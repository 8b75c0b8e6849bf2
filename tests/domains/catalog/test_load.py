"""Loading the estate into the database: relations both ways, orphans, and what bad input leaves untouched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from uwu.domains.catalog import observe
from uwu.domains.catalog.declare import KINDS
from uwu.kernel import declared, graph, tables
from uwu.kernel.runtime import Kernel

GROUP = "apiVersion: backstage.io/v1alpha1\nkind: Group\nmetadata: {name: %s}\nspec: {type: team, children: []}\n"
SERVICE = """\
apiVersion: backstage.io/v1alpha1
kind: Component
metadata: {name: %s}
spec: {type: service, lifecycle: production, owner: %s}
"""


@pytest.fixture
def folder(kernel: Kernel) -> Path:
    path = kernel.settings.home_path / "estate"
    path.mkdir()
    (path / "groups.yaml").write_text("---\n".join(GROUP % name for name in ("payments", "search")))
    (path / "services.yaml").write_text(
        "---\n".join([SERVICE % ("checkout", "payments"), SERVICE % ("find", "search")])
    )
    return path


def refs(kernel: Kernel, *, orphan: bool | None = None) -> set[str]:
    with kernel.db.read() as connection:
        return {entity.ref for entity in declared.entities(connection, orphan=orphan)}


def relations(kernel: Kernel, subject: str) -> set[tuple[str, str, str]]:
    with kernel.db.read() as connection:
        return {(r.source, r.kind, r.target) for r in graph.neighbours(connection, subject)}


def codes(result: dict[str, Any]) -> list[str]:
    return [problem["code"] for problem in result["problems"]]


def test_the_estate_becomes_what_is_declared(kernel: Kernel, folder: Path) -> None:
    result = observe.load_estate(kernel)
    assert (result["entities"], result["relations"], result["changed"], result["problems"]) == (4, 4, 4, [])
    assert relations(kernel, "group:default/payments") == {
        ("component:default/checkout", "ownedBy", "group:default/payments"),
        ("group:default/payments", "ownerOf", "component:default/checkout"),
    }
    with kernel.db.read() as connection:
        checkout = declared.entity(connection, "component:default/checkout")
    assert checkout is not None
    assert str(checkout.place) == f"{folder}/services.yaml:1"
    assert observe.load_estate(kernel)["changed"] == 0


def test_what_vanishes_becomes_an_orphan_and_comes_back(kernel: Kernel, folder: Path) -> None:
    observe.load_estate(kernel)
    (folder / "services.yaml").rename(folder / "services.txt")
    assert observe.load_estate(kernel)["orphaned"] == 2
    assert refs(kernel, orphan=True) == {"component:default/checkout", "component:default/find"}
    assert relations(kernel, "group:default/payments") == set()
    (folder / "services.txt").rename(folder / "elsewhere.yaml")
    assert observe.load_estate(kernel)["changed"] == 2
    assert refs(kernel, orphan=True) == set()
    assert len(relations(kernel, "group:default/payments")) == 2


def test_an_unreadable_document_keeps_what_was_accepted(kernel: Kernel, folder: Path) -> None:
    observe.load_estate(kernel)
    text = (folder / "services.yaml").read_text()
    (folder / "services.yaml").write_text(text.replace("owner: payments}", "owner: payments"))
    (folder / "groups.yaml").write_text("---\n".join([GROUP % "payments", "a: b: c\n"]))
    result = observe.load_estate(kernel)
    assert codes(result) == ["yaml-syntax", "yaml-syntax"]
    assert result["orphaned"] == 0
    assert len(refs(kernel, orphan=False)) == 4
    assert len(relations(kernel, "component:default/checkout")) == 2
    (folder / "services.yaml").write_text(SERVICE % ("find", "search"))
    (folder / "groups.yaml").write_text("---\n".join(GROUP % name for name in ("payments", "search")))
    assert observe.load_estate(kernel)["orphaned"] == 1


def test_one_bad_entity_of_each_sort_costs_only_itself(kernel: Kernel, folder: Path) -> None:
    (folder / "bad.yaml").write_text(
        "---\n".join(
            [
                SERVICE % ("lost", "serach"),
                (SERVICE % ("odd", "search")).replace("Component", "Componnet"),
                SERVICE % ("find", "search"),
                (SERVICE % ("thin", "search")).replace("lifecycle: production, ", ""),
            ]
        )
    )
    result = observe.load_estate(kernel)
    places = {p["code"]: p["place"].rsplit("/", 1)[1] for p in result["problems"]}
    assert places == {
        "dangling-reference": "bad.yaml:4",
        "unknown-kind": "bad.yaml:7",
        "duplicate-entity": "services.yaml:8",
        "schema": "bad.yaml:19",
    }
    assert all(p["hint"] for p in result["problems"])
    assert refs(kernel) == {
        "group:default/payments",
        "group:default/search",
        "component:default/checkout",
        "component:default/find",
        "component:default/lost",
    }


def test_a_missing_folder_keeps_everything_and_a_dropped_one_orphans(kernel: Kernel, folder: Path) -> None:
    observe.load_estate(kernel)
    folder.rename(folder.with_name("gone"))
    result = observe.load_estate(kernel)
    assert (codes(result), result["orphaned"]) == (["estate-missing"], 0)
    assert len(refs(kernel, orphan=False)) == 4
    with kernel.db.write() as connection:
        connection.execute(sa.update(tables.entities).values(origin="file:/no/longer/configured"))
    assert observe.load_estate(kernel)["orphaned"] == 4


SPECS: dict[str, dict[str, Any]] = {
    "Component": {
        "type": "service",
        "lifecycle": "production",
        "owner": "user:me",
        "system": "shop",
        "subcomponentOf": "base",
        "providesApis": ["orders"],
        "consumesApis": ["orders"],
        "dependsOn": ["resource:db"],
        "dependencyOf": ["component:base"],
    },
    "API": {"type": "openapi", "lifecycle": "production", "owner": "team", "system": "shop", "definition": "{}"},
    "System": {"owner": "team", "domain": "sales"},
    "Domain": {"owner": "team", "subdomainOf": "all"},
    "Resource": {"type": "database", "owner": "team", "system": "shop"},
    "Group": {"type": "team", "children": ["squad"], "parent": "org", "members": ["me"]},
    "User": {"memberOf": ["team"]},
    "Template": {"type": "service", "owner": "team", "steps": [{"action": "fetch"}]},
    "AiResource": {"owner": "team"},
    "Environment": {"owner": "team"},
    "Capability": {"owner": "team"},
}
PAIRS = {
    ("ownedBy", "ownerOf"),
    ("providesApi", "apiProvidedBy"),
    ("consumesApi", "apiConsumedBy"),
    ("dependsOn", "dependencyOf"),
    ("parentOf", "childOf"),
    ("memberOf", "hasMember"),
    ("partOf", "hasPart"),
}


def test_every_kind_and_every_relation_in_both_directions(sqlite_kernel: Kernel) -> None:
    folder = sqlite_kernel.settings.home_path / "estate"
    folder.mkdir()
    names = {"Component": ["it", "base"], "API": ["orders"], "System": ["shop"], "Domain": ["sales", "all"]}
    names |= {"Resource": ["db"], "Group": ["team", "squad", "org"], "User": ["me"], "Template": ["new"]}
    base = {"base": "Component", "all": "Domain", "squad": "Group", "org": "Group"}
    documents: list[str] = []
    for kind, spec in SPECS.items():
        version = next(k.api_versions[0] for k in KINDS if k.kind == kind)
        for name in names.get(kind, ["x"]):
            lines = [f"apiVersion: {version}", f"kind: {kind}", f"metadata: {{name: {name}}}", "spec:"]
            links = (
                {"system", "subcomponentOf", "dependencyOf", "subdomainOf", "parent", "children"}
                if name in base
                else set()
            )
            given = {key: value for key, value in spec.items() if key not in links or key == "children"}
            if name in base and "children" in given:
                given["children"] = []
            lines += [f"  {key}: {value!r}" for key, value in given.items()]
            documents.append("\n".join(lines) + "\n")
    (folder / "all.yaml").write_text("---\n".join(documents))
    result = observe.load_estate(sqlite_kernel)
    assert result["problems"] == []
    t = tables.relations
    with sqlite_kernel.db.read() as connection:
        found = {tuple(row) for row in connection.execute(sa.select(t.c.source, t.c.kind, t.c.target))}
    opposite = dict(PAIRS) | {b: a for a, b in PAIRS}
    assert {kind for _, kind, _ in found} == set(opposite)
    assert all((target, opposite[kind], source) in found for source, kind, target in found)
    assert ("component:default/it", "partOf", "component:default/base") in found
    assert ("domain:default/sales", "partOf", "domain:default/all") in found


@pytest.mark.parametrize("kind", [k.kind for k in KINDS if k.schema["required"]])
def test_required_fields_are_required(tmp_path: Path, kind: str) -> None:
    from uwu.kernel import estate

    known = {k.kind.lower(): k for k in KINDS}
    version = known[kind.lower()].api_versions[0]
    path = tmp_path / "e.yaml"
    path.write_text(f"apiVersion: {version}\nkind: {kind}\nmetadata: {{name: x}}\nspec: {{other: 1}}\n")
    found = estate.load([path], known)
    missing = {p.message.split()[0] for p in found.problems}
    assert missing == {f"spec.{name}" for name in known[kind.lower()].schema["required"]}
