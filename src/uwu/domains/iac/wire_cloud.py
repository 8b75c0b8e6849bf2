"""What Terraform's ``cloud`` block asks of HCP Terraform's API v2, for states.

An organization is a namespace, a workspace a state; a workspace is made when it is first asked for. Runs happen at the
client. ``/.well-known/terraform.json`` tells where it is (remote service discovery).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from uwu.domains.iac import (
    state_access,
    state_crypt,
    state_lock,
    state_store,
    state_uploads,
    state_write,
    tables,
    wire_jsonapi,
)
from uwu.domains.iac.actions import DISCOVER, LIST, LOCK, READ, UNLOCK, WRITE
from uwu.domains.iac.state_store import State, Version
from uwu.domains.iac.wire_jsonapi import document
from uwu.kernel import audit, authorize, codec
from uwu.kernel.authorize import Target
from uwu.kernel.errors import BadInput, Conflict, NotFound
from uwu.kernel.wire import Asked, Reply, Route, Wire

if TYPE_CHECKING:
    from uwu.kernel.runtime import Kernel

PREFIX = "/iac/tfe/v2/"
DISCOVERY = "/.well-known/terraform.json"
SERVICES = {"tfe.v2": PREFIX, "modules.v1": "/iac/modules/v1/"}
"""Of Terraform's remote service discovery, version 1."""
MAX_REQUEST_BYTES = 32 * 1_048_576
"""An announced version carries the outputs, in base64."""
_SMALL = 256_000
_PAGE = 100


def app(kernel: Kernel) -> Wire:
    """The wire of the ``cloud`` block."""
    return Wire(kernel, ROUTES, wire_jsonapi.refuse)


def discovery(kernel: Kernel) -> Wire:
    """The wire of service discovery: one document."""
    return Wire(kernel, (Route(("GET",), "", _services, DISCOVER),))


def _services(_asked: Asked) -> Reply:
    return Reply(200, codec.encode(SERVICES))


# ---- what is asked for, and whose it is


def _by_name(asked: Asked) -> Target:
    organization, name = asked.params["organization"], asked.params["workspace"]
    return state_access.target(asked.kernel, asked.principal, organization, name)


def _announced(asked: Asked) -> Target:
    given, _ = wire_jsonapi.attributes(asked, "workspace")
    return state_access.target(asked.kernel, asked.principal, asked.params["organization"], str(given.get("name")))


def _by_id(asked: Asked) -> Target:
    return _state(asked).target()


def _state(asked: Asked) -> State:
    with asked.kernel.db.read() as connection:
        return state_store.by_id(connection, asked.params["id"])


def _by_version(asked: Asked) -> Target:
    id = asked.params["id"].partition(".")[0]
    with asked.kernel.db.read() as connection:
        found = state_store.version_by_id(connection, id)
        state = found.state if found is not None else state_uploads.find(connection, id).state
        return state_store.by_id(connection, state).target()


def _rights(asked: Asked, state: State) -> dict[str, bool]:
    return {
        name: authorize.decide(asked.kernel, asked.principal, f"iac.state.{name}", state.target()).allowed
        for name in ("write", "lock", "unlock")
    }


def _workspace(asked: Asked, state: State, status: int = 200) -> Reply:
    return document(wire_jsonapi.workspace(state, state.namespace, _rights(asked, state)), status)


# ---- the API itself


def ping(_asked: Asked) -> Reply:
    """Says which API this is: in headers."""
    return Reply(204, b"", headers=wire_jsonapi.HEADERS)


def entitlements(asked: Asked) -> Reply:
    """What the organization may: keep states. That runs do not happen here makes Terraform run them itself."""
    organization = asked.params["organization"]
    held = {"state-storage": True, "operations": False, "teams": False, "private-module-registry": False}
    return document({"id": f"org-{organization}", "type": "entitlement-sets", "attributes": held})


def organization(asked: Asked) -> Reply:
    """A namespace."""
    name = asked.params["organization"]
    held = {"name": name, "permissions": {"can-create-workspace": True}, "default-execution-mode": "local"}
    return document({"id": name, "type": "organizations", "attributes": held})


# ---- workspaces


