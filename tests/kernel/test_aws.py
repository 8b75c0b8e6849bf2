"""The way to AWS: what errors mean, clients that are few, credentials that are assumed once and never shown."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore import exceptions as boto
from botocore.exceptions import ClientError

from tests.domains.inventory import world
from uwu.kernel import aws as aws_module
from uwu.kernel.aws import AssumeRoleDenied, Aws
from uwu.kernel.aws_errors import classify, clean
from uwu.kernel.aws_fast.times import wire_time
from uwu.kernel.errors import Denied, Misconfigured
from uwu.kernel.model import CellStatus
from uwu.kernel.settings import AwsSettings


def client_error(code: str, message: str = "no", status: int = 400) -> ClientError:
    answer: Any = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "ListThings")


@pytest.mark.parametrize(
    ("code", "status"),
    [
        *((code, CellStatus.DENIED) for code in ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation")),
        *((code, CellStatus.DENIED) for code in ("AuthorizationError", "com.x#AccessDeniedException")),
        *((code, CellStatus.THROTTLED) for code in ("Throttling", "ThrottlingException", "RequestLimitExceeded")),
        *((code, CellStatus.THROTTLED) for code in ("SlowDown", "TooManyRequestsException", "RequestThrottled")),
        *((code, CellStatus.UNSUPPORTED) for code in ("OptInRequired", "InvalidAction", "UnknownOperationException")),
        *((code, CellStatus.UNSUPPORTED) for code in ("404", "501", "500")),
        *((code, CellStatus.FAILED) for code in ("InternalError", "ServiceUnavailable", "ExpiredToken")),
    ],
)
def test_every_code_has_its_status(code: str, status: CellStatus) -> None:
    failure = classify(client_error(code))
    assert failure.status is status
    assert "ListThings" in failure.message or failure.code in {"region-off", "aws-credentials"}


@pytest.mark.parametrize("code", ["AuthFailure", "InvalidClientTokenId", "UnrecognizedClientException"])
def test_refused_credentials_mean_a_region_that_is_off_only_away_from_home(code: str) -> None:
    away, home = classify(client_error(code), foreign_region=True), classify(client_error(code))
    assert (away.status, away.code) == (CellStatus.UNSUPPORTED, "region-off")
    assert (home.status, home.code) == (CellStatus.FAILED, "aws-credentials")


def test_network_errors_fail_and_an_endpoint_without_a_name_is_a_region_that_is_off() -> None:
    gone = boto.EndpointConnectionError(endpoint_url="https://sqs.xx-1.amazonaws.com", error="Failed to resolve 'sqs'")
    assert classify(gone, foreign_region=True).code == "region-off"
    assert classify(gone).code == "network"
    refused = boto.EndpointConnectionError(endpoint_url="https://x", error="Connection refused")
    assert classify(refused, foreign_region=True).status is CellStatus.FAILED
    assert classify(boto.ReadTimeoutError(endpoint_url="https://x")).code == "network"


def test_no_message_holds_a_credential() -> None:
    secret = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEYEXAMPLE"
    text = clean(f"key AKIAIOSFODNN7EXAMPLE and {secret}\nx-amz-security-token:tiny-token trailing")
    assert "AKIA" not in text and secret not in text and "tiny-token" not in text and "\n" not in text
    assert "key ***" in text
    assert len(clean("long words " * 100)) == 300


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> pytest.MonkeyPatch:
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    return monkeypatch


def opened(monkeypatch: pytest.MonkeyPatch, account: world.AccountWorld, url: str, **settings: Any) -> Aws:
    for name, value in account.keys.items():
        monkeypatch.setenv(name, value)
    return Aws(AwsSettings(endpoint_url=url, max_attempts=1, **settings))


def test_a_client_speaks_as_the_account_it_was_asked_for(environment: pytest.MonkeyPatch, aws_server: Any) -> None:
    own, other = world.new_account(aws_server.url), world.new_account(aws_server.url)
    aws = opened(environment, own, aws_server.url)
    assert aws.identity().account == own.id
    assert aws.client("sts").get_caller_identity()["Account"] == own.id
    caller = aws.client("sts", other.id, "eu-west-1").get_caller_identity()
    assert caller["Account"] == other.id
    assert caller["Arn"].endswith("assumed-role/uwu-observer/uwu")


def test_the_role_is_assumed_once_for_many_threads_and_clients_stay_bounded(
    environment: pytest.MonkeyPatch, aws_server: Any
) -> None:
    environment.setattr(aws_module, "CLIENTS", 3)
    with world.faulty(aws_server.url) as proxy:
        own, other = world.new_account(aws_server.url), world.new_account(aws_server.url)
        aws = opened(environment, own, proxy.url, external_id="from-us")
        services = ["sqs", "sns", "iam", "ec2", "kms", "sqs", "sns", "iam"]
        barrier = threading.Barrier(len(services))

        def use(service: str) -> str:
            barrier.wait()
            return aws.client(service, other.id).meta.service_model.service_name

        with ThreadPoolExecutor(len(services)) as pool:
            assert list(pool.map(use, services)) == services
        assumed = [r for r in proxy.requests if r.action == "AssumeRole"]
    assert len(assumed) == 1
    assert "RoleSessionName=uwu" in assumed[0].body and "ExternalId=from-us" in assumed[0].body
    assert len(aws._clients) == 3


def test_threads_of_two_accounts_share_a_client_and_never_a_signature(
    environment: pytest.MonkeyPatch, aws_server: Any
) -> None:
    accounts = [world.new_account(aws_server.url) for _ in range(4)]
    aws = opened(environment, accounts[0], aws_server.url)
    barrier = threading.Barrier(8)

    def names(number: int) -> set[str]:
        account = accounts[number % 4].id
        barrier.wait()
        sqs = aws.client("sqs", account)
        for turn in range(5):
            sqs.create_queue(QueueName=f"q-{number}-{turn}")
        pages = sqs.get_paginator("list_queues").paginate()
        return {url.split("/")[-2] for page in pages for url in page["QueueUrls"]} | {account}

    with ThreadPoolExecutor(8) as pool:
        seen = list(pool.map(names, range(8)))
    assert seen == [{accounts[n % 4].id} for n in range(8)]
    assert len(aws._clients) == 2


def test_assumed_credentials_are_renewed_before_they_end(environment: pytest.MonkeyPatch, aws_server: Any) -> None:
    with world.faulty(aws_server.url) as proxy:
        own, other = world.new_account(aws_server.url), world.new_account(aws_server.url)
        aws = opened(environment, own, proxy.url)
        client = aws.client("sqs", other.id)
        client.list_queues()
        aws.credentials(other.id)._expiry_time = datetime.now(UTC) + timedelta(minutes=5)
        client.list_queues()
        assert proxy.count("AssumeRole") == 2


def test_a_refused_role_is_a_typed_error_and_is_not_asked_again_at_once(
    environment: pytest.MonkeyPatch, aws_server: Any
) -> None:
    with world.faulty(aws_server.url) as proxy:
        proxy.faults.append(world.Fault(lambda r: r.action == "AssumeRole", "AccessDenied", 403))
        own, other = world.new_account(aws_server.url), world.new_account(aws_server.url)
        aws = opened(environment, own, proxy.url)
        for _ in range(3):
            with pytest.raises(AssumeRoleDenied) as caught:
                aws.client("sqs", other.id)
        assert caught.value.problem.code == "assume-role-denied" and other.id in str(caught.value)
        assert classify(caught.value).status is CellStatus.DENIED
        assert proxy.count("AssumeRole") == 1


def test_a_profile_that_does_not_exist(environment: pytest.MonkeyPatch) -> None:
    with pytest.raises(Denied) as caught:
        Aws(AwsSettings(profile="nobody", endpoint_url="http://127.0.0.1:9")).identity()
    assert caught.value.problem.code == "aws-credentials" and "nobody" in str(caught.value)


def test_an_endpoint_that_is_no_url(environment: pytest.MonkeyPatch, aws_server: Any) -> None:
    aws = opened(environment, world.new_account(aws_server.url), "nowhere at all")
    with pytest.raises(Misconfigured) as caught:
        aws.identity()
    assert caught.value.problem.code == "aws-endpoint"


def test_times_are_read_as_botocore_reads_them() -> None:
    for text in ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05.678Z", "2026-01-02T03:04:05+00:00", "20260102T030405Z"):
        assert wire_time(text).utcoffset() == timedelta(0)
    assert wire_time(1_700_000_000.5) == datetime.fromtimestamp(1_700_000_000.5, UTC)
    assert wire_time("Fri, 02 Jan 2026 03:04:05 GMT") == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
