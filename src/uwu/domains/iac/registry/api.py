"""Providers and modules over HTTP, under ``/api/v1``: what is kept, what a module says of itself, yanking.

Archives are published at the paths by which Terraform knows them: see ``wire``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody
from msgspec import Meta

from uwu.domains.iac.actions import FETCH, PUBLISH_MODULE, PUBLISH_PROVIDER
from uwu.domains.iac.registry import archive, store
from uwu.domains.iac.registry.docs import Docs
from uwu.domains.iac.registry.store import ListedPage, Package
from uwu.kernel.errors import NotFound
from uwu.kernel.identity import Principal
from uwu.kernel.runtime import Kernel

SEE = {"action": FETCH}
Limit = Annotated[FromQuery[int], Meta(ge=1, le=500)]


class Yank(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A version that is no longer to be offered."""

    version: Annotated[str, Meta(min_length=1, max_length=100)]
    reason: Annotated[str, Meta(min_length=1, max_length=500)]


class Packages(msgspec.Struct, frozen=True):
    """The archives of a provider or a module, the newest version first."""

    items: Sequence[Package]


class ModulePage(msgspec.Struct, frozen=True, kw_only=True):
    """A module: its versions, and what one of them says of itself."""

    items: Sequence[Package]
    version: str
    """Whose docs these are."""
    docs: Docs


@get("/iac/providers", sync_to_thread=True, opt=SEE)
def list_providers(
    kernel: NamedDependency[Kernel], search: FromQuery[str] = "", limit: Limit = 50, after: FromQuery[str] = ""
) -> ListedPage:
    """The providers that are kept here, by name."""
    with kernel.db.read() as connection:
        return store.listed(connection, "provider", search=search, limit=limit, after=after)


@get("/iac/providers/{host:str}/{namespace:str}/{type_:str}", sync_to_thread=True, opt=SEE)
def get_provider(
    kernel: NamedDependency[Kernel], host: FromPath[str], namespace: FromPath[str], type_: FromPath[str]
) -> Packages:
    """The archives of a provider."""
    return Packages(_kept(kernel, "provider", f"{host}/{namespace}/{type_}".lower()))


@post(
    "/iac/providers/{host:str}/{namespace:str}/{type_:str}/yank",
    sync_to_thread=True,
    opt={"action": PUBLISH_PROVIDER},
    status_code=200,
)
def yank_provider(
    kernel: NamedDependency[Kernel],
    principal: NamedDependency[Principal],
    host: FromPath[str],
    namespace: FromPath[str],
    type_: FromPath[str],
    data: JSONBody[Yank],
) -> Packages:
    """Takes a version of a provider out of what is offered."""
    source = f"{host}/{namespace}/{type_}".lower()
    return Packages(store.yank(kernel, principal, "provider", source, data.version, data.reason))


@get("/iac/modules", sync_to_thread=True, opt=SEE)
def list_modules(
    kernel: NamedDependency[Kernel], search: FromQuery[str] = "", limit: Limit = 50, after: FromQuery[str] = ""
) -> ListedPage:
    """The modules that are kept here, by name."""
    with kernel.db.read() as connection:
        return store.listed(connection, "module", search=search, limit=limit, after=after)


@get("/iac/modules/{namespace:str}/{name:str}/{system:str}", sync_to_thread=True, opt=SEE)
def get_module(
    kernel: NamedDependency[Kernel],
    namespace: FromPath[str],
    name: FromPath[str],
    system: FromPath[str],
    version: FromQuery[str] = "",
) -> ModulePage:
    """A module: its versions, and the docs of ``version``; of the newest where none is named."""
    held = _kept(kernel, "module", f"{namespace}/{name}/{system}")
    if version:
        shown = next((each for each in held if each.version == archive.version(version)), None)
        if shown is None:
            raise NotFound(f"the module has no version {version}", code="package-unknown", place="version")
    else:
        shown = next((each for each in held if each.yanked_at is None), held[0])
    with kernel.db.read() as connection:
        return ModulePage(items=held, version=shown.version, docs=store.docs_of(connection, shown.id))


@post(
    "/iac/modules/{namespace:str}/{name:str}/{system:str}/yank",
    sync_to_thread=True,
    opt={"action": PUBLISH_MODULE},
    status_code=200,
)
def yank_module(
    kernel: NamedDependency[Kernel],
    principal: NamedDependency[Principal],
    namespace: FromPath[str],
    name: FromPath[str],
    system: FromPath[str],
    data: JSONBody[Yank],
) -> Packages:
    """Takes a version of a module out of what is offered."""
    source = f"{namespace}/{name}/{system}"
    return Packages(store.yank(kernel, principal, "module", source, data.version, data.reason))


def _kept(kernel: Kernel, kind: store.Kind, source: str) -> list[Package]:
    with kernel.db.read() as connection:
        found = store.packages(connection, kind, source)
    if not found:
        raise NotFound(f"there is no {kind} {source} here", code="package-unknown", hint=f"uwu iac {kind} list")
    return found


HANDLERS: list[Any] = [list_providers, get_provider, yank_provider, list_modules, get_module, yank_module]
