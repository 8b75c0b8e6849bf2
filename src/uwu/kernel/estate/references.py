"""References between entities, and to where entities come from."""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from uwu.kernel import schema
from uwu.kernel.errors import BadInput


class Reference(msgspec.Struct, frozen=True):
    """``kind:namespace/name`` in lower case."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.namespace}/{self.name}"


_REFERENCE = re.compile(r"(?:([^:/\s]+):)?(?:([^:/\s]+)/)?([^:/\s]+)")


def parse_reference(text: str, *, kind: str = "", namespace: str = "default") -> Reference:
    """``[kind:][namespace/]name`` in any case, with what the field says where a part is left out.

    Raises ``BadInput`` where it is not of that form, or names no kind and the field has no default one.
    """
    match = _REFERENCE.fullmatch(text.strip())
    if match is None:
        raise BadInput(
            f"{text!r} is no entity reference", code="reference-malformed", hint="write [kind:][namespace/]name"
        )
    found = Reference((match[1] or kind).lower(), (match[2] or namespace).lower(), match[3].lower())
    if not found.kind:
        raise BadInput(
            f"{text!r} does not say of what kind it is",
            code="reference-kind",
            hint=f"write the kind before it, such as component:{text.strip()}",
        )
    return found


def parse_location(text: str) -> tuple[str, str]:
    """``type:target``, parted at the first colon only: a target may hold colons. Raises ``BadInput``."""
    type, colon, target = text.partition(":")
    if not colon or not type or not target:
        raise BadInput(f"{text!r} is no location reference", code="location-malformed", hint="write type:target")
    return type, target


def near(reference: Reference, known: Iterable[str]) -> str:
    """The entity that was likely meant: this name in another place, or a near name of this kind."""
    same_kind: dict[str, str] = {}
    for ref in known:
        kind, _, rest = ref.partition(":")
        name = rest.partition("/")[2]
        if name == reference.name:
            return f"did you mean {ref}?"
        if kind == reference.kind:
            same_kind[name] = ref
    hint = schema.near(reference.name, same_kind)
    name = hint.removeprefix("did you mean ").removesuffix("?")
    return f"did you mean {same_kind[name]}?" if hint else f"declare {reference}, or correct the name"
