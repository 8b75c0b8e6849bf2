"""What is set, and where it comes from: a default, the file, a variable. Secrets are redacted."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, cast

import msgspec

from uwu.kernel import codec
from uwu.kernel.settings import Section, Settings

Source = Literal["default", "file", "variable"]
STARS = "***"
_SECRET = re.compile(r"(secret|password|token|private_key|^url)s?$")
_USER = re.compile(r"(://[^/@\s:]*):[^/@\s]*@")


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """One key with its value as text."""

    key: str
    """``drift.stale_after_hours``, ``notify.channels.ops.quiet``."""
    value: str
    """As TOML writes it; empty for an empty one."""
    source: Source
    variable: str
    """The variable that overrides it."""


class Part(msgspec.Struct, frozen=True):
    """A table of ``uwu.toml``; ``name`` is empty for the top."""

    name: str
    title: str
    settings: tuple[Setting, ...]


def parts(settings: Settings, environ: Mapping[str, str] | None = None) -> list[Part]:
    """Every key of ``settings`` by its table, with the source that its value has now."""
    env = os.environ if environ is None else environ
    written = _file(settings.home_path / "uwu.toml")
    top: list[Setting] = []
    found: list[Part] = []
    for field in msgspec.structs.fields(Settings):
        value = getattr(settings, field.name)
        if isinstance(value, Section):
            rows = tuple(_rows(value, field.name, _table(written.get(field.name)), env))
            found.append(Part(field.name, _summary(type(value)), rows))
        else:
            top.append(_one(field.name, value, written, env))
    return [Part("", "Everything that stands above the first table.", tuple(top)), *found]


def _rows(section: Section, path: str, written: Mapping[str, Any], env: Mapping[str, str]) -> Iterator[Setting]:
    for field in msgspec.structs.fields(section):
        value, key = getattr(section, field.name), f"{path}.{field.name}"
        if isinstance(value, dict):
            below = _table(written.get(field.name))
            for name, inner in cast("dict[str, Any]", value).items():
                if isinstance(inner, Section):
                    yield from _rows(inner, f"{key}.{name}", _table(below.get(name)), env)
        elif isinstance(value, tuple) and value and isinstance(value[0], Section):
            for index, inner in enumerate(cast("tuple[Section, ...]", value), start=1):
                shown = ", ".join(
                    f"{name} = {_text(name, each)}" for name, each in msgspec.structs.asdict(inner).items()
                )
                yield Setting(key=f"{key}[{index}]", value=shown, source="file", variable="")
        else:
            yield _one(field.name, value, written, env, key)


def _one(name: str, value: Any, written: Mapping[str, Any], env: Mapping[str, str], key: str = "") -> Setting:
    variable = "UWU_" + re.sub(r"[.-]", "_", key or name).upper()
    source: Source = "variable" if variable in env else "file" if name in written else "default"
    return Setting(key=key or name, value=_text(name, value), source=source, variable=variable)


def _text(name: str, value: Any) -> str:
    if value in ("", (), None):
        return ""
    if isinstance(value, str):
        scheme = value.partition("://")
        if _SECRET.search(name):
            return f"{scheme[0]}://{STARS}" if scheme[1] else STARS
        return _USER.sub(rf"\1:{STARS}@", value)
    if _SECRET.search(name):
        return STARS
    text = codec.encode(value).decode()
    return _USER.sub(rf"\1:{STARS}@", text)


def _summary(kind: type[Section]) -> str:
    return " ".join((kind.__doc__ or "").replace("``", "").split())


def _table(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _file(path: Path) -> dict[str, Any]:
    """The file as it is now: it was whole when the settings were read, and may be half-written while it is edited."""
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
