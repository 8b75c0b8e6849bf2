"""The OpenAPI document: valid, whole, and true to what the server does."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from litestar.handlers import HTTPRouteHandler

from tests.app.console import world
from tests.app.front import ask, post, serving
from uwu.app import asgi
from uwu.app.api import openapi
from uwu.app.metrics import Metrics
from uwu.kernel.actions import ACTIONS
from uwu.kernel.runtime import Kernel

METHODS = ("get", "put", "post", "delete", "patch")


@pytest.fixture(scope="module")
def kernel_(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Any) -> Iterator[Kernel]:
    import shutil

    home = tmp_path_factory.mktemp("home")
    shutil.copy(sqlite_template, home / "state.db")
    kernel = world.open_kernel(home)
    world.fill(kernel)
    yield kernel
    kernel.close()


@pytest.fixture(scope="module")
def url(kernel_: Kernel) -> Iterator[str]:
    with serving(kernel_) as address:
        yield address


@pytest.fixture(scope="module")
def document(url: str) -> dict[str, Any]:
    return ask(url, "GET", "/api/v1/schema/openapi.json").json


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    ]


def resolve(document: dict[str, Any], value: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in value:
        found: Any = document
        for part in value["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        value = found
    return value


def test_it_is_openapi_31(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    schemas = document["components"]["schemas"]
    for name, schema in schemas.items():
        Draft202012Validator.check_schema(schema)
        assert re.fullmatch(r"[A-Za-z0-9._-]+", name)
    referred = set(re.findall(r'"#/components/(\w+)/([^"]+)"', json.dumps(document)))
    assert [(kind, name) for kind, name in referred if name not in document["components"][kind]] == []


def test_every_route_of_the_api_stands_in_it_and_no_other(kernel_: Kernel, document: dict[str, Any]) -> None:
    app = asgi.litestar(kernel_, Metrics(kernel_))
    served = {
        (re.sub(r"\{(\w+):\w+\}", r"{\1}", route.path_format), method.lower())
        for route in app.routes
        for handler in getattr(route, "route_handlers", ())
        if isinstance(handler, HTTPRouteHandler) and route.path.startswith(asgi.API)
        for method in handler.http_methods
        if method != "OPTIONS"
    }
    told = {(path, method) for path, method, _ in operations(document)}
    assert served - told == {("/api/v1/schema/openapi.json", "get")}
    assert told <= served


def test_each_operation_is_described(document: dict[str, Any]) -> None:
    ids = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(ids) == len(set(ids))
    known = {action.name for action in ACTIONS}
    tags = {tag["name"] for tag in document["tags"]}
    for path, method, operation in operations(document):
        where = f"{method} {path}"
        assert operation["summary"], where
        assert operation["x-action"] in known, where
        assert set(operation["tags"]) <= tags, where
        told = set(operation["responses"])
        assert {"400", "401", "403", "421", "429", "500", "503"} <= told, where
        assert ("409" in told) is (method != "get"), where
        given = set(re.findall(r"\{(\w+)\}", path))
        parameters = [resolve(document, parameter) for parameter in operation.get("parameters", [])]
        assert {p["name"] for p in parameters if p["in"] == "path"} == given, where
        assert all(p["required"] for p in parameters if p["in"] == "path")
        assert (method != "get") is any(p["name"] == "Idempotency-Key" for p in parameters), where
        assert any(status.startswith("2") for status in told), where


def test_problems_have_uwus_members(document: dict[str, Any]) -> None:
    told = resolve(document, document["paths"]["/api/v1/resources"]["get"]["responses"]["400"])
    schema = resolve(document, told["content"]["application/problem+json"]["schema"])
    assert set(schema["properties"]) == {"type", "title", "status", "code", "place", "hint", "instance", "retry_after"}
    assert set(schema["required"]) == {"type", "title", "status", "code"}


def test_bounds_and_choices_stand_in_it(document: dict[str, Any]) -> None:
    parameters = {p["name"]: p["schema"] for p in document["paths"]["/api/v1/findings"]["get"]["parameters"]}
    assert (parameters["limit"]["minimum"], parameters["limit"]["maximum"], parameters["limit"]["default"]) == (
        1, 500, 50,
    )  # fmt: skip
    assert "critical" in parameters["severity"]["enum"]
    assert "default" not in parameters["owner"], "left out is not the same as empty"
    query = document["components"]["schemas"]["Question"]
    assert query["additionalProperties"] is False
    assert "sql" in query["required"]


def test_every_bound_that_is_told_is_kept(url: str, document: dict[str, Any]) -> None:
    checked = 0
    for path, method, operation in operations(document):
        if method != "get":
            continue
        address = re.sub(r"\{\w+\}", "x", path)
        required = "".join(
            f"&{p['name']}=x" for p in operation.get("parameters", []) if p["in"] == "query" and p["required"]
        )
        for parameter in operation.get("parameters", []):
            schema = parameter["schema"]
            if parameter["in"] != "query" or "minimum" not in schema:
                continue
            for value in (schema["minimum"] - 1, schema["maximum"] + 1, "many"):
                answer = ask(url, "GET", f"{address}?{parameter['name']}={value}{required}")
                assert answer.status == 400, (path, parameter["name"], value)
                checked += 1
    assert checked > 20


def test_what_is_no_text_is_refused_everywhere(url: str) -> None:
    for target in (
        "/api/v1/resources?text=%ff",
        "/api/v1/resources?text=a%00b",
        "/api/v1/jobs/%00",
        "/api/v1/jobs/%ff",
    ):
        answer = ask(url, "GET", target)
        assert (answer.status, answer.headers["content-type"]) == (400, "application/problem+json"), target
    for body in (b'{"name": "\\u0000"}', b'{"name": "x", "arguments": {"a": ["\\u0000"]}}', b'{"name": "\\ud800"}'):
        answer = ask(url, "POST", "/api/v1/jobs", body, Content_Type="application/json")
        assert answer.status == 400, body
    fine = post(url, "/api/v1/query", {"sql": "select '\\u0000' as x"})
    assert fine.status == 200, "a backslash and a u are text"


def test_a_method_that_a_route_does_not_take(url: str, document: dict[str, Any]) -> None:
    for path in document["paths"]:
        answer = ask(url, "TRACE", re.sub(r"\{\w+\}", "x", path))
        allowed = {name.strip() for name in answer.headers["allow"].split(",")}
        assert answer.status == 405, path
        assert answer.json["code"] == "method-not-allowed"
        offered = {method.upper() for p, method, _ in operations(document) if p == path}
        assert allowed == offered | {"OPTIONS"} | ({"HEAD"} if "GET" in offered else set())
        options = ask(url, "OPTIONS", re.sub(r"\{\w+\}", "x", path))
        assert options.status == 204
        assert offered <= {name.strip() for name in options.headers["allow"].split(",")}


def test_unknown_members_of_bodies_are_refused(url: str, document: dict[str, Any]) -> None:
    for path, _, operation in operations(document):
        if "requestBody" not in operation:
            continue
        schema = resolve(document, operation["requestBody"]["content"]["application/json"]["schema"])
        assert schema.get("additionalProperties") is False, path


def test_what_a_handler_answers_with_is_named(kernel_: Kernel) -> None:
    app = asgi.litestar(kernel_, Metrics(kernel_))
    for path, method, handler in openapi.operations(app, asgi.API):
        gives = openapi.returns(handler)
        assert gives is not Any or openapi.streams(handler), (
            f"{method} {path}: a Response says what it gives by its argument, or by opt 'gives'"
        )
