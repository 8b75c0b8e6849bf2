"""The OpenAPI 3.1 document, made from the routes and their types: what it tells is what is checked and sent.

Schemas are msgspec's own (JSON Schema 2020-12) with the words that stand at the fields in the code.
"""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec
from litestar import Litestar, Request, Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.response import ServerSentEvent, Stream

from uwu import __version__
from uwu.app import identify
from uwu.app.api import wording
from uwu.app.api.parameters import Inputs, Parameter, function, inputs
from uwu.app.api.problems import PROBLEM_JSON
from uwu.kernel import codec
from uwu.kernel.actions import ACTIONS

TEMPLATE = "#/components/schemas/{name}"
TEXT = r"^[^\u0000]*$"
"""Text without NUL, which no database keeps."""

NDJSON, EVENTS = "application/x-ndjson", "text/event-stream"
WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})

TOLD = {
    400: "The request does not fit: `code`, `place` and `hint` say what and where.",
    401: "Who asks is not known, or the token or session has ended.",
    403: "Who asks may not: `place` names the policy, `hint` the path that is missing.",
    404: "The subject does not exist, or not for who asks.",
    409: "The subject has moved on, or another holds it; or the same key is being answered.",
    413: "The body is larger than the server takes.",
    415: "The body is no JSON.",
    421: "The server does not answer for this host.",
    422: "The idempotency key was used for another request.",
    429: "More was asked than the limit allows; `Retry-After` says when to ask again.",
    500: "Something failed that should not have; the log has it under `instance`.",
    503: "A part that is needed does not answer now; asking again may help.",
    507: "No room is left where state or events are kept.",
}


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An error (RFC 9457, application/problem+json) with uwu's own members."""

    type: str
    """``urn:uwu:error:<code>``."""
    title: str
    """What is wrong, in one sentence."""
    status: int
    """The HTTP status."""
    code: str
    """Stable and kebab-case; docs/reference/errors.md lists every one."""
    place: str = ""
    """Where: a parameter, a header, a file and line, a policy."""
    hint: str = ""
    """What to do about it."""
    instance: str = ""
    """``urn:uwu:request:<id>``: the request as the log knows it."""
    retry_after: int = 0
    """In how many seconds to ask again, with 429 and 503."""


def route(prefix: str) -> HTTPRouteHandler:
    """The handler of ``<prefix>/schema/openapi.json``."""
    made: list[bytes] = []

    @get(f"{prefix}/schema/openapi.json", opt={"action": "health.read"}, sync_to_thread=True, include_in_schema=False)
    def openapi_document(request: Request[Any, Any, Any]) -> Response[bytes]:
        """The OpenAPI document of this API."""
        if not made:
            made.append(codec.encode(document(request.app, prefix)))
        return Response(made[0], media_type="application/json")

    return openapi_document


def operations(app: Litestar, prefix: str) -> Iterator[tuple[str, str, HTTPRouteHandler]]:
    """(path template, method, handler) of every route of the API, in the order of paths."""
    found: list[tuple[str, str, HTTPRouteHandler]] = []
    for each in app.routes:
        for handler in getattr(each, "route_handlers", ()):
            if not isinstance(handler, HTTPRouteHandler) or not each.path.startswith(prefix):
                continue
            if handler.include_in_schema is False or "action" not in handler.opt:
                continue
            path = re.sub(r"\{(\w+):\w+\}", r"{\1}", each.path_format)
            found += [(path, method, handler) for method in sorted(handler.http_methods) if method != "OPTIONS"]
    return iter(sorted(found, key=lambda one: one[:2]))


def operation_id(handler: HTTPRouteHandler) -> str:
    """The name of the operation: the handler's function, and of the client's method."""
    return function(handler).__name__


def returns(handler: HTTPRouteHandler) -> Any:
    """The type that ``handler`` answers with: its annotation, or ``opt={"gives": ...}`` where it makes a Response."""
    if "gives" in handler.opt:
        return handler.opt["gives"]
    hint = _return_hint(handler)
    origin = typing.get_origin(hint)
    if isinstance(origin, type) and issubclass(origin, Response):
        return typing.get_args(hint)[0]
    return Any if isinstance(hint, type) and issubclass(hint, Response) else hint


def streams(handler: HTTPRouteHandler) -> str:
    """The media type of the stream that ``handler`` answers with; empty where its answer is one value."""
    hint = _return_hint(handler)
    if isinstance(hint, type) and issubclass(hint, (Stream, ServerSentEvent)):
        return EVENTS if issubclass(hint, ServerSentEvent) else NDJSON
    return ""


def _return_hint(handler: HTTPRouteHandler) -> Any:
    return typing.get_type_hints(function(handler)).get("return")


