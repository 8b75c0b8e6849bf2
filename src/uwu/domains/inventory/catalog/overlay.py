"""What people know of operations and models do not tell: which of them list no resources of the account, and why."""

from __future__ import annotations

import re
from fnmatch import translate
from functools import cache
from importlib.resources import files

KEPT = "kept"
"""The section of ``left_out.txt`` that names what is not left out."""


@cache
def _rules() -> tuple[tuple[re.Pattern[str], str], ...]:
    """(what fits ``service operation``, why), in the order of ``left_out.txt``."""
    text = (files("uwu.domains.inventory.catalog") / "left_out.txt").read_text("utf-8")
    found: list[tuple[re.Pattern[str], str]] = []
    why = ""
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        if line.startswith("["):
            why = line.strip().strip("[]")
            continue
        service, *operations = line.split()
        forms = "|".join(translate(f"{service} {operation}") for operation in operations)
        found.append((re.compile(forms), why))
    return tuple(found)


def reason(service: str, operation: str) -> str:
    """Why ``operation`` of ``service`` lists no type of resource of the account; empty where it does."""
    said = f"{service} {operation}"
    why = next((why for form, why in _rules() if form.match(said)), "")
    return "" if why == KEPT else why
