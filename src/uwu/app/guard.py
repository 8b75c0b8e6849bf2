"""The guard at the front door: every route's action is decided for who asks, before the route does anything.

A route without an action is refused, whoever asks. What a route reads is narrowed to what the caller may see.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from uwu.app import identify
from uwu.app.layers import SAFE, App, Receive, Scope, Send
from uwu.kernel import actions, authorize, sight
from uwu.kernel.errors import Denied, UwuError
from uwu.kernel.runtime import Kernel

ACTION = "action"
"""The key of a route's ``opt`` that names its action."""
ON = "on"
"""The key that names what it is done to, where that is not the platform as a whole: a function (Kernel, Mapping of the
path's parameters) -> Target, which may raise ``NotFound``. It runs in a thread."""
READS = "reads"
"""The key that says of a POST that it only reads: what it sees is narrowed as a GET's."""


def guard(kernel: Kernel) -> Callable[[ASGIConnection, BaseRouteHandler], Awaitable[None]]:
    """The guard of all routes of one home. It is async: Litestar runs a plain function in a thread, at four times the
    price."""

    async def decide(connection: ASGIConnection, handler: BaseRouteHandler) -> None:
        action = str(handler.opt.get(ACTION, ""))
        method = connection.scope.get("method", "")
        if method == "OPTIONS" and not action:
            return  # Litestar's own answer: which methods there are
        known = actions.known(kernel.domains).get(action)
        if known is None:
            raise Denied("this route does not say what it does", code="action-missing", place=action)
        principal = identify.principal_of(connection)
        on = handler.opt.get(ON)
        if on is not None:

            def require() -> None:
                try:
                    with sight.looking_as(kernel, principal):
                        target = on(kernel, connection.path_params)
                except UwuError:
                    authorize.require(kernel, principal, action)  # who may do it nowhere learns not what there is
                    raise
                authorize.require(kernel, principal, action, target)

            await asyncio.to_thread(require)
        elif known.group != authorize.OPEN and kernel.policies.due:
            await asyncio.to_thread(authorize.require, kernel, principal, action)
        else:
            authorize.require(kernel, principal, action)
        if known.group != authorize.OPEN and (method in SAFE or handler.opt.get(READS)):
            sight.look_as(kernel, principal)

    return decide


def layer(app: App) -> App:
    """Around the routes: what one request may see ends with it."""

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        with sight.everything():
            await app(scope, receive, send)

    return guarded
