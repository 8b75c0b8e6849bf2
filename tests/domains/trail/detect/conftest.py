from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import botocore.session
import pytest

from tests.domains.trail.test_ingest import take, write
from uwu.domains.trail.detect import jobs
from uwu.kernel.runtime import Kernel
from uwu.sim.cloudtrail import Clock, Identity, Recorder

ACCOUNT = "111122223333"
START = datetime.fromisoformat("2026-03-10T14:00:00+00:00")
CLI = "aws-cli/2.15.0 Python/3.11"


def user(name: str = "mira.k", ip: str = "198.51.100.7", agent: str = CLI) -> Identity:
    return Identity(
        user_identity={
            "type": "IAMUser",
            "principalId": f"AIDA{name.upper():X<16}"[:21],
            "arn": f"arn:aws:iam::{ACCOUNT}:user/{name}",
            "accountId": ACCOUNT,
            "accessKeyId": "AKIAEXAMPLE000000001",
            "userName": name,
        },
        account=ACCOUNT,
        user_agent=agent,
        source_ip=ip,
        access_key="AKIAEXAMPLE000000001",
        secret_key="none",
    )


def root() -> Identity:
    return Identity(
        user_identity={
            "type": "Root",
            "principalId": ACCOUNT,
            "arn": f"arn:aws:iam::{ACCOUNT}:root",
            "accountId": ACCOUNT,
        },
        account=ACCOUNT,
        user_agent=CLI,
        source_ip="203.0.113.9",
        access_key="AKIAROOT000000000001",
        secret_key="none",
    )


def role(name: str, session: str, ip: str = "198.51.100.7", **identity: Any) -> Identity:
    arn = f"arn:aws:iam::{ACCOUNT}:role/{name}"
    return Identity(
        user_identity={
            "type": "AssumedRole",
            "principalId": f"AROAEXAMPLE0000000001:{session}",
            "arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/{name}/{session}",
            "accountId": ACCOUNT,
            "accessKeyId": "ASIAEXAMPLE000000001",
            "sessionContext": {"sessionIssuer": {"type": "Role", "arn": arn, "accountId": ACCOUNT, "userName": name}},
            **identity,
        },
        account=ACCOUNT,
        user_agent=CLI,
        source_ip=ip,
        access_key="ASIAEXAMPLE000000001",
        secret_key="none",
    )


class Told:
    """The simulator's CloudTrail, told what is called and what is answered."""

    def __init__(self) -> None:
        self.clock = Clock(1)
        self.clock.set(START)
        self._recorder = Recorder("http://127.0.0.1:1", self.clock, seed=1)
        self._models = botocore.session.Session()

    def call(
        self, who: Identity, service: str, operation: str, *, error: str = "", answer: Any = None, **parameters: Any
    ) -> None:
        model = self._models.get_service_model(service).operation_model(operation)
        parsed = {"Error": {"Code": error, "Message": "no"}} if error else (answer or {})
        http = SimpleNamespace(status_code=403 if error else 200)
        self._recorder.record(who, service, "eu-west-1", model, parameters, parsed, http)

    def sign_in(self, who: Identity, *, success: bool = True, mfa: str = "Yes") -> None:
        self._recorder.add(
            ACCOUNT,
            {
                "userIdentity": {k: v for k, v in who.user_identity.items() if k != "accessKeyId"},
                "eventSource": "signin.amazonaws.com",
                "eventName": "ConsoleLogin",
                "awsRegion": "us-east-1",
                "sourceIPAddress": who.source_ip,
                "userAgent": "Mozilla/5.0",
                "responseElements": {"ConsoleLogin": "Success" if success else "Failure"},
                "additionalEventData": {"MobileVersion": "No", "MFAUsed": mfa},
                "readOnly": False,
                "eventType": "AwsConsoleSignIn",
                **({} if success else {"errorMessage": "Failed authentication"}),
            },
        )

    def wait(self, **span: float) -> None:
        self.clock.set(self.clock.at + timedelta(**span))

    @property
    def records(self) -> list[dict[str, Any]]:
        return [record for _, record in self._recorder.records]


@pytest.fixture
def told() -> Told:
    return Told()


class Trail:
    """Takes records in, and lets the rules see them."""

    def __init__(self, kernel: Kernel, folder: Path) -> None:
        self.kernel = kernel
        self._folder = folder
        self._number = 0

    def land(self, records: list[dict[str, Any]]) -> dict[str, Any]:
        self._number += 1
        take(self.kernel, write(self._folder / f"{self._number}.json.gz", *records))
        return jobs.detect(self.kernel, holder="test")


@pytest.fixture
def trail(sqlite_kernel: Kernel, tmp_path: Path) -> Iterator[Trail]:
    yield Trail(sqlite_kernel, tmp_path / "objects")
