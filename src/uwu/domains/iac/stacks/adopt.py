"""Brings what no state holds into a stack: ``import`` blocks in its folder, and the arguments that are known."""

from __future__ import annotations

import difflib
import os
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa

from uwu.domains.iac import remedy
from uwu.domains.iac.runs import config, store
from uwu.kernel import audit, codec, tables, urns
from uwu.kernel.db import columns, to_struct
from uwu.kernel.errors import BadInput, Conflict, NotFound
from uwu.kernel.identity import Principal
from uwu.kernel.model import Entity, Resource
from uwu.kernel.runtime import Kernel

FILE = "uwu_imports.tf"
"""What is written into the folder; once it is applied it may go."""
MOST = 500
"""Resources of one import: Terraform reads each of them."""
_TO = re.compile(r"^\s*to\s*=\s*(\S+)\s*$", re.MULTILINE)
_ID = re.compile(r'^\s*id\s*=\s*("(?:[^"\\]|\\.)*")\s*$', re.MULTILINE)


class Left(msgspec.Struct, frozen=True):
    """A resource that is not imported."""

    urn: str
    type: str
    why: str


class Adopted(msgspec.Struct, frozen=True):
    """A resource that gets an ``import`` block."""

    urn: str
    type: str
    """Terraform's."""
    address: str
    id: str
    """By which its provider imports it."""
    whole: bool
    """Whether its arguments are written too; if not, ``terraform plan -generate-config-out`` writes them."""


class Adoption(msgspec.Struct, frozen=True, kw_only=True):
    """What an import into a stack writes."""

    stack: str
    file: str
    diff: str
    """Unified; empty where the file is as it should be."""
    adopted: list[Adopted]
    left: list[Left]
    written: bool
    next: str
    """What to run then."""


def _member(name: str) -> Callable[[Resource], Any]:
    return lambda resource: resource.attributes.get(name)


def _name(resource: Resource) -> Any:
    return resource.name or urns.short(resource.urn)


ARGUMENTS: dict[str, dict[str, Callable[[Resource], Any]]] = {
    "aws_s3_bucket": {"bucket": _member("Name")},
    "aws_sqs_queue": {"name": lambda resource: urns.short(resource.urn)},
    "aws_sns_topic": {"name": lambda resource: urns.short(resource.urn)},
    "aws_iam_user": {"name": _member("UserName"), "path": _member("Path")},
    "aws_route53_zone": {"name": lambda resource: str(resource.attributes.get("Name") or "").rstrip(".")},
    "aws_secretsmanager_secret": {"name": _name},
    "aws_vpc": {"cidr_block": _member("CidrBlock")},
    "aws_subnet": {"vpc_id": _member("VpcId"), "cidr_block": _member("CidrBlock")},
    "aws_ebs_volume": {"availability_zone": _member("AvailabilityZone"), "size": _member("Size")},
}
"""Terraform type -> argument -> its value: the types whose required arguments inventory knows. A plan of them says what
else differs; the provider itself writes the others' configuration."""


def adopt(
    kernel: Kernel, principal: Principal, stack_name: str, resources: Sequence[str] = (), *, write: bool
) -> Adoption:
    """The import of ``resources``, or of all that the stack's owner has and no state holds, into the stack.

    Raises ``NotFound`` for a stack or a resource that is not there, ``Conflict`` where the configuration lies in a
    repository or was changed meanwhile, ``BadInput`` for too many.
    """
    with kernel.db.read() as connection:
        stack = store.stack_of(connection, stack_name)
        folder = folder_of(stack)
        found = _asked(connection, resources) if resources else unmanaged(connection, stack)
        held = _held(connection, [resource.urn for resource in found])
    if len(found) > MOST:
        raise BadInput(
            f"{len(found):,} resources at once; {MOST} are the most",
            code="import-many",
            place="resources",
            hint="name some: uwu iac import STACK --resource ARN",
        )
    file = folder / FILE
    before = file.read_text("utf-8") if file.is_file() else ""
    taken = {match[1] for each in sorted(folder.glob("*.tf")) for match in _TO.finditer(_read(each))}
    ids = {codec.decode(match[1].encode()) for match in _ID.finditer(before)}
    adopted: list[Adopted] = []
    left: list[Left] = []
    text = before
    for resource in found:
        told = _block(resource, taken)
        if resource.urn in held:
            left.append(Left(resource.urn, resource.type, f"{held[resource.urn]} holds it"))
        elif resource.managed_by:
            left.append(Left(resource.urn, resource.type, f"{resource.managed_by} makes it"))
        elif told is None:
            left.append(Left(resource.urn, resource.type, "its type's import id is not known"))
        elif told[0].id in ids:
            left.append(Left(resource.urn, resource.type, f"{FILE} imports it already"))
        else:
            adopted.append(told[0])
            taken.add(told[0].address)
            text += ("\n" if text else "") + told[1]
    diff = "".join(difflib.unified_diff(before.splitlines(True), text.splitlines(True), f"a/{FILE}", f"b/{FILE}", n=2))
    if write and diff:
        _write(file, text)
        with kernel.db.write() as connection:
            detail = {"file": FILE, "resources": [each.urn for each in adopted][:100], "count": len(adopted)}
            audit.append(connection, actor=principal.ref, action="iac.stack.import", subject=stack.ref, detail=detail)
    return Adoption(
        stack=stack.ref,
        file=str(file),
        diff=diff,
        adopted=adopted,
        left=left,
        written=bool(write and diff),
        next=_next(stack, folder, adopted),
    )