def workspaces(asked: Asked) -> Reply:
    """The states of a namespace that whoever asks may read."""
    asked_tags: dict[str, str | None] = dict.fromkeys(filter(None, asked.query.get("search[tags]", "").split(",")))
    for number in range(20):
        key = asked.query.get(f"filter[tagged][{number}][key]", "")
        if key:
            asked_tags[key] = asked.query.get(f"filter[tagged][{number}][value]")
    namespace, search = asked.params["organization"], asked.query.get("search[name]", "")
    found: list[State] = []
    after = ""
    with asked.kernel.db.read() as connection:
        while True:
            page = state_store.listed(
                connection, namespace=namespace, search=search, tags=asked_tags, limit=500, after=after
            )
            allowed = authorize.allowed_of(
                asked.kernel, asked.principal, READ, [state.target() for state in page.items]
            )
            found += [state for state, may in zip(page.items, allowed, strict=True) if may]
            after = page.after
            if not after:
                break
    number, size = _number(asked, "page[number]", 1), min(_number(asked, "page[size]", 20), _PAGE)
    items = [
        wire_jsonapi.workspace(state, state.namespace, _rights(asked, state))
        for state in found[(number - 1) * size : number * size]
    ]
    return document(items, meta=wire_jsonapi.page_of(len(found), number, size))


def _number(asked: Asked, name: str, default: int) -> int:
    given = asked.query.get(name, "")
    return max(1, int(given)) if given.isdecimal() and len(given) < 7 else default


def workspace(asked: Asked) -> Reply:
    """A state by its name. 404 makes Terraform ask for it to be made."""
    return _workspace(asked, _found(asked))


def _found(asked: Asked) -> State:
    with asked.kernel.db.read() as connection:
        found = state_store.find(connection, asked.params["organization"], asked.params["workspace"])
    if found is None:
        raise NotFound("there is no such workspace", code="state-unknown")
    return found


def workspace_by_id(asked: Asked) -> Reply:
    """A state by its id."""
    return _workspace(asked, _state(asked))


def make_workspace(asked: Asked) -> Reply:
    """Makes a state."""
    given, related = wire_jsonapi.attributes(asked, "workspace")
    namespace, name = asked.params["organization"], str(given.get("name"))
    with asked.kernel.db.write() as connection:
        if state_store.find(connection, namespace, name) is not None:
            raise Conflict("there is a workspace of this name", code="state-exists", place=f"{namespace}/{name}")
        row = state_lock.held(connection, asked.principal, namespace, name)
        s = tables.states
        connection.execute(s.update().where(s.c.id == row["id"]).values(tags=wire_jsonapi.tags_of(related)))
        made = state_store.by_id(connection, row["id"])
    return _workspace(asked, made, 201)


def change_workspace(asked: Asked) -> Reply:
    """Changes the tags; of a workspace's other settings none means anything here, and its name stays."""
    _, related = wire_jsonapi.attributes(asked, "workspace")
    return _tag(asked, wire_jsonapi.tags_of(related))


def add_tags(asked: Asked) -> Reply:
    """Adds tags."""
    given = asked.json()
    _tag(asked, wire_jsonapi.tags_in(given.get("data") if isinstance(given, dict) else None))
    return Reply(204, b"", headers=wire_jsonapi.HEADERS)


def tag_bindings(asked: Asked) -> Reply:
    """The tags of a state as key and value."""
    return document(
        [
            {"id": f"{key}", "type": "tag-bindings", "attributes": {"key": key, "value": value}}
            for key, value in sorted(_state(asked).tags.items())
        ]
    )


def add_tag_bindings(asked: Asked) -> Reply:
    """Adds tags of key and value."""
    add_tags(asked)
    return tag_bindings(asked)


def _tag(asked: Asked, tags: Mapping[str, str]) -> Reply:
    s = tables.states
    with asked.kernel.db.write() as connection:
        found = state_store.by_id(connection, asked.params["id"])
        if tags and found.tags != {**found.tags, **tags}:
            held = {**found.tags, **tags}
            connection.execute(s.update().where(s.c.id == found.id).values(tags=held))
            subject = f"state:{found.key}"
            audit.append(connection, actor=asked.principal.ref, action="iac.state.tag", subject=subject, detail=held)
        found = state_store.by_id(connection, found.id)
    return _workspace(asked, found)


