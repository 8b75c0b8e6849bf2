"""What a directory provisions: who may sign in, who is in which group, and what the estate keeps to itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from httpx2 import Client

from tests.app.front import serving
from uwu.domains.catalog import DOMAIN, observe
from uwu.domains.catalog.scim import store
from uwu.kernel import declared, tables
from uwu.kernel.errors import Denied
from uwu.kernel.identity import principals, resolve, tokens
from uwu.kernel.identity.model import Principal
from uwu.kernel.runtime import Kernel

CORE = "urn:ietf:params:scim:schemas:core:2.0"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
ADMIN = Principal(ref="service:default/okta", name="Okta", kind="service", roles=("admin",), via="token")


@pytest.fixture
def opened(kernel: Kernel) -> Iterator[Kernel]:
    opened = Kernel(kernel.settings, (DOMAIN,))
    yield opened
    opened.close()


@pytest.fixture
def http(opened: Kernel) -> Iterator[Client]:
    with serving(opened, principal=ADMIN) as address, Client(base_url=f"{address}/scim/v2/", timeout=20) as client:
        yield client


def user(http: Client, user_name: str, /, **given: Any) -> dict[str, Any]:
    body = {"schemas": [f"{CORE}:User"], "userName": user_name, "active": True, **given}
    answer = http.post("Users", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


def group(http: Client, name: str, *members: dict[str, Any]) -> dict[str, Any]:
    body = {"schemas": [f"{CORE}:Group"], "displayName": name, "members": [{"value": m["id"]} for m in members]}
    answer = http.post("Groups", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


def patch(http: Client, kind: str, resource: dict[str, Any], *operations: dict[str, Any], **headers: str) -> Any:
    body = {"schemas": [PATCH], "Operations": list(operations)}
    return http.patch(f"{kind}/{resource['id']}", json=body, headers=headers)


def groups(kernel: Kernel, ref: str) -> tuple[str, ...]:
    with kernel.db.read() as connection:
        return principals.closure(connection, ref)


def test_groups_of_the_directory_are_groups_of_who_signs_in(http: Client, opened: Kernel) -> None:
    mira = user(http, "mira@example.org", externalId="00u1", name={"givenName": "Mira", "familyName": "K"})
    team = group(http, "Payments Team", mira)
    assert groups(opened, "user:default/mira") == ("group:default/payments-team",)
    with opened.db.read() as connection:
        entity = declared.entity(connection, "user:default/mira")
    assert entity is not None and entity.spec["profile"] == {"displayName": "Mira K", "email": "mira@example.org"}
    assert http.get(f"Users/{mira['id']}").json()["groups"][0]["value"] == team["id"]
    # as Okta takes a member out, and as Entra does
    assert patch(http, "Groups", team, {"op": "remove", "path": f'members[value eq "{mira["id"]}"]'}).status_code in {
        200,
        204,
    }
    assert groups(opened, "user:default/mira") == ()
    patch(http, "Groups", team, {"op": "Add", "path": "members", "value": [{"value": mira["id"]}]})
    assert groups(opened, "user:default/mira") == ("group:default/payments-team",)
    patch(http, "Groups", team, {"op": "Remove", "path": "members", "value": [{"value": mira["id"]}]})
    assert groups(opened, "user:default/mira") == ()
    assert http.delete(f"Groups/{team['id']}").status_code == 204
    assert http.get(f"Groups/{team['id']}").status_code == 404


@pytest.mark.parametrize("way", ["patch", "put", "delete"])
def test_who_is_deprovisioned_is_out_at_once(http: Client, opened: Kernel, way: str) -> None:
    mira = user(http, "mira@example.org")
    team = group(http, "payments", mira)
    who = Principal(ref="user:default/mira", name="Mira", kind="human", via="session")
    _, text = tokens.create(opened, who, name="laptop")
    assert opened.identities.of_token(text).groups == ("group:default/payments",)
    if way == "patch":
        assert patch(http, "Users", mira, {"op": "replace", "value": {"active": False}}).status_code == 200
    elif way == "put":
        body = {"schemas": [f"{CORE}:User"], "userName": "mira@example.org", "active": False}
        assert http.put(f"Users/{mira['id']}", json=body).status_code == 200
    else:
        assert http.delete(f"Users/{mira['id']}").status_code == 204
    with pytest.raises(resolve.Unauthenticated):
        opened.identities.of_token(text)
    assert groups(opened, who.ref) == ()
    claims = principals.Claims(issuer="https://idp", subject="1", username="mira", email="mira@example.org")
    with pytest.raises(Denied, match="disabled"):
        principals.signed_in(opened, claims)
    if way == "delete":
        return
    patch(http, "Users", mira, {"op": "Replace", "path": "active", "value": True})
    assert groups(opened, who.ref) == ("group:default/payments",)
    with pytest.raises(resolve.Unauthenticated):
        opened.identities.of_token(text)
    assert principals.signed_in(opened, claims).ref == who.ref
    assert http.get(f"Groups/{team['id']}").json()["members"][0]["value"] == mira["id"]


def test_what_the_estate_declares_stays_the_estates(http: Client, opened: Kernel) -> None:
    estate = opened.settings.home_path / "estate"
    estate.mkdir()
    mira = user(http, "mira")
    (estate / "people.yaml").write_text(
        "apiVersion: backstage.io/v1alpha1\nkind: User\nmetadata: {name: mira}\nspec: {memberOf: []}\n"
    )
    observe.load_estate(opened)
    patch(http, "Users", mira, {"op": "replace", "path": "displayName", "value": "Another"})
    with opened.db.read() as connection:
        entity = declared.entity(connection, "user:default/mira")
        (shadow,) = store.shadows(connection)
    assert entity is not None and entity.spec == {"memberOf": []} and entity.origin.startswith("file:")
    assert (shadow.ref, shadow.place) == ("user:default/mira", f"{estate}/people.yaml:1")
    assert http.delete(f"Users/{mira['id']}").status_code == 204
    with opened.db.read() as connection:
        kept = declared.entity(connection, "user:default/mira")
        assert kept is not None and kept.ref not in declared.orphans(connection)


def test_versions_guard_what_others_wrote(http: Client) -> None:
    mira = user(http, "mira")
    answer = http.get(f"Users/{mira['id']}")
    first = answer.headers["etag"]
    assert http.get(f"Users/{mira['id']}", headers={"If-None-Match": first}).status_code == 304
    change = {"op": "replace", "path": "displayName", "value": "M"}
    assert patch(http, "Users", mira, change, **{"If-Match": first}).status_code == 200
    late = patch(http, "Users", mira, change, **{"If-Match": first})
    assert (late.status_code, late.json()["status"]) == (412, "412")
    assert late.headers["content-type"].startswith("application/scim+json")
    again = patch(http, "Users", mira, change)
    assert again.headers["etag"] == http.get(f"Users/{mira['id']}").headers["etag"] != first


def test_filters_and_pages(http: Client) -> None:
    for name in ("ana@example.org", "bo@example.org", "cy@other.org"):
        user(http, name, externalId=f"x-{name[0]}", emails=[{"value": name, "type": "work"}])

    def names(text: str, **more: Any) -> list[str]:
        answer = http.get("Users", params={"filter": text, **more})
        assert answer.status_code == 200, answer.text
        return sorted(each["userName"] for each in answer.json().get("Resources") or [])

    assert names('userName eq "ANA@example.org"') == ["ana@example.org"]
    assert names('externalId eq "x-b"') == ["bo@example.org"]
    assert names('userName sw "a" or emails[type eq "work" and value co "other"]') == [
        "ana@example.org",
        "cy@other.org",
    ]
    assert names('not (userName ew "example.org")') == ["cy@other.org"]
    page = http.get("Users", params={"startIndex": 2, "count": 1}).json()
    assert (page["totalResults"], page["itemsPerPage"], page["startIndex"]) == (3, 1, 2)
    assert http.get("Users", params={"count": 0}).json()["totalResults"] == 3
    order = http.get("Users", params={"sortBy": "userName", "sortOrder": "descending"}).json()["Resources"]
    assert order[0]["userName"] == "cy@other.org"
    few = http.get("Users", params={"attributes": "userName"}).json()["Resources"][0]
    assert set(few) == {"schemas", "id", "userName"}


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "kind"),
    [
        ("GET", "Users?filter=userName eq", None, 400, "invalidFilter"),
        ("POST", "Users", {"schemas": [f"{CORE}:User"]}, 400, None),
        ("POST", "Users", {"schemas": [f"{CORE}:User"], "userName": "MIRA"}, 409, "uniqueness"),
        ("POST", "Groups", {"schemas": [f"{CORE}:Group"], "displayName": "x", "members": [{"value": "no"}]}, 400, None),
        ("GET", "Users/none", None, 404, None),
        ("GET", "Cats", None, 404, None),
        ("GET", "Schemas?filter=id eq 1", None, 403, None),
    ],
)
def test_errors_are_scims_own(http: Client, method: str, path: str, body: Any, status: int, kind: str | None) -> None:
    user(http, "mira")
    answer = http.request(method, path, json=body) if body is not None else http.request(method, path)
    told = answer.json()
    assert (answer.status_code, told["status"]) == (status, str(status))
    assert told["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:Error"] and told["detail"]
    assert kind is None or told["scimType"] == kind


def test_only_who_may_provisions(opened: Kernel) -> None:
    plain = Principal(ref="user:default/x", name="X", kind="human", roles=("operator",), via="session")
    with serving(opened, principal=plain) as address, Client(base_url=f"{address}/scim/v2/", timeout=20) as client:
        for method, path in (("GET", "Users"), ("POST", "Users"), ("GET", "ServiceProviderConfig")):
            answer = client.request(method, path)
            assert (answer.status_code, answer.json()["status"]) == (403, "403")
    with opened.db.read() as connection:
        assert connection.execute(tables.principals.select()).all() == []
