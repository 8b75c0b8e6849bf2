"""The provider by itself, from a filesystem mirror: what the tests that use it may rely on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.acceptance.terraform import Project
from tests.terraform_provider import install, item, module

BODY = """
resource "shelf_item" "a" {
  name    = "a"
  content = "one"
  labels  = { team = "payments" }
}
"""


@pytest.mark.timeout(200)
def test_its_items_are_made_drift_are_imported_and_go(tmp_path: Path) -> None:
    shelf, folder = tmp_path / "shelf", tmp_path / "project"
    folder.mkdir()
    project = Project(folder, {"TF_CLI_CONFIG_FILE": str(install(tmp_path / "provider"))})
    project.write(module(shelf, BODY))
    project.run("init")
    project.run("apply", "-auto-approve")
    assert project.run("plan", "-detailed-exitcode").status == 0
    [file] = shelf.glob("*.json")
    assert json.loads(file.read_text())["content"] == "one"

    item(shelf, file.stem, content="by hand")
    assert project.run("plan", "-refresh-only", "-detailed-exitcode", "-out=p", check=False).status == 2
    [drift] = project.json("show", "-json", "p")["resource_drift"]
    assert drift["address"] == "shelf_item.a" and drift["change"]["actions"] == ["update"]
    assert (drift["change"]["before"]["content"], drift["change"]["after"]["content"]) == ("one", "by hand")

    project.run("state", "rm", "shelf_item.a")
    project.run("import", "shelf_item.a", file.stem)
    project.run("apply", "-auto-approve")
    assert json.loads(file.read_text()) | {"labels": {"team": "payments"}, "content": "one"} == json.loads(
        file.read_text()
    )
    project.run("destroy", "-auto-approve")
    assert not list(shelf.glob("*.json"))
