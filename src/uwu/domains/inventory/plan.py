"""What the planners of this domain share: their targets, and what an error of a writing call means."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa
from botocore.exceptions import BotoCoreError, ClientError

from uwu.kernel import tables
from uwu.kernel.aws_errors import DENIED, THROTTLED, classify
from uwu.kernel.db import columns, to_struct
from uwu.kernel.errors import BadInput, Conflict, Denied, Unavailable, UwuError
from uwu.kernel.model import Finding, Resource
from uwu.kernel.plans import Step

MOST = 500
"""Subjects of one plan: more is not reviewed, only waved through."""

T = TypeVar("T", bound=msgspec.Struct)


def asked(request: Mapping[str, Any], kind: type[T]) -> T:
    """``request`` as ``kind``. Raises ``BadInput`` with the place in it."""
    try:
        return msgspec.convert(request, kind)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$")
        place = "/request" + path.rstrip("`").replace(".", "/")
        raise BadInput(
            f"the planner cannot take this: {message}", code="request-invalid", place=place, hint=_fields(kind)
        ) from None


def _fields(kind: type[msgspec.Struct]) -> str:
    return f"it takes {', '.join(field.encode_name for field in msgspec.structs.fields(kind))}"


def findings(connection: sa.Connection, ids: Sequence[str]) -> list[Finding]:
    """The findings of ``ids`` in their order. Raises ``BadInput`` for one that is not there."""
    f = tables.findings
    held: dict[str, Finding] = {}
    for start in range(0, len(ids), 500):
        query = sa.select(*columns(f, Finding)).where(f.c.id.in_(ids[start : start + 500]))
        for row in connection.execute(query):
            finding = to_struct(Finding, row)
            held[finding.id] = finding
    for number, id in enumerate(ids):
        if id not in held:
            raise BadInput(f"there is no finding {id}", code="finding-unknown", place=f"/request/findings/{number}")
    return [held[id] for id in ids]


def resources(connection: sa.Connection, subjects: Iterable[str]) -> dict[str, Resource]:
    """Those of ``subjects`` that are observed now."""
    r = tables.resources
    some = sorted(set(subjects))
    held: dict[str, Resource] = {}
    for start in range(0, len(some), 500):
        query = sa.select(*columns(r, Resource)).where(r.c.urn.in_(some[start : start + 500]))
        for row in connection.execute(query):
            resource = to_struct(Resource, row)
            held[resource.urn] = resource
    return held


def not_too_many(subjects: Sequence[str]) -> None:
    """Raises ``BadInput`` for none, and for more than ``MOST``."""
    if not subjects:
        raise BadInput("nothing is named", code="request-invalid", place="/request", hint="name findings or subjects")
    if len(subjects) > MOST:
        raise BadInput(
            f"{len(subjects)} subjects are more than one plan may touch ({MOST})",
            code="plan-too-large",
            place="/request",
            hint="ask for several plans",
        )


def total(connection: sa.Connection, accounts: Iterable[str], type: str = "") -> int:
    """How many resources the accounts hold, of ``type`` where it is given: the scope of the safety limit."""
    r = tables.resources
    query = sa.select(sa.func.count()).select_from(r).where(r.c.account.in_(sorted(set(accounts))))
    return connection.execute(query.where(r.c.type == type) if type else query).scalar_one()


def refused(step: Step, operation: str, error: ClientError | BotoCoreError) -> UwuError:
    """What an error of a writing call is for the plan: typed, without secrets, with what to do."""
    failure = classify(error)
    if failure.status is DENIED:
        role = step.kernel.settings.aws.apply_role_name
        return Denied(failure.message, code=failure.code, hint=f"allow the role {role} the action {operation}")
    if failure.status is THROTTLED or isinstance(error, BotoCoreError):
        return Unavailable(failure.message, code=failure.code, hint="ask for a plan of what is left")
    return Conflict(failure.message, code=failure.code, hint=failure.hint)
