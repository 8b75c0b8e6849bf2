"""The command line as people meet it: real processes, what they print and how they end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

UWU = Path(sys.executable).parent / "uwu"


def uwu(*arguments: str, home: Path, **env: str) -> subprocess.CompletedProcess[str]:
    base = {k: v for k, v in os.environ.items() if not k.startswith(("UWU_", "AWS_"))}
    given = {**base, "UWU_HOME": str(home), "AWS_EC2_METADATA_DISABLED": "true", "HOME": str(home), **env}
    return subprocess.run([UWU, *arguments], env=given, capture_output=True, text=True, timeout=120, check=False)


def test_help_tells_every_command_on_a_line(tmp_path: Path) -> None:
    told = uwu("--help", home=tmp_path)
    assert told.returncode == 0
    for command in ("explain", "findings", "query", "demo", "sync", "serve", "catalog", "trail", "audit"):
        line = next(line for line in told.stdout.splitlines() if line.startswith(f"│ {command} "))
        assert len(line.strip("│ ").split()) > 3, line


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from uwu.app.cli import run; run(['--help'])\n"
        "heavy = {'alembic', 'boto3', 'botocore', 'dbos', 'duckdb', 'httpx', 'jinja2', 'litestar', 'moto', 'pyarrow',"
        " 'pyiceberg', 'sqlalchemy', 'sqlglot', 'uvicorn'}\n"
        "sys.stderr.write(' '.join(sorted(heavy & set(sys.modules))))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("synk",), 'Did you mean "sync"'),
        (("findings", "--severty", "high"), "--severity"),
        (("findings", "--severity", "urgent"), "critical"),
        (("explain",), "subject"),
    ],
)
def test_a_command_line_that_does_not_fit(arguments: tuple[str, ...], says: str, tmp_path: Path) -> None:
    told = uwu(*arguments, home=tmp_path)
    assert told.returncode == 2
    assert told.stdout == ""
    assert says in told.stderr
    assert "Traceback" not in told.stderr


def test_a_command_line_that_does_not_fit_is_json_where_json_was_asked_for(tmp_path: Path) -> None:
    told = uwu("synk", "--json", home=tmp_path)
    assert (told.returncode, told.stdout) == (2, "")
    error = json.loads(told.stderr)["error"]
    assert error["code"] == "usage"
    assert "--help" in error["hint"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("findings",),
        ("entropy",),
        ("status",),
        ("query",),
        ("query", "select 1 as n", "--format", "csv"),
        ("audit", "list"),
        ("audit", "verify"),
        ("catalog", "list"),
        ("completion", "zsh"),
    ],
)
def test_json_is_all_there_is_on_standard_output(
    arguments: tuple[str, ...], tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    from uwu.app.cli import run

    assert run([*arguments, "--json", "--home", str(tmp_path)]) == 0
    out, err = capfdbinary.readouterr()
    json.loads(out)
    assert out.count(b"\n") == 1
    assert err == b""


def test_a_defect_is_one_line_and_the_whole_for_who_asks(tmp_path: Path) -> None:
    code = (
        "import sys; from uwu.app import cli\n"
        "def broken(_): raise RuntimeError('it broke')\n"
        "cli.run = broken; cli.main()"
    )
    for debug in ("", "1"):
        told = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "UWU_DEBUG": debug},
            capture_output=True,
            text=True,
            check=False,
        )
        assert told.returncode == 1
        assert "it broke" in told.stderr
        assert ("Traceback" in told.stderr) is bool(debug)


def test_no_library_talks_to_the_terminal(tmp_path: Path) -> None:
    code = (
        "import logging; from uwu.app.cli import logs; logs.configure()\n"
        "logging.getLogger('botocore').info('hello')\n"
        "try: 1 / 0\n"
        "except ZeroDivisionError: logging.getLogger('x').exception('it failed')"
    )
    env = {k: v for k, v in os.environ.items() if k != "UWU_DEBUG"}
    told = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert told.stderr == "ERROR x: it failed\n"


def test_interrupted_is_130(tmp_path: Path) -> None:
    base = {k: v for k, v in os.environ.items() if not k.startswith("UWU_")}
    serving = subprocess.Popen(
        [UWU, "serve", "--port", "0"], env={**base, "UWU_HOME": str(tmp_path)}, stderr=subprocess.PIPE, text=True
    )
    assert serving.stderr is not None
    assert "uwu serves http://127.0.0.1:" in serving.stderr.readline()
    serving.send_signal(signal.SIGINT)
    _, rest = serving.communicate(timeout=60)
    assert serving.returncode == 130
    assert "Traceback" not in rest
    assert not (tmp_path / "server.json").exists()


def test_from_nothing_to_a_first_answer(tmp_path: Path) -> None:
    home = tmp_path / "home"
    first = uwu("init", home=home)
    assert first.returncode == 0
    assert (home / "uwu.toml").exists()
    (home / "uwu.toml").write_text('organization = "Mine"\n')
    again = json.loads(uwu("init", "--json", home=home).stdout)
    assert again["made"] == []
    assert (home / "uwu.toml").read_text() == 'organization = "Mine"\n'

    synced = uwu("sync", home=home)
    assert synced.returncode == 1
    assert "there are no usable AWS credentials" in synced.stdout
    assert "hint" in synced.stdout
    assert "INFO" not in synced.stderr
    assert "Traceback" not in synced.stderr

    entities = json.loads(uwu("query", "select count(*) from entities", "--json", home=home).stdout)
    assert entities["rows"][0][0] == 4

    status = uwu("status", home=home)
    assert "Mine" in status.stdout
    assert "4 entities" in status.stdout
    assert uwu("findings", home=home).stdout.startswith("Nothing is found")


@pytest.mark.parametrize(
    ("toml", "arguments", "code", "status"),
    [
        ("[http]\nport = 99999\n", ("status",), "settings-invalid", 7),
        ("[http\n", ("status",), "settings-syntax", 7),
        ('database_url = "mysql://x/y"\n', ("status",), "database-unsupported", 7),
        ("", ("explain", "nothing-like-it"), "subject-unknown", 3),
        ("", ("sync", "nothing"), "domain-unknown", 2),
        ("", ("query", "select * from '/etc/passwd'"), "query-", 2),
        ("", ("findings", "f_none"), "not-found", 3),
    ],
)
def test_an_error_says_what_where_and_what_to_do(
    toml: str, arguments: tuple[str, ...], code: str, status: int, tmp_path: Path
) -> None:
    (tmp_path / "uwu.toml").write_text(toml)
    told = uwu(*arguments, "--json", home=tmp_path)
    assert told.returncode == status, told.stderr
    assert told.stdout == ""
    error = json.loads(told.stderr.splitlines()[-1])["error"]
    assert error["code"].startswith(code)
    assert error["message"]
    assert error["hint"] or error["place"]


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    told = uwu("status", home=tmp_path, UWU_URL="http://127.0.0.1:9")
    assert told.returncode == 6
    assert "does not answer" in told.stderr
    assert "uwu serve" in told.stderr


def test_a_stale_server_file_is_seen_through(tmp_path: Path) -> None:
    info = {"url": "http://127.0.0.1:9", "token": "t", "pid": os.getpid()}
    (tmp_path / "server.json").write_text(json.dumps(info))
    told = uwu("status", "--json", home=tmp_path)
    assert told.returncode == 0
    assert json.loads(told.stdout)["resources"] == 0


def test_completion_is_a_script(tmp_path: Path) -> None:
    told = uwu("completion", "bash", home=tmp_path)
    assert told.returncode == 0
    assert "explain" in told.stdout
    checked = subprocess.run(["bash", "-n"], input=told.stdout, text=True, capture_output=True, check=False)
    assert checked.returncode == 0, checked.stderr


def test_the_reader_may_stop_reading(tmp_path: Path) -> None:
    env = {k: v for k, v in os.environ.items() if not k.startswith("UWU_")} | {"UWU_HOME": str(tmp_path)}
    piped = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {UWU} query | head -n 1"],
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert piped.returncode == 0
    assert piped.stderr == ""


def test_the_demo_does_not_replace_a_home_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "uwu.toml").write_text('organization = "Mine"\n')
    told = uwu("demo", "--once", home=tmp_path)
    assert told.returncode == 4
    assert "home of your own" in told.stderr
    assert (tmp_path / "uwu.toml").read_text() == 'organization = "Mine"\n'
