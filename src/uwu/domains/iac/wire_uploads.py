"""Where states come that were announced: ``PUT /iac/uploads/<version>/<kind>?expires=&signature=``, without a token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uwu.domains.iac import state_uploads
from uwu.domains.iac.actions import UPLOAD
from uwu.domains.iac.wire_http import max_state_bytes
from uwu.kernel.authorize import PLATFORM, Target
from uwu.kernel.wire import Asked, Reply, Route, Wire

if TYPE_CHECKING:
    from uwu.domains.iac.state_uploads import Upload
    from uwu.kernel.runtime import Kernel

PREFIX = "/iac/uploads/"


def app(kernel: Kernel) -> Wire:
    """The wire of uploads."""
    return Wire(kernel, ROUTES)


def _upload(asked: Asked) -> Upload:
    given = asked.query.get("expires", ""), asked.query.get("signature", "")
    return state_uploads.check(asked.kernel, asked.params["id"], asked.params["kind"], *given)


def _target(asked: Asked) -> Target:
    _upload(asked)  # before a byte of the body is read
    return PLATFORM


def put(asked: Asked) -> Reply:
    """Takes what was announced: the address is all that it takes, and is used up by it."""
    upload = _upload(asked)
    if asked.params["kind"] == "json":
        state_uploads.take_json(asked.kernel, upload, asked.body)
    else:
        state_uploads.take_state(asked.kernel, upload, asked.body)
    return Reply(200, b"")


ROUTES = (Route(("PUT",), "/{id}/{kind}", put, UPLOAD, _target, max_state_bytes),)
