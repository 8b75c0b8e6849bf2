"""How a sync is parted: one durable shard is an account and some of its regions; it keeps its own progress."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from uwu.domains.inventory.model import Spec
from uwu.domains.inventory.reader import lists_of
from uwu.domains.inventory.services import SERVICES

SHARDS = 128
"""About so many are made where there are that many regions of accounts: enough for every worker to have its share to
the end, and few beside what each of them asks. A durable job costs about as much as three calls."""


TOGETHER = 4
"""Types that one thread asks one after another, where they do not share lists: few, so that no thread is left alone
with a long service at the end."""


class Shard(msgspec.Struct, frozen=True):
    """What one durable job observes."""

    account: str
    regions: tuple[str, ...]
    once: str = ""
    """The region in which it asks what an account has but once; empty where another shard does."""

    @property
    def key(self) -> str:
        """Its name among the shards of a sync."""
        return f"{self.account}/{self.regions[0] if self.regions else self.once}"


class Unit(msgspec.Struct, frozen=True):
    """What one thread asks, type after type: they stand on each other's lists."""

    region: str
    service: str
    specs: tuple[Spec, ...]


def plan(accounts: Sequence[str], regions: Sequence[str], home_region: str) -> list[Shard]:
    """The shards of a sync: the same for the same arguments, since a resumed sync must find its own again."""
    size = max(1, -(-len(accounts) * len(regions) // SHARDS))
    shards: list[Shard] = []
    for account in accounts:
        parts = [tuple(regions[i : i + size]) for i in range(0, len(regions), size)] or [()]
        shards += [Shard(account, part, "" if number else home_region) for number, part in enumerate(parts)]
    return shards


def units(shard: Shard, services: Mapping[str, Sequence[Spec]] = SERVICES) -> Iterable[Unit]:
    """What is to be asked for ``shard``, the longest first: the last to begin is short."""
    parts = [(service, part) for service, specs in services.items() for part in _parts(specs)]
    for service, specs in sorted(parts, key=lambda found: -len(found[1])):
        once = tuple(spec for spec in specs if spec.everywhere)
        if once and shard.once:
            yield Unit(shard.once, service, once)
        regional = tuple(spec for spec in specs if not spec.everywhere)
        if regional:
            yield from (Unit(region, service, regional) for region in shard.regions)


def _parts(specs: Sequence[Spec]) -> list[tuple[Spec, ...]]:
    """``specs`` in parts of a few, those together that stand on the same lists: each list is asked once."""
    groups: list[tuple[set[str], list[Spec]]] = []
    for spec in specs:
        lists, members = lists_of(spec), [spec]
        others: list[tuple[set[str], list[Spec]]] = []
        for group in groups:
            if group[0] & lists:
                lists |= group[0]
                members = group[1] + members
            else:
                others.append(group)
        groups = [*others, (lists, members)]
    parts: list[list[Spec]] = []
    for _, members in groups:
        if parts and len(parts[-1]) + len(members) <= TOGETHER:
            parts[-1] += members
        else:
            parts.append(list(members))
    return [tuple(part) for part in parts]
