"""A server that throttles each account and region: how much of its rate a sync takes, and that no cell is lost.

The server lets N calls a second of each (account, region) through, whatever the service, and refuses the rest; its
buckets hold one second's worth, as AWS's mostly do, which counts as let through. One type is denied in one account. A
worker process syncs it all; the peer is botocore's adaptive mode in the same threads, by the setting ``aws.client``.
"""

from __future__ import annotations

from dataclasses import replace

import sqlalchemy as sa

from bench.harness import Report
from bench.inventory.canned import Plan, Stats
from bench.inventory.cells import OPERATIONS, REGIONS, account_id, chosen, estate, wait
from uwu.kernel import tables

DENIED = "ec2:DescribeVpcs"


def measure(report: Report, *, quick: bool) -> None:
    """At least 90% of N; every cell in the ledger, each denial and each throttling too."""
    accounts, regions, rate = (2, REGIONS[:1], 20.0) if quick else (4, REGIONS[:2], 2.0)
    clients = ("fast",) if quick else ("fast", "botocore")
    found = {client: _sync(accounts, regions, rate, client) for client in clients}
    share, stats, ledger = found["fast"]
    peer = f"botocore's adaptive mode {found['botocore'][0]:.0f}%" if "botocore" in found else ""
    places = f"{accounts} accounts x {len(regions)} regions, {rate:.0f} calls a second each"
    name = f"throttled, {places}: taken of what is let through"
    if quick:  # over before a pace is found
        report.figure(name, share, unit="%", peer=peer)
    else:
        report.bar(name, share, at_least=90, unit="%", peer=peer)
    cells, denied = accounts * len(regions) * OPERATIONS, len(regions)
    report.bar("throttled: cells in the ledger", ledger["cells"], at_least=cells, peer=f"{cells:,} cells")
    report.bar("throttled: cells lost to throttling", cells - denied - ledger["complete"], at_most=0)
    report.bar("throttled: denials in the ledger", ledger["denied"], at_least=denied, peer=f"{stats.denied} answers")
    told = 100 * ledger["throttled"] / max(1, stats.throttled)
    name, peer = "throttled: throttled answers that are in the ledger", f"of {stats.throttled:,}"
    report.bar(name, told, at_least=100, unit="%", peer=peer)


def _sync(accounts: int, regions: tuple[str, ...], rate: float, client: str) -> tuple[float, Stats, dict[str, int]]:
    """The share of what was let through, what the server saw, and what the ledger says."""
    deny = frozenset({(account_id(1), DENIED)})
    # many attempts: a peer that gives up early would only look quick
    settings = f'client = "{client}"\nmax_attempts = {4 if client == "fast" else 60}'

    def throttling(plan: Plan) -> Plan:
        return replace(plan, rate=rate, deny=deny)

    with estate(accounts, regions, plan=throttling, aws=settings) as made:
        id = made.sync()
        worker = made.worker()
        wait(lambda: made.accounts() > 0, worker)
        made.server.reset()  # of what finds the accounts nothing is told
        made.result(id)
        stats = made.server.stats()
        c = tables.coverage
        query = sa.select(
            sa.func.count(),
            sa.func.count().filter(c.c.status == "complete"),
            sa.func.count().filter(c.c.status == "denied"),
            sa.func.sum(c.c.throttled),
        ).where(c.c.type.in_([spec.name for _, spec in chosen()]))
        with made.kernel.db.read() as connection:
            row = connection.execute(query).one()
    places = accounts * len(regions)
    most = rate * places * (stats.last - stats.first + 1)
    names = ("cells", "complete", "denied", "throttled")
    told = {name: int(number) for name, number in zip(names, row, strict=True)}
    return 100 * (stats.answered + stats.denied) / most, stats, told
