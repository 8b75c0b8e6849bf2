"""The contract that a domain meets. A domain is a package with the entry point ``uwu.domains``.

Everything is declared, nothing is called at import: heavy parts are named by ``module:attribute`` strings, so
that the command line starts fast and a broken third-party domain costs only itself.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import IntEnum
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Protocol

from uwu.kernel.actions import Action
from uwu.kernel.errors import Misconfigured, UwuError
from uwu.kernel.model import Change, Declaration, Difference, Evidence, Found, Resource, Severity, Unjudged

_log = logging.getLogger("uwu.domains")

if TYPE_CHECKING:
    import sqlalchemy as sa

    from uwu.kernel.jobs import Job
    from uwu.kernel.runtime import Kernel


class Phase(IntEnum):
    """When a domain's sync runs within ``uwu sync``; the kernel settles ownership and judges drift before ``GRADE``."""

    DECLARE = 10
    OBSERVE = 20
    EVENTS = 30
    GRADE = 40
    """It looks at what was judged."""


@dataclass(frozen=True)
class EntityKind:
    """A kind of declared entity."""

    kind: str
    """As written: ``Component``."""
    api_versions: tuple[str, ...]
    schema: Mapping[str, Any]
    """JSON Schema of ``spec``."""
    references: Mapping[str, tuple[str, str, str]] = field(default_factory=dict[str, tuple[str, str, str]])
    """Field of ``spec`` -> (default kind of the entity it names, relation, inverse relation):
    ``{"owner": ("group", "ownedBy", "ownerOf")}``. A list field names many."""
    check: str = ""
    """``module:function`` (spec) -> Iterable[schema.Violation]: what a schema cannot say. An entity that does not pass
    is refused as one that does not fit its schema: what was accepted before stays."""


@dataclass(frozen=True)
class ResourceType:
    """A type of observed resource, by the name of its SQL table."""

    name: str
    """``aws_vpc_security_group``: Steampipe's name where it has one."""
    title: str
    """For people: ``Security group``."""
    service: str
    """``ec2``."""
    icon: str = "box"
    """A lucide icon."""
    relations: tuple[str, ...] | None = None
    """The kinds of relations that its resources hold; None where that is not declared: then it may be any."""
    needs: tuple[str, ...] = ()
    """Types whose cells must be complete too before its relations are known: those are found by comparing."""
    once: bool = False
    """Observed once an account, not once a region."""


class Compare(Protocol):
    """Says where a resource is not as declared. Only what the declaring tool would call drift; no noise."""

    def __call__(self, declaration: Declaration, resource: Resource) -> Sequence[Difference]: ...


@dataclass(frozen=True)
class Rule:
    """A check over the graph. ``check`` yields what holds now; the kernel opens, keeps and closes findings."""

    id: str
    title: str
    severity: Severity
    check: Callable[[Kernel, sa.Connection], Iterable[Found]] | None = None
    """None for a rule of its domain's ``sweep``."""
    check_some: Callable[[Kernel, sa.Connection, frozenset[str]], Iterable[Found]] | None = None
    """What ``check`` yields of these few subjects, by looking at them alone; None for a rule that must see all: then
    only a sync judges it."""
    some: bool = False
    """The sweep can judge it of a few subjects by looking at them alone."""
    theme: str = ""
    """What it is about, in a word or two: ``Exposure``."""
    why: str = ""
    """Why it is worth waking for, in one sentence."""
    remedy: str = ""
    """What puts it right: a command or an attribute, for any subject; a finding tells its own."""
    references: tuple[str, ...] = ()
    """Who else asks for it: ``CIS AWS 3.0 1.4``, the page of AWS's documentation by its name."""
    types: tuple[str, ...] = ()
    """The types that it looks at: while their cells are not complete it closes nothing of theirs, and says nothing of
    what was not seen. Empty for all."""
    rises: str = ""
    """When it is more severe than in general: ``in production``."""
    asks: str = ""
    """What change causes its findings: one of ``uwu.kernel.cause``, such as ``deleted``; any change where empty."""

    @property
    def of_some(self) -> bool:
        """Whether it can be judged of a few subjects."""
        return self.some or self.check_some is not None


