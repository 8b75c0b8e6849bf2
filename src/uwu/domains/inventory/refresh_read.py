"""Reads one resource of AWS by itself, as a listing of its cell would have told it. Nothing is written here."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from uwu.domains.inventory import reader, refresh_calls
from uwu.domains.inventory.model import Each, Item, Join, Spec, find
from uwu.domains.inventory.reader import Reader
from uwu.domains.inventory.refresh_calls import Asked, One
from uwu.domains.inventory.refresh_touch import Extra, Touched, all_of, deletes, touched
from uwu.kernel import aws_errors, codec
from uwu.kernel.aws import Aws
from uwu.kernel.errors import UwuError
from uwu.kernel.model import CellStatus, Relation, Resource

PRESENT, GONE, UNREAD = "present", "gone", "unread"

_ITEM = "(the item)"
"""The operation of a spec that is narrowed to one resource."""

_MISSING = ("notfound", "nosuch", "nonexist", "doesnotexist", "notexist")


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """One resource as it was seen."""

    state: str
    """``present``, ``gone``, ``unread`` (no call tells) or the status of the calls: denied, throttled, failed..."""
    at: datetime
    """When its first call began."""
    calls: tuple[str, ...] = ()
    """The operations that were asked."""
    resource: Resource | None = None
    relations: tuple[Relation, ...] = ()
    code: str = ""
    message: str = ""


class TooLong(UwuError):
    """The list is too long to be read through for one resource."""

    code = "refresh-list-long"


@dataclass(frozen=True)
class Plan:
    """How one resource will be read."""

    spec: Spec
    asked: Asked
    one: One
    touched: Touched
    merged: bool
    """What is not read stays as it is known."""

    @property
    def calls(self) -> int:
        """How many calls it takes at the most, where each page of a list counts and the list is as short as it may."""
        return bool(self.one.operation) + len(self.touched.extras)


INSTEAD: Mapping[str, tuple[Extra, ...]] = {
    "aws_iam_role": (
        Each(
            "GetRole",
            lambda item: {"RoleName": item["RoleName"]},
            "Role.{Description: Description, MaxSessionDuration: MaxSessionDuration}",
        ),
    ),
}
"""Further calls that serve one resource better than those of the listing."""


def plan(spec: Spec, asked: Asked, events: Iterable[str], model: Callable[[], Any]) -> Plan | None:
    """How to read ``asked`` after ``events``; after none, the whole of it. None where no call reads one of its type."""
    if spec.name in INSTEAD:
        spec = dataclasses.replace(spec, extras=INSTEAD[spec.name])
    what = all_of(spec) if asked.known is None else touched(spec, events)
    one = refresh_calls.one(spec, asked, model)
    if asked.known is not None and not what.item:
        # of the urn's own members some may be those that are not kept as attributes
        own = one.given if one is not None and one.given is not None else {}
        anew = {extra.into for extra in what.extras if not isinstance(extra, Join)}
        item = {**own, **asked.known.attributes, spec.tags: dict(asked.known.tags)}
        given = {name: value for name, value in item.items() if name not in anew}
        return Plan(spec, asked, One(given=given), what, merged=True)
    if one is None:
        return None
    if not one.proven and deletes(events):
        one = dataclasses.replace(one, proven=True)
    return Plan(spec, asked, one, what, merged=what.extras != spec.extras)


@dataclass
class OneReader(Reader):
    """The calls of one resource. For one thread."""

    plan: Plan | None = None
    model: Callable[[], Any] = lambda: None
    operations: list[str] = field(default_factory=list)
    _values: dict[str, Item] = field(default_factory=dict)

    def items(self, operation: str, path: str, arguments: Mapping[str, Any]) -> list[Item]:
        """The one item in the place of the list; of a join's list what concerns it."""
        if operation == _ITEM:
            return self._own()
        assert self.plan is not None
        for extra in self.plan.spec.extras:
            if isinstance(extra, Join) and extra.operation == operation:
                value = find(extra.on, self._values[_ITEM])
                if isinstance(value, str):
                    names = (extra.key, extra.on)
                    arguments = refresh_calls.narrowed(self.model(), operation, arguments, names, value)
        return list(find(path, self.call(operation, arguments)) or ())

    def call(self, operation: str, arguments: Mapping[str, Any], region: str = "") -> Any:
        self.operations.append(operation)
        return super().call(operation, arguments, region)

    def _own(self) -> list[Item]:
        assert self.plan is not None
        one, spec, scope, urn = self.plan.one, self.plan.spec, self.plan.asked.scope, self.plan.asked.urn
        for item in [one.given] if one.given is not None else self._asked(one):
            if spec.where is not None and not spec.where(scope, item):
                continue
            known = self.plan.asked.known.attributes if self.plan.asked.known is not None else {}
            item = {name: value for name, value in item.items() if name not in one.without or name in known}
            item.update(one.kept(item))
            if spec.urn(scope, item) == urn and one.where(item):
                item.update(self._known())
                self._values[_ITEM] = item
                return [dict(item)]
        return []

    def _asked(self, one: One) -> Iterable[Item]:
        try:
            if one.pages == 1:
                yield from find(one.path, self.call(one.operation, one.arguments)) or ()
                return
            for number, page in enumerate(self._pages(one.operation, one.arguments), 1):
                self.operations.append(one.operation)
                yield from find(one.path, page) or ()
                if number == one.pages and _goes_on(page):
                    raise TooLong(f"{one.operation} has more than {number} pages: the next sync reads it")
        except Exception as error:
            if not missing(error):
                raise

    def _known(self) -> Item:
        """What stands as it is known: what the further calls told that are not asked again."""
        assert self.plan is not None
        known, spec = self.plan.asked.known, self.plan.spec
        if known is None or not self.plan.merged or not self.plan.touched.item:
            return {}
        kept: Item = {}
        for extra in spec.extras:
            if isinstance(extra, Join) or not extra.into or extra in self.plan.touched.extras:
                continue
            if extra.into == spec.tags:
                kept[extra.into] = dict(known.tags)
            else:
                names = (extra.into, *(extra.beside if isinstance(extra, Each) else ()))
                kept.update({name: known.attributes[name] for name in names if name in known.attributes})
        return kept


