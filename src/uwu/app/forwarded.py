"""What a proxy says of the browser before it: believed of those that ``http.trusted_proxies`` names, of nobody else.

X-Forwarded-Proto, -Host and -For (the de-facto headers before RFC 7239). What others send is taken away, so that
nothing behind this layer can believe it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from uwu.app.api import problems
from uwu.app.layers import App, Receive, Scope, Send, answer

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
NAMES = frozenset({b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"forwarded"})


def layer(app: App, proxies: Sequence[str], *, only: bool = False) -> App:
    """``app`` behind ``proxies``; with ``only`` nobody else is answered, this machine itself excepted."""
    trusted = tuple(ipaddress.ip_network(each) for each in proxies)

    async def forwarded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        peer = (scope.get("client") or ("",))[0]
        headers = scope["headers"]
        if any(name in NAMES for name, _ in headers):
            scope["headers"] = [pair for pair in headers if pair[0] not in NAMES]
        if _within(peer, trusted):
            _believe(scope, headers, trusted)
        elif only and not _is_loopback(peer) and peer != (scope.get("server") or ("",))[0]:
            # the headers of this answer are of no layer below: it is as bare as a connection that is refused
            refused = problems.problem(
                403,
                "this server answers its proxy only",
                code="peer-untrusted",
                hint="ask the public address; http.trusted_proxies names the proxies",
            )
            await answer(send, refused)
            return
        await app(scope, receive, send)

    return forwarded


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        found = ipaddress.ip_address(text.strip())
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found


def _within(text: str, networks: Sequence[Network]) -> bool:
    address = _address(text)
    return address is not None and any(address in network for network in networks)


def _is_loopback(text: str) -> bool:
    address = _address(text)
    return address is not None and address.is_loopback


def _believe(scope: Scope, headers: list[tuple[bytes, bytes]], trusted: Sequence[Network]) -> None:
    """Sets what the proxy says: of a list the last entry, which the proxy itself has added."""
    given: dict[bytes, list[str]] = {}
    for name, value in headers:
        if name in NAMES:
            given.setdefault(name, []).extend(part.strip() for part in value.decode("latin-1").split(","))
    if (protos := given.get(b"x-forwarded-proto")) and protos[-1].lower() in {"http", "https"}:
        scope["scheme"] = protos[-1].lower()
    if hosts := given.get(b"x-forwarded-host"):
        rest = [pair for pair in scope["headers"] if pair[0] != b"host"]
        scope["headers"] = [(b"host", hosts[-1].encode("latin-1")), *rest]
    # the first from the right that is none of our proxies is the browser; what stands left of it, it may have invented
    chain = [hop for hop in reversed(given.get(b"x-forwarded-for", [])) if _address(hop) is not None]
    browser = next((hop for hop in chain if not _within(hop, trusted)), chain[-1] if chain else "")
    if browser:
        scope["client"] = (browser, 0)
