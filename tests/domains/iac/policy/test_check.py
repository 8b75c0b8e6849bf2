"""``uwu iac check`` as a CI runs it: local files, exit statuses, JSON, annotations, exemptions."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from tests.domains.iac.plans import change, content
from uwu.kernel import codec

PUBLIC = change("aws_s3_bucket_acl", after={"acl": "public-read"})
LOGS = change("aws_cloudwatch_log_group", after={"retention_in_days": 0})


def check(tmp_path: Path, *arguments: str, given: bytes | None = None) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "UWU_HOME": str(tmp_path / "no-home"), "NO_COLOR": "1"}
    program = "import sys; from uwu.app.cli import run; sys.exit(run(sys.argv[1:]))"
    command = [sys.executable, "-c", program, *arguments]
    text = given.decode() if given is not None else None
    return subprocess.run(command, env=env, capture_output=True, text=True, input=text, timeout=60)


@pytest.mark.parametrize(
    ("changes", "more", "status"),
    [
        ((LOGS,), (), 0),
        ((LOGS,), ("--strict", "low"), 9),
        ((LOGS,), ("--strict", "medium"), 0),
        ((PUBLIC, LOGS), (), 9),
        ((change("aws_security_group", after={"ingress": [{"cidr_blocks": 7}]}),), (), 10),
    ],
)
def test_the_exit_status_says_how_it_went(
    tmp_path: Path, changes: tuple[dict, ...], more: tuple[str, ...], status: int
) -> None:  # type: ignore[type-arg]
    (tmp_path / "plan.json").write_bytes(content(*changes))
    done = check(tmp_path, "iac", "check", str(tmp_path / "plan.json"), *more)
    assert done.returncode == status, done.stdout + done.stderr
    assert not (tmp_path / "no-home").exists()  # it needs no home and makes none


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "state").write_text('{"version": 4, "serial": 1, "lineage": "x"}')
    done = check(tmp_path, "iac", "check", str(tmp_path / "state"))
    assert done.returncode == 2 and "plan-state" in done.stderr
    assert check(tmp_path, "iac", "check", str(tmp_path / "nowhere")).returncode == 3


def test_json_annotations_and_standard_input(tmp_path: Path) -> None:
    done = check(tmp_path, "--json", "iac", "check", "-", given=content(PUBLIC))
    told = json.loads(done.stdout)
    assert (done.returncode, told["passed"], told["violations"][0]["rule"]) == (9, False, "plan.bucket-public-acl")
    hooked = check(tmp_path, "iac", "check", "-", "--format", "github", given=content(PUBLIC, LOGS))
    lines = hooked.stdout.strip().splitlines()
    assert lines[0].startswith(
        "::error title=plan.bucket-public-acl (critical)::aws_s3_bucket_acl.x: its ACL is public"
    )
    assert lines[1].startswith("::notice ") and "%0A" in lines[1]


def test_an_exemption_counts_until_its_day(tmp_path: Path) -> None:
    now = codec.now()

    def exemption(days: int) -> str:
        one = {
            "id": "ex_1", "rule": "plan.*", "subject": "stack:default/site", "account": "", "reason": "public",
            "until": codec.iso(now + timedelta(days=days)), "made_by": "x", "made_at": codec.iso(now),
            "ended_at": None, "ended_by": "",
        }  # fmt: skip
        path = tmp_path / f"{days}.json"
        path.write_text(json.dumps({"items": [one], "total": 1, "after": ""}))
        return str(path)

    (tmp_path / "plan.json").write_bytes(content(PUBLIC))
    base = ("iac", "check", str(tmp_path / "plan.json"), "--stack", "stack:default/site", "--exemptions")
    assert check(tmp_path, *base, exemption(1)).returncode == 0
    assert check(tmp_path, *base, exemption(-1)).returncode == 9
    assert check(tmp_path, *base, str(tmp_path / "plan.json")).returncode == 2
