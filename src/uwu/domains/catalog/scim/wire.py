"""``/scim/v2``: Users and Groups for an identity provider's provisioning (RFC 7644), and what the server can do.

Attributes, filters, paths and PATCH are those of scim2-models; what Okta and Entra send beside the letter of the RFC
(attributes that are not known, a PATCH of an e-mail address that is not there yet) is taken as they mean it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from scim2_models import (
    Context,
    EnterpriseUser,
    Error,
    Group,
    ListResponse,
    PatchOp,
    Resource,
    ResourceType,
    ResponseParameters,
    Schema,
    SCIMException,
    ScimFilter,
    ScimPolicy,
    SearchRequest,
    ServiceProviderConfig,
    User,
)

from uwu.domains.catalog.actions import SCIM
from uwu.domains.catalog.scim import store
from uwu.domains.catalog.scim.store import Changed, Given, Held, Taken
from uwu.kernel import codec
from uwu.kernel.errors import BadInput, NotFound, UwuError
from uwu.kernel.wire import Asked, NoMethod, Reply, Route, Wire, headers_of

if TYPE_CHECKING:
    from uwu.kernel.runtime import Kernel

PREFIX = "/scim/v2/"
MEDIA_TYPE = "application/scim+json"
MAX_BODY_BYTES = 4_000_000
PAGE, MOST = 100, 200
POLICY = ScimPolicy(
    unknown=ScimPolicy.Unknown.ignore,
    unmatched_path_filter=ScimPolicy.UnmatchedPathFilter.create,
    remove_value_as_filter=ScimPolicy.RemoveValue.apply,
)

UserModel: Any = User[EnterpriseUser]
MODELS: dict[str, Any] = {"Users": UserModel, "Groups": Group}
_KIND = {"Users": "User", "Groups": "Group"}
_QUICK = re.compile(r'\s*(userName|displayName|externalId)\s+eq\s+"([^"\\]*)"\s*', re.IGNORECASE)
_BASE = {"id", "meta", "schemas"}


def app(kernel: Kernel) -> Wire:
    """The SCIM service."""
    return Wire(kernel, ROUTES, refuse)


def refuse(error: UwuError) -> Reply:
    """An error in SCIM's own form (RFC 7644, section 3.12)."""
    kind = "uniqueness" if isinstance(error, Taken) else None
    if isinstance(error, BadInput):
        kind = "invalidSyntax"
    told = error.problem
    detail = f"{told.message}: {told.hint}" if told.hint else told.message
    status = 400 if told.code == "scim-member" else error.status
    return _error(status, detail, "invalidValue" if told.code == "scim-member" else kind, headers_of(error))


def _error(status: int, detail: str, scim_type: str | None, headers: dict[str, str] | None = None) -> Reply:
    body = Error(status=status, detail=detail, scim_type=scim_type).model_dump()
    return Reply(status, codec.encode(body), MEDIA_TYPE, headers or {})


def _guarded(handle: Callable[[Asked], Reply]) -> Callable[[Asked], Reply]:
    def guarded(asked: Asked) -> Reply:
        try:
            with POLICY:
                return handle(asked)
        except ValidationError as error:
            first = Error.from_validation_errors(error)[0]
        except SCIMException as error:
            first = error.to_error()
        return _error(int(first.status or 400), str(first.detail or "the request does not fit"), first.scim_type)

    return guarded


# ---- Users and Groups


def _of(asked: Asked) -> tuple[str, Any]:
    return _KIND[asked.params["type"]], MODELS[asked.params["type"]]


def _type(asked: Asked) -> None:
    if asked.params["type"] in {"ServiceProviderConfig", "Schemas", "ResourceTypes"}:
        raise NoMethod(f"{asked.params['type']} is only read", hint="it takes GET")
    if asked.params["type"] not in MODELS:
        raise NotFound("SCIM has Users and Groups here", code="scim-unknown")


