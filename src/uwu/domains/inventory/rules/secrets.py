"""Secrets that lie in the open or are never replaced. Their values are never read: names and dates tell."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from uwu.domains.inventory.rules.model import HIGH, MEDIUM, Book, Row, Said, Wrong
from uwu.domains.inventory.rules.world import World
from uwu.kernel.sensitive import is_marked

BOOK = Book("Secrets")

_NAMED = re.compile(
    r"(?:^|_)(?:PASS(?:WORD|WD|PHRASE)?|SECRET(?:_?KEY)?|(?:API|AUTH|ACCESS|BEARER|REFRESH|GITHUB|SLACK)_?TOKEN|TOKEN"
    r"|API_?KEY|PRIVATE_?KEY|ACCESS_?KEY|SIGNING_?KEY|ENCRYPTION_?KEY|CREDENTIALS?|(?:DATABASE|DB|REDIS|MONGO)_UR[IL])"
    r"(?:_\d+)?$",
    re.IGNORECASE,
)
"""Names of variables that hold a secret: the last words of them. ``SECRET_ARN`` and ``TOKEN_URL`` do not."""


def telling(name: str) -> bool:
    """Whether a variable of this name holds a secret."""
    return _NAMED.search(re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[-.]", "_", name)) is not None


@BOOK.one(
    "task-secret-in-plain",
    "A task definition holds a secret in its plain environment",
    HIGH,
    ("aws_ecs_task_definition",),
    beside=("aws_ecs_service",),
    some=False,
    why="Everyone who may describe tasks reads it, in every revision for ever.",
    remedy="put it into Secrets Manager and name it in containerDefinitions[].secrets[].valueFrom; then replace the "
    "secret: its old value is in old revisions",
    references=("FSBP ECS.8",),
)
def _task(world: World, row: Row) -> Iterable[Said]:
    if row.urn not in world.targets("runs"):
        return  # no service runs it: an old revision
    containers: list[dict[str, Any]] = row.get("containerDefinitions") or []
    for index, container in enumerate(containers):
        found = sorted(
            str(each.get("name"))
            for each in container.get("environment") or ()
            if telling(str(each.get("name"))) and is_marked(each.get("value"))
        )
        if found:
            says = f"holds {', '.join(found)} in the plain environment of {container.get('name', 'a container')}"
            yield Wrong(says, f"containerDefinitions[{index}].environment", found)


@BOOK.one(
    "function-secret-in-plain",
    "A function holds a secret in its plain environment",
    MEDIUM,
    ("aws_lambda_function",),
    rises="in production",
    why="Everyone who may read functions' configurations reads it, as do most read-only roles.",
    remedy="put it into Secrets Manager and read it at start (the AWS Parameters and Secrets extension keeps it); "
    "then replace the secret",
    references=("AWS: Securing environment variables in Lambda",),
)
def _function(world: World, row: Row) -> Said:
    held = (row.get("Environment") or {}).get("Variables") or {}
    found = sorted(name for name, value in held.items() if telling(name) and is_marked(value))
    path = "Environment.Variables"
    return (
        Wrong(f"holds {', '.join(found)} in its plain environment", path, found, world.raised(row, MEDIUM))
        if found
        else None
    )


@BOOK.one(
    "secret-not-rotated",
    "A secret is not replaced",
    MEDIUM,
    ("aws_secretsmanager_secret",),
    rises="where its rotation has failed",
    why="Those who have left still know it; where rotation is on and late, it fails and the next one will too.",
    remedy="aws secretsmanager rotate-secret --secret-id <arn> --region <region>",
    references=("FSBP SecretsManager.1", "FSBP SecretsManager.2", "FSBP SecretsManager.4"),
)
def _secret(world: World, row: Row) -> Said:
    changed = row.time("LastRotatedDate") or row.time("LastChangedDate") or row.time("CreatedDate")
    if changed is None:
        return row.unread("CreatedDate")
    if row.get("RotationEnabled"):
        due = row.time("NextRotationDate")
        every = (row.get("RotationRules") or {}).get("AutomaticallyAfterDays")
        late = due if due is not None else changed + timedelta(days=int(every)) if every else None
        # the window in which it may rotate is a day at the most
        if late is not None and world.older(late, 1):
            return Wrong(f"should have rotated by {late:%Y-%m-%d}", "NextRotationDate", f"{late:%Y-%m-%d}", HIGH)
        return None
    if world.older(changed, world.settings.secret_days):
        return Wrong(
            f"was not replaced for {(world.now - changed).days} days", "LastChangedDate", f"{changed:%Y-%m-%d}"
        )
    return None
