"""Reads one shard of AWS by its specs: pure observation, nothing is written here."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from botocore.exceptions import ClientError

from uwu.domains.inventory import ledger_actions, ledger_cost
from uwu.domains.inventory.catalog import places
from uwu.domains.inventory.model import ITS_ACCOUNT, SOURCE, Batch, Each, Item, Join, Scope, Spec, find
from uwu.kernel import aws_errors, codec, urns
from uwu.kernel.aws import Aws, Failure
from uwu.kernel.aws_calls import Caller, Meter
from uwu.kernel.model import Cell, CellStatus, Outcome, Relation, Resource
from uwu.kernel.sensitive import fingerprint

REFUSALS = 3
"""Denials of one operation in a row, after which the rest of the cell is not asked: more would only cost calls."""

_VANISHED = ("NotFound", "NoSuch", "NonExistent", "DoesNotExist")
"""Parts of the codes that say: deleted between its listing and the next call."""

_WHOLE_SHARD = frozenset({aws_errors.REGION_OFF, aws_errors.NETWORK, aws_errors.CREDENTIALS, "assume-role-denied"})
"""Codes that every other call of the shard would get too."""

_UNREACHED = frozenset({aws_errors.REGION_OFF, aws_errors.NETWORK})

_UNORDERED = frozenset(
    {
        "AttachedManagedPolicies",
        "GroupList",
        "Groups",
        "InUseBy",
        "InstanceProfileList",
        "IpPermissions",
        "IpPermissionsEgress",
        "IpRanges",
        "Ipv6Ranges",
        "LoadBalancerArns",
        "PrefixListIds",
        "RolePolicyList",
        "SecurityGroups",
        "TargetHealthDescriptions",
        "UserIdGroupPairs",
        "UserPolicyList",
        "VpcSecurityGroups",
    }
)
"""Lists that are sets: AWS gives them in any order, which must not make a version."""


@dataclass(frozen=True)
class Observation:
    """One cell as it was seen."""

    outcome: Outcome
    resources: tuple[Resource, ...] = ()
    relations: tuple[Relation, ...] = ()
    partial: frozenset[str] = frozenset()
    """Urns of resources that lack what a further call would have told."""


@dataclass
class Reader:
    """The calls of one service in one account and region, and what they cost so far. For one thread."""

    aws: Aws
    scope: Scope
    service: str
    shared: frozenset[str] | None = None
    """Lists that several types stand on: they are asked once and kept. None keeps all."""
    meter: Meter = field(default_factory=Meter)
    cost: float = 0.0
    """US dollars at list price."""
    lacking: str = ""
    """The IAM action that was denied last."""
    _held: dict[str, list[Any] | Exception] = field(default_factory=dict)
    _callers: dict[str, Caller] = field(default_factory=dict)

    def items(self, operation: str, path: str, arguments: Mapping[str, Any]) -> list[Item]:
        """The items at ``path`` of all pages of ``operation``. Raises what the call raised, each time alike."""
        if ITS_ACCOUNT in arguments.values():
            arguments = {n: self.scope.account if v == ITS_ACCOUNT else v for n, v in arguments.items()}
        if self.shared is not None and operation not in self.shared:
            return [item for page in self._pages(operation, arguments) for item in find(path, page) or ()]
        key = f"{operation} {codec.canonical(arguments).decode()}"
        if key not in self._held:
            try:
                self._held[key] = list(self._pages(operation, arguments))
            except Exception as error:
                self._held[key] = error
        held = self._held[key]
        if isinstance(held, Exception):
            raise held
        return [item for page in held for item in find(path, page) or ()]

    def _pages(self, operation: str, arguments: Mapping[str, Any]) -> Iterator[Any]:
        price = ledger_cost.price(self.service, operation)
        for page in self._caller(self.scope.region).pages(operation, arguments):
            self.cost += price
            yield page

    def call(self, operation: str, arguments: Mapping[str, Any], region: str = "") -> Any:
        """The answer of one call."""
        self.cost += ledger_cost.price(self.service, operation)
        return self._caller(region or self.scope.region).call(operation, arguments)

    def _caller(self, region: str) -> Caller:
        found = self._callers.get(region)
        if found is None:
            found = self._callers[region] = self.aws.caller(self.service, self.scope.account, region, self.meter)
        return found

    def failure(self, error: Exception) -> Failure:
        """What ``error`` means for the cell; notes the action that it lacks."""
        failure = self.aws.classify(error, self.scope.region)
        if failure.code in _UNREACHED and places.missing(self.service, self.scope.region):
            text = f"{self.service} is not offered in {self.scope.region}"
            return Failure(CellStatus.UNSUPPORTED, aws_errors.NOT_OFFERED, text)
        if failure.status is CellStatus.DENIED and isinstance(error, ClientError):
            message = str(error.response.get("Error", {}).get("Message", ""))
            self.lacking = ledger_actions.lacking(self.service, str(error.operation_name), message)
        return failure


def each(aws: Aws, scope: Scope, service: str, specs: Iterable[Spec]) -> Iterator[Observation]:
    """The cells of a service in one account and region, one after another as they are read.

    One cell's failure costs only that cell, unless every further call would fail alike.
    """
    specs = list(specs)
    reader = Reader(aws, scope, service, _shared(specs))
    stopped: Failure | None = None
    for spec in specs:
        if stopped is not None:
            yield failed(scope, spec.name, stopped)
            continue
        observation = observe_type(reader, spec)
        if observation.outcome.code in _WHOLE_SHARD:
            outcome = observation.outcome
            stopped = Failure(outcome.status, outcome.code, outcome.message)
        yield observation


def observe(aws: Aws, scope: Scope, service: str, specs: Iterable[Spec]) -> list[Observation]:
    """All that ``each`` gives."""
    return list(each(aws, scope, service, specs))


def lists_of(spec: Spec) -> set[str]:
    """The lists that ``spec`` stands on."""
    joined = {extra.operation for extra in spec.extras if isinstance(extra, Join)}
    return {spec.operation, *joined} | ({spec.under.operation} if spec.under is not None else set())


def _shared(specs: Iterable[Spec]) -> frozenset[str]:
    """The lists that are asked for more than once."""
    asked = Counter(operation for spec in specs for operation in lists_of(spec))
    return frozenset(operation for operation, times in asked.items() if times > 1)


def failed(scope: Scope, type: str, failure: Failure) -> Observation:
    """A cell of which nothing is known but why."""
    return Observation(
        Outcome(
            cell=Cell(source=SOURCE, account=scope.account, region=scope.region, type=type),
            status=failure.status,
            observed_at=codec.now(),
            code=failure.code,
            message=failure.message,
        )
    )


def observe_type(reader: Reader, spec: Spec) -> Observation:
    """One cell. An error of AWS ends in its outcome; nothing is raised for what AWS says."""
    scope, at, began = reader.scope, codec.now(), time.perf_counter()
    before, cost, reader.lacking = msgspec.structs.replace(reader.meter), reader.cost, ""
    failure: Failure | None = None
    items: list[Item] = []
    try:
        items = _listed(reader, spec)
        for extra in spec.extras:
            failure = _add(reader, extra, items) or failure
    except Exception as error:
        failure = reader.failure(error)
        items = []
    resources: list[Resource] = []
    relations: list[Relation] = []
    partial: set[str] = set()
    for item in items:
        resource = _resource(scope, spec, item)
        resources.append(resource)
        relations.extend(_relations(scope, spec, resource, item))
        if item.get("_partial"):
            partial.add(resource.urn)
    outcome = Outcome(
        cell=Cell(source=SOURCE, account=scope.account, region=scope.region, type=spec.name),
        status=failure.status if failure is not None else CellStatus.COMPLETE,
        observed_at=at,
        calls=reader.meter.calls - before.calls,
        attempts=reader.meter.attempts - before.attempts,
        throttled=reader.meter.throttled - before.throttled,
        bytes=reader.meter.bytes - before.bytes,
        cost=reader.cost - cost,
        seconds=round(time.perf_counter() - began, 4),
        code=failure.code if failure is not None else "",
        message=failure.message if failure is not None else "",
        action=reader.lacking if failure is not None and failure.status is CellStatus.DENIED else "",
    )
    return Observation(outcome, tuple(resources), tuple(relations), frozenset(partial))


def _listed(reader: Reader, spec: Spec) -> list[Item]:
    if not spec.operation:
        found = iter([{"AccountId": reader.scope.account}])
    elif spec.under is None:
        found = (dict(item) for item in reader.items(spec.operation, spec.path, spec.arguments))
    else:
        found = _children(reader, spec)
    return [item for item in found if spec.where is None or spec.where(reader.scope, item)]


def _children(reader: Reader, spec: Spec) -> Iterable[Item]:
    under = spec.under
    assert under is not None
    for parent in reader.items(under.operation, under.path, spec.arguments):
        kept = {name: find(path, parent) for name, path in under.keep.items()}
        try:
            children = reader.items(spec.operation, spec.path, under.arguments(parent))
        except Exception as error:
            if _vanished(error):
                continue
            raise
        for child in children:
            yield {**child, **kept}


# ---- further calls


def _add(reader: Reader, extra: Each | Batch | Join, items: list[Item]) -> Failure | None:
    """Puts what ``extra`` tells into ``items``; gives the worst that stood in the way."""
    if isinstance(extra, Each):
        return _each(reader, extra, items)
    if isinstance(extra, Batch):
        return _batch(reader, extra, items)
    return _join(reader, extra, items)


def _each(reader: Reader, extra: Each, items: list[Item]) -> Failure | None:
    worst: Failure | None = None
    refusals = 0
    for item in list(items):
        if extra.when is not None and not extra.when(item):
            continue
        if refusals >= REFUSALS:
            item["_partial"] = True
            continue
        try:
            answer = reader.call(extra.operation, extra.arguments(item), _region_of(item))
            refusals = 0
        except Exception as error:
            if aws_errors.code_of(error) in extra.absent:
                continue
            if _vanished(error):
                items.remove(item)
                continue
            worst = _failure(reader, extra.operation, error)
            item["_partial"] = True
            refusals = REFUSALS if worst.status is not CellStatus.DENIED else refusals + 1
            continue
        taken = find(extra.take, answer)
        if extra.decode and isinstance(taken, str):
            taken = _document(taken)
        if extra.into:
            item[extra.into] = taken
        elif taken:
            item.update(taken)
        item.update({name: find(path, answer) for name, path in extra.beside.items()})
    return worst


def _batch(reader: Reader, extra: Batch, items: list[Item]) -> Failure | None:
    worst: Failure | None = None
    for start in range(0, len(items), extra.size):
        some = {extra.member(item): item for item in items[start : start + extra.size]}
        try:
            answer = reader.call(extra.operation, {extra.ids: list(some), **extra.arguments})
        except Exception as error:
            worst = _failure(reader, extra.operation, error)
            for item in some.values():
                item["_partial"] = True
            continue
        for told in find(extra.path, answer) or ():
            if told.get(extra.key) in some:
                taken = find(extra.take, told)
                some[told[extra.key]].update({extra.into: taken} if extra.into else taken or {})
    return worst


def _join(reader: Reader, extra: Join, items: list[Item]) -> Failure | None:
    keys = [find(extra.on, item) for item in items]
    if not any(keys):
        return None
    try:
        others = {find(extra.key, other): other for other in reader.items(extra.operation, extra.path, extra.arguments)}
    except Exception as error:
        for item in items:
            item["_partial"] = True
        return _failure(reader, extra.operation, error)
    for key, item in zip(keys, items, strict=True):
        if key in others:
            item.update({name: find(path, others[key]) for name, path in extra.members.items()})
    return None


def _failure(reader: Reader, operation: str, error: Exception) -> Failure:
    """The failure with the operation in its code: the cell's list did come, but not all that belongs to it."""
    failure = reader.failure(error)
    return msgspec.structs.replace(failure, code=f"{operation}.{failure.code}")