def _base(asked: Asked) -> str:
    return f"{asked.base_url.rstrip('/')}/scim/v2"


def _show(asked: Asked, found: list[Held]) -> list[Any]:
    """The resources of ``found``, which are of one kind, with what the server adds."""
    base = _base(asked)
    with asked.kernel.db.read() as connection:
        ids = [held.id for held in found]
        groups = bool(found) and found[0].kind == "Group"
        linked = (store.members_of if groups else store.groups_of)(connection, ids)
        called = store.displays_of(connection, ids) if groups else {}
    shown: list[Any] = []
    for held in found:
        document: dict[str, Any] = {
            **held.document,
            "id": held.id,
            "meta": {
                "resourceType": held.kind,
                "created": codec.iso(held.created_at),
                "lastModified": codec.iso(held.changed_at),
                "location": f"{base}/{held.kind}s/{held.id}",
                "version": held.etag,
            },
        }
        if linked[held.id]:
            document["members" if groups else "groups"] = [
                {
                    "value": each.id,
                    "$ref": f"{base}/{each.kind}s/{each.id}",
                    "display": called.get((held.id, each.id))
                    or str(each.document.get("displayName") or each.document.get("userName") or each.name),
                    "type": each.kind if groups else "direct",
                }
                for each in linked[held.id]
            ]
        shown.append(MODELS[f"{held.kind}s"].model_validate(document))
    return shown


def _parameters(asked: Asked, model: Any) -> Any:
    given = {name: asked.query[name] for name in ("attributes", "excludedAttributes") if asked.query.get(name)}
    return ResponseParameters[model].model_validate(given)


def _one(asked: Asked, held: Held, status: int = 200, context: Any = Context.RESOURCE_QUERY_RESPONSE) -> Reply:
    model = MODELS[f"{held.kind}s"]
    (shown,) = _show(asked, [held])
    body = shown.model_dump(scim_ctx=context, response_parameters=_parameters(asked, model))
    headers = {"ETag": held.etag, "Location": str(shown.meta.location)}
    return Reply(status, codec.encode(body), MEDIA_TYPE, headers)


def _given(resource: Any) -> Given:
    document = resource.model_dump(scim_ctx=Context.DEFAULT)
    members = tuple(
        (str(each["value"]), str(each.get("display") or ""))
        for each in document.get("members") or ()
        if each.get("value")
    )
    kept = {k: v for k, v in document.items() if k not in _BASE | {"members", "groups", "password"}}
    name = resource.user_name if isinstance(resource, User) else resource.display_name
    if not str(name or "").strip():
        attribute = "userName" if isinstance(resource, User) else "displayName"
        raise BadInput(f"{attribute} is missing", code="scim-name", place=attribute)
    active = getattr(resource, "active", None)
    return Given(
        name=str(name).strip(),
        external_id=str(resource.external_id or ""),
        active=active is not False,
        document={**kept, "schemas": document["schemas"]},
        members=members,
    )


def _current(asked: Asked) -> Held:
    """The resource of the address, if it is of the version that the client has (``If-Match``)."""
    _type(asked)
    with asked.kernel.db.read() as connection:
        held = store.find(connection, _KIND[asked.params["type"]], asked.params["id"])
    wanted = asked.headers.get("if-match", "")
    if wanted and wanted != "*" and held.etag not in [each.strip() for each in wanted.split(",")]:
        raise Changed(f"it is of version {held.etag}", hint="read it again")
    return held


def read(asked: Asked) -> Reply:
    """One resource; 304 where the client has it (``If-None-Match``)."""
    held = _current(asked)
    if held.etag in [each.strip() for each in asked.headers.get("if-none-match", "").split(",")]:
        return Reply(304, headers={"ETag": held.etag})
    return _one(asked, held)


