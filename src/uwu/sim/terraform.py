"""Terraform of the simulated company: what its pipelines make through AWS's APIs, and the v4 states they keep."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from uwu.kernel import urns

PROVIDER = 'provider["registry.terraform.io/hashicorp/aws"]'
VERSION = "1.11.4"


class Stack:
    """One root module: its resources as Terraform would keep them."""

    def __init__(self, name: str, *, owner: str, system: str, account: str, region: str, random: Any) -> None:
        self.name = name
        self.owner = owner
        self.system = system
        self.account = account
        self.region = region
        self.lineage = str(uuid.UUID(int=random.getrandbits(128), version=4))
        self.serial = random.randint(12, 90)
        self._resources: dict[tuple[str, str, str], list[dict[str, Any]]] = {}

    def add(
        self,
        type: str,
        name: str,
        attributes: Mapping[str, Any],
        *,
        key: int | str | None = None,
        module: str = "",
        sensitive: tuple[str, ...] = (),
    ) -> str:
        """Keeps a resource and gives its address. ``sensitive`` names attributes that Terraform marks so."""
        instance: dict[str, Any] = {
            "schema_version": 1,
            "attributes": dict(attributes),
            "sensitive_attributes": [[{"type": "get_attr", "value": each}] for each in sensitive],
        }
        if key is not None:
            instance["index_key"] = key
        self._resources.setdefault((module, type, name), []).append(instance)
        address = f"{module}.{type}.{name}" if module else f"{type}.{name}"
        return address if key is None else f"{address}[{key}]" if isinstance(key, int) else f'{address}["{key}"]'

    def state(self) -> bytes:
        """The state file, format version 4."""
        resources = [
            {
                **({"module": module} if module else {}),
                "mode": "managed",
                "type": type,
                "name": name,
                "provider": PROVIDER,
                "instances": instances,
            }
            for (module, type, name), instances in sorted(self._resources.items())
        ]
        document = {
            "version": 4,
            "terraform_version": VERSION,
            "serial": self.serial,
            "lineage": self.lineage,
            "outputs": {},
            "resources": resources,
            "check_results": None,
        }
        return msgspec.json.format(msgspec.json.encode(document), indent=2)

    def arns(self) -> Iterator[str]:
        """Those of its resources that have one."""
        for instances in self._resources.values():
            for instance in instances:
                if arn := instance["attributes"].get("arn"):
                    yield urns.canonical(str(arn))

    @property
    def count(self) -> int:
        """How many instances it declares."""
        return sum(len(each) for each in self._resources.values())
