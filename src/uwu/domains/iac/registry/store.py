"""Providers and modules that are kept: publishing, yanking, finding, and the addresses that they are fetched from.

A version is published once and never changes: who has its hash in a lock file gets these bytes, or nothing.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Literal
from urllib.parse import quote, urlencode

import msgspec
import sqlalchemy as sa

from uwu.domains.iac import state_crypt, tables
from uwu.domains.iac.registry import archive, docs
from uwu.domains.iac.registry.docs import Docs
from uwu.kernel import audit, codec, paging
from uwu.kernel.db import columns, to_struct
from uwu.kernel.errors import Conflict, Denied, NotFound
from uwu.kernel.identity import Principal
from uwu.kernel.runtime import Kernel

Kind = Literal["provider", "module"]


class Package(msgspec.Struct, frozen=True, kw_only=True):
    """One archive: a provider's version for one platform, or a module's version."""

    id: str
    kind: str
    source: str
    """``host/namespace/type`` of a provider, ``namespace/name/system`` of a module."""
    version: str
    platform: str
    """``linux_amd64``; empty for a module."""
    filename: str
    sha256: str
    h1: str
    bytes: int
    created_at: datetime
    created_by: str
    yanked_at: datetime | None
    yanked_by: str
    yanked_why: str


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """A provider or a module, and its newest version that is not yanked."""

    source: str
    newest: str
    versions: int


class ListedPage(msgspec.Struct, frozen=True, kw_only=True):
    """Providers or modules by their names."""

    items: list[Listed]
    after: str


class Refused(Denied):
    """The address was not given out, or no longer holds."""

    code, status = "package-address", 403


def publish_provider(
    kernel: Kernel, principal: Principal, source: str, version: str, platform: str, data: bytes, *, sha256: str = ""
) -> Package:
    """Keeps the zip of a provider. Raises ``BadInput`` for what is none, ``Conflict`` where the version is there with
    other bytes; the same bytes once more are no second package."""
    source, version = archive.provider_source(source), archive.version(version)
    archive.platform(platform)
    type_ = source.rpartition("/")[2]
    filename = f"terraform-provider-{type_}_{version}_{platform}.zip"
    h1 = archive.provider_h1(data, type_, filename)
    return _publish(kernel, principal, "provider", source, version, platform, filename, data, h1, None, sha256)


def publish_module(
    kernel: Kernel, principal: Principal, source: str, version: str, data: bytes, *, sha256: str = ""
) -> Package:
    """Keeps the tar.gz of a module, and reads what it says of itself. Raises as ``publish_provider``."""
    archive.module_source(source)
    archive.version(version)
    filename = f"{source.replace('/', '-')}-{version}.tar.gz"
    told = docs.of(archive.module_files(data, filename))
    return _publish(kernel, principal, "module", source, version, "", filename, data, "", told, sha256)


def _publish(
    kernel: Kernel,
    principal: Principal,
    kind: Kind,
    source: str,
    version: str,
    platform: str,
    filename: str,
    data: bytes,
    h1: str,
    told: Docs | None,
    sha256: str,
) -> Package:
    p = tables.packages
    found = hashlib.sha256(data).hexdigest()
    if sha256 and sha256.lower() != found:
        raise archive.BadInput(
            "what came is not what was sent: its SHA-256 is another",
            code="package-digest",
            place=filename,
            hint="again",
        )
    sealed = state_crypt.seal(state_crypt.keys(kernel), data)
    same = sa.and_(p.c.kind == kind, p.c.source == source, p.c.version == version, p.c.platform == platform)
    with kernel.db.write() as connection:
        row = connection.execute(sa.select(*columns(p, Package)).where(same)).first()
        if row is not None:
            held = to_struct(Package, row)
            if held.sha256 == found:
                return held
            raise Conflict(
                f"version {version} of {source} is published, with other bytes",
                code="package-exists",
                place=filename,
                hint="a published version never changes: publish a new one, and yank this",
            )
        made = Package(
            id=codec.new_id("pk"), kind=kind, source=source, version=version, platform=platform, filename=filename,
            sha256=found, h1=h1, bytes=len(data), created_at=codec.now(), created_by=principal.ref,
            yanked_at=None, yanked_by="", yanked_why="",
        )  # fmt: skip
        blob = state_crypt.store(connection, sealed)
        docs_ = codec.builtins(told) if told is not None else None
        connection.execute(p.insert().values(**msgspec.structs.asdict(made), blob=blob, docs=docs_))
        _tell(connection, principal, "publish", made, sha256=found, bytes=len(data))
    return made


def _tell(connection: sa.Connection, principal: Principal, what: str, package: Package, **more: Any) -> None:
    audit.append(
        connection,
        actor=principal.ref,
        action=f"iac.{package.kind}.{what}",
        subject=f"{package.kind}:{package.source}",
        detail={"version": package.version, **({"platform": package.platform} if package.platform else {}), **more},
    )


def yank(kernel: Kernel, principal: Principal, kind: Kind, source: str, version: str, why: str) -> list[Package]:
    """Takes a version, on all platforms, out of what is offered. Raises ``NotFound``."""
    p = tables.packages
    with kernel.db.write() as connection:
        held = [each for each in packages(connection, kind, source) if each.version == version]
        if not held:
            raise _unknown(kind, f"{source} {version}")
        ids = [each.id for each in held if each.yanked_at is None]
        values = {"yanked_at": codec.now(), "yanked_by": principal.ref, "yanked_why": why}
        connection.execute(p.update().where(p.c.id.in_(ids)).values(**values))
        if ids:
            _tell(connection, principal, "yank", held[0], why=why)
        return [each for each in packages(connection, kind, source) if each.version == version]


def packages(connection: sa.Connection, kind: Kind, source: str) -> list[Package]:
    """All that is kept of a provider or a module, the newest version first; what is yanked too."""
    p = tables.packages
    rows = connection.execute(sa.select(*columns(p, Package)).where(p.c.kind == kind, p.c.source == source)).all()
    found = sorted((to_struct(Package, row) for row in rows), key=lambda each: each.platform)
    return sorted(found, key=lambda each: archive.order(each.version), reverse=True)


def offered(kernel: Kernel, kind: Kind, source: str) -> list[Package]:
    """What clients are offered: all but what is yanked. Raises ``NotFound`` where nothing was ever published."""
    with kernel.db.read() as connection:
        found = packages(connection, kind, source)
    if not found:
        raise _unknown(kind, source)
    return [each for each in found if each.yanked_at is None]


def docs_of(connection: sa.Connection, id: str) -> Docs:
    """What a module's version says of itself."""
    p = tables.packages
    held = connection.execute(sa.select(p.c.docs).where(p.c.id == id)).scalar_one_or_none()
    return msgspec.convert(held, Docs) if held else Docs()