def folder_of(stack: Entity) -> Path:
    """The folder of a stack's configuration. Raises ``Conflict`` where it is a repository's, ``NotFound``."""
    source = str(stack.spec.get("source") or "")
    if not source or config.repository(source) is not None:
        where = f"lies in {source}" if source else "does not say where its configuration lies"
        raise Conflict(
            f"{stack.ref} {where}: there is no folder to write into",
            code="import-source",
            place=str(stack.place),
            hint="uwu findings --rule drift.undeclared tells the import block of each; commit them there",
        )
    folder = Path(stack.place.file).parent / source
    if not folder.is_dir():
        raise NotFound("there is no such folder", code="run-source", place=str(folder))
    return folder


def unmanaged(connection: sa.Connection, stack: Entity) -> list[Resource]:
    """What the stack's owner has, in its account and region, and no state holds; by urn."""
    r, o, d = tables.resources, tables.ownership, tables.declarations
    wheres = [
        o.c.owner == (store.owner_of(connection, stack.ref) or "-"),
        r.c.managed_by == "",
        r.c.type != "aws_account",
        ~sa.select(d.c.urn).where(d.c.urn == r.c.urn).exists(),
    ]
    if account := stack.spec.get("account"):
        wheres.append(r.c.account == str(account))
    if region := stack.spec.get("region"):
        wheres.append(r.c.region.in_((str(region), "")))
    query = sa.select(*columns(r, Resource)).select_from(r.join(o, o.c.subject == r.c.urn)).where(*wheres)
    return [to_struct(Resource, row) for row in connection.execute(query.order_by(r.c.urn).limit(MOST + 1))]


def _asked(connection: sa.Connection, wanted: Sequence[str]) -> list[Resource]:
    r = tables.resources
    query = sa.select(*columns(r, Resource)).where(r.c.urn.in_(list(wanted)[: MOST + 1]))
    found = {row.urn: to_struct(Resource, row) for row in connection.execute(query)}
    for urn in wanted:
        if urn not in found:
            raise NotFound(
                f"inventory knows no {urn[:200]}", code="resource-unknown", hint="uwu resources lists what it knows"
            )
    return [found[urn] for urn in dict.fromkeys(wanted)]


def _held(connection: sa.Connection, wanted: Sequence[str]) -> dict[str, str]:
    d = tables.declarations
    found: dict[str, str] = {}
    for start in range(0, len(wanted), 500):
        query = sa.select(d.c.urn, d.c.source).where(d.c.urn.in_(wanted[start : start + 500]))
        found.update((row.urn, row.source) for row in connection.execute(query))
    return found


def _block(resource: Resource, taken: set[str]) -> tuple[Adopted, str] | None:
    known = remedy.IMPORTS.get(resource.type)
    if known is None:
        return None
    type, identify = known
    id = identify(resource) or urns.short(resource.urn)
    label, n = remedy.label(resource), 1
    while f"{type}.{label}" in taken:
        n += 1
        label = f"{remedy.label(resource)}_{n}"
    text = f"import {{\n  to = {type}.{label}\n  id = {remedy.quoted(id)}\n}}\n"
    values = {name: value(resource) for name, value in ARGUMENTS.get(type, {}).items()}
    values = {name: value for name, value in values.items() if value not in (None, "")}
    whole = bool(values)
    if whole:
        text += _resource(type, label, values, resource.tags)
    return Adopted(resource.urn, type, f"{type}.{label}", id, whole), text


def _resource(type: str, label: str, values: Mapping[str, Any], tags: Mapping[str, str]) -> str:
    width = max(map(len, values))
    lines = [f"  {name:<{width}} = {_value(value)}" for name, value in values.items()]
    own = {key: value for key, value in sorted(tags.items()) if not key.startswith("aws:")}
    if own:
        lines += ["", "  tags = {", *(f"    {remedy.quoted(k)} = {remedy.quoted(v)}" for k, v in own.items()), "  }"]
    return "\n".join([f'resource "{type}" "{label}" {{', *lines, "}", ""])


def _value(value: Any) -> str:
    return remedy.quoted(value) if isinstance(value, str) else codec.encode(value).decode()


def _next(stack: Entity, folder: Path, adopted: Sequence[Adopted]) -> str:
    if not adopted:
        return ""
    if all(each.whole for each in adopted):
        return f"uwu iac plan {stack.ref.removeprefix('stack:')}"
    return f"terraform -chdir={folder} plan -generate-config-out=uwu_generated.tf"


def _read(path: Path) -> str:
    return path.read_text("utf-8", errors="replace")


def _write(file: Path, text: str) -> None:
    """Whole or not at all."""
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=".uwu-imports-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(file)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise
