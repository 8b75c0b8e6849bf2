"""What may not be kept: credentials and passwords in what a call asked and answered.

CloudTrail itself hides most, not all: session tokens stand in full in STS responses.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from uwu.domains.trail.mapping import norm

REDACTED = "(redacted)"

_EXACT = frozenset({"authorization", "plaintext", "secretbinary", "secretstring", "userdata", "ciphertextforrecipient"})
_ENDINGS = ("password", "passphrase", "secretaccesskey", "secretkey", "sessiontoken", "securitytoken", "privatekey")
_ENDINGS += ("clientsecret", "apitoken", "authtoken", "accesstoken", "refreshtoken", "idtoken", "keymaterial")
_ENDINGS += ("samlassertion", "webidentitytoken", "passworddata", "credentialstring")
_OPEN = frozenset({"clienttoken", "nexttoken", "manageduserpassword", "managemasteruserpassword", "rotatepassword"})


@lru_cache(maxsize=20_000)
def is_secret(key: str) -> bool:
    """Whether a member of this name holds a secret."""
    name = norm(key)
    return name in _EXACT or (name.endswith(_ENDINGS) and name not in _OPEN)


def redact(value: Any) -> Any:
    """``value`` with the text of secret members replaced; the same object where there is none."""
    if isinstance(value, dict):
        changed: dict[str, Any] | None = None
        for key, inner in value.items():
            kept = REDACTED if inner and not isinstance(inner, bool) and is_secret(key) else redact(inner)
            if kept is not inner:
                if changed is None:
                    changed = dict(value)
                changed[key] = kept
        return value if changed is None else changed
    if isinstance(value, list):
        kept_list = [redact(inner) for inner in value]
        return kept_list if any(a is not b for a, b in zip(kept_list, value, strict=True)) else value
    return value


def _spelled(word: str) -> str:
    """``word`` in any case, with anything that a name may have between its letters."""
    return '[^a-z0-9"]*'.join(word)


MAY_HOLD = "(?i)" + "|".join(_spelled(word) for word in (*sorted(_EXACT), *_ENDINGS))
"""A pattern (RE2) that JSON text with a secret member matches, and some that holds none."""
