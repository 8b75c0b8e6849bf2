"""What can be done to people and groups."""

from __future__ import annotations

from uwu.kernel.actions import Action

SCIM = "catalog.scim"

ACTIONS = (Action(SCIM, "admin", "provision people and groups by SCIM"),)
