"""A real provider of Terraform for tests, packed and installed as Terraform wants it.

``archive`` gives the zip that a registry or a mirror serves; ``install`` lays it into a filesystem mirror, for tests
that need the provider and no registry.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
import zipfile
from pathlib import Path

from tests.terraform_provider.shelf import SOURCE

__all__ = ["SOURCE", "archive", "install", "item", "module", "platform_name"]

VERSION = "1.0.0"


def platform_name() -> str:
    """``linux_amd64``: this machine, as Terraform calls it."""
    machine = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
    return f"{platform.system().lower()}_{machine.get(platform.machine(), platform.machine())}"


def archive(folder: Path, version: str = VERSION) -> Path:
    """The provider's zip in ``folder``: one program, run by this interpreter, which writes nothing beside itself."""
    name = SOURCE.rpartition("/")[2]
    folder.mkdir(parents=True, exist_ok=True)
    made = folder / f"terraform-provider-{name}_{version}_{platform_name()}.zip"
    program = zipfile.ZipInfo(f"terraform-provider-{name}_v{version}", (2026, 1, 1, 0, 0, 0))
    program.external_attr = 0o100755 << 16
    source = Path(__file__).with_name("shelf.py").read_text()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr(program, f"#!{sys.executable} -IB\n# version {version}\n{source}")
    return made


def install(folder: Path, version: str = VERSION) -> Path:
    """Terraform's configuration file for a filesystem mirror below ``folder`` that holds the provider: give it as
    ``TF_CLI_CONFIG_FILE``."""
    made = archive(folder / "packed", version)
    into = folder / "mirror" / SOURCE
    into.mkdir(parents=True, exist_ok=True)
    shutil.copy(made, into / made.name)
    config = folder / "terraform.rc"
    mirror = json.dumps(str(folder / "mirror"))
    config.write_text(
        f"disable_checkpoint = true\nprovider_installation {{\n  filesystem_mirror {{\n    path = {mirror}\n  }}\n}}\n"
    )
    return config


def module(folder: Path, body: str, version: str = f"~> {VERSION}") -> str:
    """A root module that requires the provider, keeps its items in ``folder``, and holds ``body``."""
    return (
        f'terraform {{\n  required_providers {{\n    shelf = {{\n      source  = "{SOURCE}"\n'
        f'      version = "{version}"\n    }}\n  }}\n}}\n\n'
        f'provider "shelf" {{\n  folder = {json.dumps(str(folder))}\n}}\n\n{body}\n'
    )


def item(folder: Path, id: str, **given: object) -> Path:
    """Writes an item past the provider, as a hand in the world would: what is not given stays as it was."""
    file = folder / f"{id}.json"
    none = {"id": id, "name": id, "content": None, "secret": None, "labels": None, "revision": 1}
    held = json.loads(file.read_text()) if file.exists() else none
    folder.mkdir(parents=True, exist_ok=True)
    fresh = file.with_suffix(f".{os.getpid()}")
    fresh.write_text(json.dumps({**held, **given}))
    fresh.replace(file)
    return file
