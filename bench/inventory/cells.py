"""Many cells: a whole sync by real worker processes, against one canned server that throttles nothing.

Accounts x regions x 50 operations. The worker is killed (SIGKILL) in the middle and another goes on. What the first had
written into the ledger must not be asked again; what it had asked and not written is. Its memory is the peak of its
resident set. The peer is the way that boto3's own documentation shows: a session for each account, a client for each
service and region, one call after another, on a sample of the same cells.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import botocore.session
import sqlalchemy as sa

from bench.harness import Report
from bench.inventory import bodies
from bench.inventory.canned import CBOR, JSON, JSON_10, XML, Canned, Plan, Reply
from uwu.domains.inventory.model import Spec
from uwu.domains.inventory.services import SERVICES
from uwu.kernel import domain, migrate, tables
from uwu.kernel.runtime import Kernel
from uwu.kernel.settings import load

REGIONS = (
    "us-east-1", "us-east-2", "us-west-1", "us-west-2", "af-south-1", "ap-east-1", "ap-northeast-1", "ap-northeast-2",
    "ap-south-1", "ap-southeast-1", "ap-southeast-2", "ca-central-1", "eu-central-1", "eu-north-1", "eu-west-1",
    "eu-west-2", "sa-east-1",
)  # fmt: skip
OPERATIONS = 50
KEYS = {
    "AWS_ACCESS_KEY_ID": f"ASIA{bodies.ACCOUNT}",
    "AWS_SECRET_ACCESS_KEY": "canned",
    "AWS_EC2_METADATA_DISABLED": "1",
}
_EMPTY = {"json": (b"{}", JSON_10), "rest-json": (b"{}", JSON), "smithy-rpc-v2-cbor": (b"\xa0", CBOR)}
_VPCS = """<DescribeVpcsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><vpcSet><item><vpcId>vpc-1</vpcId>
<state>available</state><cidrBlock>10.0.0.0/16</cidrBlock></item></vpcSet></DescribeVpcsResponse>"""
_SUBNETS = """<DescribeSubnetsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><subnetSet>{}</subnetSet>
</DescribeSubnetsResponse>"""
_SUBNET = """<item><subnetId>subnet-{0}</subnetId><vpcId>vpc-1</vpcId><state>available</state>
<cidrBlock>10.0.{0}.0/24</cidrBlock></item>"""


def measure(report: Report, *, quick: bool) -> None:
    """Under 400 MB; at most 1% of the finished cells are asked again after a kill."""
    accounts, regions = (2, REGIONS[:5]) if quick else (100, REGIONS)
    cells = accounts * len(regions) * OPERATIONS
    with estate(accounts, regions) as made:
        first = made.worker()
        id = made.sync()
        half = cells * 2 // 5
        wait(lambda: made.written() >= half, first)
        first.send_signal(signal.SIGSTOP)  # so that what it has written and what it was answered are of one moment
        peak = memory(first.pid)
        first.kill()
        first.wait()
        finished, before = made.finished(), made.server.stats()
        made.server.reset()
        second = made.worker()
        result = made.result(id)
        peak = max(peak, memory(second.pid))
        after = made.server.stats()
        again = sum(after.cells[name] for name in finished)
        twice = sum(1 for name in before.cells if after.cells[name])
        seconds = (before.last - before.first) + (after.last - after.first)
        asked = before.answered + after.answered
        complete = made.written()
        size = f"{accounts} accounts x {len(regions)} regions x {OPERATIONS} operations"
        report.bar(f"{size}: complete cells", complete, at_least=cells, peer=f"{cells:,} cells")
        report.figure("cells a second, one worker process", asked / seconds, unit="/s")
        report.bar("worker process: peak resident set", peak, at_most=400, unit=" MB")
        report.bar(
            "kill -9 and resume: finished cells asked again", 100 * again / len(finished), at_most=1.0, unit="%",
            peer=f"of {len(finished):,}",
        )  # fmt: skip
        name, peer = "kill -9 and resume: cells asked twice, with those in flight", f"{twice:,} of {cells:,} cells"
        if quick:
            report.figure(name, 100 * twice / cells, unit="%", peer=peer)
        else:
            report.bar(name, 100 * twice / cells, at_most=1.0, unit="%", peer=peer)
        assert result["cells"] >= cells, result
        if not quick:
            _naive(report, made.server.url)


def _naive(report: Report, url: str) -> None:
    sample = 40
    code = f"from bench.inventory.cells import naive; naive({url!r}, {sample})"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment())
    found: dict[str, float] = json.loads(told.stdout)
    clients = f"{sample * len(found_services()):,} clients"
    report.figure("boto3, a client for each account, region and service: calls a second", found["rate"], unit="/s")
    report.figure("the same: memory for each account and region", found["mb"], unit=" MB", peer=clients)


def naive(url: str, sample: int) -> None:
    """Asks 50 operations in ``sample`` places as boto3's documentation shows; prints calls a second and memory."""
    from botocore import xform_name

    def places(number: int) -> Generator[tuple[Any, Spec]]:
        for place in range(number):
            session = botocore.session.Session()
            session.set_credentials(f"ASIA{place:012d}", "canned", "canned")
            clients: dict[str, Any] = {}
            held.append(clients)
            for service, spec in chosen():
                if service not in clients:
                    clients[service] = session.create_client(service, REGIONS[place % 17], endpoint_url=url)
                yield clients[service], spec

    held: list[Any] = []
    calls, began, before = 0, 0.0, 0.0
    for client, spec in places(sample + 1):
        getattr(client, xform_name(spec.operation))(**spec.arguments)
        calls += 1
        if calls == OPERATIONS:  # the first place pays for what every later one shares
            began, before = time.perf_counter(), memory(os.getpid())
    rate = (calls - OPERATIONS) / (time.perf_counter() - began)
    print(json.dumps({"rate": rate, "mb": (memory(os.getpid()) - before) / sample}))