def create(asked: Asked) -> Reply:
    """Makes a resource."""
    _type(asked)
    kind, model = _of(asked)
    resource = model.model_validate(asked.json(), scim_ctx=Context.RESOURCE_CREATION_REQUEST)
    held = store.create(asked.kernel, asked.principal.ref, kind, _given(resource))
    return _one(asked, held, 201, Context.RESOURCE_CREATION_RESPONSE)


def put(asked: Asked) -> Reply:
    """Replaces a resource as a whole."""
    held = _current(asked)
    _, model = _of(asked)
    (before,) = _show(asked, [held])
    resource = model.model_validate(asked.json(), scim_ctx=Context.RESOURCE_REPLACEMENT_REQUEST)
    resource.replace(before)
    after = store.replace(asked.kernel, asked.principal.ref, held, _given(resource))
    return _one(asked, after, context=Context.RESOURCE_REPLACEMENT_RESPONSE)


def patch(asked: Asked) -> Reply:
    """Changes parts of a resource; all of the operations or none."""
    held = _current(asked)
    _, model = _of(asked)
    (resource,) = _show(asked, [held])
    operations = PatchOp[model].model_validate(asked.json(), scim_ctx=Context.RESOURCE_PATCH_REQUEST)
    operations.patch(resource)
    after = store.replace(asked.kernel, asked.principal.ref, held, _given(resource))
    return _one(asked, after, context=Context.RESOURCE_PATCH_RESPONSE)


def remove(asked: Asked) -> Reply:
    """Deprovisions a resource."""
    store.delete(asked.kernel, asked.principal.ref, _current(asked))
    return Reply(204)


def query(asked: Asked) -> Reply:
    """Users or groups by a filter, page by page; sorted where that is asked."""
    _type(asked)
    given = {**asked.query}
    return _search(asked, [asked.params["type"]], given)


def search(asked: Asked) -> Reply:
    """As ``query``, with the question in the body (``/.search``)."""
    given = asked.json()
    if not isinstance(given, dict):
        raise BadInput("a search is an object", code="request-invalid")
    types = [asked.params["type"]] if "type" in asked.params else list(MODELS)
    if types[0] not in MODELS:
        raise NotFound("SCIM has Users and Groups here", code="scim-unknown")
    return _search(asked, types, given)


def _search(asked: Asked, types: list[str], given: dict[str, Any]) -> Reply:
    model = MODELS[types[0]] if len(types) == 1 else UserModel | Group
    wanted = SearchRequest[model].model_validate(given, scim_ctx=Context.SEARCH_REQUEST)
    first = max((wanted.start_index or 1) - 1, 0)
    count = min(PAGE if wanted.count is None else wanted.count, MOST)
    text = str(given.get("filter") or "")
    quick = _QUICK.fullmatch(text)
    equal: dict[str, str] = {}
    if quick:
        attribute, value = quick[1].lower(), quick[2]
        named = "username" if types == ["Users"] else "displayname" if types == ["Groups"] else ""
        equal = {"external_id": value} if attribute == "externalid" else {"name": value.lower()}
        quick = quick if attribute in {"externalid", named} and len(types) == 1 else None
    if (not text or quick) and wanted.sort_by is None and len(types) == 1:
        with asked.kernel.db.read() as connection:
            total, found = store.listed(
                connection, _KIND[types[0]], first=first, count=count, **(equal if quick else {})
            )
        page = _show(asked, found)
    else:
        every: list[Any] = []
        for type in types:
            with asked.kernel.db.read() as connection:
                held = store.listed(connection, _KIND[type])[1]
            every += _show(asked, held)
        if text:
            matching = ScimFilter[model](text)
            every = [each for each in every if matching.match(each)]
        if wanted.sort_by is not None:
            every = wanted.sort(every)
        total, page = len(every), every[first : first + count]
    answer = ListResponse[model](
        total_results=total, start_index=first + 1, items_per_page=len(page), resources=page or None
    )
    body = answer.model_dump(scim_ctx=Context.RESOURCE_QUERY_RESPONSE, response_parameters=wanted)
    return Reply(200, codec.encode(body), MEDIA_TYPE)


