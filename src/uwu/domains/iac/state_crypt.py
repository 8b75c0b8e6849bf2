"""What a state holds, at rest: compressed (zstd), then encrypted under a key of its own that the home's key wraps.

AES-256-GCM (NIST SP 800-38D) in chunks, each bound to its blob, its place and whether it is the last: none can be
swapped, moved or left out. A blob's own key encrypts nothing else, so its nonces may count.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from collections.abc import Iterator
from typing import Any

import msgspec
import sqlalchemy as sa
import zstandard
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from uwu.domains.iac import tables
from uwu.kernel import codec, secret_file
from uwu.kernel.errors import Misconfigured, NotFound, UwuError
from uwu.kernel.runtime import Kernel
from uwu.kernel.settings import Settings

CHUNK_BYTES = 1_048_576
"""Compressed bytes in one row: what a reader holds at a time."""
LEVEL = 1
"""Of zstd: a state of 20 MB becomes 1 MB in some 20 ms; higher levels cost more than the disk that they save."""
PIECE_BYTES = 1_048_576
"""Plain bytes that a reader is given at a time."""
_KEY_BYTES, _NONCE_BYTES = 32, 12


class SealBroken(UwuError):
    """What is stored does not fit its seal: it was changed, or a part of it is gone."""

    code, status = "state-seal", 500


class Key(msgspec.Struct, frozen=True):
    """A key of the home, and its id: the beginning of its hash, by which a blob names it."""

    id: str
    secret: bytes


class Sealed(msgspec.Struct, frozen=True):
    """A blob that is ready to be stored."""

    id: str
    key: str
    wrapped: bytes
    bytes: int
    chunks: list[bytes]


class Keys:
    """The keys of one home: one that encrypts, and all that decrypt."""

    def __init__(self, current: Key, older: tuple[Key, ...] = ()) -> None:
        self.current = current
        self._by_id = {key.id: key for key in (*older, current)}

    def find(self, id: str) -> Key:
        """The key with this id. Raises ``Misconfigured`` (``state-key-missing``)."""
        key = self._by_id.get(id)
        if key is None:
            raise Misconfigured(
                f"a state is encrypted with the key {id}, which this home does not have",
                code="state-key-missing",
                place="iac.old_state_key_files",
                hint="bring its file back as iac.state_key_file, or name it in iac.old_state_key_files",
            )
        return key

    def derived(self, purpose: str) -> bytes:
        """32 bytes for another purpose (HKDF-SHA256, RFC 5869)."""
        return HKDF(SHA256(), _KEY_BYTES, None, purpose.encode()).derive(self.current.secret)


def keys(kernel: Kernel) -> Keys:
    """The keys of this home; the first is made where there is none, and nothing was encrypted with another.

    Raises ``Misconfigured`` (``state-key``, ``state-key-missing``).
    """
    found = kernel.__dict__.get("iac_keys")
    if found is None:
        found = _read(kernel)
        kernel.__dict__["iac_keys"] = found
    return found


def _read(kernel: Kernel) -> Keys:
    settings = kernel.settings
    named = settings.iac.state_key_env
    older = tuple(_from_file(settings, name) for name in settings.iac.old_state_key_files)
    given = os.environ.get(named, "") if named else ""
    if given:
        return Keys(_key(given, f"${named}"), older)
    path = settings.home_path / (settings.iac.state_key_file or "state.key")
    if not path.exists():
        b = tables.blobs
        with kernel.db.read() as connection:
            other = connection.execute(sa.select(b.c.key).limit(1)).scalar_one_or_none()
        if other is not None:
            raise Misconfigured(
                f"states of this database are encrypted with the key {other}; this home has none",
                code="state-key-missing",
                place=str(path),
                hint=f"bring the key's file here, or give the key in ${named}; a new one could not read them",
            )
        try:
            secret_file.once(path, lambda: base64.b64encode(os.urandom(_KEY_BYTES)) + b"\n")
        except OSError as error:
            raise _unusable(f"the states' key cannot be written: {error.strerror}", str(path)) from None
    return Keys(_from_file(settings, path.name if path.parent == settings.home_path else str(path)), older)


def _from_file(settings: Settings, name: str) -> Key:
    path = settings.home_path / name
    try:
        return _key(path.read_text("ascii"), str(path))
    except (OSError, UnicodeDecodeError):
        raise _unusable("a key of the states cannot be read", str(path)) from None


def _key(text: str, place: str) -> Key:
    try:
        secret = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        secret = b""
    if len(secret) != _KEY_BYTES:
        raise _unusable("this is no key for states", place)
    return Key(hashlib.sha256(b"uwu state key" + secret).hexdigest()[:16], secret)


def _unusable(message: str, place: str) -> Misconfigured:
    return Misconfigured(
        message, code="state-key", place=place, hint="a key is 32 random bytes in base64: openssl rand -base64 32"
    )


# ---- sealing


def seal(keys: Keys, data: bytes) -> Sealed:
    """``data`` compressed and encrypted. It takes some 3 ms a megabyte and no database."""
    id, own = codec.new_id("bl"), AESGCM.generate_key(256)
    packed = zstandard.ZstdCompressor(level=LEVEL).compress(data)
    parts = [packed[at : at + CHUNK_BYTES] for at in range(0, len(packed), CHUNK_BYTES)]
    cipher = AESGCM(own)
    sealed = [cipher.encrypt(_nonce(n), part, _bound(id, n, n == len(parts) - 1)) for n, part in enumerate(parts)]
    nonce = os.urandom(_NONCE_BYTES)
    wrapped = nonce + AESGCM(keys.current.secret).encrypt(nonce, own, id.encode())
    return Sealed(id, keys.current.id, wrapped, len(data), sealed)


def store(connection: sa.Connection, sealed: Sealed) -> str:
    """Writes a blob within the caller's transaction and gives its id."""
    connection.execute(
        tables.blobs.insert().values(
            id=sealed.id,
            key=sealed.key,
            wrapped=sealed.wrapped,
            bytes=sealed.bytes,
            chunks=len(sealed.chunks),
            created_at=codec.now(),
        )
    )
    for number, data in enumerate(sealed.chunks):
        connection.execute(tables.chunks.insert().values(blob=sealed.id, chunk=number, data=data))
    return sealed.id


