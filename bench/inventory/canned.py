"""A stand-in for AWS in a process of its own: fixed bodies per operation, throttling and denial per account and region.

It tells an operation as AWS does: ``X-Amz-Target``, ``Action=`` of a form, ``/service/X/operation/Y`` of RPC v2 CBOR,
else method and path. A key of ``replies`` is ``<signing name>:<operation>`` (``ec2:DescribeInstances``,
``lambda:GET /2015-03-31/functions``), or ``*`` for whatever is not named. The account is told by the access key:
``AssumeRole`` is always answered, with keys ``ASIA<account>`` of the account in the role's ARN, so every account has a
key of its own and ``deny`` and ``rate`` speak of accounts. Requests are read bare: no chunked bodies, no checks of
signatures.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import re
import time
import urllib.request
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any, Self
from urllib.parse import unquote

XML, JSON_10, JSON, CBOR = "text/xml", "application/x-amz-json-1.0", "application/json", "application/cbor"
STATS, RESET = b"/_canned/stats", b"/_canned/reset"


@dataclass(frozen=True)
class Reply:
    """One fixed answer."""

    body: bytes
    type: str = XML
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()

    def wire(self) -> bytes:
        extra = "".join(f"{name}: {value}\r\n" for name, value in self.headers)
        head = f"HTTP/1.1 {self.status} X\r\nContent-Type: {self.type}\r\nx-amzn-RequestId: canned\r\n{extra}"
        return f"{head}Content-Length: {len(self.body)}\r\n\r\n".encode() + self.body


@dataclass(frozen=True)
class Plan:
    """What the server answers."""

    replies: Mapping[str, Reply]
    rate: float = 0.0
    """Calls a second of one (account, region) before it throttles; 0 never does. STS is never throttled."""
    burst: float = 0.0
    """Calls that a quiet (account, region) may make at once; 0 for one second's worth, as AWS's buckets mostly hold."""
    deny: frozenset[tuple[str, str]] = frozenset()
    """(account, ``<signing name>:<operation>``) that is denied; ``*`` as account: everywhere."""
    delay: float = 0.0
    """Seconds before each answer."""


@dataclass
class Bucket:
    """What one (account, region) may still ask."""

    tokens: float
    at: float


@dataclass
class Stats:
    """What was asked since the start or the last reset."""

    answered: int = 0
    throttled: int = 0
    denied: int = 0
    unknown: int = 0
    first: float = 0.0
    """``time.monotonic`` of the first answer, and of the last."""
    last: float = 0.0
    cells: Counter[str] = field(default_factory=Counter)
    """Answers (throttled and denied ones not counted) by ``account region signing:operation``."""


class Canned:
    """The server, as a context manager; ``url`` is where it listens."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.url = ""

    def __enter__(self) -> Self:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        self._pipe = ours
        self._process = context.Process(target=_serve, args=(self.plan, theirs), daemon=True)
        self._process.start()
        theirs.close()
        if not ours.poll(30):
            raise TimeoutError("the canned server does not start")
        self.url = f"http://127.0.0.1:{ours.recv()}"
        return self

    def __exit__(self, *_error: object) -> None:
        self._process.terminate()
        self._process.join(10)
        self._pipe.close()

    def stats(self) -> Stats:
        """The counts so far."""
        with urllib.request.urlopen(self.url + STATS.decode(), timeout=10) as answer:
            raw = json.load(answer)
        return Stats(**{**raw, "cells": Counter(raw["cells"])})

    def reset(self) -> None:
        """Counts from nothing again."""
        urllib.request.urlopen(self.url + RESET.decode(), timeout=10).close()

    @property
    def pid(self) -> int:
        return self._process.pid or 0


_CREDENTIAL = re.compile(rb"Credential=([^/]+)/\d+/([^/]+)/([^/]+)/", re.IGNORECASE)
_LENGTH = re.compile(rb"\r\ncontent-length:[ ]*(\d+)", re.IGNORECASE)
_TARGET = re.compile(rb"\r\nx-amz-target:[ ]*(?:[^\r]*\.)?([^.\r]+)", re.IGNORECASE)
_ACTION = re.compile(rb"(?:^|&)Action=(\w+)")
_ROLE = re.compile(rb"RoleArn=[^&]*(?:%3A%3A|::)(\d{12})", re.IGNORECASE)
_RPC = re.compile(rb"/service/[^/]+/operation/(\w+)")