def listed(connection: sa.Connection, kind: Kind, *, search: str = "", limit: int = 50, after: str = "") -> ListedPage:
    """Providers or modules by their names."""
    p = tables.packages
    query = sa.select(p.c.source).where(p.c.kind == kind).group_by(p.c.source).order_by(p.c.source)
    if search:
        query = query.where(p.c.source.contains(search, autoescape=True))
    if (place := paging.place(after, str)) is not None:
        query = query.where(p.c.source > place[0])
    sources = list(connection.scalars(query.limit(limit + 1)))
    more, sources = len(sources) > limit, sources[:limit]
    rows = connection.execute(
        sa.select(p.c.source, p.c.version, p.c.yanked_at).where(p.c.kind == kind, p.c.source.in_(sources))
    ).all()
    items: list[Listed] = []
    for source in sources:
        mine = {row.version: row.yanked_at is None for row in rows if row.source == source}
        newest = max((each for each, ok in mine.items() if ok), key=archive.order, default="")
        items.append(Listed(source=source, newest=newest, versions=len(mine)))
    return ListedPage(items=items, after=paging.cursor(sources[-1]) if more else "")


def _unknown(kind: str, what: str) -> NotFound:
    return NotFound(f"there is no {kind} {what} here", code="package-unknown", hint=f"uwu iac {kind} list")


# ---- addresses: Terraform fetches archives without its token


def address(kernel: Kernel, package: Package) -> str:
    """The path and query from which the archive is fetched, without a token, for ``iac.upload_minutes``."""
    ends = int(codec.now().timestamp()) + kernel.settings.iac.upload_minutes * 60
    query = urlencode({"expires": ends, "signature": _signature(kernel, package.id, ends)})
    return f"/iac/packages/{package.id}/{quote(package.filename)}?{query}"


def _signature(kernel: Kernel, id: str, ends: int) -> str:
    key = state_crypt.keys(kernel).derived("uwu iac packages")
    return hmac.new(key, f"{id} {ends}".encode(), hashlib.sha256).hexdigest()


def opened(kernel: Kernel, id: str, expires: str, signature: str) -> tuple[Package, Iterator[bytes]]:
    """The package that an address stands for, and its bytes. Raises ``Refused``."""
    ends = int(expires) if expires.isdecimal() and len(expires) <= 12 else -1
    right = _signature(kernel, id, ends).encode()
    if ends < 0 or not hmac.compare_digest(right, signature.encode("utf-8", "replace")):
        raise Refused("this address was not given out by this server, or was changed", hint="run terraform init again")
    if codec.now().timestamp() >= ends:
        raise Refused("this address no longer holds", code="package-expired", hint="run terraform init again")
    p = tables.packages
    with kernel.db.read() as connection:
        row = connection.execute(sa.select(*columns(p, Package), p.c.blob).where(p.c.id == id)).first()
    if row is None:
        raise _unknown("package", id)
    return to_struct(Package, row[:-1]), state_crypt.pieces(kernel, row.blob)