class Sweep(Protocol):
    """Judges many rules by one reading of the world.

    ``rules`` are the ids that are asked for; ``some`` the subjects, None for all. It gives the rule's id with what it
    found or could not judge.
    """

    def __call__(
        self, kernel: Kernel, connection: sa.Connection, rules: frozenset[str], some: frozenset[str] | None = None
    ) -> Iterable[tuple[str, Found | Unjudged]]: ...


@dataclass(frozen=True)
class Schedule:
    """A job that the workers ask for by themselves: every so many minutes, or daily at a time of day."""

    name: str
    """Unique: ``sync``, ``audit.checkpoint``."""
    job: str
    summary: str = ""
    """What it is for, in one sentence."""
    every_minutes: int = 0
    """0 where ``daily`` says when, or where it is off."""
    daily: str = ""
    """``HH:MM``, UTC."""
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])
    when: str = ""
    """``module:function`` (Kernel) -> bool: asked in each slot until it says that there is something to do. Without it
    the job is asked for in every slot."""


@dataclass(frozen=True)
class Mends:
    """Findings that a planner can mend. An empty tuple stands for all."""

    rule: str
    types: tuple[str, ...] = ()
    """Resource types."""
    paths: tuple[str, ...] = ()
    """Attributes that differ: the first word of a finding's path."""


@dataclass(frozen=True)
class Planner:
    """How drift becomes changes, and how they are applied, proven and taken back. See ``uwu.kernel.plans``.

    A planner that mends findings is asked with ``{"findings": [id, ...]}`` and what ``asks`` names.
    """

    name: str
    """Unique among all domains: ``security-group-rules``."""
    title: str
    plan: str
    """``module:function`` (Kernel, Mapping) -> Plan: what would be done, from the graph as it is. It writes nothing."""
    apply: str
    """``module:function`` (plans.Step, PlannedChange) -> plans.Done: applies one change; it may run again after a kill
    and then finds it done: it checks before it writes, or hands ``Step.token`` on."""
    observe: str
    """``module:function`` (Kernel, Sequence[urn]) -> Sequence[Problem]: observes the subjects anew: the proof.
    A problem for each that could not be observed whole."""
    undo: str = ""
    """``module:function`` (Kernel, Plan, Sequence[PlannedChange] that were done) -> Plan that takes them back."""
    mends: tuple[Mends, ...] = ()
    asks: tuple[str, ...] = ()
    """What it must be told beside the findings: ``owner``."""
    in_aws: bool = False
    """It writes to AWS, in the role of ``aws.apply_role_name``: without that role nothing of it is applied."""


class ChangeLog(Protocol):
    """Port to whoever knows who changed what."""

    def changes(
        self,
        urns: Sequence[str],
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 100,
    ) -> list[Change]:
        """The changes of ``urns``, newest first, targets and related; failed calls are left out."""
        ...

    def recent(self, *, since: datetime, limit: int = 100) -> list[Change]:
        """The latest successful writes on any resource, newest first."""
        ...

    def as_of(self) -> datetime | None:
        """Up to when events are known; None where there are none."""
        ...


