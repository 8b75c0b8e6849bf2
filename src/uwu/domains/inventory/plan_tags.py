"""Owner tags on resources that nobody owns; taken back to what they were.

By the Resource Groups Tagging API, which tags almost all that has an ARN, and by IAM's own calls for roles and users.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from botocore.exceptions import BotoCoreError, ClientError

from uwu.domains.inventory import plan as shared
from uwu.domains.inventory.model import AWS
from uwu.kernel import codec, declared, estate, urns
from uwu.kernel.aws_errors import clean
from uwu.kernel.errors import BadInput, Conflict, Denied
from uwu.kernel.model import Resource
from uwu.kernel.plans import Action, Done, Plan, PlannedChange, Step
from uwu.kernel.rules import UNOWNED
from uwu.kernel.runtime import Kernel

GLOBAL_REGION = "us-east-1"
"""Where the Tagging API keeps the tags of what has no region (Resource Groups Tagging API, TagResources)."""

_IAM = {"role": "RoleName", "user": "UserName"}
"""What the Tagging API does not tag, and how IAM's own calls name it."""


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Findings of unowned resources, or the resources themselves, and the group that shall own them."""

    owner: str
    findings: list[str] = []
    subjects: list[str] = []


def plan(kernel: Kernel, request: Mapping[str, Any]) -> Plan:
    """The tags that name ``owner`` for each resource. Raises ``BadInput``."""
    wanted = shared.asked(request, Request)
    key = kernel.settings.ownership.tags[0]
    with kernel.db.read() as connection:
        owner, value = _owner(connection, wanted.owner)
        reasons = _unowned(connection, wanted.findings)
        subjects = list(dict.fromkeys([*reasons, *map(urns.canonical, wanted.subjects)]))
        shared.not_too_many(subjects)
        held = shared.resources(connection, subjects)
        total = shared.total(connection, (resource.account for resource in held.values()))
        declaring = {subject: declared.declarations(connection, urn=subject) for subject in held}
    changes: list[PlannedChange] = []
    notes: list[str] = []
    for subject in subjects:
        resource = held.get(subject)
        if resource is None:
            raise BadInput(f"{subject} does not exist", code="subject-unfit", place="/request", hint="uwu findings")
        refusal = _refusal(resource)
        if refusal:
            notes.append(f"{resource.name}: {refusal}")
        elif resource.tags.get(key) == value:
            notes.append(f"{resource.name} has the tag {key}={value} already")
        else:
            changes.append(_change(resource, {key: value}, owner=owner, reason=reasons.get(subject, "")))
            if declaring[subject]:
                notes.append(f"{resource.name} is declared by {declaring[subject][0].id}: write the tag there too")
    some = f"{len(changes)} resources" if len(changes) != 1 else held[changes[0].subject].name
    return Plan(
        domain="inventory",
        title=f"Name {value} the owner of {some}",
        changes=tuple(changes),
        declared_hash=codec.digest([key, owner, sorted(subjects)]),
        observed_hash=codec.digest([[subject, held[subject].tags] for subject in sorted(held)]),
        subjects_total=total,
        notes=tuple(notes),
    )


def _owner(connection: sa.Connection, text: str) -> tuple[str, str]:
    """The reference of the group that ``text`` names, and how a tag names it."""
    reference = estate.parse_reference(text, kind="group")
    if reference.kind != "group" or declared.entity(connection, str(reference)) is None:
        raise BadInput(
            f"there is no group {text!r}",
            code="owner-unknown",
            place="/request/owner",
            hint="uwu catalog list --kind group",
        )
    return str(reference), reference.name if reference.namespace == "default" else str(reference)


def _unowned(connection: sa.Connection, ids: Sequence[str]) -> dict[str, str]:
    """Subject -> the finding that says that nobody owns it."""
    found: dict[str, str] = {}
    for number, finding in enumerate(shared.findings(connection, ids)):
        if finding.rule != UNOWNED:
            raise BadInput(
                f"{finding.id} is not about an owner: {finding.title}",
                code="finding-unfit",
                place=f"/request/findings/{number}",
            )
        found[finding.subject] = finding.id
    return found


def _refusal(resource: Resource) -> str:
    """Why the Tagging API cannot tag it; empty where it can."""
    arn = urns.parse(resource.urn)
    if arn is None:
        return "AWS gives it no ARN, so it cannot be tagged"
    return "AWS made it, it is nobody's" if resource.managed_by == AWS else ""


def _change(resource: Resource, after: Mapping[str, str | None], *, owner: str, reason: str) -> PlannedChange:
    """Sets the tags ``after``; None takes one away. ``before`` and ``after`` hold just those keys."""
    before = {key: resource.tags.get(key) for key in after}
    takes = [key for key, value in after.items() if value is None]
    sets = [f"{key}={value}" for key, value in after.items() if value is not None]
    title = " and ".join(
        [*([f"tag {resource.name} {', '.join(sets)}"] if sets else []),
         *([f"take {', '.join(takes)} from {resource.name}"] if takes else [])]
    )  # fmt: skip
    fresh = all(value is None for value in before.values())
    action = Action.CREATE if fresh else Action.DELETE if not sets else Action.UPDATE
    return PlannedChange(
        subject=resource.urn,
        action=action,
        title=title,
        before=before,
        after=dict(after),
        reason=reason,
        owner=owner,
        harmless=True,
    )


def undo(kernel: Kernel, original: Plan, done: Sequence[PlannedChange]) -> Plan:
    """The tags as they were, where they still are as the plan left them."""
    with kernel.db.read() as connection:
        held = shared.resources(connection, [change.subject for change in done])
        total = shared.total(connection, (resource.account for resource in held.values()))
    changes: list[PlannedChange] = []
    notes: list[str] = []
    for change in done:
        resource = held.get(change.subject)
        if resource is None:
            notes.append(f"{urns.short(change.subject)} does not exist any more")
        elif any(resource.tags.get(key) != value for key, value in change.after.items()):
            notes.append(f"the tags of {resource.name} were changed since")
        else:
            changes.append(_change(resource, change.before, owner="", reason=""))
    return Plan(
        domain="inventory",
        title=f"Take back: {original.title}",
        changes=tuple(changes),
        declared_hash=codec.digest(codec.builtins(list(done))),
        observed_hash=codec.digest([[subject, held[subject].tags] for subject in sorted(held)]),
        subjects_total=total,
        notes=tuple(notes),
    )


def apply(step: Step, change: PlannedChange) -> Done:
    """Sets or takes the tags in the role that applies; the same again changes nothing. Raises ``UwuError``."""
    with step.kernel.db.read() as connection:
        resource = shared.resources(connection, [change.subject]).get(change.subject)
    if resource is None:
        raise Conflict(f"{change.subject} does not exist any more", code="subject-gone")
    sets = {key: value for key, value in change.after.items() if value is not None}
    takes = [key for key, value in change.after.items() if value is None]
    notes: list[str] = []
    for operation, call in _calls(step, resource, sets, takes):
        try:
            answer = call()
        except (ClientError, BotoCoreError) as error:
            raise shared.refused(step, operation, error) from None
        _require_done(step, operation, answer.get("FailedResourcesMap") or {})
        notes.append(f"{operation} {change.subject}")
    return Done(note="; ".join(notes))


def _calls(
    step: Step, resource: Resource, sets: Mapping[str, str], takes: Sequence[str]
) -> Iterator[tuple[str, Callable[[], Any]]]:
    """(operation, call) of what is to be set and to be taken."""
    kind = urns.parse(resource.urn)
    word = kind.resource.partition("/")[0] if kind is not None and kind.service == "iam" else ""
    if word in _IAM:
        client = step.aws.client("iam", resource.account, GLOBAL_REGION)
        who = {_IAM[word]: urns.short(resource.urn)}
        pairs = [{"Key": key, "Value": value} for key, value in sets.items()]
        tag, untag = getattr(client, f"tag_{word}"), getattr(client, f"untag_{word}")
        if pairs:
            yield f"iam:Tag{word.capitalize()}", lambda: tag(**who, Tags=pairs)
        if takes:
            yield f"iam:Untag{word.capitalize()}", lambda: untag(**who, TagKeys=list(takes))
        return
    region = GLOBAL_REGION if resource.region == "global" else resource.region
    tagging = step.aws.client("resourcegroupstaggingapi", resource.account, region)
    if sets:
        yield "tag:TagResources", lambda: tagging.tag_resources(ResourceARNList=[resource.urn], Tags=dict(sets))
    if takes:
        yield "tag:UntagResources", lambda: tagging.untag_resources(ResourceARNList=[resource.urn], TagKeys=list(takes))


def _require_done(step: Step, operation: str, failed: Mapping[str, Any]) -> None:
    """The Tagging API answers 200 and tells in the answer what it could not tag."""
    for told in failed.values():
        code = str(told.get("ErrorCode", "unknown"))
        message = f"{operation}: {clean(str(told.get('ErrorMessage', code)))}"
        if code == "AccessDeniedException" or int(told.get("StatusCode", 0)) == 403:
            role = step.kernel.settings.aws.apply_role_name
            hint = f"allow the role {role} {operation} and the service's own action for tags"
            raise Denied(message, code=code, hint=hint)
        raise Conflict(message, code=code)