def _vanished(error: Exception) -> bool:
    code = aws_errors.code_of(error)
    return any(part in code for part in _VANISHED)


def _region_of(item: Item) -> str:
    """The region of a bucket, whose calls only its own region answers."""
    return _REGION_ALIASES.get(str(item.get("Region") or ""), str(item.get("Region") or ""))


_REGION_ALIASES = {"EU": "eu-west-1"}
"""What GetBucketLocation says for the oldest buckets of Ireland."""


# ---- from an item to a resource


def _resource(scope: Scope, spec: Spec, item: Item) -> Resource:
    if "Region" in item:
        item["Region"] = _region_of(item)
    tags = _tags(item.pop(spec.tags, None))
    item["_tags"], item["_tag_name"] = tags, tags.get("Name")
    urn = spec.urn(scope, item)
    return Resource(
        urn=urn,
        type=spec.name,
        account=scope.account,
        region=str(item.get("Region") or "global") if spec.everywhere else scope.region,
        # zones and records are named with the root's dot
        name=str((find(spec.label, item) if spec.label else None) or urns.short(urn)).rstrip("."),
        attributes=_attributes(spec, item),
        tags=tags,
        managed_by=_maker(scope, spec, item, tags),
    )


def _maker(scope: Scope, spec: Spec, item: Item, tags: Mapping[str, str]) -> str:
    made = spec.managed_by(scope, item) if spec.managed_by is not None else ""
    if made:
        return made
    stack = tags.get("aws:cloudformation:stack-id")
    if stack:
        return stack
    group = tags.get("aws:autoscaling:groupName")
    if group and spec.name == "aws_ec2_instance":
        return urns.own("autoscaling", "group", group, account=scope.account, region=scope.region)
    return ""