def delete_workspace(asked: Asked) -> Reply:
    """Makes a state empty: its versions stay. One that still holds resources is only deleted by force."""
    found = _found(asked) if "workspace" in asked.params else _state(asked)
    if not asked.path.endswith("safe-delete"):
        state_write.delete(asked.kernel, asked.principal, found.key)
        return Reply(204, b"", headers=wire_jsonapi.HEADERS)
    if found.version is not None and found.version.resources:
        raise Conflict(
            f"the workspace still manages {found.version.resources} resources",
            code="state-in-use",
            place=found.key,
            hint="destroy them first, or delete it with -force",
        )
    state_write.delete(asked.kernel, asked.principal, found.key)
    return Reply(204, b"", headers=wire_jsonapi.HEADERS)


# ---- locks


def lock(asked: Asked) -> Reply:
    """Takes the lock. The client tells nothing of itself: who it is, is its token."""
    found = _state(asked)
    reason = asked.json().get("reason") if asked.body.strip() else ""
    agent = asked.headers.get("user-agent", "")
    given = state_lock.Told(
        id=codec.new_id("lk"),
        who=f"{asked.principal.name}@{asked.peer}",
        info=str(reason or "")[:500],
        version=_terraform(agent),
    )
    state_lock.lock(asked.kernel, asked.principal, found.key, given)
    return _snapshots(_workspace(asked, _state(asked)))


def _terraform(agent: str) -> str:
    """``1.11.4`` of ``Terraform/1.11.4 (+https://www.terraform.io) go-tfe``."""
    for part in agent.split():
        name, _, version = part.partition("/")
        if name.lower() in {"terraform", "opentofu"}:
            return version[:40]
    return ""


def unlock(asked: Asked) -> Reply:
    """Gives the lock back: whoever asked for it."""
    found = _state(asked)
    if found.lock is not None and found.lock.locked_by != asked.principal.ref:
        raise state_lock.Locked(found.lock, found.key)
    if found.lock is not None:
        state_lock.unlock(asked.kernel, asked.principal, found.key, found.lock.id)
    return _workspace(asked, _state(asked))


def force_unlock(asked: Asked) -> Reply:
    """Takes the lock away."""
    found = _state(asked)
    state_lock.force_unlock(asked.kernel, asked.principal, found.key)
    return _workspace(asked, _state(asked))


def _snapshots(reply: Reply) -> Reply:
    more = {"x-terraform-snapshot-interval": str(wire_jsonapi.SNAPSHOT_SECONDS)}
    return msgspec.structs.replace(reply, headers={**reply.headers, **more})


# ---- versions


def announce(asked: Asked) -> Reply:
    """Takes the announcement of a version and gives the addresses to which it is sent. What the announcement carries
    of the outputs is passed over."""
    found = _state(asked)
    given, _ = wire_jsonapi.attributes(asked, "state version")
    serial, lineage, force = given.get("serial"), str(given.get("lineage") or ""), given.get("force") is True
    if not isinstance(serial, int) or isinstance(serial, bool):
        raise BadInput("a version has a serial", code="request-invalid", place="body /data/attributes/serial")
    if force:
        state_write.require_force(asked.kernel, asked.principal, found.target())
    md5 = str(given.get("md5") or "")
    made = state_uploads.begin(
        asked.kernel, asked.principal, found, serial=serial, lineage=lineage, md5=md5, force=force
    )
    addresses = {kind: state_uploads.address(asked.kernel, asked.base_url, made, kind) for kind in ("state", "json")}
    return _snapshots(document(wire_jsonapi.pending(made, addresses), 201))


def current_version(asked: Asked) -> Reply:
    """The current version; 404 where nothing was written."""
    return document(_shown(asked, _current(asked)))


def _current(asked: Asked) -> Version:
    found = _state(asked)
    if found.version is None:
        raise NotFound("nothing was written to this workspace yet", code="state-missing", place=found.key)
    return found.version


def _shown(asked: Asked, version: Version) -> dict[str, Any]:
    with asked.kernel.db.read() as connection:
        with_json = bool(state_uploads.sent_in_json(connection, version.id))
    base = f"{asked.base_url}{PREFIX}state-versions"
    return wire_jsonapi.state_version(version, lambda of, kind: f"{base}/{of}/{kind}", with_json=with_json)


def version(asked: Asked) -> Reply:
    """A version by its id: kept, or still expected."""
    with asked.kernel.db.read() as connection:
        found = state_store.version_by_id(connection, asked.params["id"])
        expected = state_uploads.find(connection, asked.params["id"]) if found is None else None
    if found is not None:
        return document(_shown(asked, found))
    assert expected is not None
    return document(wire_jsonapi.pending(expected, {}))


