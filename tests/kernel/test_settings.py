from __future__ import annotations

from pathlib import Path

import pytest

from uwu.kernel import settings
from uwu.kernel.errors import Misconfigured


def test_defaults_lie_under_the_home(tmp_path: Path) -> None:
    loaded = settings.load(tmp_path, {})
    assert loaded.state_url == f"sqlite:///{tmp_path}/state.db"
    assert loaded.estate_paths == (tmp_path / "estate",)
    assert loaded.warehouse == f"{tmp_path}/lake"
    assert loaded.http.host == "127.0.0.1"


def test_a_variable_overrides_the_file(tmp_path: Path) -> None:
    (tmp_path / "uwu.toml").write_text('[aws]\nregions = ["us-east-1"]\nmax_attempts = 2\n[http]\nport = 9000\n')
    loaded = settings.load(tmp_path, {"UWU_AWS_REGIONS": "eu-west-1, eu-north-1", "UWU_HTTP_PORT": "9001"})
    assert loaded.aws.regions == ("eu-west-1", "eu-north-1")
    assert (loaded.http.port, loaded.aws.max_attempts) == (9001, 2)


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        ("[aws\n", "settings-syntax", "line 1"),
        ("[aws]\nregoins = []\n", "settings-invalid", "regoins"),
        ("[http]\nport = 70000\n", "settings-invalid", "$.http.port"),
        ("[query]\ntimeout_seconds = 0\n", "settings-invalid", "$.query.timeout_seconds"),
    ],
)
def test_a_setting_that_does_not_fit_is_named_with_its_place(tmp_path: Path, text: str, code: str, says: str) -> None:
    (tmp_path / "uwu.toml").write_text(text)
    with pytest.raises(Misconfigured) as caught:
        settings.load(tmp_path, {})
    problem = caught.value.problem
    assert problem.code == code
    assert problem.place == str(tmp_path / "uwu.toml")
    assert says in problem.message
    assert problem.hint
