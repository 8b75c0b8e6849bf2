"""The policies in force: what uwu ships and what the estate declares, checked against the Cedar schema.

Policies are parsed once for each set. A policy of the estate that does not fit is refused where the estate is read, so
what was accepted before it stays in force; one that no longer fits (a newer release, a hand in the database) closes.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache, cached_property
from importlib.resources import files
from typing import TYPE_CHECKING, Any, cast

import cedarpy
import sqlalchemy as sa

from uwu.kernel import actions, codec, domain, tables
from uwu.kernel.actions import Action
from uwu.kernel.domain import EntityKind, SourceHealth
from uwu.kernel.schema import Violation

if TYPE_CHECKING:
    from uwu.kernel.identity import Principal
    from uwu.kernel.runtime import Kernel
    from uwu.kernel.sight import Visible

REFRESH_SECONDS = 1.0
"""How long a process keeps a set before it looks whether the estate has another: when a changed policy takes hold."""
SHIPPED = ("roles.cedar", "ownership.cedar", "limits.cedar")
SLICE = "Slice"
"""The type of what is read: everything of one owner in one account."""
READ = "world.read"
"""The action whose targets are slices: lists are filtered by it."""

POLICY = EntityKind(
    kind="Policy",
    api_versions=("uwu.dev/v1alpha1",),
    schema={
        "type": "object",
        "required": ["cedar", "owner"],
        "additionalProperties": False,
        "properties": {
            "cedar": {"type": "string", "minLength": 1, "maxLength": 100_000},
            "description": {"type": "string"},
            "owner": {"type": "string", "minLength": 1},
        },
    },
    references={"owner": ("group", "ownedBy", "ownerOf")},
    check="uwu.kernel.policies:check",
)
"""Policies of the estate: ``cedar`` holds any number of them, in Cedar's own language."""


@dataclass(frozen=True)
class Label:
    """Where a policy comes from."""

    name: str
    """``requester-is-not-approver``, or ``policy:default/freeze#on-fridays`` for one of the estate."""
    place: str
    """``roles.cedar:4``, or the entity's file and line."""
    effect: str
    """``permit`` or ``forbid``."""
    by_slice: bool = True
    """Whether it may judge two slices of what is read differently."""


@dataclass(frozen=True)
class Broken:
    """A policy of the estate that is in the database and does not fit."""

    ref: str
    place: str
    message: str


@dataclass(frozen=True)
class PolicySet:
    """Policies that are in force together."""

    text: str
    labels: tuple[Label, ...]
    """By position: Cedar names them policy0, policy1, ..."""
    broken: tuple[Broken, ...] = ()
    loaded_at: datetime = field(default_factory=codec.now)

    @cached_property
    def digest(self) -> str:
        """Of the text: what a cached decision is bound to."""
        return codec.digest(self.text)

    @cached_property
    def parsed(self) -> cedarpy.PolicySet:
        return cedarpy.PolicySet.from_str(self.text)

    @cached_property
    def by_slice(self) -> bool:
        """Whether what is read may depend on its owner or its account at all."""
        return any(label.by_slice for label in self.labels)

    def label(self, id: str) -> Label | None:
        """Of the policy that Cedar calls ``policy7``."""
        number = id.removeprefix("policy")
        return self.labels[int(number)] if number.isdigit() and int(number) < len(self.labels) else None


# ---- text


_PIECE = re.compile(r'"(?:\\.|[^"\\])*"|//[^\n]*|;|\n|[^\s/";]+|/|[^\S\n]+')


@dataclass(frozen=True)
class Piece:
    """The text of one policy, and the line on which it begins, from 1."""

    text: str
    line: int


def split(text: str) -> Iterator[Piece]:
    """The policies of ``text`` one by one: each ends at a semicolon that is in no string and no comment."""
    line = start = 1
    held: list[str] = []
    begun = False
    for match in _PIECE.finditer(text):
        part = match.group()
        if not begun and not part.isspace() and not part.startswith("//"):
            begun, start, held = True, line, []
        held.append(part)
        line += part.count("\n")
        if part == ";":
            yield Piece("".join(held), start)
            held, begun = [], False
    if begun:
        yield Piece("".join(held), start)


@cache
def schema_text(known: tuple[Action, ...] = actions.ACTIONS) -> str:
    """The Cedar schema, with every action and its group."""
    base = (files("uwu.kernel") / "cedar" / "uwu.cedarschema").read_text("utf-8")
    every = ", ".join(sorted(types() - {SLICE}))
    lines = [base, "action " + ", ".join(f'"{group}"' for group in actions.GROUPS) + ";"]
    for action in known:
        on = "Platform, Slice" if action.name == READ else every
        who = "principal: [User, Service, Anonymous]"
        lines.append(
            f'action "{action.name}" in ["{action.group}"] appliesTo {{ {who}, resource: [{on}], context: Context }};'
        )
    return "\n".join(lines) + "\n"


