"""What names what across states: an attribute of one resource that holds the identifier of another.

Attributes of most types are not kept, for they may hold secrets; so this is found while the states are read, and only
that there is a reference, and in which attribute, is kept of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from uwu.domains.iac import sensitive, tables
from uwu.domains.iac.state import Instance
from uwu.kernel.sensitive import is_marked

IDENTIFIERS = (
    *("arn", "id", "dns_name", "domain_name", "fqdn", "endpoint", "address", "bucket_domain_name"),
    *("bucket_regional_domain_name", "invoke_arn", "key_id", "secret_id", "zone_id", "public_ip", "self_link"),
    *("cloudfront_domain_name", "repository_url", "reader_endpoint", "configuration_endpoint", "url"),
)
"""Attributes that name a resource to others; of what is too short or too common nothing is concluded."""
NAMES = ("fqdn", "domain_name", "name", "function_name", "identifier", "bucket", "description")
"""What a resource is called, the most telling first."""
_LEAST = 8
_ARN = re.compile(r"arn:[a-z-]+:[a-z0-9-]*:[^\s\"',;]*")
_INSERTED = 500


def identifiers(attributes: Mapping[str, Any]) -> set[str]:
    """The texts by which others name a resource of these attributes."""
    return {text for name in IDENTIFIERS if (text := _identifier(attributes.get(name)))}


def _identifier(value: Any) -> str:
    """``value`` where it is long and odd enough to mean one thing only; else empty."""
    if not isinstance(value, str) or len(value) < _LEAST or value.isalpha() or value.isdigit() or is_marked(value):
        return ""
    return value.rstrip(".").lower()


def find(held: Sequence[tuple[str, Instance]]) -> list[dict[str, str]]:
    """Rows of ``iac_references`` for the instances of all states, each with its declaration's id."""
    named: dict[str, str] = {}
    ambiguous: set[str] = set()
    for id, instance in held:
        for text in identifiers(instance.attributes):
            if named.setdefault(text, id) != id:
                ambiguous.add(text)
    for text in ambiguous:
        del named[text]
    rows: list[dict[str, str]] = []
    for id, instance in held:
        found: dict[str, str] = {}
        for path, text in _texts(instance.attributes):
            for word in _words(text):
                target = named.get(word)
                if target is not None and target != id:
                    found.setdefault(target, path)
        if found:
            called = _called(instance)
            rows += [{"source": id, "target": target, "path": path, "name": called} for target, path in found.items()]
    return rows


def _called(instance: Instance) -> str:
    some = {name: instance.attributes.get(name) for name in NAMES}
    shown = sensitive.redacted(instance.type, some, instance.sensitive)
    return next((str(v) for v in shown.values() if isinstance(v, str) and v and not is_marked(v)), "")[:200]


def _texts(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from _texts(each, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each, path)


def _words(text: str) -> Iterator[str]:
    """What of ``text`` may be an identifier: itself, and the ARNs within a document."""
    if len(text) <= 300 and (word := _identifier(text)):
        yield word
    if "arn:" in text:
        for arn in _ARN.findall(text):
            yield arn.rstrip("/*").lower()


def replace(connection: sa.Connection, rows: Iterable[Mapping[str, str]]) -> int:
    """Makes ``rows`` the references that are known; gives how many changed."""
    t = tables.references
    wanted = {(row["source"], row["target"]): dict(row) for row in rows}
    stored: dict[tuple[str, str], dict[str, str]] = {
        (row["source"], row["target"]): dict(row) for row in connection.execute(sa.select(t)).mappings()
    }
    gone = [key for key, row in stored.items() if wanted.get(key) != row]
    fresh = [row for key, row in wanted.items() if stored.get(key) != row]
    for source, target in gone:
        connection.execute(t.delete().where(t.c.source == source, t.c.target == target))
    for start in range(0, len(fresh), _INSERTED):
        connection.execute(t.insert(), fresh[start : start + _INSERTED])
    return len(fresh) + len(gone)