class _Server:
    """The state of one server."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.wires = {key: reply.wire() for key, reply in plan.replies.items()}
        self.fallback = self.wires.get("*")
        self.buckets: dict[bytes, Bucket] = {}
        self.stats = Stats()
        self.roles: dict[bytes, bytes] = {}

    def answer(self, head: bytes, body: bytes) -> bytes:
        method, target, _ = head.split(b" ", 2)
        if target.startswith(b"/_canned/"):
            return self.control(target)
        found = _CREDENTIAL.search(head)
        key, region, signing = found.groups() if found else (b"", b"", b"")
        kind, operation = _operation(method, target, head, body)
        if signing == b"sts" and operation == "AssumeRole":
            return self.assume(body)
        account = key[4:16].decode()
        name = f"{signing.decode()}:{operation}"
        stats, now = self.stats, time.monotonic()
        if self.plan.rate and signing != b"sts" and not self.take(key + b"/" + region, now):
            stats.throttled += 1
            return _THROTTLED[kind]
        if self.plan.deny and ((account, name) in self.plan.deny or ("*", name) in self.plan.deny):
            stats.denied += 1
            return _DENIED[kind]
        wire = self.wires.get(name) or self.fallback
        if wire is None:
            stats.unknown += 1
            return _UNKNOWN[kind]
        stats.answered += 1
        stats.first = stats.first or now
        stats.last = now
        stats.cells[f"{account} {region.decode()} {name}"] += 1
        return wire

    def take(self, key: bytes, now: float) -> bool:
        rate = self.plan.rate
        burst = self.plan.burst or max(rate, 1.0)
        bucket = self.buckets.get(key)
        if bucket is None:
            bucket = self.buckets[key] = Bucket(burst, now)
        bucket.tokens = min(burst, bucket.tokens + (now - bucket.at) * rate)
        bucket.at = now
        if bucket.tokens < 1:
            return False
        bucket.tokens -= 1
        return True

    def assume(self, body: bytes) -> bytes:
        found = _ROLE.search(body)
        account = found[1] if found else b"000000000000"
        if account not in self.roles:
            name = account.decode()
            self.roles[account] = Reply(
                f"""<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
<AccessKeyId>ASIA{name}</AccessKeyId><SecretAccessKey>canned</SecretAccessKey><SessionToken>canned</SessionToken>
<Expiration>2099-01-01T00:00:00Z</Expiration></Credentials><AssumedRoleUser><AssumedRoleId>AROA:uwu</AssumedRoleId>
<Arn>arn:aws:sts::{name}:assumed-role/uwu-observer/uwu</Arn></AssumedRoleUser></AssumeRoleResult>
<ResponseMetadata><RequestId>canned</RequestId></ResponseMetadata></AssumeRoleResponse>""".encode()
            ).wire()
        return self.roles[account]

    def control(self, target: bytes) -> bytes:
        if target == RESET:
            self.stats = Stats()
        raw = {**self.stats.__dict__, "cells": dict(self.stats.cells)}
        return Reply(json.dumps(raw).encode(), JSON).wire()


def _operation(method: bytes, target: bytes, head: bytes, body: bytes) -> tuple[str, str]:
    """The shape of its errors, and its name."""
    if found := _TARGET.search(head):
        return "json", found[1].decode()
    if found := _RPC.match(target):
        return "cbor", found[1].decode()
    if method == b"POST" and (found := _ACTION.search(body)):
        return "xml", found[1].decode()
    return "rest", f"{method.decode()} {unquote(target.partition(b'?')[0].decode())}"


def _error(status: int, code: str) -> dict[str, bytes]:
    text = json.dumps({"__type": code, "message": f"{code}: canned"}).encode()
    xml = (
        f"<Response><Errors><Error><Code>{code}</Code><Message>{code}: canned</Message></Error></Errors>"
        f"<Error><Code>{code}</Code><Message>{code}: canned</Message></Error></Response>"
    ).encode()
    kind = (("x-amzn-errortype", code),)
    return {
        "json": Reply(text, JSON_10, status).wire(),
        "rest": Reply(text, JSON, status, kind).wire(),
        "xml": Reply(xml, XML, status).wire(),
        "cbor": Reply(
            b"\xa1f__typex" + bytes([len(code)]) + code.encode(), CBOR, status, (("smithy-protocol", "rpc-v2-cbor"),)
        ).wire(),
    }


_THROTTLED = _error(400, "ThrottlingException")
_DENIED = _error(403, "AccessDenied")
_UNKNOWN = _error(400, "UnknownOperationException")


class _Connection(asyncio.Protocol):
    """One connection that is kept alive."""

    def __init__(self, server: _Server) -> None:
        self.server = server
        self.buffer = b""
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer = self.buffer + data if self.buffer else data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end]
            found = _LENGTH.search(head)
            whole = end + 4 + (int(found[1]) if found else 0)
            if len(self.buffer) < whole:
                return
            body, self.buffer = self.buffer[end + 4 : whole], self.buffer[whole:]
            wire = self.server.answer(head, body)
            if self.server.plan.delay:
                asyncio.get_running_loop().call_later(self.server.plan.delay, self.transport.write, wire)
            else:
                self.transport.write(wire)


def _serve(plan: Plan, pipe: Connection) -> None:
    async def run() -> None:
        state = _Server(plan)
        server = await asyncio.get_running_loop().create_server(
            lambda: _Connection(state), "127.0.0.1", 0, backlog=1024
        )
        pipe.send(server.sockets[0].getsockname()[1])
        async with server:
            await server.serve_forever()

    asyncio.run(run())
