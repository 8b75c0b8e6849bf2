"""States over HTTP, under ``/api/v1``: what is kept, who holds it, what has changed. Never what is in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody
from msgspec import Meta

from uwu.domains.iac import state_diff, state_lock, state_store, state_write
from uwu.domains.iac.actions import UNLOCK, WRITE
from uwu.domains.iac.registry.api import HANDLERS as REGISTRY
from uwu.domains.iac.runs.api import HANDLERS as RUNS
from uwu.domains.iac.stacks.api import HANDLERS as STACKS
from uwu.domains.iac.state_diff import StateDiff
from uwu.domains.iac.state_store import LockInfo, State, StatePage, Version, VersionPage
from uwu.kernel.authorize import Target
from uwu.kernel.identity import Principal
from uwu.kernel.runtime import Kernel

SEE = {"action": "world.read"}


def _target(kernel: Kernel, params: Mapping[str, Any]) -> Target:
    with kernel.db.read() as connection:
        return state_store.get(connection, _key(params["namespace"], params["name"])).target()


TAKE_AWAY: dict[str, Any] = {"action": UNLOCK, "on": _target}
CHANGE: dict[str, Any] = {"action": WRITE, "on": _target}
Reason = Annotated[str, Meta(max_length=500)]


class Unlock(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A lock that is to be taken away."""

    id: Annotated[str, Meta(max_length=500)] = ""
    """Only if it is this one; any where none is given."""
    reason: Reason = ""
    """Why, for the audit."""


class Unlocked(msgspec.Struct, frozen=True):
    """The lock that was taken away; None where there was none."""

    lock: LockInfo | None


class Rollback(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An earlier version that is to be brought back."""

    version: Annotated[int, Meta(ge=1, le=2**31 - 1)]


def _key(namespace: str, name: str) -> str:
    return f"{namespace}/{name}"


@get("/iac/states", sync_to_thread=True, opt=SEE)
def list_states(
    kernel: NamedDependency[Kernel],
    namespace: FromQuery[str] = "",
    search: FromQuery[str] = "",
    owner: FromQuery[str] = "",
    locked: FromQuery[Literal["", "yes", "no"]] = "",
    limit: FromQuery[int] = 50,
    after: FromQuery[str] = "",
) -> StatePage:
    """The states that are kept, by namespace and name, each with its current version and its lock."""
    with kernel.db.read() as connection:
        return state_store.listed(
            connection,
            namespace=namespace,
            search=search,
            owner=owner,
            locked={"yes": True, "no": False}.get(locked),
            limit=limit,
            after=after,
        )


@get("/iac/states/{namespace:str}/{name:str}", sync_to_thread=True, opt=SEE)
def get_state(kernel: NamedDependency[Kernel], namespace: FromPath[str], name: FromPath[str]) -> State:
    """One state: whose it is, its current version, who holds its lock."""
    with kernel.db.read() as connection:
        return state_store.get(connection, _key(namespace, name))


@get("/iac/states/{namespace:str}/{name:str}/versions", sync_to_thread=True, opt=SEE)
def list_state_versions(
    kernel: NamedDependency[Kernel],
    namespace: FromPath[str],
    name: FromPath[str],
    limit: FromQuery[int] = 50,
    after: FromQuery[str] = "",
) -> VersionPage:
    """The versions of a state, the newest first."""
    with kernel.db.read() as connection:
        found = state_store.get(connection, _key(namespace, name))
        return state_store.versions(connection, found.id, limit=limit, after=after)


@get("/iac/states/{namespace:str}/{name:str}/diff", sync_to_thread=True, opt=SEE)
def diff_state(
    kernel: NamedDependency[Kernel],
    namespace: FromPath[str],
    name: FromPath[str],
    old: FromQuery[int] = 0,
    new: FromQuery[int] = 0,
) -> StateDiff:
    """What is different between the versions ``old`` and ``new``, without a secret. Where none is named these are the
    current one and the one before."""
    return state_diff.between(kernel, _key(namespace, name), old, new)


@post("/iac/states/{namespace:str}/{name:str}/unlock", sync_to_thread=True, opt=TAKE_AWAY, status_code=200)
def unlock_state(
    kernel: NamedDependency[Kernel],
    principal: NamedDependency[Principal],
    namespace: FromPath[str],
    name: FromPath[str],
    data: JSONBody[Unlock],
) -> Unlocked:
    """Takes the lock away from whoever holds it, and tells who that was."""
    key = _key(namespace, name)
    return Unlocked(state_lock.force_unlock(kernel, principal, key, id=data.id, reason=data.reason))


@post("/iac/states/{namespace:str}/{name:str}/rollback", sync_to_thread=True, opt=CHANGE, status_code=200)
def rollback_state(
    kernel: NamedDependency[Kernel],
    principal: NamedDependency[Principal],
    namespace: FromPath[str],
    name: FromPath[str],
    data: JSONBody[Rollback],
) -> Version:
    """Brings an earlier version back as the newest, with a serial above the current one's."""
    return state_write.rollback(kernel, principal, _key(namespace, name), data.version)


HANDLERS: list[Any] = [
    list_states,
    get_state,
    list_state_versions,
    diff_state,
    unlock_state,
    rollback_state,
    *RUNS,
    *STACKS,
    *REGISTRY,
]
