"""A new service from a template: it is compliant, nothing is written over, and no template runs programs."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

from tests.domains.catalog.scorecards import world
from uwu.domains.catalog import cli as catalog
from uwu.domains.catalog.golden import cli, make
from uwu.domains.catalog.observe import load_estate
from uwu.domains.catalog.scorecards import declared, judge, store
from uwu.kernel.errors import BadInput
from uwu.kernel.runtime import Kernel

FILES = [
    "CODEOWNERS",
    "README.md",
    "catalog-info.yaml",
    "docs/index.md",
    "docs/runbook.md",
    "openapi.yaml",
]


def files(folder: Path) -> list[str]:
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())


def test_what_is_made_passes_validation_and_every_check_of_what_is_declared(
    sqlite_kernel: Kernel, tmp_path: Path
) -> None:
    (estate,) = sqlite_kernel.settings.estate_paths
    world.write(sqlite_kernel, world.company())
    hostile = 'Takes "orders": {all} of them\nat once # no comment'
    web = "https://git.example.org/shop/orders"
    told = cli.service("orders", owner="pay", into=estate / "orders", description=hostile, tier="1", repository=web)
    assert files(estate / "orders") == FILES
    assert "group:default/pay" in told.text
    assert catalog.validate(estate).exit_code == 0
    assert load_estate(sqlite_kernel)["problems"] == []
    judge.judge(sqlite_kernel)
    with sqlite_kernel.db.read() as connection:
        (graded,) = store.of_entity(sqlite_kernel, connection, "component:default/orders")
    said = {check.id for check in declared.CHECKS}
    assert {one.check: one.status.value for one in graded.results if one.check in said} == dict.fromkeys(said, "passed")


def test_a_dry_run_makes_nothing_and_tells_the_same(tmp_path: Path) -> None:
    told = cli.service("orders", owner="pay", into=tmp_path / "orders", dry_run=True)
    assert told.value["files"] == FILES
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "orders").mkdir()
    cli.service("orders", owner="pay", into=tmp_path / "orders")
    before = (tmp_path / "orders/README.md").read_text()
    with pytest.raises(BadInput, match="holds something"):
        cli.service("orders", owner="search", into=tmp_path / "orders")
    assert (tmp_path / "orders/README.md").read_text() == before
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="holds something"):
        cli.service("orders", owner="search", into=tmp_path / "file")


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("Orders", {"owner": "pay"}, "lower-case letters"),
        ("orders", {}, "owner"),
        ("orders", {"owner": "pay", "tier": "9"}, "tier"),
        ("orders", {"owner": "pay", "answer": ["objective=101"]}, "less than 100"),
        ("orders", {"owner": "pay", "answer": ["objective"]}, "is no answer"),
        ("orders", {"owner": "pay", "template": "/nowhere/at/all"}, "directory"),
    ],
)
def test_what_cannot_be_made_says_why_and_leaves_nothing(
    tmp_path: Path, name: str, given: dict[str, object], said: str
) -> None:
    with pytest.raises(BadInput, match=said):
        cli.service(name, into=tmp_path / "made", **given)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A template of one's own: a Component alone."""
    folder = tmp_path / "own"
    (folder / "template").mkdir(parents=True)
    ask = {"_subdirectory": "template", "name": {"type": "str"}, "kind": {"type": "str", "default": "Component"}}
    (folder / "copier.yml").write_text(yaml.safe_dump(ask))
    spec = "spec: {type: service, lifecycle: production, owner: pay}\n"
    head = "apiVersion: backstage.io/v1alpha1\nkind: {{ kind }}\nmetadata: {name: '{{ name }}'}\n"
    (folder / "template/catalog-info.yaml.jinja").write_text(head + spec)
    return folder


def test_a_template_of_ones_own_comes_from_git_at_its_newest_tag(own: Path, tmp_path: Path) -> None:
    def git(*words: str) -> None:
        person = ["-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *person, *words], cwd=own, check=True, capture_output=True, timeout=60)

    git("init", "-q", "-b", "main")
    git("add", "-A")
    git("commit", "-qm", "first")
    git("tag", "v1.0.0")
    (own / "template/later.txt").write_text("of no release yet")
    git("add", "-A")
    git("commit", "-qm", "second")
    made = make.make(f"git+file://{own}", tmp_path / "made", {"name": "orders"})
    assert made.files == ["catalog-info.yaml"]
    assert "name: 'orders'" in (tmp_path / "made/catalog-info.yaml").read_text()


def test_what_the_catalog_would_refuse_is_not_made(own: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no kind 'Komponent'") as told:
        cli.service("orders", into=tmp_path / "made", template=str(own), answer=["kind=Komponent"])
    assert told.value.problem.place == f"{tmp_path}/made/catalog-info.yaml:2"
    assert not (tmp_path / "made").exists()


def test_a_template_runs_no_programs(own: Path, tmp_path: Path) -> None:
    asked = yaml.safe_load((own / "copier.yml").read_text())
    (own / "copier.yml").write_text(yaml.safe_dump({**asked, "_tasks": [f"touch {tmp_path}/ran"]}))
    with pytest.raises(BadInput) as told:
        cli.service("orders", into=tmp_path / "made", template=str(own))
    assert told.value.problem.code == "template-unsafe"
    assert not (tmp_path / "ran").exists()
