"""A real provider and a real module from uwu's own mirror and registry; the same project through both backends."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import terraform_provider as provider
from tests.acceptance.terraform import Project, http_project
from tests.acceptance.test_terraform_cloud import Served, served  # noqa: F401 - a fixture
from tests.acceptance.world import environment, uwu
from uwu.domains.iac import state_store
from uwu.domains.iac.registry import store
from uwu.kernel import audit

BODY = """
variable "content" {
  default = "one"
}
resource "shelf_item" "first" {
  name    = "first"
  content = var.content
  secret  = "correct-horse-battery-7714"
}
resource "terraform_data" "beside" {
  input = shelf_item.first.id
}
output "id" {
  value = shelf_item.first.id
}
"""
MOVED = BODY.replace('"shelf_item" "first"', '"shelf_item" "moved"').replace("shelf_item.first", "shelf_item.moved")
HELD = """
resource "terraform_data" "held" {
  provisioner "local-exec" {
    command = "touch began; while [ ! -e go ]; do sleep 0.05; done"
  }
}
"""


def push(served: Served, folder: Path, version: str = provider.VERSION) -> None:  # noqa: F811
    os_, _, arch = provider.platform_name().partition("_")
    archive = provider.archive(folder, version)
    asked = ("push", str(archive), "--source", provider.SOURCE, "--version", version, "--os", os_, "--arch", arch)
    said = uwu(environment(served.home, None), "iac", "provider", *asked)
    assert said.status == 0, said.err


def configured(project: Project, served: Served, token: str = "") -> Project:  # noqa: F811
    """The project with uwu's mirror as the only place that providers come from."""
    host = served.host.removeprefix("https://")
    config = project.folder / "terraform.rc"
    config.write_text(
        f'disable_checkpoint = true\ncredentials "{host}" {{\n  token = "{token or served.token}"\n}}\n'
        f'provider_installation {{\n  network_mirror {{\n    url = "https://{host}/iac/providers/"\n  }}\n}}\n'
    )
    project.env = {
        **project.env,
        "TF_CLI_CONFIG_FILE": str(config),
        "SSL_CERT_FILE": str(served.home / "cert.pem"),
    }
    return project


@pytest.fixture(params=["http", "cloud"])
def project(request: pytest.FixtureRequest, served: Served, tmp_path: Path) -> Iterator[Project]:  # noqa: F811
    push(served, tmp_path / "packed")
    if request.param == "cloud":
        made = served.project(tmp_path / "project", 'name = "payments"')
    else:
        host = served.host.removeprefix("https://")
        made = http_project(tmp_path / "project", f"https://{host}", "default/payments", served.token)
    yield configured(made, served)


@pytest.mark.timeout(400)
def test_a_project_of_a_real_provider_lives_its_whole_life(
    served: Served,  # noqa: F811
    project: Project,
    tmp_path: Path,
) -> None:
    shelf = tmp_path / "shelf"
    project.write(provider.module(shelf, BODY))
    project.run("init")
    lock = (project.folder / ".terraform.lock.hcl").read_text()
    with served.kernel.db.read() as connection:
        [kept_provider] = store.packages(connection, "provider", provider.SOURCE)
    assert provider.SOURCE in lock and kept_provider.h1 in lock
    assert project.run("plan", "-detailed-exitcode", check=False).status == 2
    project.run("apply", "-auto-approve")
    assert project.run("plan", "-detailed-exitcode").status == 0
    id = project.json("output", "-json")["id"]["value"]

    # behind its back
    provider.item(shelf, id, content="by hand")
    assert project.run("plan", "-detailed-exitcode", check=False).status == 2
    project.run("apply", "-auto-approve", "-refresh-only")
    project.run("apply", "-auto-approve")
    assert json.loads((shelf / f"{id}.json").read_text())["content"] == "one"

    project.run("state", "mv", "shelf_item.first", "shelf_item.moved")
    project.write(provider.module(shelf, MOVED))
    assert project.run("plan", "-detailed-exitcode").status == 0
    provider.item(shelf, "found", content="was there")
    more = '\nresource "shelf_item" "found" {\n  name    = "found"\n  content = "was there"\n}\n'
    project.write(provider.module(shelf, MOVED + more))
    project.run("import", "shelf_item.found", "found")
    assert project.run("plan", "-detailed-exitcode").status == 0

    project.write(provider.module(shelf, MOVED + more + HELD))
    pause = threading.Event()
    held = project.start("apply", "-auto-approve")
    try:
        while not (project.folder / "began").exists():
            assert held.poll() is None, held.communicate()
            pause.wait(0.05)
        refused = project.run("apply", "-auto-approve", check=False)
        assert refused.status == 1 and "Error acquiring the state lock" in refused.err
        (project.folder / "go").touch()
        out, err = held.communicate(timeout=120)
        assert held.returncode == 0, out + err
    finally:
        if held.poll() is None:
            held.kill()
            held.communicate()

    project.run("destroy", "-auto-approve")
    assert not list(shelf.glob("*.json")) and not project.run("state", "list").out
    with served.kernel.db.read() as connection:
        kept = state_store.get(connection, "default/payments")
    assert kept.lock is None


