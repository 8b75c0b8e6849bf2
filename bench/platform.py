"""The platform at 100,000 resources: how soon a page begins, how much it weighs, what a decision and a proof cost.

A server process on loopback is asked over HTTP, one request after another, with gzip; the first of each address is not
counted. Queries are counted in a second application over the same home.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy import event

from bench import world_at_scale
from bench.harness import Report
from bench.world_at_scale import Size, World
from uwu.app import asgi, identify, serve
from uwu.app.console import frame
from uwu.kernel import audit, authorize, codec, tables
from uwu.kernel.audit import chain
from uwu.kernel.authorize import Target
from uwu.kernel.identity import Principal
from uwu.kernel.runtime import Kernel

ROOT = Path(__file__).parent.parent
QUICK = Size(resources=20_000, findings=4_000, entities=400, groups=80, accounts=40, changes=9_000, days=9)
GRAPHS = ("/graph",)
"""Pages that bring a graph library: their weight has no bar."""
AUDIT_ROWS, QUICK_AUDIT_ROWS = 1_000_000, 100_000
_SECONDS_TO_START = 60


def run(*, quick: bool) -> Report:
    report = Report("platform")
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        home.mkdir()
        kernel = Kernel.open(home)
        began = time.perf_counter()
        size = QUICK if quick else Size()
        world = world_at_scale.build(kernel, size)
        for name in ("resources", "findings", "entities", "groups", "accounts"):
            report.figure(name, getattr(size, name))
        report.figure("load_average_before", round(os.getloadavg()[0], 1), peer=f"{os.cpu_count()} cores")
        report.figure("seconds_build", round(time.perf_counter() - began, 1), unit=" s")
        with Server(home) as server:
            _pages(report, server, world, times=12 if quick else 40)
            _palette(report, server, world, times=3 if quick else 10)
            _lists(report, kernel, server, times=8 if quick else 25)
        _authorize(report, kernel, times=500 if quick else 3000)
        kernel.close()
        _audit(report, Path(folder) / "audit", QUICK_AUDIT_ROWS if quick else AUDIT_ROWS)
    return report


# ---- the server, and asking it


class Answer:
    """What came back: ``seconds`` to the first byte, and the body as it was transferred."""

    def __init__(self, seconds: float, status: int, body: bytes, encoding: str) -> None:
        self.seconds, self.status, self.body, self.encoding = seconds, status, body, encoding

    def text(self) -> str:
        import gzip

        return (gzip.decompress(self.body) if self.encoding == "gzip" else self.body).decode()


class Server:
    """``uwu serve`` of a home in a process of its own, and one connection to it."""

    def __init__(self, home: Path) -> None:
        self._home = home

    def __enter__(self) -> Self:
        env = {k: v for k, v in os.environ.items() if not k.startswith("UWU_")}
        command = [sys.executable, "-m", "bench.platform", str(self._home)]
        self._process = subprocess.Popen(command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL)
        until = time.monotonic() + _SECONDS_TO_START
        while (info := serve.read_server_info(self._home)) is None:
            if self._process.poll() is not None or time.monotonic() > until:
                sys.exit("the server did not start")
            time.sleep(0.05)
        self._headers = {"authorization": f"Bearer {info.token}", "accept-encoding": "gzip", "accept": "text/html,*/*"}
        self._connection = http.client.HTTPConnection(info.url.removeprefix("http://"), timeout=60)
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        self._process.terminate()
        self._process.wait(30)

    def get(self, path: str) -> Answer:
        began = time.perf_counter()
        self._connection.request("GET", path, headers=self._headers)
        response = self._connection.getresponse()
        first = response.read(1)
        seconds = time.perf_counter() - began
        return Answer(seconds, response.status, first + response.read(), response.headers.get("content-encoding", ""))

    def timed(self, paths: Sequence[str], times: int) -> list[float]:
        """Milliseconds to the first byte of each path, ``times`` times over; the first time is not counted."""
        taken: list[float] = []
        for turn in range(times + 1):
            for path in paths:
                answer = self.get(path)
                if answer.status != 200:
                    sys.exit(f"{path} answered {answer.status}: {answer.body[:500]!r}")
                if turn:
                    taken.append(1000 * answer.seconds)
        return taken


def p95(values: Sequence[float]) -> float:
    return round(statistics.quantiles(values, n=20, method="inclusive")[18], 1)


def p50(values: Sequence[float]) -> float:
    return round(statistics.median(values), 1)


# ---- pages


def _addresses(world: World) -> dict[str, list[str]]:
    """Name of a page -> addresses of it: every page that stands by itself, filters, and some of each thing."""
    some = {name: held[7 :: len(held) // 5][:4] for name, held in (("finding", world.findings), ("entity", world.refs))}
    alone = [
        r.path for r in frame.found() if isinstance(r, frame.Page) and "{" not in r.path and not frame.waits(r.show)
    ]
    out = {path.strip("/") or "home": [path] for path in sorted(alone)}
    type, account = world.urns[5].split(":")[5].partition("/")[0], world_at_scale.account_id(3)
    owner = quote(world_at_scale.group_ref(5))
    out["findings"] += ["/findings?severity=high", f"/findings?owner={owner}", "/findings?q=payments&group=owner"]
    out["resources"] += [f"/resources?type=aws_{type}", f"/resources?account={account}", "/resources?q=ledger"]
    out["resources"] += ["/resources?region=eu-west-1", "/resources?owner="]
    out["coverage"] += ["/coverage?status=complete", f"/coverage?account={account}"]
    out["catalog"] += ["/catalog?kind=Component"]
    out["changes"] += ["/changes?who=all&days=1"]
    out["search"] = ["/search?q=payments", "/search?q=00a1", f"/search?q={account}"]
    out["resource"] = [f"/resources/{quote(urn)}" for urn in world.urns[3 :: len(world.urns) // 5][:4]]
    out["finding"] = [f"/findings/{id}" for id in some["finding"]]
    out["entity"] = [f"/catalog/{quote(ref)}" for ref in some["entity"]]
    return out


def _pages(report: Report, server: Server, world: World, *, times: int) -> None:
    assets: dict[str, int] = {}
    worst: tuple[float, str] = (0.0, "")
    heaviest = with_fonts = 0
    for name, paths in _addresses(world).items():
        shown = [path for path in paths if server.get(path).status == 200]
        if not shown:
            continue  # a page that takes what this home has not, such as a provider to sign in with
        taken = server.timed(shown, max(times // len(shown), 4))
        report.figure(f"page_{name}_p50_ms", p50(taken), unit=" ms")
        report.bar(f"page_{name}_p95_ms", p95(taken), at_most=100, unit=" ms")
        worst = max(worst, (p95(taken), name))
        for path in [] if f"/{name}".startswith(GRAPHS) else shown:
            bytes, fonts = _weight(server, path, assets)
            heaviest, with_fonts = max(heaviest, bytes), max(with_fonts, bytes + fonts)
    report.bar("page_worst_p95_ms", worst[0], at_most=100, unit=" ms", peer=worst[1])
    report.bar("page_heaviest_kb", round(heaviest / 1000, 1), at_most=120, unit=" KB", peer="gzip, cold, no fonts")
    report.figure("page_heaviest_with_fonts_kb", round(with_fonts / 1000, 1), unit=" KB")


_LINKED = re.compile(r'<(?:link|script|img|use)\b[^>]*?(?:href|src)="(/[^"#]+)')
_STYLED = re.compile(r'url\(["\']?([^"\')]+)')


def _weight(server: Server, path: str, assets: dict[str, int]) -> tuple[int, int]:
    """(bytes without fonts, bytes of fonts) that a browser with an empty cache is sent for the page ``path``."""
    answer = server.get(path)
    linked = set(_LINKED.findall(answer.text()))
    for sheet in [one for one in linked if one.endswith(".css")]:
        folder = sheet.rpartition("/")[0]
        for url in _STYLED.findall(server.get(sheet).text()):
            if not url.startswith("data:"):
                linked.add(url if url.startswith("/") else f"{folder}/{url}")
    fonts = {one for one in linked if ".woff" in one}
    for one in linked:
        if one not in assets:
            assets[one] = len(server.get(one).body)
    return len(answer.body) + sum(assets[o] for o in linked - fonts), sum(assets[o] for o in fonts)


# ---- search and lists


def _palette(report: Report, server: Server, world: World, *, times: int) -> None:
    name = world.names[len(world.names) // 3]
    asked = ["", "p", "pa", "pay", "payments-api", "prod", "ledger", name, name[-6:], "team-orders", "aws", "zzzz"]
    asked += [world_at_scale.account_id(7), world.urns[11], "is not as declared", "export"]
    taken = server.timed([f"/search?palette=1&q={quote(text)}" for text in asked], times)
    report.figure("palette_p50_ms", p50(taken), unit=" ms")
    report.bar("palette_p95_ms", p95(taken), at_most=50, unit=" ms", peer=f"{len(asked)} texts")


def _lists(report: Report, kernel: Kernel, server: Server, *, times: int) -> None:
    api, account = asgi.API, world_at_scale.account_id(3)
    owner = quote(world_at_scale.group_ref(5))
    lists = {
        "resources": ["", f"account={account}", f"owner={owner}", "owner=", "region=us-east-1", "text=ledger"],
        "findings": ["", "severity=low", f"account={account}", f"owner={owner}", "status=all", "text=payments"],
        "entities": ["", "kind=component"],
        "coverage": ["", "incomplete=true"],
        "jobs": [""],
        "search": ["q=payments", "q=00a1"],
    }
    every: list[float] = []
    for name, filters in lists.items():
        paths = [f"{api}/{name}?{asked}".rstrip("?") for asked in filters]
        for path in list(paths):
            told = json.loads(server.get(path).text())
            if isinstance(told, dict) and told.get("after"):
                paths.append(f"{path}{'&' if '?' in path else '?'}after={quote(told['after'])}")
        taken = server.timed(paths, times)
        every.append(p95(taken))
        report.figure(f"list_{name}_p50_ms", p50(taken), unit=" ms")
        report.bar(f"list_{name}_p95_ms", p95(taken), at_most=150, unit=" ms")
        report.bar(f"list_{name}_queries", max(_queries(kernel, paths)), at_most=10)
    report.bar("list_worst_p95_ms", max(every), at_most=150, unit=" ms")


def _queries(kernel: Kernel, paths: Sequence[str]) -> list[int]:
    """How many SQL statements each of ``paths`` takes, once everything that is kept is kept."""
    app = asgi.create_app(kernel, token="bench", principal=identify.local())
    counted: list[str] = []

    def count(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if not statement.startswith(("begin", "pragma")):
            counted.append(statement)

    event.listen(kernel.db.engine, "before_cursor_execute", count)
    out: list[int] = []
    for path in paths:
        asyncio.run(_ask(app, path))
        counted.clear()
        asyncio.run(_ask(app, path))
        out.append(len(counted))
    event.remove(kernel.db.engine, "before_cursor_execute", count)
    return out


async def _ask(app: asgi.App, path: str) -> None:
    plain, _, query = path.partition("?")
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": plain,
        "raw_path": plain.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(b"host", b"127.0.0.1"), (b"accept", b"application/json")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "state": {},
    }
    messages = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> Any:
        return next(messages, {"type": "http.disconnect"})

    async def send(message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.start" and message["status"] != 200:
            sys.exit(f"{path} answered {message['status']}")

    await app(scope, receive, send)


# ---- deciding and proving


def _authorize(report: Report, kernel: Kernel, *, times: int) -> None:
    groups = tuple(world_at_scale.group_ref(n) for n in range(4))
    person = Principal(
        ref="user:oidc/mira", name="mira", kind="human", groups=groups, roles=("operator",), via="session"
    )
    taken: list[float] = []
    for i in range(times):
        owner = world_at_scale.group_ref(i % 8)
        target = Target(
            "Resource", f"arn:aws:sqs:eu-west-1:1:{i}", owner=owner, account=world_at_scale.account_id(i % 9)
        )
        began = time.perf_counter()
        authorize.decide(kernel, person, ("world.read", "plans.request", "jobs.run")[i % 3], target)
        taken.append(1000 * (time.perf_counter() - began))
    counted = taken[len(taken) // 20 :]
    report.figure("authorize_p50_ms", round(statistics.median(counted), 3), unit=" ms")
    worst = round(statistics.quantiles(counted, n=20, method="inclusive")[18], 3)
    report.bar("authorize_p95_ms", worst, at_most=1, unit=" ms")


def _audit(report: Report, home: Path, rows: int) -> None:
    """A chain as ``audit.append`` writes it, made many rows at a time."""
    home.mkdir()
    kernel = Kernel.open(home)
    given = _entries(rows)
    while some := list(islice(given, 5000)):
        with kernel.db.write() as connection:
            connection.execute(tables.audit.insert(), some)
    began = time.perf_counter()
    with kernel.db.read() as connection:
        verdict = audit.verify(connection)
    seconds = time.perf_counter() - began
    if verdict.first_bad is not None or verdict.entries != rows:
        sys.exit(f"the chain that was made does not hold: {verdict}")
    report.figure("audit_rows", rows)
    report.bar("audit_verify_s", round(seconds, 2), at_most=5.0 * rows / AUDIT_ROWS, unit=" s", peer=f"{rows:,} rows")
    with kernel.db.write() as connection:
        middle = sa.update(tables.audit).where(tables.audit.c.seq == rows // 2).values(actor="someone-else")
        connection.execute(middle)
    with kernel.db.read() as connection:
        found = audit.verify(connection).first_bad
    report.bar("audit_tampering_off_by", abs((found or 0) - rows // 2), at_most=0, peer="rows from the first bad one")
    kernel.close()


def _entries(rows: int) -> Iterator[dict[str, Any]]:
    prev, at = audit.GENESIS, codec.now() - timedelta(days=365)
    for seq in range(1, rows + 1):
        at += timedelta(seconds=31, microseconds=seq % 1000)
        actor, action, subject = f"user:oidc/person-{seq % 60}", "plan.approve", f"plan:{seq % 4000:04d}"
        detail = {"comment": "looks right", "hash": f"{seq:064x}"}  # by key, as append keeps it
        hash = chain.hash_of(seq, codec.iso(at), actor, action, subject, detail, prev)
        yield {
            "seq": seq,
            "at": at,
            "actor": actor,
            "action": action,
            "subject": subject,
            "detail": detail,
            "prev": prev,
            "hash": hash,
        }
        prev = hash


if __name__ == "__main__":
    serve.serve(Path(sys.argv[1]), "127.0.0.1", 0)
