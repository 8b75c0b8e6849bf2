"""Terraform's HTTP backend: ``/iac/state/<namespace>/<name>``.

GET, POST and DELETE of the state, LOCK and UNLOCK of its lock; the lock is also at ``.../lock`` (POST or PUT, DELETE)
for clients and proxies that know no other methods (``lock_method``, ``unlock_method``, ``update_method``).
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from uwu.domains.iac import state_access, state_lock, state_store, state_write
from uwu.domains.iac.actions import FORCE, LOCK, READ, UNLOCK, WRITE
from uwu.domains.iac.state_lock import Locked
from uwu.kernel import authorize, codec
from uwu.kernel.authorize import Target
from uwu.kernel.errors import UwuError
from uwu.kernel.wire import Asked, Reply, Route, Wire, problem

if TYPE_CHECKING:
    from uwu.kernel.runtime import Kernel

PREFIX = "/iac/state/"
MAX_LOCK_BYTES = 64_000
_PATH = "/{namespace}/{name}"


def app(kernel: Kernel) -> Wire:
    """The wire of the HTTP backend."""
    return Wire(kernel, ROUTES, refuse)


def refuse(error: UwuError) -> Reply:
    """An error as the backend's client expects it: of a lock that another holds, its holder."""
    if isinstance(error, Locked):
        return Reply(error.status, codec.encode(state_lock.as_terraform(error.info)))
    return problem(error)


def _target(asked: Asked) -> Target:
    return state_access.target(asked.kernel, asked.principal, asked.params["namespace"], asked.params["name"])


def _key(asked: Asked) -> str:
    return f"{asked.params['namespace']}/{asked.params['name']}"


def read(asked: Asked) -> Reply:
    """The current state; 204 where there is none."""
    with asked.kernel.db.read() as connection:
        found = state_store.find(connection, asked.params["namespace"], asked.params["name"])
    if found is None or found.version is None:
        return Reply(204)
    headers = {
        "Content-Length": str(found.version.bytes),
        "Content-MD5": base64.b64encode(bytes.fromhex(found.version.md5)).decode(),
        "X-Uwu-Version": str(found.version.number),
    }
    return Reply(200, state_store.pieces(asked.kernel, found.version.id), headers=headers)


def write(asked: Asked) -> Reply:
    """Takes a state. ``?ID=`` is the lock under which it is written; ``?force=1`` or ``X-Uwu-Force: 1`` passes the
    order of serials, for whoever may."""
    force = "1" in (asked.query.get("force", ""), asked.headers.get("x-uwu-force", ""))
    if force:
        authorize.require(asked.kernel, asked.principal, FORCE, _target(asked))
    wanted = state_write.Wanted(
        namespace=asked.params["namespace"],
        name=asked.params["name"],
        via="http",
        lock_id=asked.query.get("ID", ""),
        md5=asked.headers.get("content-md5", ""),
        force=force,
    )
    made = state_write.write(asked.kernel, asked.principal, wanted, asked.body)
    return Reply(200, b"", headers={"X-Uwu-Version": str(made.number)})


def delete(asked: Asked) -> Reply:
    """Makes the state empty; its versions stay."""
    state_write.delete(asked.kernel, asked.principal, _key(asked), lock_id=asked.query.get("ID", ""))
    return Reply(200, b"")


def lock(asked: Asked) -> Reply:
    """Takes the lock: 423 with its holder where another has it."""
    held = state_lock.lock(asked.kernel, asked.principal, _key(asked), state_lock.told(asked.body, _key(asked)))
    return Reply(200, codec.encode(state_lock.as_terraform(held)))


def unlock(asked: Asked) -> Reply:
    """Gives the lock back. A body without a lock is ``terraform force-unlock``, which sends none: it takes the right
    to take a lock away."""
    if not asked.body.strip():
        authorize.require(asked.kernel, asked.principal, UNLOCK, _target(asked))
        state_lock.force_unlock(asked.kernel, asked.principal, _key(asked), id=asked.query.get("ID", ""))
        return Reply(200, b"")
    given = state_lock.told(asked.body, _key(asked))
    state_lock.unlock(asked.kernel, asked.principal, _key(asked), given.id)
    return Reply(200, b"")


def max_state_bytes(kernel: Kernel) -> int:
    """The largest state that is taken."""
    return kernel.settings.iac.max_state_mb * 1_048_576


_MOST = MAX_LOCK_BYTES
ROUTES = (
    Route(("GET",), _PATH, read, READ, _target),
    Route(("POST", "PUT"), _PATH, write, WRITE, _target, max_state_bytes),
    Route(("DELETE",), _PATH, delete, WRITE, _target),
    Route(("LOCK",), _PATH, lock, LOCK, _target, _MOST),
    Route(("UNLOCK",), _PATH, unlock, LOCK, _target, _MOST),
    Route(("LOCK", "POST", "PUT"), f"{_PATH}/lock", lock, LOCK, _target, _MOST),
    Route(("UNLOCK", "DELETE"), f"{_PATH}/lock", unlock, LOCK, _target, _MOST),
)
