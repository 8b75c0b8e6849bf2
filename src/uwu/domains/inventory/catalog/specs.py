"""From rows of the catalog to types that the reader reads."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from uwu.domains.inventory import model
from uwu.domains.inventory.catalog import names
from uwu.domains.inventory.catalog.model import NO_IDENTITY, Row, Told, by_service, find
from uwu.domains.inventory.model import Each, Item, Link, Scope, Spec, Under
from uwu.kernel import codec, urns

_EC2_ID = re.compile(r"[a-z]+(-[a-z]+)*-[0-9a-f]{8,17}|eipalloc-.+")
_ACCOUNT = re.compile(r"\d{12}")
_OWNERS = ("OwnerId", "ownerId", "OwnerAccountId", "ownerAccountId")
_PARENT, _ABOVE, _OWN = "_parent", "_parent_arn", "_arn"
_TAGGED = frozenset({"resource_arn", "arn", "resource_name", "resource", "resource_identifier"})
"""What operations that list the tags of any resource of their service call its ARN."""


def make(
    row: Row,
    *,
    name: str = "",
    title: str = "",
    icon: str = "",
    keys: Iterable[str] = (),
    detail: str = "",
    tagged: bool = True,
    arn: str = "",
    links: Iterable[Told] = (),
    drop: Iterable[str] = (),
    given: Iterable[str] = (),
    once: bool = False,
    arguments: Mapping[str, Any] | None = None,
) -> Spec:
    """The type of what ``row`` lists.

    ``detail`` is an operation that tells more of each; with ``tagged`` tags are asked for where the list lacks them.
    ``arn`` is a template of the ARN where the items do not tell it: ``batch:job-queue/{jobQueueName}``. ``given`` are
    the names of those that every account has from AWS, beside what is called default. With ``once`` all regions give
    the same list.
    Raises ``KeyError`` where ``detail`` is not told of in the catalog.
    """
    told = _detail(row, detail) if detail else None
    extras: list[Each] = []
    if told is not None:
        extras.append(Each(told.operation, partial(_arguments, told), told.path))
    tags = row.tags or (told.tags if told is not None else "")
    urn = partial(_urn, row, arn)
    asked = _tags_of(row, told, arn) if not tags and tagged else None
    if asked is not None:
        extras.append(asked)
        tags = "Tags"
    rows = [row] if told is None else [row, told]
    found = [*links, *(link for each in rows for link in each.links)]
    if row.parent:
        found.append(Told("belongsTo", _ABOVE, "arn"))
    fixed = dict(arguments or {})
    listing = row if row.form == "list" else find(row.service, row.parent)
    if listing is not None and listing.argument:
        fixed[listing.argument] = int(listing.given) if listing.given.isdigit() else listing.given
    return Spec(
        name=name or names.type_name(row.service, row.noun),
        title=title or names.title(row.service, row.noun),
        service=row.service,
        icon=icon or "box",
        operation=row.operation,
        path=_path(row),
        urn=urn,
        label=_label(row, told, tags),
        arguments=fixed,
        under=_under(row),
        where=partial(_here, row, arn),
        tags=tags or "Tags",
        extras=tuple(extras),
        links=tuple(dict.fromkeys(Link(link.kind, link.path, _NAMERS.get(link.to) or _ec2(link.to)) for link in found)),
        drop=frozenset({*drop, "NextToken", "nextToken", *(member for each in rows for member in each.noise)}),
        secret=frozenset(member for each in rows for member in each.secret),
        everywhere=row.everywhere or once,
        managed_by=partial(_maker, row.name or row.id, frozenset(given)),
        keys=tuple(keys),
    )


def _path(row: Row) -> str:
    return f"{row.path}[].{{{row.text}: @}}" if row.text else row.path


def _label(row: Row, told: Row | None, tags: str) -> str:
    named = [each.name for each in (row, told) if each is not None and each.name]
    choices = ["_tag_name"] if tags and (not named or named[0] == row.id) else []
    return " || ".join(
        dict.fromkeys(choices + [name for name in named if "." not in name] + ([row.id] if _plain(row.id) else []))
    )


def _plain(id: str) -> bool:
    return bool(id) and id != NO_IDENTITY


def _detail(row: Row, operation: str) -> Row:
    found = find(row.service, operation)
    if found is None or found.form != "detail":
        raise KeyError(f"{row.service} {operation} tells nothing in full")
    return found


def _arguments(row: Row, item: Item) -> dict[str, Any]:
    """What ``row`` is asked with for ``item``: by the member that it names, or what else names the item alike."""
    value = model.find(row.given, item)
    return {row.argument: [value] if row.many else value}


def _tags_of(row: Row, told: Row | None, template: str) -> Each | None:
    """The call that lists the tags of an item: by its ARN where the service takes any, else of these items alone."""
    held = [each for each in by_service()[row.service] if each.form == "tags"]
    later = told.arn if told is not None and told.arn[:1] != "~" else ""
    known = bool(row.arn or template or later)
    by_arn = next((each for each in held if names.member(each.argument) in _TAGGED), None) if known else None
    asked = by_arn or next((each for each in held if each.parent == row.operation), None)
    if asked is None:
        return None

    def given(item: Item) -> Any:
        if asked is by_arn:
            return item.get(_OWN) or (model.find(later, item) if later else None)
        return model.find(asked.given, item)

    def arguments(item: Item) -> dict[str, Any]:
        return {asked.argument: [given(item)] if asked.many else given(item)}

    return Each(asked.operation, arguments, asked.path, "Tags", when=lambda item: bool(given(item)))


def _under(row: Row) -> Under | None:
    if not row.parent:
        return None
    parent = find(row.service, row.parent)
    if parent is None:
        raise KeyError(f"{row.service} {row.parent}, which {row.operation} stands on")
    above = {_ABOVE: parent.arn} if parent.arn and not parent.arn.startswith("~") else {}
    return Under(parent.operation, _path(parent), partial(_arguments, row), {_PARENT: row.given, **above})


# ---- identity


def _urn(row: Row, template: str, scope: Scope, item: Item) -> str:
    """The ARN of ``item`` where it tells it or it follows, else a name of our own."""
    known = _arn(row, template, scope, item)
    if known:
        return known
    id = _id(row, item)
    parent = item.get(_PARENT)
    if parent and row.parent and not id.startswith(f"{parent}/"):
        id = f"{parent}/{id}"
    region = "" if row.everywhere else scope.region
    return urns.own(row.service, row.noun.replace("_", "-"), id, account=scope.account, region=region)


def _arn(row: Row, template: str, scope: Scope, item: Item) -> str:
    if template:
        service, _, resource = template.partition(":")
        held = {name: str(value) for name, value in item.items() if not isinstance(value, dict | list)}
        try:
            told = resource.format_map(held)
        except KeyError:
            return ""
        region = "" if row.everywhere else scope.region
        partition = scope.partition if row.everywhere else ""
        return urns.arn(service, told, account=scope.account, region=region, partition=partition)
    if row.arn.startswith("~"):
        id = model.find(row.id, item)
        return urns.ec2(row.arn[1:], str(id), account=scope.account, region=scope.region) if id else ""
    value = model.find(row.arn, item) if row.arn else None
    return urns.canonical(value) if isinstance(value, str) and value.startswith("arn:") else ""


def _id(row: Row, item: Item) -> str:
    """What names ``item`` among its siblings; a digest of what is in it where nothing does."""
    value = model.find(row.id, item) if _plain(row.id) else None
    value = value if value not in (None, "") else model.find(row.name, item) if row.name else None
    if value not in (None, "") and not isinstance(value, dict | list):
        return str(value)
    kept = {name: each for name, each in item.items() if name not in row.noise and not name.startswith("_")}
    return hashlib.sha256(codec.canonical(kept)).hexdigest()[:24]


def _here(row: Row, template: str, scope: Scope, item: Item) -> bool:
    """Of this account and region: lists also give what others share and what AWS itself offers. Keeps its ARN in it."""
    for name in _OWNERS:
        owner = item.get(name)
        if isinstance(owner, str) and _ACCOUNT.fullmatch(owner) and owner != scope.account:
            return False
    known = _arn(row, template, scope, item)
    # what is asked for each of them later does not know the account and region that the ARN has
    item[_OWN] = known
    parts = urns.parse(known)
    if parts is None:
        return True
    if parts.account == "aws" or (_ACCOUNT.fullmatch(parts.account) and parts.account != scope.account):
        return False
    return row.everywhere or not parts.region or parts.region == scope.region


_DEFAULT = re.compile(r"(alias/)?aws/.+|default([.:-].+)?|AWS[-_].+|Default")
"""Names of what AWS itself makes in each account."""


def _maker(name: str, given: frozenset[str], _scope: Scope, item: Item) -> str:
    value = model.find(name, item) if _plain(name) else None
    return model.AWS if isinstance(value, str) and (value in given or _DEFAULT.fullmatch(value)) else ""


# ---- what relations name


def _bucket(scope: Scope, value: str) -> str:
    if value.startswith("arn:"):
        return urns.canonical(value)
    name = value.removeprefix("s3://").split("/", 1)[0]
    return urns.s3_bucket(name, partition=scope.partition) if name else ""


def _log_group(scope: Scope, value: str) -> str:
    if value.startswith("arn:"):
        return urns.canonical(value)
    return urns.arn("logs", f"log-group:{value}", account=scope.account, region=scope.region) if value else ""


def _any_arn(_scope: Scope, value: str) -> str:
    return urns.canonical(value) if value.startswith("arn:") else ""


def _ec2(kind: str) -> Callable[[Scope, str], str]:
    return partial(_ec2_id, kind)


def _ec2_id(kind: str, scope: Scope, value: str) -> str:
    if value.startswith("arn:"):
        return value
    if not _EC2_ID.fullmatch(value):
        return ""
    return urns.ec2(kind, value, account=scope.account, region=scope.region)


_NAMERS: dict[str, Callable[[Scope, str], str]] = {
    "arn": _any_arn,
    "bucket": _bucket,
    "kms": model.kms_key,
    "log-group": _log_group,
}
