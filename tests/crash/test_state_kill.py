"""``kill -9`` of a real ``uwu serve`` at random moments of writing a state: the old one or the new one, never a part.

Ten times in every test run; ``make soak`` does it a hundred times.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.acceptance.world import UWU, environment, opened
from uwu.app.serve import ServerInfo, read_server_info
from uwu.domains.iac import state_crypt, state_store, tables
from uwu.domains.iac.state import parse
from uwu.kernel import audit, migrate
from uwu.kernel.runtime import Kernel

KILLS = int(os.environ.get("UWU_SOAK_STATES") or 10)
KEY, PATH = "default/payments", "/iac/state/default/payments"
LINEAGE = "5ec0-1d"


class Victim:
    """A home whose server is killed."""

    def __init__(self, home: Path) -> None:
        self.home, self.log = home, home / "serve.log"
        home.mkdir()
        (home / "uwu.toml").write_text("[schedule]\nsync_minutes = 0\n")
        self.kernel: Kernel = opened(home)
        migrate.upgrade(self.kernel.db)
        self.process: subprocess.Popen[bytes] | None = None

    def serve(self) -> ServerInfo:
        with self.log.open("ab") as log:
            command = [UWU, "serve", "--port", "0"]
            self.process = subprocess.Popen(command, env=environment(self.home, None), stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while (info := read_server_info(self.home)) is None or info.pid != self.process.pid:
            assert self.process.poll() is None and time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.02)
        return info

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Victim]:
    made = Victim(tmp_path / "home")
    yield made
    if made.process is not None and made.process.poll() is None:
        made.kill()
    made.kernel.close()


def content(serial: int, chance: random.Random) -> bytes:
    """A state that is told apart from every other, of several chunks once it is compressed."""
    resources = [
        {
            "mode": "managed",
            "type": "aws_sqs_queue",
            "name": f"r{n}",
            "provider": "p",
            "instances": [{"attributes": {"id": f"{serial}-{n}", "blob": chance.randbytes(2500).hex()}}],
        }
        for n in range(chance.randrange(1, 600))
    ]
    return json.dumps({"version": 4, "serial": serial, "lineage": LINEAGE, "resources": resources}).encode()


class Writer(threading.Thread):
    """Writes one state after the other until the server is gone."""

    def __init__(self, info: ServerInfo, after: int, chance: random.Random) -> None:
        super().__init__(daemon=True)
        self.info, self.serial, self.chance = info, after, chance
        self.taken: dict[int, bytes] = {}
        self.sent: dict[int, bytes] = {}
        self.began = threading.Event()
        self.ended = ""

    def run(self) -> None:
        connection = http.client.HTTPConnection(self.info.url.removeprefix("http://"), timeout=60)
        headers = {"Authorization": f"Bearer {self.info.token}", "Content-Type": "application/json"}
        try:
            connection.request("GET", PATH, headers=headers)  # it listens before it answers
            connection.getresponse().read()
            while True:
                data = content(self.serial + 1, self.chance)
                self.sent[self.serial + 1] = data
                self.began.set()
                connection.request("POST", PATH, data, headers)
                answer = connection.getresponse()
                told = answer.read()
                assert answer.status == 200, told
                self.serial += 1
                self.taken[self.serial] = data
        except (OSError, http.client.HTTPException) as error:
            self.ended = repr(error)


@pytest.mark.timeout(120 + 20 * KILLS)
def test_a_state_is_whole_whenever_its_server_is_killed(victim: Victim) -> None:
    chance = random.Random(20251123)
    known: dict[int, bytes] = {}
    serial = lost = 0
    for number in range(KILLS):
        writer = Writer(victim.serve(), serial, chance)
        writer.start()
        assert writer.began.wait(60), (writer.ended, victim.log.read_text()[-2000:])
        time.sleep(chance.uniform(0, 0.5))
        victim.kill()
        writer.join(30)
        assert not writer.is_alive()
        acknowledged = max([serial, *writer.taken])
        serial, data = current(victim.kernel)
        assert serial in (acknowledged, acknowledged + 1), "what was acknowledged is there"
        lost += serial == acknowledged
        known |= writer.sent
        same = data == known.get(serial, b"")
        assert same, "the old one or the new one"
        print(f"kill {number + 1}: {len(writer.taken)} writes answered, then serial {serial} of {acknowledged + 1}")
    whole(victim.kernel, known)
    print(f"{KILLS} kills: the state in flight was not kept {lost} times, kept {KILLS - lost} times; none is partial")


def current(kernel: Kernel) -> tuple[int, bytes]:
    """(serial, bytes) of the current state; 0 for none."""
    with kernel.db.read() as connection:
        found = state_store.find(connection, *state_store.named(KEY))
    if found is None or found.version is None:
        return 0, b""
    return found.version.serial, state_store.content(kernel, found.version.id)


def whole(kernel: Kernel, known: dict[int, bytes]) -> None:
    """Every version that is listed opens and is what was sent; no byte lies there that belongs to none."""
    v, b, c = tables.versions, tables.blobs, tables.chunks
    with kernel.db.read() as connection:
        rows = connection.execute(sa.select(v.c.serial, v.c.blob, v.c.number).order_by(v.c.number)).all()
        blobs = set(connection.scalars(sa.select(b.c.id)))
        chunks = set(connection.scalars(sa.select(c.c.blob)))
        verdict = audit.verify(connection)
    assert [row.number for row in rows] == list(range(1, len(rows) + 1))
    assert blobs == chunks == {row.blob for row in rows}
    for row in rows:
        data = b"".join(state_crypt.pieces(kernel, row.blob))
        same = data == known[row.serial]  # without pytest's comparison of megabytes
        assert same and parse(data, KEY).serial == row.serial
    assert verdict.holds
