"""One resource read by itself is what the listing of its cell tells of it: every type that moto can make."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from tests.domains.inventory import test_relations as pieces
from tests.domains.inventory import world
from tests.domains.inventory.conftest import Open
from tests.domains.inventory.world import REGION, AccountWorld, FaultProxy
from uwu.domains.inventory import reader, refresh_calls, refresh_read
from uwu.domains.inventory.model import Scope, Spec, member
from uwu.domains.inventory.reader import Observation, Reader
from uwu.domains.inventory.refresh_calls import Asked
from uwu.domains.inventory.refresh_read import GONE, PRESENT, UNREAD, Seen
from uwu.domains.inventory.refresh_touch import deletes, touched
from uwu.domains.inventory.refresh_types import by_form, specs
from uwu.kernel.model import Resource
from uwu.kernel.runtime import Kernel

NOT_IN_MOTO = {
    "aws_api_gatewayv2_domain_name",
    "aws_api_gatewayv2_stage",
    "aws_iam_saml_provider",
    "aws_vpc_block_public_access_exclusion",
    "aws_vpc_vpn_gateway",
}
"""Types of which the estate has none."""
WRITTEN = sorted(
    name
    for name, spec in specs().items()
    if name in refresh_calls.BY_HAND or spec.service in {"autoscaling", "ec2", "ecr", "elb", "elbv2", "rds"}
)
"""Types whose calls are written by hand, or follow from arguments that take ids."""
MORE_THAN_AWS = {"aws_lambda_function": {"State", "LastUpdateStatus"}}
"""What moto's list tells and that of AWS does not."""


@pytest.fixture(scope="module")
def estate(aws_server: Any) -> AccountWorld:
    account = world.whole(aws_server.url)
    for build in (pieces.network, pieces.identities, pieces.edge, pieces.running):
        build(account)
    ids = account.ids
    account.client("elb").create_load_balancer(
        LoadBalancerName="old",
        Listeners=[{"Protocol": "HTTP", "LoadBalancerPort": 80, "InstancePort": 80}],
        AvailabilityZones=[REGION + "a"],
        Tags=world.tags(team="web"),
    )
    account.client("autoscaling").create_launch_configuration(
        LaunchConfigurationName="old", ImageId=ids["ami"], InstanceType="t3.micro"
    )
    return account


class Eye:
    """Lists and reads one account."""

    def __init__(self, kernel: Kernel, account: AccountWorld) -> None:
        self.aws = kernel.aws
        self.scope = Scope(account.id, REGION)
        self.held: dict[str, Resource] = {}

    def list(self, spec: Spec) -> Observation:
        seen = reader.observe_type(Reader(self.aws, self.scope, spec.service), spec)
        self.held.update({one.urn: one for one in seen.resources})
        return seen

    def model(self, spec: Spec) -> Callable[[], Any]:
        return lambda: self.aws.client(spec.service, self.scope.account, REGION).meta.service_model

    def read(
        self, spec: Spec, urn: str, known: Resource | None, *events: str, related: tuple[str, ...] = ()
    ) -> tuple[Seen, int]:
        def attributes_of(urn: str) -> dict[str, Any]:
            return self.held[urn].attributes if urn in self.held else {}

        asked = Asked(self.scope, urn, known, related, attributes_of)
        plan = refresh_read.plan(spec, asked, events, self.model(spec))
        assert plan is not None, urn
        return refresh_read.read(self.aws, plan, self.model(spec)), plan.calls


@pytest.fixture
def eye(estate: AccountWorld, open_kernel: Open) -> Eye:
    return Eye(open_kernel(estate), estate)


def told(seen: Any) -> set[tuple[str, str, str, str]]:
    return {(each.source, each.kind, each.target, each.evidence) for each in seen.relations}


def test_one_is_as_it_is_listed(eye: Eye) -> None:
    """Known or new, read whole: the same attributes, tags, name, maker and relations; few calls."""
    listings = {name: eye.list(specs()[name]) for name in WRITTEN}
    empty = {name for name, listing in listings.items() if not listing.resources}
    assert empty <= NOT_IN_MOTO
    for name, listing in listings.items():
        spec = specs()[name]
        for one in listing.resources[:3]:
            outgoing = {each for each in told(listing) if each[0] == one.urn}
            related = tuple(target for _, kind, target, _ in outgoing if kind == "belongsTo")
            for known in (one, None):
                seen, calls = eye.read(spec, one.urn, known, related=related)
                assert seen.state == PRESENT, (one.urn, known is None, seen)
                assert seen.resource is not None
                without = MORE_THAN_AWS.get(name, set()) if known is None else set()
                assert _without(seen.resource, set()) == _without(one, without), (one.urn, known is None)
                assert told(seen) == outgoing, one.urn
                assert len(seen.calls) <= max(calls, 3)


