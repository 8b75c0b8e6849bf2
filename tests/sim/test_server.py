"""The moto server as a child process."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import urllib.error
import urllib.request

import boto3
import pytest
from botocore.config import Config

from uwu.kernel.errors import Misconfigured
from uwu.sim import MotoServer


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _pid(server: MotoServer) -> int:
    assert server._process is not None
    return server._process.pid


def test_it_answers_on_a_port_of_its_own_and_leaves_no_process() -> None:
    with MotoServer() as server:
        pid = _pid(server)
        assert server.url.startswith("http://127.0.0.1:")
        sqs = boto3.client(
            "sqs",
            region_name="eu-west-1",
            endpoint_url=server.url,
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
            config=Config(connect_timeout=5, read_timeout=30, retries={"total_max_attempts": 1}),
        )
        assert sqs.create_queue(QueueName="one")["QueueUrl"].endswith("/one")
        key = boto3.client(
            "kms",
            region_name="eu-west-1",
            endpoint_url=server.url,
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )
        signing = key.create_key(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
        assert key.sign(KeyId=signing, Message=b"x", SigningAlgorithm="RSASSA_PSS_SHA_256")["Signature"]
        symmetric = key.create_key()["KeyMetadata"]["KeyId"]
        sealed = key.encrypt(KeyId=symmetric, Plaintext=b"hidden")["CiphertextBlob"]
        assert key.decrypt(CiphertextBlob=sealed)["Plaintext"] == b"hidden"
    assert not _alive(pid)
    with pytest.raises((urllib.error.URLError, OSError)):
        urllib.request.urlopen(server.url, timeout=2)
    server.stop()  # again: nothing to do


def test_it_dies_with_its_parent() -> None:
    """Even a parent that is killed takes it along: the pipe between them ends."""
    code = "from uwu.sim import MotoServer; s = MotoServer().start(); print(s._process.pid, flush=True); input()"
    parent = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    watch = os.pidfd_open(pid) if hasattr(os, "pidfd_open") else None
    parent.kill()
    parent.wait()
    parent.stdout.close()
    if watch is None:
        return
    import select

    ended, _, _ = select.select([watch], [], [], 10)
    os.close(watch)
    assert ended, "the server outlived its parent by ten seconds"


def test_without_moto_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(Misconfigured) as error:
        MotoServer()
    assert error.value.problem.code == "demo-missing"
    assert "uwu[demo]" in error.value.problem.hint