@pytest.mark.timeout(200)
def test_a_yanked_version_is_not_offered_and_without_a_token_nothing_is(
    served: Served,  # noqa: F811
    tmp_path: Path,
) -> None:
    push(served, tmp_path / "packed", "1.0.0")
    push(served, tmp_path / "packed", "1.0.1")
    said = uwu(
        environment(served.home, None), "iac", "provider", "yank", provider.SOURCE, "1.0.1", "--reason", "it deletes"
    )
    assert said.status == 0, said.err
    project = configured(served.project(tmp_path / "project", 'name = "payments"'), served)
    (project.folder / "backend.tf").unlink()
    project.write(provider.module(tmp_path / "shelf", BODY))
    project.run("init")
    assert '"1.0.0"' in (project.folder / ".terraform.lock.hcl").read_text()
    other = served.project(tmp_path / "other", 'name = "payments"')
    (other.folder / "backend.tf").unlink()
    other.write(provider.module(tmp_path / "shelf", BODY))
    refused = configured(other, served, token="uwu_wrong").run("init", check=False)
    assert refused.status == 1 and not (other.folder / ".terraform.lock.hcl").exists(), refused.text
    with served.kernel.db.read() as connection:
        told = [(each.action, each.detail.get("version")) for each in audit.entries(connection, limit=100)]
    assert ("iac.provider.yank", "1.0.1") in told and ("iac.provider.publish", "1.0.0") in told


@pytest.mark.timeout(200)
def test_terraform_downloads_a_module_at_the_newest_version_that_its_constraint_admits(
    served: Served,  # noqa: F811
    tmp_path: Path,
) -> None:
    env = environment(served.home, None)
    module = tmp_path / "module"
    module.mkdir()
    (module / "README.md").write_text("# Queue\n")
    for version in ("1.0.0", "1.1.0", "2.0.0"):
        (module / "main.tf").write_text(
            'variable "name" {\n  type        = string\n  description = "What it is called."\n}\n'
            f'output "told" {{\n  value = "{version} ${{var.name}}"\n}}\n'
        )
        asked = ("publish", str(module), "--source", "payments/queue/test", "--version", version)
        said = uwu(env, "iac", "module", *asked)
        assert said.status == 0, said.err
    project = configured(served.project(tmp_path / "project", 'name = "payments"'), served)
    host = "uwu.example.com"  # Terraform takes no registry whose name has no dot: its configuration tells where it is
    config = project.folder / "terraform.rc"
    config.write_text(
        f'{config.read_text()}\ncredentials "{host}" {{\n  token = "{served.token}"\n}}\n'
        f'host "{host}" {{\n  services = {{\n    "modules.v1" = "https://{served.host.removeprefix("https://")}/iac/modules/v1/"\n'
        "  }\n}\n"
    )
    project.write(
        f'module "queue" {{\n  source  = "{host}/payments/queue/test"\n  version = "~> 1.0"\n  name    = "x"\n}}\n'
        'output "told" {\n  value = module.queue.told\n}\n'
    )
    project.run("init")
    project.run("apply", "-auto-approve")
    assert project.run("output", "-raw", "told").out == "1.1.0 x"
    shown = uwu(env, "iac", "module", "show", "payments/queue/test", "--json").json
    assert shown["version"] == "2.0.0" and shown["docs"]["readme"] == "# Queue\n"
    assert shown["docs"]["inputs"][0] == {
        "name": "name",
        "type": "string",
        "description": "What it is called.",
        "default": "",
        "required": True,
        "sensitive": False,
    }
