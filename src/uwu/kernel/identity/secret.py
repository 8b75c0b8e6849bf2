"""Secrets that people and programs show: how they are made, told apart and kept. Only their SHA-256 is ever stored."""

from __future__ import annotations

import hashlib
import re
import secrets
import zlib

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SECRET_CHARACTERS, _CHECK_CHARACTERS = 32, 6  # 190 bits of secret; a CRC-32 fills six characters of base 62
TOKEN = re.compile(r"uwu_([0-9a-z]{26})_([0-9A-Za-z]{32})([0-9A-Za-z]{6})")
"""What secret scanners look for: a public id, a secret, and the CRC-32 of what stands before it."""

USER_CODE_ALPHABET = "BCDFGHJKLMNPQRSTVWXZ"
"""Consonants that are not mistaken for one another and spell no word (RFC 8628, 6.1)."""


def hashed(secret: str) -> str:
    """Hex SHA-256 of ``secret``: enough for what has more than 128 random bits."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _check(text: str) -> str:
    number, out = zlib.crc32(text.encode()), ""
    for _ in range(_CHECK_CHARACTERS):
        number, digit = divmod(number, len(_ALPHABET))
        out = _ALPHABET[digit] + out
    return out


def token(id: str) -> str:
    """The whole token of the row ``t_...``; it is shown once."""
    body = f"uwu_{id.removeprefix('t_')}_" + "".join(secrets.choice(_ALPHABET) for _ in range(_SECRET_CHARACTERS))
    return body + _check(body)


def is_token(text: str) -> bool:
    """Whether ``text`` is a token that was typed and copied right; nothing is asked of the database."""
    found = TOKEN.fullmatch(text)
    return found is not None and secrets.compare_digest(_check(text[:-_CHECK_CHARACTERS]), found[3])


def opaque() -> str:
    """256 random bits for a cookie or a device code."""
    return secrets.token_urlsafe(32)


def user_code() -> str:
    """What a person compares: ``WDJB-MJHT``."""
    letters = "".join(secrets.choice(USER_CODE_ALPHABET) for _ in range(8))
    return f"{letters[:4]}-{letters[4:]}"


def as_user_code(text: str) -> str:
    """``text`` as a person types it, in the form of ``user_code``; empty where it is none."""
    letters = re.sub(r"[\s-]", "", text).upper()
    fits = len(letters) == 8 and all(letter in USER_CODE_ALPHABET for letter in letters)
    return f"{letters[:4]}-{letters[4:]}" if fits else ""
