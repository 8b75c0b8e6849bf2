"""Ways through a large graph, and the exposure of many instances at once.

The peer of a way is a breadth-first search over the whole graph held in memory: what a tool that loads its graph does,
reading not counted.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from statistics import quantiles
from typing import Any

from sqlalchemy import event

from bench.harness import Report
from uwu.domains.inventory import exposure
from uwu.kernel import codec, domain, migrate, paths, tables
from uwu.kernel.paths import Asked
from uwu.kernel.runtime import Kernel
from uwu.kernel.settings import Settings

ACCOUNT, REGION = "111122223333", "eu-west-1"
ASKED = 40


def measure(report: Report, *, quick: bool) -> None:
    """Ways among 80,000 relations (1,000,000 where not quick), exposure of 2,000 (20,000) instances."""
    random.seed(7)
    count = 80_000 if quick else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        kernel = Kernel(Settings(home=str(Path(folder))), domain.installed())
        try:
            migrate.upgrade(kernel.db)
            edges = _relations(kernel, count)
            _ways(report, kernel, edges, count // 5)
            _exposures(report, kernel, 2_000 if quick else 20_000)
        finally:
            kernel.close()


def _node(number: int) -> str:
    return f"arn:aws:ec2:{REGION}:{ACCOUNT}:thing/n-{number:08d}"


def _relations(kernel: Kernel, count: int) -> list[tuple[int, int]]:
    """Five relations a node: most lead into the same quarter, some to one of a few hubs that thousands point to."""
    nodes = count // 5
    drawn: dict[tuple[int, int], None] = {}
    while len(drawn) < count:
        source = random.randrange(nodes)
        target = random.randrange(20) if random.random() < 0.02 else (source + random.randrange(1, nodes // 4)) % nodes
        if source != target:
            drawn[source, target] = None
    edges = list(drawn)
    now = codec.now()
    with kernel.db.write() as connection:
        for start in range(0, count, 20_000):
            connection.execute(
                tables.relations.insert(),
                [
                    {
                        "source": _node(a),
                        "kind": "leadsTo",
                        "target": _node(b),
                        "valid_from": now,
                        "valid_to": None,
                        "cell": "aws/x",
                        "evidence": "",
                    }
                    for a, b in edges[start : start + 20_000]
                ],
            )
    return edges


def _ways(report: Report, kernel: Kernel, edges: Sequence[tuple[int, int]], nodes: int) -> None:
    pairs = [(random.randrange(nodes), random.randrange(nodes)) for _ in range(ASKED)]
    took: list[float] = []
    lengths: list[int] = []
    asked = Asked(direction="out", length=12)
    with kernel.db.read() as connection:
        for a, b in pairs:
            began = time.perf_counter()
            found = paths.between(kernel, connection, _node(a), _node(b), asked, 1)
            took.append(time.perf_counter() - began)
            lengths.append(len(found.paths[0]) if found.paths else 0)
    out: dict[int, list[int]] = {}
    for a, b in edges:
        out.setdefault(a, []).append(b)
    began = time.perf_counter()
    plain = [_plain(out, a, b, 12) for a, b in pairs]
    whole = (time.perf_counter() - began) / len(pairs)
    cuts = quantiles(took, n=20)
    both_ways: list[float] = []
    with kernel.db.read() as connection:
        for a, b in pairs[: ASKED // 2]:
            began = time.perf_counter()
            paths.between(kernel, connection, _node(a), _node(b), Asked(length=12), 1)
            both_ways.append(time.perf_counter() - began)
    report.figure("ways_relations", len(edges))
    report.figure("ways_found", sum(1 for length in lengths if length), peer=f"of {ASKED}")
    report.figure("ways_p50_ms", 1000 * cuts[9], peer=f"in memory {1000 * whole:.0f} ms on average")
    report.bar("ways_p95_ms", 1000 * cuts[18], at_most=500)
    report.figure("ways_both_directions_p50_ms", 1000 * quantiles(both_ways, n=20)[9])
    report.bar(
        "ways_as_short_as_in_memory", sum(1 for a, b in zip(lengths, plain, strict=True) if a == b), at_least=ASKED
    )


def _plain(out: dict[int, list[int]], a: int, b: int, most: int) -> int:
    seen, queue = {a: 0}, deque([a])
    while queue:
        here = queue.popleft()
        if seen[here] >= most:
            return 0
        for there in out.get(here, ()):
            if there == b:
                return seen[here] + 1
            if there not in seen:
                seen[there] = seen[here] + 1
                queue.append(there)
    return 0


def _exposures(report: Report, kernel: Kernel, count: int) -> None:
    """Instances over 50 groups and 20 subnets of one region."""
    now = codec.now()

    def row(type: str, id: str, attributes: dict[str, Any]) -> dict[str, Any]:
        urn = f"arn:aws:ec2:{REGION}:{ACCOUNT}:{id}"
        cell = f"aws/{ACCOUNT}/{REGION}/{type}"
        return {
            "urn": urn, "cell": cell, "type": type, "account": ACCOUNT, "region": REGION, "name": id, "tags": {},
            "attributes": attributes, "managed_by": "", "hash": "", "version": 1, "first_seen": now, "changed_at": now,
        }  # fmt: skip

    rule = {"IpProtocol": "tcp", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    entry = {"RuleNumber": 100, "Protocol": "-1", "RuleAction": "allow", "CidrBlock": "0.0.0.0/0"}
    subnets = [f"subnet-{i}" for i in range(20)]
    route = {"DestinationCidrBlock": "0.0.0.0/0", "GatewayId": "igw-1", "State": "active"}
    rows = [
        *(
            row("aws_vpc_subnet", f"subnet/{s}", {"SubnetId": s, "VpcId": "vpc-1", "CidrBlock": "10.0.0.0/24"})
            for s in subnets
        ),
        *(
            row(
                "aws_vpc_security_group",
                f"security-group/sg-{i}",
                {"GroupId": f"sg-{i}", "VpcId": "vpc-1", "IpPermissions": [{**rule, "FromPort": i, "ToPort": i}]},
            )
            for i in range(50)
        ),
        row(
            "aws_vpc_route_table",
            "route-table/rtb-1",
            {
                "VpcId": "vpc-1",
                "Routes": [route],
                "Associations": [{"SubnetId": s} for s in subnets[::2]] + [{"Main": True}],
            },
        ),
        row(
            "aws_vpc_network_acl",
            "network-acl/acl-1",
            {
                "VpcId": "vpc-1",
                "Associations": [{"SubnetId": s} for s in subnets],
                "Entries": [{**entry, "Egress": egress} for egress in (True, False)],
            },
        ),
    ]
    for i in range(count):
        face: dict[str, Any] = {"SubnetId": subnets[i % 20], "VpcId": "vpc-1", "Groups": [{"GroupId": f"sg-{i % 50}"}]}
        if i % 3:
            face["Association"] = {"PublicIp": f"52.{i >> 16 & 255}.{i >> 8 & 255}.{i & 255}"}
        told = {"InstanceId": f"i-{i}", "VpcId": "vpc-1", "NetworkInterfaces": [face]}
        rows.append(row("aws_ec2_instance", f"instance/i-{i}", told))
    with kernel.db.write() as connection:
        for start in range(0, len(rows), 5_000):
            connection.execute(tables.resources.insert(), rows[start : start + 5_000])
    statements = [0]

    def counted(*_: Any) -> None:
        statements[0] += 1

    with kernel.db.read() as connection:
        event.listen(connection, "before_cursor_execute", counted)
        began = time.perf_counter()
        found = list(exposure.public(kernel, connection, types=("aws_ec2_instance",)))
        seconds = time.perf_counter() - began
    report.figure("exposures_judged", len(found), peer=f"{sum(1 for e in found if e.answer == 'yes')} exposed")
    report.bar("exposures_a_second", len(found) / seconds, at_least=1_000)
    report.bar("exposure_queries", statements[0], at_most=40, peer="whatever their number")
