"""The forms of simulated records, held against real ones.

What is measured: each of the 2,900 real records is turned back into its call, and the call is told again. A figure is
the share of the real records' key paths (by operation, the elements of a list as one) that the telling has too. It
measures the form alone: what moto does not answer is measured by itself, on the records of the simulated company.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import botocore.session
import pytest

from tests.sim import replay
from tests.sim.test_organisation import every_record
from uwu.sim import Organisation, forms
from uwu.sim.cloudtrail import Clock, Identity, Recorder

REQUESTS, RESPONSES, TOP_LEVEL = 95.0, 80.0, 99.0
ANSWERED = 80.0
"""Of what AWS answers, so much does moto answer too, for the calls that the company makes."""

Paths = defaultdict[tuple[str, str], tuple[set[str], set[str]]]


@pytest.fixture(scope="module")
def real(shared_data: Path) -> list[tuple[dict[str, Any], str, Any]]:
    """(record, service, operation) of each real record that tells a call of a public API."""
    found: list[tuple[dict[str, Any], str, Any]] = []
    for record in replay.records(shared_data / "cloudtrail" / "invictus"):
        named = replay.operation(record)
        if named is not None:
            found.append((record, *named))
    assert len(found) > 2_750
    assert len({(service, model.name) for _, service, model in found}) > 240
    return found


def _share(paths: Paths) -> float:
    held = sum(len(told & made) for told, made in paths.values())
    return 100 * held / sum(len(told) for told, _ in paths.values())


def _empty() -> Paths:
    return defaultdict(lambda: (set(), set()))


def _host(record: dict[str, Any], service: str) -> str:
    return record.get("tlsDetails", {}).get("clientProvidedHostHeader") or f"{service}.us-east-1.amazonaws.com"


def test_requests_are_told_as_aws_tells_them(real: list[tuple[dict[str, Any], str, Any]]) -> None:
    paths = _empty()
    for record, service, model in real:
        told = record.get("requestParameters")
        if told is not None:
            made = forms.request(service, model, replay.call(service, model, told), _host(record, service))
            both = paths[service, model.name]
            both[0].update(replay.paths(told))
            both[1].update(replay.paths(made))
    invented = sum(len(made - told) for told, made in paths.values())
    share = _share(paths)
    print(f"request key paths of {len(paths)} operations: {share:.1f}%, {invented} that AWS does not tell")
    assert share >= REQUESTS
    assert invented <= 10


def test_responses_are_told_as_aws_tells_them(real: list[tuple[dict[str, Any], str, Any]]) -> None:
    paths = _empty()
    for record, service, model in real:
        if record.get("errorCode"):
            continue
        told = record.get("responseElements")
        made = forms.response(service, model, replay.answer(service, model, told or {}), "request")
        assert (made is None) == (told is None), f"{record['eventName']}: null where it must not be, or the reverse"
        both = paths[service, model.name]
        both[0].update(replay.paths(told))
        both[1].update(replay.paths(made))
    share = _share(paths)
    print(f"response key paths: {share:.1f}%")
    assert share >= RESPONSES


def test_a_record_has_the_members_that_aws_gives_it(real: list[tuple[dict[str, Any], str, Any]]) -> None:
    held = total = 0
    recorder = Recorder("http://127.0.0.1:1", Clock(1), 1)
    for record, service, model in real:
        identity = Identity(
            user_identity=record["userIdentity"],
            account="218007301253",
            user_agent=record["userAgent"],
            source_ip=record["sourceIPAddress"],
            access_key="AKIAEXAMPLE",
            secret_key="none",
        )
        failed = bool(record.get("errorCode"))
        parameters = replay.call(service, model, record.get("requestParameters") or {})
        parsed: dict[str, Any] = replay.answer(service, model, record.get("responseElements") or {})
        if failed:
            parsed = {"Error": {"Code": record["errorCode"], "Message": record.get("errorMessage", "")}}
        http = SimpleNamespace(status_code=400 if failed else 200)
        recorder.record(identity, service, record["awsRegion"], model, parameters, parsed, http)
        made = recorder.records[-1][1] if record["eventName"] != "AssumeRole" else _own(recorder, record)
        wanted = set(record) - _NOT_OURS
        held += len(wanted & set(made))
        total += len(wanted)
        for name in ("eventSource", "eventName", "eventType", "readOnly", "eventCategory", "managementEvent"):
            assert made[name] == record[name], (name, record["eventID"])
    share = 100 * held / total
    print(f"top-level members: {share:.2f}%")
    assert share >= TOP_LEVEL


def _own(recorder: Recorder, record: dict[str, Any]) -> dict[str, Any]:
    """The caller's copy of the AssumeRole just recorded: the target's may follow it."""
    return next(m for _, m in reversed(recorder.records) if m["userIdentity"] == record["userIdentity"])


_NOT_OURS = {"additionalEventData", "resources", "vpcEndpointId", "apiVersion", "sharedEventID", "serviceEventDetails"}
"""What depends on more than the call: who else is told of it, and what a service adds of itself."""


def test_what_moto_answers_is_most_of_what_aws_answers(
    real: list[tuple[dict[str, Any], str, Any]], organisation: Organisation
) -> None:
    paths = _empty()
    ours: defaultdict[str, set[str]] = defaultdict(set)
    for _, record in every_record(organisation):
        if "errorCode" not in record and record.get("responseElements"):
            ours[record["eventName"]].update(replay.paths(record["responseElements"]))
    for record, service, model in real:
        if record.get("responseElements") and record["eventName"] in ours:
            both = paths[service, model.name]
            both[0].update(replay.paths(record["responseElements"]))
            both[1].update(ours[record["eventName"]])
    share = _share(paths)
    print(f"answered by moto, of {len(paths)} event names in both worlds: {share:.1f}% of the response key paths")
    assert len(paths) >= 10
    assert share >= ANSWERED


def _model(service: str, operation: str) -> Any:
    return botocore.session.get_session().get_service_model(service).operation_model(operation)


@pytest.mark.parametrize(
    ("service", "operation", "parameters", "hidden"),
    [
        ("secretsmanager", "CreateSecret", {"Name": "a", "SecretString": "hush"}, "hush"),
        ("rds", "CreateDBInstance", {"DBInstanceIdentifier": "a", "MasterUserPassword": "hush"}, "hush"),
        ("ec2", "RunInstances", {"ImageId": "ami-1", "MinCount": 1, "MaxCount": 1, "UserData": "hush"}, "hush"),
        ("sts", "AssumeRoleWithWebIdentity", {"RoleArn": "a", "WebIdentityToken": "hush"}, "hush"),
        ("iam", "CreateLoginProfile", {"UserName": "a", "Password": "hush"}, "hush"),
        ("lambda", "CreateFunction", {"FunctionName": "a", "Code": {"ZipFile": b"hush"}}, "hush"),
        ("kms", "Encrypt", {"KeyId": "a", "Plaintext": b"hush"}, "hush"),
        ("ssm", "PutParameter", {"Name": "a", "Value": "hush"}, "hush"),
    ],
)
def test_no_request_tells_a_secret(service: str, operation: str, parameters: dict[str, Any], hidden: str) -> None:
    assert hidden not in repr(forms.request(service, _model(service, operation), parameters, "host"))


def test_an_access_key_is_told_and_its_secret_is_not() -> None:
    answer = {"AccessKey": {"AccessKeyId": "AKIAEXAMPLE", "SecretAccessKey": "hush", "UserName": "a"}}
    told = forms.response("iam", _model("iam", "CreateAccessKey"), answer, "request")
    assert told == {"accessKey": {"accessKeyId": "AKIAEXAMPLE", "userName": "a"}}


def test_a_security_group_rule_is_told_with_its_empty_lists() -> None:
    permission = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    told = forms.request(
        "ec2",
        _model("ec2", "AuthorizeSecurityGroupIngress"),
        {"GroupId": "sg-1", "IpPermissions": [permission]},
        "ec2.us-east-1.amazonaws.com",
    )
    assert told == {
        "groupId": "sg-1",
        "ipPermissions": {
            "items": [
                {
                    "ipProtocol": "tcp",
                    "fromPort": 22,
                    "toPort": 22,
                    "groups": {},
                    "ipRanges": {"items": [{"cidrIp": "0.0.0.0/0"}]},
                    "ipv6Ranges": {},
                    "prefixListIds": {},
                }
            ]
        },
    }


def test_newer_calls_of_ec2_are_told_in_the_other_way() -> None:
    told = forms.request(
        "ec2",
        _model("ec2", "DescribeNatGateways"),
        {"NatGatewayIds": ["nat-1", "nat-2"]},
        "ec2.us-east-1.amazonaws.com",
    )
    ids = [{"content": "nat-1", "tag": 1}, {"content": "nat-2", "tag": 2}]
    assert told == {"DescribeNatGatewaysRequest": {"NatGatewayId": ids}}