def forget(connection: sa.Connection, blobs: list[str]) -> None:
    """Deletes blobs."""
    if blobs:
        connection.execute(tables.chunks.delete().where(tables.chunks.c.blob.in_(blobs)))
        connection.execute(tables.blobs.delete().where(tables.blobs.c.id.in_(blobs)))


# ---- opening


def pieces(kernel: Kernel, blob: str | sa.ColumnElement[Any]) -> Iterator[bytes]:
    """The plain bytes of a blob, some at a time; every row is read in a transaction of its own: a slow reader holds
    none open. Raises ``NotFound``, ``SealBroken``; ``Misconfigured`` where its key is not here."""
    b, c = tables.blobs, tables.chunks
    first = sa.and_(c.c.blob == b.c.id, c.c.chunk == 0)
    query = sa.select(b.c.id, b.c.key, b.c.wrapped, b.c.chunks, b.c.bytes, c.c.data)
    with kernel.db.read() as connection:
        row = connection.execute(query.select_from(b.outerjoin(c, first)).where(b.c.id == blob)).first()
    if row is None:
        raise NotFound("nothing is kept under this id", code="state-version-unknown", hint="uwu iac state versions")
    cipher = AESGCM(_unwrapped(keys(kernel), row.id, row))
    unpacking = zstandard.ZstdDecompressor().decompressobj()
    given, data = 0, row.data
    for number in range(row.chunks):
        if number:
            with kernel.db.read() as connection:
                one = sa.select(c.c.data).where(c.c.blob == row.id, c.c.chunk == number)
                data = connection.execute(one).scalar_one_or_none()
        try:
            packed = cipher.decrypt(_nonce(number), data or b"", _bound(row.id, number, number == row.chunks - 1))
            plain = unpacking.decompress(packed)
        except (InvalidTag, ValueError, zstandard.ZstdError):
            raise _broken(row.id) from None
        given += len(plain)
        if len(plain) <= PIECE_BYTES:
            yield plain
        else:
            view = memoryview(plain)
            yield from (bytes(view[at : at + PIECE_BYTES]) for at in range(0, len(plain), PIECE_BYTES))
    if given != row.bytes:
        raise _broken(row.id)


def rewrap(kernel: Kernel, limit: int = 500) -> int:
    """Wraps the keys of up to ``limit`` blobs anew with the current key, and gives how many there were: once none is
    left, an old key may go. The blobs themselves stay as they are."""
    b, held = tables.blobs, keys(kernel)
    with kernel.db.write() as connection:
        query = sa.select(b.c.id, b.c.key, b.c.wrapped).where(b.c.key != held.current.id).limit(limit)
        rows = connection.execute(query).all()
        for row in rows:
            own, nonce = _unwrapped(held, row.id, row), os.urandom(_NONCE_BYTES)
            wrapped = nonce + AESGCM(held.current.secret).encrypt(nonce, own, row.id.encode())
            connection.execute(b.update().where(b.c.id == row.id).values(key=held.current.id, wrapped=wrapped))
    return len(rows)


def _unwrapped(held: Keys, blob: str, row: Any) -> bytes:
    nonce, rest = row.wrapped[:_NONCE_BYTES], row.wrapped[_NONCE_BYTES:]
    try:
        return AESGCM(held.find(row.key).secret).decrypt(nonce, rest, blob.encode())
    except (InvalidTag, ValueError):
        raise _broken(blob) from None


def _nonce(number: int) -> bytes:
    return number.to_bytes(_NONCE_BYTES, "big")


def _bound(blob: str, number: int, last: bool) -> bytes:
    return f"{blob} {number} {'last' if last else 'more'}".encode()


def _broken(blob: str) -> SealBroken:
    return SealBroken(
        "what is stored of this state does not fit its seal",
        place=blob,
        hint="the database was changed or damaged: roll back to another version, or restore a backup of the database",
    )
