"""Globs of location targets: ``services/*/catalog-info.{yaml,yml}``."""

from __future__ import annotations

import re


def parted(target: str) -> tuple[str, re.Pattern[str] | None]:
    """A target's folder without wildcards, and the pattern of the rest; no pattern where it is a plain path."""
    parts = target.split("/")
    wild = next((i for i, part in enumerate(parts) if set(part) & set("*?[{")), None)
    if wild is None:
        return target, None
    pattern = "/".join(parts[wild:])
    out, index, braces = "", 0, 0
    while index < len(pattern):
        rest, char = pattern[index:], pattern[index]
        bracket = re.match(r"\[(!?)([^\]/]+)\]", rest)
        if rest.startswith("**/"):
            out, index = out + "(?:[^/]+/)*", index + 3
            continue
        if rest.startswith("**"):
            out, index = out + ".*", index + 2
            continue
        if bracket is not None:
            chosen = bracket[2].replace("\\", "\\\\")
            out, index = out + f"[{'^' if bracket[1] else ''}{chosen}]", index + bracket.end()
            continue
        if char == "{" and "}" in rest:
            out, braces = out + "(?:", braces + 1
        elif char == "}" and braces:
            out, braces = out + ")", braces - 1
        elif char == "," and braces:
            out += "|"
        else:
            out += {"*": "[^/]*", "?": "[^/]"}.get(char, re.escape(char))
        index += 1
    try:
        return "/".join(parts[:wild]) or ".", re.compile(out)
    except re.error:
        return "/".join(parts[:wild]) or ".", re.compile(re.escape(pattern))
