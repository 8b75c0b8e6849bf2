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
    """The callers of one batch, whose events are given in the order of time."""

    def __init__(self, events: Sequence[Event]) -> None:
        self.all: list[Caller] = []
        self.numbers: list[int] = []
        """For each event the number of its caller."""
        self._first: list[tuple[Event, dict[str, Any]]] = []
        seen: dict[tuple[bytes, str], int] = {}
        identities: dict[bytes, dict[str, Any]] = {}
        for event in events:
            text = bytes(event.identity)
            key = (text, event.shared)
            number = seen.get(key)
            if number is None:
                number = seen[key] = len(self._first)
                if text not in identities:
                    identity = codec.decode(text)
                    identities[text] = identity if isinstance(identity, dict) else {}
                self._first.append((event, identities[text]))
            self.numbers.append(number)

    def records(self) -> list[dict[str, Any]]:
        """Each identity once, in a record as sessions are looked up by."""
        return [{"userIdentity": identity, "sharedEventID": event.shared} for event, identity in self._first]

    def resolve(self, index: SessionIndex) -> None:
        """Follows each identity to its actor; its first event stands for all of them."""
        for number, (event, identity) in enumerate(self._first):
            at = codec.parse_time(event.time)
            actor = actors.resolve(identity, at, index, shared_event=event.shared)
            principal_id = str(identity.get("principalId") or "")
            self.all.append(
                Caller(
                    number=number,
                    identity=identity,
                    text=codec.encode(identity).decode(),
                    chain=codec.encode(actor.chain).decode(),
                    actor=actor,
                    settled=actors.settled(actor),
                    account=str(identity.get("accountId") or ""),
                    assumed_role=principal_id if ":" in principal_id else "",
                    through={},
                )
            )


def through(caller: Caller, event: Event) -> str:
    """How the call came: Terraform, AWS console, AWS CLI, a service; empty where nothing tells."""
    key = (event.agent, event.from_console)
    found = caller.through.get(key)
    if found is None:
        record = {"userAgent": key[0], "sessionCredentialFromConsole": key[1], "userIdentity": caller.identity}
        found = caller.through[key] = clients.through(record)
    return found
