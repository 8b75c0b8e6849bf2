"""Cloud Control as the last resort: both clients against a server that speaks its protocol."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

import pytest

from uwu.domains.inventory import reader, services
from uwu.domains.inventory.model import Scope
from uwu.kernel.aws import Aws
from uwu.kernel.model import CellStatus
from uwu.kernel.settings import AwsSettings

HERE = Scope("111122223333", "eu-west-1")
GRANT = "arn:aws:s3:eu-west-1:111122223333:access-grants/default/grant/g-1"
MODELS = {
    "g-1": {"AccessGrantArn": GRANT, "Arn": GRANT, "Permission": "READ", "Tags": [{"Key": "team", "Value": "data"}]},
    "g-2": {"Permission": "WRITE", "Name": "writers"},
    "gone": None,
}


IDENTITY = f"""<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>
<Account>{HERE.account}</Account><Arn>arn:aws:iam::{HERE.account}:user/x</Arn><UserId>AIDA</UserId>
</GetCallerIdentityResult></GetCallerIdentityResponse>""".encode()
"""What STS says of the credentials that ask."""


class Server:
    """What was asked, and how it answers: AWS JSON 1.0, a page of two."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.refusal = ""

    def answer(self, operation: str, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        self.asked.append((operation, asked))
        if self.refusal:
            return 400, {"__type": f"com.amazonaws.cloudapiservice#{self.refusal}", "Message": "no"}
        if operation == "ListResources":
            names = list(MODELS)
            start = int(asked.get("NextToken", "0"))
            page = {"ResourceDescriptions": [{"Identifier": n, "Properties": "{}"} for n in names[start : start + 2]]}
            return 200, {"TypeName": asked["TypeName"], **page} | ({"NextToken": "2"} if start == 0 else {})
        model = MODELS[asked["Identifier"]]
        if model is None:
            return 400, {"__type": "ResourceNotFoundException", "Message": "gone"}
        told = {"Identifier": asked["Identifier"], "Properties": json.dumps(model)}
        return 200, {"TypeName": asked["TypeName"], "ResourceDescription": told}


@contextmanager
def serving(server: Server) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            target = self.headers.get("X-Amz-Target", "")
            status, raw = 200, IDENTITY
            if target:
                status, told = server.answer(target.rpartition(".")[2], json.loads(body))
                raw = json.dumps(told).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.0")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_: object) -> None:
            """Nothing is written."""

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listening.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.server_address[1]}"
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join()


def _observe(url: str, client: Literal["fast", "botocore"], monkeypatch: pytest.MonkeyPatch) -> reader.Observation:
    for name, value in (("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"), ("AWS_SECRET_ACCESS_KEY", "example")):
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    aws = Aws(AwsSettings(endpoint_url=url, home_region=HERE.region, client=client, max_attempts=1))
    (one,) = reader.observe(aws, HERE, "cloudcontrol", [services.spec("aws_s3_access_grant")])
    return one


@pytest.mark.parametrize("client", ["fast", "botocore"])
def test_resources_are_told_whole(client: Literal["fast", "botocore"], monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server()
    with serving(server) as url:
        seen = _observe(url, client, monkeypatch)
    assert seen.outcome.status is CellStatus.COMPLETE, seen.outcome
    first, second = seen.resources
    assert (first.urn, first.tags, first.attributes["Permission"]) == (GRANT, {"team": "data"}, "READ")
    assert second.urn == "urn:uwu:aws:cloudcontrol:s3.accessgrant:111122223333:eu-west-1:g-2"
    assert (second.name, second.type) == ("writers", "aws_s3_access_grant")
    assert [operation for operation, _ in server.asked].count("ListResources") == 2
    assert {asked["TypeName"] for _, asked in server.asked} == {"AWS::S3::AccessGrant"}


def test_what_has_no_list_is_unsupported(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server()
    server.refusal = "UnsupportedActionException"
    with serving(server) as url:
        seen = _observe(url, "botocore", monkeypatch)
    assert (seen.outcome.status, seen.resources) == (CellStatus.UNSUPPORTED, ())
