"""The folders and files of the estate: which there are, and that nothing leads out of them."""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from uwu.kernel import schema
from uwu.kernel.errors import Problem
from uwu.kernel.estate import globs

SUFFIXES = (".yaml", ".yml")


class Root(msgspec.Struct, frozen=True):
    """One path of the estate, as it was given and as it really is."""

    given: str
    """Normalised; empty for the working directory."""
    real: str
    origin: str
    """The location reference of what was configured: ``file:<path>``."""

    @classmethod
    def of(cls, folder: Path, origin: str) -> Root:
        given = os.path.normpath(folder)
        return cls("" if given == "." else given, str(folder.resolve()), origin)

    def shown(self, real: str) -> str:
        """How a file of it is named in places."""
        within = real[len(self.real) :].lstrip(os.sep)
        return f"{self.given}{os.sep}{within}" if self.given and within else within or self.given or "."

    def holds(self, real: str) -> bool:
        """``real``, which is resolved already, lies in it."""
        return real == self.real or real.startswith(self.real.rstrip(os.sep) + os.sep)


class Target(msgspec.Struct, frozen=True):
    """What a Location names, and where it says so."""

    target: str
    place: str


@dataclass
class Found:
    """The files of a root, in their order, and what stood in the way."""

    roots: list[Root] = field(default_factory=list[Root])
    files: dict[str, Root] = field(default_factory=dict[str, Root])
    """Real path -> its root."""
    problems: list[Problem] = field(default_factory=list[Problem])
    closed: list[str] = field(default_factory=list[str])
    """Folders, as shown, that could not be entered: what lies below them is not known."""


def find(paths: Iterable[Path]) -> Found:
    """Every file below ``paths``: of folders those that end as YAML files do, and each file that is named itself."""
    found = Found()
    for path in paths:
        if not path.exists():
            hint = "create it, or correct `estate` in uwu.toml"
            found.problems.append(Problem("estate-missing", "there is no such file or folder", str(path), hint))
            continue
        if path.is_dir():
            root = Root.of(path, f"file:{path}")
            for file in walk(root, root.real, found):
                if file.endswith(SUFFIXES):
                    found.files.setdefault(file, root)
        else:
            root = Root.of(path.parent, f"file:{path}")
            found.files.setdefault(str(path.resolve()), root)
        found.roots.append(root)
    return found


def walk(root: Root, folder: str, found: Found) -> Iterator[str]:
    """Every file under ``folder``, in order; hidden folders and links to folders are not entered."""
    waiting = deque([folder])
    while waiting:
        where = waiting.popleft()
        try:
            with os.scandir(where) as scanned:
                entries = sorted(scanned, key=lambda entry: entry.name)
        except OSError as error:
            shown = root.shown(where)
            hint = "check who may"
            message = f"the folder cannot be read: {error.strerror}"
            found.problems.append(Problem("folder-unreadable", message, shown, hint))
            found.closed.append(shown)
            continue
        folders: list[str] = []
        for entry in entries:
            if entry.is_symlink() and not root.holds(os.path.realpath(entry.path)):
                place = root.shown(entry.path)
                found.problems.append(escape(place, f"the link {entry.name} leads out of the estate"))
            elif entry.name.startswith("."):
                continue
            elif entry.is_dir(follow_symlinks=False):
                folders.append(entry.path)
            elif entry.is_file():
                yield os.path.realpath(entry.path) if entry.is_symlink() else entry.path
        waiting.extendleft(reversed(folders))


def escape(place: str, message: str) -> Problem:
    return Problem("estate-escape", message, place, "keep what the estate reads inside its folder")


def mark(path: str) -> str:
    """What a file looks like from outside: another mark means that it was written. Empty where it is no file."""
    try:
        told = os.stat(path)
    except OSError:
        return ""
    return f"{told.st_mtime_ns}.{told.st_size}.{told.st_ino}" if stat.S_ISREG(told.st_mode) else ""


def follow(targets: Iterable[Target], file: str, root: Root, found: Found) -> list[str]:
    """The real paths that the Locations of ``file`` name; what they name and is not there is a problem."""
    named: list[str] = []
    for each in targets:
        fixed, pattern = globs.parted(each.target)
        base = os.path.realpath(os.path.join(os.path.dirname(file), fixed))
        if not root.holds(base):
            found.problems.append(escape(each.place, f"the target {each.target!r} leads out of the estate"))
        elif pattern is None:
            if os.path.isfile(base):
                named.append(base)
                continue
            hint = schema.near(os.path.basename(base), siblings(base))
            message = f"the target {each.target!r} is no file"
            found.problems.append(Problem("location-missing", message, each.place, hint))
        else:
            below = walk(root, base, found) if os.path.isdir(base) else ()
            matches = [path for path in below if pattern.fullmatch(os.path.relpath(path, base))]
            if not matches:
                message = f"the target {each.target!r} matches no file"
                found.problems.append(Problem("location-missing", message, each.place, "check the glob"))
            named.extend(matches)
    return named


def siblings(path: str) -> Sequence[str]:
    """The names beside ``path``."""
    try:
        return os.listdir(os.path.dirname(path))
    except OSError:
        return []
