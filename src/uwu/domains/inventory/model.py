"""How a type of AWS resource is observed, as data: which call lists it, its name, its tags, what it points to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import jmespath

from uwu.kernel import urns

Item = dict[str, Any]
"""A resource as the API's list gave it. Members that begin with ``_`` are ours and never become attributes."""

AWS = "aws"
"""``managed_by`` of what AWS itself makes."""

ITS_ACCOUNT = "@account"
"""Stands for the account that is asked, among the arguments of a list."""

SOURCE = "aws"
"""The source of every cell of this domain."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a shard looks."""

    account: str
    region: str
    partition: str = "aws"


@dataclass(frozen=True)
class Link:
    """A relation that an attribute tells."""

    kind: str
    path: str
    """JMESPath of one value or a list of values in the item."""
    to: Callable[[Scope, str], str]
    """From such a value to the urn it names; empty where it names none."""
    split: str = ""
    """What stands between the values of a text that holds several: ``subnet-1,subnet-2``."""


@dataclass(frozen=True)
class Each:
    """One more call for each resource."""

    operation: str
    arguments: Callable[[Item], dict[str, Any]]
    take: str
    """JMESPath of what is kept of the answer."""
    into: str = ""
    """The attribute that holds it; empty merges its members."""
    absent: frozenset[str] = frozenset()
    """Error codes that mean: this is not set."""
    when: Callable[[Item], bool] | None = None
    """For which resources it is asked."""
    decode: bool = False
    """What is kept is JSON in a text."""
    beside: Mapping[str, str] = field(default_factory=dict)
    """More attributes -> JMESPath of them in the answer."""


@dataclass(frozen=True)
class Batch:
    """One more call for every ``size`` resources."""

    operation: str
    ids: str
    """The argument that takes the list of ids."""
    member: Callable[[Item], str]
    """The id of a resource."""
    size: int
    path: str
    """JMESPath of the answers in the answer."""
    key: str
    """The member of an answer that holds the id."""
    take: str
    into: str
    """The attribute that holds it; empty merges its members."""
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Join:
    """Members that another list of the same service holds."""

    operation: str
    path: str
    key: str
    """JMESPath of the id in that list."""
    on: str
    """JMESPath of the id in the resource."""
    members: Mapping[str, str]
    """Attribute -> JMESPath in that list's item."""
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Under:
    """A type that is listed once for each resource of another list."""

    operation: str
    path: str
    arguments: Callable[[Item], dict[str, Any]]
    """From the parent to the arguments of the child's list."""
    keep: Mapping[str, str]
    """Members put into each child -> JMESPath in the parent."""


@dataclass(frozen=True)
class Spec:
    """A type of resource and how it is read."""

    name: str
    """Steampipe's table name."""
    title: str
    service: str
    """The service as botocore names it."""
    icon: str
    """A lucide icon."""
    operation: str
    """The listing call, by the API's own name. Empty for settings that each account and region has once: ``path`` is
    empty too, the one item holds ``AccountId``, and the extras tell the rest."""
    path: str
    """JMESPath of the list in a page."""
    urn: Callable[[Scope, Item], str]
    label: str
    """JMESPath of the name (``_tag_name`` is the tag ``Name``); empty takes the last part of the urn."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    under: Under | None = None
    where: Callable[[Scope, Item], bool] | None = None
    """Which of the listed items are of this type and this account."""
    tags: str = "Tags"
    """The member that holds the tags: a mapping, or a list of Key and Value (key and value, TagKey and TagValue)."""
    extras: tuple[Each | Batch | Join, ...] = ()
    links: tuple[Link, ...] = ()
    managed_by: Callable[[Scope, Item], str] | None = None
    drop: frozenset[str] = frozenset()
    """Members that change by themselves (last use, counters): they would make a version of every look."""
    months: frozenset[str] = frozenset()
    """Times that change by themselves and tell much by their month (last use): the month alone is kept."""
    documents: frozenset[str] = frozenset()
    """Members that hold JSON in a string."""
    secret: frozenset[str] = frozenset()
    """Members, anywhere in the item, whose texts may be secrets: a fingerprint is kept, which tells a change."""
    keys: tuple[str, ...] = ()
    """The members that tell most about one: shown first."""
    everywhere: bool = False
    """Asked once an account, in the home region; its resources are of the region ``global`` or of their own."""


@cache
def _compiled(path: str) -> Any:
    return jmespath.compile(path)


def find(path: str, item: Any) -> Any:
    """What the JMESPath ``path`` finds in ``item``; None for nothing."""
    if path.isidentifier():
        return item.get(path) if isinstance(item, dict) else None
    return _compiled(path).search(item)


# ---- namers: from an id to a urn


def arn(_scope: Scope, value: str) -> str:
    """The value is an ARN already."""
    return value if value.startswith("arn:") else ""


def ec2(kind: str) -> Callable[[Scope, str], str]:
    """The ids of an EC2 or VPC kind."""
    return lambda scope, value: urns.ec2(kind, value, account=scope.account, region=scope.region) if value else ""


def kms_key(scope: Scope, value: str) -> str:
    """A KMS key by ARN or id. An alias names no key by itself."""
    if "alias/" in value:
        return ""
    if value.startswith("arn:"):
        return value
    return urns.arn("kms", f"key/{value}", account=scope.account, region=scope.region) if value else ""


def member(name: str) -> Callable[[Scope, Item], str]:
    """The urn is the ARN in ``name``."""
    return lambda _scope, item: str(item.get(name) or "")


def ec2_member(kind: str, name: str) -> Callable[[Scope, Item], str]:
    """The urn is the EC2 ARN of the id in ``name``."""
    return lambda scope, item: urns.ec2(kind, str(item[name]), account=scope.account, region=scope.region)


def own(scope: Scope, item: Item) -> bool:
    """Not shared into the account by another (AWS RAM lists those too)."""
    return str(item.get("OwnerId") or scope.account) == scope.account
