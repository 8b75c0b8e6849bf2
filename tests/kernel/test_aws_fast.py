"""The fast client against a server that says what the test wants: retries, pages, bounds, connections, fallback."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    EndpointConnectionError,
    HTTPClientError,
    PaginationError,
    ReadTimeoutError,
    SSLError,
)

from tests.kernel import certificates
from uwu.kernel import aws_fast, telemetry
from uwu.kernel.aws import Aws
from uwu.kernel.aws_calls import BotocoreCaller, Caller, Meter
from uwu.kernel.aws_fast import client as client_module
from uwu.kernel.aws_fast.connections import AnswerTooLarge
from uwu.kernel.model import CellStatus
from uwu.kernel.settings import AwsSettings

IDENTITY = (
    b"<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>arn:aws:iam::123456789012:user/x</Arn><UserId>A</UserId>"
    b"<Account>123456789012</Account></GetCallerIdentityResult></GetCallerIdentityResponse>"
)
CHUNKS = b'4\r\n{"Ta\r\nD;x=y\r\nbleNames":["a\r\n3\r\n"]}\r\n0\r\nTrailer: x\r\n\r\n'
Reply = bytes | None
Say = Callable[[bytes, bytes], Reply]


def http(body: bytes, status: int = 200, *headers: str, length: bool = True) -> bytes:
    lines = [f"HTTP/1.1 {status} Said", *headers, *([f"Content-Length: {len(body)}"] if length else [])]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def told(value: Any, status: int = 200, *headers: str) -> bytes:
    return http(json.dumps(value).encode(), status, *headers)


def refusal(code: str, status: int = 400, message: str = "no") -> bytes:
    return told({"__type": code, "message": message}, status)


class Server:
    """Answers each request with what ``say`` gives for its head and body; None closes the connection without a word."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.say: Say = lambda _head, _body: told({})
        self.heads: list[bytes] = []
        self.connections = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._tls = tls
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self._socket.getsockname()[1]}"
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        buffer = b""
        try:
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            while True:
                while b"\r\n\r\n" not in buffer:
                    got = connection.recv(65536)
                    if not got:
                        return
                    buffer += got
                head, _, buffer = buffer.partition(b"\r\n\r\n")
                length = next(
                    (int(x.split(b":")[1]) for x in head.lower().split(b"\r\n") if x.startswith(b"content-length")), 0
                )
                while len(buffer) < length:
                    buffer += connection.recv(65536)
                body, buffer = buffer[:length], buffer[length:]
                if b"Action=GetCallerIdentity" in body:
                    connection.sendall(http(IDENTITY))
                    continue
                self.heads.append(head)
                reply = self.say(head, body)
                if reply is None:
                    return
                connection.sendall(reply)
                if b"Connection: close" in reply:
                    return
        except OSError:
            return
        finally:
            connection.close()

    def drop(self) -> None:
        """Closes every connection that is open."""
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def close(self) -> None:
        self._socket.close()
        self.drop()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


def clock(monotonic: Callable[[], float]) -> Any:
    """The client's clock, on which no sleep takes any time."""
    return SimpleNamespace(monotonic=monotonic, sleep=lambda _: None, strftime=time.strftime, gmtime=time.gmtime)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr(client_module, "time", clock(time.monotonic))


def caller_of(server: Server, service: str = "dynamodb", meter: Meter | None = None, **settings: Any) -> Caller:
    return Aws(AwsSettings(endpoint_url=server.url, **settings)).caller(service, "", "us-east-1", meter)


def script(server: Server, *replies: Reply) -> None:
    """Says these one after another, then the last for ever."""
    left = list(replies)
    server.say = lambda _head, _body: left.pop(0) if len(left) > 1 else left[0]


@pytest.mark.parametrize("client", ["fast", "botocore"])
def test_a_call_gives_plain_data_and_is_metered(server: Server, client: str) -> None:
    meter = Meter()
    body = {"Table": {"TableName": "t", "CreationDateTime": 1_700_000_000.5, "ItemCount": 3, "New": 1}}
    script(server, told(body))
    caller = caller_of(server, meter=meter, client=client)
    answer = caller.call("DescribeTable", {"TableName": "t"})
    assert answer == {"Table": {"TableName": "t", "CreationDateTime": "2023-11-14T22:13:20.500000Z", "ItemCount": 3}}
    assert (meter.calls, meter.attempts, meter.throttled) == (1, 1, 0)
    assert meter.bytes == len(json.dumps(body)) and meter.seconds > 0
    assert isinstance(caller, BotocoreCaller) is (client == "botocore")


