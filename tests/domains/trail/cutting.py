"""A proxy that cuts: every connection through it ends at once while it is told to."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Self
from urllib.parse import urlsplit


class Cutting:
    """Forwards to ``url``; ``cut()`` ends all that is open and refuses what comes, until ``mend()``."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._to = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._cut = False
        self.cuts = 0
        """Connections that were ended or refused."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self.cut()

    def cut(self) -> None:
        with self._lock:
            self._cut = True
            ended, self._open = self._open, set()
        self.cuts += len(ended)
        for each in ended:
            _end(each)

    def mend(self) -> None:
        self._cut = False

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._cut:
                self.cuts += 1
                _end(client)
                continue
            try:
                server = socket.create_connection(self._to, timeout=10)
            except OSError:
                _end(client)
                continue
            with self._lock:
                late = self._cut  # cut while it was being opened
                if not late:
                    self._open |= {client, server}
            if late:
                self.cuts += 1
                _end(client)
                _end(server)
                continue
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                sink.sendall(data)
        for each in (source, sink):
            _end(each)
            with self._lock:
                self._open.discard(each)


def _end(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
