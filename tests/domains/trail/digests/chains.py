"""Chains of digests on moto, and what ``aws cloudtrail validate-logs`` says of them."""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import botocore.session

from tests.conftest import missing
from uwu.kernel import codec
from uwu.sim import digests
from uwu.sim.digests import Log, Signer, Trail

ACCOUNT, REGION, HOME = "111122223333", "eu-west-1", "us-east-1"
START = datetime(2026, 3, 10, 0, 14, 6, tzinfo=UTC)
"""The end of the first digest's hour."""
HOUR = timedelta(hours=1)


class Chained:
    """A bucket of its own with log files and the digests of a trail."""

    def __init__(self, url: str, *, organization: str = "", region: str = REGION) -> None:
        self.url = url
        self.region = region
        self.s3: Any = botocore.session.get_session().create_client("s3", region_name=HOME, endpoint_url=url)
        self.bucket = f"digests-{uuid.uuid4().hex[:12]}"
        self.s3.create_bucket(Bucket=self.bucket)
        prefix = f"AWSLogs/{organization}/" if organization else "AWSLogs/"
        self.trail = Trail(name=f"main-{uuid.uuid4().hex[:6]}", home=HOME, bucket=self.bucket, prefix=prefix)
        self.signer = Signer()
        self.signer.publish(url, START - 48 * HOUR, START + 48 * HOUR)
        self.logs: list[Log] = []

    @property
    def source(self) -> str:
        return f"s3://{self.bucket}/AWSLogs/"

    def put(self, key: str, body: bytes, metadata: dict[str, str]) -> None:
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body, Metadata=metadata)

    def log(self, at: datetime) -> Log:
        """A log file that was delivered at ``at``."""
        text = codec.encode({"Records": [{"eventID": str(uuid.uuid4()), "eventTime": codec.iso(at)}]})
        folder = f"{self.trail.prefix}{ACCOUNT}/CloudTrail/{self.region}/{at:%Y/%m/%d}"
        key = f"{folder}/{ACCOUNT}_CloudTrail_{self.region}_{at:%Y%m%dT%H%MZ}_{uuid.uuid4().hex[:16]}.json.gz"
        self.put(key, gzip.compress(text), {})
        log = Log(ACCOUNT, self.region, at, key, hashlib.sha256(text).hexdigest(), at, at)
        self.logs.append(log)
        return log

    def chain(
        self,
        first: int,
        count: int,
        *,
        previous: digests.Previous | None = None,
        backfilled: datetime | None = None,
        alter: Callable[[dict[str, Any]], None] = lambda _content: None,
    ) -> digests.Previous | None:
        """Digests of the hours ``first`` and on, each with two log files."""
        hours = []
        for n in range(first, first + count):
            end = START + n * HOUR
            hours.append((end, [self.log(end - HOUR / 2), self.log(end - HOUR / 4)]))
        return digests.write(
            self.signer, self.trail, ACCOUNT, self.region, hours, self.put, previous=previous, backfilled=backfilled,
            alter=alter,
        )  # fmt: skip

    def key(self, n: int, *, backfill: bool = False) -> str:
        """The key of the digest of hour ``n``."""
        return digests.place(self.trail, ACCOUNT, self.region, START + n * HOUR, backfill=backfill)

    def delete(self, key: str) -> None:
        self.s3.delete_object(Bucket=self.bucket, Key=key)

    def change(self, key: str, change: Callable[[bytes], bytes], metadata: dict[str, str] | None = None) -> None:
        """Puts another body where one was, with its metadata or another."""
        held = self.s3.get_object(Bucket=self.bucket, Key=key)
        self.put(key, change(held["Body"].read()), held["Metadata"] if metadata is None else metadata)


def aws_cli() -> str:
    """The program ``aws``, beside the interpreter or where ``UWU_AWS_CLI`` tells.

    Without it the test is left out; in CI it fails.
    """
    beside = Path(sys.executable).with_name("aws")
    found = os.environ.get("UWU_AWS_CLI") or (str(beside) if beside.exists() else shutil.which("aws"))
    if not found:
        missing("the AWS CLI", "pip install awscli")
    return found


def validate(chained: Chained, hours: int, *, organization_trail: str = "") -> tuple[set[tuple[str, str]], str]:
    """What the AWS CLI finds invalid: ({(key, why)}, all it said). ``organization_trail`` is an ARN."""
    trail = organization_trail or f"arn:aws:cloudtrail:{HOME}:{ACCOUNT}:trail/{chained.trail.name}"
    asked = ["--start-time", codec.iso(START - HOUR), "--end-time", codec.iso(START + hours * HOUR), "--verbose"]
    asked += ["--account-id", ACCOUNT] if organization_trail else ["--s3-bucket", chained.bucket]
    ran = subprocess.run(
        [aws_cli(), "cloudtrail", "validate-logs", "--region", chained.region, "--trail-arn", trail, *asked],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PYTHON"))},
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_ENDPOINT_URL": chained.url,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        },
    )
    said = ran.stdout + ran.stderr
    assert "Results requested" in said, said
    invalid = re.findall(rf"s3://{chained.bucket}/(\S+)\tINVALID: (.+)", said)
    assert ran.returncode == (1 if invalid else 0), said
    return set(invalid), said
