from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from uwu.kernel import codec


@pytest.fixture(scope="session")
def objects(shared_data: Path) -> list[Path]:
    """55 real CloudTrail objects (2,900 events of one account, under attack simulation)."""
    return sorted((shared_data / "cloudtrail" / "invictus").glob("*.json"))


@pytest.fixture(scope="session")
def records(objects: list[Path]) -> list[dict[str, Any]]:
    """Their records in the order of time."""
    found = [record for path in objects for record in codec.decode(path.read_bytes())["Records"]]
    return sorted(found, key=lambda record: record["eventTime"])


@pytest.fixture(scope="session")
def by_id(records: list[dict[str, Any]]) -> Mapping[str, dict[str, Any]]:
    return {record["eventID"]: record for record in records}


@pytest.fixture
def made() -> Iterator[Any]:
    """Makes a record of one's own."""

    number = 0

    def make(name: str, source: str = "ec2.amazonaws.com", **members: Any) -> dict[str, Any]:
        nonlocal number
        number += 1
        return {
            "eventVersion": "1.08",
            "eventID": f"00000000-0000-4000-8000-{number:012d}",
            "eventTime": "2026-03-10T14:00:00Z",
            "eventSource": source,
            "eventName": name,
            "awsRegion": "eu-west-1",
            "sourceIPAddress": "192.0.2.7",
            "userAgent": "aws-cli/2.15.0",
            "requestParameters": None,
            "responseElements": None,
            "readOnly": False,
            "recipientAccountId": "111122223333",
            "userIdentity": {
                "type": "IAMUser",
                "userName": "mira.k",
                "accountId": "111122223333",
                "arn": "arn:aws:iam::111122223333:user/mira.k",
                "principalId": "AIDAEXAMPLE",
            },
            **members,
        }

    yield make
