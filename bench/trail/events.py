"""Events by the million: the recorded calls with other times, ids, names, accounts and callers.

Each event is one of the patterns with its own event id, request id, resource ids and names, made by one of some
hundreds of sessions: SSO people, pipelines, services and instances, each opened by an AssumeRole that is told too.
"""

from __future__ import annotations

import json
import random
import re
from bisect import bisect
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from bench.trail import calls
from uwu.sim.identities import BOTO3, CLI, CONSOLE, SSO_SUFFIX, TERRAFORM

ACCOUNTS = tuple(f"{210_000_000_000 + 37 * n}" for n in range(40))
REGIONS = ("eu-west-1", "us-east-1", "eu-central-1")
START = datetime(2026, 3, 2, tzinfo=UTC)
WRITE_SHARE = 0.16
"""Of the events: what 3,210 real ones of two public sets had."""
ISSUE_SHARE = 0.08
"""Of the events: roles that something takes on, most for a few calls."""
NAMES = 4_000
"""Different names of resources of one kind."""

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_SLOTS = re.compile(
    rf"(?P<uuid>{_UUID.pattern})|(?P<hex>(?<=-)[0-9a-f]{{17}}(?![0-9a-f]))|(?P<name>bench-\d{{4}})|"
    rf"(?P<account>{calls.ACCOUNT})|(?P<region>{calls.REGION})|(?P<at>@AT@)|(?P<who>\"@WHO@\")|"
    r"(?P<ip>@IP@)|(?P<agent>@AGENT@)|(?P<id>@ID@)"
)
_KINDS = ("uuid", "hex", "name")
_AGENTS = (CONSOLE, CLI, TERRAFORM, BOTO3)


class _Session:
    """Who calls: its ``userIdentity`` as text, and the event that opened it."""

    def __init__(self, number: int, rng: random.Random) -> None:
        account = rng.choice(ACCOUNTS)
        self.account = account
        self.region = rng.choices(REGIONS, (6, 3, 1))[0]
        kind = rng.choices(("sso", "ci", "service", "instance", "user"), (30, 25, 25, 15, 5))[0]
        self.ip = f"198.51.100.{number % 250}" if kind != "instance" else f"10.{number % 200}.3.{number % 250}"
        self.agent = {"sso": rng.choice((CONSOLE, CLI)), "ci": TERRAFORM, "user": CLI}.get(kind, BOTO3)
        self.opened: dict[str, Any] | None = None
        if kind == "user":
            user = f"legacy-{number % 20}"
            self.who = _text(
                {
                    "type": "IAMUser",
                    "principalId": f"AIDA{number:017d}",
                    "arn": f"arn:aws:iam::{account}:user/{user}",
                    "accountId": account,
                    "accessKeyId": f"AKIA{number:016d}",
                    "userName": user,
                }
            )
            return
        role, path = f"{kind}-{number % 60}", ""
        name = {"instance": f"i-{rng.getrandbits(68):017x}", "service": f"{kind}-task-{number}"}.get(
            kind, f"person{number % 120}@larkspur.example"
        )
        if kind == "sso":
            role = f"AWSReservedSSO_Administrator_{SSO_SUFFIX('Administrator')}"
            path = "aws-reserved/sso.amazonaws.com/eu-west-1/"
        issuer = f"arn:aws:iam::{account}:role/{path}{role}"
        key, unique = f"ASIA{number:016d}", f"AROA{number % 997:017d}"
        arn = f"arn:aws:sts::{account}:assumed-role/{role}/{name}"
        session = {
            "sessionIssuer": {
                "type": "Role",
                "principalId": unique,
                "arn": issuer,
                "accountId": account,
                "userName": role,
            },
            "webIdFederationData": {},
            "attributes": {"creationDate": f"{START:%Y-%m-%dT%H:%M:%SZ}", "mfaAuthenticated": "false"},
        }
        if kind == "instance":
            session["ec2RoleDelivery"] = "2.0"
        self.who = _text(
            {
                "type": "AssumedRole",
                "principalId": f"{unique}:{name}",
                "arn": arn,
                "accountId": account,
                "accessKeyId": key,
                "sessionContext": session,
            }
        )
        caller: dict[str, Any] = {"type": "AWSService", "invokedBy": "ecs-tasks.amazonaws.com"}
        if kind == "ci":
            caller = {
                "type": "WebIdentityUser",
                "principalId": f"arn:aws:iam::{account}:oidc-provider/ci:repo:larkspur/app{number % 50}",
                "userName": f"repo:larkspur/app{number % 50}:ref:refs/heads/main",
                "identityProvider": f"arn:aws:iam::{account}:oidc-provider/ci",
            }
        self.opened = {
            "userIdentity": caller,
            "requestParameters": {"roleArn": issuer, "roleSessionName": name, "durationSeconds": 43200},
            "responseElements": {
                "credentials": {
                    "accessKeyId": key,
                    "sessionToken": "IQoJb3JpZ2luX2VjE" + "x" * 560,
                    "expiration": "Mar 10, 2026, 9:55:24 PM",
                },
                "assumedRoleUser": {"assumedRoleId": f"{unique}:{name}", "arn": arn},
            },
            "resources": [{"accountId": account, "type": "AWS::IAM::Role", "ARN": issuer}],
        }


