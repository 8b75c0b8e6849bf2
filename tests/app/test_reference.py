"""docs/reference says what the code says."""

from __future__ import annotations

from uwu.app import reference


def test_the_reference_is_current() -> None:
    stale = [
        name
        for name, text in reference.pages().items()
        if not (reference.DOCS / name).exists() or (reference.DOCS / name).read_text("utf-8") != text
    ]
    assert stale == [], "run: make reference"


def test_every_setting_is_told() -> None:
    told = reference.pages()["settings.md"]
    assert "| `regions` | list of text |" in told
    assert "`UWU_DRIFT_STALE_AFTER_HOURS`" in told
