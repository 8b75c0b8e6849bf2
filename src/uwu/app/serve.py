"""``uwu serve``: the web process and, supervised by it, one child worker. The web process itself runs no job."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import logging
import os
import secrets
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from pathlib import Path
from typing import Any

import msgspec
import uvicorn

from uwu.app import identify, traces
from uwu.app.cli import logs
from uwu.kernel import codec
from uwu.kernel.errors import Conflict, Misconfigured
from uwu.kernel.identity import principals
from uwu.kernel.runtime import Kernel
from uwu.kernel.settings import HttpSettings

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

WORKER_NICE = 10
"""Beside two running syncs pages stay as quick as alone; jobs in threads of this process make them 28-108x slower."""

FIRST_PAUSE_SECONDS, LAST_PAUSE_SECONDS = 0.5, 30.0
"""Before a worker that died is started again: doubled each time, from the start again once one has lived a minute."""

KILL_AFTER_SECONDS = 5
"""How much longer than its own grace a stopping worker is waited for before it is killed."""

_log = logging.getLogger("uwu.serve")


class ServerInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Where the server of a home listens: ``server.json``, mode 0600. It may be stale: ask the url first."""

    url: str
    token: str
    """What a command on this machine shows as its bearer token."""
    pid: int
    certificate: str = ""
    """The PEM file that the server proves itself with; empty where it speaks plain HTTP."""


def read_server_info(home: Path) -> ServerInfo | None:
    """The server of ``home``; None where none is running, whatever a stale file says."""
    try:
        info = msgspec.json.decode((home / "server.json").read_bytes(), type=ServerInfo)
        os.kill(info.pid, 0)
    except (FileNotFoundError, ProcessLookupError, msgspec.DecodeError):
        return None
    except PermissionError:
        return None
    return info


