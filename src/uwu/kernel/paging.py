"""Cursors of lists: where a page ended, by the values that it is ordered by. What is added meanwhile moves nothing."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import msgspec

from uwu.kernel import codec
from uwu.kernel.errors import BadInput

_LONGEST = 4000


def cursor(*values: Any) -> str:
    """The place behind the row that has these ``values`` in the order of its list. Opaque: nothing to build by hand."""
    return base64.urlsafe_b64encode(codec.encode(values)).decode().rstrip("=")


def place(after: str, *types: Any) -> tuple[Any, ...] | None:
    """The values of a ``cursor`` of these ``types``; None for an empty one.

    Raises ``BadInput`` (code ``cursor-malformed``) for one that this list did not give.
    """
    if not after:
        return None
    try:
        raw = base64.urlsafe_b64decode(after[:_LONGEST] + "=" * (-len(after) % 4))
        return msgspec.json.decode(raw, type=tuple[types])  # type: ignore[valid-type]
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        raise BadInput(
            f"{after[:40]!r} is not a place in this list",
            code="cursor-malformed",
            place="after",
            hint="give the after of the page before, unchanged, or none for the first page",
        ) from None
