"""Every setting with its source, and no secret."""

from __future__ import annotations

from pathlib import Path

from uwu.kernel import effective, settings
from uwu.kernel.effective import Setting

TOML = """
database_url = "postgresql+psycopg://uwu:hunter2@db.example/uwu"
[drift]
stale_after_hours = 12
[notify.channels.ops]
url = "slack://hunter2/hunter3/hunter4"
secret_file = "secrets/ops"
[[notify.routes]]
channel = "ops"
kinds = ["finding.*"]
"""


def held(home: Path, env: dict[str, str]) -> dict[str, Setting]:
    parts = effective.parts(settings.load(home, env), env)
    return {setting.key: setting for part in parts for setting in part.settings}


def test_each_key_says_where_its_value_comes_from(tmp_path: Path) -> None:
    (tmp_path / "uwu.toml").write_text(TOML)
    keys = held(tmp_path, {"UWU_QUERY_MAX_ROWS": "5"})
    assert (keys["drift.stale_after_hours"].value, keys["drift.stale_after_hours"].source) == ("12", "file")
    assert (keys["query.max_rows"].value, keys["query.max_rows"].source) == ("5", "variable")
    assert (keys["query.memory_mb"].source, keys["query.memory_mb"].variable) == ("default", "UWU_QUERY_MEMORY_MB")
    assert keys["notify.channels.ops.secret_file"].value == "secrets/ops"
    assert keys["notify.channels.ops.quiet"].source == "default"
    assert 'kinds = ["finding.*"]' in keys["notify.routes[1]"].value


def test_no_value_holds_a_secret(tmp_path: Path) -> None:
    (tmp_path / "uwu.toml").write_text(TOML)
    keys = held(tmp_path, {})
    assert not [setting for setting in keys.values() if "hunter" in setting.value]
    assert keys["database_url"].value == "postgresql+psycopg://uwu:***@db.example/uwu"
    assert keys["notify.channels.ops.url"].value == "slack://***"


def test_a_file_that_is_being_edited_is_no_error(tmp_path: Path) -> None:
    loaded = settings.load(tmp_path, {})
    (tmp_path / "uwu.toml").write_text("[drift\n")
    assert all(setting.source == "default" for part in effective.parts(loaded, {}) for setting in part.settings)