def _text(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


class _Pattern:
    """A record cut at what differs from one event to the next."""

    def __init__(self, record: dict[str, Any]) -> None:
        shown = {**record, "userIdentity": "@WHO@", "eventTime": "@AT@", "eventID": "@ID@"}
        shown |= {"sourceIPAddress": "@IP@", "userAgent": "@AGENT@"} | _beside(record)
        text = _text(shown)
        self.parts: list[str] = []
        self.slots: list[int] = []
        """Which value stands between two parts: 0 to 6 of the event, from 7 on its ids and names."""
        self.own: list[str] = []
        """The kind of each id and name."""
        common = {kind: i for i, kind in enumerate(("at", "who", "ip", "agent", "id", "account", "region"))}
        seen: dict[str, int] = {}
        at = 0
        for match in _SLOTS.finditer(text):
            self.parts.append(text[at : match.start()])
            at = match.end()
            kind = match.lastgroup or ""
            if kind in common:
                self.slots.append(common[kind])
                continue
            if match[0] not in seen:
                seen[match[0]] = len(common) + len(self.own)
                self.own.append(kind)
            self.slots.append(seen[match[0]])
        self.last = text[at:]


def _beside(record: dict[str, Any]) -> dict[str, Any]:
    """What AWS adds to records of a service, and moto's answers cannot tell."""
    if record["eventSource"] == "kms.amazonaws.com":
        key = f"arn:aws:kms:{calls.REGION}:{calls.ACCOUNT}:key/11111111-2222-4333-8444-555555555555"
        return {"resources": [{"accountId": calls.ACCOUNT, "type": "AWS::KMS::Key", "ARN": key}]}
    if record["eventSource"] == "s3.amazonaws.com":
        bucket = {"accountId": calls.ACCOUNT, "type": "AWS::S3::Bucket", "ARN": "arn:aws:s3:::bench-0005"}
        return {
            "additionalEventData": {
                "SignatureVersion": "SigV4",
                "CipherSuite": "TLS_AES_128_GCM_SHA256",
                "bytesTransferredIn": 0,
                "AuthenticationMethod": "AuthHeader",
                "x-amz-id-2": "Zk1x" * 19,
                "bytesTransferredOut": 561,
            },
            "resources": [bucket],
            "vpcEndpointId": "vpce-0a1b2c3d4e5f60718",
        }
    return {}


@cache
def _patterns() -> tuple[list[_Pattern], list[_Pattern]]:
    found = calls.recorded()
    return (
        [_Pattern(record) for record in found if record["readOnly"]],
        [_Pattern(record) for record in found if not record["readOnly"]],
    )


class Events:
    """Events in the order of time, from ``START`` on; the same seed makes the same ones."""

    def __init__(self, *, seed: int = 1, per_day: int = 1_000_000, sessions: int = 400) -> None:
        self._rng = random.Random(seed)
        self._step = 86_400 / per_day
        self._made = 0
        self._sessions = [_Session(seed * 100_000 + n, self._rng) for n in range(sessions)]
        weights = [1 / (n + 3) for n in range(sessions)]
        self._heap = [sum(weights[: n + 1]) for n in range(sessions)]
        self._opened = 0

    def take(self, count: int) -> Iterator[str]:
        """The next ``count`` events, each as JSON text."""
        rng = self._rng
        reads, writes = _patterns()
        sessions, heap, top = self._sessions, self._heap, self._heap[-1]
        bits, pick = rng.getrandbits, rng.random
        for _ in range(count):
            at = (START + timedelta(seconds=self._made * self._step)).strftime("%Y-%m-%dT%H:%M:%SZ")
            self._made += 1
            if self._opened < len(sessions):
                session = sessions[self._opened]
                self._opened += 1
                if session.opened is not None:
                    yield self._issue(session, at)
                    continue
            session = sessions[bisect(heap, pick() * top)]
            if session.opened is not None and pick() < ISSUE_SHARE:
                yield self._issue(session, at, f"ASIA{bits(64):016X}")
                continue
            group = writes if pick() < WRITE_SHARE else reads
            pattern = group[int(pick() * len(group))]
            values = [at, session.who, session.ip, session.agent, _uuid(bits), session.account, session.region]
            values += [
                _uuid(bits) if kind == "uuid" else f"{bits(68):017x}" if kind == "hex" else f"svc-{int(pick() * NAMES)}"
                for kind in pattern.own
            ]
            pieces: list[str] = []
            for part, slot in zip(pattern.parts, pattern.slots, strict=True):
                pieces.append(part)
                pieces.append(values[slot])
            pieces.append(pattern.last)
            yield "".join(pieces)

    def _issue(self, session: _Session, at: str, key: str = "") -> str:
        bits = self._rng.getrandbits
        opened = dict(session.opened or {})
        if key:
            response = opened["responseElements"]
            opened["responseElements"] = response | {"credentials": response["credentials"] | {"accessKeyId": key}}
        return _text(
            {
                "eventVersion": "1.08",
                "eventTime": at,
                "eventID": _uuid(bits),
                "requestID": _uuid(bits),
                "eventSource": "sts.amazonaws.com",
                "eventName": "AssumeRole",
                "awsRegion": session.region,
                "sourceIPAddress": "ecs-tasks.amazonaws.com",
                "userAgent": "ecs-tasks.amazonaws.com",
                "readOnly": True,
                "eventType": "AwsApiCall",
                "managementEvent": True,
                "eventCategory": "Management",
                "recipientAccountId": session.account,
                **opened,
            }
        )


def _uuid(bits: Any) -> str:
    text = f"{bits(128):032x}"
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{text[16:20]}-{text[20:]}"


def object_text(events: Sequence[str]) -> bytes:
    """An object's JSON."""
    return ('{"Records":[' + ",".join(events) + "]}").encode()
