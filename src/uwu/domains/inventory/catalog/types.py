"""The types that the catalog's rows make: those that people have looked at, and all others."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec

from uwu.domains.inventory.catalog import names, specs
from uwu.domains.inventory.catalog.model import Row, by_service, find
from uwu.domains.inventory.model import Spec
from uwu.kernel.errors import Misconfigured

_ARGUMENTS: Mapping[tuple[str, str], dict[str, Any]] = {
    ("cloudfront", "ListCachePolicies"): {"Type": "custom"},
    ("cloudfront", "ListOriginRequestPolicies"): {"Type": "custom"},
    ("cloudfront", "ListResponseHeadersPolicies"): {"Type": "custom"},
    ("cloudtrail", "DescribeTrails"): {"includeShadowTrails": False},
    ("ec2", "DescribeSnapshots"): {"OwnerIds": ["self"]},
    ("emr", "ListClusters"): {"ClusterStates": ["STARTING", "BOOTSTRAPPING", "RUNNING", "WAITING", "TERMINATING"]},
    ("imagebuilder", "ListImageRecipes"): {"owner": "Self"},
    ("ssm", "DescribePatchBaselines"): {"Filters": [{"Key": "OWNER", "Values": ["Self"]}]},
    ("ssm", "ListDocuments"): {"Filters": [{"Key": "Owner", "Values": ["Self"]}]},
}
"""What keeps AWS's own, and what is no more, out of a list, where an argument does."""


class Curated(msgspec.Struct, frozen=True, kw_only=True):
    """A line of ``curated.txt``."""

    service: str
    operation: str
    name: str
    title: str
    icon: str
    keys: tuple[str, ...]
    asked: bool = False
    """Collected only where it is asked for by name, or with all: it takes a call for each of many, or a right that few
    accounts give."""
    tagged: bool = True
    once: bool = False
    """Every region gives the same list."""
    detail: str = ""
    arn: str = ""
    id: str = ""
    path: str = ""
    """Another list of the same answer."""
    given: tuple[str, ...] = ()
    """Names of those that every account has from AWS."""
    drop: tuple[str, ...] = ()


class Planned(msgspec.Struct, frozen=True):
    """A type that can be made."""

    name: str
    row: Row
    curated: Curated | None


@cache
def curated() -> tuple[Curated, ...]:
    """Every line of ``curated.txt``. Raises ``Misconfigured`` with its line for one that cannot be read."""
    text = (files("uwu.domains.inventory.catalog") / "curated.txt").read_text("utf-8")
    found: list[Curated] = []
    service = ""
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        if line.startswith("["):
            service = line.strip().strip("[]")
            continue
        parts = [part.strip() for part in line.split("|")]
        if len(parts) != 6:
            raise Misconfigured("a type has six parts", code="type-malformed", place=f"curated.txt:{number}")
        operation, name, title, icon, keys, options = parts
        told = {option.partition("=")[0]: option.partition("=")[2] for option in options.split()}
        found.append(
            Curated(
                service=service,
                operation=operation,
                name=name,
                title=title,
                icon=icon,
                keys=tuple(keys.split()),
                asked="asked" in told,
                tagged="untagged" not in told,
                once="once" in told,
                detail=told.get("detail", ""),
                arn=told.get("arn", ""),
                id=told.get("id", ""),
                path=told.get("path", ""),
                given=tuple(told["given"].split(",")) if "given" in told else (),
                drop=tuple(told["drop"].split(",")) if "drop" in told else (),
            )
        )
    return tuple(found)


@cache
def planned() -> Mapping[str, Planned]:
    """Every type that can be made of the catalog, by name; those that are written by hand are not among them."""
    from uwu.domains.inventory.services import SPECS

    written = {spec.name for spec in SPECS}
    listed = {(spec.service, spec.operation) for spec in SPECS}
    found: dict[str, Planned] = {}
    taken: set[tuple[str, str]] = set()
    for one in curated():
        row = find(one.service, one.operation)
        if row is None or one.name in written:
            continue
        if one.path:
            row = msgspec.structs.replace(row, path=one.path, links=(), noise=(), secret=())
        found[one.name] = Planned(one.name, msgspec.structs.replace(row, id=one.id or row.id), one)
        taken.add((row.service, row.noun))
    for service, rows in by_service().items():
        best: dict[str, Row] = {}
        for row in rows:
            if row.form not in {"list", "each"} or row.left_out:
                continue
            if row.noun not in best or _rank(row) > _rank(best[row.noun]):
                best[row.noun] = row
        covered = {row.noun for row in rows if (service, row.operation) in listed}
        for noun, row in best.items():
            name = names.type_name(service, noun)
            if (service, noun) in taken or noun in covered or name in written:
                continue
            if name in found:
                name = f"aws_{service.replace('-', '_')}_{noun}"
            if name not in found and name not in written:
                found[name] = Planned(name, row, None)
    return found


def _rank(row: Row) -> tuple[bool, bool, bool, int, str]:
    return (row.form == "list", not row.text, bool(row.tags), row.members, row.operation)


@cache
def spec(name: str) -> Spec:
    """The type called ``name``. Raises ``KeyError`` where the catalog makes none of that name."""
    plan = planned()[name]
    one = plan.curated
    arguments = _ARGUMENTS.get((plan.row.service, plan.row.operation), {})
    if one is None:
        return specs.make(plan.row, name=name, tagged=False, arguments=arguments)
    return specs.make(
        plan.row,
        name=name,
        title=one.title,
        icon=one.icon,
        keys=one.keys,
        detail=one.detail,
        tagged=one.tagged,
        once=one.once,
        arn=one.arn,
        drop=one.drop,
        given=one.given,
        arguments=arguments,
    )
