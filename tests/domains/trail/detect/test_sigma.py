"""Sigma's meaning in SQL: published rules over real events, and each modifier against a reading of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.domains.trail.detect.test_rules import fired
from tests.domains.trail.test_ingest import take
from uwu.domains.trail import store
from uwu.domains.trail.detect import sigma
from uwu.domains.trail.detect.model import Detection
from uwu.kernel.errors import BadInput
from uwu.kernel.runtime import Kernel

ADDRESS = "198.51.100.7"


def rule(detection: dict[str, Any], **more: Any) -> list[Detection]:
    text = yaml.safe_dump(
        {"title": "T", "name": "t", "logsource": {"product": "aws", "service": "cloudtrail"}, "detection": detection}
        | more
    )
    return sigma.read(text, source="test", place="t.yml")


def test_the_published_rules_run_and_find_what_is_there(
    sqlite_kernel: Kernel, shared_data: Path, objects: list[Path], records: list[dict[str, Any]]
):
    take(sqlite_kernel, objects[0].parent)
    rules = [
        one
        for path in sorted((shared_data / "sigma").glob("*.yml"))
        for one in sigma.read(path.read_text(), source="test", place=path.name)
    ]
    assert len(rules) == 22
    found: dict[str, int] = {}
    with sqlite_kernel.lake.connection() as connection:
        for one in rules:
            for part in one.parts:
                scan = sqlite_kernel.lake.scan(store.EVENTS.name)
                number = connection.execute(f"select count(*) from {scan} where {part.where}").fetchall()[0][0]
                found[one.place] = found.get(one.place, 0) + number

    def count(names: set[str], source: str) -> int:
        return sum(r["eventName"] in names and r["eventSource"] == f"{source}.amazonaws.com" for r in records)

    wanted = {
        "aws_cloudtrail_disable_logging.yml": count({"StopLogging", "UpdateTrail", "DeleteTrail"}, "cloudtrail"),
        "aws_cloudtrail_bucket_deleted.yml": sum(
            r["eventName"] == "DeleteBucket" and "errorCode" not in r for r in records
        ),
        "aws_snapshot_backup_exfiltration.yml": count({"ModifySnapshotAttribute"}, "ec2"),
        "aws_cloudtrail_new_acl_entries.yml": count({"CreateNetworkAclEntry"}, "ec2"),
        "aws_enum_buckets.yml": sum(
            r["eventName"] == "ListBuckets" and r["userIdentity"].get("type") != "AssumedRole" for r in records
        ),
        "aws_enum_listing.yml": sum(r["eventName"].lower().startswith("list") for r in records),
        "aws_update_login_profile.yml": sum(
            r["eventName"] == "UpdateLoginProfile"
            and r["userIdentity"].get("arn") != (r.get("requestParameters") or {}).get("userName")
            for r in records
        ),
        "aws_cloudtrail_console_login_success_from_susp_locations.yml": sum(
            r["eventName"] == "ConsoleLogin" and (r.get("responseElements") or {}).get("ConsoleLogin") == "Success"
            for r in records
        ),
    }
    assert {name: found[name] for name in wanted} == wanted
    assert wanted["aws_cloudtrail_disable_logging.yml"] and wanted["aws_snapshot_backup_exfiltration.yml"]
    hits = {name for name, number in found.items() if number}
    print(f"{len(hits)} of 22 match: {sorted(hits)}")


EVENT: dict[str, Any] = {
    "requestParameters": {
        "bucketName": "Ledger-Prod",
        "size": 40,
        "empty": "",
        "path": "a%b_c\\d",
        "set": {"items": [{"id": "i-1", "tags": ["Red", "blue"]}, {"id": "i-2"}]},
        "flat": ["One", "two"],
    },
    "errorCode": "AccessDenied",
    "userAgent": "aws-cli/2.15.0 md/Botocore",
}

MODIFIERS: list[tuple[dict[str, Any], bool]] = [
    ({"eventname": "x"}, False),
    ({"eventName": "DELETEbucket"}, True),
    ({"eventName|cased": "deletebucket"}, False),
    ({"eventName|cased": "DeleteBucket"}, True),
    ({"eventName": "Delete*"}, True),
    ({"eventName": "delete?ucket"}, True),
    ({"eventName": "delete?bucket"}, False),
    ({"userAgent|contains": "botoCORE"}, True),
    ({"userAgent|contains|all": ["aws-cli", "md/"]}, True),
    ({"userAgent|contains|all": ["aws-cli", "boto4"]}, False),
    ({"userAgent|startswith": "AWS-"}, True),
    ({"userAgent|endswith": "core"}, True),
    ({"userAgent|re": "^aws-cli/[0-9]+"}, True),
    ({"userAgent|re": "^AWS"}, False),
    ({"userAgent|re|i": "^AWS"}, True),
    ({"sourceIPAddress|cidr": "198.51.100.0/24"}, True),
    ({"sourceIPAddress|cidr": ["10.0.0.0/8", "198.51.101.0/24"]}, False),
    ({"sourceIPAddress|cidr": "2001:db8::/32"}, False),
    ({"requestParameters.bucketName": "ledger-prod"}, True),
    ({"requestParameters.bucketName|exists": True}, True),
    ({"requestParameters.other|exists": True}, False),
    ({"requestParameters.other|exists": False}, True),
    ({"requestParameters.other": None}, True),
    ({"requestParameters.bucketName": None}, False),
    ({"errorCode": None}, False),
    ({"errorMessage": None}, True),
    ({"requestParameters.size|gt": 39}, True),
    ({"requestParameters.size|lte": 39}, False),
    ({"requestParameters.size": 40}, True),
    ({"requestParameters.empty": ""}, True),
    ({"requestParameters.path|contains": "%b_"}, True),
    ({"requestParameters.path|contains": "%c_"}, False),
    ({"requestParameters.path|contains": "b?c"}, True),
    ({"requestParameters.path|contains": "a_b"}, False),
    ({"requestParameters.set.items.id": "I-2"}, True),
    ({"requestParameters.set.items.id": "i-3"}, False),
    ({"requestParameters.set.items.tags": "red"}, True),
    ({"requestParameters.flat": "TWO"}, True),
    ({"requestParameters.flat|contains|all": ["one", "tw"]}, True),
    ({"requestParameters|contains": "ledger"}, True),
    ({"requestParameters.bucketName|base64": "x"}, False),
    ({"userIdentity.userName|fieldref": "requestParameters.bucketName"}, False),
    ({"userIdentity.userName": "mira.k"}, True),
    ({"readOnly": "FALSE"}, True),
    ({"readOnly": False}, True),
    ({"eventTime|hour": 14}, True),
    ({"eventTime|hour": 15}, False),
    ({"eventTime|startswith": "2026-03-10"}, True),
    ({"status": "failure"}, True),
    ({"src_ip": ADDRESS}, True),
    ({"geo.country": "NL"}, False),
]


@pytest.mark.parametrize(("selection", "wanted"), MODIFIERS, ids=lambda value: json.dumps(value)[:60])
def test_a_selection(selection: dict[str, Any], wanted: bool, sqlite_kernel: Kernel, made: Any):
    record = made("DeleteBucket", "s3.amazonaws.com", sourceIPAddress=ADDRESS, **EVENT)
    here = rule({"s": selection, "condition": "s"})[0]
    assert fired(here, [record], sqlite_kernel) == wanted
    # what is not known is not NULL: its opposite holds
    opposite = rule({"s": selection, "condition": "not s"})[0]
    assert fired(opposite, [record], sqlite_kernel) == (not wanted)


def test_keywords_are_looked_for_everywhere(sqlite_kernel: Kernel, made: Any):
    record = made("DeleteBucket", "s3.amazonaws.com", **EVENT)
    assert fired(rule({"k": ["LEDGER-prod"], "condition": "k"})[0], [record], sqlite_kernel) == 1
    assert fired(rule({"k": ["nowhere"], "condition": "k"})[0], [record], sqlite_kernel) == 0
    both = rule({"k": {"|all": ["ledger", "botocore"]}, "condition": "k"})[0]
    assert fired(both, [record], sqlite_kernel) == 1


def test_selections_are_counted(sqlite_kernel: Kernel, made: Any):
    record = made("DeleteBucket", "s3.amazonaws.com", **EVENT)
    parts = {"a_1": {"eventName": "DeleteBucket"}, "a_2": {"eventName": "x"}, "b": {"errorCode": "AccessDenied"}}
    for condition, wanted in (
        ("1 of a_*", 1),
        ("all of a_*", 0),
        ("b and not all of a_*", 1),
        ("1 of them", 1),
        ("all of them", 0),
    ):
        assert fired(rule({**parts, "condition": condition})[0], [record], sqlite_kernel) == wanted, condition


def test_older_aggregations_become_correlations(sqlite_kernel: Kernel, made: Any):
    old = rule({"s": {"eventName": "List*"}, "timeframe": "10m", "condition": "s | count() > 2"})[0]
    assert old.window is not None and old.window.text == "more than 2 within 10m"
    events = [made(f"List{n}", eventTime=f"2026-03-10T14:0{n}:00Z") for n in range(4)]
    assert fired(old, events[:2], sqlite_kernel) == 0
    assert fired(old, events, sqlite_kernel) == 1
    by = rule(
        {"s": {"eventName": "List*"}, "timeframe": "10m", "condition": "s | count(eventName) by sourceIPAddress >= 3"}
    )[0]
    assert fired(by, events, sqlite_kernel) == 1
    assert fired(by, [made("ListX") for _ in range(4)], sqlite_kernel) == 0
    near = rule({"a": {"eventName": "A"}, "b": {"eventName": "B"}, "condition": "a | near b"})[0]
    assert fired(near, [made("A"), made("B")], sqlite_kernel) == 1
    assert fired(near, [made("A"), made("B", eventTime="2026-03-10T18:00:00Z")], sqlite_kernel) == 0


BASES = """
title: A
name: a
logsource: {product: aws}
detection: {s: {eventName: A}, condition: s}
---
title: B
name: b
logsource: {product: aws}
detection: {s: {eventName: B}, condition: s}
---
title: C
"""


@pytest.mark.parametrize(
    ("correlation", "order", "wanted"),
    [
        ("{type: temporal, rules: [a, b], timespan: 5m}", "BA", 1),
        ("{type: temporal_ordered, rules: [a, b], timespan: 5m}", "BA", 0),
        ("{type: temporal_ordered, rules: [a, b], timespan: 5m}", "BAB", 1),
        ("{type: temporal, timespan: 5m, condition: a and not b}", "A", 1),
        ("{type: event_count, rules: [a, b], timespan: 5m, condition: {gte: 3}}", "ABA", 1),
        ("{type: event_count, rules: [a], timespan: 5m, condition: {eq: 2}, group-by: [awsRegion]}", "AA", 1),
        ("{type: value_sum, rules: [a], timespan: 5m, condition: {gte: 80, field: requestParameters.size}}", "AA", 1),
        ("{type: value_sum, rules: [a], timespan: 5m, condition: {gt: 80, field: requestParameters.size}}", "AA", 0),
        ("{type: value_avg, rules: [a], timespan: 5m, condition: {gte: 40, field: requestParameters.size}}", "AA", 1),
    ],
)
def test_correlations(correlation: str, order: str, wanted: int, sqlite_kernel: Kernel, made: Any):
    text = BASES + f"correlation: {correlation}\n"
    # a rule that no correlation refers to stands for itself
    found = [one for one in sigma.read(text, source="test", place="t.yml") if one.window is not None]
    events = [made(name, eventTime=f"2026-03-10T14:00:{10 + i}Z", **EVENT) for i, name in enumerate(order)]
    assert fired(found[0], events, sqlite_kernel) == wanted


def test_what_cannot_run_is_refused_by_name():
    for detection, code in (
        ({"s": {"eventName": "x"}, "condition": "s | sum(a) > 3"}, "rule-unsupported"),
        ({"s": {"eventName": "x"}, "condition": "s and"}, "rule-sigma"),
        ({"s": {"eventName|nothing": "x"}, "condition": "s"}, "rule-sigma"),
        ({"s": {"eventName": "x"}, "condition": "s | count() < 3"}, "rule-unsupported"),
    ):
        with pytest.raises(BadInput) as caught:
            rule(detection)
        assert (caught.value.problem.code, caught.value.problem.place) == (code, "t.yml")
    with pytest.raises(BadInput) as caught:
        rule({"s": {"a": "b"}, "condition": "s"}, logsource={"product": "windows", "category": "process_creation"})
    assert caught.value.problem.code == "rule-logsource"
    for text in ("", "- a\n- b\n", "a: [", "title: x\n", "just words"):
        with pytest.raises(BadInput):
            sigma.read(text, source="test", place="t.yml")


def test_placeholders_are_filled_by_the_settings(sqlite_kernel: Kernel, made: Any):
    text = yaml.safe_dump(
        {
            "title": "T",
            "logsource": {"product": "aws"},
            "detection": {
                "s": {"eventName": "DeleteBucket"},
                "f": {"src_ip|expand": "%office%"},
                "condition": "s and not f",
            },
        }
    )
    record = made("DeleteBucket", sourceIPAddress=ADDRESS)
    unfilled = sigma.read(text, source="test", place="t.yml")[0]
    assert "office" in unfilled.notes[0]
    assert fired(unfilled, [record], sqlite_kernel) == 1
    filled = sigma.read(text, source="test", place="t.yml", values={"office": ("203.0.113.1", "198.51.100.*")})[0]
    assert not filled.notes
    assert fired(filled, [record], sqlite_kernel) == 0
    assert fired(filled, [made("DeleteBucket", sourceIPAddress="192.0.2.1")], sqlite_kernel) == 1
