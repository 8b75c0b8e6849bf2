"""What the templates are given: plain frozen structs, so that a page needs no kernel to be drawn."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from uwu.app.console.compare import Diff


class View(msgspec.Struct, frozen=True, kw_only=True):
    """The base of every struct that a template reads."""


class Who(View, frozen=True):
    """A person (round) or a machine (square)."""

    name: str
    short: str
    """As a list shows it: a mail address without its domain."""
    person: bool
    hue: int = 0
    guess: bool = False
    href: str = ""


class Part(View, frozen=True):
    """A piece of a sentence: ``kind`` is text, link, lead or code."""

    text: str
    kind: str = "text"
    href: str = ""


class Proof(View, frozen=True):
    """Where a claim comes from."""

    icon: str
    label: str
    href: str = ""


class Said(View, frozen=True):
    """One sentence of a story with its proofs; ``command`` is what can be pasted."""

    icon: str
    parts: list[Part]
    proofs: list[Proof] = []
    command: str = ""


class Row(View, frozen=True):
    """A finding in a list."""

    id: str
    href: str
    severity: str
    title: str
    subject: str
    subject_name: str
    rule: str
    owner: str
    owner_href: str
    account: str
    account_name: str
    who: Who | None
    through: str
    opened_at: datetime
    status: str
    exempt_until: datetime | None = None
    """Where it is exempt and until when is looked up."""


class Did(View, frozen=True):
    """A change in a list."""

    id: str
    at: datetime
    who: Who
    phrase: str
    event: str
    name: str
    type: str
    href: str
    owner: str
    owner_href: str
    account_name: str
    through: str
    more: int = 0
    """Other resources that the same event touched."""
    verdict: str = ""
    """``undeclared`` where a finding names it as its cause, ``declared`` where its subject is as declared."""
    finding: str = ""


class Option(View, frozen=True):
    """One value that a filter can take."""

    label: str
    href: str
    count: int | None = None
    on: bool = False


class Filter(View, frozen=True):
    """One filter: a query parameter, the value it has, and the values it can take."""

    key: str
    label: str
    value: str = ""
    """The label of the value that is set; empty where none is."""
    clear: str = ""
    options: list[Option] = []


class Meter(View, frozen=True):
    """A line of entropy: a scope with its number, from 0 to 100."""

    label: str
    href: str
    value: float
    findings: int
    share: float
    """Of the largest in the list, 0-100: the length of its bar."""
    spark: Any = None
    """``spark.Spark``: its last thirty days; None where it has no two of them yet."""


class Source(View, frozen=True):
    """A source and how fresh it is."""

    name: str
    status: str
    at: datetime | None
    detail: str


class Syncing(View, frozen=True):
    """The run of a sync that is under way, or how the last one ended."""

    id: str
    status: str
    stage: str = ""
    done: int = 0
    total: int = 0
    started_at: datetime | None = None
    finished_at: datetime | None = None
    message: str = ""
    hint: str = ""

    @property
    def running(self) -> bool:
        return self.status in {"queued", "running"}

    @property
    def percent(self) -> int:
        return min(100, 100 * self.done // self.total) if self.total else 0


class Node(View, frozen=True):
    """A node of the inline graph."""

    name: str
    detail: str
    icon: str
    href: str
    x: int
    y: int
    me: bool = False


class Edge(View, frozen=True):
    """An edge of the inline graph: a path and its label."""

    path: str
    label: str
    x: float
    y: float


class Graph(View, frozen=True):
    """At most seven nodes: what reaches the subject at the left, what it reaches at the right."""

    nodes: list[Node]
    edges: list[Edge]
    height: int
    more: int


class Link(View, frozen=True):
    """A relation in words."""

    kind: str
    name: str
    href: str
    detail: str
    icon: str
    evidence: str


class Moment(View, frozen=True):
    """A version of a resource on its timeline. ``by`` is hand, code or empty."""

    version: int
    at: datetime
    title: str
    through: str
    who: Who | None
    by: str
    href: str
    current: bool


class Fact(View, frozen=True):
    """One line of facts."""

    label: str
    value: str
    href: str = ""
    mono: bool = False
    tone: str = ""


class Attribute(View, frozen=True):
    """An attribute as the API gives it: one line, or a block that folds."""

    name: str
    value: str
    size: str = ""
    """What a folded block holds: ``3 items``; empty for a value of one line."""


class Owner(View, frozen=True):
    """Who owns it, and on how much evidence."""

    name: str
    href: str
    agree: int
    conflicts: list[Fact]
    evidence: list[Fact]


class Subject(View, frozen=True):
    """A resource's page."""

    urn: str
    title: str
    icon: str
    type: str
    type_title: str
    account: str
    account_name: str
    account_href: str
    region: str
    region_href: str
    exists: bool
    known: str
    """How fresh it is: the last complete observation, in words."""
    stale: bool
    owner: Owner | None
    said: list[Said]
    diff: Diff | None
    findings: list[Row]
    versions: list[Moment]
    changes: list[Did]
    graph: Graph | None
    links: list[Link]
    facts: list[Fact]
    attributes: list[Attribute]
    tags: list[tuple[str, str]]
    past: Moment | None
    """The version that is looked at, where it is not the last one."""
    exposed: str
    slider: Any = None
    """``history.Slider``, where there is a history."""
    between: Any = None
    """``history.Between``, where two versions are compared."""
    compare: str = ""
    """The address that compares the last two versions."""
    exposure: Any = None
    """``ways.Way`` from the internet, where that is judged."""


class Step(View, frozen=True):
    """One identity on the way from the human to the call."""

    name: str
    detail: str
    icon: str


class Cause(View, frozen=True):
    """The event behind a finding."""

    change: Did
    facts: list[Fact]
    chain: list[Step]
    request: str


class Kept(View, frozen=True):
    """An exemption."""

    id: str
    what: str
    href: str
    until: datetime
    left: str
    """How long it holds: ``12 days``."""
    reason: str
    by: str
    pattern: str
    """What it exempts from, where that is more than one rule."""
    account: bool
    """It is of all that is in an account."""
    may_end: bool


class Days(View, frozen=True):
    """The last days that an exemption may be given, as a date field takes them."""

    first: str
    usual: str
    most: str


class FindingPage(View, frozen=True):
    """A finding's page."""

    row: Row
    path: str
    said: list[Said]
    diff: Diff | None
    cause: Cause | None
    facts: list[Fact]
    siblings: list[Row]
    closed_at: datetime | None


class Palette(View, frozen=True):
    """One line of the palette."""

    icon: str
    title: str
    detail: str
    side: str
    href: str
    severity: str = ""
    keys: tuple[str, ...] = ()
    tall: bool = False


class Declaring(View, frozen=True):
    """One version of an entity: when it began, and what it says otherwise than the one before."""

    version: int
    at: datetime
    what: str
    paths: list[str]
    place: str


class EntityPage(View, frozen=True):
    """An entity's page."""

    ref: str
    title: str
    kind: str
    icon: str
    description: str
    place: str
    orphan: bool
    facts: list[Fact]
    links: list[Link]
    owns: int
    owned: list[Any]
    findings: list[Row]
    findings_total: int
    spec: list[Attribute]
    history: list[Declaring]
    """Newest first; empty where it never changed."""
