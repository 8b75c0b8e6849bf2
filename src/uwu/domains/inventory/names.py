"""Relations that no single cell can tell, drawn from all: what names lead to, who is in which group."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import sqlalchemy as sa

from uwu.domains.inventory.compared import ADDRESSES
from uwu.domains.inventory.model import find
from uwu.kernel import codec, graph, tables
from uwu.kernel.model import Relation
from uwu.kernel.runtime import Kernel

CELL = "aws/names"
"""Under which what DNS records lead to is kept; it is no cell of coverage."""
COMPARED = "aws/compared"
"""Under which the other relations are kept."""

_BUCKET = re.compile(r"(?P<name>.+)\.s3(?:-website)?(?:[.-](?:dualstack\.)?[a-z0-9-]+)?\.amazonaws\.com(?:\.cn)?")
_WEBSITE = re.compile(r"s3-website[.-][a-z0-9-]+\.amazonaws\.com(?:\.cn)?")
_REST = re.compile(r"(?P<id>[a-z0-9]+)\.execute-api\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(?:\.cn)?")


class Book:
    """What names and addresses on the network stand for."""

    def __init__(self, connection: sa.Connection) -> None:
        r = tables.resources
        self._held: dict[str, str] = {}
        ranks: dict[str, int] = {}
        order = list(ADDRESSES)
        self._buckets: dict[str, str] = {}
        self._apis: dict[str, str] = {}
        columns = sa.select(r.c.urn, r.c.type, r.c.account, r.c.attributes)
        for urn, type, account, attributes in connection.execute(columns.where(r.c.type.in_(order))):
            rank = order.index(type)
            for path in ADDRESSES[type]:
                for name in _keys(account, path, find(path, attributes)):
                    if ranks.get(name, len(order)) > rank or (ranks[name] == rank and urn < self._held[name]):
                        self._held[name], ranks[name] = urn, rank
        plain = sa.select(r.c.urn, r.c.type)
        for urn, type in connection.execute(
            plain.where(r.c.type.in_(("aws_s3_bucket", "aws_api_gateway_rest_api", "aws_api_gatewayv2_api")))
        ):
            if type == "aws_s3_bucket":
                self._buckets[urn.rpartition(":")[2]] = urn
            else:
                self._apis[urn.rpartition("/")[2]] = urn

    def named(self, host: str, account: str, *, of: str = "") -> str:
        """The urn that ``host`` leads to as seen in ``account``; empty for none. ``of`` is the record that says so."""
        host = host.removeprefix("dualstack.")
        found = self._held.get(host) or self._held.get(f"{account}/{host}")
        if found:
            return found
        if _WEBSITE.fullmatch(host):
            return self._buckets.get(of, "")
        bucket = _BUCKET.fullmatch(host)
        if bucket:
            return self._buckets.get(bucket["name"], "")
        rest = _REST.fullmatch(host)
        return self._apis.get(rest["id"], "") if rest else ""

    def api(self, id: str) -> str:
        """The API of this id, whatever its kind."""
        return self._apis.get(id, "")


def resolve_names(kernel: Kernel) -> int:
    """Draws the relations that stand on several cells; gives how many of them start at DNS records."""
    at = codec.now()
    with kernel.db.read() as connection:
        book = Book(connection)
        names = list(_records(connection, book))
        compared = [*_origins(connection, book), *_groups(connection), *_mappings(connection, book)]
    with kernel.db.write() as connection:
        graph.set_relations(connection, CELL, names, at)
        graph.set_relations(connection, COMPARED, compared, at)
    return len(names)


def _of_type(connection: sa.Connection, type: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    r = tables.resources
    for row in connection.execute(sa.select(r.c.urn, r.c.account, r.c.attributes).where(r.c.type == type)):
        yield row.urn, row.account, row.attributes


def _records(connection: sa.Connection, book: Book) -> Iterator[Relation]:
    """What each record leads to: a resource, or the record of the next name in its chain."""
    records = list(_of_type(connection, "aws_route53_record"))
    by_name: dict[str, list[str]] = {}
    for urn, _, attributes in records:
        if attributes.get("Type") in _LEADING:
            by_name.setdefault(_name(str(attributes["Name"])), []).append(urn)
    for urn, account, attributes in records:
        own = _name(str(attributes.get("Name", "")))
        for host, evidence in _leads_to(attributes):
            found = book.named(host, account, of=own)
            targets = [found] if found else by_name.get(host.removeprefix("dualstack."), [])
            for target in targets:
                if target != urn:
                    yield Relation(source=urn, kind="resolvesTo", target=target, evidence=evidence)


_LEADING = frozenset({"A", "AAAA", "CNAME"})


def _leads_to(attributes: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    alias = find("AliasTarget.DNSName", attributes)
    if alias:
        yield _name(alias), "AliasTarget.DNSName"
    if attributes.get("Type") in _LEADING:
        for value in find("ResourceRecords[].Value", attributes) or ():
            yield _name(value), "ResourceRecords[].Value"


def _origins(connection: sa.Connection, book: Book) -> Iterator[Relation]:
    """What CloudFront fetches from."""
    for urn, account, attributes in _of_type(connection, "aws_cloudfront_distribution"):
        for host in find("Origins.Items[].DomainName", attributes) or ():
            target = book.named(_name(host), account)
            if target:
                yield Relation(source=urn, kind="hasOrigin", target=target, evidence="Origins.Items[].DomainName")


def _groups(connection: sa.Connection) -> Iterator[Relation]:
    """Users name their groups without the path that is in a group's ARN."""
    groups = {
        (account, str(attributes.get("GroupName"))): urn
        for urn, account, attributes in _of_type(connection, "aws_iam_group")
    }
    for urn, account, attributes in _of_type(connection, "aws_iam_user"):
        for name in attributes.get("GroupList") or ():
            if (account, name) in groups:
                yield Relation(source=urn, kind="memberOf", target=groups[account, name], evidence="GroupList")


def _mappings(connection: sa.Connection, book: Book) -> Iterator[Relation]:
    """Domain names of API Gateway name APIs by an id that REST and HTTP APIs share."""
    for urn, _, attributes in _of_type(connection, "aws_api_gatewayv2_domain_name"):
        for id in find("ApiMappings[].ApiId", attributes) or ():
            if book.api(id):
                yield Relation(source=urn, kind="mapsTo", target=book.api(id), evidence="ApiMappings[].ApiId")


def _keys(account: str, path: str, found: Any) -> Iterable[str]:
    """Private addresses are names only within their account."""
    for value in found if isinstance(found, list) else [found]:
        if isinstance(value, str) and value:
            yield f"{account}/{_name(value)}" if path.startswith("Private") else _name(value)


def _name(value: str) -> str:
    """A host's name: lower case, without the root's dot, of a URL its host alone."""
    value = value.strip().lower()
    return (urlsplit(value).hostname or "") if "://" in value else value.rstrip(".")