def download(asked: Asked) -> Reply:
    """The bytes of a version."""
    return Reply(200, state_store.pieces(asked.kernel, asked.params["id"]))


def download_json(asked: Asked) -> Reply:
    """A version in Terraform's output format, as its client sent it."""
    with asked.kernel.db.read() as connection:
        blob = state_uploads.sent_in_json(connection, asked.params["id"])
    if not blob:
        raise NotFound("this version was not sent in that format", code="state-version-unknown")
    return Reply(200, state_crypt.pieces(asked.kernel, blob))


# ---- outputs


def current_outputs(asked: Asked) -> Reply:
    """The outputs of the current version, sensitive ones without their values."""
    found = _current(asked)
    held = _outputs(asked.kernel, found)
    items = [wire_jsonapi.output(found.id, name, value, open=False) for name, value in sorted(held.items())]
    return document(items, meta=wire_jsonapi.page_of(len(items), 1, max(1, len(items))))


def output(asked: Asked) -> Reply:
    """One output with its value."""
    id, _, name = asked.params["id"].partition(".")
    with asked.kernel.db.read() as connection:
        found = state_store.version_by_id(connection, id)
    held = _outputs(asked.kernel, found) if found is not None else {}
    if name not in held:
        raise NotFound("there is no such output", code="output-unknown")
    return document(wire_jsonapi.output(id, name, held[name], open=True))


class _Outputs(msgspec.Struct, frozen=True):
    outputs: dict[str, dict[str, Any]] | None = None


def _outputs(kernel: Kernel, version: Version) -> dict[str, dict[str, Any]]:
    return msgspec.json.decode(state_store.content(kernel, version.id), type=_Outputs).outputs or {}


_ORGANIZATION, _NAMED, _ID = (
    "/organizations/{organization}",
    "/organizations/{organization}/workspaces",
    "/workspaces/{id}",
)
ROUTES = (
    Route(("GET",), "/ping", ping, DISCOVER),
    Route(("GET",), _ORGANIZATION, organization, DISCOVER),
    Route(("GET",), f"{_ORGANIZATION}/entitlement-set", entitlements, DISCOVER),
    Route(("GET",), _NAMED, workspaces, LIST),
    Route(("POST",), _NAMED, make_workspace, WRITE, _announced, _SMALL, late=True),
    Route(("GET",), _NAMED + "/{workspace}", workspace, READ, _by_name),
    Route(("DELETE",), _NAMED + "/{workspace}", delete_workspace, WRITE, _by_name),
    Route(("POST",), _NAMED + "/{workspace}/actions/safe-delete", delete_workspace, WRITE, _by_name, _SMALL),
    Route(("GET",), _ID, workspace_by_id, READ, _by_id),
    Route(("PATCH",), _ID, change_workspace, WRITE, _by_id, _SMALL),
    Route(("DELETE",), _ID, delete_workspace, WRITE, _by_id),
    Route(("POST",), f"{_ID}/actions/safe-delete", delete_workspace, WRITE, _by_id, _SMALL),
    Route(("POST",), f"{_ID}/relationships/tags", add_tags, WRITE, _by_id, _SMALL),
    Route(("GET",), f"{_ID}/tag-bindings", tag_bindings, READ, _by_id),
    Route(("GET",), f"{_ID}/effective-tag-bindings", tag_bindings, READ, _by_id),
    Route(("PATCH", "POST"), f"{_ID}/tag-bindings", add_tag_bindings, WRITE, _by_id, _SMALL),
    Route(("POST",), f"{_ID}/actions/lock", lock, LOCK, _by_id, _SMALL),
    Route(("POST",), f"{_ID}/actions/unlock", unlock, LOCK, _by_id, _SMALL),
    Route(("POST",), f"{_ID}/actions/force-unlock", force_unlock, UNLOCK, _by_id, _SMALL),
    Route(("GET",), f"{_ID}/current-state-version", current_version, READ, _by_id),
    Route(("GET",), f"{_ID}/current-state-version-outputs", current_outputs, READ, _by_id),
    Route(("POST",), f"{_ID}/state-versions", announce, WRITE, _by_id, MAX_REQUEST_BYTES),
    Route(("GET",), "/state-versions/{id}", version, READ, _by_version),
    Route(("GET",), "/state-versions/{id}/state", download, READ, _by_version),
    Route(("GET",), "/state-versions/{id}/json", download_json, READ, _by_version),
    Route(("GET",), "/state-version-outputs/{id}", output, READ, _by_version),
)
