"""A Terraform provider whose world is a folder: one JSON file a thing."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from tf import runner, types
from tf.schema import Attribute, Schema

WORLD = Path(os.environ["UWU_TEST_WORLD"])


class Thing:
    """A thing of the world, by its name."""

    def __init__(self, provider: Any) -> None:
        pass

    @classmethod
    def get_name(cls) -> str:
        return "thing"

    @classmethod
    def get_schema(cls) -> Schema:
        text = types.String()
        return Schema(
            attributes=[
                Attribute("id", text, computed=True),
                Attribute("name", text, required=True, requires_replace=True),
                Attribute("size", types.Number(), optional=True),
                Attribute("labels", types.Map(text), optional=True),
                Attribute("policy", text, optional=True),
                Attribute("token", text, optional=True, sensitive=True),
                Attribute("subnet_ids", types.List(text), optional=True),
                Attribute("arn", text, optional=True),
                Attribute("updated_at", text, computed=True),
            ]
        )

    def validate(self, diags: Any, type_name: str, config: Any) -> None:
        pass

    def _write(self, planned: Any) -> dict[str, Any]:
        told = {**planned, "id": planned["name"], "updated_at": "2026-01-01T00:00:00Z"}
        (WORLD / f"{planned['name']}.json").write_text(json.dumps(told))
        return told

    def create(self, ctx: Any, planned: Any) -> Any:
        return self._write(planned)

    def update(self, ctx: Any, current: Any, planned: Any) -> Any:
        return self._write(planned)

    def read(self, ctx: Any, current: Any) -> Any:
        path = WORLD / f"{current['id']}.json"
        return json.loads(path.read_text()) if path.exists() else None

    def delete(self, ctx: Any, current: Any) -> None:
        (WORLD / f"{current['id']}.json").unlink(missing_ok=True)

    def plan(self, ctx: Any, current: Any, planned: Any) -> Any:
        return planned

    def import_(self, ctx: Any, id: str) -> Any:
        return self.read(ctx, {"id": id})

    def upgrade(self, ctx: Any, version: int, old: Any) -> Any:
        return old


class World:
    """The provider."""

    def get_model_prefix(self) -> str:
        return "world_"

    def get_provider_schema(self, diags: Any) -> Schema:
        return Schema()

    def full_name(self) -> str:
        return "registry.terraform.io/uwu/world"

    def validate_config(self, diags: Any, config: Any) -> None:
        pass

    def configure_provider(self, diags: Any, config: Any) -> None:
        pass

    def get_data_sources(self) -> list[Any]:
        return []

    def get_resources(self) -> list[Any]:
        return [Thing]

    def get_functions(self) -> list[Any]:
        return []

    def new_resource(self, klass: Any) -> Any:
        return klass(self)


if __name__ == "__main__":
    runner.run_provider(World(), sys.argv)  # type: ignore[arg-type]
