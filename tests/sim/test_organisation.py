"""The company as built: the same for the same seed, and everything its states declare is there."""

from __future__ import annotations

import gzip
import json
import tomllib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml

from tests.sim.conftest import small
from uwu.kernel import settings
from uwu.sim import MotoServer, Organisation, write_home
from uwu.sim.organisation import OBSERVER

KEYS = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}


def _client(organisation: Organisation, service: str, region: str = "us-east-1", **keys: str) -> Any:
    return boto3.client(
        service,
        region_name=region,
        endpoint_url=organisation.endpoint_url,
        **(keys or KEYS),  # type: ignore[call-overload]
    )


def _entities(folder: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(folder.rglob("*.yaml")):
        yield from yaml.safe_load_all(path.read_text("utf-8"))


def _object(organisation: Organisation, address: str) -> bytes:
    bucket, _, key = address.removeprefix("s3://").partition("/")
    return _client(organisation, "s3").get_object(Bucket=bucket, Key=key)["Body"].read()


def _states(organisation: Organisation) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """(spec of the stack, its state)."""
    for entity in _entities(organisation.estate):
        if entity["kind"] == "Stack":
            where = entity["spec"]["state"]
            data = (
                _object(organisation, where)
                if where.startswith("s3://")
                else (organisation.estate / "aws" / where).read_bytes()
            )
            yield entity["spec"], json.loads(data)


def every_record(organisation: Organisation) -> Iterator[tuple[str, dict[str, Any]]]:
    """(object key, record)."""
    bucket, _, prefix = organisation.trail.removeprefix("s3://").partition("/")
    s3 = _client(organisation, "s3")
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for held in page.get("Contents", ()):
            if "/CloudTrail-Digest/" in held["Key"]:
                continue
            body = s3.get_object(Bucket=bucket, Key=held["Key"])["Body"].read()
            for record in json.loads(gzip.decompress(body))["Records"]:
                yield held["Key"], record


def test_the_ledger_holds_fourteen_changes_of_many_kinds(organisation: Organisation) -> None:
    ledger = organisation.ledger
    assert len(ledger) == 14
    assert len({d.kind for d in ledger}) >= 6
    rules = Counter(e.rule for d in ledger for e in d.expected)
    assert set(rules) == {"drift.attribute", "drift.gone", "drift.undeclared", "drift.unowned"}
    people: defaultdict[str, set[str]] = defaultdict(set)
    for drift in ledger:
        people[drift.subject].add(drift.human)
    assert any(len(who) > 1 for who in people.values()), "two people on one resource"
    assert any(d.owner == "" for d in ledger)


def test_each_change_is_told_by_the_trail_as_the_ledger_has_it(organisation: Organisation) -> None:
    records = {record["eventID"]: record for _, record in every_record(organisation)}
    assert len(records) == organisation.events
    for drift in organisation.ledger:
        record = records[drift.event_id]
        assert (record["eventName"], record["eventTime"]) == (drift.event_name, drift.at)
        assert "errorCode" not in record
        assert record["readOnly"] is False


def test_the_trail_holds_what_makes_naming_a_human_hard(organisation: Organisation) -> None:
    records = [record for _, record in every_record(organisation)]
    types = {record["userIdentity"].get("type") for record in records}
    assert {"AssumedRole", "IAMUser", "WebIdentityUser", "AWSAccount"} <= types
    contexts = [record["userIdentity"].get("sessionContext", {}) for record in records]
    assert any("sourceIdentity" in context for context in contexts)
    pairs: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for record in records:
        if "sharedEventID" in record:
            pairs[record["sharedEventID"]].append(record)
    assert pairs
    for pair in pairs.values():
        assert len({r["recipientAccountId"] for r in pair}) == 2
        told = [r for r in pair if r["userIdentity"]["type"] == "AWSAccount"]
        assert len(told) == 1 and set(told[0]["userIdentity"]) == {"type", "principalId", "accountId"}
    # a session's key was issued by a call that the trail holds, but for those that Identity Center opens
    issued = {
        (r["responseElements"] or {}).get("credentials", {}).get("accessKeyId")
        for r in records
        if r["eventName"].startswith("AssumeRole")
    }
    for record in records:
        identity = record["userIdentity"]
        if identity.get("type") == "AssumedRole" and "AWSReservedSSO" not in identity["arn"]:
            assert identity["accessKeyId"] in issued
    refused = [r for r in records if r.get("errorCode") in {"AccessDenied", "AccessDeniedException"}]
    assert refused
    assert all(r["requestParameters"] is None and r["responseElements"] is None for r in refused)
    unauthorized = [r for r in records if r.get("errorCode") == "Client.UnauthorizedOperation"]
    assert unauthorized
    assert all(r["requestParameters"] is not None and r["responseElements"] is None for r in unauthorized)
    assert any(record["readOnly"] for record in records)


def test_no_record_tells_a_secret_or_the_simulator(organisation: Organisation) -> None:
    told = json.dumps([record for _, record in every_record(organisation)])
    assert organisation.endpoint_url not in told
    for secret in ("not-a-real-secret", "correct-horse-battery", "SecretAccessKey", "secretAccessKey"):
        assert secret not in told, secret


def test_objects_lie_where_cloudtrail_lays_them(organisation: Organisation) -> None:
    for key, record in every_record(organisation):
        head, organization, account, kind, region, *_, name = key.split("/")
        assert (head, organization[:2], kind) == ("AWSLogs", "o-", "CloudTrail")
        assert account == record["recipientAccountId"]
        assert region == record["awsRegion"]
        assert name.startswith(f"{account}_CloudTrail_{region}_") and name.endswith(".json.gz")
        assert key.split("/")[5:8] == [name.split("_")[3][:4], name.split("_")[3][4:6], name.split("_")[3][6:8]]


def test_the_estate_is_whole(organisation: Organisation) -> None:
    entities = list(_entities(organisation.estate))
    kinds = Counter(entity["kind"] for entity in entities)
    assert kinds["Group"] >= 6
    assert kinds["Component"] == organisation.services == 20
    assert kinds["Trail"] == 1
    assert kinds["Location"] >= 1
    names = [(entity["kind"], entity["metadata"]["name"]) for entity in entities]
    assert len(names) == len(set(names))
    groups = {entity["metadata"]["name"] for entity in entities if entity["kind"] == "Group"}
    for entity in entities:
        owner = entity["spec"].get("owner")
        assert owner is None or owner in groups
    trails = [entity["spec"]["source"] for entity in entities if entity["kind"] == "Trail"]
    assert trails == [organisation.trail]


def test_the_home_is_one_that_uwu_reads(organisation: Organisation, tmp_path: Path) -> None:
    write_home(tmp_path, organisation)
    tomllib.loads((tmp_path / "uwu.toml").read_text("utf-8"))
    read = settings.load(tmp_path, environ={})
    assert read.organization == "Larkspur"
    assert read.aws.endpoint_url == organisation.endpoint_url
    assert list(read.aws.regions) == organisation.regions
    assert read.aws.role_name == OBSERVER


# ---- every declared resource exists

Ids = Callable[[Any], set[str]]


def _ids(call: str, path: str, **parameters: Any) -> Ids:
    """The ids that ``call`` gives: ``path`` is members, ``[]`` where one is a list."""

    def ask(client: Any) -> set[str]:
        import jmespath

        pages = client.get_paginator(call).paginate(**parameters) if client.can_paginate(call) else None
        answers = list(pages) if pages is not None else [getattr(client, call)(**parameters)]
        return {str(each) for answer in answers for each in jmespath.search(path, answer) or ()}

    return ask


EXISTS: dict[str, tuple[str, str, Ids]] = {
    "aws_instance": ("ec2", "id", _ids("describe_instances", "Reservations[].Instances[].InstanceId")),
    "aws_ebs_volume": ("ec2", "id", _ids("describe_volumes", "Volumes[].VolumeId")),
    "aws_security_group": ("ec2", "id", _ids("describe_security_groups", "SecurityGroups[].GroupId")),
    "aws_vpc": ("ec2", "id", _ids("describe_vpcs", "Vpcs[].VpcId")),
    "aws_subnet": ("ec2", "id", _ids("describe_subnets", "Subnets[].SubnetId")),
    "aws_eip": ("ec2", "id", _ids("describe_addresses", "Addresses[].AllocationId")),
    "aws_ami": ("ec2", "id", _ids("describe_images", "Images[].ImageId", Owners=["self"])),
    "aws_launch_template": ("ec2", "id", _ids("describe_launch_templates", "LaunchTemplates[].LaunchTemplateId")),
    "aws_s3_bucket": ("s3", "bucket", _ids("list_buckets", "Buckets[].Name")),
    "aws_iam_role": ("iam", "arn", _ids("list_roles", "Roles[].Arn")),
    "aws_iam_user": ("iam", "arn", _ids("list_users", "Users[].Arn")),
    "aws_iam_policy": ("iam", "arn", _ids("list_policies", "Policies[].Arn", Scope="Local")),
    "aws_iam_instance_profile": ("iam", "arn", _ids("list_instance_profiles", "InstanceProfiles[].Arn")),
    "aws_db_instance": ("rds", "arn", _ids("describe_db_instances", "DBInstances[].DBInstanceArn")),
    "aws_lambda_function": ("lambda", "arn", _ids("list_functions", "Functions[].FunctionArn")),
    "aws_lb": ("elbv2", "arn", _ids("describe_load_balancers", "LoadBalancers[].LoadBalancerArn")),
    "aws_lb_target_group": ("elbv2", "arn", _ids("describe_target_groups", "TargetGroups[].TargetGroupArn")),
    "aws_kms_key": ("kms", "id", _ids("list_keys", "Keys[].KeyId")),
    "aws_secretsmanager_secret": ("secretsmanager", "arn", _ids("list_secrets", "SecretList[].ARN")),
    "aws_sns_topic": ("sns", "arn", _ids("list_topics", "Topics[].TopicArn")),
    "aws_acm_certificate": ("acm", "arn", _ids("list_certificates", "CertificateSummaryList[].CertificateArn")),
    "aws_cloudformation_stack": ("cloudformation", "id", _ids("describe_stacks", "Stacks[].StackId")),
}
GLOBAL = {"iam", "s3"}


def test_every_declared_resource_exists_but_what_was_deleted_by_hand(organisation: Organisation) -> None:
    deleted = {d.subject for d in organisation.ledger for e in d.expected if e.rule == "drift.gone"}
    sts = _client(organisation, "sts")
    clients: dict[tuple[str, str, str], Any] = {}
    held: dict[tuple[str, str, str], set[str]] = {}
    keys: dict[str, dict[str, str]] = {}
    counts: Counter[str] = Counter()
    absent: list[str] = []

    def client(account: str, region: str, service: str) -> Any:
        if account not in keys:
            role = f"arn:aws:iam::{account}:role/{OBSERVER}"
            given = sts.assume_role(RoleArn=role, RoleSessionName="test")["Credentials"]
            names = ("AccessKeyId", "SecretAccessKey", "SessionToken")
            parameters = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
            keys[account] = dict(zip(parameters, (given[n] for n in names), strict=True))
        place = (account, region, service)
        if place not in clients:
            clients[place] = _client(organisation, service, region, **keys[account])
        return clients[place]

    for spec, state in _states(organisation):
        assert state["version"] == 4 and state["lineage"]
        for resource in state["resources"]:
            type = resource["type"]
            for instance in resource["instances"]:
                attributes = instance["attributes"]
                counts[type] += 1
                if type == "aws_sqs_queue":
                    sqs = client(spec["account"], spec["region"], "sqs")
                    place = (spec["account"], spec["region"], type)
                    if place not in held:
                        urls = sqs.list_queues(MaxResults=1000).get("QueueUrls", ())
                        held[place] = {url.rsplit("/", 1)[-1] for url in urls}
                    there = attributes["name"] in held[place] or attributes["arn"] in deleted
                elif type == "aws_route53_record":
                    route53 = client(spec["account"], "us-east-1", "route53")
                    place = (spec["account"], attributes["zone_id"], type)
                    if place not in held:
                        ask = _ids("list_resource_record_sets", "ResourceRecordSets[].Name", HostedZoneId=place[1])
                        held[place] = ask(route53)
                    there = attributes["fqdn"] + "." in held[place]
                elif type in EXISTS:
                    service, member, ask = EXISTS[type]
                    region = "us-east-1" if service in GLOBAL else spec["region"]
                    place = (spec["account"], region, type)
                    if place not in held:
                        held[place] = ask(client(spec["account"], region, service))
                    there = attributes[member] in held[place]
                else:
                    continue
                if not there:
                    absent.append(f"{type} {attributes['id']}")
    assert not absent
    assert set(EXISTS) | {"aws_sqs_queue", "aws_route53_record"} <= set(counts), "each type is declared somewhere"
    assert sum(counts.values()) == organisation.declared


def test_the_same_seed_is_the_same_company(organisation: Organisation, tmp_path: Path) -> None:
    with MotoServer() as server:
        again = small(server, tmp_path)

    def told(one: Organisation) -> list[Any]:
        return [(d.kind, d.subject, d.human, d.owner, d.event_id, d.event_name, d.expected) for d in one.ledger]

    def files(one: Organisation) -> dict[str, bytes]:
        return {str(p.relative_to(one.estate)): p.read_bytes() for p in one.estate.rglob("*") if p.is_file()}

    assert told(again) == told(organisation)
    assert files(again) == files(organisation)
    assert (again.declared, again.events) == (organisation.declared, organisation.events)


@pytest.mark.parametrize("accounts", [1, 13])
def test_any_number_of_accounts_makes_a_company(accounts: int) -> None:
    from uwu.sim.company import found

    company = found(3, accounts=accounts, regions=9, resources=700)
    names = [account.name for account in company.accounts]
    assert len(names) == len(set(names)) == max(4, accounts)
    assert {service.account for service in company.services} <= set(names)
    assert len({service.name for service in company.services}) == len(company.services)
