"""What is sent is what botocore sends: address, body, headers and signature, for every protocol and endpoint."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import botocore.session
import pytest
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.credentials import Credentials, ReadOnlyCredentials
from botocore.exceptions import ParamValidationError
from botocore.regions import EndpointResolverBuiltins

from uwu.kernel.aws_fast.requests import OF_REGION, Request, Service, Unspoken
from uwu.kernel.aws_fast.sigv4 import Signable

HOME = "us-east-1"
KEYS = ("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
ARN = "arn:aws:sns:us-east-1:123456789012:topic"

CALLS: list[tuple[str, str, dict[str, Any]]] = [
    ("ec2", "DescribeInstances", {}),
    ("ec2", "DescribeInstances", {"Filters": [{"Name": "tag:a b", "Values": ["ü/~*", "x+y"]}], "MaxResults": 5}),
    ("iam", "ListRoles", {}),
    ("iam", "GetRole", {"RoleName": "a+b@c"}),
    ("sts", "GetCallerIdentity", {}),
    ("sqs", "ListQueues", {}),
    ("sqs", "ListQueues", {"QueueNamePrefix": "a/ü"}),
    ("dynamodb", "DescribeTable", {"TableName": "orders"}),
    ("lambda", "ListFunctions", {}),
    ("lambda", "GetFunction", {"FunctionName": "arn:aws:lambda:us-east-1:123456789012:function:f:1"}),
    ("lambda", "ListTags", {"Resource": "arn:aws:lambda:us-east-1:123456789012:function:f"}),
    ("route53", "ListHostedZones", {}),
    ("route53", "ListResourceRecordSets", {"HostedZoneId": "/hostedzone/Z1", "StartRecordName": r"\052.example.org."}),
    ("s3", "ListBuckets", {}),
    ("s3", "ListObjectsV2", {"Bucket": "plain-bucket", "Prefix": "a b/ü+", "MaxKeys": 7}),
    ("s3", "ListObjectVersions", {"Bucket": "dotted.bucket.name"}),
    ("s3", "GetBucketLocation", {"Bucket": "plain-bucket"}),
    ("s3", "GetBucketTagging", {"Bucket": "plain-bucket", "ExpectedBucketOwner": "123456789012"}),
    ("s3", "HeadBucket", {"Bucket": "plain-bucket"}),
    ("cloudwatch", "DescribeAlarms", {}),
    ("cloudfront", "ListDistributions", {"MaxItems": "10"}),
    ("glacier", "ListVaults", {}),
    ("apigateway", "GetRestApis", {}),
    ("organizations", "ListAccounts", {}),
    ("cognito-identity", "GetId", {"IdentityPoolId": "us-east-1:a"}),
    ("eks", "DescribeCluster", {"name": "prod"}),
    ("events", "ListRules", {}),
    ("cloudcontrol", "ListResources", {"TypeName": "AWS::S3::Bucket"}),
    ("rds", "DescribeDBInstances", {}),
    ("ecs", "ListClusters", {"maxResults": 10}),
    ("kms", "ListKeys", {}),
    ("logs", "DescribeLogGroups", {}),
    ("resourcegroupstaggingapi", "GetResources", {}),
    ("globalaccelerator", "ListAccelerators", {}),
    ("support", "DescribeServices", {}),
    ("tagging", "GetResources", {}),
]  # fmt: skip
REGIONS = ("us-east-1", "eu-central-1", "us-gov-west-1", "cn-north-1")


@pytest.fixture(scope="module")
def session() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as environment:
        for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"):
            environment.delenv(name, raising=False)
        environment.setenv("AWS_CONFIG_FILE", "/dev/null")
        made = botocore.session.Session()
        made.set_credentials(*KEYS)
        yield made


_services: dict[tuple[str, str, str], Service] = {}


def service_of(session: Any, name: str, region: str, endpoint: str = "") -> Service:
    """As ``FastClient`` keeps them: one for all regions but for a few services."""
    own = region if name in OF_REGION else HOME
    key = name, own, endpoint
    if key not in _services:
        client = session.create_client(name, region_name=own, endpoint_url=endpoint or None)
        _services[key] = Service(client, session)
    return _services[key]


def sent_by_botocore(session: Any, name: str, region: str, operation: str, arguments: Any, endpoint: str = "") -> Any:
    """The request that botocore would send."""
    client = session.create_client(
        name, region_name=region, endpoint_url=endpoint or None, config=Config(retries={"total_max_attempts": 1})
    )
    caught: list[Any] = []

    def catch(request: Any, **_: Any) -> AWSResponse:
        caught.append(copy.copy(request))
        return AWSResponse(request.url, 200, {}, None)

    client.meta.events.register("before-send", catch)
    try:
        client._make_api_call(operation, dict(arguments))
    except Exception:
        assert caught, f"{name} {operation} {region}"
    client.close()
    return caught[0]


def headers_of(raw: Any) -> dict[str, str]:
    return {str(key).lower(): value.decode() if isinstance(value, bytes) else str(value) for key, value in raw.items()}


def head_of(wire: bytes) -> tuple[str, dict[str, str], bytes]:
    head, _, body = wire.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    return first, {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}, body


NOT_COMPARED = {"user-agent", "amz-sdk-invocation-id", "amz-sdk-request", "authorization", "x-amz-date", "host"}
"""Ours has no headers of botocore's retries; the signature is compared over botocore's own headers."""


def compare(request: Request, theirs: Any, *, token: str | None) -> None:
    parts = urlsplit(theirs.url)
    scheme, host, port = request.host
    their_headers = headers_of(theirs.headers)
    when = their_headers.get("x-amz-date", "20250310T140211Z")
    first, headers, body = head_of(request.wire(ReadOnlyCredentials(*KEYS, token, None), when))
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    assert first == f"{theirs.method} {target} HTTP/1.1"
    assert (scheme, host) == (parts.scheme, parts.hostname) and port == (parts.port or 443)
    assert headers["host"] == parts.netloc
    expected = theirs.body.encode() if isinstance(theirs.body, str) else theirs.body or b""
    assert body == expected
    ours = {name: value for name, value in headers.items() if name not in NOT_COMPARED}
    assert ours.pop("accept-encoding") == "identity"
    if not body:
        assert ours.pop("content-length", "0") == "0"
        their_headers.pop("content-length", None)
    assert ours == {name: value for name, value in their_headers.items() if name not in NOT_COMPARED}
    if "authorization" not in their_headers:
        assert "authorization" not in headers
        return
    scope = their_headers["authorization"].split("/", 1)[1].split(",")[0]
    assert headers["authorization"].split("/", 1)[1].split(",")[0] == scope
    # the same headers, body and time: the same signature
    kept = {"authorization", "x-amz-security-token", "x-amz-content-sha256", "content-length"}
    signed = their_headers["authorization"].split("SignedHeaders=")[1].split(",")[0].split(";")
    again = Signable(
        method=theirs.method,
        url=theirs.url,
        headers=[(name, value) for name, value in their_headers.items() if name in signed and name not in kept],
        body=expected,
        kind=request.signable.kind,
        name=request.signable.name,
        region=request.signable.region,
        unsigned_payload=their_headers.get("x-amz-content-sha256") == "UNSIGNED-PAYLOAD",
    )
    lines = dict(
        line.split(": ", 1) for line in again.sign(ReadOnlyCredentials(*KEYS, token, None), when).split("\r\n")[:-1]
    )
    assert lines["Authorization"] == their_headers["authorization"]


def spoken(session: Any, name: str) -> bool:
    return name in session.get_available_services()


@pytest.mark.parametrize("region", REGIONS)
def test_requests_are_those_of_botocore(session: Any, region: str) -> None:
    compared = 0
    for name, operation, arguments in CALLS:
        if not spoken(session, name):
            continue
        service = service_of(session, name, region)
        try:
            request = service.request(service.operation(operation), arguments, region)
        except Unspoken:
            pytest.fail(f"{name} {operation} is not spoken")
        theirs = sent_by_botocore(session, name, region, operation, arguments)
        try:
            compare(request, theirs, token=None)
        except AssertionError as error:
            raise AssertionError(f"{name} {operation} {arguments} in {region}: {error}") from error
        compared += 1
    assert compared > 30


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:5000", "https://aws.example.org/base"])
def test_an_endpoint_of_ones_own_is_used_for_all(session: Any, endpoint: str) -> None:
    for name, operation, arguments in CALLS:
        if not spoken(session, name) or name in {"support", "globalaccelerator", "cloudfront"}:
            continue
        service = service_of(session, name, "us-east-1", endpoint)
        theirs = sent_by_botocore(session, name, "us-east-1", operation, arguments, endpoint)
        try:
            compare(service.request(service.operation(operation), arguments, "us-east-1"), theirs, token=None)
        except AssertionError as error:
            raise AssertionError(f"{name} {operation} at {endpoint}: {error}") from error


def test_the_token_of_an_assumed_role_is_signed(session: Any) -> None:
    mine = botocore.session.Session()
    mine.set_credentials(*KEYS, "a/token==")
    for name, operation, arguments in CALLS[:4]:
        service = service_of(session, name, HOME)
        theirs = sent_by_botocore(mine, name, HOME, operation, arguments)
        compare(service.request(service.operation(operation), arguments, HOME), theirs, token="a/token==")


def test_one_client_knows_the_endpoints_of_all_services_in_all_regions(session: Any) -> None:
    """Its rules with another region put in give what a client of that region has."""
    names = [name for name in session.get_available_services() if name not in OF_REGION]
    checked = 0
    for index, name in enumerate(names):
        if index % 9:  # a ninth of them is enough for every kind; all of them hold
            continue
        service = service_of(session, name, HOME)
        for region in ("eu-west-1", "us-gov-east-1"):
            client = session.create_client(name, region_name=region)
            operations = [each for each in client.meta.service_model.operation_names if each.startswith("List")]
            for operation in operations[:1]:
                try:
                    model = service.operation(operation)
                except Unspoken:
                    continue
                their_context, our_context = {"client_region": region}, {"client_region": region}
                try:
                    expected = client._resolve_endpoint_ruleset(model, {}, their_context)
                except Exception as error:
                    with pytest.raises(type(error)):
                        service._endpoint(model, {}, our_context, region)
                    continue
                url, headers, _ = service._endpoint(model, {}, our_context, region)
                assert (url, headers) == expected[:2], (name, region)
                assert our_context.get("signing") == their_context.get("signing"), (name, region)
                checked += 1
            client.close()
    assert checked > 40
    assert service._resolver("eu-west-1")._builtins[EndpointResolverBuiltins.AWS_REGION] == "eu-west-1"


def test_a_listing_without_arguments_is_built_once_a_region(session: Any) -> None:
    service = service_of(session, "ec2", HOME)
    model = service.operation("DescribeVpcs")
    assert service.request(model, {}, "eu-west-1") is service.request(model, {}, "eu-west-1")
    assert service.request(model, {}, "eu-west-1") is not service.request(model, {}, "eu-north-1")
    assert service.request(model, {"MaxResults": 5}, "eu-west-1") is not service.request(model, {}, "eu-west-1")


@pytest.mark.parametrize(
    ("name", "operation", "arguments"),
    [
        ("s3", "GetObject", {"Bucket": "some-bucket", "Key": "k"}),
        ("s3", "ListObjectsV2", {"Bucket": "some-bucket", "EncodingType": "url"}),
        ("s3", "PutBucketTagging", {}),
        ("ec2", "RunInstances", {}),
        ("kinesis", "SubscribeToShard", {}),
        ("timestream-query", "DescribeEndpoints", {"PaginationConfig": {}}),
        ("servicediscovery", "DiscoverInstances", {}),
    ],
)
def test_what_is_not_spoken_says_so(session: Any, name: str, operation: str, arguments: dict[str, Any]) -> None:
    service = service_of(session, name, HOME)
    with pytest.raises(Unspoken):
        service.request(service.operation(operation), arguments, HOME)


def test_a_proxy_is_botocores(session: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    service = Service(session.create_client("kms", region_name=HOME), session)
    with pytest.raises(Unspoken):
        service.request(service.operation("ListKeys"), {}, HOME)


def test_arguments_are_checked_and_cannot_add_headers(session: Any) -> None:
    ec2, s3 = service_of(session, "ec2", HOME), service_of(session, "s3", HOME)
    with pytest.raises(ParamValidationError):
        ec2.request(ec2.operation("DescribeInstances"), {"NoSuch": 1}, HOME)
    with pytest.raises(ParamValidationError):
        arguments = {"Bucket": "some-bucket", "ExpectedBucketOwner": "1\r\nX-Evil: 1"}
        s3.request(s3.operation("GetBucketTagging"), arguments, HOME)
    given = {"Filters": [{"Name": "a", "Values": ["b"]}]}
    ec2.request(ec2.operation("DescribeInstances"), given, HOME)
    assert given == {"Filters": [{"Name": "a", "Values": ["b"]}]}


def test_credentials_sign_as_they_are_when_it_is_sent() -> None:
    made = Signable(
        method="GET", url="https://a.example.org/", headers=[], body=b"", kind="v4", name="iam", region=HOME
    )
    one = made.sign(Credentials(*KEYS).get_frozen_credentials(), "20250310T140211Z")
    other = made.sign(Credentials("AKIAOTHER", "other").get_frozen_credentials(), "20250310T140211Z")
    assert one != other and "AKIAOTHER" in other and "wJalr" not in one
