"""Stacks over HTTP, under ``/api/v1``: what goes in and comes out, who depends on whom, what no state holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import Meta

from uwu.domains.iac import coverage
from uwu.domains.iac.actions import ADOPT, OUTPUT
from uwu.domains.iac.coverage import Coverage
from uwu.domains.iac.runs import store
from uwu.domains.iac.stacks import adopt, view
from uwu.domains.iac.stacks.adopt import Adoption
from uwu.domains.iac.stacks.view import StackView
from uwu.kernel.authorize import Target
from uwu.kernel.identity import Principal
from uwu.kernel.runtime import Kernel

SEE = {"action": "world.read"}


def _stack(kernel: Kernel, params: Mapping[str, Any]) -> Target:
    with kernel.db.read() as connection:
        return store.target(connection, store.stack_of(connection, f"{params['namespace']}/{params['name']}").ref)


class Import(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is to be imported into a stack."""

    resources: Annotated[list[Annotated[str, Meta(max_length=2048)]], Meta(max_length=adopt.MOST)] = []
    """Urns; all that the stack's owner has and no state holds where none is named."""
    dry_run: bool = False
    """Only tell what would be written."""


class Value(msgspec.Struct, frozen=True):
    """An output's value, as the state has it."""

    name: str
    value: Any


@get("/iac/coverage", sync_to_thread=True, opt=SEE)
def get_coverage(kernel: NamedDependency[Kernel]) -> Coverage:
    """How much of what is observed a state holds: by account, owner and type, the least managed first."""
    with kernel.db.read() as connection:
        return coverage.of(coverage.cells(connection))


@get("/iac/stacks/{namespace:str}/{name:str}", sync_to_thread=True, opt=SEE)
def get_stack(kernel: NamedDependency[Kernel], namespace: FromPath[str], name: FromPath[str]) -> StackView:
    """A stack: its inputs, its outputs without secrets, what it needs and who needs it."""
    return view.view(kernel, f"{namespace}/{name}")


@post(
    "/iac/stacks/{namespace:str}/{name:str}/outputs/{output:str}/reveal",
    sync_to_thread=True,
    opt={"action": OUTPUT, "on": _stack},
    status_code=200,
)
def reveal_output(
    kernel: NamedDependency[Kernel],
    principal: NamedDependency[Principal],
    namespace: FromPath[str],
    name: FromPath[str],
    output: FromPath[str],
) -> Response[Value]:
    """The value of an output, a sensitive one too; the audit tells who has read it. The answer is not kept."""
    value = view.reveal(kernel, principal, f"{namespace}/{name}", output)
    return Response(Value(output, value), headers={"cache-control": "no-store"})


@post(
    "/iac/stacks/{namespace:str}/{name:str}/import",
    sync_to_thread=True,
    opt={"action": ADOPT, "on": _stack},
    status_code=200,
)
def import_resources(
    kernel: NamedDependency[Kernel],
    principal: NamedDependency[Principal],
    namespace: FromPath[str],
    name: FromPath[str],
    data: JSONBody[Import],
) -> Adoption:
    """Writes `import` blocks for what no state holds into the stack's folder, or tells what it would write."""
    return adopt.adopt(kernel, principal, f"{namespace}/{name}", data.resources, write=not data.dry_run)


HANDLERS: list[Any] = [get_coverage, get_stack, reveal_output, import_resources]