def _relations(scope: Scope, spec: Spec, resource: Resource, item: Item) -> Iterable[Relation]:
    for link in spec.links:
        found = find(link.path, {**item, **resource.attributes})
        values: Iterable[Any] = found if isinstance(found, list) else [found]
        if link.split:
            values = (part.strip() for value in values if isinstance(value, str) for part in value.split(link.split))
        for value in values:
            target = link.to(scope, value) if isinstance(value, str) else ""
            if target and target != resource.urn:
                yield Relation(source=resource.urn, kind=link.kind, target=target, evidence=link.path)
    stack = resource.tags.get("aws:cloudformation:stack-id")
    if stack:
        yield Relation(source=resource.urn, kind="partOf", target=stack, evidence="aws:cloudformation:stack-id")


def _tags(raw: Any) -> dict[str, str]:
    if isinstance(raw, dict):
        return {str(k): str(v) for k, v in sorted(raw.items())}
    pairs = ((_of(tag, _TAG_KEYS), _of(tag, _TAG_VALUES)) for tag in raw or ())
    return {str(k): str(v or "") for k, v in sorted(pairs)}


_TAG_KEYS, _TAG_VALUES = ("Key", "key", "TagKey", "tagKey"), ("Value", "value", "TagValue", "tagValue")
"""What services call the parts of a tag."""


