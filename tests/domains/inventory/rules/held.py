"""A small graph for one case: resources with the attributes that the collectors give, and what a rule says of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.domains.inventory.test_exposure import ec2, estate
from tests.kernel.world import ACCOUNT, REGION
from uwu.domains.inventory import DOMAIN
from uwu.domains.inventory.rules import RULES, sweep
from uwu.kernel import graph
from uwu.kernel.model import Cell, CellStatus, Found, Outcome, Relation, Resource, Unjudged
from uwu.kernel.runtime import Kernel

NOW = datetime.now(UTC).replace(microsecond=0)
PRODUCTION = {"environment": "production"}


def ago(days: float) -> str:
    """A time so many days ago, as the reader gives times."""
    return (NOW - timedelta(days=days)).isoformat()


@dataclass(frozen=True)
class Held:
    """A resource, or without attributes an observed cell that holds none."""

    type: str
    told: Mapping[str, Any] | None = None
    id: str = "one"
    urn: str = ""
    region: str = REGION
    account: str = ACCOUNT
    tags: Mapping[str, str] = field(default_factory=dict)
    managed_by: str = ""
    status: CellStatus = CellStatus.COMPLETE
    days: int = 0
    """How long ago it came to be as it is."""
    gone: bool = False
    """It was there and is no longer."""
    links: tuple[tuple[str, str], ...] = ()
    """(kind, target) of its relations."""

    @property
    def at(self) -> str:
        return self.urn or f"arn:aws:{self.type.removeprefix('aws_')}:{self.region}:{self.account}:{self.id}"

    def but(self, **told: Any) -> Held:
        """With other attributes; None takes one away."""
        merged = {**(self.told or {}), **told}
        return replace(self, told={name: value for name, value in merged.items() if value is not None})

    def partly(self, *names: str) -> Held:
        """Without attributes, in a cell that is not complete."""
        told = {name: value for name, value in (self.told or {}).items() if name not in names}
        return replace(self, told=told, status=CellStatus.DENIED)

    def of(self, **changes: Any) -> Held:
        return replace(self, **changes)


def production(held: Held) -> Held:
    return replace(held, tags=PRODUCTION)


World = tuple[Held, ...]


def network(status: Mapping[str, CellStatus] | None = None, port: int = 443) -> World:
    """A public subnet with what opens ``port`` to everyone, without what stands in it."""
    held = estate()
    groups = held["aws_vpc_security_group"]
    rule = {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    groups[ec2("security-group", "sg-web")]["IpPermissions"] = [rule]
    here = [
        Held(type, told, urn=urn, status=(status or {}).get(type, CellStatus.COMPLETE))
        for type in ("aws_vpc_subnet", "aws_vpc_security_group", "aws_vpc_route_table", "aws_vpc_network_acl")
        for urn, told in held[type].items()
    ]
    empty = (
        "aws_ec2_application_load_balancer",
        "aws_ec2_network_load_balancer",
        "aws_ec2_gateway_load_balancer",
        "aws_ec2_classic_load_balancer",
        "aws_ec2_load_balancer_listener",
        "aws_ec2_target_group",
        "aws_ec2_network_interface",
    )
    return (*here, *(Held(type) for type in empty))


def fill(kernel: Kernel, world: World) -> None:
    """Writes ``world`` as the collectors do: cell by cell, in the order of time."""
    kernel.domains = (DOMAIN,)
    cells: dict[tuple[str, str, str], list[Held]] = {}
    for held in world:
        cells.setdefault((held.type, held.account, held.region), []).append(held)
    with kernel.db.write() as connection:
        for (type, account, region), here in cells.items():
            cell = Cell(source="aws", account=account, region=region, type=type)
            things = [each for each in here if each.told is not None]
            start = NOW - timedelta(days=max(each.days for each in here), minutes=2)
            for gone in (True, False) if any(each.gone for each in things) else (False,):
                held = [each for each in things if gone or not each.gone]
                status = CellStatus.COMPLETE if gone else here[0].status
                outcome = Outcome(cell=cell, status=status, observed_at=start + timedelta(minutes=0 if gone else 1))
                graph.observe(
                    connection,
                    outcome,
                    [
                        Resource(
                            urn=each.at,
                            type=type,
                            account=account,
                            region=region,
                            name=each.id,
                            attributes=dict(each.told or {}),
                            tags=dict(each.tags),
                            managed_by=each.managed_by,
                        )
                        for each in held
                    ],
                    [Relation(source=each.at, kind=kind, target=to) for each in held for kind, to in each.links],
                )


def said(kernel: Kernel, rule: str, some: frozenset[str] | None = None) -> list[Found | Unjudged]:
    """What ``rule`` says of what is in the graph."""
    assert any(each.id == f"inventory.{rule}" for each in RULES)
    with kernel.db.read() as connection:
        return [one for _, one in sweep(kernel, connection, frozenset({f"inventory.{rule}"}), some)]