@cache
def schema(known: tuple[Action, ...] = actions.ACTIONS) -> cedarpy.Schema:
    """The Cedar schema, parsed once."""
    return cedarpy.Schema.from_str(schema_text(known))


@cache
def types() -> frozenset[str]:
    """What a target may be."""
    text = (files("uwu.kernel") / "cedar" / "uwu.cedarschema").read_text("utf-8")
    names = re.findall(r"^entity ([\w, ]+?)(?: = \{|;)", text, re.MULTILINE)
    return frozenset(name.strip() for some in names for name in some.split(",")) - {"Role", "Group"}


_validate = cast("Callable[[str, cedarpy.Schema], cedarpy.ValidationResult]", getattr(cedarpy, "validate_policies"))  # noqa: B009 - its stub is untyped in part


def check(spec: Mapping[str, Any]) -> Iterator[Violation]:
    """Yields what is wrong with the policies of a ``Policy`` entity, each with its line."""
    known = tuple(actions.known(domain.installed()).values())
    yield from check_text(str(spec["cedar"]), known)


def check_text(text: str, known: tuple[Action, ...] = actions.ACTIONS) -> Iterator[Violation]:
    """Yields what is wrong with the policies of ``text``: its syntax, what it speaks of, names given twice."""
    seen: dict[str, int] = {}
    pieces = list(split(text))
    if not pieces:
        yield Violation(("cedar",), "there is no policy in it", "write permit (...); or forbid (...);")
    for piece in pieces:
        try:
            facts = _facts(piece.text)
        except ValueError as error:
            hint = "Cedar's language: https://docs.cedarpolicy.com; each policy ends with a semicolon"
            yield Violation(("cedar",), f"this is no Cedar policy: {error}", hint, piece.line)
            continue
        if facts is None:
            yield Violation(("cedar",), "a policy with ?principal or ?resource is a template", "name them", piece.line)
            continue
        name = _name(facts, 0)
        if name in seen:
            yield Violation(("cedar",), f"two policies are called @id({name!r})", f"see line {seen[name]}", piece.line)
        if facts.get("annotations", {}).get("id"):
            seen[name] = piece.line
        found = _validate(piece.text, schema(known))
        told = list(dict.fromkeys(e.error.removeprefix("for policy `policy0`, ") for e in found.errors))
        if told:
            hint = "docs/authorization.md lists what a policy may speak of; a read is of the Platform or of a Slice"
            yield Violation(("cedar",), f"the policy does not fit: {'; '.join(told)}", hint, piece.line)


def _facts(text: str) -> dict[str, Any] | None:
    """One policy as plain values; None for a template. Raises ``ValueError`` where it is none."""
    whole = cast("dict[str, Any]", codec.decode(cedarpy.policies_to_json_str(text)))
    static = list(whole["staticPolicies"].values())
    return static[0] if len(static) == 1 else None


def _name(facts: Mapping[str, Any], number: int) -> str:
    return str(facts.get("annotations", {}).get("id") or number)


def _reads_by_slice(facts: Mapping[str, Any]) -> bool:
    """Whether ``facts`` may judge one slice otherwise than another when something is read."""
    action = facts["action"]
    named = [action["entity"]] if "entity" in action else action.get("entities", [])
    if named and not {READ, "read"} & {str(one["id"]) for one in named}:
        return False
    scope = facts["resource"]
    if scope["op"] == "is" and scope.get("entity_type") != "Slice" and "in" not in scope:
        return False
    return scope["op"] not in {"All", "is"} or "in" in scope or '{"Var":"resource"}' in _json(facts["conditions"])


def _json(value: Any) -> str:
    return codec.encode(value).decode()


# ---- sets


@cache
def shipped() -> PolicySet:
    """The policies that uwu ships."""
    folder = files("uwu.kernel") / "cedar"
    return assemble(("", name, 0, (folder / name).read_text("utf-8")) for name in SHIPPED)


NOTHING = PolicySet("", ())
"""Permits nothing."""