# ---- the estate


@cache
def chosen() -> list[tuple[str, Spec]]:
    """Fifty types, each by a list of its own in every region."""
    found: dict[tuple[str, str], tuple[str, Spec]] = {}
    session = botocore.session.get_session()
    for service, specs in SERVICES.items():
        model: Any = session.get_service_model(service)
        for spec in specs:
            if spec.operation and not spec.everywhere and spec.under is None and not spec.path.startswith("["):
                found.setdefault((model.signing_name, spec.operation), (service, spec))
    return list(found.values())[:OPERATIONS]


def found_services() -> set[str]:
    """The services of ``chosen``."""
    return {service for service, _ in chosen()}


def replies(accounts: int) -> tuple[dict[str, Reply], dict[tuple[str, str], str]]:
    """What the server answers, and (service, operation) -> its key there."""
    session, names = botocore.session.get_session(), {}
    given = {
        "sts:GetCallerIdentity": Reply(bodies.identity()),
        "organizations:ListRoots": Reply(b'{"Roots": [{"Id": "r-1", "Name": "Root"}]}', JSON_10),
        "organizations:ListAccounts": Reply(json.dumps({"Accounts": organization(accounts)}).encode(), JSON_10),
        "organizations:ListAccountsForParent": Reply(b'{"Accounts": []}', JSON_10),
        "organizations:ListOrganizationalUnitsForParent": Reply(b'{"OrganizationalUnits": []}', JSON_10),
        "organizations:ListTagsForResource": Reply(b'{"Tags": []}', JSON_10),
    }
    filled = {
        "DescribeVpcs": _VPCS.encode(),
        "DescribeSubnets": _SUBNETS.format("".join(map(_SUBNET.format, range(3)))).encode(),
        "DescribeInstances": bodies.describe_instances(4),
    }
    for service, spec in chosen():
        model: Any = session.get_service_model(service)
        operation = model.operation_model(spec.operation)
        rest = model.protocol.startswith("rest")
        path = f"{operation.http['method']} {operation.http['requestUri'].partition('?')[0]}"
        key = names[service, spec.operation] = f"{model.signing_name}:{path if rest else spec.operation}"
        root = f"<{spec.operation}Response><{spec.operation}Result/></{spec.operation}Response>".encode()
        given[key] = Reply(*_EMPTY.get(model.protocol, (filled.get(spec.operation, root), XML)))
    return given, names


def account_id(number: int) -> str:
    """The id of an account of the estate."""
    return bodies.ACCOUNT if not number else f"{200_000_000_000 + number:012d}"