@pytest.mark.parametrize("client", ["fast", "botocore"])
def test_refusals_are_tried_again_and_metered(server: Server, client: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _seconds: None)
    meter = Meter()
    script(server, refusal("ThrottlingException"), told({"TableNames": ["a"]}))
    answer = caller_of(server, meter=meter, client=client).call("ListTables", {})
    assert answer == {"TableNames": ["a"]}
    assert (meter.calls, meter.attempts) == (1, 2)
    assert meter.throttled == (1 if client == "fast" else 0)  # botocore does not tell why it tried again


def test_being_told_to_slow_down_costs_no_attempt_but_time(server: Server) -> None:
    meter = Meter()
    script(server, *[refusal("ThrottlingException")] * 9, told({"TableNames": []}))
    assert caller_of(server, meter=meter, max_attempts=2).call("ListTables", {}) == {"TableNames": []}
    assert (meter.attempts, meter.throttled) == (10, 9)


def test_time_runs_out(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    script(server, refusal("ThrottlingException", message="Rate exceeded"))
    ticks = iter(range(0, 100_000, 7))
    monkeypatch.setattr(client_module, "time", clock(lambda: float(next(ticks))))
    with pytest.raises(ClientError, match="Rate exceeded"):
        caller_of(server, retry_seconds=60).call("ListTables", {})
    assert 5 < len(server.heads) < 30


@pytest.mark.parametrize(
    "reply",
    [
        refusal("InternalServerError", 500),
        http(b"<html>x</html>", 503),
        refusal("RequestTimeout"),
        http(b"", 502),
        None,
    ],
)
def test_what_may_pass_is_tried_as_often_as_set(server: Server, reply: Reply) -> None:
    script(server, reply)
    with pytest.raises((ClientError, ConnectionClosedError)):
        caller_of(server, max_attempts=3).call("ListTables", {})
    assert len(server.heads) == 3


def test_one_attempt_is_one_attempt(server: Server) -> None:
    script(server, refusal("ThrottlingException"))
    with pytest.raises(ClientError):
        caller_of(server, max_attempts=1).call("ListTables", {})
    assert len(server.heads) == 1


def test_what_will_not_pass_is_not_tried_again(server: Server) -> None:
    script(server, refusal("AccessDeniedException", 400, "not allowed to dynamodb:ListTables"))
    aws = Aws(AwsSettings(endpoint_url=server.url))
    with pytest.raises(ClientError) as caught:
        aws.caller("dynamodb", "", "us-east-1").call("ListTables", {})
    assert len(server.heads) == 1
    assert caught.value.operation_name == "ListTables"
    assert caught.value.response["Error"]["Code"] == "AccessDeniedException"
    assert aws.classify(caught.value).status is CellStatus.DENIED


def test_429_without_a_code_that_is_known_is_to_slow_down(server: Server) -> None:
    meter = Meter()
    script(server, http(b"", 429), told({"TableNames": []}))
    caller_of(server, meter=meter).call("ListTables", {})
    assert meter.throttled == 1


@pytest.mark.parametrize(("code", "attempts"), [("InternalServerException", 2), ("ValidationException", 1)])
def test_the_model_tells_what_may_be_tried_again(server: Server, code: str, attempts: int) -> None:
    """The trait ``retryable``; the status alone would say no."""
    meter = Meter()
    script(server, told({"message": "x"}, 400, f"x-amzn-errortype: {code}"), told({"Regions": []}))
    caller = caller_of(server, "account", meter)
    if attempts == 1:
        with pytest.raises(ClientError, match=code):
            caller.call("ListRegions", {})
    else:
        assert caller.call("ListRegions", {}) == {"Regions": []}
    assert (meter.attempts, meter.throttled) == (attempts, 0)


def test_pages_follow_the_tokens_of_the_paginator(server: Server) -> None:
    meter = Meter()
    asked: list[Any] = []

    def say(_head: bytes, body: bytes) -> bytes:
        asked.append(json.loads(body))
        number = len(asked)
        return told(
            {"TableNames": [str(number)], **({"LastEvaluatedTableName": f"table-{number}"} if number < 4 else {})}
        )

    server.say = say
    pages = list(caller_of(server, meter=meter).pages("ListTables", {"Limit": 1}))
    assert [page["TableNames"] for page in pages] == [["1"], ["2"], ["3"], ["4"]]
    assert asked == [{"Limit": 1}, *({"Limit": 1, "ExclusiveStartTableName": f"table-{n}"} for n in (1, 2, 3))]
    assert meter.calls == 4


def test_an_operation_without_pages_gives_one(server: Server) -> None:
    script(server, told({"Table": {"TableName": "t"}}))
    assert len(list(caller_of(server).pages("DescribeTable", {"TableName": "t"}))) == 1


@pytest.mark.parametrize("tokens", [["aaa"], ["aaa", "bbb"], ["aaa", "bbb", "ccc"]])
def test_tokens_that_come_again_are_no_endless_loop(server: Server, tokens: list[str]) -> None:
    count = iter(range(1000))
    server.say = lambda _head, _body: told(
        {"TableNames": [], "LastEvaluatedTableName": tokens[next(count) % len(tokens)]}
    )
    with pytest.raises(PaginationError):
        list(caller_of(server).pages("ListTables", {}))
    assert len(server.heads) == len(tokens) + 1


def test_connections_are_kept_and_shared_by_threads(server: Server) -> None:
    script(server, told({"TableNames": []}))
    caller = caller_of(server)
    caller.call("ListTables", {})
    before = server.connections
    for _ in range(20):
        caller.call("ListTables", {})
    assert server.connections == before
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: caller.call("ListTables", {}), range(200)))
    assert answers == [{"TableNames": []}] * 200 and server.connections <= before + 8


