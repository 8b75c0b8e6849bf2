"""Ownership by CODEOWNERS: whoever reviews the configuration of a stack owns what its state holds.

The file is GitHub's or GitLab's: the last line that matches a path decides, and one without owners says nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from pathlib import Path

import msgspec
import sqlalchemy as sa
from codeowners import CodeOwners

from uwu.kernel import tables
from uwu.kernel.model import Entity, Evidence

_PLACES = (".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS", ".gitlab/CODEOWNERS")
"""In the order in which GitHub looks."""
_LARGEST = 3 * 1024 * 1024
"""Bytes: GitHub reads none that is larger."""


class Line(msgspec.Struct, frozen=True):
    """The line of a CODEOWNERS that decides about a path."""

    file: str
    number: int
    owners: tuple[str, ...]
    """As written: ``@acme/payments``, ``@jane``, ``jane@example.org``."""


class Files:
    """The CODEOWNERS files above paths; each is read once."""

    def __init__(self) -> None:
        self._above = lru_cache(maxsize=None)(self._find)

    def deciding(self, path: Path) -> Line | None:
        """The line that decides about ``path``; None where there is no file, no such line, or it names nobody."""
        path = path.resolve()
        found = self._above(path.parent)
        if found is None:
            return None
        root, file, owners = found
        told, number, _, _ = owners.matching_line(path.relative_to(root).as_posix())
        if not told or number is None:
            return None
        return Line(str(file), number, tuple(name for _, name in told))

    def _find(self, folder: Path) -> tuple[Path, Path, CodeOwners] | None:
        for name in _PLACES:
            file = folder / name
            if file.is_file() and file.stat().st_size <= _LARGEST:
                return folder, file, CodeOwners(file.read_text("utf-8", errors="replace"))
        if (folder / ".git").exists() or folder.parent == folder:
            return None  # above a repository its files mean nothing
        return self._above(folder.parent)


def evidence(connection: sa.Connection, stacks: Iterable[Entity], meant: Callable[[str], str]) -> Iterator[Evidence]:
    """Who owns what the states of ``stacks`` hold (``codeowners``).

    ``meant``: an owner as CODEOWNERS names it -> its reference, empty where there is none.
    """
    files = Files()
    owners: dict[str, tuple[str, str]] = {}
    for stack in stacks:
        line = files.deciding(_path(stack))
        owner = next(filter(None, map(meant, line.owners)), "") if line is not None else ""
        if line is not None and owner:
            owners[stack.ref] = (owner, f"{line.file}:{line.number} for {stack.ref}")
    if not owners:
        return
    d = tables.declarations
    for urn, source in connection.execute(sa.select(d.c.urn, d.c.source).where(d.c.urn != "")):
        owner, said = owners.get(str(source).partition("@")[0], ("", ""))
        if owner:
            yield Evidence(subject=urn, owner=owner, kind="codeowners", source=said)


def _path(stack: Entity) -> Path:
    """Where its configuration lies, where that is beside it; else the file that declares it."""
    file = Path(stack.place.file)
    source = stack.spec.get("source")
    if isinstance(source, str) and "::" not in source and (file.parent / source).is_dir():
        return file.parent / source / "main.tf"
    return file
