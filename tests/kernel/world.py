"""A small world for kernel tests: one domain that declares, compares and knows who changed what."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from uwu.kernel import tables
from uwu.kernel.domain import Domain, ResourceType
from uwu.kernel.model import (
    Actor,
    Cell,
    CellStatus,
    Change,
    Declaration,
    Difference,
    Evidence,
    Outcome,
    Resource,
    Severity,
)
from uwu.kernel.runtime import Kernel

T0 = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=2)
ACCOUNT, REGION = "111122223333", "eu-west-1"
QUEUES = Cell(source="aws", account=ACCOUNT, region=REGION, type="aws_sqs_queue")


def queue(name: str, *, tags: dict[str, str] | None = None, managed_by: str = "", **attributes: object) -> Resource:
    return Resource(
        urn=f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}",
        type="aws_sqs_queue",
        account=ACCOUNT,
        region=REGION,
        name=name,
        attributes=dict(attributes),
        tags=tags or {},
        managed_by=managed_by,
    )


def outcome(minutes: int, status: CellStatus = CellStatus.COMPLETE, cell: Cell = QUEUES) -> Outcome:
    return Outcome(cell=cell, status=status, observed_at=T0 + timedelta(minutes=minutes))


def declaration(name: str, **attributes: object) -> Declaration:
    return Declaration(
        source="stack:default/payments",
        address=f"aws_sqs_queue.{name}",
        place="payments.tfstate#7",
        urn=f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}",
        type="aws_sqs_queue",
        declared_type="aws_sqs_queue",
        attributes=dict(attributes),
    )


def change(name: str, minutes: int, *, urn: str, human: str = "mira", request: object = None) -> Change:
    return Change(
        event_id=f"{name}-{minutes}",
        at=T0 + timedelta(minutes=minutes),
        name=name,
        source="sqs.amazonaws.com",
        account=ACCOUNT,
        region=REGION,
        urn=urn,
        actor=Actor(kind="human", name=human, principal=f"arn:aws:sts::{ACCOUNT}:assumed-role/Admin/{human}"),
        through="AWS CLI",
        request=request,
    )


class Log:
    """A change log that holds what the test put in."""

    held: tuple[Change, ...] = ()

    def changes(
        self,
        urns: Sequence[str],
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 100,
    ) -> list[Change]:
        del until
        found = [c for c in self.held if c.urn in urns and (since is None or c.at >= since)]
        return sorted(found, key=lambda c: c.at, reverse=True)[:limit]

    def recent(self, *, since: datetime, limit: int = 100) -> list[Change]:
        return [c for c in self.held if c.at >= since][:limit]

    def as_of(self) -> datetime | None:
        return max((c.at for c in self.held), default=None)


LOG = Log()


def change_log(kernel: Kernel) -> Log:
    del kernel
    return LOG


def compare(declaration: Declaration, resource: Resource) -> list[Difference]:
    return [
        Difference(
            path=key,
            declared=value,
            observed=resource.attributes.get(key),
            sensitive=key == "password",
            severity=Severity.HIGH if key == "policy" else None,
        )
        for key, value in declaration.attributes.items()
        if resource.attributes.get(key) != value
    ]


def remedy(declaration: Declaration, differences: Sequence[Difference]) -> str:
    return f"apply {declaration.address} {','.join(d.path for d in differences)}".strip()


def evidence(kernel: Kernel, connection) -> Iterable[Evidence]:
    del kernel
    for row in connection.execute(tables.resources.select()):
        if team := row.tags.get("team"):
            yield Evidence(subject=row.urn, owner=f"group:default/{team}", kind="tag", source=f"tag team={team}")
        if row.account == ACCOUNT and row.name.startswith("owned"):
            yield Evidence(subject=row.urn, owner="group:default/account-owner", kind="account", source="account")


WORLD = Domain(
    name="world",
    title="World",
    types=(ResourceType("aws_sqs_queue", "SQS queue", "sqs", "rows-3"),),
    compare={"aws_sqs_queue": "tests.kernel.world:compare"},
    remedy="tests.kernel.world:remedy",
    evidence="tests.kernel.world:evidence",
    changes="tests.kernel.world:change_log",
)
