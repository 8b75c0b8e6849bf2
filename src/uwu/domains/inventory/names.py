"""What DNS records lead to: relations that no single cell can tell, drawn from what all of them saw."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from uwu.domains.inventory.model import find
from uwu.kernel import codec, graph, tables
from uwu.kernel.model import Relation
from uwu.kernel.runtime import Kernel

CELL = "aws/names"
"""Under which these relations are kept; it is no cell of coverage."""

_ADDRESSES = {
    "aws_ec2_application_load_balancer": ("DNSName",),
    "aws_ec2_network_load_balancer": ("DNSName",),
    "aws_vpc_eip": ("PublicIp",),
    "aws_rds_db_instance": ("Endpoint.Address",),
    "aws_ec2_instance": ("PublicIpAddress", "PublicDnsName", "PrivateIpAddress"),
}
"""Type -> where its names and addresses lie. An elastic IP goes before the instance that holds it."""


def resolve_names(kernel: Kernel) -> int:
    """Relates every record to the load balancer, address, database or instance it leads to; gives how many."""
    r = tables.resources
    at = codec.now()
    columns = sa.select(r.c.urn, r.c.type, r.c.account, r.c.attributes)
    with kernel.db.read() as connection:
        held: dict[str, str] = {}
        for row in connection.execute(columns.where(r.c.type.in_(_ADDRESSES))):
            for path in _ADDRESSES[row.type]:
                for name in _keys(row.account, path, find(path, row.attributes)):
                    if name not in held or row.type == "aws_vpc_eip":
                        held[name] = row.urn
        relations = [
            Relation(source=row.urn, kind="resolvesTo", target=held[name], evidence=evidence)
            for row in connection.execute(columns.where(r.c.type == "aws_route53_record"))
            for name, evidence in _leads_to(row.account, row.attributes)
            if name in held
        ]
    with kernel.db.write() as connection:
        graph.set_relations(connection, CELL, relations, at)
    return len(relations)


def _leads_to(account: str, attributes: dict[str, Any]) -> Iterable[tuple[str, str]]:
    alias = find("AliasTarget.DNSName", attributes)
    if alias:
        yield _name(alias).removeprefix("dualstack."), "AliasTarget.DNSName"
    if attributes.get("Type") in {"A", "AAAA", "CNAME"}:
        for value in find("ResourceRecords[].Value", attributes) or ():
            yield _name(value), "ResourceRecords[].Value"
            yield f"{account}/{_name(value)}", "ResourceRecords[].Value"


def _keys(account: str, path: str, value: Any) -> Iterable[str]:
    """Private addresses are names only within their account."""
    if isinstance(value, str) and value:
        yield f"{account}/{_name(value)}" if path.startswith("Private") else _name(value)


def _name(value: str) -> str:
    return value.rstrip(".").lower()
