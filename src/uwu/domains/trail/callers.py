"""Who signed the events of a batch: each identity is read and followed to its actor once, however much it did."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from uwu.domains.trail import actors, clients
from uwu.domains.trail.actors import SessionIndex
from uwu.domains.trail.read import Event
from uwu.kernel import codec
from uwu.kernel.model import Actor


class Caller(msgspec.Struct, gc=False):
    """An identity and the actor behind it."""

    number: int
    """Its place among the callers of the batch."""
    identity: dict[str, Any]
    text: str
    """The identity as JSON."""
    chain: str
    actor: Actor
    settled: bool
    account: str
    assumed_role: str
    through: dict[tuple[str, str], str]


class Callers:
    """The callers of one batch."""

    def __init__(self) -> None:
        self.all: list[Caller] = []
        self._identities: dict[bytes, dict[str, Any]] = {}
        self._known: dict[tuple[bytes, str], Caller] = {}

    def identities(self, events: Sequence[Event]) -> list[dict[str, Any]]:
        """Each identity of ``events`` once, in records as sessions are looked up by."""
        found: dict[tuple[bytes, str], dict[str, Any]] = {}
        for event in events:
            key = (bytes(event.identity), event.shared or "")
            if key not in found:
                found[key] = {"userIdentity": self._identity(key[0]), "sharedEventID": event.shared}
        return list(found.values())

    def _identity(self, text: bytes) -> dict[str, Any]:
        identity = self._identities.get(text)
        if identity is None:
            identity = self._identities[text] = codec.decode(text) or {}
        return identity

    def of(self, event: Event, index: SessionIndex) -> Caller:
        """Who signed ``event``. The first event of an identity stands for all: give events in the order of time."""
        key = (bytes(event.identity), event.shared or "")
        caller = self._known.get(key)
        if caller is None:
            identity = self._identity(key[0])
            actor = actors.resolve(identity, codec.parse_time(event.time), index, shared_event=key[1])
            principal_id = str(identity.get("principalId") or "")
            caller = self._known[key] = Caller(
                number=len(self.all),
                identity=identity,
                text=codec.encode(identity).decode(),
                chain=codec.encode(actor.chain).decode(),
                actor=actor,
                settled=actors.settled(actor),
                account=str(identity.get("accountId") or ""),
                assumed_role=principal_id if ":" in principal_id else "",
                through={},
            )
            self.all.append(caller)
        return caller


def through(caller: Caller, event: Event) -> str:
    """How the call came: Terraform, AWS console, AWS CLI, a service; empty where nothing tells."""
    key = (event.agent or "", event.from_console or "")
    found = caller.through.get(key)
    if found is None:
        record = {"userAgent": key[0], "sessionCredentialFromConsole": key[1], "userIdentity": caller.identity}
        found = caller.through[key] = clients.through(record)
    return found
