"""The real Terraform against a server of uwu: projects of its builtin ``terraform_data``, in processes of their own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.conftest import missing
from uwu.kernel import declared
from uwu.kernel.identity import Principal, principals, tokens
from uwu.kernel.model import Entity, Place, Relation
from uwu.kernel.runtime import Kernel

SECONDS = 120
"""How long one command may take."""


def terraform() -> str:
    """Where it is."""
    found = shutil.which("terraform")
    if found is None:
        missing("Terraform", "put terraform 1.x on PATH")
    return str(found)


@dataclass(frozen=True)
class Said:
    """How a command ended and what it said."""

    status: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return self.out + self.err


def service(
    kernel: Kernel, name: str, *, groups: Sequence[str] = (), scopes: Sequence[str] = ("*",)
) -> tuple[str, str]:
    """(reference, token) of a service account in ``groups``."""
    admin = Principal(ref="user:local/test", name="test", kind="local", roles=("admin",), via="home")
    made = principals.create_service(kernel, admin, name, groups)
    _, text = tokens.create(kernel, admin, name="test", principal=made.ref, scopes=scopes)
    return made.ref, text


def declare(kernel: Kernel, name: str, owner: str, **spec: Any) -> None:
    """Declares the stack ``default/<name>`` of the group ``default/<owner>``."""
    stack = Entity(
        kind="Stack",
        name=name,
        api_version="uwu.dev/v1alpha1",
        spec={"owner": owner, "state": "uwu://", **spec},
        place=Place(f"/estate/{name}.yaml", 1),
    )
    group = Entity(
        kind="Group",
        name=owner,
        api_version="backstage.io/v1alpha1",
        spec={"type": "team"},
        place=Place("/estate/g", 1),
    )
    owned = Relation(source=stack.ref, kind="ownedBy", target=group.ref, evidence="spec.owner")
    with kernel.db.write() as connection:
        declared.replace_entities(connection, f"file:{name}", [stack, group], [owned])


@dataclass
class Project:
    """A folder with a root module."""

    folder: Path
    env: Mapping[str, str] = field(default_factory=dict)

    def write(self, text: str) -> None:
        """The module beside its backend."""
        (self.folder / "main.tf").write_text(text)

    def run(self, *arguments: str, check: bool = True, seconds: float = SECONDS, **env: str) -> Said:
        """One command; it must end well where ``check`` says so."""
        done = self.start(*arguments, **env)
        try:
            out, err = done.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            done.kill()
            done.communicate()
            raise
        said = Said(done.returncode, out, err)
        assert not check or said.status == 0, f"terraform {' '.join(arguments)}\n{said.text}"
        return said

    def start(self, *arguments: str, **env: str) -> subprocess.Popen[str]:
        """One command that runs on."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("TF_", "UWU_"))}
        quiet = {"TF_IN_AUTOMATION": "1", "TF_INPUT": "0", "CHECKPOINT_DISABLE": "1"}
        return subprocess.Popen(
            [terraform(), *arguments],
            cwd=self.folder,
            env={**inherited, **quiet, **self.env, **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def json(self, *arguments: str) -> Any:
        return json.loads(self.run(*arguments).out)


def http_project(folder: Path, url: str, key: str, token: str) -> Project:
    """A project whose state lies at the HTTP backend of ``url``."""
    folder.mkdir(parents=True)
    address = f"{url}/iac/state/{key}"
    (folder / "backend.tf").write_text('terraform {\n  backend "http" {}\n}\n')
    config = folder / "terraform.rc"
    config.write_text("disable_checkpoint = true\n")
    env = {
        "TF_CLI_CONFIG_FILE": str(config),
        "TF_HTTP_ADDRESS": address,
        "TF_HTTP_LOCK_ADDRESS": address,
        "TF_HTTP_UNLOCK_ADDRESS": address,
        "TF_HTTP_USERNAME": "uwu",
        "TF_HTTP_PASSWORD": token,
        "TF_HTTP_RETRY_WAIT_MIN": "1",
        "TF_HTTP_RETRY_WAIT_MAX": "2",
    }
    return Project(folder, env)


HOST = "uwu.example.com"


def cloud_project(folder: Path, url: str, key: str, token: str) -> Project:
    """A project whose state lies behind the ``cloud`` block; Terraform's own configuration tells where its host is."""
    folder.mkdir(parents=True)
    organization, _, workspace = key.partition("/")
    (folder / "backend.tf").write_text(
        f'terraform {{\n  cloud {{\n    hostname     = "{HOST}"\n    organization = "{organization}"\n'
        f'    workspaces {{\n      name = "{workspace}"\n    }}\n  }}\n}}\n'
    )
    config = folder / "terraform.rc"
    config.write_text(
        f'disable_checkpoint = true\nhost "{HOST}" {{\n  services = {{\n    "tfe.v2" = "{url}/iac/tfe/v2/"\n  }}\n}}\n'
        f'credentials "{HOST}" {{\n  token = "{token}"\n}}\n'
    )
    return Project(folder, {"TF_CLI_CONFIG_FILE": str(config)})