# ---- what the server is


def config(asked: Asked) -> Reply:
    """What the server can do (RFC 7643, section 5)."""
    token = {
        "type": "oauthbearertoken",
        "name": "Bearer token",
        "description": "A token of a service account that may provision people and groups",
        "specUri": "https://www.rfc-editor.org/rfc/rfc6750",
        "primary": True,
    }
    told = {
        "patch": {"supported": True},
        "bulk": {"supported": False, "maxOperations": 0, "maxPayloadSize": 0},
        "filter": {"supported": True, "maxResults": MOST},
        "changePassword": {"supported": False},
        "sort": {"supported": True},
        "etag": {"supported": True},
        "authenticationSchemes": [token],
        "meta": {"resourceType": "ServiceProviderConfig", "location": f"{_base(asked)}/ServiceProviderConfig"},
    }
    return _told(ServiceProviderConfig.model_validate(told))


def _told(resource: Resource[Any]) -> Reply:
    return Reply(200, codec.encode(resource.model_dump(scim_ctx=Context.RESOURCE_QUERY_RESPONSE)), MEDIA_TYPE)


def _published(asked: Asked, kind: str) -> dict[str, Any]:
    if kind == "Schemas":
        found = [model.to_schema() for model in (User, Group, EnterpriseUser)]
        name = "Schema"
    else:
        found = [ResourceType.from_resource(model) for model in (UserModel, Group)]
        name = "ResourceType"
    for each in found:
        each.meta = (
            type(each)
            .model_validate(
                {
                    **each.model_dump(scim_ctx=None, by_alias=True, exclude_none=True),
                    "meta": {"resourceType": name, "location": f"{_base(asked)}/{kind}/{each.id}"},
                }
            )
            .meta
        )
    return {str(each.id): each for each in found}


def published(asked: Asked) -> Reply:
    """The schemas, or the types of resources."""
    kind = "Schemas" if asked.path.lstrip("/").startswith("Schemas") else "ResourceTypes"
    if "filter" in asked.query:  # RFC 7644, section 4: refused, for it would hide what the server has
        return _error(403, f"{kind} cannot be filtered", None)
    found = list(_published(asked, kind).values())
    if "id" in asked.params:
        one = next((each for each in found if str(each.id) == asked.params["id"]), None)
        if one is None:
            raise NotFound(f"there is no {asked.params['id'][:80]}", code="scim-unknown")
        return _told(one)
    model: Any = Schema if kind == "Schemas" else ResourceType
    answer = ListResponse[model](total_results=len(found), start_index=1, items_per_page=len(found), resources=found)
    return Reply(200, codec.encode(answer.model_dump(scim_ctx=Context.RESOURCE_QUERY_RESPONSE)), MEDIA_TYPE)


ROUTES = tuple(
    Route(methods, path, _guarded(handle), SCIM, max_body_bytes=most)
    for methods, path, handle, most in (
        (("GET",), "/ServiceProviderConfig", config, 0),
        (("GET",), "/Schemas", published, 0),
        (("GET",), "/Schemas/{id}", published, 0),
        (("GET",), "/ResourceTypes", published, 0),
        (("GET",), "/ResourceTypes/{id}", published, 0),
        (("POST",), "/.search", search, MAX_BODY_BYTES),
        (("POST",), "/{type}/.search", search, MAX_BODY_BYTES),
        (("GET",), "/{type}", query, 0),
        (("POST",), "/{type}", create, MAX_BODY_BYTES),
        (("GET",), "/{type}/{id}", read, 0),
        (("PUT",), "/{type}/{id}", put, MAX_BODY_BYTES),
        (("PATCH",), "/{type}/{id}", patch, MAX_BODY_BYTES),
        (("DELETE",), "/{type}/{id}", remove, 0),
    )
)