@dataclass(frozen=True)
class Domain:
    """One system of the platform: its face to the kernel and the app."""

    name: str
    title: str
    summary: str = ""
    """What its commands do, in one sentence: ``uwu --help`` shows it."""
    kinds: tuple[EntityKind, ...] = ()
    types: tuple[ResourceType, ...] = ()
    more_types: str = ""
    """``module:function`` () -> Mapping[name, ResourceType]: types beside ``types``, too many to make at import: they
    are asked for when one of them is looked up."""
    compare: Mapping[str, str] = field(default_factory=dict[str, str])
    """Declaring tool's type -> ``module:function`` that is a Compare."""
    remedy: str = ""
    """``module:function`` (Declaration, Sequence[Difference]) -> str: the command that restores what its tool declares;
    no differences means that the whole resource is gone."""
    adopt: str = ""
    """``module:function`` (Resource) -> str: how an undeclared resource comes under the domain's declaring tool."""
    jobs: str = ""
    """``module:attribute`` of a tuple of Job."""
    sync: tuple[tuple[Phase, str], ...] = ()
    """(phase, job name) that ``uwu sync`` and ``uwu sync <domain>`` run, in the order of phases."""
    schedules: tuple[Schedule, ...] = ()
    """Jobs that the workers ask for by themselves."""
    rules: str = ""
    """``module:attribute`` of a tuple of Rule."""
    more_rules: str = ""
    """``module:function`` (Kernel) -> Sequence[Rule]: rules beside ``rules`` that files or the estate bring; their ids
    start with the domain's name."""
    sweep: str = ""
    """``module:function`` that is a Sweep: it judges those of ``rules`` that have no ``check``."""
    planners: tuple[Planner, ...] = ()
    """How what it finds is put right."""
    evidence: str = ""
    """``module:function`` (Kernel, Connection) -> Iterable[Evidence]."""
    changes: str = ""
    """``module:function`` (Kernel) -> ChangeLog."""
    on_changes: str = ""
    """``module:function`` (Kernel, Sequence[Change]) -> str: told of the successful writes of the last day, before they
    are recorded as taken in. It notes what it wants in tables of its own, and gives the job to ask for once they
    are recorded, or nothing. The same change may come again."""
    tables: str = ""
    """A module whose import puts the domain's tables into ``uwu.kernel.db.metadata``."""
    query_tables: str = ""
    """``module:function`` (Kernel) -> Mapping[name, kernel.query.Source]: more tables of ``uwu query``."""
    exposure: str = ""
    """``module:function`` (Kernel, Connection, urn) -> kernel.exposure.Exposure, or None for what it does not judge."""
    assumers: str = ""
    """``module:function`` (Kernel, Connection, urn) -> list of kernel.exposure.Assumer, or None for what is no role."""
    exemptable: str = ""
    """``module:function`` (Kernel) -> Iterable[str]: what an exemption may name beside the ids of rules."""
    actions: tuple[Action, ...] = ()
    """What its routes let one do, beside the actions that the platform has; the names start with the domain's."""
    routes: str = ""
    """``module:attribute``: Litestar route handlers under ``/api/v1``."""
    wire_routes: str = ""
    """``module:attribute``: Litestar route handlers at the paths that another tool's own clients ask for."""
    wire: Mapping[str, str] = field(default_factory=dict[str, str])
    """Path prefix -> ``module:function`` (Kernel) -> ASGI application: protocols that need no route of the API's kind.
    One that does not end in a slash is a path by itself. See ``uwu.kernel.wire``."""
    commands: str = ""
    """``module:attribute``: a cyclopts App of the domain's own commands, each giving an Answer."""
    health: str = ""
    """``module:function`` (Kernel) -> Sequence[SourceHealth]: how fresh its sources are."""