def test_a_connection_that_was_closed_meanwhile_is_replaced_without_an_attempt(server: Server) -> None:
    meter = Meter()
    script(server, told({"TableNames": []}))
    caller = caller_of(server, meter=meter, max_attempts=1)
    for _ in range(5):
        caller.call("ListTables", {})
        server.drop()
    assert meter.calls == meter.attempts == 5


@pytest.mark.parametrize(
    "reply",
    [
        http(CHUNKS, 200, "Transfer-Encoding: chunked", length=False),
        http(b'{"TableNames":["a"]}', 200, "Connection: close", length=False),
        b"HTTP/1.1 100 Continue\r\n\r\n" + told({"TableNames": ["a"]}),
        b"HTTP/1.0 200 OK\r\nContent-Length: 20\r\n\r\n" + b'{"TableNames":["a"]}',
    ],
)  # fmt: skip
def test_bodies_of_every_framing(server: Server, reply: bytes) -> None:
    server.say = lambda _head, _body: reply
    caller = caller_of(server)
    for _ in range(3):
        assert caller.call("ListTables", {}) == {"TableNames": ["a"]}


@pytest.mark.parametrize(
    "reply",
    [
        b"SSH-2.0-x\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        http(b"", 200, "Content-Length: -5", length=False),
        http(b"zz\r\n", 200, "Transfer-Encoding: chunked", length=False),
        http(b"2\r\nabcd\r\n", 200, "Transfer-Encoding: chunked", length=False),
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000,
    ],
)
def test_what_is_no_http_is_an_error_of_the_network(server: Server, reply: bytes) -> None:
    server.say = lambda _head, _body: reply
    aws = Aws(AwsSettings(endpoint_url=server.url, max_attempts=1))
    with pytest.raises(HTTPClientError) as caught:
        aws.caller("dynamodb", "", "us-east-1").call("ListTables", {})
    assert aws.classify(caught.value).code == "network"