def assemble(sources: Iterable[tuple[str, str, int, str]], *, broken: Sequence[Broken] = ()) -> PolicySet:
    """A set of ``(entity reference or "", file, line before the text, text)``. Raises ``ValueError`` for no Cedar."""
    texts: list[str] = []
    labels: list[Label] = []
    for ref, file, line, text in sources:
        for number, piece in enumerate(split(text), 1):
            facts = _facts(piece.text)
            if facts is None:
                raise ValueError("it is a template")
            name = f"{ref}#{_name(facts, number)}" if ref else _name(facts, number)
            place = f"{file}:{line + piece.line}" if not ref else f"{file}:{line}"
            labels.append(Label(name, place, str(facts["effect"]), _reads_by_slice(facts)))
            texts.append(piece.text)
    return PolicySet("\n".join(texts), tuple(labels), tuple(broken))


_CLOSED = """@id("closed") forbid (principal, action, resource) unless {{ principal in Role::"admin" }};"""


def with_estate(
    rows: Iterable[tuple[str, str, int, str]],
    known: tuple[Action, ...] = actions.ACTIONS,
    base: PolicySet | None = None,
) -> PolicySet:
    """What is shipped and ``rows`` (reference, file, line, cedar) of the estate together.

    What no longer fits the schema stays in force as it is written, and what is no Cedar at all and may forbid something
    forbids everything to all but admins: nothing opens because a policy broke. Either is told in ``broken``.
    """
    base = shipped() if base is None else base
    texts, labels, broken = [base.text], list(base.labels), list[Broken]()
    for ref, file, line, text in rows:
        wrong = [found.message for found in check_text(text, known)]
        if wrong:
            broken.append(Broken(ref, f"{file}:{line}", "; ".join(wrong)))
        try:
            part = assemble([(ref, file, line, text)])
        except ValueError:
            if "forbid" not in text:
                continue
            part = assemble([(ref, file, line, _CLOSED.replace("{{", "{").replace("}}", "}"))])
        texts.append(part.text)
        labels += part.labels
    return PolicySet("\n".join(texts), tuple(labels), tuple(broken))


@dataclass
class Kept:
    """What is kept of one home for a while: the slices that there are, and what who sees of them."""

    slices: tuple[float, frozenset[tuple[str, str]]] = (0.0, frozenset())
    seen: dict[tuple[Principal, str], tuple[float, Visible]] = field(
        default_factory=dict["tuple[Principal, str]", "tuple[float, Visible]"]
    )


class Policies:
    """The set in force of one home: looked up anew every second or so, parsed only where it has changed."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._lock = threading.Lock()
        self._held: PolicySet | None = None
        self._of = ""
        self._looked = 0.0
        self.kept = Kept()
        """What was decided of what may be seen."""
        self.fixed: PolicySet | None = None
        """Where it is set, this set and no other: for trying one out."""

    def current(self) -> PolicySet:
        """The set in force. Where the database does not answer, the last one known; raises where there is none."""
        if self.fixed is not None:
            return self.fixed
        held = self._held
        if held is not None and time.monotonic() - self._looked < REFRESH_SECONDS:
            return held
        if not self._lock.acquire(blocking=held is None):
            assert held is not None
            return held  # another thread looks already
        try:
            return self._look(held)
        finally:
            self._lock.release()

    @property
    def due(self) -> bool:
        """Whether the next look asks the database: not on an event loop."""
        stale = self._held is None or time.monotonic() - self._looked >= REFRESH_SECONDS
        return self.fixed is None and stale

    def refresh(self) -> PolicySet:
        """The set in force, looked up now."""
        with self._lock:
            return self._look(self._held)

    def _look(self, held: PolicySet | None) -> PolicySet:
        from uwu.kernel import sight

        try:
            # whoever looks: policies are the platform's, and sight itself asks for them
            with sight.everything():
                rows = list(self._rows())
        except Exception:
            if held is None:
                raise
            self._looked = time.monotonic()
            return held
        of = codec.digest(rows)
        if held is None or of != self._of:
            known = tuple(actions.known(self._kernel.domains).values())
            held = with_estate(rows, known)
            self._held, self._of = held, of
        self._looked = time.monotonic()
        return held

    def _rows(self) -> Iterator[tuple[str, str, int, str]]:
        e = tables.entities
        query = sa.select(e.c.ref, e.c.file, e.c.line, e.c.spec).where(e.c.kind == POLICY.kind, e.c.orphan.is_(False))
        with self._kernel.db.read() as connection:
            for row in connection.execute(query.order_by(e.c.ref)):
                yield row.ref, row.file, row.line, str(row.spec.get("cedar", ""))


def health(kernel: Kernel) -> Sequence[SourceHealth]:
    """A line for each policy of the estate that is kept and does not fit; nothing while all do."""
    held = kernel.policies.current()
    return [SourceHealth(b.ref, "failed", held.loaded_at, f"{b.place}: {b.message}") for b in held.broken]
