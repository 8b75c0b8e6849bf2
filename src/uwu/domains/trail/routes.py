"""Every route of the trail."""

from __future__ import annotations

from typing import Any

from uwu.domains.trail import api, export_api
from uwu.domains.trail.detect import api as detect_api
from uwu.domains.trail.digests import api as digests_api
from uwu.domains.trail.privilege import api as privilege_api

HANDLERS: list[Any] = [
    *api.HANDLERS,
    *detect_api.HANDLERS,
    *privilege_api.HANDLERS,
    *export_api.HANDLERS,
    *digests_api.HANDLERS,
]
