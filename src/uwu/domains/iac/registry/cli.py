"""``uwu iac provider`` and ``uwu iac module``: publish, list, show and yank."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import os
import subprocess
import tarfile
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

from cyclopts import App, Parameter

from uwu.domains.iac.registry import archive
from uwu.kernel.domain import Answer, Client
from uwu.kernel.errors import BadInput, NotFound

PROVIDER = App(name="provider", help="Mirror providers: publish them here, list them, yank a version.")
MODULE = App(name="module", help="Keep modules: publish versions, read their docs, yank a version.")
LEFT_OUT = frozenset({".git", ".terraform", "__pycache__", "terraform.tfstate", "terraform.tfstate.backup"})
GIT_SECONDS = 60

_Client = Annotated[Client, Parameter(parse=False)]


def add(app: App) -> None:
    """Puts both under ``app``."""
    app.command(PROVIDER)
    app.command(MODULE)


# ---- providers


@PROVIDER.command
def push(
    path: Path, *, source: str, version: str, os_: Annotated[str, Parameter("--os")], arch: str, client: _Client
) -> Answer:
    """Publish a provider for one platform: a zip as its maker packed it, or a folder with its program.

    Parameters
    ----------
    path
        The zip, or the folder.
    source
        host/namespace/type, such as registry.terraform.io/hashicorp/aws.
    version
        Such as 5.90.0.
    os_
        Such as linux.
    arch
        Such as amd64.
    """
    client.get("/iac/providers", search=source, limit=1)  # who may not look is told so before a file is read
    source, version = archive.provider_source(source), archive.version(version)
    platform = archive.platform(f"{os_}_{arch}")
    data = _zipped(path) if path.is_dir() else _read(path)
    name = f"terraform-provider-{source.rpartition('/')[2]}_{version}_{platform}.zip"
    made = client.put(f"/iac/providers/{quote(source)}/{name}", data, sha256=hashlib.sha256(data).hexdigest())
    return Answer(made, f"{source} {version} for {platform} is here: {made['bytes']:,} bytes, {made['h1']}")


@PROVIDER.command(name="list")
def list_providers(*, search: str = "", limit: int = 100, client: _Client) -> Answer:
    """List the providers that are kept here.

    Parameters
    ----------
    search
        A part of the name.
    limit
        How many at most.
    """
    return _listed(client.get("/iac/providers", search=search, limit=limit), "PROVIDER", _NO_PROVIDER)


_NO_PROVIDER = """\
No provider is kept here. Publish one:

  uwu iac provider push terraform-provider-aws_5.90.0_linux_amd64.zip \\
    --source registry.terraform.io/hashicorp/aws --version 5.90.0 --os linux --arch amd64

