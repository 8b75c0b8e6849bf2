"""A Terraform state of 10,000 resources (20 MB): to write and to read it, beside a bare ASGI server that puts the same
bytes into the same kind of database. Both are uvicorn in processes of their own, asked in turn.

uwu checks, compresses and encrypts what it keeps, keeps every version, and decides who may; the bare server stores what
it is sent.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import multiprocessing
import os
import random
import socket
import sqlite3
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import uvicorn

from bench.harness import Report
from bench.iac_plan import plan

RESOURCES = 10_000
BAR = 1.5
PATH = "/iac/state/default/large"
TOKEN = "the-home's-own"
_WARM = 2


def run(*, quick: bool) -> Report:
    report = Report("iac")
    with tempfile.TemporaryDirectory() as folder:
        state(report, Path(folder), times=20 if quick else 60)
        plan(report, Path(folder), times=5 if quick else 15)
    return report


def state(report: Report, folder: Path, *, times: int) -> None:
    """Writes and reads of one large state."""
    head, tail = content(RESOURCES)
    size = len(head) + len(tail)
    report.figure("load_average_before", round(os.getloadavg()[0], 1), peer=f"{os.cpu_count()} cores")
    report.figure("state_resources", RESOURCES)
    report.figure("state_mb", round(size / 1e6, 1), unit=" MB")
    with Server(serve_uwu, folder) as ours, Server(serve_bare, folder) as bare:
        writes: dict[Server, list[float]] = {ours: [], bare: []}
        reads: dict[Server, list[float]] = {ours: [], bare: []}
        for turn in range(times + _WARM):
            data = head + str(turn + 1).encode().rjust(9) + tail
            # in turn, and the first of a pair is not always the same: what else the machine does falls on both
            for server in (ours, bare) if turn % 2 else (bare, ours):
                took = server.ask("POST", data)
                got = server.ask("GET")
                if turn >= _WARM:
                    writes[server].append(took)
                    reads[server].append(got)
            for server in (ours, bare):
                assert hashlib.md5(server.body, usedforsecurity=False).digest() == _md5(data), "not what was written"
    for name, told in (("write", writes), ("read", reads)):
        mine, peers = p95(told[ours]), p95(told[bare])
        report.figure(f"state_{name}_ms_p50", p50(told[ours]), unit=" ms", peer=f"bare {p50(told[bare])} ms")
        report.figure(f"state_{name}_ms_p95", mine, unit=" ms", peer=f"bare {peers} ms")
        report.bar(
            f"state_{name}_p95_over_bare", round(mine / peers, 2), at_most=BAR, unit="x", peer="bare ASGI server"
        )
    report.figure(
        "state_kept_mb_a_version", round(kept(folder) / 1e6, 2), unit=" MB", peer=f"{size / 1e6:.1f} MB as sent"
    )


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()


def p95(values: Sequence[float]) -> float:
    return round(statistics.quantiles(values, n=20, method="inclusive")[18], 1)


def p50(values: Sequence[float]) -> float:
    return round(statistics.median(values), 1)


def content(resources: int) -> tuple[bytes, bytes]:
    """A state in two parts: its serial stands between them."""
    chance = random.Random(7)

    def one(number: int) -> dict[str, Any]:
        id = f"{chance.getrandbits(68):017x}"
        attributes = {
            "id": f"i-{id}",
            "arn": f"arn:aws:ec2:eu-west-1:{chance.randrange(10**12):012d}:instance/i-{id}",
            "ami": f"ami-{chance.getrandbits(68):017x}",
            "availability_zone": chance.choice(("eu-west-1a", "eu-west-1b", "eu-west-1c")),
            "instance_type": chance.choice(("t3.micro", "m5.large", "c6i.xlarge")),
            "private_ip": ".".join(str(chance.randrange(256)) for _ in range(4)),
            "subnet_id": f"subnet-{chance.getrandbits(68):017x}",
            "vpc_security_group_ids": [f"sg-{chance.getrandbits(68):017x}" for _ in range(3)],
            "tags": {
                "Name": f"web-{number}",
                "team": "payments",
                "env": "prod",
                "build": f"{chance.getrandbits(64):x}",
            },
            "root_block_device": [{"volume_id": f"vol-{chance.getrandbits(68):017x}", "volume_size": 30, "iops": None}],
            "user_data": f"{chance.getrandbits(160):040x}",
            "network_interface": [
                {"device_index": n, "network_interface_id": f"eni-{chance.getrandbits(68):017x}", "delete": False}
                for n in range(4)
            ],
            "timeouts": None,
        }
        instance = {
            "schema_version": 1,
            "attributes": attributes,
            "sensitive_attributes": [],
            "private": "eyJzIjoiMSJ9",
        }
        provider = 'provider["registry.terraform.io/hashicorp/aws"]'
        return {
            "mode": "managed",
            "type": "aws_instance",
            "name": f"web_{number}",
            "provider": provider,
            "instances": [instance],
        }

    top = {"version": 4, "terraform_version": "1.11.4", "serial": "SERIAL", "lineage": "9d3c-bench", "outputs": {}}
    text = json.dumps({**top, "resources": [one(number) for number in range(resources)]}, indent=2)
    head, _, tail = text.partition('"SERIAL"')
    return head.encode(), tail.encode()


def kept(folder: Path) -> float:
    """Bytes of one version in uwu's database."""
    with sqlite3.connect(folder / "home" / "state.db") as connection:
        query = "select sum(length(data)) * 1.0 / count(distinct blob) from iac_blob_chunks"
        return float(connection.execute(query).fetchone()[0])


