"""The judge: found, explained, false."""

from __future__ import annotations

from typing import Any

from uwu.sim.judge import Drift, Expected, Posture, judge, judge_owners

SG = "arn:aws:ec2:eu-west-1:111111111111:security-group/sg-1"
BUCKET = "arn:aws:s3:::left"


def _drift(**changed: Any) -> Drift:
    given: dict[str, Any] = {
        "kind": "port opened",
        "subject": SG,
        "human": "mira.k@larkspur.example",
        "owner": "payments",
        "event_id": "e-1",
        "event_name": "AuthorizeSecurityGroupIngress",
        "at": "2025-01-01T00:00:00Z",
        "expected": (Expected("drift.attribute", SG, "ingress"),),
    }
    return Drift(**{**given, **changed})


def _finding(**changed: Any) -> dict[str, Any]:
    return {
        "rule": "drift.attribute",
        "subject": SG,
        "path": "ingress",
        "owner": "group:default/payments",
        "actor": "mira.k@larkspur.example",
        "cause": {"event_id": "e-1", "name": "AuthorizeSecurityGroupIngress"},
        **changed,
    }


def test_found_and_explained() -> None:
    verdict = judge([_drift()], [_finding()])
    assert (verdict.drifts_seeded, verdict.drifts_found, verdict.drifts_explained) == (1, 1, 1)
    assert not verdict.missing and not verdict.wrong and not verdict.false


def test_nothing_found_is_missing_and_not_explained() -> None:
    verdict = judge([_drift()], [])
    assert (verdict.drifts_found, verdict.drifts_explained) == (0, 0)
    assert len(verdict.missing) == 1 and SG in verdict.missing[0]


def test_another_attribute_is_both_missing_and_false() -> None:
    verdict = judge([_drift()], [_finding(path="egress")])
    assert (verdict.drifts_found, verdict.false_findings) == (0, 1)
    assert len(verdict.missing) == 1 and "egress" in verdict.false[0]


def test_a_wrong_owner_human_or_event_is_found_but_not_explained() -> None:
    for change in (
        {"owner": "group:default/storefront"},
        {"owner": ""},
        {"actor": "pavel.d@larkspur.example"},
        {"actor": ""},
        {"cause": {"event_id": "e-2", "name": "RevokeSecurityGroupIngress"}},
    ):
        verdict = judge([_drift()], [_finding(**change)])
        assert (verdict.drifts_found, verdict.drifts_explained, len(verdict.wrong)) == (1, 0, 1), change


def test_one_change_may_expect_several_findings_and_needs_them_all() -> None:
    left = _drift(
        kind="bucket left",
        subject=BUCKET,
        human="max.ext@larkspur.example",
        owner="",
        expected=(Expected("drift.undeclared", BUCKET), Expected("drift.unowned", BUCKET)),
    )
    found = [
        _finding(rule=rule, subject=BUCKET, path="", owner="", actor="max.ext@larkspur.example")
        for rule in ("drift.undeclared", "drift.unowned")
    ]
    assert judge([left], found).drifts_explained == 1
    half = judge([left], found[:1])
    assert (half.drifts_found, half.false_findings, len(half.missing)) == (0, 0, 1)


def test_two_people_on_one_resource_are_told_apart() -> None:
    first = _drift(event_id="e-1", expected=(Expected("drift.attribute", SG, "ingress"),))
    egress = (Expected("drift.attribute", SG, "egress"),)
    second = _drift(event_id="e-2", human="lin.z@larkspur.example", expected=egress)
    findings = [
        _finding(),
        _finding(path="egress", actor="mira.k@larkspur.example", cause={"event_id": "e-2", "name": "x"}),
    ]
    verdict = judge([first, second], findings)
    assert (verdict.drifts_found, verdict.drifts_explained) == (2, 1)
    assert "lin.z" in verdict.wrong[0]


def test_owners_are_held_against_who_made_what() -> None:
    made = {"arn:a": "payments", "arn:b": "search", "arn:c": "core", "arn:gone": "core"}
    settled = {"arn:a": "group:default/payments", "arn:b": "group:default/core", "arn:c": "", "arn:other": "group:x/y"}
    told = judge_owners(made, settled)
    assert (told.known, told.right, told.unowned) == (3, 1, ["arn:c"])
    assert told.wrong == ["arn:b is of search, not of core"]


def test_an_alert_is_of_a_change_or_of_what_was_built_wrongly() -> None:
    planted = Posture(kind="key for another", rule="trail.key-for-another", subject="arn:key")
    of_change = _finding(rule="trail.port-opened", path="")
    of_subject = _finding(rule="trail.admin-written", subject="arn:key", cause={"event_id": "e-9", "name": "CreateKey"})
    expected = {**of_subject, "rule": "trail.key-for-another"}
    strange = _finding(rule="trail.port-opened", subject="arn:other", cause={"event_id": "e-8", "name": "x"})
    verdict = judge([_drift()], [_finding(), of_change, of_subject, expected, strange], [planted])
    assert (verdict.postures_found, verdict.postures_false) == (1, 1)
    assert verdict.false == ["trail.port-opened on arn:other"]
    assert judge([_drift()], [_finding()], [planted]).missing == [
        "key for another: no trail.key-for-another on arn:key"
    ]
