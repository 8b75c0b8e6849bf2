"""Sets of addresses and ports, exactly: the arithmetic of who reaches what.

An address set is a sorted tuple of inclusive ranges of whole numbers, for one family. A ``Region`` is a set of
(port, address) pairs of one protocol, held as rows of ports with the addresses of each.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

Ranges = tuple[tuple[int, int], ...]
"""Sorted, disjoint, not touching; inclusive at both ends."""

V4, V6 = 4, 6
FAMILIES = (V4, V6)
PORTS: Ranges = ((0, 65535),)
EMPTY: Ranges = ()
_BITS = {V4: 32, V6: 128}
ALL: dict[int, Ranges] = {family: ((0, 2**bits - 1),) for family, bits in _BITS.items()}


def merged(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """The union of ``ranges``."""
    out: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if out and low <= out[-1][1] + 1:
            if high > out[-1][1]:
                out[-1] = (out[-1][0], high)
        else:
            out.append((low, high))
    return tuple(out)


def both(a: Ranges, b: Ranges) -> Ranges:
    """What lies in both."""
    out: list[tuple[int, int]] = []
    i = j = 0
    while i < len(a) and j < len(b):
        low, high = max(a[i][0], b[j][0]), min(a[i][1], b[j][1])
        if low <= high:
            out.append((low, high))
        if a[i][1] < b[j][1]:
            i += 1
        else:
            j += 1
    return tuple(out)


def without(a: Ranges, b: Ranges) -> Ranges:
    """What lies in ``a`` and not in ``b``."""
    out: list[tuple[int, int]] = []
    for low, high in a:
        at = low
        for start, end in b:
            if end < at or start > high:
                continue
            if start > at:
                out.append((at, start - 1))
            at = max(at, end + 1)
        if at <= high:
            out.append((at, high))
    return tuple(out)


def size(a: Ranges) -> int:
    """How many there are."""
    return sum(high - low + 1 for low, high in a)


@lru_cache(maxsize=65_536)
def block(cidr: str) -> tuple[int, Ranges] | None:
    """(family, addresses) of ``cidr``; None where it is none."""
    try:
        network = ipaddress.ip_network(cidr.strip(), strict=False)
    except ValueError:
        return None
    return network.version, ((int(network.network_address), int(network.broadcast_address)),)


def blocks(ranges: Ranges, family: int) -> list[str]:
    """``ranges`` as CIDR blocks."""
    make = ipaddress.IPv4Address if family == V4 else ipaddress.IPv6Address
    return [
        str(network) for low, high in ranges for network in ipaddress.summarize_address_range(make(low), make(high))
    ]


def _of(*cidrs: str) -> Ranges:
    return merged(pair for cidr in cidrs for pair in (block(cidr) or (0, EMPTY))[1])


PRIVATE: dict[int, Ranges] = {
    V4: _of(
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/3"),
    ),
    V6: without(ALL[V6], _of("2000::/3")),
}
"""What no packet from the internet has for its source (IANA special-purpose registries, RFC 6890). The blocks for
documentation count as the internet: examples and demonstrations stand for real ones."""
INTERNET: dict[int, Ranges] = {family: without(ALL[family], PRIVATE[family]) for family in FAMILIES}

_BROAD = {V4: 2 ** (32 - 8), V6: 2 ** (128 - 32)}


def anyone(sources: Ranges, family: int) -> bool:
    """Whether ``sources`` are so many that they are in effect anyone: more than an IPv4 /8 or an IPv6 /32 on the
    internet, as Amazon S3 draws the line ("The meaning of public", S3 User Guide)."""
    return size(both(sources, INTERNET[family])) > _BROAD[family]


Region = tuple[tuple[tuple[int, int], Ranges], ...]
"""Rows of (ports, addresses), by port; the rows of ports are disjoint."""


def region(allows: Callable[[int], Ranges], edges: Iterable[int]) -> Region:
    """The region whose addresses at a port are ``allows(port)``, which changes at ``edges`` only."""
    cuts = sorted({0, *(edge for edge in edges if 0 <= edge <= 65535)})
    rows: list[tuple[tuple[int, int], Ranges]] = []
    for index, low in enumerate(cuts):
        high = cuts[index + 1] - 1 if index + 1 < len(cuts) else 65535
        addresses = allows(low)
        if not addresses:
            continue
        if rows and rows[-1][1] == addresses and rows[-1][0][1] + 1 == low:
            rows[-1] = ((rows[-1][0][0], high), addresses)
        else:
            rows.append(((low, high), addresses))
    return tuple(rows)


def at(rows: Region, port: int) -> Ranges:
    """The addresses at ``port``."""
    return next((addresses for (low, high), addresses in rows if low <= port <= high), EMPTY)


def meet(first: Region, second: Region) -> Region:
    """What lies in both regions."""
    return region(lambda port: both(at(first, port), at(second, port)), _edges((first, second)))


def join(regions: Sequence[Region]) -> Region:
    """What lies in any of the regions."""
    return region(
        lambda port: merged(pair for rows in regions for pair in at(rows, port)),
        _edges(regions),
    )


def _edges(regions: Iterable[Region]) -> list[int]:
    return [edge for rows in regions for (low, high), _ in rows for edge in (low, high + 1)]
