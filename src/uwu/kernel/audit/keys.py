"""The key that signs checkpoints: Ed25519 (RFC 8032), made on first use, kept in a file that only its owner reads."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from uwu.kernel import secret_file
from uwu.kernel.errors import BadInput, Misconfigured
from uwu.kernel.settings import Settings

_RAW = serialization.Encoding.Raw, serialization.PublicFormat.Raw
_PEM = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo


def key_path(settings: Settings) -> Path:
    """Where the private key lies."""
    return settings.home_path / (settings.audit.key_file or "audit.key")


def private_key(settings: Settings) -> Ed25519PrivateKey:
    """The key of this home, made where there is none yet. Raises ``Misconfigured`` for a file that holds another."""
    path = key_path(settings)
    if not path.exists():
        _make(path)
    try:
        data = path.read_bytes()
        key = serialization.load_pem_private_key(data, password=None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm):
        raise _no_key(path) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise _no_key(path)
    return key


def _no_key(path: Path) -> Misconfigured:
    return Misconfigured(
        "the audit's key cannot be read",
        code="audit-key",
        place=str(path),
        hint="audit.key_file names a PEM file with an Ed25519 private key without a passphrase, or none yet",
    )


def _make(path: Path) -> None:
    def pem() -> bytes:
        encoding = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        return Ed25519PrivateKey.generate().private_bytes(*encoding)

    try:
        secret_file.once(path, pem)
    except OSError as error:
        raise Misconfigured(
            f"the audit's key cannot be written: {error.strerror}",
            code="audit-key",
            place=str(path),
            hint="the home must be writable, or audit.key_file name a key that is there",
        ) from None


def known_key(settings: Settings) -> Ed25519PublicKey | None:
    """The public key of this home; None where no key was made yet."""
    return private_key(settings).public_key() if key_path(settings).exists() else None


def id_of(key: Ed25519PublicKey) -> str:
    """How checkpoints name a key: the beginning of the SHA-256 of its 32 bytes."""
    return hashlib.sha256(key.public_bytes(*_RAW)).hexdigest()[:16]


def pem_of(key: Ed25519PublicKey) -> str:
    """The public key as PEM (SubjectPublicKeyInfo), as ``openssl pkey -pubin`` reads it."""
    return key.public_bytes(*_PEM).decode()


def read_public(pem: str, place: str = "") -> Ed25519PublicKey:
    """The key of a PEM. Raises ``BadInput``."""
    try:
        key = serialization.load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise BadInput(
            "this is no Ed25519 public key in PEM",
            code="audit-key",
            place=place,
            hint="uwu audit key prints that of a home",
        )
    return key


def trusted(settings: Settings, more: Iterable[str] = ()) -> dict[str, Ed25519PublicKey]:
    """Keys by their id: this home's own, the setting's (PEM files), and the PEMs of ``more``."""
    found = [read_public(pem, "key") for pem in more]
    own = known_key(settings)
    found += [own] if own is not None else []
    for name in settings.audit.trusted_keys:
        path = settings.home_path / name
        try:
            found.append(read_public(path.read_text("utf-8"), str(path)))
        except (OSError, UnicodeDecodeError, BadInput):
            raise Misconfigured(
                "a trusted key of the audit cannot be read",
                code="audit-key",
                place=str(path),
                hint="audit.trusted_keys names PEM files of public keys",
            ) from None
    return {id_of(key): key for key in found}


def signs(keys: Mapping[str, Ed25519PublicKey], key: str, signature: str, message: bytes) -> bool:
    """Whether ``signature`` (hex) over ``message`` is that of the key with this id."""
    public = keys.get(key)
    if public is None:
        return False
    try:
        public.verify(bytes.fromhex(signature), message)
    except (InvalidSignature, ValueError):
        return False
    return True
