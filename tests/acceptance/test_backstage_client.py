"""Backstage's own catalog client (npm @backstage/catalog-client) reads what the estate declares."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.app.console.server import serve
from tests.conftest import ROOT, missing
from uwu.domains.catalog import DOMAIN
from uwu.domains.catalog.observe import load_estate
from uwu.kernel.runtime import Kernel
from uwu.kernel.settings import Settings

NODE = ROOT / "tests" / "node"

KINDS = ("service", "website", "library")
ESTATE = "\n---\n".join(
    [
        *(
            f"""apiVersion: backstage.io/v1alpha1
kind: Component
metadata:
  name: Part-{number:02}
  description: Part number {number}
  tags: [{"java" if number % 2 else "python"}, tier{number % 3}]
  labels: {{example.com/tier: "{number % 3}"}}
  annotations: {{github.com/project-slug: shop/part-{number:02}}}
  links: [{{url: "https://example.com/{number}", title: Docs}}]
spec:
  type: {KINDS[number % 3]}
  lifecycle: {"production" if number < 20 else "experimental"}
  owner: {"payments" if number % 2 else "search"}
  system: shop
  replicas: {number % 4}
  critical: {"true" if number % 5 == 0 else "false"}
  dependsOn: {"[]" if number == 0 else f"[component:part-{number - 1:02}]"}"""
            for number in range(25)
        ),
        *(
            f"""apiVersion: backstage.io/v1alpha1
kind: Group
metadata: {{name: {name}}}
spec: {{type: team, children: [], profile: {{displayName: The {name} team}}}}"""
            for name in ("payments", "search")
        ),
        """apiVersion: backstage.io/v1alpha1
kind: System
metadata: {name: shop, title: "Shop, the whole of it"}
spec: {owner: payments}""",
        """apiVersion: backstage.io/v1alpha1
kind: User
metadata: {name: mira}
spec: {memberOf: [payments]}""",
    ]
)


class Client:
    """The node process that holds Backstage's client."""

    def __init__(self, base: str) -> None:
        self._process = subprocess.Popen(
            ["node", str(NODE / "catalog.mjs"), base],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=NODE,
        )

    def ask(self, command: dict[str, Any]) -> dict[str, Any]:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None
        stdin.write(json.dumps(command) + "\n")
        stdin.flush()
        line = stdout.readline()
        assert line, "the client ended"
        return json.loads(line)

    def call(self, name: str, *args: Any) -> Any:
        told = self.ask({"call": name, "args": list(args)})
        assert "error" not in told, told
        return told["value"]

    def refused(self, name: str, *args: Any) -> dict[str, Any]:
        return self.ask({"call": name, "args": list(args)})["error"]

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)


