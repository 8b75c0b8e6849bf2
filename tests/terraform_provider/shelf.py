"""The provider ``shelf``: each ``shelf_item`` is a file of JSON in the folder that the provider is configured with.

What it manages outlives it and can be changed behind its back, so refresh, import and drift are genuine. It stands on
its own, for it is packed as the program that Terraform starts (Terraform's plugin protocol, version 6).
"""

from __future__ import annotations

import json
import os
import uuid
from pathlib import Path
from typing import Any

from tf import iface, runner, schema, types, utils

SOURCE = "registry.example.com/uwu/shelf"
"""The address of the provider, as ``required_providers`` names it."""
GIVEN = ("name", "content", "secret", "labels")
"""What a configuration says of an item; the rest is the provider's to tell."""


class Item(iface.Resource):
    """``shelf_item``: its ``id`` is the name of its file."""

    def __init__(self, provider: Shelf) -> None:
        self._provider = provider

    @classmethod
    def get_name(cls) -> str:
        return "item"

    @classmethod
    def get_schema(cls) -> schema.Schema:
        return schema.Schema(
            attributes=[
                schema.Attribute("id", types.String(), computed=True),
                schema.Attribute("name", types.String(), required=True, requires_replace=True),
                schema.Attribute("content", types.String(), optional=True),
                schema.Attribute("secret", types.String(), optional=True, sensitive=True),
                schema.Attribute("labels", types.Map(types.String()), optional=True),
                schema.Attribute("revision", types.Number(), computed=True, description="counts writes by Terraform"),
            ],
            version=0,
        )

    def create(self, ctx: iface.CreateContext, planned: iface.State) -> iface.State | None:
        del ctx
        made = {name: planned.get(name) for name in GIVEN}
        return self._write({**made, "id": uuid.uuid4().hex[:12], "revision": 1})

    def read(self, ctx: iface.ReadContext, current: iface.State) -> iface.State | None:
        del ctx
        return self._read(current["id"])

    def plan(self, ctx: iface.PlanContext, current: iface.State | None, planned: iface.State) -> iface.State | None:
        if current is not None and ctx.changed_fields & set(GIVEN):
            planned["revision"] = types.Unknown
        return planned

    def update(self, ctx: iface.UpdateContext, current: iface.State, planned: iface.State) -> iface.State | None:
        del ctx
        made = {name: planned.get(name) for name in GIVEN}
        return self._write({**made, "id": current["id"], "revision": int(current["revision"]) + 1})

    def delete(self, ctx: iface.DeleteContext, current: iface.State) -> None:
        del ctx
        self._file(current["id"]).unlink(missing_ok=True)

    def import_(self, ctx: iface.ImportContext, id: str) -> iface.State | None:
        found = self._read(id)
        if found is None:
            ctx.diagnostics.add_error("No such item", f"the shelf holds no {id}")
        return found

    def upgrade(self, ctx: iface.UpgradeContext, version: int, old: iface.State) -> iface.State | None:
        del ctx, version
        return old

    def _file(self, id: str) -> Path:
        return self._provider.folder / f"{Path(id).name}.json"

    def _read(self, id: str) -> dict[str, Any] | None:
        try:
            return json.loads(self._file(id).read_text())
        except FileNotFoundError:
            return None

    def _write(self, item: dict[str, Any]) -> dict[str, Any]:
        file = self._file(item["id"])
        file.parent.mkdir(parents=True, exist_ok=True)
        whole = file.with_suffix(".new")
        whole.write_text(json.dumps(item))
        whole.replace(file)
        return item


class Shelf(iface.Provider):
    """The provider; ``folder`` or ``$SHELF_FOLDER`` says where its items lie."""

    folder = Path()

    def get_model_prefix(self) -> str:
        return "shelf_"

    def get_provider_schema(self, diags: utils.Diagnostics) -> schema.Schema:
        del diags
        return schema.Schema(attributes=[schema.Attribute("folder", types.String(), optional=True)])

    def full_name(self) -> str:
        return SOURCE

    def validate_config(self, diags: utils.Diagnostics, config: iface.Config) -> None:
        del diags, config

    def configure_provider(self, diags: utils.Diagnostics, config: iface.Config) -> None:
        folder = config.get("folder") or os.environ.get("SHELF_FOLDER", "")
        if not folder:
            diags.add_error("The shelf has no folder", "set folder in the provider's block, or SHELF_FOLDER")
        self.folder = Path(str(folder))

    def get_data_sources(self) -> list[type[iface.DataSource]]:
        return []

    def get_resources(self) -> list[type[iface.Resource]]:
        return [Item]


if __name__ == "__main__":
    runner.run_provider(Shelf())
