"""The wires by themselves: methods, refusals, uploads that were tampered with, who may."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import sqlalchemy as sa

from tests.acceptance.terraform import declare, service
from tests.app.front import Answer, ask, serving
from tests.domains.iac.states import KEY, resource, state
from uwu.domains.iac import state_store, tables
from uwu.kernel import codec
from uwu.kernel.identity import ANONYMOUS
from uwu.kernel.runtime import Kernel

HTTP, TFE = f"/iac/state/{KEY}", "/iac/tfe/v2"
API = "application/vnd.api+json"


@dataclass
class Client:
    """Somebody with a token at a server."""

    url: str
    token: str
    ref: str = ""

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        basic = base64.b64encode(f"uwu:{self.token}".encode()).decode()
        return ask(self.url, method, path, body, Authorization=f"Basic {basic}", **headers)

    def api(self, method: str, path: str, **attributes: Any) -> Answer:
        body = json.dumps({"data": {"type": "x", "attributes": attributes}}).encode() if attributes else None
        bearer = {"Authorization": f"Bearer {self.token}", "Content_Type": API}
        return ask(self.url, method, f"{TFE}{path}", body, **bearer)


@pytest.fixture
def owner(kernel: Kernel) -> Iterator[Client]:
    """A service of the group that owns the stack ``payments``."""
    declare(kernel, "payments", "payments")
    ref, token = service(kernel, "ci", groups=["group:default/payments"])
    with serving(kernel, principal=ANONYMOUS) as url:
        yield Client(url, token, ref)


def info(id: str) -> bytes:
    told = {"ID": id, "Operation": "OperationTypePlan", "Info": "", "Who": "mira@laptop", "Version": "1.11.4"}
    return json.dumps({**told, "Created": "2026-11-23T10:00:00Z", "Path": ""}).encode()


# ---- the HTTP backend


def test_a_state_is_read_written_locked_and_deleted(owner: Client) -> None:
    assert owner.ask("GET", HTTP).status == 204
    assert owner.ask("LOCK", HTTP, info("one")).status == 200
    refused = owner.ask("LOCK", HTTP, info("two"))
    assert refused.status == 423
    assert refused.json["ID"] == "one" and refused.json["Who"] == f"mira@laptop ({owner.ref})"
    data = state(1, resource("a"))
    assert owner.ask("POST", HTTP, data).status == 423, "without the lock's id"
    assert owner.ask("POST", f"{HTTP}?ID=two", data).status == 423
    md5 = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
    assert owner.ask("POST", f"{HTTP}?ID=one", data, Content_MD5=md5).status == 200
    got = owner.ask("GET", HTTP)
    assert (got.status, got.body, got.headers["content-md5"]) == (200, data, md5)
    assert got.headers["cache-control"] == "no-store" and got.headers["content-length"] == str(len(data))
    assert owner.ask("UNLOCK", HTTP, info("two")).status == 423
    assert owner.ask("UNLOCK", HTTP, info("one")).status == 200
    assert owner.ask("DELETE", HTTP).status == 200 and owner.ask("GET", HTTP).status == 204


def test_methods_that_proxies_know_do_the_same(owner: Client) -> None:
    assert owner.ask("POST", f"{HTTP}/lock", info("one")).status == 200
    assert owner.ask("PUT", f"{HTTP}/lock", info("two")).status == 423
    assert owner.ask("PUT", f"{HTTP}?ID=one", state(1)).status == 200
    assert owner.ask("DELETE", f"{HTTP}/lock", info("one")).status == 200
    wrong = owner.ask("PATCH", HTTP, b"{}")
    assert wrong.status == 405 and wrong.json["hint"] == "it takes DELETE, GET, LOCK, POST, PUT, UNLOCK"


def test_an_unlock_without_a_body_is_forced_and_takes_the_right_to(kernel: Kernel, owner: Client) -> None:
    scopes = ["iac.state.read", "iac.state.write", "iac.state.lock"]
    _, token = service(kernel, "narrow", groups=["group:default/payments"], scopes=scopes)
    narrow = Client(owner.url, token)
    assert narrow.ask("LOCK", HTTP, info("one")).status == 200
    denied = narrow.ask("UNLOCK", HTTP, b"")
    assert denied.status == 403 and denied.json["code"] == "not-allowed"
    assert owner.ask("UNLOCK", f"{HTTP}?ID=other", b"").status == 423
    assert owner.ask("UNLOCK", HTTP, b"").status == 200
    assert owner.ask("LOCK", HTTP, info("two")).status == 200


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (b"", {}, 400, "state-empty"),
        (b'{"version": 4,', {}, 400, "state-truncated"),
        (state(5), {"Content_MD5": "AAAA"}, 400, "state-md5"),
        (state(1), {}, 409, "state-regress"),
        (state(9, lineage="other"), {}, 409, "state-lineage"),
        (state(1), {"X_Uwu_Force": "1"}, 403, "not-allowed"),
    ],
)
def test_what_is_refused_is_told_with_code_and_hint(
    owner: Client, body: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    owner.ask("POST", HTTP, state(3, resource("a")))
    said = owner.ask("POST", HTTP, body, **headers)
    assert (said.status, said.json["code"]) == (status, code) and said.json["hint"]
    assert owner.ask("GET", HTTP).body == state(3, resource("a"))


def test_bodies_are_bounded(kernel: Kernel, owner: Client) -> None:
    assert owner.ask("LOCK", HTTP, b"x" * 100_000).status == 413
    too_large = str(kernel.settings.iac.max_state_mb * 1_048_576 + 1)
    assert owner.ask("POST", HTTP, b"x", Content_Length=too_large).status == 413
    assert owner.ask("LOCK", HTTP, b"{}").json["code"] == "state-lock-info"


def test_who_may_is_decided_by_the_stacks_owner(kernel: Kernel, owner: Client) -> None:
    _, token = service(kernel, "stranger", groups=["group:default/other"])
    stranger = Client(owner.url, token)
    owner.ask("POST", HTTP, state(1))
    for method, path, body in (
        ("GET", HTTP, None),
        ("POST", HTTP, state(2)),
        ("DELETE", HTTP, None),
        ("LOCK", HTTP, info("x")),
        ("UNLOCK", HTTP, b""),
        ("GET", "/iac/state/default/undeclared", None),
    ):
        said = stranger.ask(method, path, body)
        assert (said.status, said.json["code"]) == (403, "not-allowed"), (method, path)
    with kernel.db.read() as connection:
        id = state_store.get(connection, KEY).id
        version = state_store.get(connection, KEY).version
    assert version is not None
    for path in (f"/workspaces/{id}", f"/workspaces/{id}/current-state-version", f"/state-versions/{version.id}/state"):
        assert stranger.api("GET", path).status == 403
    assert stranger.api("GET", "/organizations/default/workspaces").json["data"] == []
    assert [
        each["attributes"]["name"] for each in owner.api("GET", "/organizations/default/workspaces").json["data"]
    ] == ["payments"]
    assert ask(owner.url, "GET", HTTP).status == 401
    assert ask(owner.url, "GET", HTTP, Authorization="Basic !!!").status == 401
    assert ask(owner.url, "POST", HTTP, state(2), Origin="https://evil.example").status == 403


def test_basic_is_for_the_wires_alone(owner: Client) -> None:
    assert owner.ask("GET", "/api/v1/status").status == 401
    told = ask(owner.url, "GET", HTTP)
    assert "basic" not in told.headers["www-authenticate"].lower()


# ---- uploads


def announce(owner: Client, serial: int = 1, **more: Any) -> Any:
    workspace = owner.api("POST", "/organizations/default/workspaces", name="payments")
    found = workspace if workspace.status == 201 else owner.api("GET", "/organizations/default/workspaces/payments")
    id = found.json["data"]["id"]
    owner.api("POST", f"/workspaces/{id}/actions/lock", reason="test")
    lineage = "1111-2222"
    said = owner.api("POST", f"/workspaces/{id}/state-versions", serial=serial, lineage=lineage, **more)
    assert said.status == 201, said.body
    return said.json["data"]


def put(address: str, data: bytes) -> Answer:
    parts = urlsplit(address)
    return ask(f"http://{parts.netloc}", "PUT", f"{parts.path}?{parts.query}", data)


def test_an_upload_is_taken_once(kernel: Kernel, owner: Client) -> None:
    made = announce(owner)
    address = made["attributes"]["hosted-state-upload-url"]
    assert made["attributes"]["status"] == "pending"
    assert put(made["attributes"]["hosted-json-state-upload-url"], b'{"format_version":"1.0"}').status == 200
    assert put(address, state(1)).status == 200
    for data in (state(1), state(2)):
        replayed = put(address, data)
        assert (replayed.status, replayed.json["code"]) == (403, "upload-used")
    shown = owner.api("GET", f"/state-versions/{made['id']}").json["data"]["attributes"]
    assert shown["status"] == "finalized"
    for kind, data in (("state", state(1)), ("json", b'{"format_version":"1.0"}')):
        address = urlsplit(shown[f"hosted-{'json-' if kind == 'json' else ''}state-download-url"]).path
        assert owner.ask("GET", address).body == data
        assert ask(owner.url, "GET", address).status == 401, "only uploads need no token"
    with kernel.db.read() as connection:
        version = state_store.get(connection, KEY).version
    assert version is not None and (version.id, version.via, version.created_by) == (made["id"], "cloud", owner.ref)


def test_an_upload_that_was_tampered_with_or_has_expired_is_refused(kernel: Kernel, owner: Client) -> None:
    made = announce(owner)
    address = urlsplit(made["attributes"]["hosted-state-upload-url"])
    asked = {name: values[0] for name, values in parse_qs(address.query).items()}
    later = str(int(asked["expires"]) + 60)
    flipped = asked["signature"][:-1] + ("0" if asked["signature"][-1] != "0" else "1")
    other = announce(owner, 2)["id"]
    for path, query in (
        (address.path, {**asked, "expires": later}),
        (address.path, {**asked, "signature": flipped}),
        (address.path, {**asked, "signature": "é"}),
        (address.path, {"expires": asked["expires"]}),
        (address.path, {}),
        (address.path.replace("/state", "/json"), asked),
        (address.path.replace("/state", "/other"), asked),
        (address.path.replace(made["id"], other), asked),
    ):
        said = ask(owner.url, "PUT", f"{path}?{urlencode(query)}", state(1))
        assert (said.status, said.json["code"]) == (403, "upload-signature"), (path, query)
    u = tables.uploads
    past = codec.now() - timedelta(seconds=1)
    with kernel.db.write() as connection:
        connection.execute(u.update().values(expires_at=past))
    said = put(made["attributes"]["hosted-state-upload-url"], state(1))
    assert said.status == 403, "the row's own end counts as well"
    with kernel.db.read() as connection:
        assert state_store.get(connection, KEY).version is None


def test_an_upload_that_is_not_what_was_announced_is_refused_and_used_up(kernel: Kernel, owner: Client) -> None:
    for data, code in (
        (state(2), "state-announced"),
        (state(1, lineage="x"), "state-announced"),
        (b"{", "state-truncated"),
    ):
        made = announce(owner)
        address = made["attributes"]["hosted-state-upload-url"]
        assert put(address, data).json["code"] == code
        assert put(address, state(1)).json["code"] == "upload-used"
        assert owner.api("GET", f"/state-versions/{made['id']}").json["data"]["attributes"]["status"] == "discarded"
    wrong = announce(owner, md5="0" * 32)
    assert put(wrong["attributes"]["hosted-state-upload-url"], state(1)).json["code"] == "state-md5"
    taken = announce(owner)
    with kernel.db.read() as connection:
        id = state_store.get(connection, KEY).id
    owner.api("POST", f"/workspaces/{id}/actions/force-unlock")
    lost = put(taken["attributes"]["hosted-state-upload-url"], state(1))
    assert (lost.status, lost.json["code"]) == (409, "state-lock-lost")


def test_a_version_is_announced_under_ones_own_lock_and_must_follow(kernel: Kernel, owner: Client) -> None:
    announced = announce(owner, 3)
    put(announced["attributes"]["hosted-state-upload-url"], state(3))
    with kernel.db.read() as connection:
        id = state_store.get(connection, KEY).id
    path = f"/workspaces/{id}/state-versions"
    refused = owner.api("POST", path, serial=2, lineage="1111-2222")
    assert refused.status == 409 and refused.json["errors"][0]["code"] == "state-regress"
    assert owner.api("POST", path, serial=9, lineage="other").json["errors"][0]["code"] == "state-lineage"
    assert owner.api("POST", path, serial=1, lineage="1111-2222", force=True).status == 403
    assert owner.api("POST", path, lineage="x").status == 400
    owner.api("POST", f"/workspaces/{id}/actions/unlock")
    assert owner.api("POST", path, serial=4, lineage="1111-2222").json["errors"][0]["code"] == "state-lock-lost"
    _, token = service(kernel, "colleague", groups=["group:default/payments"])
    colleague = Client(owner.url, token)
    assert colleague.api("POST", f"/workspaces/{id}/actions/lock", reason="mine").status == 200
    for action in ("lock", "unlock"):
        assert owner.api("POST", f"/workspaces/{id}/actions/{action}", reason="x").status == 409
    assert owner.api("POST", path, serial=4, lineage="1111-2222").json["errors"][0]["code"] == "state-locked"


def test_outputs_are_told_and_sensitive_ones_only_one_by_one(kernel: Kernel, owner: Client) -> None:
    outputs = {
        "a": {"value": [1], "type": ["tuple", ["number"]]},
        "b": {"value": "hush", "type": "string", "sensitive": True},
    }
    owner.ask("POST", HTTP, state(1, outputs=outputs))
    with kernel.db.read() as connection:
        id = state_store.get(connection, KEY).id
    listed = owner.api("GET", f"/workspaces/{id}/current-state-version-outputs")
    assert b"hush" not in listed.body
    told = {each["attributes"]["name"]: each for each in listed.json["data"]}
    assert told["a"]["attributes"] == {
        "name": "a", "sensitive": False, "type": "array", "detailed-type": ["tuple", ["number"]], "value": [1],
    }  # fmt: skip
    assert owner.api("GET", f"/state-version-outputs/{told['b']['id']}").json["data"]["attributes"]["value"] == "hush"
    assert owner.api("GET", f"/state-version-outputs/{told['b']['id']}x").status == 404


def test_workspaces_are_made_tagged_and_deleted(kernel: Kernel, owner: Client) -> None:
    _, token = service(kernel, "operator")
    operator = Client(owner.url, token)
    assert operator.api("POST", "/organizations/default/workspaces", name="mine").status == 403
    made = owner.api("POST", "/organizations/default/workspaces", name="payments")
    assert (made.status, made.json["data"]["attributes"]["execution-mode"]) == (201, "local")
    assert owner.api("POST", "/organizations/default/workspaces", name="payments").status == 409
    assert owner.api("POST", "/organizations/default/workspaces", name="a/b").status == 400
    id = made.json["data"]["id"]
    owner.ask("POST", HTTP, state(1, resource("a")))
    assert owner.api("POST", f"/workspaces/{id}/actions/safe-delete").json["errors"][0]["code"] == "state-in-use"
    assert owner.api("DELETE", f"/workspaces/{id}").status == 204
    assert owner.api("GET", f"/workspaces/{id}/current-state-version").status == 404
    with kernel.db.read() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(tables.versions)).scalar_one() == 1
