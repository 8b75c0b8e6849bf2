"""GitHub's webhook over a real server: signed or refused, once, never a fork; a speculative run and its comment."""

from __future__ import annotations

import hashlib
import hmac
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.app.front import Answer, ask, serving
from tests.domains.iac.runs.world import House, declare, house
from uwu.domains.iac import tables, wire_github
from uwu.domains.iac.runs import store
from uwu.kernel.identity import ANONYMOUS
from uwu.kernel.runtime import Kernel

SECRET = "a-webhook-secret"


@pytest.fixture
def built(kernel: Kernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    monkeypatch.setenv("UWU_GITHUB_SECRET", SECRET)
    with house(kernel, tmp_path / "estate") as made:
        yield made


@pytest.fixture
def url(built: House) -> Iterator[str]:
    with serving(built.kernel, principal=ANONYMOUS) as address:
        yield address


def repository(built: House) -> tuple[str, str]:
    """(address, commit) of a repository of the stack's configuration."""
    folder = built.folder.parent / "acme" / "infra.git"
    (folder / "pay").mkdir(parents=True)
    (folder / "pay" / "main.tf").write_text((built.folder / "main.tf").read_text())
    quiet = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"]
    for arguments in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-q", "-m", "x"]):
        subprocess.run(["git", *quiet, *arguments], cwd=folder, check=True)
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, check=True, capture_output=True, text=True)
    declare(built.kernel, built.folder, source=f"git::file://{folder}//pay?ref=main")
    return f"file://{folder}", head.stdout.strip()


def body(address: str, commit: str, **more: Any) -> bytes:
    head = {"sha": commit, "repo": {"full_name": more.pop("origin", "acme/infra")}}
    told = {"action": "opened", "pull_request": {"number": 7, "head": head}}
    return json.dumps({**told, "repository": {"full_name": "acme/infra", "clone_url": address}, **more}).encode()


def deliver(
    url: str, data: bytes, *, secret: str = SECRET, id: str = "delivery-1", event: str = "pull_request"
) -> Answer:
    signature = "sha256=" + hmac.new(secret.encode(), data, hashlib.sha256).hexdigest()
    headers = {"X_Hub_Signature_256": signature, "X_GitHub_Delivery": id, "X_GitHub_Event": event}
    return ask(url, "POST", wire_github.PATH, data, Content_Type="application/json", **headers)


def runs(kernel: Kernel) -> list[store.Run]:
    with kernel.db.read() as connection:
        return store.page(connection).items


def test_a_pull_request_is_planned_and_commented_once(built: House, url: str) -> None:
    address, commit = repository(built)
    data = body(address, commit)
    answer = deliver(url, data)
    assert (answer.status, answer.json) == (202, {"runs": [{"run": 1, "stack": "stack:default/payments"}]})
    run = runs(built.kernel)[0]
    assert (run.speculative, run.origin, run.requested_by) == (True, "github", "service:default/github")
    built.worker.run_until_done(run.job)
    run = built.run(run.id)
    assert (run.status, run.revision, run.plan) == (store.PLANNED, commit, ""), run.why
    log = built.log(run)
    assert "comment for acme/infra#7:" in log and "**3 to create, 0 to update, 0 to replace, 0 to destroy**" in log
    assert f"{url}/runs/1" in log
    for id in ("delivery-1", "delivery-2"):  # the same delivery, and the same signed body under another name
        replayed = deliver(url, data, id=id)
        assert (replayed.status, replayed.json["code"]) == (409, "hook-replayed")
    assert len(runs(built.kernel)) == 1


def test_what_is_not_signed_or_of_a_fork_makes_no_run(built: House, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    address, commit = repository(built)
    data = body(address, commit)
    assert deliver(url, data, secret="another").status == 403
    unsigned = ask(url, "POST", wire_github.PATH, data, X_GitHub_Delivery="delivery-1", X_GitHub_Event="pull_request")
    assert (unsigned.status, unsigned.json["code"]) == (403, "hook-signature")
    with built.kernel.db.read() as connection:
        assert connection.execute(sa.select(tables.deliveries)).first() is None
    assert deliver(url, body(address, commit, origin="mallory/infra"), id="delivery-2").json == {"runs": []}
    assert deliver(url, body(address, commit, action="closed"), id="delivery-3").json == {"runs": []}
    assert deliver(url, b'{"zen": "x"}', id="delivery-4", event="ping").status == 200
    assert deliver(url, body("https://example.com/other.git", commit), id="delivery-5").json == {"runs": []}
    bent = deliver(url, body(address, "--upload-pack=x"), id="delivery-6")
    assert (bent.status, bent.json["code"]) == (400, "hook-invalid")
    assert not runs(built.kernel)
    monkeypatch.delenv("UWU_GITHUB_SECRET")
    assert deliver(url, data, id="delivery-7").json["code"] == "hook-off"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://github.com/Acme/infra.git", "git@github.com:acme/infra.git"),
        ("https://github.com/acme/infra", "ssh://git@github.com/acme/infra.git"),
        ("https://user@github.com/acme/infra/", "https://github.com/acme/infra.git"),
    ],
)
def test_a_repository_has_one_address_however_it_is_written(one: str, other: str) -> None:
    assert wire_github._address(one) == wire_github._address(other) == "github.com/acme/infra"
