"""What is looked at before a state is taken: that it is one, whole, and what it says of itself."""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Any

import msgspec

from uwu.domains.iac import state
from uwu.kernel.errors import BadInput

MAX_SERIAL = 2**63 - 1
"""Terraform's own is 64 bits wide; PostgreSQL's is signed."""


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """What a state says of itself."""

    serial: int
    lineage: str
    terraform_version: str
    resources: int
    """Managed instances."""
    outputs: int
    opaque: bool
    """OpenTofu has encrypted it: only serial and lineage can be read."""


class _Resource(msgspec.Struct, frozen=True):
    mode: str
    type: str
    name: str
    instances: list[msgspec.Raw] = []


class _Top(msgspec.Struct, frozen=True):
    serial: int
    lineage: str
    version: int = 0
    terraform_version: str = ""
    resources: list[_Resource] | None = None
    outputs: dict[str, msgspec.Raw] | None = None
    encrypted_data: str = ""


_decoder = msgspec.json.Decoder(_Top)


def head(data: bytes, place: str) -> Head:
    """What the state in ``data`` says of itself; ``place`` names it in errors. Attributes are passed over unread.

    Raises ``BadInput`` with the code ``state-empty``, ``state-truncated``, ``state-json``, ``state-shape`` or
    ``state-version``. No message holds a part of the state.
    """
    try:
        top = _decoder.decode(data)
        if not data.isascii():
            data.decode()  # what is passed over unread may be no text
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise _reason(data, place) from None
    if not top.encrypted_data and top.version != state.VERSION:
        raise _reason(data, place)
    if not top.lineage or not 0 <= top.serial <= MAX_SERIAL:
        raise _shape(place, "it has no lineage" if not top.lineage else "its serial is no number of 63 bits")
    return Head(
        serial=top.serial,
        lineage=top.lineage,
        terraform_version=top.terraform_version,
        resources=sum(len(each.instances) for each in top.resources or () if each.mode == "managed"),
        outputs=len(top.outputs or {}),
        opaque=bool(top.encrypted_data),
    )


def check_md5(data: bytes, told: str, place: str) -> str:
    """The MD5 of ``data`` in hex. Raises ``BadInput`` (``state-md5``) where ``told``, in hex or base64, is another."""
    found = hashlib.md5(data, usedforsecurity=False).digest()
    if not told:
        return found.hex()
    try:
        given = bytes.fromhex(told) if len(told) == 32 else base64.b64decode(told, validate=True)
    except (binascii.Error, ValueError):
        given = b""
    if given != found:
        raise BadInput(
            "the state is not what its MD5 says: it was cut off or changed on the way",
            code="state-md5",
            place=place,
            hint="send it again; nothing was kept",
        )
    return found.hex()


def _reason(data: bytes, place: str) -> BadInput:
    """What the reader of states has against ``data``; where it finds nothing, its shape."""
    try:
        state.parse(data, place)
        top: Any = msgspec.json.decode(data)
    except BadInput as error:
        return error
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return _shape(place, "it is not written in UTF-8")
    for name, kind in (("serial", int), ("lineage", str)):
        if not isinstance(top.get(name), kind):
            return _shape(place, f"it has no {name}")
    return _shape(place, "resources or outputs are not of the form that version 4 has")


def _shape(place: str, what: str) -> BadInput:
    return BadInput(
        f"this is no Terraform state: {what}",
        code="state-shape",
        place=place,
        hint="give what terraform state pull prints",
    )
