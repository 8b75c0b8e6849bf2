"""What is known of the world where exposure is asked: resources by place, and how fresh and whole each cell is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from uwu.domains.inventory.exposure_net import PrefixList
from uwu.domains.inventory.model import SOURCE
from uwu.kernel import sight, tables, urns
from uwu.kernel.exposure import Answer, Lack, Step
from uwu.kernel.model import CellStatus

_IN = 500

ROUTES, ACLS, GROUPS, LISTS = (
    "aws_vpc_route_table",
    "aws_vpc_network_acl",
    "aws_vpc_security_group",
    "aws_ec2_managed_prefix_list",
)
SUBNETS, BLOCKS, EXCLUSIONS = (
    "aws_vpc_subnet",
    "aws_vpc_block_public_access_options",
    "aws_vpc_block_public_access_exclusion",
)
TARGET_GROUPS, LISTENERS, CLASSIC = (
    "aws_ec2_target_group",
    "aws_ec2_load_balancer_listener",
    "aws_ec2_classic_load_balancer",
)
BALANCERS = ("aws_ec2_application_load_balancer", "aws_ec2_network_load_balancer")


class Thing(msgspec.Struct, frozen=True):
    """An observed resource, as far as exposure looks at it."""

    urn: str
    type: str
    account: str
    region: str
    cell: str
    attributes: dict[str, Any]


class Known(msgspec.Struct, frozen=True):
    """How well a cell is known."""

    cell: str
    status: str
    complete_at: datetime | None

    @property
    def complete(self) -> bool:
        return self.status == CellStatus.COMPLETE.value


class Facts:
    """Resources and cells, read as they are asked for and kept. ``few`` reads the many-fold types one by one.

    For one question, or one sweep over many resources; for one thread.
    """

    def __init__(self, connection: sa.Connection, *, few: bool) -> None:
        self._connection, self._few = connection, few
        self._cells: dict[tuple[str, str], dict[str, Known]] = {}
        self._whole: dict[tuple[str, str, str], list[Thing]] = {}
        self._single: dict[str, Thing | None] = {}
        self._indexes: dict[tuple[str, str, str], dict[str, list[Thing]]] = {}
        self._homes: dict[tuple[str, str], str] = {}
        self._pointing: dict[tuple[str, str], list[Thing]] = {}
        self.memo: dict[Any, Any] = {}
        self.partly_hidden = not sight.current().all
        """What is not there may be hidden: then nothing is proven."""

    # ---- cells

    def known(self, account: str, region: str, type: str) -> Known:
        """How well the cell of ``type`` is known there. Of settings and global types the region does not matter."""
        cells = self._cells.get((account, region))
        if cells is None:
            c = tables.coverage
            query = sa.select(c.c.type, c.c.cell, c.c.status, c.c.complete_at).where(
                c.c.source == SOURCE, c.c.account == account, c.c.region == region
            )
            cells = {row[0]: Known(row[1], row[2], row[3]) for row in self._connection.execute(query)}
            self._cells[account, region] = cells
        return cells.get(type) or Known("", "never", None)

    def cell(self, thing: Thing) -> Known:
        """The cell of ``thing``: of what is observed once an account it is in the home region."""
        region, _, type = thing.cell.partition(f"/{thing.account}/")[2].partition("/")
        return self.known(thing.account, region or thing.region, type or thing.type)

    def lack(self, account: str, region: str, type: str, why: str) -> Lack | None:
        """What is missing for a proof from the absence of something of ``type`` there; None where nothing is."""
        known = self.known(account, region, type)
        if self.partly_hidden:
            return Lack(cell="", status="hidden", why=f"{why}: the policies hide a part of the graph from you")
        if known.complete:
            return None
        cell = known.cell or f"{SOURCE}/{account}/{region}/{type}"
        return Lack(cell=cell, status=known.status, why=why)

    def step(self, thing: Thing, says: str, evidence: str, holds: Answer = "yes") -> Step:
        """A step that stands on ``thing``."""
        known = self.cell(thing)
        return Step(
            urn=thing.urn,
            type=thing.type,
            says=says,
            evidence=evidence,
            holds=holds,
            cell=known.cell or thing.cell,
            status=known.status,
            observed_at=known.complete_at,
        )

    # ---- resources

    def all_of(self, type: str, account: str, region: str) -> list[Thing]:
        """Every resource of ``type`` there, by urn."""
        key = type, account, region
        if key not in self._whole:
            r = tables.resources
            where = [r.c.type == type, r.c.account == account]
            if region:
                where.append(r.c.region == region)
            found = self._things(sa.select(*_COLUMNS).where(*where).order_by(r.c.urn))
            self._whole[key] = found
        return self._whole[key]

    def by(self, type: str, account: str, region: str, member: str) -> dict[str, list[Thing]]:
        """The resources of ``type`` there by the value of an attribute."""
        key = type, f"{account}/{region}", member
        if key not in self._indexes:
            index: dict[str, list[Thing]] = {}
            for thing in self.all_of(type, account, region):
                index.setdefault(str(thing.attributes.get(member) or ""), []).append(thing)
            self._indexes[key] = index
        return self._indexes[key]

    def some(self, ids: Iterable[str]) -> dict[str, Thing]:
        """Resources by urn; those that are not observed are left out."""
        wanted = sorted(set(ids))
        missing = [urn for urn in wanted if urn not in self._single]
        for start in range(0, len(missing), _IN):
            part = missing[start : start + _IN]
            found = self._things(sa.select(*_COLUMNS).where(tables.resources.c.urn.in_(part)))
            self._single.update(dict.fromkeys(part))
            self._single.update((thing.urn, thing) for thing in found)
        return {urn: thing for urn in wanted if (thing := self._single.get(urn)) is not None}

    def _things(self, query: sa.Select[Any]) -> list[Thing]:
        return [Thing(*row) for row in self._connection.execute(query)]

    def pointing(self, target: str, kind: str, *types: str) -> list[Thing]:
        """The resources of ``types`` with a relation ``kind`` to ``target``, by urn."""
        if (target, kind) not in self._pointing:
            self.preload([target], kind)
        return [thing for thing in self._pointing[target, kind] if thing.type in types]

    def preload(self, targets: Sequence[str], kind: str) -> None:
        """Reads what points to ``targets``, many at once."""
        r, t = tables.resources, tables.relations
        self._pointing.update({(target, kind): [] for target in targets})
        for start in range(0, len(targets), _IN):
            query = (
                sa.select(t.c.target, *_COLUMNS)
                .select_from(t.join(r, r.c.urn == t.c.source))
                .where(t.c.target.in_(targets[start : start + _IN]), t.c.kind == kind, t.c.valid_to.is_(None))
                .order_by(r.c.urn)
            )
            for target, *row in self._connection.execute(query):
                self._pointing[target, kind].append(Thing(*row))

    # ---- the network around a subnet

    def home_of(self, account: str, region: str, subnet: str) -> str:
        """The account that holds a subnet: another one shares it where its own does not know it. Empty for unknown."""
        key = region, subnet
        if key not in self._homes:
            self._homes[key] = self._home_of(account, region, subnet)
        return self._homes[key]

    def _home_of(self, account: str, region: str, subnet: str) -> str:
        own = urns.ec2("subnet", subnet, account=account, region=region)
        if self._few:
            if own in self.some([own]):
                return account
        elif any(thing.urn == own for thing in self.by(SUBNETS, account, region, "SubnetId").get(subnet, ())):
            return account
        c = tables.coverage
        accounts = self._connection.scalars(sa.select(c.c.account).where(c.c.type == SUBNETS).distinct()).all()
        places = {urns.ec2("subnet", subnet, account=each, region=region): each for each in accounts}
        found = self.some(places)
        return places[next(iter(found))] if found else ""

    def route_table(self, account: str, region: str, vpc: str, subnet: str) -> tuple[Thing | None, str]:
        """The table of a subnet, else the VPC's main one, and how it came to be that one."""
        main: Thing | None = None
        for table in self._in_vpc(ROUTES, account, region, vpc):
            for each in table.attributes.get("Associations") or ():
                state = (each.get("AssociationState") or {}).get("State", "associated")
                if each.get("SubnetId") == subnet and state in {"associated", "associating"}:
                    return table, f"Associations: {subnet}"
                if each.get("Main"):
                    main = table
        # a table of the subnet's own may be in what was not seen
        if main is not None and not self.known(account, region, ROUTES).complete:
            return None, ""
        return main, "Associations: main"

    def acl(self, account: str, region: str, vpc: str, subnet: str) -> Thing | None:
        """The network ACL of a subnet."""
        for acl in self._in_vpc(ACLS, account, region, vpc):
            if any(each.get("SubnetId") == subnet for each in acl.attributes.get("Associations") or ()):
                return acl
        return None

    def _in_vpc(self, type: str, account: str, region: str, vpc: str) -> list[Thing]:
        return self.by(type, account, region, "VpcId").get(vpc, [])

    def groups(self, account: str, region: str, ids: Sequence[str], home: str = "") -> list[Thing | None]:
        """Security groups by id; None for one that was not seen. In a shared VPC they may be of its owner."""
        out: list[Thing | None] = []
        places = list(dict.fromkeys(filter(None, (account, home))))
        if self._few:
            self.some(urns.ec2("security-group", id, account=a, region=region) for id in ids for a in places)
        for id in ids:
            found: Thing | None = None
            for place in places:
                if self._few:
                    found = self.some([urns.ec2("security-group", id, account=place, region=region)]).get(
                        urns.ec2("security-group", id, account=place, region=region)
                    )
                else:
                    found = next(iter(self.by(GROUPS, place, region, "GroupId").get(id, ())), None)
                if found is not None:
                    break
            out.append(found)
        return out

    def lists(self, account: str, region: str) -> Mapping[str, PrefixList]:
        """The prefix lists that are known there. One of which only a part was read is not."""
        key = "lists", account, region
        if key not in self.memo:
            out: dict[str, PrefixList] = {}
            for thing in self.all_of(LISTS, account, region):
                told = thing.attributes
                aws = told.get("OwnerId") == "AWS"
                if aws or ("Entries" in told and not told.get("MoreEntries")):
                    cidrs = tuple(str(entry.get("Cidr")) for entry in told.get("Entries") or ())
                    out[str(told.get("PrefixListId"))] = PrefixList(str(told.get("PrefixListName")), cidrs, aws)
            self.memo[key] = out
        return self.memo[key]

    # ---- what balances to a target

    def target_groups(self, account: str, region: str, target: str, urn: str) -> list[Thing]:
        """The target groups that hold ``target`` (an id, an address or an ARN), which ``urn`` names; empty for none."""
        if self._few and urn:
            return self.pointing(urn, "targets", TARGET_GROUPS)
        key = "targets", account, region
        if key not in self.memo:
            index: dict[str, list[Thing]] = {}
            for group in self.all_of(TARGET_GROUPS, account, region):
                ids = {str((each.get("Target") or {}).get("Id")) for each in targets_of(group)}
                for id in ids:
                    index.setdefault(id, []).append(group)
            self.memo[key] = index
        return self.memo[key].get(target, [])

    def listeners(self, account: str, region: str, balancer: str) -> list[Thing]:
        """The listeners of a load balancer."""
        if self._few:
            return self.pointing(balancer, "listensFor", LISTENERS)
        return self.by(LISTENERS, account, region, "LoadBalancerArn").get(balancer, [])

    # ---- sweeps

    def places(self, types: Sequence[str]) -> list[tuple[str, str]]:
        """(account, region) of every place that holds a resource of ``types``."""
        r = tables.resources
        query = sa.select(r.c.account, r.c.region).where(r.c.type.in_(types)).distinct()
        return sorted((row[0], row[1]) for row in self._connection.execute(query))

    def forget(self) -> None:
        """Drops what was read, but for the cells: the next place needs other things."""
        self._whole.clear()
        self._single.clear()
        self._indexes.clear()
        self._pointing.clear()
        self.memo.clear()


def targets_of(group: Thing) -> list[dict[str, Any]]:
    """The targets of a target group, as the API tells them."""
    return list(group.attributes.get("TargetHealthDescriptions") or ())


_COLUMNS = tuple(tables.resources.c[name] for name in ("urn", "type", "account", "region", "cell", "attributes"))
