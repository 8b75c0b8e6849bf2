"""Installs the provider of a folder where runs of Terraform find it."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

PROVIDER = Path(__file__).with_name("provider.py")
ROOT = Path(__file__).parents[4]
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


@cache
def python() -> str:
    """A Python that has PyPI ``tf``: it needs another protobuf than uwu's own, so it has an environment of its own."""
    for each in (os.environ.get("UWU_TF_PYTHON", ""), str(ROOT / ".terraform-provider/bin/python"), sys.executable):
        if each and Path(each).exists():
            done = subprocess.run([each, "-c", "import tf.runner, grpc"], capture_output=True, timeout=60)
            if done.returncode == 0:
                return each
    pytest.skip("no Python with PyPI tf: uv venv .terraform-provider, uv pip install --python .terraform-provider tf")


def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Puts the provider into a mirror that Terraform is told of by the environment; gives the folder of its world."""
    program, world = python(), folder / "world"
    mirror = folder / "mirror"
    home = mirror / "registry.terraform.io/uwu/world" / VERSION / "linux_amd64"
    home.mkdir(parents=True)
    world.mkdir()
    script = home / f"terraform-provider-world_v{VERSION}"
    script.write_text(f"#!/bin/sh\nexport UWU_TEST_WORLD='{world}' TMPDIR=/tmp\nexec '{program}' '{PROVIDER}' \"$@\"\n")
    script.chmod(0o755)
    config = folder / "terraform.rc"
    config.write_text(f'provider_installation {{\n  filesystem_mirror {{\n    path = "{mirror}"\n  }}\n}}\n')
    monkeypatch.setenv("TF_CLI_CONFIG_FILE", str(config))
    return world