class Client(Protocol):
    """What a command is given to speak with the API: over the network, or in process on the embedded home.

    A command takes it as ``*, client: Annotated[Client, Parameter(parse=False)]`` and gives an Answer.
    """

    def get(self, path: str, **parameters: Any) -> Any:
        """The JSON answer of GET ``/api/v1<path>``. Raises the ``UwuError`` that the API tells."""
        ...

    def post(self, path: str, body: Any = None) -> Any:
        """The JSON answer of POST ``/api/v1<path>``."""
        ...

    def put(self, path: str, body: bytes, *, sha256: str = "") -> Any:
        """The JSON answer of PUT ``path``, which lies beside the API; ``sha256`` is the body's, in hex."""
        ...

    def lines(self, path: str) -> Iterator[Any]:
        """The JSON values of the stream GET ``/api/v1<path>``, one a line, as they come."""
        ...

    def run(self, job: str, arguments: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Asks for a job, shows its progress, and gives its result once it is done."""
        ...

    def start(self, path: str, body: Any) -> dict[str, Any]:
        """As ``run``, for another path that begins a job and answers with its id."""
        ...


@dataclass(frozen=True)
class Answer:
    """What a command gives: ``value`` for programs (``--json``), ``text`` for people."""

    value: Any
    text: str = ""
    exit_code: int = 0


@dataclass(frozen=True)
class SourceHealth:
    """One line of ``uwu status``: a source and how fresh it is."""

    name: str
    status: str
    """``fresh``, ``late``, ``failed`` or ``never``."""
    at: datetime | None
    detail: str = ""


def load(reference: str) -> Any:
    """The object that ``module:attribute`` names."""
    module, _, attribute = reference.partition(":")
    loaded = importlib.import_module(module)
    return getattr(loaded, attribute) if attribute else loaded


def installed() -> tuple[Domain, ...]:
    """Every domain that is installed, by name. A domain that does not load is an error that names it."""
    found: list[Domain] = []
    for point in sorted(entry_points(group="uwu.domains"), key=lambda p: p.name):
        try:
            domain = point.load()
        except Exception as error:  # a third party's import may raise anything; it must be named, not swallowed
            raise Misconfigured(
                f"the domain {point.name!r} ({point.value}) does not load: {error}",
                code="domain-broken",
                hint="reinstall or remove the package that provides it",
            ) from error
        if not isinstance(domain, Domain):
            raise Misconfigured(f"{point.value} is not a Domain", code="domain-broken")
        found.append(domain)
    return tuple(found)


def jobs_of(domains: Iterable[Domain]) -> dict[str, Job]:
    """Every job of ``domains`` by its name."""
    return {job.name: job for domain in domains if domain.jobs for job in load(domain.jobs)}


def rules_of(domains: Iterable[Domain]) -> list[tuple[str, Rule]]:
    """(domain name, rule) of every rule."""
    return [(domain.name, rule) for domain in domains if domain.rules for rule in load(domain.rules)]


def exemptable_of(domains: Iterable[Domain], kernel: Kernel) -> list[str]:
    """What an exemption may name beside the ids of rules."""
    return [name for domain in domains if domain.exemptable for name in load(domain.exemptable)(kernel)]


def planners_of(domains: Iterable[Domain]) -> dict[str, tuple[Planner, Domain]]:
    """Every planner by its name, and whose it is."""
    return {planner.name: (planner, domain) for domain in domains for planner in domain.planners}


def evidence_of(domains: Iterable[Domain], kernel: Kernel, connection: sa.Connection) -> Iterable[Evidence]:
    """The ownership evidence of every domain."""
    for domain in domains:
        if domain.evidence:
            yield from load(domain.evidence)(kernel, connection)


TOLD = timedelta(days=1)
"""Changes that are older are told to nobody: what is observed has seen them long since."""


def tell_changes(domains: Iterable[Domain], kernel: Kernel, changes: Sequence[Change]) -> list[str]:
    """Tells every domain that asks for it of ``changes``, and gives the jobs to ask for once they are recorded.

    One domain's error costs only itself, but that of the database is raised: then they are told again.
    """
    from sqlalchemy.exc import SQLAlchemyError

    jobs: list[str] = []
    for domain in domains:
        if not domain.on_changes or not changes:
            continue
        try:
            jobs.append(load(domain.on_changes)(kernel, changes))
        except (UwuError, SQLAlchemyError):
            raise
        except Exception:  # events must be taken in, whatever a domain makes of them
            _log.exception("the domain %s could not be told of %d changes", domain.name, len(changes))
    return [job for job in dict.fromkeys(jobs) if job]


def comparers_of(domains: Iterable[Domain]) -> dict[str, tuple[Compare, Domain]]:
    """Declaring tool's type -> how to compare it, and whose it is."""
    return {
        declared_type: (load(reference), domain)
        for domain in domains
        for declared_type, reference in domain.compare.items()
    }


def kinds_of(domains: Iterable[Domain]) -> dict[str, EntityKind]:
    """Every entity kind by its lower-case name, the kernel's own included."""
    own: tuple[EntityKind, ...] = load("uwu.kernel.kinds:KINDS")
    return {kind.kind.lower(): kind for kind in (*own, *(kind for domain in domains for kind in domain.kinds))}


def types_of(domains: Iterable[Domain]) -> dict[str, ResourceType]:
    """Every resource type by its name."""
    return {type.name: type for domain in domains for type in domain.types}


def type_of(domains: Iterable[Domain], name: str) -> ResourceType | None:
    """The resource type called ``name``; None for what no domain knows."""
    domains = tuple(domains)
    found = next((type for domain in domains for type in domain.types if type.name == name), None)
    if found is not None:
        return found
    more = (load(domain.more_types)() for domain in domains if domain.more_types)
    return next((types[name] for types in more if name in types), None)


def health_of(domains: Iterable[Domain], kernel: Kernel) -> list[SourceHealth]:
    """How fresh the sources of every domain are, and which policies of the estate no longer fit."""
    found = [health for domain in domains if domain.health for health in load(domain.health)(kernel)]
    return [*found, *load("uwu.kernel.policies:health")(kernel)]