def test_an_answer_that_breaks_off_is_tried_again(server: Server) -> None:
    meter = Meter()
    script(server, b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\nConnection: close\r\n\r\n{", told({"TableNames": []}))
    assert caller_of(server, meter=meter).call("ListTables", {}) == {"TableNames": []}
    assert meter.attempts == 2


@pytest.mark.parametrize("headers", [["Content-Length: 9000000"], ["Transfer-Encoding: chunked"]])
def test_an_answer_that_is_too_large_is_not_read_and_not_asked_for_again(server: Server, headers: list[str]) -> None:
    body = b"895440\r\n" if "chunked" in headers[0] else b""
    server.say = lambda _head, _body: http(body, 200, *headers, length=False)
    with pytest.raises(AnswerTooLarge, match="larger than 8388608 bytes"):
        caller_of(server, max_answer_mb=8).call("ListTables", {})
    assert len(server.heads) == 1


def test_a_server_that_says_nothing_is_not_waited_for(server: Server) -> None:
    silent = threading.Event()
    server.say = lambda _head, _body: (silent.wait(5), None)[1]
    with pytest.raises(ReadTimeoutError):
        caller_of(server, max_attempts=1, read_timeout_seconds=1).call("ListTables", {})
    silent.set()


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    aws = Aws(AwsSettings(endpoint_url=f"http://127.0.0.1:{port}", max_attempts=1))
    aws._identity = aws_identity()
    with pytest.raises(EndpointConnectionError) as caught:
        aws.caller("dynamodb", "", "us-east-1").call("ListTables", {})
    assert aws.classify(caught.value).code == "network"


def test_a_name_that_does_not_resolve_is_a_region_without_the_service() -> None:
    aws = Aws(AwsSettings(endpoint_url="http://no-such-host.invalid", max_attempts=1))
    aws._identity = aws_identity()
    with pytest.raises(EndpointConnectionError) as caught:
        aws.caller("dynamodb", "", "eu-west-9").call("ListTables", {})
    assert aws.classify(caught.value, "eu-west-9").status is CellStatus.UNSUPPORTED


@pytest.mark.parametrize("vouched", [True, False])
def test_tls_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vouched: bool) -> None:
    certificate, key = certificates.self_signed(tmp_path)
    if vouched:
        monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = Server(context)
    script(server, told({"TableNames": ["a"]}))
    aws = Aws(AwsSettings(endpoint_url=server.url, max_attempts=1))
    aws._identity = aws_identity()
    caller = aws.caller("dynamodb", "", "us-east-1")
    if vouched:
        assert [caller.call("ListTables", {}) for _ in range(3)] == [{"TableNames": ["a"]}] * 3
        assert server.connections == 1
    else:
        with pytest.raises(SSLError) as caught:
            caller.call("ListTables", {})
        assert "CERTIFICATE_VERIFY_FAILED" in str(caught.value) and server.heads == []
    server.close()


def aws_identity() -> Any:
    from uwu.kernel.aws import Identity

    return Identity("123456789012", "arn:aws:iam::123456789012:user/x", "aws")


def test_s3_tells_the_region_of_a_bucket_and_is_asked_there(server: Server) -> None:
    meter = Meter()
    moved = http(
        b"<Error><Code>PermanentRedirect</Code><Message>elsewhere</Message></Error>",
        301,
        "x-amz-bucket-region: eu-west-3",
    )

    def say(head: bytes, _body: bytes) -> bytes:
        found = b"/eu-west-3/s3/" in head
        return http(b"<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>") if found else moved

    server.say = say
    answer = caller_of(server, "s3", meter).call("GetBucketTagging", {"Bucket": "some-bucket"})
    assert answer == {"TagSet": [{"Key": "a", "Value": "b"}]} and (meter.calls, meter.attempts) == (1, 2)


def test_s3_hides_errors_in_good_answers(server: Server) -> None:
    script(
        server, http(b"<Error><Code>SlowDown</Code><Message>m</Message></Error>"), http(b"<ListAllMyBucketsResult/>")
    )
    meter = Meter()
    assert caller_of(server, "s3", meter).call("ListBuckets", {}) == {} and meter.throttled == 1


def test_the_keys_of_s3_are_decoded_as_botocore_decodes_them(server: Server) -> None:
    body = (
        b"<ListBucketResult><EncodingType>url</EncodingType><Prefix>a%2Bb+c/</Prefix><Contents><Key>a%2Bb+c/%0A</Key>"
        b"</Contents><CommonPrefixes><Prefix>x+y%2F</Prefix></CommonPrefixes></ListBucketResult>"
    )
    script(server, http(body))
    arguments = {"Bucket": "some-bucket"}
    both = [caller_of(server, "s3", client=client).call("ListObjectsV2", arguments) for client in ("fast", "botocore")]
    assert both[0] == both[1] and both[0]["Contents"][0]["Key"] == "a+b c/\n"
    explicit = {**arguments, "EncodingType": "url"}
    both = [caller_of(server, "s3", client=client).call("ListObjectsV2", explicit) for client in ("fast", "botocore")]
    assert both[0] == both[1] and both[0]["Contents"][0]["Key"] == "a%2Bb+c/%0A"


def test_what_is_not_spoken_goes_through_botocore(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    meter, asked = Meter(), list[str]()
    call = BotocoreCaller.call
    monkeypatch.setattr(
        BotocoreCaller, "call", lambda self, name, arguments: asked.append(name) or call(self, name, arguments)
    )
    script(server, told({"TableDescription": {"TableName": "t"}}))
    caller = caller_of(server, meter=meter)
    assert caller.call("DeleteTable", {"TableName": "t"})["TableDescription"]["TableName"] == "t"
    assert asked == ["DeleteTable"] and (meter.calls, meter.attempts) == (1, 1)
    script(server, told({"Items": [{"k": {"B": "AAE="}}], "Count": 1, "ScannedCount": 1}))
    assert next(iter(caller.pages("Scan", {"TableName": "t"})))["Items"] == [{"k": {"B": "AAE="}}]


@pytest.mark.parametrize("client", ["fast", "botocore"])
def test_each_account_signs_with_its_own_keys(server: Server, client: str) -> None:
    assumed = (
        b"<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIA%s</AccessKeyId><SecretAccessKey>s"
        b"</SecretAccessKey><SessionToken>tok</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>"
        b"</AssumeRoleResult></AssumeRoleResponse>"
    )

    def say(_head: bytes, body: bytes) -> bytes:
        if b"Action=AssumeRole" in body:
            account = next(each for each in (b"111111111111", b"222222222222") if each in body)
            return http(assumed % account)
        return told({"TableNames": []})

    server.say = say
    aws = Aws(AwsSettings(endpoint_url=server.url, client=client))  # pyright: ignore[reportArgumentType]
    accounts = ["111111111111", "222222222222", "123456789012"] * 20
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda account: aws.caller("dynamodb", account, "us-east-1").call("ListTables", {}), accounts))
    for key in (b"ASIA111111111111", b"ASIA222222222222", b"AKIAIOSFODNN7EXAMPLE"):
        listed = [head for head in server.heads if b"ListTables" in head and b"Credential=" + key in head]
        assert len(listed) == 20
        assert all((b"tok" in head) is key.startswith(b"ASIA") for head in listed)