def _goes_on(page: Mapping[str, Any]) -> bool:
    """Whether a page says that another follows."""
    for name, value in page.items():
        if isinstance(value, dict) and _goes_on(value):
            return True
        if name == "IsTruncated":
            if value is True:
                return True
        elif name.lower() in {"nexttoken", "nextmarker", "paginationtoken", "position"} and value:
            return True
    return False


def missing(error: Exception) -> bool:
    """Whether ``error`` says that there is no such thing."""
    code = aws_errors.code_of(error).lower()
    return any(part in code for part in _MISSING) or (
        code == "validationerror" and "does not exist" in str(error)  # CloudFormation
    )


def read(aws: Aws, plan: Plan, model: Callable[[], Any]) -> Seen:
    """Reads one resource. Nothing is raised for what AWS says."""
    spec, asked, at = plan.spec, plan.asked, codec.now()
    narrow = dataclasses.replace(
        spec, operation=_ITEM, path="@", arguments={}, under=None, where=None, extras=plan.touched.extras
    )
    own = OneReader(aws, asked.scope, spec.service, plan=plan, model=model)
    observation = reader.observe_type(own, narrow)
    outcome, calls = observation.outcome, tuple(own.operations)
    absent = plan.one.given is not None and any(part in outcome.code.lower() for part in _MISSING)
    if outcome.status is not CellStatus.COMPLETE and not absent:
        state = UNREAD if outcome.code == TooLong.code else outcome.status.value
        return Seen(state=state, at=at, calls=calls, code=outcome.code, message=outcome.message)
    resource = observation.resources[0] if observation.resources else None
    if resource is None or _ended(plan, resource):
        if not plan.one.proven:
            why = "it was not found by an id that was guessed: the next sync tells"
            return Seen(state=UNREAD, at=at, calls=calls, code="refresh-unproven", message=why)
        return Seen(state=GONE, at=at, calls=calls)
    known = asked.known
    if known is not None and plan.merged and _private(spec, plan.touched):
        resource = msgspec.structs.replace(resource, name=known.name, managed_by=known.managed_by)
    return Seen(state=PRESENT, at=at, calls=calls, resource=resource, relations=observation.relations)


def _ended(plan: Plan, resource: Resource) -> bool:
    """Whether an item that only its urn told of was confirmed by nobody, or is no more than remembered."""
    if plan.spec.service == "ecs" and resource.attributes.get("status") == "INACTIVE":
        return True
    given = plan.one.given
    if given is None or not plan.touched.item:
        return False
    extras = [extra for extra in plan.touched.extras if not isinstance(extra, Join)]
    beside = {extra.into for extra in extras if extra.into}
    return any(not extra.into for extra in extras) and resource.attributes.keys() - beside <= given.keys()


def _private(spec: Spec, what: Touched) -> bool:
    """Whether its name or maker may stand on members that were not read this time."""
    skipped = [extra for extra in spec.extras if isinstance(extra, Join) and extra not in what.extras]
    names = [name for extra in skipped for name in extra.members]
    if spec.under is not None and not what.item:
        names += spec.under.keep
    return any(name.startswith("_") for name in names)
