"""schemathesis over the whole OpenAPI document against a real server: no 5xx, no answer that the document denies."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.app.console import world
from tests.app.front import ask, serving
from uwu.kernel.runtime import Kernel
from uwu.kernel.settings import AccessSettings

TOKEN = "of-whoever-holds-the-home"
SEED = "7"
EXAMPLES = "3"
"""A random request of each operation for so many; the coverage phase alone makes some 40 of each."""

ACCEPTED = ["2xx", "3xx", "401", "403", "404", "409", "422", "429"]
"""What a request that fits its schema may get. 422: the tool gives one Idempotency-Key to different requests."""

MEANING = ("run_query", "ask_for_job", "request_plan")
"""Operations whose input has a meaning that no schema tells: a query's grammar, the names of jobs and planners."""


@pytest.fixture
def served(tmp_path: Path, sqlite_template: Path) -> Iterator[str]:
    """The address of a server over the small world where nobody may do anything without a proof of who they are."""
    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(sqlite_template, home / "state.db")
    filled = world.open_kernel(home)
    world.fill(filled)
    settings = msgspec.structs.replace(filled.settings, access=AccessSettings(anonymous="none"))
    kernel = Kernel(settings, filled.domains)
    filled.close()
    with serving(kernel, token=TOKEN) as url:
        yield url
    kernel.close()


def configuration(document: dict[str, Any], finding: str) -> str:
    """The tool's settings: everything is checked; where 400 is right for what fits a schema, it is named."""
    lines = ["[checks.positive_data_acceptance]", f"expected-statuses = {json.dumps(ACCEPTED)}"]
    for item in document["paths"].values():
        for operation in item.values():
            names = {p.get("name") for p in operation.get("parameters", [])}
            id = operation["operationId"]
            # a cursor is what an answer gave, a subject what is known, a time what RFC 3339 says: more than a text
            loose = names & {"after", "subject", "ref", "since", "until", "finding"}
            if loose or id in MEANING or "requestBody" in operation:
                lines += ["", "[[operations]]", f'include-operation-id = "{id}"']
                lines += ["[operations.checks.positive_data_acceptance]"]
                lines += [f"expected-statuses = {json.dumps([*ACCEPTED, '400'])}"]
    for id in ("get_finding",):
        lines += ["", "[[operations]]", f'include-operation-id = "{id}"', f'parameters = {{ "path.id" = "{finding}" }}']
    return "\n".join(lines) + "\n"


@pytest.mark.timeout(600)
def test_the_api_is_as_its_document_says(served: str, tmp_path: Path) -> None:
    bearer = f"Bearer {TOKEN}"
    document = ask(served, "GET", "/api/v1/schema/openapi.json").json
    finding = ask(served, "GET", "/api/v1/findings?limit=1", Authorization=bearer).json["items"][0]["id"]
    settings = tmp_path / "schemathesis.toml"
    settings.write_text(configuration(document, finding))
    command = [
        str(Path(sys.executable).parent / "st"), "--config-file", str(settings),
        "run", f"{served}/api/v1/schema/openapi.json", "--url", served, "--header", f"Authorization: {bearer}",
        "--checks", "all", "--seed", SEED, "--max-examples", EXAMPLES,
        "--phases", "examples,coverage,fuzzing,stateful", "--continue-on-failure", "--request-timeout", "30",
        "--suppress-health-check", "all", "--generation-database", "none", "--no-color", "--workers", "2",
    ]  # fmt: skip
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=500, check=False)
    told = ran.stdout + ran.stderr
    assert ran.returncode == 0, told[-12_000:]
    assert "Test Phases" in told
    operations = sum(len(item) for item in document["paths"].values())
    assert f"{operations} selected / {operations} total" in told