class _Any(dict[str, Any]):
    """Whatever is asked of it is ``x``."""

    def __missing__(self, key: str) -> str:
        return "x"


def _without(one: Resource, names: set[str]) -> Resource:
    return Resource(
        **{
            **{name: getattr(one, name) for name in Resource.__struct_fields__},
            "attributes": {name: value for name, value in one.attributes.items() if name not in names},
        }
    )


SETTINGS = {
    "aws_ec2_regional_settings",
    "aws_iam_account_summary",
    "aws_s3_account_settings",
    "aws_vpc_block_public_access_options",
}
"""What every account or region has."""


def test_every_urn_tells_its_type(eye: Eye) -> None:
    """What was never seen is known by its form, or by none at all: never taken for another."""
    for name in WRITTEN:
        for one in eye.list(specs()[name]).resources:
            if "/app/network/" in one.urn or "/app/gateway/" in one.urn:
                continue  # AWS says net and gwy; moto does not
            form = by_form(one.urn)
            assert form is not None, one.urn
            assert form.name == name, one.urn


def test_what_is_not_there_is_gone(eye: Eye) -> None:
    """An id that names nothing is found missing, however its service says so."""
    for name in WRITTEN:
        spec = specs()[name]
        for one in eye.list(spec).resources[:1]:
            other = _other(one)
            if other is None or name in SETTINGS:
                continue
            seen, _ = eye.read(spec, other.urn, other, related=("arn:aws:iam::1:user/nobody",))
            assert seen.state == GONE, (other.urn, seen)


def _other(one: Resource) -> Resource | None:
    """As ``one``, with another last part of its urn and in every attribute that held it."""
    last = one.urn.replace("/", ":").rsplit(":", 1)[-1]
    made = last[:-4] + "0" * 4 if len(last) > 8 else last + "0"

    def swap(value: Any) -> Any:
        if isinstance(value, str):
            return value.replace(last, made)
        if isinstance(value, dict):
            return {key: swap(each) for key, each in value.items()}
        return [swap(each) for each in value] if isinstance(value, list) else value

    if len(last) < 4 or made == last:
        return None
    values = {name: swap(getattr(one, name)) for name in Resource.__struct_fields__}
    return Resource(**values)


# ---- what an event can have touched


@pytest.mark.parametrize(
    ("type", "event", "calls"),
    [
        ("aws_s3_bucket", "PutBucketPolicy", ("GetBucketPolicy",)),
        ("aws_s3_bucket", "DeleteBucketPolicy", ("GetBucketPolicy",)),
        ("aws_s3_bucket", "PutBucketPublicAccessBlock", ("GetPublicAccessBlock",)),
        ("aws_s3_bucket", "PutBucketTagging", ("GetBucketTagging",)),
        ("aws_s3_bucket", "DeleteBucket", ("ListBuckets",)),
        ("aws_vpc_security_group", "AuthorizeSecurityGroupIngress", ("DescribeSecurityGroups",)),
        ("aws_lambda_function", "AddPermission20150331v2", ("GetPolicy",)),
        ("aws_lambda_function", "UpdateFunctionConfiguration20150331v2", ("GetFunctionConfiguration",)),
        ("aws_lambda_function", "TagResource20170331v2", ("ListTags",)),
        ("aws_kms_key", "PutKeyPolicy", ("GetKeyPolicy",)),
        ("aws_ec2_target_group", "RegisterTargets", ("DescribeTargetHealth",)),
        ("aws_ec2_load_balancer_listener", "CreateRule", ("DescribeRules",)),
        ("aws_secretsmanager_secret", "PutResourcePolicy", ("GetResourcePolicy",)),
        ("aws_sqs_queue", "SetQueueAttributes", ("GetQueueAttributes",)),
        ("aws_ecr_repository", "SetRepositoryPolicy", ("GetRepositoryPolicy",)),
        ("aws_route53_zone", "ChangeTagsForResource", ("ListTagsForResources",)),
    ],
)
def test_only_what_an_event_touched_is_asked(eye: Eye, type: str, event: str, calls: tuple[str, ...]) -> None:
    """And what is not asked stays: the resource is whole all the same."""
    spec = specs()[type]
    for one in eye.list(spec).resources[:2]:
        seen, _ = eye.read(spec, one.urn, one, event)
        assert seen.calls == calls
        assert seen.resource == one


