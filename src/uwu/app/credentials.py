"""What ``uwu login`` keeps: a token for each server, in ``$UWU_HOME/credentials.json``, mode 0600."""

from __future__ import annotations

import os
import secrets
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from uwu.kernel import codec
from uwu.kernel.errors import Misconfigured

FILE = "credentials.json"


class Credential(msgspec.Struct, frozen=True, kw_only=True):
    """The token for one server."""

    token: str
    id: str
    principal: str
    expires_at: datetime | None


def origin(url: str) -> str:
    """``url`` as a key: scheme, host and port, in lower case and without a slash at its end."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}{parts.path}".rstrip("/").lower()


def read(home: Path) -> dict[str, Credential]:
    """What is kept, by the server's address. Raises ``Misconfigured`` where the file cannot be read."""
    path = home / FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Credential])
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.DecodeError):
        raise Misconfigured(
            "what uwu login kept cannot be read", code="credentials-unreadable", place=str(path), hint="uwu login anew"
        ) from None


def token(home: Path, url: str) -> str:
    """The token that is kept for ``url``; empty for none."""
    held = read(home).get(origin(url))
    return held.token if held is not None else ""


def keep(home: Path, url: str, credential: Credential | None) -> None:
    """Keeps ``credential`` for ``url``, or forgets it. The file is whole at every moment, and its owner's alone."""
    held = read(home)
    if credential is None:
        held.pop(origin(url), None)
    else:
        held[origin(url)] = credential
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = home / FILE
    draft = home / f"{FILE}.{secrets.token_hex(4)}"
    file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(file, "wb") as target:
            target.write(codec.encode(held))
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