def document(app: Litestar, prefix: str) -> dict[str, Any]:
    """The whole document."""
    listed = list(operations(app, prefix))
    schemas = Schemas([Problem, *(each for _, _, handler in listed for each in (returns(handler), _body(handler)))])
    paths: dict[str, dict[str, Any]] = {}
    for path, method, handler in listed:
        paths.setdefault(path, {})[method.lower()] = _operation(method, handler, schemas)
    tags = sorted({_tag(handler) for _, _, handler in listed})
    return {
        "openapi": "3.1.0",
        "jsonSchemaDialect": "https://spec.openapis.org/oas/3.1/dialect/base",
        "info": {
            "title": "uwu",
            "version": __version__,
            "summary": "What is it, who owns it, is it as declared, who changed it, what puts it right.",
            "description": DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}, {"session": []}],
        "tags": [{"name": tag, "description": _TAGS.get(tag, f"The domain {tag}.")} for tag in tags],
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "responses": {str(status): _problem(status, schemas) for status in TOLD},
            "headers": HEADERS,
            "parameters": {"IdempotencyKey": IDEMPOTENCY_KEY},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "An API token: `uwu token create`."},
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": identify.COOKIE,
                    "description": f"The console's session; over https its name is `{identify.SECURE_COOKIE}`.",
                },
            },
        },
    }


DESCRIPTION = """\
Answers are JSON, errors are problem+json (RFC 9457). A parameter or a member of a body that an operation does not know
is an error, and so is a parameter given twice.

Lists that pass a page tell `after`: give it back to get the next page. GET answers carry an `ETag`: with
`If-None-Match` an answer that has not changed is 304. Writes take an `Idempotency-Key`: what is asked twice is done
once, and the same answer is given for 24 hours. Every answer carries `X-Request-Id`; send one to choose it."""

_TAGS = {
    "world": "What is: resources, entities, coverage, search, the story of anything.",
    "graph": "Ways: between two subjects, from the internet, into a role.",
    "findings": "What is not as it should be: findings, changes.",
    "rules": "What is judged, why, what could not be, and what is exempt.",
    "entropy": "How far it is from declared: one number a scope, its rows and its days.",
    "work": "What is done: status, jobs, queries.",
    "audit": "What was done: the audit chain, its verification, its checkpoints, its export.",
    "plans": "How drift is put right: plans, approvals, their application.",
}

HEADERS: dict[str, Any] = {
    "X-Request-Id": {"description": "The id of the request, in the log too.", "schema": {"type": "string"}},
    "ETag": {"description": "The tag of this answer, for If-None-Match.", "schema": {"type": "string"}},
    "Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 0}},
    "WWW-Authenticate": {"description": "How to sign in.", "schema": {"type": "string"}},
}
IDEMPOTENCY_KEY: dict[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Chosen by the caller, a UUID for one: the same request with the same key is done once.",
    "schema": {"type": "string", "minLength": 8, "maxLength": 255, "pattern": "^[!#-~]+$"},
}


def _body(handler: HTTPRouteHandler) -> Any:
    return inputs(handler).body


def _operation(method: str, handler: HTTPRouteHandler, schemas: Schemas) -> dict[str, Any]:
    taken = inputs(handler)
    summary, _, rest = (inspect.getdoc(function(handler)) or "").partition("\n\n")
    action = next((one for one in ACTIONS if one.name == handler.opt["action"]), None)
    told: dict[str, Any] = {
        "operationId": operation_id(handler),
        "tags": [_tag(handler)],
        "summary": _plain(summary).rstrip("."),
        "description": "\n\n".join(filter(None, (_plain(rest), f"Action: `{handler.opt['action']}`."))),
        "x-action": handler.opt["action"],
    }
    parameters = [
        *(_parameter(one, "path", schemas) for one in taken.path.values()),
        *(_parameter(one, "query", schemas) for one in taken.query.values()),
    ]
    if method in WRITES:
        parameters.append({"$ref": "#/components/parameters/IdempotencyKey"})
    if parameters:
        told["parameters"] = parameters
    if taken.body is not None:
        told["requestBody"] = {"required": True, "content": {"application/json": {"schema": schemas.of(taken.body)}}}
    told["responses"] = {
        str(handler.status_code): _success(method, handler, schemas),
        **{str(status): {"$ref": f"#/components/responses/{status}"} for status in _refusals(method, handler, taken)},
    }
    if action is not None and action.group == "open":
        told["security"] = [{}]
    return told


def _refusals(method: str, handler: HTTPRouteHandler, taken: Inputs) -> list[int]:
    found = {400, 401, 403, 421, 429, 500, 503, *handler.opt.get("problems", ())}
    if taken.path or {"subject", "ref", "finding", "target"} & set(taken.query) or taken.body is not None:
        found.add(404)
    if method in WRITES:
        found |= {404, 409, 413, 415, 422, 507}
    return sorted(found)