# ---- the servers


class Server:
    """A server in a process of its own, and one connection to it."""

    def __init__(self, serve: Callable[[Path, socket.socket], None], folder: Path) -> None:
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        self._listening = listening
        self._process = multiprocessing.get_context("fork").Process(target=serve, args=(folder, listening), daemon=True)
        self.body = b""

    def __enter__(self) -> Self:
        self._process.start()
        port = self._listening.getsockname()[1]
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        self._process.terminate()
        self._process.join(20)
        self._listening.close()

    def ask(self, method: str, body: bytes | None = None) -> float:
        """Milliseconds until the whole answer is here."""
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        if body is not None:
            headers["Content-MD5"] = _base64_md5(body)
        began = time.perf_counter()
        self._connection.request(method, PATH, body, headers)
        answer = self._connection.getresponse()
        self.body = answer.read()
        took = 1000 * (time.perf_counter() - began)
        assert answer.status == 200, (answer.status, self.body[:300])
        return took


def _base64_md5(body: bytes) -> str:
    return base64.b64encode(_md5(body)).decode()


def _serve(app: Any, listening: socket.socket) -> None:
    uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="on", timeout_keep_alive=120)).run(
        sockets=[listening]
    )


def serve_uwu(folder: Path, listening: socket.socket) -> None:
    """The whole front door of a fresh home."""
    from uwu.app.asgi import create_app
    from uwu.kernel.runtime import Kernel

    home = folder / "home"
    home.mkdir(exist_ok=True)
    _serve(create_app(Kernel.open(home), token=TOKEN), listening)


def serve_bare(folder: Path, listening: socket.socket) -> None:
    """Whatever comes is stored as it is, whoever sends it: SQLite with the pragmas of uwu's own database."""
    import asyncio

    path, local = folder / "bare.db", threading.local()

    def connection() -> sqlite3.Connection:
        if not hasattr(local, "connection"):
            local.connection = sqlite3.connect(path, timeout=30, isolation_level=None)
            for pragma in ("journal_mode=wal", "synchronous=normal", "cache_size=-65536"):
                local.connection.execute(f"pragma {pragma}")
            local.connection.execute("create table if not exists states (id integer primary key, data blob)")
        return local.connection

    def store(data: bytes) -> None:
        connection().execute("insert into states (data) values (?)", (data,))

    def load() -> bytes:
        return connection().execute("select data from states order by id desc limit 1").fetchone()[0]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            while (await receive())["type"] != "lifespan.shutdown":
                await send({"type": "lifespan.startup.complete"})
            await send({"type": "lifespan.shutdown.complete"})
            return
        pieces: list[bytes] = []
        while True:
            message = await receive()
            pieces.append(message.get("body", b""))
            if not message.get("more_body"):
                break
        body = b""
        if scope["method"] == "POST":
            await asyncio.to_thread(store, b"".join(pieces))
        else:
            body = await asyncio.to_thread(load)
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    _serve(app, listening)
