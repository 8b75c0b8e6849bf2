"""The kernel's nouns, as every room uses them. Frozen; times are UTC; attributes are plain JSON values."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

Json = Any
"""A plain JSON value."""


class Place(msgspec.Struct, frozen=True):
    """Where something is written."""

    file: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


class Entity(msgspec.Struct, frozen=True, kw_only=True):
    """A declared thing in Backstage's envelope: ``kind:namespace/name`` at ``place``."""

    kind: str
    name: str
    namespace: str = "default"
    api_version: str
    metadata: dict[str, Any] = {}
    spec: dict[str, Any] = {}
    place: Place
    origin: str = ""
    """The location reference (``type:target``) that brought it."""

    @property
    def ref(self) -> str:
        """``kind:namespace/name`` in lower case (references compare case-insensitively)."""
        return f"{self.kind}:{self.namespace}/{self.name}".lower()


class Declaration(msgspec.Struct, frozen=True, kw_only=True):
    """What a declaring tool says a resource should be."""

    source: str
    """What declares it: an entity reference, such as ``stack:default/payments``."""
    address: str
    """Its address there, such as ``module.db.aws_db_instance.main``."""
    place: str
    """``file:line``, or the state's key and serial."""
    urn: str
    """The subject; empty where the address has no name that we know."""
    type: str
    """The resource type, such as ``aws_rds_db_instance``; empty where we have none."""
    declared_type: str
    """The declaring tool's own type, such as ``aws_db_instance``."""
    attributes: dict[str, Any] = {}
    tags: dict[str, str] = {}

    @property
    def id(self) -> str:
        return f"{self.source}#{self.address}"


class CellStatus(StrEnum):
    """What is known of a cell. Only ``complete`` lets something be absent."""

    COMPLETE = "complete"
    DENIED = "denied"
    THROTTLED = "throttled"
    UNSUPPORTED = "unsupported"
    FAILED = "failed"
    STALE = "stale"


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """The smallest part of the world that is observed as a whole: (source, account, region, type)."""

    source: str
    account: str
    region: str
    type: str

    @property
    def id(self) -> str:
        return f"{self.source}/{self.account}/{self.region}/{self.type}"


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How observing a cell went."""

    cell: Cell
    status: CellStatus
    observed_at: datetime
    """When the observation began: what changed after it was not seen."""
    calls: int = 0
    """Answers that were asked for."""
    seconds: float = 0.0
    code: str = ""
    message: str = ""
    action: str = ""
    """The action that is denied, as a policy names it: ``ec2:DescribeInstances``."""
    due_at: datetime | None = None
    """When the next look is due: a complete cell is late afterwards."""
    run: str = ""
    """The job that observed it."""
    attempts: int = 0
    """Requests that were sent: as many as calls where nothing had to be tried again."""
    throttled: int = 0
    """Answers that told to slow down."""
    bytes: int = 0
    """Of the answers' bodies."""
    cost: float = 0.0
    """US dollars at list price."""


class Resource(msgspec.Struct, frozen=True, kw_only=True):
    """An observed thing."""

    urn: str
    type: str
    account: str
    region: str
    name: str
    attributes: dict[str, Any] = {}
    tags: dict[str, str] = {}
    managed_by: str = ""
    """``aws`` where AWS made it (a default VPC), the urn of its maker (for a root volume, its instance), or empty."""


class Relation(msgspec.Struct, frozen=True, kw_only=True):
    """``source`` -kind-> ``target``, with the attribute or place that says so."""

    source: str
    kind: str
    target: str
    evidence: str = ""


class Severity(StrEnum):
    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class FindingStatus(StrEnum):
    OPEN = "open"
    STALE = "stale"
    CLOSED = "closed"
    EXEMPT = "exempt"
    """It holds, and somebody has said that until a day it may. See ``uwu.kernel.exemptions``."""


UNRESOLVED = (FindingStatus.OPEN.value, FindingStatus.STALE.value)
"""The statuses of findings that somebody should look at."""


class Actor(msgspec.Struct, frozen=True, kw_only=True):
    """Who did it: the human at the end of a role chain, or the machine or service that none stands behind."""

    kind: str
    """``human``, ``machine``, ``service`` or ``unknown``."""
    name: str
    """``mira.k``, ``i-0abc``, ``autoscaling.amazonaws.com``; the principal itself where no human is known."""
    confidence: str = "certain"
    """``certain``, ``likely``, ``guess`` or ``none``."""
    how: str = ""
    """The evidence: ``sourceIdentity``, ``sso session name``, ``role chain of 2``."""
    principal: str = ""
    """The urn of the identity that signed the call."""
    chain: tuple[str, ...] = ()
    """From the human to the principal: each identity on the way."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """An event that changed a resource."""

    event_id: str
    at: datetime
    name: str
    """The event's own name: ``AuthorizeSecurityGroupIngress``."""
    source: str
    """The event's source: ``ec2.amazonaws.com``."""
    account: str
    region: str
    urn: str
    role: str = "target"
    """``target``: the call was about it; ``related``: it was named in passing."""
    actor: Actor
    through: str = ""
    """How it came: ``AWS console``, ``AWS CLI``, ``Terraform``, ``an SDK``."""
    request: Json = None
    error: str = ""
    """The error code; empty for a call that succeeded."""
    place: str = ""
    """The object in which the record lies."""


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One attribute that is not as declared."""

    path: str
    declared: Json
    observed: Json
    sensitive: bool = False
    severity: Severity | None = None
    """Where it is worse, or less bad, than an attribute's drift is in general."""


class Evidence(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One reason to hold ``owner`` for the owner of ``subject``."""

    subject: str
    owner: str
    """An entity reference: ``group:default/payments``."""
    kind: str
    """One of ``ownership.STRENGTH``."""
    source: str
    """What says so, readable: ``tag team=payments``, ``stack:default/payments``."""
    settles: tuple[str, ...] = ()
    """Evidence that was seen and overruled: its kind and its owner, ``tag group:default/search``."""


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule says of one subject: the raw material of a finding."""

    subject: str
    title: str
    path: str = ""
    type: str = ""
    account: str = ""
    region: str = ""
    declared: Json = None
    observed: Json = None
    place: str = ""
    cell: str = ""
    """The coverage whose fresh, complete observation may close the finding."""
    remedy: str = ""
    severity: Severity | None = None
    """Where it differs from the rule's own."""
    owner: str = ""
    """Whose it is where the subject is no resource, which has a settled owner of its own."""
    since: datetime | None = None
    """Since when the world has been so, where known."""
    cause: Change | None = None
    """What did it, where the rule itself knows; else it is looked for among the changes of the subject."""


class Unjudged(msgspec.Struct, frozen=True, kw_only=True):
    """A subject of which a rule can say nothing, for what it asks was not observed. What it said before is stale."""

    subject: str
    """The urn; of what is a whole cell that was not seen, nothing is said: the ledger tells it."""
    type: str
    account: str
    region: str
    why: str
    """In words, the same for all that lack the same: ``SnapshotAttributes was not observed``."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that holds against a subject. It closes only on a fresh observation."""

    id: str
    rule: str
    subject: str
    path: str
    domain: str
    severity: Severity
    title: str
    status: FindingStatus
    type: str
    account: str
    region: str
    owner: str
    declared: Json
    observed: Json
    place: str
    cell: str
    cause: Change | None
    actor: str
    remedy: str
    opened_at: datetime
    last_seen: datetime
    closed_at: datetime | None
    exemption: str = ""
    """What exempts it; empty where nothing does."""
