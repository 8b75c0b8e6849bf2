"""The console's small parts: words, addresses, comparisons, files."""

from __future__ import annotations

import gzip
import re
from datetime import UTC, datetime, timedelta

import pytest
from tools import assets as vendored

from uwu.app.console import compare, links, words
from uwu.app.console.assets import assets
from uwu.app.console.render import environment, marked
from uwu.kernel.model import Actor, Change

NOW = datetime(2026, 11, 23, 14, 48, tzinfo=UTC)


# ---- words


@pytest.mark.parametrize(
    ("before", "told"),
    [
        (timedelta(seconds=38), "38 s"),
        (timedelta(minutes=46), "46 min"),
        (timedelta(hours=4, minutes=59), "4 h"),
        (timedelta(days=3, hours=5), "3 d"),
        (timedelta(seconds=-5), "0 s"),
    ],
)
def test_ages(before: timedelta, told: str) -> None:
    assert words.age(NOW - before, NOW) == told


def test_times_name_the_day_only_where_it_is_another() -> None:
    assert words.clock(NOW.replace(hour=14, minute=2), NOW) == "14:02"
    assert words.clock(NOW - timedelta(days=6), NOW) == "17 Nov"
    assert words.clock(NOW - timedelta(days=400), NOW) == "19 Oct 2025"
    assert words.day(NOW - timedelta(days=1), NOW) == "Yesterday"
    assert words.moment(NOW - timedelta(days=6), NOW) == "on 17 Nov at 14:48 UTC"


def _change(name: str, request: object = None) -> Change:
    return Change(
        event_id="e",
        at=NOW,
        name=name,
        source="ec2.amazonaws.com",
        account="111122223333",
        region="eu-west-1",
        urn="arn:aws:ec2:eu-west-1:111122223333:security-group/sg-1",
        actor=Actor(kind="human", name="mira.k"),
        request=request,
    )


def _permissions(**rule: object) -> dict[str, object]:
    return {"ipPermissions": {"items": [rule]}}


@pytest.mark.parametrize(
    ("name", "request_", "told"),
    [
        ("CreateQueue", None, "created queue"),
        ("CreateFunction20150331", None, "created function"),
        ("UpdateFunctionConfiguration20150331v2", None, "changed function configuration on"),
        ("PutBucketPolicy", None, "set bucket policy on"),
        ("DeleteBucketPolicy", None, "deleted bucket policy of"),
        ("AttachRolePolicy", None, "attached role policy to"),
        ("RunInstances", None, "launched instances"),
        ("ModifyDBInstance", None, "changed DB instance"),
        ("CreateTags", None, "set tags on"),
        (
            "AuthorizeSecurityGroupIngress",
            _permissions(ipProtocol="tcp", fromPort=5432, toPort=5432, ipRanges={"items": [{"cidrIp": "0.0.0.0/0"}]}),
            "opened port 5432 to 0.0.0.0/0 on",
        ),
        (
            "RevokeSecurityGroupEgress",
            _permissions(ipProtocol="-1", ipv6Ranges={"items": [{"cidrIpv6": "::/0"}]}),
            "closed every port out to ::/0 on",
        ),
        ("AuthorizeSecurityGroupIngress", {"groupId": "sg-1"}, "authorized security group ingress on"),
        ("AuthorizeSecurityGroupIngress", _permissions(ipRanges="no list"), "opened every port to a group on"),
        ("", None, "touched"),
    ],
)
def test_what_an_event_did(name: str, request_: object, told: str) -> None:
    assert words.did(_change(name, request_)) == told


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("mira.k@larkspur.example", "mira.k"),
        ("repo:larkspur/payments:ref:refs/heads/main", "larkspur/payments"),
        ("ci-deployer", "ci-deployer"),
        ("i-0abc@", "i-0abc@"),
        ("", ""),
    ],
)
def test_lists_call_people_and_machines_by_their_handle(name: str, short: str) -> None:
    assert words.handle(name) == short


# ---- addresses


@pytest.mark.parametrize(
    "urn",
    [
        "arn:aws:iam::111122223333:role/ci/deploy-web",
        "arn:aws:secretsmanager:eu-west-1:111122223333:secret:a/../b",
        "arn:aws:logs:eu-west-1:111122223333:log-group://double",
        "urn:uwu:aws:route53:record-set:111122223333::Z1/*.larkspur.example/A",
        "arn:aws:sqs:eu-west-1:1:q?x=1&y=2#frag %2F \"'<>é",
    ],
)
def test_an_address_gives_back_the_urn(urn: str) -> None:
    href = links.resource(urn)
    assert re.fullmatch(r"/resources/[A-Za-z0-9%:@/._~*-]+", href)
    assert "/../" not in href
    assert "//" not in href
    assert links.read_tail(href.encode(), "", links.RESOURCES) == urn


@pytest.mark.parametrize(
    "text", ["", "//evil.example", "/\\evil.example", "https://evil.example", "/a\nb", "javascript:1"]
)
def test_only_a_path_of_this_site_is_gone_back_to(text: str) -> None:
    assert links.same_site_path(text) == "/"
    assert links.same_site_path("/findings?severity=high") == "/findings?severity=high"


# ---- comparisons


def test_the_changed_words_are_marked_on_the_observed_side() -> None:
    (line,) = compare.attribute("versioning", "Enabled", "Suspended")
    assert line.left.kind == "declared"
    assert line.right.kind == "observed"
    assert [text for text, hit in line.right.parts if hit] == ["Suspended"]
    assert "".join(text for text, _ in line.right.parts) == 'versioning = "Suspended"'


def test_equal_stretches_are_shortened_and_counted() -> None:
    declared = {f"k{i:02}": i for i in range(30)}
    lines = compare.attribute("policy", declared, {**declared, "k15": 99})
    assert len(lines) == 9
    assert sum(line.skipped for line in lines) + 7 == 32
    assert sum(not line.same for line in lines) == 1


def test_a_policy_held_as_text_is_laid_open() -> None:
    lines = compare.attribute("policy", '{"Statement": [{"Effect": "Deny"}]}', {"Statement": [{"Effect": "Allow"}]})
    assert [line.right.parts for line in lines if not line.same]
    assert len([line for line in lines if not line.same]) == 1


def test_what_one_side_lacks_is_a_gap() -> None:
    assert {line.left.kind for line in compare.attribute("tags", None, {"a": "b"})} == {"gap"}
    assert {line.right.kind for line in compare.attribute("tags", {"a": "b"}, None)} == {"gap"}


# ---- files


def test_vendored_files_are_those_of_the_manifest_and_every_icon_is_drawn() -> None:
    assert vendored.check() == []


def test_style_sheet_names_files_by_their_hash() -> None:
    css = assets().by_name["uwu.css"]
    fonts = re.findall(r'url\("([^"]+)"\)', css.body.decode())
    assert len(fonts) == 2
    assert all(url.removeprefix("/assets/") in assets().by_file for url in fonts)
    assert css.gzipped is not None
    assert gzip.decompress(css.gzipped) == css.body
    assert len(css.gzipped) < 13_000


def test_every_template_compiles() -> None:
    for name in environment().list_templates():
        environment().get_template(name)


def test_marking_escapes_both_text_and_needle() -> None:
    assert marked("<b>Ledger</b>", "ledger") == "&lt;b&gt;<mark>Ledger</mark>&lt;/b&gt;"
    assert marked("<b>", "<") == "<mark>&lt;</mark>b&gt;"
    assert marked("abc", "") == "abc"
