"""The console's static files: named by their content, compressed once, cached for ever.

A file ``uwu.css`` is served as ``/assets/uwu.3f2a91c0d4.css``. References between files (``url("fonts/...")`` in
the style sheet) are written with the same names, so a new release never meets an old file.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from functools import cache, cached_property
from importlib import resources
from importlib.resources.abc import Traversable

PREFIX = "/assets/"
TYPES = {
    "css": "text/css",
    "js": "text/javascript",
    "svg": "image/svg+xml",
    "woff2": "font/woff2",
}
_COMPRESSED = frozenset({"css", "js", "svg"})
_URL = re.compile(r'url\("([^"]+)"\)')


class Asset:
    """One static file and the name that holds its hash."""

    def __init__(self, name: str, body: bytes) -> None:
        self.name = name
        self.body = body
        self.digest = hashlib.sha256(body).hexdigest()[:12]
        stem, _, self.extension = name.rpartition("/")[2].rpartition(".")
        self.file = f"{stem}.{self.digest}.{self.extension}"
        self.url = PREFIX + self.file
        self.etag = f'"{self.digest}"'
        self.media_type = TYPES[self.extension]

    @cached_property
    def gzipped(self) -> bytes | None:
        """The body compressed with gzip; None where that saves nothing."""
        if self.extension not in _COMPRESSED:
            return None
        return gzip.compress(self.body, 9, mtime=0)


class Assets:
    """Every static file of the console, by its own name and by its served one."""

    def __init__(self, root: Traversable) -> None:
        self.by_name: dict[str, Asset] = {}
        bodies = {name: path.read_bytes() for name, path in _walk(root) if name.rpartition(".")[2] in TYPES}
        for name in sorted(bodies, key=lambda n: n.endswith(".css")):
            body = bodies[name]
            if name.endswith(".css"):
                body = _URL.sub(self._reference, body.decode()).encode()
            self.by_name[name] = Asset(name, body)
        self.by_file = {asset.file: asset for asset in self.by_name.values()}

    def _reference(self, match: re.Match[str]) -> str:
        return f'url("{self.by_name[match[1]].url}")'

    def url(self, name: str) -> str:
        """Where ``name`` is served. Raises ``KeyError`` for a file that is not there."""
        return self.by_name[name].url


def _walk(folder: Traversable, prefix: str = "") -> list[tuple[str, Traversable]]:
    found: list[tuple[str, Traversable]] = []
    for entry in sorted(folder.iterdir(), key=lambda e: e.name):
        if entry.is_dir():
            found += _walk(entry, f"{prefix}{entry.name}/")
        else:
            found.append((prefix + entry.name, entry))
    return found


@cache
def assets() -> Assets:
    """The console's files, read once."""
    return Assets(resources.files("uwu.app.console") / "static")
