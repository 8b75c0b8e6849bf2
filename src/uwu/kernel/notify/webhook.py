"""uwu's own webhook: one signed POST of JSON, to an address that was looked at before it is connected to.

The signature is HMAC-SHA256 (RFC 2104) over the time, a dot and the body: ``uwu-signature: t=1741615331,v1=<hex>``.
Redirects are not followed, and no proxy is asked: what was checked is what is reached.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import socket
import ssl
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import SplitResult, urlsplit

from uwu import __version__

METADATA = frozenset(map(ip_address, ("100.100.100.200", "fd00:ec2::254", "192.0.0.192")))
"""Metadata services of clouds that are at no link-local address."""
MAX_ANSWER_BYTES = 4096

Ip = IPv4Address | IPv6Address


class Refused(Exception):
    """The far side, or our own rule, would not have it; the text holds nothing of the address."""


def signature(secret: str, at: int, body: bytes) -> str:
    """The value of the header ``uwu-signature`` for a body that is sent ``at``, in seconds since 1970."""
    told = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={told}"


def post(url: str, body: bytes, *, secret: str, id: str, at: int, timeout: float, allow: Iterable[str] = ()) -> None:
    """Sends ``body`` to ``url`` (http or https), signed where there is a secret.

    Raises ``Refused`` for an answer that is no 2xx and for an address that may not be reached, ``OSError`` or
    ``http.client.HTTPException`` where the network fails.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Refused("a webhook needs an address like webhook+https://host/path")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    address = checked(parts.hostname, port, allow=allow)
    connection = _Connection(parts, port, address, timeout)
    headers = {
        "content-type": "application/json",
        "user-agent": f"uwu/{__version__}",
        "idempotency-key": id,
    }
    if secret:
        headers["uwu-signature"] = signature(secret, at, body)
    try:
        connection.request("POST", _path(parts), body, headers)
        answer = connection.getresponse()
        answer.read(MAX_ANSWER_BYTES)
    finally:
        connection.close()
    if not 200 <= answer.status < 300:
        raise Refused(f"the receiver answered {answer.status} {answer.reason}"[:120])


def _path(parts: SplitResult) -> str:
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


class _Connection(http.client.HTTPConnection):
    """To the address that was checked: a name that is looked up again could lead elsewhere by then."""

    def __init__(self, parts: SplitResult, port: int, address: str, timeout: float) -> None:
        super().__init__(parts.hostname or "", port, timeout=timeout)
        self._address = address
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        if self._tls is not None:
            self.default_port = 443

    def connect(self) -> None:
        raw = socket.create_connection((self._address, self.port), self.timeout)
        self.sock = self._tls.wrap_socket(raw, server_hostname=self.host) if self._tls is not None else raw


def checked(host: str, port: int, *, allow: Iterable[str] = (), loopback: bool = False) -> str:
    """An address of ``host`` that may be reached. ``loopback``: this machine too.

    Raises ``Refused`` where any of its addresses is loopback, link-local, multicast, unspecified or a metadata
    service's, and in no network of ``allow``; ``OSError`` where the name is not found.
    """
    networks = [ip_network(network) for network in allow]
    found = [str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    for text in found:
        address = _plain(ip_address(text.partition("%")[0]))
        if any(address in network for network in networks if network.version == address.version):
            continue
        if (
            address.is_link_local
            or address.is_multicast
            or address.is_unspecified
            or address in METADATA
            or (address.is_loopback and not loopback)
        ):
            raise Refused("this address may not be reached: it is loopback, link-local or a metadata service's")
    return found[0]


_NAT64 = IPv6Network("64:ff9b::/96")


def _plain(address: Ip) -> Ip:
    """An IPv4 address that is written within an IPv6 one, as itself."""
    if isinstance(address, IPv6Address):
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFFFFFF)
        return address.ipv4_mapped or address.sixtofour or address
    return address
