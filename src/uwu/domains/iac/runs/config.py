"""A stack's configuration: a folder beside the file that declares it, or a repository; packed once, used for both
phases of a run."""

from __future__ import annotations

import hashlib
import io
import os
import re
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from uwu.domains.iac.runs.sandbox import Sandbox
from uwu.kernel.errors import BadInput, NotFound, Unavailable
from uwu.kernel.model import Entity

MAX_BYTES, MAX_FILES = 64 * 1_048_576, 20_000
LEFT_OUT = frozenset({".terraform", ".git", "errored.tfstate", "terraform.tfstate.d"})
OVERRIDE = "zz_uwu_override.tf"
"""Puts the state where uwu keeps it, whatever backend the configuration names."""
_BACKEND = b'terraform {\n  backend "http" {}\n}\n'
_GIT = re.compile(r"git::(?P<url>(?:https|ssh|file)://[^?\s]+?)(?://(?P<folder>[^?\s]*))?(?:\?ref=(?P<ref>[^&\s]+))?")
_REF = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]{0,199}")


class Configuration(NamedTuple):
    """What is planned."""

    packed: bytes
    """A tar archive."""
    sha256: str
    revision: str
    """The commit; empty for a folder."""


class Repository(NamedTuple):
    """Where a configuration lies in git."""

    url: str
    folder: str
    ref: str


def repository(source: str) -> Repository | None:
    """``git::https://host/repository.git//folder?ref=main`` as Terraform writes it; None for a folder.

    Raises ``BadInput`` for a git source of another form.
    """
    if not source.startswith("git::"):
        return None
    found = _GIT.fullmatch(source)
    if found is None or (found["ref"] and not _REF.fullmatch(found["ref"])) or ".." in (found["folder"] or ""):
        raise BadInput(
            "this names no repository",
            code="run-source",
            place="spec.source",
            hint="git::https://host/repository.git//folder?ref=main",
        )
    return Repository(found["url"], (found["folder"] or "").strip("/"), found["ref"] or "")


def of(stack: Entity, sandbox: Sandbox, run: Callable[..., int], revision: str = "") -> Configuration:
    """The configuration of ``stack``, of a ``revision`` where one is given. ``run`` runs git.

    Raises ``BadInput`` (``run-source``), ``NotFound``, ``Unavailable`` (``run-git``).
    """
    source = str(stack.spec.get("source") or "")
    if not source:
        raise BadInput(
            f"{stack.ref} does not say where its configuration lies",
            code="run-source",
            place=str(stack.place),
            hint="add source to its spec: a folder, or git::https://host/repository.git//folder?ref=main",
        )
    found = repository(source)
    if found is None:
        if revision:
            raise BadInput(
                f"{stack.ref} lies in a folder, which has no revisions", code="run-source", place=str(stack.place)
            )
        folder = Path(stack.place.file).parent / source
        return _packed(folder, "")
    checkout = sandbox.root / "checkout"
    commit = revision or found.ref or "HEAD"
    if revision and not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", revision):
        raise BadInput(f"{revision[:80]!r} is no commit", code="run-source", place="revision")
    checkout.mkdir(mode=0o700)
    for arguments in (
        ["git", "init", "--quiet"],
        ["git", "fetch", "--quiet", "--depth", "1", "--no-tags", found.url, commit],
        ["git", "-c", "core.symlinks=false", "checkout", "--quiet", "FETCH_HEAD"],
    ):
        if run(arguments, folder=checkout):
            raise Unavailable(
                f"the configuration cannot be fetched: {' '.join(arguments[:2])} failed",
                code="run-git",
                place=found.url,
                hint="the log tells why; check the address, the ref, and what the worker may read",
            )
    head = (checkout / ".git" / "HEAD").read_text("ascii").strip()
    return _packed(checkout / found.folder, head)


def _packed(folder: Path, revision: str) -> Configuration:
    if not folder.is_dir():
        hint = "source is relative to the file that declares the stack"
        raise NotFound("there is no such folder", code="run-source", place=str(folder), hint=hint)
    buffer, size, count, modules = io.BytesIO(), 0, 0, False
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, name in _files(folder):
            data = path.read_bytes()
            size, count = size + len(data), count + 1
            if size > MAX_BYTES or count > MAX_FILES:
                raise BadInput(
                    f"the configuration has more than {MAX_BYTES // 1_048_576} MiB or {MAX_FILES:,} files",
                    code="run-source",
                    place=str(folder),
                    hint="name the folder of the root module; keep builds and archives elsewhere",
                )
            modules = modules or ("/" not in name and name.endswith((".tf", ".tf.json", ".tofu")))
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o700 if os.access(path, os.X_OK) else 0o600
            archive.addfile(entry, io.BytesIO(data))
        entry = tarfile.TarInfo(OVERRIDE)
        entry.size, entry.mode = len(_BACKEND), 0o600
        archive.addfile(entry, io.BytesIO(_BACKEND))
    if not modules:
        raise BadInput("the folder holds no root module", code="run-source", place=str(folder), hint="*.tf is missing")
    packed = buffer.getvalue()
    return Configuration(packed, hashlib.sha256(packed).hexdigest(), revision)


def _files(folder: Path) -> Iterator[tuple[Path, str]]:
    """The files of a configuration in order, with their names. A link that leads out of it is refused."""
    top = folder.resolve()
    for base, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in LEFT_OUT)
        for name in sorted(names):
            path = Path(base) / name
            if name in LEFT_OUT or name == OVERRIDE or ".tfstate" in name or not path.is_file():
                continue
            if not path.resolve().is_relative_to(top):
                raise BadInput("a link leads out of the configuration", code="run-source", place=str(path))
            yield path, path.relative_to(folder).as_posix()
        for name in folders:
            if (Path(base) / name).is_symlink() and not (Path(base) / name).resolve().is_relative_to(top):
                raise BadInput("a link leads out of the configuration", code="run-source", place=str(Path(base) / name))


def unpack(packed: bytes, folder: Path) -> None:
    """Writes a packed configuration into ``folder``. Raises ``BadInput`` for a name that leads out of it."""
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        for entry in archive:
            name = PurePosixPath(entry.name)
            if not entry.isfile() or name.is_absolute() or ".." in name.parts:
                raise BadInput("the packed configuration is not whole", code="run-source", place=entry.name[:200])
            path = folder / name
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            source = archive.extractfile(entry)
            path.write_bytes(source.read() if source is not None else b"")
            path.chmod(entry.mode & 0o700)
