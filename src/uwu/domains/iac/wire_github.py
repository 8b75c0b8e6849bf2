"""GitHub's webhook: a pull request makes a speculative run of each stack whose configuration lies in its repository.

A delivery counts once, and only with GitHub's signature over its whole body (``X-Hub-Signature-256``: HMAC-SHA256 under
the webhook's secret). What a fork proposes is not run: it would run a stranger's code with the stack's credentials.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from uwu.domains.iac import tables
from uwu.domains.iac.actions import HOOK
from uwu.domains.iac.runs import ask, config
from uwu.kernel import codec, declared
from uwu.kernel.errors import BadInput, Conflict, Denied, NotFound, UwuError
from uwu.kernel.identity import Principal
from uwu.kernel.model import Entity
from uwu.kernel.wire import Asked, Reply, Route, Wire, problem

if TYPE_CHECKING:
    from uwu.kernel.runtime import Kernel

PATH = "/iac/hooks/github"
MAX_BYTES = 1_000_000
ACTIONS = frozenset({"opened", "reopened", "synchronize", "ready_for_review"})
"""What happens to a pull request that is worth a plan."""
GITHUB = Principal(ref="service:default/github", name="GitHub", kind="service")
_DELIVERY = re.compile(r"[0-9A-Za-z-]{8,80}")
_SCP = re.compile(r"(?:ssh://)?(?:[\w.-]+@)?(?P<host>[\w.-]+)[:/](?P<path>.+)")


def app(kernel: Kernel) -> Wire:
    """The wire of the webhook."""
    return Wire(kernel, (Route(("POST",), "", deliver, HOOK, max_body_bytes=MAX_BYTES),), problem)


def deliver(asked: Asked) -> Reply:
    """Takes one delivery: 202 with the runs that it makes, 200 where there is nothing to do.

    Raises ``NotFound`` (``hook-off``), ``Denied`` (``hook-signature``), ``Conflict`` (``hook-replayed``), ``BadInput``.
    """
    name = asked.kernel.settings.iac.github_secret_env
    secret = os.environ.get(name, "") if name else ""
    if not secret:
        raise NotFound("GitHub's webhook is off", code="hook-off", place=PATH, hint=f"set ${name or 'a secret'}")
    require_signed(secret, asked.body, asked.headers.get("x-hub-signature-256", ""))
    delivery, event = asked.headers.get("x-github-delivery", ""), asked.headers.get("x-github-event", "")
    if not _DELIVERY.fullmatch(delivery) or not event:
        raise BadInput("this is no delivery of GitHub", code="hook-invalid", place="X-GitHub-Delivery")
    told = asked.json()
    if not isinstance(told, dict):
        raise BadInput("the delivery is no object", code="hook-invalid", place="body")
    _once(asked, delivery, event)
    try:
        made = list(_runs(asked, told)) if event == "pull_request" else []
    except UwuError:
        _forget(asked, delivery)  # it came to nothing: GitHub may deliver it again
        raise
    return Reply(202 if made else 200, codec.encode({"runs": made}))


def require_signed(secret: str, body: bytes, given: str) -> None:
    """Raises ``Denied`` (``hook-signature``) unless ``given`` is GitHub's signature of ``body``."""
    wanted = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(wanted.encode(), given.encode()):
        raise Denied(
            "the delivery is not signed with this webhook's secret",
            code="hook-signature",
            place="X-Hub-Signature-256",
            hint="give the webhook at GitHub the same secret, and application/json as its content type",
        )


def _once(asked: Asked, delivery: str, event: str) -> None:
    d = tables.deliveries
    digest = hashlib.sha256(asked.body).hexdigest()
    row = {"id": delivery, "digest": f"{event} {digest}", "event": event, "at": codec.now()}
    try:
        with asked.kernel.db.write() as connection:
            connection.execute(d.insert().values(row))
    except IntegrityError:
        raise Conflict(
            "this delivery was taken before", code="hook-replayed", place=delivery, hint="retry its run: uwu iac retry"
        ) from None


def _forget(asked: Asked, delivery: str) -> None:
    d = tables.deliveries
    with asked.kernel.db.write() as connection:
        connection.execute(sa.delete(d).where(d.c.id == delivery))


def _runs(asked: Asked, told: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    pull, repository = told.get("pull_request"), told.get("repository")
    if told.get("action") not in ACTIONS or not isinstance(pull, dict) or not isinstance(repository, dict):
        return
    try:
        name, head, commit = str(repository["full_name"]), pull["head"], str(pull["head"]["sha"])
        number, origin = int(pull["number"]), (head.get("repo") or {}).get("full_name")
    except (KeyError, TypeError, ValueError):
        raise BadInput("the pull request is not of GitHub's form", code="hook-invalid", place="pull_request") from None
    if not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", commit):
        raise BadInput("the pull request names no commit", code="hook-invalid", place="pull_request.head.sha")
    if origin != name:
        return
    addresses = {_address(str(repository.get(key) or "")) for key in ("clone_url", "ssh_url", "html_url")} - {""}
    with asked.kernel.db.read() as connection:
        stacks = [s for s in declared.entities(connection, kind="Stack", orphan=False) if _lies_in(s, addresses)]
    for stack in stacks:
        wanted = ask.Asked(reason=f"{name}#{number}", speculative=True, revision=commit)
        due = {"repository": name, "number": number, "commit": commit, "base_url": asked.base_url}
        run = ask.start(asked.kernel, GITHUB, stack.ref, wanted, origin="github", vouched=True, pull_request=due)
        yield {"run": run.number, "stack": run.stack}


def _lies_in(stack: Entity, addresses: set[str]) -> bool:
    try:
        found = config.repository(str(stack.spec.get("source") or ""))
    except BadInput:
        return False
    return found is not None and _address(found.url) in addresses


def _address(url: str) -> str:
    """``host/owner/name`` of a repository, however it is written."""
    if url.startswith(("https://", "http://", "file://")):
        parts = urlsplit(url)
        text = f"{parts.hostname or ''}{parts.path}"
    else:
        found = _SCP.fullmatch(url)
        text = f"{found['host']}/{found['path'].lstrip('/')}" if found else ""
    return text.removesuffix("/").removesuffix(".git").lower()
