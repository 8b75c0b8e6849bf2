"""Keeps known secrets out of texts that programs of others write: a log, a value that repeats a secret elsewhere."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from uwu.kernel.sensitive import MARK

LEAST = 4
"""A shorter secret is not looked for: it would stand in every second word. What marks it by its place still holds."""
_FEW = 64
"""So many secrets are one pattern; more are looked up by their length."""


class Scrubber:
    """Replaces the secrets it was given wherever they stand in a text, also as JSON and Go write them in quotes."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._known: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        self._lengths: list[int] = []
        self.add(secrets)

    def add(self, secrets: Iterable[str]) -> None:
        """More of them. A text of several lines is one for each of its lines too, as a log has it."""
        for secret in secrets:
            for text in {secret, *secret.splitlines()}:
                text = text.strip()
                if len(text) >= LEAST and text != MARK:
                    self._known.update({text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]})
        self._lengths = sorted({len(text) for text in self._known}, reverse=True)
        few = sorted(self._known, key=len, reverse=True) if 0 < len(self._known) <= _FEW else []
        self._pattern = re.compile("|".join(map(re.escape, few))) if few else None

    def within(self, data: bytes) -> Scrubber:
        """One for those of its secrets that stand in ``data``, which is JSON in UTF-8: mostly for none."""
        return Scrubber(text for text in self._known if text.encode("utf-8", "surrogatepass") in data)

    def __bool__(self) -> bool:
        return bool(self._known)

    def text(self, text: str) -> str:
        """``text`` with a mark in the place of each secret."""
        if not self._known or len(text) < LEAST:
            return text
        if text in self._known:
            return MARK
        if self._pattern is not None:
            return self._pattern.sub(MARK, text)
        return self._by_length(text)

    def _by_length(self, text: str) -> str:
        kept: list[str] = []
        at = begun = 0
        while at < len(text):
            found = next((n for n in self._lengths if text[at : at + n] in self._known), 0)
            if found:
                kept += [text[begun:at], MARK]
                at = begun = at + found
            else:
                at += 1
        return "".join([*kept, text[begun:]]) if kept else text

    def value(self, value: Any) -> Any:
        """A JSON value, each text in it scrubbed; keys stay."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {key: self.value(each) for key, each in value.items()}
        if isinstance(value, list):
            return [self.value(each) for each in value]
        return value
