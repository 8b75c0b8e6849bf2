"""Every command of ``uwu trail``."""

from __future__ import annotations

from uwu.domains.trail import export_cli
from uwu.domains.trail.cli import APP
from uwu.domains.trail.detect import cli as detect_cli
from uwu.domains.trail.digests import cli as digests_cli
from uwu.domains.trail.privilege import cli as privilege_cli

detect_cli.add(APP)
privilege_cli.add(APP)
export_cli.add(APP)
digests_cli.add(APP)

__all__ = ["APP"]
