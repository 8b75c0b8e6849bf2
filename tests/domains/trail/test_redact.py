"""Credentials and passwords are not kept; through which client a call came is."""

from __future__ import annotations

from typing import Any

import pytest

from uwu.domains.trail.clients import of_agent, through
from uwu.domains.trail.redact import REDACTED, redact
from uwu.kernel import codec


def test_secrets_are_replaced():
    value = {
        "credentials": {"accessKeyId": "ASIAEXAMPLE", "sessionToken": "IQo", "SecretAccessKey": "abc"},
        "list": [{"masterUserPassword": "hunter2"}, {"secretString": "{}"}],
        "clientToken": "kept",
        "passwordResetRequired": True,
        "manageMasterUserPassword": True,
        "passwordData": "",
    }
    kept = redact(value)
    assert kept["credentials"] == {"accessKeyId": "ASIAEXAMPLE", "sessionToken": REDACTED, "SecretAccessKey": REDACTED}
    assert kept["list"] == [{"masterUserPassword": REDACTED}, {"secretString": REDACTED}]
    assert (kept["clientToken"], kept["passwordResetRequired"], kept["manageMasterUserPassword"]) == (
        "kept",
        True,
        True,
    )
    assert value["credentials"]["sessionToken"] == "IQo"
    same = {"a": [1, {"b": "c"}]}
    assert redact(same) is same


def test_no_session_token_of_real_responses_is_kept(records: list[dict[str, Any]]):
    tokens = {
        record["responseElements"]["credentials"]["sessionToken"]
        for record in records
        if record["eventName"] == "AssumeRole" and (record.get("responseElements") or {}).get("credentials")
    }
    assert len(tokens) > 10
    kept = "".join(codec.encode(redact(record.get("responseElements"))).decode() for record in records)
    assert not any(token in kept for token in tokens)


@pytest.mark.parametrize(
    ("agent", "client"),
    [
        ("APN/1.0 HashiCorp/1.0 Terraform/1.1.2 (+https://www.terraform.io) terraform-provider-aws/4.0", "Terraform"),
        ("aws-cli/2.15.0 Python/3.11.6 Linux/6.1 exe/x86_64 prompt/off command/s3.ls", "AWS CLI"),
        ("[S3Console/0.4, aws-internal/3 aws-sdk-java/1.12.488 Linux/5.10]", "AWS console"),
        ("Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:102.0) Gecko/20100101 Firefox/102.0", "AWS console"),
        ("[Boto3/1.26.165 Python/3.10.6 Linux/5.19.0-46-generic Botocore/1.29.165]", "boto3"),
        ("aws-sdk-go/1.41.4 (go1.18.3; linux; amd64) amazon-ssm-agent/", "SSM agent"),
        ("aws-sdk-go-v2/1.17.0 os/linux lang/go/1.18.10", "AWS SDK for Go"),
        ("cloudformation.amazonaws.com", "CloudFormation"),
        ("rds.amazonaws.com", "rds.amazonaws.com"),
        ("stratus-red-team_39f95f43-cd2f-4beb-b69e-be60b6fe1f57", "stratus-red-team"),
        ("AWS Internal", ""),
        ("", ""),
    ],
)
def test_clients(agent: str, client: str):
    assert of_agent(agent) == client


def test_the_console_is_told_by_its_credentials(made: Any):
    record = made("RunInstances", userAgent="AWS Internal", sessionCredentialFromConsole="true")
    assert through(record) == "AWS console"
    service = made("CreateVpc", userAgent="AWS Internal", userIdentity={"invokedBy": "cloudformation.amazonaws.com"})
    assert through(service) == "CloudFormation"
