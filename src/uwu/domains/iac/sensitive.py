"""Keeps secrets of a state out of the database: they are replaced before anything is stored."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from uwu.kernel.sensitive import MARK, fingerprint, is_marked

_SECRET = re.compile(
    r"(^|[_-])(password|passwd|passphrase|secret|secret_(string|binary|key)|private_key(_pem)?|token|credentials?"
    r"|key_material|plaintext|connection_string|api_?key|user_data(_base64)?|smtp_password(_v\d)?)$",
    re.IGNORECASE,
)
_HASHED: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "aws_lambda_function": (("environment", "variables"),),
    "aws_cloudformation_stack": (("parameters",),),
}
"""Maps whose values may be secrets and must still be compared: a short digest tells whether one has changed."""


def redacted(type: str, attributes: Mapping[str, Any], sensitive: Iterable[tuple[str | int, ...]]) -> dict[str, Any]:
    """``attributes`` of a ``type`` without secrets: those at the paths ``sensitive``, and well-known ones."""
    kept: dict[str, Any] = _named(attributes)
    for path in sensitive:
        _mark(kept, path)
    for path in _HASHED.get(type, ()):
        _fingerprint(kept, path)
    return kept


def _named(value: Any, name: str = "") -> Any:
    if isinstance(value, Mapping):
        return {key: _named(each, str(key)) for key, each in value.items()}
    if isinstance(value, list):
        return [_named(each, name) for each in value]
    if isinstance(value, str) and value and _SECRET.search(name):
        return MARK
    return value


def _mark(value: Any, path: tuple[str | int, ...]) -> None:
    *parents, last = path or ("",)
    for step in parents:
        value = _get(value, step)
    if _get(value, last) is not None:
        value[last] = MARK


def _get(value: Any, step: str | int) -> Any:
    if isinstance(value, dict):
        return value.get(step)
    if isinstance(value, list) and isinstance(step, int) and step < len(value):
        return value[step]
    return None


def _fingerprint(value: Any, path: tuple[str, ...]) -> None:
    """Replaces the values of the map at ``path``; a block is a list of one object."""
    if isinstance(value, list):
        for each in value:
            _fingerprint(each, path)
    elif isinstance(value, dict):
        if path:
            _fingerprint(value.get(path[0]), path[1:])
        else:
            for key, each in value.items():
                value[key] = MARK if _SECRET.search(str(key)) or is_marked(each) else fingerprint(each)
