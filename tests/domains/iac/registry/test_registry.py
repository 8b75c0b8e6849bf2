"""Publishing and fetching: what is refused, that a version never changes, whose addresses hold, who may."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import subprocess
import tarfile
import zipfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.terraform import service
from tests.app.front import ask, serving
from tests.domains.iac.states import ADMIN
from tests.domains.iac.test_state_wire import Client
from uwu.domains.iac.registry import archive, cli, docs, store
from uwu.kernel.errors import BadInput, Conflict, NotFound
from uwu.kernel.identity import ANONYMOUS
from uwu.kernel.runtime import Kernel

SOURCE, MODULE = "registry.example.com/uwu/shelf", "payments/queue/aws"


def zipped(**files: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as packed:
        for name, data in files.items():
            packed.writestr(zipfile.ZipInfo(name), data)
    return made.getvalue()


def tarred(**files: bytes) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as packed:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            packed.addfile(info, io.BytesIO(data))
    return gzip.compress(made.getvalue(), mtime=0)


PROVIDER = zipped(**{"terraform-provider-shelf_v1.0.0": b"#!program", "LICENSE": b"free"})


@pytest.fixture
def reader(kernel: Kernel) -> Iterator[Client]:
    """Somebody who may read and nothing else."""
    ref, token = service(kernel, "reader")
    with serving(kernel, principal=ANONYMOUS) as url:
        yield Client(url, token, ref)


def put(kernel: Kernel, version: str = "1.0.0", data: bytes = PROVIDER) -> store.Package:
    return store.publish_provider(kernel, ADMIN, SOURCE, version, "linux_amd64", data)


def test_the_hash_is_the_one_that_go_makes_of_a_folder() -> None:
    lines = "".join(
        f"{hashlib.sha256(data).hexdigest()}  {name}\n"
        for name, data in sorted({"terraform-provider-shelf_v1.0.0": b"#!program", "LICENSE": b"free"}.items())
    )
    right = "h1:" + base64.b64encode(hashlib.sha256(lines.encode()).digest()).decode()
    assert archive.provider_h1(PROVIDER, "shelf", "x.zip") == right


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"no zip", "no zip"),
        (PROVIDER[:-30], "no zip"),
        (zipped(readme=b"x"), "no program"),
        (zipped(**{"../terraform-provider-shelf": b"x"}), "outside"),
        (zipped(**{"/terraform-provider-shelf": b"x"}), "outside"),
    ],
)
def test_what_is_no_provider_is_refused(sqlite_kernel: Kernel, data: bytes, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        put(sqlite_kernel, data=data)


def test_an_archive_that_unpacks_to_too_much_is_refused(sqlite_kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_UNPACKED_BYTES", 1000)
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("terraform-provider-shelf_v1.0.0", bytes(100_000))
    with pytest.raises(BadInput, match="too large"):
        put(sqlite_kernel, data=made.getvalue())


def test_a_module_with_a_link_is_refused(sqlite_kernel: Kernel) -> None:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as packed:
        link = tarfile.TarInfo("main.tf")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        packed.addfile(link)
    with pytest.raises(BadInput, match="link"):
        store.publish_module(sqlite_kernel, ADMIN, MODULE, "1.0.0", made.getvalue())


def test_a_version_never_changes_and_the_same_bytes_again_are_the_same(kernel: Kernel) -> None:
    first = put(kernel)
    assert put(kernel) == first
    with pytest.raises(Conflict, match="other bytes"):
        put(kernel, data=zipped(**{"terraform-provider-shelf_v1.0.0": b"another"}))
    for version in ("1.10.0", "1.9.0", "1.10.0-rc.1"):
        put(kernel, version)
    assert [each.version for each in store.offered(kernel, "provider", SOURCE)] == [
        "1.10.0", "1.10.0-rc.1", "1.9.0", "1.0.0",
    ]  # fmt: skip
    store.yank(kernel, ADMIN, "provider", SOURCE, "1.10.0", "it deletes")
    assert "1.10.0" not in {each.version for each in store.offered(kernel, "provider", SOURCE)}
    with pytest.raises(Conflict):
        put(kernel, "1.10.0", zipped(**{"terraform-provider-shelf_v1.10.0": b"another"}))
    with pytest.raises(NotFound):
        store.yank(kernel, ADMIN, "provider", SOURCE, "7.0.0", "x")
    with kernel.db.read() as connection:
        [listed] = store.listed(connection, "provider").items
    assert (listed.newest, listed.versions) == ("1.10.0-rc.1", 4)


def test_an_address_holds_for_one_archive_and_for_a_while(
    kernel: Kernel, reader: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = put(kernel), put(kernel, "1.0.1")
    path = store.address(kernel, one)
    assert (found := ask(reader.url, "GET", path)).status == 200 and found.body == PROVIDER
    for wrong in (path[:-1] + ("0" if path[-1] != "0" else "1"), path.replace(one.id, two.id), path.partition("?")[0]):
        assert ask(reader.url, "GET", wrong).status == 403
    ended = store.codec.now() - timedelta(days=1)
    with monkeypatch.context() as earlier:
        earlier.setattr(store.codec, "now", lambda: ended)
        path = store.address(kernel, one)
    assert (late := ask(reader.url, "GET", path)).status == 403 and late.json["code"] == "package-expired"


def test_who_may_only_read_publishes_and_yanks_nothing(kernel: Kernel, reader: Client) -> None:
    name = "terraform-provider-shelf_1.0.0_linux_amd64.zip"
    path = f"/iac/providers/{SOURCE}"
    assert reader.ask("PUT", f"{path}/{name}", PROVIDER).status == 403
    assert reader.ask("PUT", f"/iac/modules/v1/{MODULE}/1.0.0", tarred(**{"main.tf": b""})).status == 403
    assert ask(reader.url, "GET", f"{path}/index.json").status == 401
    put(kernel)
    body = b'{"version": "1.0.0", "reason": "x"}'
    assert reader.ask("POST", f"/api/v1{path}/yank", body, Content_Type="application/json").status in (401, 403)


def test_a_module_tells_its_inputs_and_outputs_and_a_secret_default_is_not_shown() -> None:
    told = docs.of(
        {
            "variables.tf": b'variable "size" {\n type = map(string)\n default = { a = 1 }\n}\n'
            b'variable "name" {\n description = "What it \\"is\\""\n}\n'
            b'variable "key" {\n default = "hush"\n sensitive = true\n}\n',
            "outputs.tf": b'output "id" {\n value = var.name\n description = "Its id"\n}\n',
            "more.tf.json": b'{"output": {"arn": {"value": "x", "sensitive": true}}}',
            "README.md": b"# Queue",
        }
    )
    held: dict[str, Any] = {each.name: each for each in told.inputs}
    assert [each.name for each in told.inputs] == ["name", "key", "size"]
    assert held["name"].required and held["name"].description == 'What it "is"'
    assert held["size"].type == "map(string)" and held["size"].default == '{"a": 1}'
    assert held["key"].default == "" and held["key"].sensitive
    assert [(each.name, each.sensitive) for each in told.outputs] == [("arn", True), ("id", False)]
    assert told.readme == "# Queue"


def test_a_module_that_cannot_be_read_is_refused_with_its_file(sqlite_kernel: Kernel) -> None:
    with pytest.raises(BadInput) as caught:
        store.publish_module(sqlite_kernel, ADMIN, MODULE, "1.0.0", tarred(**{"main.tf": b"variable {{{"}))
    assert caught.value.problem.code == "module-syntax" and caught.value.problem.place == "main.tf"


def test_each_tag_that_is_a_version_is_packed_as_the_folder_was(tmp_path: Path) -> None:
    module = tmp_path / "modules" / "queue"
    module.mkdir(parents=True)

    def git(*arguments: str) -> None:
        named = ("-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main")
        subprocess.run(["git", *named, *arguments], cwd=tmp_path, check=True, capture_output=True, timeout=60)

    git("init")
    for tag in ("v1.0.0", "1.10.0", "1.9.0", "latest"):
        (module / "main.tf").write_text(f"# {tag}\n")
        git("add", ".")
        git("commit", "-m", tag)
        git("tag", tag)
    assert cli._tagged(module) == [("1.0.0", "v1.0.0"), ("1.9.0", "1.9.0"), ("1.10.0", "1.10.0")]
    assert archive.module_files(cli._at(module, "v1.0.0"), "x") == {"main.tf": b"# v1.0.0\n"}
    with pytest.raises(BadInput, match="git refused"):
        cli._tagged(tmp_path.parent / "nowhere")
