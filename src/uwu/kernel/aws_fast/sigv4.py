"""AWS Signature Version 4, with what does not change kept: the signing key of a day, the canonical form of a request.

Equal to botocore's signer for the same request, credentials and time (headers that botocore leaves unsigned stay so).
"""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
from __future__ import annotations

import hmac
from collections.abc import Iterable
from hashlib import sha256
from typing import Any, Literal
from urllib.parse import quote, urlsplit

from botocore.auth import SIGNED_HEADERS_BLACKLIST, UNSIGNED_PAYLOAD
from botocore.utils import normalize_url_path

Kind = Literal["v4", "s3v4", "none"]

_UNSIGNED = frozenset(SIGNED_HEADERS_BLACKLIST)
_KEYS = 4096
_DATE, _TOKEN = "\x00date\x00", "\x00token\x00"

_keys: dict[tuple[str, str, str, str], bytes] = {}


def signing_key(secret: str, day: str, region: str, name: str) -> bytes:
    """The key that signs for a day, region and service."""
    at = secret, day, region, name
    found = _keys.get(at)
    if found is None:
        if len(_keys) >= _KEYS:
            _keys.clear()
        found = f"AWS4{secret}".encode()
        for part in (day, region, name, "aws4_request"):
            found = hmac.digest(found, part.encode(), "sha256")
        _keys[at] = found
    return found


class Signable:
    """A request whose canonical form is known but for time and token. Threads may share it."""

    __slots__ = ("_forms", "_start", "kind", "name", "payload", "region")

    def __init__(
        self,
        *,
        method: str,
        url: str,
        headers: Iterable[tuple[str, str]],
        body: bytes,
        kind: Kind,
        name: str,
        region: str,
        unsigned_payload: bool = False,
    ) -> None:
        """``name`` and ``region`` are those of the credential scope; ``headers`` as they are sent, without Host."""
        parts = urlsplit(url)
        self.kind: Kind = kind
        self.name, self.region = name, region
        known = {key.lower(): " ".join(value.split()) for key, value in headers}
        known = {key: value for key, value in known.items() if key not in _UNSIGNED and key != "x-amz-date"}
        known.setdefault("host", host_of(url))
        payload = UNSIGNED_PAYLOAD if unsigned_payload else sha256(body).hexdigest()
        self.payload = payload if unsigned_payload or kind == "s3v4" else ""
        """The header X-Amz-Content-SHA256; empty for none."""
        if self.payload:
            known["x-amz-content-sha256"] = self.payload
        payload = known.get("x-amz-content-sha256", payload)
        path = parts.path if kind == "s3v4" else quote(normalize_url_path(parts.path), safe="/~")
        self._start = f"{method.upper()}\n{path}\n{_canonical_query(parts.query)}\n"
        known["x-amz-date"] = _DATE
        self._forms = _form(known, payload), _form({**known, "x-amz-security-token": _TOKEN}, payload)

    def sign(self, credentials: Any, when: str) -> str:
        """The header lines that authorize the request at ``when`` (``20250310T140211Z``), each with its CRLF."""
        if self.kind == "none":
            return ""
        token: str = credentials.token or ""
        canonical, signed = self._forms[bool(token)]
        canonical = self._start + canonical.replace(_DATE, when)
        if token:
            canonical = canonical.replace(_TOKEN, token)
        day = when[:8]
        scope = f"{day}/{self.region}/{self.name}/aws4_request"
        digest = sha256(canonical.encode()).hexdigest()
        key = signing_key(credentials.secret_key, day, self.region, self.name)
        signature = hmac.digest(key, f"AWS4-HMAC-SHA256\n{when}\n{scope}\n{digest}".encode(), "sha256").hex()
        lines = f"X-Amz-Date: {when}\r\n"
        if token:
            lines += f"X-Amz-Security-Token: {token}\r\n"
        if self.payload:
            lines += f"X-Amz-Content-SHA256: {self.payload}\r\n"
        return (
            f"{lines}Authorization: AWS4-HMAC-SHA256 Credential={credentials.access_key}/{scope}, "
            f"SignedHeaders={signed}, Signature={signature}\r\n"
        )


def host_of(url: str) -> str:
    """The Host header of ``url``: without the port where it is the scheme's own."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    default = {"http": 80, "https": 443}.get(parts.scheme)
    return host if parts.port in {None, default} else f"{host}:{parts.port}"


def _canonical_query(query: str) -> str:
    if not query:
        return ""
    pairs = sorted((key, value) for key, _, value in (pair.partition("=") for pair in query.split("&")))
    return "&".join(f"{key}={value}" for key, value in pairs)


def _form(headers: dict[str, str], payload: str) -> tuple[str, str]:
    """The canonical form from the headers on, and the names of those that are signed."""
    names = sorted(headers)
    signed = ";".join(names)
    return "".join(f"{name}:{headers[name]}\n" for name in names) + f"\n{signed}\n{payload}", signed