Then Terraform's configuration fetches it from here:

  provider_installation { network_mirror { url = "https://uwu.example.com/iac/providers/" } }
  credentials "uwu.example.com" { token = "..." }"""


@PROVIDER.command(name="show")
def show_provider(source: str, *, client: _Client) -> Answer:
    """Show the versions of a provider, its platforms and hashes.

    Parameters
    ----------
    source
        host/namespace/type.
    """
    return _shown(client.get(f"/iac/providers/{_path(source)}"))


@PROVIDER.command(name="yank")
def yank_provider(source: str, version: str, *, reason: str, client: _Client) -> Answer:
    """Take a version of a provider out of what is offered.

    Parameters
    ----------
    source
        host/namespace/type.
    version
        Such as 5.90.0.
    reason
        Why, for the audit.
    """
    made = client.post(f"/iac/providers/{_path(source)}/yank", {"version": version, "reason": reason})
    return Answer(made, f"{source} {version} is no longer offered.")


# ---- modules


@MODULE.command
def publish(path: Path, *, source: str, version: str = "", tags: bool = False, client: _Client) -> Answer:
    """Publish a version of a module, or every version that its repository has tagged.

    Parameters
    ----------
    path
        The module's folder, or a tar.gz of it.
    source
        namespace/name/system, such as payments/queue/aws.
    version
        Such as 1.4.0.
    tags
        Every tag 1.2.3 or v1.2.3 of the folder's git repository that is not here yet, instead of one version.
    """
    client.get("/iac/modules", search=source, limit=1)  # who may not look is told so before a file is read
    archive.module_source(source)
    if tags == bool(version):
        raise BadInput(
            "say which version, or --tags", code="package-version", place="--version", hint="--version 1.4.0"
        )
    if not tags:
        version = archive.version(version.removeprefix("v"))
        return _sent([(version, _tarred(path) if path.is_dir() else _read(path))], source, client)
    try:
        there = {each["version"] for each in client.get(f"/iac/modules/{_path(source)}")["items"]}
    except NotFound:
        there = set[str]()
    return _sent(((found, _at(path, tag)) for found, tag in _tagged(path) if found not in there), source, client)


def _sent(given: Iterable[tuple[str, bytes]], source: str, client: Client) -> Answer:
    made: list[Any] = []
    for version, data in given:
        sha256 = hashlib.sha256(data).hexdigest()
        made.append(client.put(f"/iac/modules/v1/{source}/{version}", data, sha256=sha256))
    lines = [f"{source} {each['version']} is here: {each['bytes']:,} bytes" for each in made]
    return Answer(made, "\n".join(lines) or f"Every tagged version of {source} is here already.")


def _tagged(folder: Path) -> list[tuple[str, str]]:
    """(version, tag) of the repository that holds ``folder``, the oldest version first."""
    found: list[tuple[str, str]] = []
    for tag in _git(folder, "tag", "--list").decode("utf-8", "replace").split():
        with contextlib.suppress(BadInput):
            found.append((archive.version(tag.removeprefix("v")), tag))
    return sorted(found, key=lambda each: archive.order(each[0]))


def _at(folder: Path, tag: str) -> bytes:
    """The folder as it was at a tag."""
    top, _, inside = _git(folder, "rev-parse", "--show-toplevel", "--show-prefix").decode().rstrip("\n").partition("\n")
    plain = _git(Path(top), "archive", "--format=tar", f"refs/tags/{tag}:{inside}")
    return gzip.compress(plain, mtime=0)


def _git(folder: Path, *arguments: str) -> bytes:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, check=False, timeout=GIT_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BadInput(f"git did not answer: {error}", code="package-git", place=str(folder)) from None
    if done.returncode:
        told = done.stderr.decode("utf-8", "replace").strip().partition("\n")[0][:200]
        raise BadInput(f"git refused: {told}", code="package-git", place=str(folder), hint="is it a git repository?")
    return done.stdout


@MODULE.command(name="list")
def list_modules(*, search: str = "", limit: int = 100, client: _Client) -> Answer:
    """List the modules that are kept here.

    Parameters
    ----------
    search
        A part of the name.
    limit
        How many at most.
    """
    return _listed(client.get("/iac/modules", search=search, limit=limit), "MODULE", _NO_MODULE)


_NO_MODULE = """\
No module is kept here. Publish one: uwu iac module publish FOLDER --source payments/queue/aws --version 1.0.0
Then Terraform fetches it: source = "uwu.example.com/payments/queue/aws"."""


@MODULE.command(name="show")
def show_module(source: str, *, version: str = "", client: _Client) -> Answer:
    """Show a module: its versions, the variables that it takes, the outputs that it gives.

    Parameters
    ----------
    source
        namespace/name/system.
    version
        Whose docs; those of the newest where none is named.
    """
    found = client.get(f"/iac/modules/{_path(source)}", version=version)
    answer = _shown(found)
    lines = [answer.text, "", f"of {found['version']}:"]
    for each in found["docs"]["inputs"]:
        default = "required" if each["required"] else f"default {each['default'] or 'is kept secret'}"
        lines.append(f"  var.{each['name']}  {each['type'] or 'any'}, {default}  {each['description']}".rstrip())
    lines += [f"  output.{each['name']}  {each['description']}".rstrip() for each in found["docs"]["outputs"]]
    return Answer(found, "\n".join(lines))


@MODULE.command(name="yank")
def yank_module(source: str, version: str, *, reason: str, client: _Client) -> Answer:
    """Take a version of a module out of what is offered.

    Parameters
    ----------
    source
        namespace/name/system.
    version
        Such as 1.4.0.
    reason
        Why, for the audit.
    """
    made = client.post(f"/iac/modules/{_path(source)}/yank", {"version": version, "reason": reason})
    return Answer(made, f"{source} {version} is no longer offered.")


# ---- what both do


def _path(source: str) -> str:
    parts = source.split("/")
    return "/".join(quote(part or "-", safe="") for part in (parts + ["-"] * 3)[:3])


def _listed(found: Any, title: str, none: str) -> Answer:
    rows = [(title, "NEWEST", "VERSIONS")]
    rows += [(each["source"], each["newest"] or "all yanked", str(each["versions"])) for each in found["items"]]
    return Answer(found, _aligned(rows) if len(rows) > 1 else none)


def _shown(found: Any) -> Answer:
    rows = [("VERSION", "PLATFORM", "BYTES", "PUBLISHED", "BY", "SHA-256", "")]
    for each in found["items"]:
        yanked = f"yanked: {each['yanked_why']}" if each["yanked_at"] else ""
        when = each["created_at"][:10]
        cells = (each["version"], each["platform"] or "-", f"{each['bytes']:,}", when, each["created_by"])
        rows.append((*cells, each["sha256"][:16], yanked))
    return Answer(found, _aligned(rows))


def _aligned(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadInput(f"it cannot be read: {error.strerror}", code="package-archive", place=str(path)) from None


def _files(folder: Path) -> list[Path]:
    found: list[Path] = []
    for top, folders, names in os.walk(folder):
        folders[:] = sorted(set(folders) - LEFT_OUT)
        found += [Path(top, name) for name in sorted(names) if name not in LEFT_OUT]
    return [path for path in found if path.is_file() and not path.is_symlink()]


def _zipped(folder: Path) -> bytes:
    """The same bytes for the same files."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in _files(folder):
            info = zipfile.ZipInfo(path.relative_to(folder).as_posix(), (1980, 1, 1, 0, 0, 0))
            info.external_attr = (0o100755 if os.access(path, os.X_OK) else 0o100644) << 16
            packed.writestr(info, path.read_bytes(), zipfile.ZIP_DEFLATED)
    return made.getvalue()


def _tarred(folder: Path) -> bytes:
    """The same bytes for the same files."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as packed:
        for path in _files(folder):
            info = tarfile.TarInfo(path.relative_to(folder).as_posix())
            info.size, info.mode = path.stat().st_size, 0o755 if os.access(path, os.X_OK) else 0o644
            with path.open("rb") as file:
                packed.addfile(info, file)
    return gzip.compress(plain.getvalue(), mtime=0)
