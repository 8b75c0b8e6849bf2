"""A stack that real Terraform plans and applies, its people, and a worker."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.acceptance.terraform import terraform
from uwu.domains.iac.runs import ask, store
from uwu.domains.iac.runs.store import Run
from uwu.kernel import declared
from uwu.kernel.identity import Principal
from uwu.kernel.model import Entity, Place, Relation
from uwu.kernel.plans import apply, approve
from uwu.kernel.plans import store as plans
from uwu.kernel.runtime import Kernel
from uwu.kernel.worker import Worker

STACK, KEY = "stack:default/payments", "default/payments"
SECRET = "correct-horse-battery-staple-7713"
MODULE = f"""
variable "password" {{
  default   = "{SECRET}"
  sensitive = true
}}
resource "terraform_data" "network" {{
  input = "10.0.0.0/16"
}}
resource "terraform_data" "login" {{
  input = {{ password = var.password, network = terraform_data.network.output }}
}}
resource "terraform_data" "loud" {{
  input = "x"
  provisioner "local-exec" {{
    command = "echo said by a provisioner; env"
  }}
}}
output "password" {{
  value     = var.password
  sensitive = true
}}
"""


def person(name: str, *groups: str, roles: tuple[str, ...] = ("operator",)) -> Principal:
    return Principal(
        ref=f"user:default/{name}",
        name=name,
        kind="human",
        groups=tuple(f"group:default/{group}" for group in groups),
        roles=roles,
        via="session",
    )


MIRA, TEO = person("mira", "payments"), person("teo", "payments")
ADA = person("ada", roles=("admin",))


@dataclass
class House:
    """A home with one stack, whose configuration is a folder beside its declaration."""

    kernel: Kernel
    worker: Worker
    folder: Path

    def write(self, text: str = MODULE) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "main.tf").write_text(text)

    def plan(self, by: Principal = MIRA, **asked: object) -> Run:
        """A run, planned to its end."""
        run = ask.start(self.kernel, by, "payments", ask.Asked(reason="a change", **asked), origin="cli")  # type: ignore[arg-type]
        self.worker.run_until_done(run.job)
        return self.run(run.id)

    def run(self, id: str) -> Run:
        with self.kernel.db.read() as connection:
            return store.get(connection, id)

    def approve(self, run: Run, by: Principal = TEO) -> str:
        with self.kernel.db.read() as connection:
            stored = plans.get(connection, run.plan)
        return approve.decide(self.kernel, by, run.plan, "approve", hash=stored.hash)

    def apply(self, run: Run, by: Principal = TEO) -> Run:
        """The run once its approved plan was applied, or was not."""
        self.worker.run_until_done(apply.start(self.kernel, by, run.plan))
        return self.run(run.id)

    def log(self, run: Run) -> str:
        with self.kernel.db.read() as connection:
            return "\n".join(line.message for line in store.lines(connection, run.id, limit=100_000))


def declare(kernel: Kernel, folder: Path, name: str = "payments", owner: str = "payments", **spec: object) -> Entity:
    """Declares a stack whose configuration is ``folder``."""
    stack = Entity(
        kind="Stack",
        name=name,
        api_version="uwu.dev/v1alpha1",
        spec={"owner": owner, "state": "uwu://", "source": os.path.relpath(folder, folder.parent), **spec},
        place=Place(str(folder.parent / f"{name}.yaml"), 1),
    )
    group = Entity(kind="Group", name=owner, api_version="backstage.io/v1alpha1", place=Place("g.yaml", 1))
    owned = Relation(source=stack.ref, kind="ownedBy", target=group.ref, evidence="spec.owner")
    with kernel.db.write() as connection:
        declared.replace_entities(connection, f"file:{name}", [stack, group], [owned])
    return stack


@contextmanager
def house(kernel: Kernel, root: Path, module: str = MODULE) -> Iterator[House]:
    """The house, with a worker that runs its jobs."""
    terraform()
    built = House(kernel, Worker(kernel), root / "payments")
    built.write(module)
    declare(kernel, built.folder)
    built.worker.start()
    try:
        yield built
    finally:
        built.worker.stop(5)
