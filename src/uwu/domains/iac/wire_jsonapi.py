"""States in the words of HCP Terraform's API (JSON:API 1.1), as go-tfe reads them: a workspace is a state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from uwu.domains.iac.state_store import State, Version
from uwu.domains.iac.state_uploads import Upload
from uwu.kernel import codec
from uwu.kernel.errors import BadInput, UwuError
from uwu.kernel.wire import Asked, Reply, headers_of

MEDIA_TYPE = "application/vnd.api+json"
API_VERSION = "2.6"
"""Of the API that is spoken: Terraform's cloud block asks for 2.5 at the least."""
SNAPSHOT_SECONDS = 20
"""How often a client saves what it has done so far while it applies."""

HEADERS = {"TFP-API-Version": API_VERSION, "TFP-AppName": "uwu"}

Download = Callable[[str, str], str]
"""(version, kind) -> the address from which it is read."""


def document(data: Any, status: int = 200, *, more: Mapping[str, str] | None = None, meta: Any = None) -> Reply:
    """A whole answer."""
    body: dict[str, Any] = {"data": data}
    if meta is not None:
        body["meta"] = meta
    return Reply(status, codec.encode(body), MEDIA_TYPE, {**HEADERS, **(more or {})})


def refuse(error: UwuError) -> Reply:
    """An error as JSON:API tells it: the reason and the hint in ``detail``, the code in ``code``."""
    told = error.problem
    # go-tfe takes 423 for nothing it knows: what is locked is a conflict there
    status = 409 if error.status == 423 else error.status
    detail = f"{told.message}; {told.hint}" if told.hint else told.message
    one: dict[str, Any] = {"status": str(status), "code": told.code, "title": told.message, "detail": detail}
    if told.place:
        one["source"] = {"pointer": told.place}
    return Reply(status, codec.encode({"errors": [one]}), MEDIA_TYPE, {**HEADERS, **headers_of(error)})


def attributes(asked: Asked, type: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """(attributes, relationships) of the body. Raises ``BadInput``."""
    given = asked.json()
    data = given.get("data") if isinstance(given, dict) else None
    held = data.get("attributes", {}) if isinstance(data, dict) else None
    related = data.get("relationships", {}) if isinstance(data, dict) else None
    if not isinstance(held, dict) or not isinstance(related, dict):
        raise BadInput(f"this describes no {type}", code="request-invalid", place="body /data/attributes")
    return held, related


def tags_of(related: Mapping[str, Any]) -> dict[str, str]:
    """The tags among the relationships: plain ones (key without a value) and bindings of key and value."""
    found: dict[str, str] = {}
    for name in ("tags", "tag-bindings"):
        held = related.get(name)
        found |= tags_in(held.get("data") if isinstance(held, dict) else None)
    return found


def tags_in(data: Any) -> dict[str, str]:
    """The tags of a list of them."""
    found: dict[str, str] = {}
    for each in data if isinstance(data, list) else ():
        held = each.get("attributes", {}) if isinstance(each, dict) else {}
        key = str(held.get("name") or held.get("key") or "")
        if key:
            found[key[:255]] = str(held.get("value") or "")[:255]
    return found


def workspace(state: State, organization: str, rights: Mapping[str, bool]) -> dict[str, Any]:
    """A state as a workspace whose runs happen at the client."""
    version = state.version
    found: dict[str, Any] = {
        "name": state.name,
        "actions": {"is-destroyable": True},
        "allow-destroy-plan": True,
        "auto-apply": False,
        "created-at": codec.iso(state.created_at),
        "updated-at": codec.iso(version.created_at if version else state.created_at),
        "environment": "default",
        "execution-mode": "local",
        "operations": False,
        "locked": state.lock is not None,
        "permissions": {
            "can-create-state-versions": rights["write"],
            "can-destroy": rights["write"],
            "can-force-unlock": rights["unlock"],
            "can-lock": rights["lock"],
            "can-unlock": rights["lock"],
            "can-read-settings": True,
            "can-queue-run": False,
            "can-queue-apply": False,
            "can-queue-destroy": False,
            "can-update": rights["write"],
            "can-update-variable": False,
        },
        "resource-count": version.resources if version else 0,
        "tag-names": sorted(state.tags),
        "terraform-version": "latest",
        "working-directory": "",
    }
    related: dict[str, Any] = {"organization": {"data": {"id": organization, "type": "organizations"}}}
    if version is not None:
        related["current-state-version"] = {"data": {"id": version.id, "type": "state-versions"}}
    return {"id": state.id, "type": "workspaces", "attributes": found, "relationships": related}


def state_version(version: Version, download: Download, *, with_json: bool) -> dict[str, Any]:
    """A version that is kept."""
    found: dict[str, Any] = {
        "created-at": codec.iso(version.created_at),
        "hosted-state-download-url": download(version.id, "state"),
        "hosted-json-state-download-url": download(version.id, "json") if with_json else None,
        "hosted-state-upload-url": None,
        "hosted-json-state-upload-url": None,
        "serial": version.serial,
        "size": version.bytes,
        "status": "finalized",
        "resources-processed": True,
        "state-version": 4,
        "terraform-version": version.terraform_version,
        "lineage": version.lineage,
        "md5": version.md5,
        "intermediate": False,
    }
    related = {"workspace": {"data": {"id": version.state, "type": "workspaces"}}}
    return {"id": version.id, "type": "state-versions", "attributes": found, "relationships": related}


def pending(upload: Upload, addresses: Mapping[str, str]) -> dict[str, Any]:
    """A version that was announced and has not come. What was refused stays so."""
    found: dict[str, Any] = {
        "created-at": codec.iso(upload.created_at),
        "hosted-state-upload-url": addresses.get("state"),
        "hosted-json-state-upload-url": addresses.get("json"),
        "serial": upload.serial,
        "lineage": upload.lineage,
        "md5": upload.md5,
        "status": "discarded" if upload.refused else "pending",
        "resources-processed": False,
        "intermediate": False,
    }
    related = {"workspace": {"data": {"id": upload.state, "type": "workspaces"}}}
    return {"id": upload.id, "type": "state-versions", "attributes": found, "relationships": related}


def output(version: str, name: str, value: Mapping[str, Any], *, open: bool) -> dict[str, Any]:
    """An output of a version; a sensitive one without its value unless it is asked for alone."""
    sensitive = bool(value.get("sensitive"))
    found: dict[str, Any] = {
        "name": name,
        "sensitive": sensitive,
        "type": _kind(value.get("type")),
        "detailed-type": value.get("type"),
        "value": None if sensitive and not open else value.get("value"),
    }
    return {"id": f"{version}.{name}", "type": "state-version-outputs", "attributes": found}


def _kind(type: Any) -> str:
    first = type[0] if isinstance(type, list) and type else type
    known = {"tuple": "array", "list": "array", "set": "array", "object": "map", "map": "map", "bool": "boolean"}
    return known.get(str(first), str(first))


def page_of(total: int, number: int, size: int) -> dict[str, Any]:
    """The page of a list, as go-tfe follows it."""
    pages = max(1, -(-total // size))
    return {
        "pagination": {
            "current-page": number,
            "prev-page": number - 1 if number > 1 else None,
            "next-page": number + 1 if number < pages else None,
            "total-pages": pages,
            "total-count": total,
        }
    }