def test_no_event_on_what_is_known_takes_more_than_three_calls(estate: AccountWorld, eye: Eye) -> None:
    for name in WRITTEN:
        spec = specs()[name]
        events = [("UpdateIt",), ("DeleteIt",), ("TagResource",)]
        events += [(extra.operation.replace("Get", "Put").replace("Describe", "Modify"),) for extra in spec.extras]
        urn = spec.urn(eye.scope, _Any())
        known = Resource(urn=urn, type=name, account=eye.scope.account, region=REGION, name="x", attributes=_Any())
        by_hand = refresh_calls.BY_HAND.get(name)
        one = by_hand(Asked(eye.scope, urn, known)) if by_hand is not None else None
        for held in events:
            what = touched(spec, held)
            asked = what.item and not (one is not None and one.given is not None)
            assert len(what.extras) + asked <= 3, (name, held, what)


def test_a_policy_that_is_taken_away_is_no_longer_known(estate: AccountWorld, eye: Eye) -> None:
    spec, urn = specs()["aws_s3_bucket"], f"arn:aws:s3:::{estate.ids['bucket']}"
    one = next(each for each in eye.list(spec).resources if each.urn == urn)
    policy = estate.client("s3").get_bucket_policy(Bucket=estate.ids["bucket"])["Policy"]
    estate.client("s3").delete_bucket_policy(Bucket=estate.ids["bucket"])
    try:
        seen, _ = eye.read(spec, urn, one, "DeleteBucketPolicy")
    finally:
        estate.client("s3").put_bucket_policy(Bucket=estate.ids["bucket"], Policy=policy)
    assert seen.resource is not None
    assert one.attributes.keys() - seen.resource.attributes.keys() == {"Policy"}
    assert (seen.resource.tags, seen.resource.name) == (one.tags, one.name)


def test_what_is_denied_or_throttled_says_nothing_of_the_resource(
    estate: AccountWorld, open_kernel: Open, proxy: FaultProxy
) -> None:
    eye = Eye(open_kernel(estate, url=proxy.url), estate)
    spec = specs()["aws_vpc_security_group"]
    one = eye.list(spec).resources[0]
    for code, state in (("UnauthorizedOperation", "denied"), ("RequestLimitExceeded", "throttled")):
        fault = world.Fault(lambda request: request.action == "DescribeSecurityGroups", code)
        proxy.faults[:] = [fault]
        seen, _ = eye.read(spec, one.urn, one, "DeleteSecurityGroup")
        proxy.faults.clear()
        assert (seen.state, seen.code, seen.resource) == (state, code, None)


# ---- derived calls


def test_calls_are_derived_from_the_model(eye: Eye) -> None:
    """A type of which nothing is written but its list: by ids, by a Get of its own shape, or by a short list."""

    def spec(service: str, operation: str, path: str, urn: str, label: str = "") -> Spec:
        return Spec("made_up", "Made up", service, "box", operation, path, member(urn), label)

    cases = (
        (spec("elbv2", "DescribeTrustStores", "TrustStores", "TrustStoreArn"), "DescribeTrustStores", "TrustStoreArns"),
        (spec("logs", "DescribeMetricFilters", "metricFilters", "x", "filterName"), "DescribeMetricFilters", ""),
        (spec("batch", "DescribeComputeEnvironments", "computeEnvironments", "computeEnvironmentArn"), "", ""),
        (spec("signer", "ListSigningProfiles", "profiles", "arn", "profileName"), "ListSigningProfiles", ""),
        (spec("transfer", "ListServers", "Servers", "Arn", "ServerId"), "ListServers", ""),
    )
    for made, operation, argument in cases:
        urn = f"arn:aws:{made.service}:{REGION}:{eye.scope.account}:thing/one"
        known = Resource(
            urn=urn,
            type="made_up",
            account=eye.scope.account,
            region=REGION,
            name="one",
            attributes={made.label: "one"},
        )
        one = refresh_calls.derived(made, Asked(eye.scope, urn, known), eye.model(made)())
        assert one is not None, made
        if operation:
            assert one.operation == operation
        if argument:
            assert argument in one.arguments


def test_an_id_that_was_guessed_proves_nothing(eye: Eye) -> None:
    """A list by a name that stands nowhere may find nothing although the thing is there."""
    spec = dataclasses.replace(specs()["aws_rds_db_instance"], name="made_up")
    urn = f"arn:aws:rds:{REGION}:{eye.scope.account}:db:nowhere"
    seen, _ = eye.read(spec, urn, None)
    assert seen.state == UNREAD
    seen, _ = eye.read(spec, urn, None, "DeleteDBInstance")
    assert seen.state == GONE


def test_deletions_are_told_by_their_names() -> None:
    assert deletes(["CreateBucket", "DeleteBucket"])
    assert not deletes(["PutBucketPolicy", "UndeleteThing"])
