"""A large world, the same at each run: written straight into an empty home, so that its size costs seconds."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

import msgspec
import sqlalchemy as sa

from uwu.kernel import codec, domain, drift, entropy, search_index, tables, urns
from uwu.kernel.runtime import Kernel

REGIONS = ("eu-west-1", "eu-central-1", "us-east-1")
RULES = ("drift.attribute", "drift.gone", "drift.undeclared", "drift.unowned")
SEVERITIES = ("critical", "high", "medium", "low")
WORDS = (
    "payments", "orders", "ledger", "search", "catalog", "checkout", "identity", "billing", "shipping", "pricing",
    "events", "reports", "gateway", "profiles", "inventory", "rewards", "fraud", "media", "mail", "metrics",
)  # fmt: skip
ROLES = ("api", "worker", "db", "cache", "queue", "ingest", "export", "edge", "batch", "admin")
STAGES = ("prod", "staging", "dev")
PEOPLE = 60
CLOSED_SHARE = 4
"""One closed finding for so many unresolved ones."""
_ROWS = 5000


class Size(msgspec.Struct, frozen=True):
    """How large the world is."""

    resources: int = 100_000
    findings: int = 20_000
    entities: int = 1000
    groups: int = 200
    accounts: int = 100
    changes: int = 60_000
    days: int = 30


class World(msgspec.Struct, frozen=True):
    """What of the world a reader asks for by name."""

    urns: list[str]
    findings: list[str]
    refs: list[str]
    names: list[str]


def account_id(number: int) -> str:
    return f"{100_000_000_000 + number * 7_919:012d}"


def group_ref(number: int) -> str:
    return f"group:default/team-{WORDS[number % len(WORDS)]}-{number:03d}"


def build(kernel: Kernel, size: Size) -> World:
    """Fills the empty home of ``kernel``; the same ``size`` gives the same names."""
    chance = random.Random(20_240)
    at = codec.now().replace(microsecond=0)
    types = [t for t in domain.types_of(kernel.domains) if t != "aws_account"]
    with kernel.db.write() as connection:
        search_index.remove(connection)  # made at the end in one go, in a third of the time
    refs = _entities(kernel, size, at)
    made = [_resource(size, types, i) for i in range(size.resources)]
    _resources(kernel, made, at, chance)
    _coverage(kernel, made, at)
    ids = _findings(kernel, size, made, at, chance)
    _changes(kernel, size, made, at, chance)
    with kernel.db.write() as connection:
        search_index.install(connection)
    entropy.record(kernel)
    if kernel.db.dialect == "postgresql":
        # what autovacuum does within minutes: until then every row that an index names is looked up
        with kernel.db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(sa.text("vacuum analyze"))
    return World([m.urn for m in made], ids, refs, [m.name for m in made])


class Made(msgspec.Struct, frozen=True):
    """A resource of the world."""

    urn: str
    type: str
    account: str
    region: str
    name: str
    owner: str
    number: int

    @property
    def cell(self) -> str:
        return f"aws/{self.account}/{self.region}/{self.type}"


def _resource(size: Size, types: Sequence[str], number: int) -> Made:
    account = account_id(number % size.accounts)
    step = number // size.accounts
    region, type = REGIONS[step % len(REGIONS)], types[(step // len(REGIONS)) % len(types)]
    word, role = WORDS[(number * 7) % len(WORDS)], ROLES[(number * 3) % len(ROLES)]
    name = f"{STAGES[number % 3]}-{word}-{role}-{number:06x}"
    service = type.removeprefix("aws_").partition("_")[0]
    owner = "" if number % 33 == 0 else group_ref((number // 5) % size.groups)
    urn = urns.arn(service, f"{type.removeprefix('aws_')}/{name}", account=account, region=region)
    return Made(urn, type, account, region, name, owner, number)


def _write(kernel: Kernel, table: sa.Table, rows: Iterable[dict[str, Any]]) -> None:
    given = iter(rows)
    while some := list(islice(given, _ROWS)):
        with kernel.db.write() as connection:
            connection.execute(table.insert(), some)


def _entities(kernel: Kernel, size: Size, at: datetime) -> list[str]:
    refs: list[str] = []

    def rows() -> Iterator[dict[str, Any]]:
        for i in range(size.entities):
            if i < size.groups:
                kind, name, spec = "Group", group_ref(i).partition("/")[2], {"type": "team", "children": []}
            elif i < size.groups + size.accounts:
                n = i - size.groups
                kind, name = "Account", f"{STAGES[n % 3]}-{WORDS[n % len(WORDS)]}-{n:03d}"
                spec = {"accountId": account_id(n), "environment": STAGES[n % 3], "owner": group_ref(n % size.groups)}
            else:
                kind = ("Component", "API", "System", "Resource")[i % 4]
                name = f"{WORDS[i % len(WORDS)]}-{ROLES[i % len(ROLES)]}-{i:04d}"
                spec = {"type": "service", "lifecycle": "production", "owner": group_ref(i % size.groups)}
            ref = f"{kind}:default/{name}".lower()
            refs.append(ref)
            told = {"name": name, "description": f"The {name.replace('-', ' ')} of the company.", "tags": ["python"]}
            yield {
                "ref": ref,
                "kind": kind,
                "namespace": "default",
                "name": name,
                "api_version": "backstage.io/v1alpha1",
                "metadata": told,
                "spec": spec,
                "file": f"estate/{kind.lower()}s.yaml",
                "line": i + 1,
                "origin": "file:estate",
                "hash": str(i),
                "orphan": False,
                "first_seen": at - timedelta(days=90),
                "last_seen": at,
            }

    _write(kernel, tables.entities, rows())
    _write(
        kernel,
        tables.relations,
        (
            _relation(ref, "ownedBy", group_ref(i % size.groups), "estate/file:estate", at)
            for i, ref in enumerate(refs)
            if i >= size.groups
        ),
    )
    return refs


def _relation(source: str, kind: str, target: str, cell: str, at: datetime) -> dict[str, Any]:
    return {
        "source": source,
        "kind": kind,
        "target": target,
        "valid_from": at - timedelta(days=20),
        "valid_to": None,
        "cell": cell,
        "evidence": "spec",
    }


def _attributes(made: Made, state: str) -> dict[str, Any]:
    return {
        "Name": made.name,
        "State": state,
        "VpcId": f"vpc-{made.number % 977:08x}",
        "SubnetId": f"subnet-{made.number % 4099:08x}",
        "Encrypted": made.number % 5 != 0,
        "CreateTime": "2024-03-01T10:00:00Z",
        "SecurityGroups": [{"GroupId": f"sg-{made.number % 997:08x}", "GroupName": "default"}],
        "Policy": {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:Get*", "Resource": "*"}]},
        "Settings": {f"Key{i}": f"value {i} of {made.name}" for i in range(6)},
    }


def _resources(kernel: Kernel, made: Sequence[Made], at: datetime, chance: random.Random) -> None:
    def tags(one: Made) -> dict[str, str]:
        return {"Name": one.name, "team": one.owner.partition("/")[2], "env": STAGES[one.number % 3]}

    def facts(one: Made, version: int, state: str) -> dict[str, Any]:
        return {
            "urn": one.urn,
            "cell": one.cell,
            "type": one.type,
            "account": one.account,
            "region": one.region,
            "name": one.name,
            "attributes": _attributes(one, state),
            "tags": tags(one),
            "managed_by": "aws" if one.number % 50 == 1 else "",
            "hash": f"{one.number}.{version}",
            "version": version,
        }

    def born(one: Made) -> datetime:
        return at - timedelta(days=20, minutes=one.number % 1440)

    changed = {one.number: at - timedelta(minutes=chance.randrange(60, 20_000)) for one in made[::10]}
    _write(
        kernel,
        tables.ownership,
        (
            {
                "subject": one.urn,
                "owner": one.owner,
                "strength": "tag" if one.owner else "",
                "evidence": [{"subject": one.urn, "owner": one.owner, "kind": "tag", "source": "tag team"}]
                if one.owner
                else [],
                "conflicts": [],
                "settled_at": at,
            }
            for one in made
        ),
    )
    _write(
        kernel,
        tables.resources,
        (
            {
                **facts(one, 2 if one.number in changed else 1, "on"),
                "first_seen": born(one),
                "changed_at": changed.get(one.number, born(one)),
            }
            for one in made
        ),
    )

    _write(
        kernel,
        tables.past_versions,
        (
            {
                **facts(one, 1, "off"),
                "valid_from": born(one),
                "valid_to": changed[one.number],
                "first_seen": born(one),
                "ended": "changed",
            }
            for one in made
            if one.number in changed
        ),
    )
    _write(
        kernel,
        tables.relations,
        (
            _relation(one.urn, kind, made[other % len(made)].urn, one.cell, at)
            for one in made
            for kind, other in (("uses", one.number * 31 + 7), ("runs_in", one.number % 500))
            if made[other % len(made)].urn != one.urn
        ),
    )
    _write(
        kernel,
        tables.declarations,
        (
            {
                "id": f"stack:default/{WORDS[one.number % len(WORDS)]}#{one.type}.r{one.number}",
                "source": f"stack:default/{WORDS[one.number % len(WORDS)]}",
                "address": f"{one.type}.r{one.number}",
                "place": "terraform.tfstate#12",
                "urn": one.urn,
                "type": one.type,
                "declared_type": one.type,
                "attributes": _attributes(one, "on"),
                "tags": tags(one),
                "hash": str(one.number),
                "declared_at": at,
            }
            for one in made
            if one.number % 5 < 3
        ),
    )


def _coverage(kernel: Kernel, made: Sequence[Made], at: datetime) -> None:
    held: dict[str, tuple[Made, int]] = {}
    for one in made:
        held[one.cell] = (one, held.get(one.cell, (one, 0))[1] + 1)

    def rows() -> Iterator[dict[str, Any]]:
        for i, (cell, (one, count)) in enumerate(sorted(held.items())):
            status = {0: "denied", 1: "throttled", 2: "stale"}.get(i % 60, "complete")
            yield {
                "cell": cell,
                "source": "aws",
                "account": one.account,
                "region": one.region,
                "type": one.type,
                "status": status,
                "observed_at": at - timedelta(minutes=10),
                "complete_at": at - timedelta(minutes=10 if status == "complete" else 900),
                "resources": count,
                "calls": 3,
                "seconds": 0.4,
                "code": "" if status == "complete" else status,
                "message": "" if status == "complete" else "the call was refused",
            }

    _write(kernel, tables.coverage, rows())


def _person(number: int) -> str:
    return f"person-{number % PEOPLE:02d}@example.com"


def _findings(kernel: Kernel, size: Size, made: Sequence[Made], at: datetime, chance: random.Random) -> list[str]:
    ids: list[str] = []

    def rows() -> Iterator[dict[str, Any]]:
        for i in range(size.findings + size.findings // CLOSED_SHARE):
            one = made[(i * 37) % len(made)]
            rule, path = RULES[i % 4], f"Settings.Key{i % 6}" if i % 4 == 0 else ""
            closed = i >= size.findings
            opened = at - timedelta(minutes=chance.randrange(5, 60_000))
            id = drift.finding_id(rule, one.urn, f"{path}{i}")
            if not closed:
                ids.append(id)
            cause = _cause(one, i, opened) if i % 5 < 3 else None
            yield {
                "id": id,
                "rule": rule,
                "subject": one.urn,
                "path": path,
                "domain": "drift",
                "severity": SEVERITIES[min(chance.randrange(0, 12) // 3 + (i % 7 != 0), 3)],
                "title": f"{one.name} is not as declared" if path else f"{one.name}: {rule.partition('.')[2]}",
                "status": "closed" if closed else "stale" if i % 25 == 0 else "open",
                "type": one.type,
                "account": one.account,
                "region": one.region,
                "owner": one.owner,
                "declared": {"value": f"value {i % 6}"} if path else None,
                "observed": {"value": f"another value of {one.name}"} if path else None,
                "place": "terraform.tfstate#12",
                "cell": one.cell,
                "cause": cause,
                "actor": cause["actor"]["name"] if cause else "",
                "remedy": f"terraform apply -target={one.type}.r{one.number}",
                "opened_at": opened,
                "last_seen": at,
                "closed_at": at if closed else None,
            }

    _write(kernel, tables.findings, rows())
    return ids


def _cause(one: Made, number: int, opened: datetime) -> dict[str, Any]:
    return {
        "event_id": f"event-{number:08x}",
        "at": codec.iso(opened),
        "name": "ModifyAttribute",
        "source": f"{one.urn.split(':')[2]}.amazonaws.com",
        "account": one.account,
        "region": one.region,
        "urn": one.urn,
        "role": "target",
        "actor": {
            "kind": "human",
            "name": _person(number),
            "confidence": "certain",
            "how": "session name",
            "principal": f"arn:aws:sts::{one.account}:assumed-role/Admin/{_person(number)}",
            "chain": [],
        },
        "through": "AWS console",
        "request": {"attribute": "Settings", "value": "another value"},
        "error": "",
        "place": "s3://trail/AWSLogs/1.json.gz",
    }


def _changes(kernel: Kernel, size: Size, made: Sequence[Made], at: datetime, chance: random.Random) -> None:
    """Successful writes of the last days, one in five by a person, written into the lake a batch for some days."""
    import pyarrow as pa

    from uwu.domains.trail import store
    from uwu.kernel.lake import Batches

    specs = (store.EVENTS, store.EVENT_RESOURCES)
    for spec in specs:
        kernel.lake.ensure(spec)
    batches = Batches(kernel.db, kernel.lake, store.STREAM, tables=specs, holder="bench")
    a_day = size.changes // size.days
    span = 3
    read: dict[str, Callable[[tuple[int, datetime, Made]], Any]] = {
        "event_time": lambda v: v[1],
        "event_id": lambda v: f"event-{v[0]:08x}",
        "event_source": lambda v: f"{v[2].urn.split(':')[2]}.amazonaws.com",
        "event_name": lambda v: ("ModifyAttribute", "CreateTags", "UpdateService")[v[0] % 3],
        "account": lambda v: v[2].account,
        "region": lambda v: v[2].region,
        "actor_kind": lambda v: "human" if v[0] % 5 == 0 else "machine",
        "actor": lambda v: _person(v[0]) if v[0] % 5 == 0 else f"ci-{v[0] % 20}",
        "actor_confidence": lambda _: "certain",
        "actor_how": lambda _: "session name",
        "actor_chain": lambda _: "[]",
        "principal": lambda v: f"arn:aws:sts::{v[2].account}:assumed-role/Deploy/{v[0] % 60}",
        "through": lambda v: "AWS console" if v[0] % 5 == 0 else "Terraform",
        "request_parameters": lambda _: '{"attribute":"Settings"}',
        "object": lambda _: "s3://trail/AWSLogs/1.json.gz",
    }
    of_resources: dict[str, Callable[[tuple[int, datetime, Made]], Any]] = {
        "urn": lambda v: v[2].urn,
        "role": lambda _: "target",
        "step": lambda _: "arn",
    }
    of_events: dict[str, Callable[[tuple[int, datetime, Made]], Any]] = {
        "read_only": lambda _: False,
        "error_code": lambda _: "",
        "targets": lambda v: codec.encode([v[2].urn]).decode(),
    }

    def table(rows: Sequence[tuple[int, datetime, Made]], more: dict[str, Callable[[Any], Any]]) -> Any:
        return pa.table(
            {
                name: pa.array([ask(v) for v in rows], pa.timestamp("us", "UTC") if name == "event_time" else None)
                for name, ask in {**read, **more}.items()
            }
        )

    for first in range(size.days, 0, -span):
        begin = at - timedelta(days=first)
        rows = sorted(
            (
                (
                    first * a_day + i,
                    begin + timedelta(seconds=chance.randrange(0, min(span, first) * 86_400 - 60)),
                    made[chance.randrange(len(made))],
                )
                for i in range(a_day * min(span, first))
            ),
            key=lambda v: v[1],
        )
        batch = batches.claim([f"bench/{first}"])
        if batch is None:
            continue
        detail = {"since": codec.iso(rows[0][1]), "until": codec.iso(rows[-1][1])}
        held = {store.EVENTS.name: table(rows, of_events), store.EVENT_RESOURCES.name: table(rows, of_resources)}
        batches.write(batch, held, detail=detail)
    batches.commit()