def _success(method: str, handler: HTTPRouteHandler, schemas: Schemas) -> dict[str, Any]:
    gives, headers, kind = returns(handler), ["X-Request-Id"], streams(handler)
    if handler.status_code == 204 or gives in (None, type(None)):
        told: dict[str, Any] = {"description": "Done."}
    elif kind:
        each = "one JSON value a line, as it comes; empty lines keep the connection" if kind == NDJSON else "events"
        told = {"description": f"A stream: {each}.", "content": {kind: {"schema": {"type": "string"}}}}
    else:
        if method == "GET":
            headers.append("ETag")
        told = {"description": "The answer.", "content": {"application/json": {"schema": schemas.of(gives)}}}
    told["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in headers}
    return told


def _problem(status: int, schemas: Schemas) -> dict[str, Any]:
    headers = ["X-Request-Id", *{401: ["WWW-Authenticate"], 429: ["Retry-After"], 503: ["Retry-After"]}.get(status, [])]
    return {
        "description": TOLD[status],
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in headers},
        "content": {PROBLEM_JSON: {"schema": schemas.of(Problem)}},
    }


def _parameter(one: Parameter, place: str, schemas: Schemas) -> dict[str, Any]:
    schema = dict(schemas.of(one.type))
    if one.low is not None:
        schema |= {"minimum": one.low, "maximum": one.high}
    elif schema.get("type") == "string" and "enum" not in schema and "pattern" not in schema:
        schema["pattern"] = TEXT
    if place == "path":
        schema |= {"minLength": 1, "pattern": r"^[^\u0000/]+$"} if schema.get("type") == "string" else {}
    elif not one.required and one.default is not None:
        schema["default"] = codec.builtins(one.default)
    if place == "query" and schema.get("type") == "array":
        return {"name": one.name, "in": place, "required": one.required, "explode": True, "schema": schema}
    return {"name": one.name, "in": place, "required": place == "path" or one.required, "schema": schema}


def _tag(handler: HTTPRouteHandler) -> str:
    if handler.tags:
        return min(handler.tags)
    parts = function(handler).__module__.split(".")
    return parts[parts.index("domains") + 1] if "domains" in parts else parts[-1]


def _plain(text: str) -> str:
    """A docstring as CommonMark."""
    return text.replace("``", "`")


class Schemas:
    """The components of the types that are given, and of all that they hold."""

    def __init__(self, kinds: list[Any]) -> None:
        structs = list(dict.fromkeys(struct for kind in kinds for struct in _structs(kind)))
        by_key = {_key(kind): kind for kind in kinds if kind is not None}
        outs, self.components = msgspec.json.schema_components([*structs, *by_key.values()], ref_template=TEMPLATE)
        self._made = dict(zip(by_key, outs[len(structs) :], strict=True))
        for struct, out in zip(structs, outs, strict=False):
            _describe(struct, self.components[out["$ref"].rpartition("/")[2]])
        for name in self.components:
            self.components[name].pop("title", None)

    def of(self, kind: Any) -> dict[str, Any]:
        """The schema of ``kind``: a reference where it is a component."""
        found = self._made.get(_key(kind))
        if found is None:
            found = msgspec.json.schema(kind, ref_template=TEMPLATE)
        return found


def _key(kind: Any) -> str:
    return repr(kind)


def _describe(struct: type[msgspec.Struct], schema: dict[str, Any]) -> None:
    """Adds what stands at the fields in the code, and that times are times."""
    schema["description"] = _plain(inspect.cleandoc(schema.get("description", "")))
    words = wording.of_fields(struct)
    for name, kind in typing.get_type_hints(struct, include_extras=True).items():
        encoded = struct.__struct_encode_fields__[struct.__struct_fields__.index(name)]
        inner = schema["properties"].get(encoded)
        if inner is None:
            continue
        if _is_time(kind):
            for one in inner.get("anyOf", [inner]):
                if one.get("type") == "string":
                    one["format"] = "date-time"
        if name in words:
            inner["description"] = _plain(words[name])


def _is_time(kind: Any) -> bool:
    return kind is datetime or datetime in typing.get_args(kind)


def _structs(kind: Any, seen: set[Any] | None = None) -> Iterator[type[msgspec.Struct]]:
    """Every Struct that ``kind`` holds, itself included."""
    seen = set() if seen is None else seen
    if isinstance(kind, type) and not isinstance(kind, types.GenericAlias) and issubclass(kind, msgspec.Struct):
        if kind in seen:
            return
        seen.add(kind)
        yield kind
        for inner in typing.get_type_hints(kind).values():
            yield from _structs(inner, seen)
        return
    for inner in typing.get_args(kind):
        if not isinstance(inner, str):
            yield from _structs(inner, seen)
