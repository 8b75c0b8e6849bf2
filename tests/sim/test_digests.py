"""The company's digests: chained, signed, and of every log file of their hours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from uwu.domains.trail import DOMAIN
from uwu.domains.trail.digests import ledger, verify
from uwu.kernel.runtime import Kernel
from uwu.kernel.settings import AwsSettings, Settings

if TYPE_CHECKING:
    from pathlib import Path

    from uwu.sim import Organisation


def test_the_last_hours_of_the_company_are_proven(
    organisation: Organisation, sqlite_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    import shutil

    for name, value in organisation.credentials.items():
        monkeypatch.setenv(name, value)
    shutil.copy(sqlite_template, tmp_path / "state.db")
    kernel = Kernel(Settings(home=str(tmp_path), aws=AwsSettings(endpoint_url=organisation.endpoint_url)), (DOMAIN,))
    try:
        done = verify.run(kernel, [organisation.trail])
        told: Any = [(problem.code, problem.message) for problem in done.problems]
        with kernel.db.read() as connection:
            faults = ledger.faults(connection).items
        assert (told, faults) == ([], [])
        assert done.chains > 0
        assert done.digests > done.chains
        assert done.logs > 0
        assert done.delivered > 0  # from before log files were validated
    finally:
        kernel.close()
