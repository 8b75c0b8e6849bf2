"""What a module says of itself: its README, the variables that it takes, the outputs that it gives."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from uwu.kernel.errors import BadInput

MAX_README = 200_000
_WRAPPED = re.compile(r"\$\{(.*)\}", re.DOTALL)


class Input(msgspec.Struct, frozen=True, kw_only=True):
    """A variable."""

    name: str
    type: str = ""
    description: str = ""
    default: str = ""
    """As it is written; empty where it must be given."""
    required: bool = True
    sensitive: bool = False


class Output(msgspec.Struct, frozen=True, kw_only=True):
    """An output."""

    name: str
    description: str = ""
    sensitive: bool = False


class Docs(msgspec.Struct, frozen=True, kw_only=True):
    """What is shown of a module."""

    readme: str = ""
    inputs: list[Input] = []
    outputs: list[Output] = []


def of(files: Mapping[str, bytes]) -> Docs:
    """The docs of a module by the files at its top. Raises ``BadInput`` (``module-syntax``) with the file's name."""
    inputs: list[Input] = []
    outputs: list[Output] = []
    for name in sorted(files):
        if not name.endswith((".tf", ".tf.json")):
            continue
        held = parsed(name, files[name])
        for label, body in _blocks(held, "variable"):
            default = body.get("default", msgspec.UNSET)
            given = default is not msgspec.UNSET
            inputs.append(
                Input(
                    name=label,
                    type=_text(body.get("type", "")),
                    description=_text(body.get("description", "")),
                    default=_shown(default) if given and body.get("sensitive") is not True else "",
                    required=not given,
                    sensitive=body.get("sensitive") is True,
                )
            )
        outputs += [
            Output(name=label, description=_text(body.get("description", "")), sensitive=body.get("sensitive") is True)
            for label, body in _blocks(held, "output")
        ]
    readme = next((files[name] for name in sorted(files) if name.lower() in ("readme.md", "readme")), b"")
    inputs.sort(key=lambda each: (not each.required, each.name))
    return Docs(
        readme=readme.decode("utf-8", "replace")[:MAX_README],
        inputs=inputs,
        outputs=sorted(outputs, key=lambda each: each.name),
    )


def parsed(name: str, data: bytes) -> dict[str, Any]:
    """A file of a configuration as plain values. Raises ``BadInput`` (``module-syntax``)."""
    try:
        text = data.decode()
        if name.endswith(".json"):
            held = json.loads(text)
        else:
            import hcl2

            held = hcl2.loads(text if text.endswith("\n") else text + "\n")
    except Exception as error:
        told = str(error).partition("\n")[0][:200]
        raise BadInput(
            f"the file is no configuration: {told}", code="module-syntax", place=name, hint="terraform validate"
        ) from None
    return held if isinstance(held, dict) else {}


def _blocks(held: Mapping[str, Any], kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    given = held.get(kind, [])
    for each in given if isinstance(given, list) else [given]:
        for label, body in each.items() if isinstance(each, dict) else ():
            body = body[0] if isinstance(body, list) and body else body
            yield _text(label), body if isinstance(body, dict) else {}


def _text(value: Any) -> str:
    """A string as it is meant, an expression as it is written."""
    if not isinstance(value, str):
        return json.dumps(value)
    if len(value) >= 2 and value[0] == value[-1] == '"':
        try:
            return str(json.loads(value))
        except ValueError:
            return value[1:-1]
    found = _WRAPPED.fullmatch(value)
    return found[1] if found else value


def _shown(value: Any) -> str:
    if isinstance(value, str):
        found = _WRAPPED.fullmatch(value)
        return found[1] if found else value if value.startswith('"') else json.dumps(value)
    return "null" if value is None else json.dumps(value, ensure_ascii=False)