@pytest.fixture(scope="module")
def client(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    if shutil.which("node") is None or not (NODE / "node_modules" / "@backstage" / "catalog-client").is_dir():
        missing("Backstage's catalog client", "tools/npm.sh brings it; it needs node and npm")
    home = tmp_path_factory.mktemp("backstage")
    shutil.copy(sqlite_template, home / "state.db")
    (home / "estate").mkdir()
    (home / "estate" / "all.yaml").write_text(ESTATE)
    kernel = Kernel(Settings(home=str(home), estate=(str(home / "estate"),)), (DOMAIN,))
    assert load_estate(kernel)["problems"] == []
    with serve(kernel) as base:
        asking = Client(base)
        yield asking
        asking.close()
    kernel.close()


def names(entities: list[dict[str, Any]]) -> list[str]:
    return [entity["metadata"]["name"] for entity in entities]


def test_an_entity_comes_whole_with_its_relations(client: Client) -> None:
    found = client.call("getEntityByRef", "Component:default/PART-07")
    assert found["apiVersion"] == "backstage.io/v1alpha1"
    assert found["kind"] == "Component"
    assert found["metadata"]["name"] == "Part-07"
    assert found["metadata"]["namespace"] == "default"
    assert found["metadata"]["uid"]
    assert found["metadata"]["annotations"]["backstage.io/managed-by-location"].startswith("file:")
    assert {(r["type"], r["targetRef"]) for r in found["relations"]} == {
        ("ownedBy", "group:default/payments"),
        ("partOf", "system:default/shop"),
        ("dependsOn", "component:default/part-06"),
        ("dependencyOf", "component:default/part-08"),
    }
    assert client.call("getEntityByRef", "component:default/nowhere") is None
    assert client.call("getEntityAncestors", {"entityRef": "component:part-07"})["items"][0]["entity"] == found


def test_pages_go_forth_and_back(client: Client) -> None:
    asked = {
        "filter": {"kind": "component"},
        "limit": 10,
        "orderFields": [{"field": "metadata.name", "order": "desc"}],
        "fields": ["metadata.name"],
    }
    first = client.call("queryEntities", asked)
    assert first["totalItems"] == 25
    assert names(first["items"]) == [f"Part-{n:02}" for n in range(24, 14, -1)]
    assert first["items"][0] == {"metadata": {"name": "Part-24"}}
    assert "prevCursor" not in first["pageInfo"]
    second = client.call("queryEntities", {"cursor": first["pageInfo"]["nextCursor"], "limit": 10})
    third = client.call("queryEntities", {"cursor": second["pageInfo"]["nextCursor"], "limit": 10})
    assert names(third["items"]) == [f"Part-{n:02}" for n in range(4, -1, -1)]
    assert "nextCursor" not in third["pageInfo"]
    back = client.call("queryEntities", {"cursor": third["pageInfo"]["prevCursor"], "limit": 10})
    assert names(back["items"]) == names(second["items"])
    begin = client.call("queryEntities", {"cursor": back["pageInfo"]["prevCursor"], "limit": 10})
    assert names(begin["items"]) == names(first["items"])
    assert "prevCursor" not in begin["pageInfo"]


def test_an_order_of_several_fields_is_kept_over_pages(client: Client) -> None:
    asked = {
        "filter": {"kind": "component"},
        "limit": 4,
        "orderFields": [{"field": "spec.type", "order": "asc"}, {"field": "metadata.name", "order": "desc"}],
    }
    seen: list[tuple[str, str]] = []
    page = client.call("queryEntities", asked)
    while True:
        seen += [(e["spec"]["type"], e["metadata"]["name"]) for e in page["items"]]
        if "nextCursor" not in page["pageInfo"]:
            break
        page = client.call("queryEntities", {"cursor": page["pageInfo"]["nextCursor"], "limit": 4})
    assert len(seen) == len(set(seen)) == 25
    assert [kind for kind, _ in seen] == sorted(kind for kind, _ in seen)
    services = [name for kind, name in seen if kind == "service"]
    assert services == sorted(services, reverse=True)


def test_everything_is_streamed(client: Client) -> None:
    pages = client.call("streamEntities", {"pageSize": 7})
    assert [len(page) for page in pages] == [7, 7, 7, 7, 1]
    assert len(client.call("getEntities", {})["items"]) == 29
    some = client.call(
        "getEntities", {"filter": {"kind": "group"}, "order": {"field": "metadata.name", "order": "desc"}}
    )
    assert names(some["items"]) == ["search", "payments"]
    assert names(client.call("getEntities", {"filter": {"kind": "component"}, "offset": 20, "limit": 3})["items"]) == [
        "Part-20",
        "Part-21",
        "Part-22",
    ]


@pytest.mark.parametrize(
    ("filter", "count"),
    [
        ({"kind": "component"}, 25),
        ({"kind": ["group", "user"]}, 3),
        ([{"kind": "user"}, {"kind": "system"}], 2),
        ({"kind": "component", "spec.type": "SERVICE"}, 9),
        ({"metadata.tags": "java"}, 12),
        ({"metadata.tags.java": "true"}, 12),
        ({"metadata.annotations.github.com/project-slug": "shop/part-03"}, 1),
        ({"metadata.labels.example.com/tier": "2"}, 8),
        ({"relations.ownedBy": "group:default/payments"}, 13),
        ({"relations.memberof": "group:default/payments", "kind": "user"}, 1),
        ({"spec.owner": "nobody"}, 0),
        ({"spec.replicas": "3"}, 6),
    ],
)
def test_filters_find_what_they_say(client: Client, filter: Any, count: int) -> None:
    found = client.call("queryEntities", {"filter": filter, "limit": 100})
    assert found["totalItems"] == count == len(found["items"])
    assert len(client.call("getEntities", {"filter": filter})["items"]) == count


PREDICATES: list[dict[str, Any]] = [
    {"kind": "component"},
    {"kind": "Component", "spec.type": "Service"},
    {"$not": {"kind": "component"}},
    {"$any": [{"kind": "user"}, {"kind": "system"}]},
    {"$all": [{"kind": "component"}, {"spec.lifecycle": {"$in": ["experimental", "deprecated"]}}]},
    {"spec.profile": {"$exists": False}},
    {"metadata.title": {"$exists": True}},
    {"metadata.description": {"$hasPrefix": "PART NUMBER 1"}},
    {"metadata.tags": {"$contains": "java"}},
    {"$not": {"metadata.tags": {"$contains": "java"}}},
    {"relations": {"$contains": {"type": "ownedBy", "targetRef": "group:default/search"}}},
    {"relations": {"$contains": {"type": "memberOf"}}},
    {"spec.replicas": 2},
    {"spec.replicas": {"$in": [0, "1"]}},
    {"spec.critical": True},
    {"metadata.annotations.github.com/project-slug": {"$hasPrefix": "shop/"}},
    {"$all": []},
    {"$any": []},
    {},
    {
        "$all": [
            {"$any": [{"kind": "group"}, {"metadata.tags": {"$contains": "tier1"}}]},
            {"$not": {"spec.type": "website"}},
        ]
    },
]


@pytest.mark.parametrize("predicate", PREDICATES, ids=json.dumps)
def test_predicates_mean_what_backstage_means(client: Client, predicate: dict[str, Any]) -> None:
    every = client.call("getEntities", {})["items"]
    holds = client.ask({"evaluate": predicate, "entities": every})["value"]
    expected = sorted(entity["metadata"]["uid"] for entity, true in zip(every, holds, strict=True) if true)
    found = client.call("queryEntities", {"query": predicate, "limit": 100})
    assert sorted(entity["metadata"]["uid"] for entity in found["items"]) == expected
    assert found["totalItems"] == len(expected)
    facets = client.call("getEntityFacets", {"facets": ["kind"], "query": predicate})
    assert sum(each["count"] for each in facets["facets"]["kind"]) == len(expected)


def test_a_question_by_predicate_has_pages(client: Client) -> None:
    asked = {"query": {"kind": "component"}, "limit": 10, "orderFields": {"field": "metadata.name", "order": "asc"}}
    seen: list[str] = []
    page = client.call("queryEntities", asked)
    while True:
        seen += names(page["items"])
        if "nextCursor" not in page["pageInfo"]:
            break
        page = client.call("queryEntities", {"cursor": page["pageInfo"]["nextCursor"], "limit": 10})
    assert seen == [f"Part-{n:02}" for n in range(25)]


def test_facets_count_values_as_they_are_written(client: Client) -> None:
    found = client.call("getEntityFacets", {"facets": ["kind", "spec.type", "metadata.tags", "relations.ownedBy"]})
    assert found["facets"]["kind"] == [
        {"value": "Component", "count": 25},
        {"value": "Group", "count": 2},
        {"value": "System", "count": 1},
        {"value": "User", "count": 1},
    ]
    of = {each["value"]: each["count"] for each in found["facets"]["metadata.tags"]}
    assert (of["java"], of["python"]) == (12, 13)
    owners = {each["value"]: each["count"] for each in found["facets"]["relations.ownedBy"]}
    assert owners == {"group:default/payments": 13, "group:default/search": 13}
    some = client.call("getEntityFacets", {"facets": ["spec.type"], "filter": {"spec.lifecycle": "experimental"}})
    assert sum(each["count"] for each in some["facets"]["spec.type"]) == 5


def test_a_text_is_found_in_the_fields_that_are_named(client: Client) -> None:
    asked = {"fullTextFilter": {"term": "number 1", "fields": ["metadata.description", "metadata.name"]}, "limit": 50}
    assert client.call("queryEntities", asked)["totalItems"] == 11
    title = {"fullTextFilter": {"term": "the whole", "fields": ["metadata.title"]}}
    assert names(client.call("queryEntities", title)["items"]) == ["shop"]


def test_entities_by_refs_keep_their_order_and_gaps(client: Client) -> None:
    refs = ["component:default/part-03", "component:default/gone", "user:default/mira"]
    found = client.call("getEntitiesByRefs", {"entityRefs": refs, "fields": ["kind", "metadata.name"]})["items"]
    assert found[0] == {"kind": "Component", "metadata": {"name": "Part-03"}}
    assert found[1] is None
    assert found[2]["kind"] == "User"
    only = client.call("getEntitiesByRefs", {"entityRefs": refs, "filter": {"kind": "user"}})["items"]
    assert [entity is not None for entity in only] == [False, False, True]


def test_locations_are_the_estate(client: Client) -> None:
    (location,) = client.call("getLocations", {})["items"]
    assert location["type"] == "file"
    assert client.call("getLocationById", location["id"]) == location
    assert client.call("getLocationByEntity", "user:default/mira") == location
    assert client.call("queryLocations", {"limit": 5})["items"] == [location]


def test_a_refresh_asks_for_the_estate_to_be_read(client: Client) -> None:
    assert client.call("refreshEntity", "component:default/part-01") is None
    refused = client.refused("refreshEntity", "component:default/gone")
    assert (refused["name"], refused["status"]) == ("NotFoundError", 404)


def test_an_entity_is_validated_without_being_kept(client: Client) -> None:
    good = {
        "apiVersion": "backstage.io/v1alpha1",
        "kind": "System",
        "metadata": {"name": "new"},
        "spec": {"owner": "payments"},
    }
    assert client.call("validateEntity", good, "url:https://example.com/a.yaml") == {"valid": True}
    told = client.call("validateEntity", {**good, "spec": {}}, "url:https://example.com/a.yaml")
    assert told["valid"] is False
    assert "spec.owner is missing" in told["errors"][0]["message"]
    assert client.call("getEntityByRef", "system:default/new") is None


def test_what_would_change_the_catalog_is_refused_with_the_reason(client: Client) -> None:
    for name, args in (
        ("addLocation", [{"type": "url", "target": "https://example.com/catalog-info.yaml"}]),
        ("removeLocationById", ["x"]),
        ("removeEntityByUid", ["x"]),
    ):
        refused = client.refused(name, *args)
        assert (refused["name"], refused["status"]) == ("NotAllowedError", 403), name
        assert "in the estate, not here" in refused["message"]


@pytest.mark.parametrize(
    "asked",
    [
        {"cursor": "bm8="},
        {"query": {"kind": {"$like": "x"}}},
        {"query": {"$all": {"kind": "component"}}},
        {"query": {"kind": "a", "$not": {}}},
    ],
    ids=json.dumps,
)
def test_a_bad_question_is_an_input_error(client: Client, asked: dict[str, Any]) -> None:
    refused = client.refused("queryEntities", asked)
    assert (refused["name"], refused["status"]) == ("InputError", 400)
