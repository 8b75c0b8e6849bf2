"""Addresses of pages. Every address is built here, so that what AWS or a person named cannot bend one."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl, quote, unquote, urlencode

HOME, FINDINGS, CHANGES, RESOURCES = "/", "/findings", "/changes", "/resources"
CATALOG, COVERAGE, SEARCH, THEME, SYNC = "/catalog", "/coverage", "/search", "/theme", "/sync-events"
SIGN_IN, SIGN_OUT, DEVICE, ACCOUNT = "/sign-in", "/sign-out", "/device", "/account"
GRAPH, JOBS, PLANS, VIEWS = "/graph", "/jobs", "/plans", "/views"
NOTICES, SETTINGS = "/notices", "/settings"
ENTROPY, AUDIT = "/entropy", "/audit"
STATES = "/states"
DIFF = "/diff"
RULES = "/rules"
OWNERSHIP = "/ownership"
SCORECARDS = "/scorecards"
RUNS = "/runs"
STACKS = "/stacks"
DETECTIONS, PRIVILEGE = "/detections", "/least-privilege"
TRAIL = "/trail"
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


def rule(id: str) -> str:
    return f"{RULES}/{_tail(id)}"


def scorecard(ref: str) -> str:
    """How an entity stands on scorecards."""
    return f"{SCORECARDS}/{_tail(ref)}"


def detection(id: str) -> str:
    """A rule over CloudTrail by its id."""
    return f"{DETECTIONS}/{_tail(id)}"


def privilege(urn: str) -> str:
    """What a role or user may do against what it did."""
    return f"{PRIVILEGE}?{urlencode({'principal': urn})}"


def plan(number: int) -> str:
    return f"{PLANS}/{number}"


def state(key: str) -> str:
    """A Terraform state by ``namespace/name``."""
    return f"{STATES}/{_tail(key)}"


def run(number: int) -> str:
    """A run of Terraform by its number."""
    return f"{RUNS}/{number}"


def job(id: str) -> str:
    return f"{JOBS}/{_tail(id)}"


def entropy(scope: str, key: str) -> str:
    """What the entropy of a scope (owner, account, service, domain) is made of."""
    return with_query(ENTROPY, {"scope": scope, "key": key})


def stack(ref: str) -> str:
    """A stack by its reference."""
    return f"{STACKS}/{_tail(ref.removeprefix('stack:'))}"


def graph(subject: str) -> str:
    """The graph around a urn or an entity reference."""
    return with_query(GRAPH, {"subject": subject})


def subject(key: str) -> str:
    """The page of a urn or an entity reference; of what a stack alone declares (``stack#address``) the stack's."""
    return resource(key) if key.startswith(("arn:", "urn:")) else entity(key.partition("#")[0])


def with_query(path: str, parameters: Mapping[str, str]) -> str:
    """``path`` with those of ``parameters`` that are not None; an empty value is kept: it means "none"."""
    return f"{path}?{urlencode(parameters)}" if parameters else path


def in_format(here: str, format: str) -> str:
    """The address of the list at ``here`` as a file: all its rows, so from the first page."""
    path, _, asked = here.partition("?")
    kept = [(k, v) for k, v in parse_qsl(asked, keep_blank_values=True) if k not in {"after", "format"}]
    return f"{path}?{urlencode([*kept, ('format', format)])}"


def read_tail(raw_path: bytes | None, decoded: str, prefix: str) -> str:
    """What stands behind ``prefix/``: from the undecoded path where the server gives it, so that no slash is lost."""
    if raw_path:
        raw = raw_path.decode("ascii", "replace").split("?", 1)[0]
        if raw.startswith(prefix + "/"):
            return unquote(raw[len(prefix) + 1 :])
    return decoded.lstrip("/")


def sign_in(next: str) -> str:
    """The page to sign in, which leads back to ``next``, a path of this site."""
    return with_query(SIGN_IN, {"next": next} if next not in {"", HOME} else {})


def same_site_path(text: str) -> str:
    """``text`` where it is a path of this site; the home page otherwise."""
    plain = text.startswith("/") and not text.startswith(("//", "/\\")) and "\\" not in text
    return text if plain and all(c > " " for c in text) else HOME