class Supervisor:
    """Keeps one child worker running."""

    def __init__(self, home: Path, grace_seconds: float) -> None:
        self._home = home
        self._grace_seconds = grace_seconds
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process of the living worker."""
        child = self._child
        return child.pid if child is not None and child.poll() is None else None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="uwu-supervisor", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Terminates the worker, and kills it where that takes longer than its own grace and a little."""
        self._stopping.set()
        with self._lock:
            child = self._child
        if child is not None and child.poll() is None:
            child.terminate()
            try:
                child.wait(self._grace_seconds + KILL_AFTER_SECONDS)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def _run(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while not self._stopping.is_set():
            began = time.monotonic()
            status = self._live()
            if self._stopping.is_set():
                return
            if time.monotonic() - began > 60:
                pause = FIRST_PAUSE_SECONDS
            _log.warning("the worker ended with status %s; it is started again in %.1f s", status, pause)
            self._stopping.wait(pause)
            pause = min(pause * 2, LAST_PAUSE_SECONDS)

    def _live(self) -> int:
        # the child holds the reading end, we the writing one: however we end, it sees the end of the file
        reader, writer = os.pipe()
        try:
            with self._lock:
                if self._stopping.is_set():
                    return 0
                command = [sys.executable, "-m", "uwu.app.worker", "--home", str(self._home)]
                command += ["--parent-fd", str(reader), "--nice", str(WORKER_NICE)]
                self._child = subprocess.Popen(command, pass_fds=(reader,), stdin=subprocess.DEVNULL)
            os.close(reader)
            reader = -1
            return self._child.wait()
        finally:
            if reader >= 0:
                os.close(reader)
            os.close(writer)


def serve(
    home: Path | None = None,
    host: str | None = None,
    port: int | None = None,
    *,
    on_start: Callable[[ServerInfo], None] | None = None,
    on_admin: Callable[[str], None] | None = None,
) -> None:
    """Serves the console and the API of ``home`` and runs its jobs, until SIGINT or SIGTERM.

    ``host`` and ``port`` instead of the settings'; port 0 takes a free one. ``on_start`` is called once it listens.
    ``on_admin`` gets the token of the first admin where there is none yet; without it none is made.
    Raises ``Conflict`` where the port is taken or the home has a server already, ``Misconfigured`` where it would
    listen to others in plain text.
    """
    kernel = Kernel.open(home)
    logs.configure_service(kernel.settings.telemetry)
    traces.start(kernel.settings.telemetry, "server")
    home = kernel.settings.home_path
    with contextlib.ExitStack() as stack:
        stack.callback(kernel.close)
        stack.enter_context(only_server(home))
        http = kernel.settings.http
        certificate, key = _tls(home, http)
        refuse_plain(host or http.host, http)
        listener = stack.enter_context(_listen(host or http.host, _port(kernel, port)))
        url = _url(listener, "https" if certificate else "http")
        info = ServerInfo(url=url, token=secrets.token_urlsafe(32), pid=os.getpid(), certificate=certificate)
        _write_server_info(home, info)
        stack.callback((home / "server.json").unlink, missing_ok=True)
        supervisor = Supervisor(home, kernel.settings.jobs.grace_seconds)
        stack.callback(supervisor.stop)

        def started() -> None:
            supervisor.start()
            if on_start is not None:
                on_start(info)
            if on_admin is not None and not principals.admin_exists(kernel):
                on_admin(principals.bootstrap(kernel, identify.local()))

        def stopped() -> None:
            (home / "server.json").unlink(missing_ok=True)
            supervisor.stop()
            traces.stop()

        from uwu.app.asgi import create_app

        config = uvicorn.Config(
            with_lifespan(create_app(kernel, host=host or "", token=info.token), started, stopped),
            lifespan="on",
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,  # uvicorn believes loopback by itself; whom we believe is a setting
            ssl_certfile=certificate or None,
            ssl_keyfile=key or None,
            timeout_graceful_shutdown=2,  # an open event stream would hold the server for ever
        )
        uvicorn.Server(config).run(sockets=[listener])


def with_lifespan(app: App, started: Callable[[], None], stopped: Callable[[], None]) -> App:
    """``app``, with ``started`` called after its start-up and ``stopped`` before its shutdown is reported.

    The server ends by raising the signal again: what comes after it in the program does not run on SIGTERM.
    """

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await app(scope, receive, send)
            return

        async def watched(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "lifespan.startup.complete":
                await asyncio.to_thread(started)
            elif message["type"].startswith("lifespan.shutdown."):
                await asyncio.to_thread(stopped)
            await send(message)

        await app(scope, receive, watched)

    return wrapped


def refuse_plain(host: str, http: HttpSettings) -> None:
    """Raises ``Misconfigured`` where ``host`` is reached from elsewhere and nothing keeps tokens from being read on the
    way."""
    if identify.is_loopback(host) or http.tls_certificate or http.trusted_proxies:
        return
    raise Misconfigured(
        f"{host} is reached from other machines, and tokens would go there in plain text",
        code="bind-refused",
        place="http.host",
        hint="set http.tls_certificate and http.tls_key, or http.trusted_proxies to the address of the proxy that "
        "speaks TLS before it; or listen on 127.0.0.1",
    )


def _tls(home: Path, http: HttpSettings) -> tuple[str, str]:
    """The files of the certificate and its key; empty for none. Raises ``Misconfigured`` where they do not fit."""
    if not http.tls_certificate:
        return "", ""
    certificate, key = str(home / http.tls_certificate), str(home / http.tls_key)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise Misconfigured(
            f"the certificate or its key cannot be used: {error.strerror or type(error).__name__}",
            code="tls-invalid",
            place=certificate,
            hint="http.tls_certificate and http.tls_key are PEM files that belong together",
        ) from None
    return certificate, key


def _port(kernel: Kernel, port: int | None) -> int:
    return kernel.settings.http.port if port is None else port


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # named TCP, asyncio sends without delay: else every answer waits 40 ms for the reader's acknowledgement
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise Conflict(
                f"port {port} of {host} is in use",
                code="port-in-use",
                hint="choose another with --port or UWU_HTTP_PORT, or stop what listens there",
            ) from None
        raise Misconfigured(
            f"cannot listen on {host}:{port}: {error.strerror or error}",
            code="listen-failed",
            hint="check http.host and http.port; ports below 1024 need privileges",
        ) from None
    return listener


def _url(listener: socket.socket, scheme: str = "http") -> str:
    host, port = listener.getsockname()[:2]
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    return f"{scheme}://{shown}:{port}"


@contextlib.contextmanager
def only_server(home: Path) -> Iterator[None]:
    """Holds the home's place for a server. Raises ``Conflict`` that names the one that runs."""
    file = os.open(home / "server.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            info = read_server_info(home)
            raise Conflict(
                f"this home is served already{f' at {info.url} by process {info.pid}' if info else ''}",
                code="server-running",
                place=str(home),
                hint="use that one, or stop it",
            ) from None
        yield
    finally:
        os.close(file)


def _write_server_info(home: Path, info: ServerInfo) -> None:
    path = home / "server.json"
    path.unlink(missing_ok=True)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(file, "wb") as target:
        target.write(codec.encode(info))
