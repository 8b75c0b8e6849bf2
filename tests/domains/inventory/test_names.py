"""What names on the network lead to: each kind of target, chains of records, private addresses within their account."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from tests.domains.inventory.test_exposure import LB, ec2, fill
from tests.kernel.world import ACCOUNT, REGION
from uwu.domains.inventory.names import resolve_names
from uwu.kernel import tables, urns
from uwu.kernel.runtime import Kernel

CDN = f"arn:aws:cloudfront::{ACCOUNT}:distribution/E1"
REST = f"arn:aws:apigateway:{REGION}::/restapis/abc123"
URL = urns.own("lambda", "url", "charge", account=ACCOUNT, region=REGION)
HOST = f"{REGION}.amazonaws.com"


def record(name: str, value: str, *, alias: bool = False, type: str = "CNAME") -> tuple[str, dict[str, Any]]:
    urn = urns.record_set("Z1", name, type, account=ACCOUNT)
    leads = {"AliasTarget": {"DNSName": value}} if alias else {"ResourceRecords": [{"Value": value}]}
    return urn, {"Name": f"{name}.", "Type": type, **leads}


def test_each_name_leads_to_what_holds_it(kernel: Kernel) -> None:
    records = dict(
        [
            record("www.example.org", "d1.cloudfront.net.", alias=True, type="A"),
            record("shop.example.org", "WWW.example.org."),
            record("api.example.org", f"abc123.execute-api.{HOST}"),
            record("lb.example.org", f"dualstack.front-1.elb.{HOST}.", alias=True, type="A"),
            record("site.example.org", f"s3-website-{HOST}", alias=True, type="A"),
            record("files.example.org", f"photos.s3.{HOST}"),
            record("go.example.org", f"xyz.lambda-url.{REGION}.on.aws"),
            record("in.example.org", "10.0.0.7", type="A"),
            record("out.example.org", "elsewhere.net"),
        ]
    )
    held = {
        "aws_route53_record": records,
        "aws_cloudfront_distribution": {
            CDN: {"DomainName": "d1.cloudfront.net", "Origins": {"Items": [{"DomainName": f"front-1.elb.{HOST}"}]}}
        },
        "aws_ec2_application_load_balancer": {LB: {"DNSName": f"front-1.elb.{HOST}"}},
        "aws_s3_bucket": {"arn:aws:s3:::photos": {}, "arn:aws:s3:::site.example.org": {}},
        "aws_api_gateway_rest_api": {REST: {}},
        "aws_lambda_function_url": {URL: {"FunctionUrl": f"https://xyz.lambda-url.{REGION}.on.aws/"}},
        "aws_ec2_instance": {ec2("instance", "i-7"): {"PrivateIpAddress": "10.0.0.7"}},
    }
    fill(kernel, held)
    assert resolve_names(kernel) == 8
    t = tables.relations
    with kernel.db.read() as connection:
        rows = connection.execute(sa.select(t.c.source, t.c.kind, t.c.target).where(t.c.valid_to.is_(None)))
        drawn = {
            (source.split("/")[1] if "record-set" in source else source, kind, target)
            for source, kind, target in rows
            if kind in {"resolvesTo", "hasOrigin"}
        }
    assert drawn == {
        ("www.example.org", "resolvesTo", CDN),
        ("shop.example.org", "resolvesTo", urns.record_set("Z1", "www.example.org", "A", account=ACCOUNT)),
        ("api.example.org", "resolvesTo", REST),
        ("lb.example.org", "resolvesTo", LB),
        ("site.example.org", "resolvesTo", "arn:aws:s3:::site.example.org"),
        ("files.example.org", "resolvesTo", "arn:aws:s3:::photos"),
        ("go.example.org", "resolvesTo", URL),
        ("in.example.org", "resolvesTo", ec2("instance", "i-7")),
        (CDN, "hasOrigin", LB),
    }
