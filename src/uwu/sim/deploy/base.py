"""What every part of a deployment has: who applies it, where, and how things are tagged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from uwu.sim.cloudtrail import Identity, Recorder
from uwu.sim.terraform import Stack


class Deployment:
    """One stack, applied by one identity in its account and region."""

    def __init__(self, recorder: Recorder, identity: Identity, stack: Stack, tags: Mapping[str, str]) -> None:
        self._recorder = recorder
        self._identity = identity
        self.stack = stack
        self.account = stack.account
        self.region = stack.region
        self.base_tags = dict(tags)

    def aws(self, service: str) -> Any:
        return self._recorder.client(self._identity, service, self.region)

    def tags(self, name: str, **more: str) -> dict[str, str]:
        return {"Name": name, **self.base_tags, **more}

    def _arn(self, service: str, resource: str, *, region: bool = True) -> str:
        return f"arn:aws:{service}:{self.region if region else ''}:{self.account}:{resource}"

    def _tagged(self, tags: Mapping[str, str]) -> dict[str, Any]:
        return {"tags": dict(tags), "tags_all": dict(tags)}


def pairs(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags as most services take them."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def spec(kind: str, tags: Mapping[str, str]) -> list[dict[str, Any]]:
    """Tags as EC2 takes them at creation."""
    return [{"ResourceType": kind, "Tags": pairs(tags)}]
