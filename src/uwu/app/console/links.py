"""Addresses of pages. Every address is built here, so that what AWS or a person named cannot bend one."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote, unquote, urlencode

HOME, FINDINGS, CHANGES, RESOURCES = "/", "/findings", "/changes", "/resources"
CATALOG, COVERAGE, SEARCH, THEME, SYNC = "/catalog", "/coverage", "/search", "/theme", "/sync-state"
_DOTS = ("//", "/.")


def _tail(key: str) -> str:
    """``key`` for the end of a path. Slashes stay readable, except where a browser would fold them away."""
    return quote(key, safe=":@" if any(dots in key for dots in _DOTS) or key.startswith("/") else ":@/")


def resource(urn: str) -> str:
    return f"{RESOURCES}/{_tail(urn)}"


def entity(ref: str) -> str:
    return f"{CATALOG}/{_tail(ref)}"


def finding(id: str) -> str:
    return f"{FINDINGS}/{_tail(id)}"


def subject(key: str) -> str:
    """The page of a urn or an entity reference."""
    return resource(key) if key.startswith(("arn:", "urn:")) else entity(key)


def with_query(path: str, parameters: Mapping[str, str]) -> str:
    """``path`` with those of ``parameters`` that are not None; an empty value is kept: it means "none"."""
    return f"{path}?{urlencode(parameters)}" if parameters else path


def read_tail(raw_path: bytes | None, decoded: str, prefix: str) -> str:
    """What stands behind ``prefix/``: from the undecoded path where the server gives it, so that no slash is lost."""
    if raw_path:
        raw = raw_path.decode("ascii", "replace").split("?", 1)[0]
        if raw.startswith(prefix + "/"):
            return unquote(raw[len(prefix) + 1 :])
    return decoded.lstrip("/")


def same_site_path(text: str) -> str:
    """``text`` where it is a path of this site; the home page otherwise."""
    plain = text.startswith("/") and not text.startswith(("//", "/\\")) and "\\" not in text
    return text if plain and all(c > " " for c in text) else HOME
