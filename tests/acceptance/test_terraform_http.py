"""Terraform's own client against the HTTP backend, and the same project through the ``cloud`` block."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.acceptance.terraform import Project, cloud_project, declare, http_project, service
from tests.app.front import ask, serving
from uwu.domains.iac import state_store
from uwu.domains.iac.state_store import State
from uwu.kernel import audit
from uwu.kernel.identity import ANONYMOUS
from uwu.kernel.runtime import Kernel

SECRET = "correct-horse-battery-staple-7713"
KEY = "default/payments"
MODULE = f"""
variable "size" {{
  default = "small"
}}
variable "password" {{
  default   = "{SECRET}"
  sensitive = true
}}
resource "terraform_data" "network" {{
  input = "10.0.0.0/16"
}}
resource "terraform_data" "database" {{
  input            = {{ size = var.size, network = terraform_data.network.output }}
  triggers_replace = [var.size]
}}
resource "terraform_data" "login" {{
  input = var.password
}}
output "network" {{
  value = terraform_data.network.output
}}
output "password" {{
  value     = var.password
  sensitive = true
}}
"""
HELD = """
resource "terraform_data" "held" {
  input = "x"
  provisioner "local-exec" {
    command = "touch began; while [ ! -e go ]; do sleep 0.05; done"
  }
}
"""


@dataclass
class House:
    """A served home with one declared stack, and a project of its owner."""

    kernel: Kernel
    url: str
    make: Callable[..., Project]
    token: str
    ref: str
    folder: Path
    backend: str

    def project(self, name: str, token: str = "", key: str = KEY) -> Project:
        made = self.make(self.folder / name, self.url, key, token or self.token)
        made.write(MODULE)
        return made

    def state(self, key: str = KEY) -> State:
        with self.kernel.db.read() as connection:
            found = state_store.find(connection, *state_store.named(key))
        assert found is not None
        return found

    def actions(self) -> list[str]:
        with self.kernel.db.read() as connection:
            found = audit.entries(connection, limit=500)
        return [entry.action for entry in found if entry.action.startswith("iac.")]


@pytest.fixture(params=["http", "cloud"])
def house(request: pytest.FixtureRequest, kernel: Kernel, tmp_path: Path) -> Iterator[House]:
    declare(kernel, "payments", "payments")
    ref, token = service(kernel, "deployer", groups=["group:default/payments"])
    make = {"http": http_project, "cloud": cloud_project}[request.param]
    with serving(kernel, principal=ANONYMOUS) as url:
        yield House(kernel, url, make, token, ref, tmp_path, request.param)


def addresses(project: Project) -> list[str]:
    return project.run("state", "list").out.split()


@pytest.mark.timeout(300)
def test_a_project_lives_its_whole_life(house: House) -> None:
    project = house.project("project")
    project.run("init")
    planned = project.run("plan", "-detailed-exitcode", check=False)
    assert planned.status == 2, planned.text
    project.run("apply", "-auto-approve")
    first = house.state()
    assert first.version is not None and first.lock is None
    assert (first.version.resources, first.version.outputs, first.number) == (3, 2, first.version.number)
    assert (first.stack, first.owner) == ("stack:default/payments", "group:default/payments")
    assert first.version.created_by == house.ref
    assert project.run("plan", "-detailed-exitcode").status == 0
    assert project.run("output", "-raw", "password").out == SECRET
    assert project.json("output", "-json")["network"]["value"] == "10.0.0.0/16"

    project.run("apply", "-auto-approve", "-var", "size=large")
    second = house.state().version
    assert second is not None and second.serial > first.version.serial and second.lineage == first.version.lineage

    project.run("state", "mv", "terraform_data.network", "terraform_data.net")
    assert "terraform_data.net" in addresses(project) and "terraform_data.network" not in addresses(project)
    project.run("state", "rm", "terraform_data.login")
    assert "terraform_data.login" not in addresses(project)
    project.run("import", "terraform_data.login", "some-id")
    assert "terraform_data.login" in addresses(project)

    pulled = json.loads(project.run("state", "pull").out)
    current = house.state().version
    assert current is not None and (pulled["serial"], pulled["lineage"]) == (current.serial, current.lineage)

    project.run("destroy", "-auto-approve")
    last = house.state()
    assert last.version is not None and last.version.resources == 0 and last.lock is None
    told = house.actions()
    assert told.count("iac.state.lock") == told.count("iac.state.unlock") > 5
    assert told.count("iac.state.write") == last.number and "iac.state.refused" not in told


@pytest.mark.timeout(300)
def test_of_two_one_waits_for_the_other_and_sees_who_holds_it(house: House) -> None:
    one, other = house.project("one"), house.project("other")
    for project in (one, other):
        project.write(HELD)
        project.run("init")
    working = one.start("apply", "-auto-approve")
    try:
        wait_for(one.folder / "began")
        held = house.state().lock
        assert held is not None and held.locked_by == house.ref
        refused = other.run("plan", check=False)
        assert refused.status == 1 and "lock" in refused.text
        if house.backend == "http":
            assert held.id in refused.text and held.operation == "OperationTypeApply" and "@" in held.who
        assert house.state().lock == held
    finally:
        (one.folder / "go").touch()
        working.communicate(timeout=60)
    assert working.returncode == 0
    assert house.state().lock is None
    assert other.run("plan", "-detailed-exitcode").status == 0


@pytest.mark.timeout(300)
def test_a_lock_is_taken_away_by_force_and_its_holder_writes_nothing_any_more(house: House) -> None:
    one, other = house.project("one"), house.project("other")
    for project in (one, other):
        project.write(HELD)
        project.run("init")
    working = one.start("apply", "-auto-approve")
    try:
        wait_for(one.folder / "began")
        held = house.state().lock
        assert held is not None
        id = held.id if house.backend == "http" else KEY
        other.run("force-unlock", "-force", id)
        assert house.state().lock is None
        other.write('resource "terraform_data" "mine" {}\n')
        other.run("apply", "-auto-approve")
        mine = house.state().version
    finally:
        (one.folder / "go").touch()
        out, err = working.communicate(timeout=60)
    assert working.returncode != 0, out + err
    assert house.state().version == mine, "who lost the lock overwrites nothing"
    assert "iac.state.force-unlock" in house.actions()
    assert addresses(other) == ["terraform_data.mine"]


@pytest.mark.timeout(300)
def test_a_state_that_goes_back_or_is_another_projects_is_refused_with_the_reason(house: House) -> None:
    project = house.project("project")
    project.run("init")
    project.run("apply", "-auto-approve")
    old = project.run("state", "pull").out
    project.run("apply", "-auto-approve", "-var", "size=large")
    kept = house.state().version
    (project.folder / "old.tfstate").write_text(old)
    assert project.run("state", "push", "old.tfstate", check=False).status == 1  # Terraform's own check
    forced = project.run("state", "push", "-force", "old.tfstate", check=False)
    assert forced.status == 1, forced.text
    alien = re.sub(r'"lineage": "[^"]+"', '"lineage": "00000000-0000-0000-0000-000000000000"', old)
    (project.folder / "alien.tfstate").write_text(alien)
    assert project.run("state", "push", "-force", "alien.tfstate", check=False).status == 1
    assert house.state().version == kept
    if house.backend == "http":
        assert house.actions().count("iac.state.refused") == 2


@pytest.mark.timeout(300)
def test_who_does_not_own_the_stack_may_not(house: House) -> None:
    _, stranger = service(house.kernel, "stranger", groups=["group:default/other"])
    _, reader = service(
        house.kernel, "reader", groups=["group:default/payments"], scopes=["iac.state.read", "iac.state.lock"]
    )
    house.project("owner").run("init")
    house.project("first").run("init")
    owner = house.project("owner2")
    owner.run("init")
    owner.run("apply", "-auto-approve")
    for token in (stranger, "uwu_nonsense"):
        project = house.project(f"other-{token[-4:]}", token)
        said = project.run("init", check=False)
        said = project.run("plan", check=False) if said.status == 0 else said
        assert said.status == 1, said.text
    limited = house.project("limited", reader)
    limited.run("init")
    assert limited.run("plan", "-detailed-exitcode").status == 0
    before = house.state().version
    assert limited.run("apply", "-auto-approve", "-var", "size=large", check=False).status == 1
    assert house.state().version == before


def wait_for(path: Path) -> None:
    """Until a running command has made ``path``."""
    pause = threading.Event()
    for _ in range(600):
        if path.exists():
            return
        pause.wait(0.05)
    pytest.fail(f"{path.name} did not come")


def test_the_well_known_document_tells_where_it_is(sqlite_kernel: Kernel) -> None:
    with serving(sqlite_kernel, principal=ANONYMOUS) as url:
        found = ask(url, "GET", "/.well-known/terraform.json")
        assert found.status == 200 and found.json["tfe.v2"] == "/iac/tfe/v2/"
        assert ask(url, "GET", "/iac/tfe/v2/ping").headers["tfp-api-version"] == "2.6"
        assert ask(url, "GET", "/iac/state/default/payments").status == 401
        assert ask(url, "GET", "/iac/state/default/payments", Host="evil.example").status == 421
