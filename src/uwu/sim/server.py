"""AWS's APIs on this machine: moto in server mode, as a child process that never outlives its parent."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Self

from uwu.kernel.errors import Misconfigured, Unavailable

START_TIMEOUT_SECONDS = 30

# Runs in the child: serves on a free port, says which, and ends when its standard input does.
_CHILD = """
import importlib, json, os, sys, threading

def end_with_parent():
    sys.stdin.buffer.read()
    os._exit(0)

threading.Thread(target=end_with_parent, daemon=True).start()
import logging
logging.getLogger("werkzeug").setLevel(logging.ERROR)
from werkzeug.serving import make_server, WSGIRequestHandler
import moto.backends
from moto.server import DomainDispatcherApplication, create_backend_app
WSGIRequestHandler.protocol_version = "HTTP/1.1"

# moto lists its own folder twice for each request
modules = tuple(moto.backends.list_of_moto_modules())
moto.backends.list_of_moto_modules = lambda: modules

def warm():
    # what every user of this server needs is read while the other side still wakes up
    for name in ("organizations", "sts", "iam", "ec2", "s3", "kms", "cloudformation"):
        if name in modules:
            importlib.import_module("moto." + name)

def spare_symmetric_keys():
    # moto makes an RSA key for symmetric keys too, 50 ms each, that nothing ever uses
    models = importlib.import_module("moto.kms.models")
    make = models.generate_private_key
    models.generate_private_key = lambda spec: None if spec == "SYMMETRIC_DEFAULT" else make(spec)

def teach(service):
    # calls that moto lacks, answered from what it does hold; service is how moto calls it
    if service == "awslambda":
        urls = importlib.import_module("moto.awslambda.urls")
        response = urls.LambdaResponse
        def list_function_url_configs(self):
            name = self.path.split("/")[-2]
            try:
                held = [self.backend.get_function_url_config(name).to_dict()]
            except Exception:  # it has none
                held = []
            return json.dumps({"FunctionUrlConfigs": held})
        response.list_function_url_configs = list_function_url_configs
        path = "{0}/(?P<api_version>[^/]+)/functions/(?P<function_name>[^/]+)/urls/?$"
        urls.url_paths[path] = response.dispatch
    if service == "iam":
        # a root user's MFA is switched on by hand alone: here everyone has done it
        summary = importlib.import_module("moto.iam.models").AccountSummary
        summary._account_mfa_enabled = property(lambda self: 1, lambda self, value: None)
    if service == "wafv2":
        response = importlib.import_module("moto.wafv2.responses").WAFV2Response
        def list_resources_for_web_acl(self):
            acl = json.loads(self.body)["WebACLArn"]
            found = [resource for acls in self.wafv2_backend.wacls.values() if acls.arn == acl
                     for resource in acls.associated_resources]
            return 200, {}, json.dumps({"ResourceArns": found})
        response.list_resources_for_web_acl = list_resources_for_web_acl
    if service == "cloudtrail":
        response = importlib.import_module("moto.cloudtrail.responses").CloudTrailResponse
        published = []
        def list_public_keys(self):
            told = json.loads(self.body or "{}")
            if self.headers.get("X-Uwu-Publish"):
                published.append(told)
            since, until = told.get("StartTime", 0), told.get("EndTime", 1e12)
            found = [key for key in published if key["ValidityStartTime"] <= until and key["ValidityEndTime"] >= since]
            return 200, {}, json.dumps({"PublicKeyList": found})
        response.list_public_keys = list_public_keys
    if service == "ec2":
        response = importlib.import_module("moto.ec2.responses").EC2Response
        result = importlib.import_module("moto.core.responses").ActionResult
        def describe_options(self):
            mode = {"InternetGatewayBlockMode": "off", "State": "default-state", "AwsRegion": self.region}
            options = getattr(self.ec2_backend, "vpc_block_public_access", mode)
            return result({"VpcBlockPublicAccessOptions": {"AwsAccountId": self.current_account, **options}})
        def modify_options(self):
            mode = self._get_param("InternetGatewayBlockMode")
            state = {"InternetGatewayBlockMode": mode, "State": "update-complete", "AwsRegion": self.region}
            self.ec2_backend.vpc_block_public_access = state
            return describe_options(self)
        def describe_snapshots(self):
            wanted, filters = self._get_param("SnapshotIds", []), self._filters_from_querystring()
            found = self.ec2_backend.describe_snapshots(snapshot_ids=wanted, filters=filters)
            if "all" in self._get_param("RestorableByUserIds", []):
                found = [snapshot for snapshot in found if "all" in snapshot.create_volume_permission_groups]
            return result({"Snapshots": found})
        response.describe_snapshots = describe_snapshots
        response.describe_vpc_block_public_access_options = describe_options
        response.modify_vpc_block_public_access_options = modify_options
        response.describe_vpc_block_public_access_exclusions = lambda self: result({})

def taught(service):
    teach(service)
    return create_backend_app(service)

spare_symmetric_keys()
threading.Thread(target=warm, daemon=True).start()
server = make_server("127.0.0.1", 0, DomainDispatcherApplication(taught), threaded=True)
os.write(1, f"{server.server_port}\\n".encode())
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what moto prints is read by no one and would fill the pipe
server.serve_forever()
"""


def control(url: str, path: str, body: bytes = b"") -> None:
    """A call of moto's own API at ``url``: what AWS has no call for."""
    kind = {"Content-Type": "text/plain"}  # a form's body would not reach moto
    request = urllib.request.Request(f"{url}/moto-api/{path}", data=body, headers=kind, method="POST")  # noqa: S310
    urllib.request.urlopen(request, timeout=10).close()  # noqa: S310


class MotoServer:
    """A moto server at ``url``; a context manager. Raises ``Misconfigured`` where the extra ``demo`` is missing."""

    def __init__(self) -> None:
        if importlib.util.find_spec("moto") is None or importlib.util.find_spec("flask") is None:
            raise Misconfigured(
                "the simulated organisation needs moto, which is not installed",
                code="demo-missing",
                hint="pip install 'uwu[demo]'",
            )
        self.url = ""
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Starts it and waits until it answers."""
        # moto would load a thousand public images into each account and region; nobody lists them
        env = {**os.environ, "MOTO_EC2_LOAD_DEFAULT_AMIS": "false", "MOTO_IAM_LOAD_MANAGED_POLICIES": "false"}
        # a certificate would be issued a minute after it was asked for: a change that nobody made
        env["MOTO_ACM_VALIDATION_WAIT"] = "-1"
        self._process = subprocess.Popen(
            [sys.executable, "-c", _CHILD],
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=Path(sys.executable).parent,
        )
        assert self._process.stdout is not None
        port = self._process.stdout.readline().decode().strip()
        if not port:
            self.stop()
            raise Unavailable("the moto server did not start", code="moto-unavailable")
        self.url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while True:
            try:
                urllib.request.urlopen(f"{self.url}/moto-api/data.json", timeout=5).close()  # noqa: S310
                return self
            except OSError as error:
                if time.monotonic() > deadline:
                    self.stop()
                    raise Unavailable(f"the moto server does not answer: {error}", code="moto-unavailable") from error
                time.sleep(0.05)

    def stop(self) -> None:
        """Ends it; closing its standard input is enough, the rest is for a server that hangs."""
        process, self._process = self._process, None
        if process is None:
            return
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()
        try:
            process.wait(timeout=3)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
