"""Detections: from a delivered object to its finding, rules over a batch, a backtest; least privilege held out."""

from __future__ import annotations

import gzip
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from bench.harness import Report
from uwu.domains.trail import ingest
from uwu.domains.trail.detect import jobs, load
from uwu.domains.trail.privilege import propose, service
from uwu.domains.trail.privilege.policy import statements
from uwu.kernel import codec, domain, drift, migrate
from uwu.kernel.runtime import Kernel
from uwu.kernel.settings import Settings
from uwu.sim import roles

DAYS, TRAINED = 60, 45
LONGEST = 60.0
"""Seconds after which a finding does not come any more."""


def measure(report: Report, *, quick: bool) -> None:
    """The figures of this part, into ``report``."""
    with tempfile.TemporaryDirectory() as folder:
        _landing(report, Path(folder) / "landing", deliveries=6 if quick else 30, events=2_000 if quick else 20_000)
        _held_out(report, Path(folder) / "privilege")


def _kernel(home: Path) -> Kernel:
    home.mkdir(parents=True)
    kernel = Kernel(Settings(home=str(home)), domain.installed())
    migrate.upgrade(kernel.db)
    return kernel


def _put(folder: Path, name: str, records: list[dict[str, Any]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".{name}"
    part.write_bytes(gzip.compress(codec.encode({"Records": records}), compresslevel=5))
    part.rename(folder / f"{name}.json.gz")


def _key_for_another(number: int, at: datetime) -> dict[str, Any]:
    """A call that the rule key-for-another is for, on a user of its own."""
    account = roles.ACCOUNT
    return {
        "eventVersion": "1.09",
        "eventID": f"00000000-0000-4000-8000-{number:012d}",
        "eventTime": f"{at:%Y-%m-%dT%H:%M:%SZ}",
        "eventSource": "iam.amazonaws.com",
        "eventName": "CreateAccessKey",
        "awsRegion": "us-east-1",
        "sourceIPAddress": "203.0.113.7",
        "userAgent": "aws-cli/2.15.0",
        "requestParameters": {"userName": f"user-{number}"},
        "responseElements": {"accessKey": {"userName": f"user-{number}", "accessKeyId": f"AKIA{number:016d}"}},
        "readOnly": False,
        "eventType": "AwsApiCall",
        "eventCategory": "Management",
        "recipientAccountId": account,
        "userIdentity": {
            "type": "IAMUser",
            "userName": "mira.k",
            "accountId": account,
            "arn": f"arn:aws:iam::{account}:user/mira.k",
            "principalId": "AIDAEXAMPLE0000000001",
        },
    }


def _landing(report: Report, home: Path, *, deliveries: int, events: int) -> None:
    kernel = _kernel(home)
    folder = home / "delivered"
    now = codec.now().replace(microsecond=0)
    background = roles.worked(now - timedelta(days=3), 3, times=max(1, events // 180))[:events]
    _put(folder, "background", background)
    begun = time.perf_counter()
    ingest.ingest(kernel, [str(folder)], holder="bench")
    taken = time.perf_counter() - begun
    begun = time.perf_counter()
    jobs.detect(kernel, holder="bench")
    seconds = time.perf_counter() - begun
    rules = len(load.running(kernel))
    report.figure("detect: rules", rules)
    report.figure("detect: events/s through all rules", len(background) / seconds, peer=f"ingest {taken:.1f} s")
    with _worker(home):
        _delivered(kernel, folder, 0, now)  # the first waits for the worker to come up
        waits = [_delivered(kernel, folder, number, now) for number in range(1, deliveries + 1)]
    p95 = statistics.quantiles(waits, n=20)[-1] if len(waits) > 1 else waits[0]
    report.figure("delivery to finding, median", statistics.median(waits), unit=" s")
    report.bar("delivery to finding, p95", p95, at_most=10, unit=" s")
    rule = load.loaded(kernel).of("key-for-another")
    found = jobs.backtest(kernel, rule, now - timedelta(days=4), now + timedelta(hours=1))
    report.figure("backtest: events/s of one rule", found["events"] / max(found["seconds"], 0.001))
    assert found["matches"] == deliveries + 1, found["matches"]
    kernel.close()


@contextmanager
def _worker(home: Path) -> Iterator[None]:
    """A worker of ``home``, a process of its own as in production."""
    command = [sys.executable, "-c", "from uwu.app.cli import main; main()", "worker", "--home", str(home)]
    with (home / "worker.log").open("wb") as log:
        worker = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            yield
        finally:
            worker.terminate()
            worker.wait(30)


def _delivered(kernel: Kernel, folder: Path, number: int, now: datetime) -> float:
    """Seconds from an object's delivery, told to the workers, until its finding is open."""
    begun = time.perf_counter()
    _put(folder, f"delivery-{number}", [_key_for_another(number, now)])
    kernel.jobs.enqueue("trail.ingest", {"sources": [str(folder)]}, requested_by="bench")
    subject = f"arn:aws:iam::{roles.ACCOUNT}:user/user-{number}"
    while time.perf_counter() - begun < LONGEST:
        with kernel.db.read() as connection:
            if drift.findings(connection, rule="trail.key-for-another", subject=subject).items:
                return time.perf_counter() - begun
        time.sleep(0.05)
    raise TimeoutError(
        f"no finding after {LONGEST} s: {(kernel.settings.home_path / 'worker.log').read_text()[-2000:]}"
    )


def _held_out(report: Report, home: Path) -> None:
    kernel = _kernel(home)
    start = datetime.fromisoformat("2026-03-01T00:00:00+00:00")
    split, end = start + timedelta(days=TRAINED), start + timedelta(days=DAYS)
    _put(home / "delivered", "all", roles.worked(start, DAYS))
    ingest.ingest(kernel, [str(home / "delivered")], holder="bench")
    calls = allowed = characters = 0
    begun = time.perf_counter()
    for role in roles.ROLES:
        held = [one for name, document in role.policies.items() for one in statements(document, name)]
        train, _ = service.used(kernel, role.arn, start, split)
        later, _ = service.used(kernel, role.arn, split, end)
        data = frozenset(service.data_events(kernel, roles.ACCOUNT, start, split))
        made = propose.propose(held, train, since=start, until=split, seen_data=data)
        proven = propose.replay(statements(made.document), later)
        calls, allowed = calls + proven.calls, allowed + proven.allowed
        characters += made.characters
    report.figure("least privilege: seconds a role", (time.perf_counter() - begun) / len(roles.ROLES), unit=" s")
    report.figure("least privilege: characters a policy", characters / len(roles.ROLES))
    report.figure("least privilege: held-out uses", calls)
    report.bar("least privilege: recall on held-out days, %", 100 * allowed / calls, at_least=100)
    kernel.close()
