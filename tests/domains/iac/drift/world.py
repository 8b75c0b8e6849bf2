"""Installs the provider of a folder where runs of Terraform find it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

PROVIDER = Path(__file__).with_name("provider.py")
VERSION = "1.0.0"
REQUIRED = """
terraform {
  required_providers {
    world = {
      source = "uwu/world"
    }
  }
}
"""


def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Puts the provider into a mirror that Terraform is told of by the environment; gives the folder of its world."""
    world = folder / "world"
    mirror = folder / "mirror"
    home = mirror / "registry.terraform.io/uwu/world" / VERSION / "linux_amd64"
    home.mkdir(parents=True)
    world.mkdir()
    script = home / f"terraform-provider-world_v{VERSION}"
    run = f"exec '{sys.executable}' '{PROVIDER}' \"$@\""
    script.write_text(f"#!/bin/sh\nexport UWU_TEST_WORLD='{world}' TMPDIR=/tmp\n{run}\n")
    script.chmod(0o755)
    config = folder / "terraform.rc"
    config.write_text(f'provider_installation {{\n  filesystem_mirror {{\n    path = "{mirror}"\n  }}\n}}\n')
    monkeypatch.setenv("TF_CLI_CONFIG_FILE", str(config))
    return world