def organization(accounts: int) -> list[dict[str, str]]:
    """Organizations' list of them."""
    arn = f"arn:aws:organizations::{bodies.ACCOUNT}:account/o-1/"
    return [
        {"Id": id, "Name": f"account-{number}", "Status": "ACTIVE", "Arn": arn + id, "Email": "a@example.org"}
        for number, id in ((number, account_id(number)) for number in range(accounts))
    ]


class Estate:
    """A home, the server that it looks at, and its worker processes."""

    def __init__(self, root: Path, server: Canned, names: Mapping[tuple[str, str], str]) -> None:
        self.root, self.server = root, server
        self._names = {spec.name: names[service, spec.operation] for service, spec in chosen()}
        self.kernel = Kernel(load(root), domain.installed())
        migrate.upgrade(self.kernel.db)
        self.processes: list[subprocess.Popen[bytes]] = []

    def worker(self) -> subprocess.Popen[bytes]:
        """A worker process of the home, as ``uwu worker`` starts it."""
        command = [sys.executable, "-m", "uwu.app.worker", "--home", str(self.root)]
        self.processes.append(subprocess.Popen(command, env=environment()))
        return self.processes[-1]

    def sync(self, **scope: list[str]) -> str:
        """Asks for a sync of the fifty types."""
        types = [spec.name for _, spec in chosen()]
        return self.kernel.jobs.enqueue("inventory.sync", {"types": types, **scope})

    def result(self, id: str) -> dict[str, Any]:
        """Waits for the end of a sync."""
        from uwu.kernel import jobs

        *_, last = jobs.follow(self.kernel.db, id, poll_seconds=0.05)
        assert last.job.status == "done", last.job
        return last.job.result or {}

    def written(self) -> int:
        """Complete cells in the ledger, the accounts' own aside."""
        c = tables.coverage
        query = sa.select(sa.func.count()).where(c.c.status == "complete", c.c.type != "aws_account")
        with self.kernel.db.read() as connection:
            return connection.scalar(query) or 0

    def accounts(self) -> int:
        """Cells of the accounts themselves: 1 once they are found."""
        c = tables.coverage
        with self.kernel.db.read() as connection:
            return connection.scalar(sa.select(sa.func.count()).where(c.c.type == "aws_account")) or 0

    def finished(self) -> list[str]:
        """The cells in the ledger, as the server names what was asked for them."""
        c = tables.coverage
        query = sa.select(c.c.account, c.c.region, c.c.type).where(c.c.type != "aws_account")
        with self.kernel.db.read() as connection:
            return [f"{account} {region} {self._names[type]}" for account, region, type in connection.execute(query)]

    def close(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()
        self.kernel.jobs.close()
        self.kernel.close()


@contextmanager
def estate(
    accounts: int, regions: tuple[str, ...], *, plan: Callable[[Plan], Plan] = lambda plan: plan, aws: str = ""
) -> Generator[Estate]:
    """An estate of so many accounts; ``plan`` changes what the server does, ``aws`` are more settings."""
    given, names = replies(accounts)
    kept = {name: os.environ.get(name) for name in KEYS}
    os.environ.update(KEYS)
    root = Path(tempfile.mkdtemp(prefix="uwu-bench-"))
    made: Estate | None = None
    try:
        with Canned(plan(Plan(given))) as server:
            listed = ", ".join(f'"{region}"' for region in regions)
            settings = (
                f'[aws]\nendpoint_url = "{server.url}"\nregions = [{listed}]\nhome_region = "{regions[0]}"\n{aws}\n'
            )
            (root / "uwu.toml").write_text(settings + "[schedule]\nsync_minutes = 0\n")
            made = Estate(root, server, names)
            yield made
            made.close()
            made = None
    finally:
        if made is not None:
            made.close()
        shutil.rmtree(root)
        for name, value in kept.items():
            os.environ.pop(name, None) if value is None else os.environ.__setitem__(name, value)


def environment() -> dict[str, str]:
    """The environment of a process that looks at the server."""
    root = str(Path(__file__).parents[2])
    return {**os.environ, **KEYS, "PYTHONPATH": root}


def memory(pid: int) -> float:
    """The peak of a process's resident set, in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def wait(condition: Callable[[], bool], process: subprocess.Popen[bytes], seconds: float = 600) -> None:
    """Waits until it holds, while ``process`` runs."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline or process.poll() is not None:
            raise TimeoutError("it did not come true")
        time.sleep(0.01)