def test_calls_are_spans(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    class Tracer:
        def span(self, name: str, attributes: Any, parent: str) -> Any:
            seen.append(name)
            return contextlib.nullcontext()

        def traceparent(self) -> str:
            return ""

    monkeypatch.setattr(telemetry, "_tracer", Tracer())
    caller_of(server).call("ListTables", {})
    assert seen[-1] == "aws dynamodb.list_tables"


def test_services_that_were_not_used_lately_are_forgotten_with_their_models(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "SERVICES", 2)
    script(server, told({}))
    aws = Aws(AwsSettings(endpoint_url=server.url))
    listings = {"dynamodb": "ListTables", "kms": "ListKeys", "logs": "DescribeLogGroups", "events": "ListRules"}
    for name, operation in listings.items():
        assert aws.caller(name, "", "us-east-1").call(operation, {}) == {}
    cache = aws._session().get_component("data_loader")._cache
    assert {name for key in cache for name in listings if name in key} == {"logs", "events"}
    assert aws.caller("dynamodb", "", "us-east-1").call("ListTables", {}) == {}


def test_no_secret_is_in_what_is_raised(server: Server) -> None:
    script(
        server, refusal("InvalidSignatureException", 403, "The Canonical String for this request should have been 'GET")
    )
    aws = Aws(AwsSettings(endpoint_url=server.url, max_attempts=1))
    with pytest.raises((ClientError, BotoCoreError)) as caught:
        aws.caller("dynamodb", "", "us-east-1").call("ListTables", {})
    assert "AKIA" not in aws.classify(caught.value).message and "secret" not in str(caught.value)
    assert aws_fast.__doc__
