"""Keeps secrets of a state out of sight: they are replaced before anything is stored or shown."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

import msgspec

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


_KNOWN: Mapping[str, tuple[str, ...]] = {
    "aws_iam_access_key": ("encrypted_secret", "encrypted_ses_smtp_password_v4"),
    "aws_kms_ciphertext": ("ciphertext_blob",),
    "aws_ssm_parameter": ("value", "value_wo"),
    "github_actions_secret": ("plaintext_value", "encrypted_value"),
    "helm_release": ("set_sensitive",),
    "kubernetes_secret": ("data", "binary_data"),
    "kubernetes_secret_v1": ("data", "binary_data"),
    "local_sensitive_file": ("content", "content_base64"),
    "random_bytes": ("base64", "hex"),
    "random_password": ("result", "bcrypt_hash"),
    "tls_private_key": ("private_key_openssh", "private_key_pem", "private_key_pem_pkcs8"),
    "vault_generic_secret": ("data", "data_json"),
    "vault_kv_secret_v2": ("data", "data_json"),
}
"""Attributes that providers keep secret under a name that does not say so. Terraform before 1.10 does not write what a
provider's schema calls sensitive into the state."""


def marked(type: str, attributes: Mapping[str, Any], sensitive: Iterable[tuple[str | int, ...]]) -> dict[str, Any]:
    """``attributes`` of a ``type``, each secret replaced by a mark that differs where the secret does: to be compared,
    never to be stored or shown."""
    kept = _compared(attributes)
    for path in [*sensitive, *((name,) for name in _KNOWN.get(type, ()))]:
        *parents, last = path or ("",)
        value: Any = kept
        for step in parents:
            value = _get(value, step)
        if (secret := _get(value, last)) is not None:
            value[last] = fingerprinted(secret)
    for path in _HASHED.get(type, ()):
        _fingerprint(kept, path)
    return kept


def secrets(type: str, attributes: Mapping[str, Any], sensitive: Iterable[tuple[str | int, ...]]) -> Iterator[Any]:
    """The secret values of ``attributes``: those at the paths ``sensitive``, and well-known ones."""
    for path in [*sensitive, *((name,) for name in _KNOWN.get(type, ()))]:
        value: Any = attributes
        for step in path:
            value = _get(value, step)
        if value is not None:
            yield value
    yield from _found(attributes)


def _found(value: Any, name: str = "") -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from _found(each, str(key))
    elif isinstance(value, list):
        for each in value:
            yield from _found(each, name)
    elif isinstance(value, str) and value and _SECRET.search(name):
        yield value


def _compared(value: Any, name: str = "") -> Any:
    if isinstance(value, Mapping):
        return {key: _compared(each, str(key)) for key, each in value.items()}
    if isinstance(value, list):
        return [_compared(each, name) for each in value]
    return fingerprinted(value) if isinstance(value, str) and value and _SECRET.search(name) else value


_SALT = os.urandom(16)


def fingerprinted(value: Any) -> str:
    """A mark that differs where ``value`` differs, within this process: whoever sees one learns nothing from it."""
    if is_marked(value):
        return value
    told = hashlib.blake2b(msgspec.json.encode(value, order="sorted"), key=_SALT, digest_size=8).hexdigest()
    return f"{MARK[:-1]} {told})"


def unfingerprinted(text: str) -> str:
    """``text`` where it is no mark; else the plain mark."""
    return MARK if is_marked(text) else text


def redacted(type: str, attributes: Mapping[str, Any], sensitive: Iterable[tuple[str | int, ...]]) -> dict[str, Any]:
    """``attributes`` of a ``type`` without secrets: those at the paths ``sensitive``, and well-known ones."""
    kept: dict[str, Any] = _named(attributes if isinstance(attributes, dict) else dict(attributes))
    for path in [*sensitive, *((name,) for name in _KNOWN.get(type, ()))]:
        _mark(kept, path)
    for path in _HASHED.get(type, ()):
        _fingerprint(kept, path)
    return kept


def _named(value: Any, name: str = "") -> Any:
    if isinstance(value, str):
        return MARK if value and _says_secret(name) else value
    if isinstance(value, dict):
        return {key: _named(each, str(key)) for key, each in value.items()}
    if isinstance(value, list):
        return [_named(each, name) for each in value]
    return value


@lru_cache(20_000)
def _says_secret(name: str) -> bool:
    """Whether an attribute's name says that it is a secret. States repeat few names often."""
    return _SECRET.search(name) is not None


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