def _of(tag: Mapping[str, Any], names: Iterable[str]) -> Any:
    return next((tag[name] for name in names if name in tag), "")


def _attributes(spec: Spec, item: Item) -> dict[str, Any]:
    """The API's own members as plain JSON: no tags, nothing that changes by itself, documents as objects."""
    kept: dict[str, Any] = {}
    for name, value in item.items():
        if value is None or name.startswith("_") or name in spec.drop:
            continue
        if name in spec.documents and isinstance(value, str):
            value = _document(value)
        if name in spec.months and isinstance(value, str):
            value = value[: len("2026-11")]
        kept[name] = _plain(value, name)
    return _hidden(kept, spec.secret) if spec.secret else kept


def _hidden(value: Any, secret: frozenset[str], *, within: bool = False) -> Any:
    """``value`` with a fingerprint for each text below a member of ``secret``."""
    if isinstance(value, dict):
        return {key: _hidden(each, secret, within=within or key in secret) for key, each in value.items()}
    if isinstance(value, list):
        return [_hidden(each, secret, within=within) for each in value]
    # what AWS hides itself it writes as stars
    return fingerprint(value) if within and isinstance(value, str) and value.strip("*") else value


def _document(text: str) -> Any:
    try:
        return codec.decode(text) if text else text
    except msgspec.DecodeError:
        return text


def _plain(value: Any, name: str = "") -> Any:
    if isinstance(value, dict):
        return {key: _plain(each, key) for key, each in value.items() if each is not None}
    if isinstance(value, list):
        plain = [_plain(each) for each in value]
        return sorted(plain, key=codec.canonical) if name in _UNORDERED else plain
    return value
