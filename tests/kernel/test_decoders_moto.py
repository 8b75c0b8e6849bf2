"""Every answer that moto can give to a listing without arguments, read by both: the same, errors too."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import botocore.session
import pytest
from botocore import xform_name
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.domains.inventory import world
from uwu.kernel.aws_calls import plain
from uwu.kernel.aws_fast import decode, scan
from uwu.kernel.aws_fast.decode import Decoders, Response
from uwu.kernel.aws_fast.times import wire_time

if TYPE_CHECKING:
    from uwu.sim.server import MotoServer

READS = ("Describe", "Get", "List")
PARTS = 4

SECOND_LEVEL: list[tuple[str, str, str, str, str]] = [
    ("iam", "ListRoles", "Roles[0].RoleName", "GetRole", "RoleName"),
    ("iam", "ListRoles", "Roles[0].RoleName", "ListAttachedRolePolicies", "RoleName"),
    ("iam", "ListPolicies", "Policies[0].Arn", "GetPolicy", "PolicyArn"),
    ("iam", "ListUsers", "Users[0].UserName", "ListAccessKeys", "UserName"),
    ("s3", "ListBuckets", "Buckets[0].Name", "GetBucketAcl", "Bucket"),
    ("s3", "ListBuckets", "Buckets[0].Name", "GetBucketLocation", "Bucket"),
    ("s3", "ListBuckets", "Buckets[0].Name", "GetBucketVersioning", "Bucket"),
    ("s3", "ListBuckets", "Buckets[0].Name", "GetBucketEncryption", "Bucket"),
    ("s3", "ListBuckets", "Buckets[0].Name", "GetBucketTagging", "Bucket"),
    ("s3", "ListBuckets", "Buckets[0].Name", "GetPublicAccessBlock", "Bucket"),
    ("s3", "ListBuckets", "Buckets[0].Name", "ListObjectsV2", "Bucket"),
    ("s3", "ListBuckets", "Buckets[0].Name", "HeadBucket", "Bucket"),
    ("dynamodb", "ListTables", "TableNames[0]", "DescribeTable", "TableName"),
    ("kms", "ListKeys", "Keys[0].KeyId", "DescribeKey", "KeyId"),
    ("kms", "ListKeys", "Keys[0].KeyId", "GetKeyPolicy", "KeyId"),
    ("lambda", "ListFunctions", "Functions[0].FunctionName", "GetFunction", "FunctionName"),
    ("route53", "ListHostedZones", "HostedZones[0].Id", "ListResourceRecordSets", "HostedZoneId"),
    ("route53", "ListHostedZones", "HostedZones[0].Id", "GetHostedZone", "Id"),
    ("sns", "ListTopics", "Topics[0].TopicArn", "GetTopicAttributes", "TopicArn"),
    ("sqs", "ListQueues", "QueueUrls[0]", "ListQueueTags", "QueueUrl"),
    ("ecs", "ListClusters", "clusterArns[0]", "ListServices", "cluster"),
    ("cloudformation", "ListStacks", "StackSummaries[0].StackName", "GetTemplate", "StackName"),
]  # fmt: skip


@dataclass
class Tally:
    answers: Counter[str] = field(default_factory=Counter)
    errors: int = 0
    differ: list[str] = field(default_factory=list)


class Both:
    """One service, asked by botocore, its bytes read by both."""

    def __init__(self, session: Any, url: str, service: str, tally: Tally) -> None:
        self.tally = tally
        self.client = session.create_client(
            service,
            region_name=world.REGION,
            endpoint_url=url,
            config=Config(retries={"total_max_attempts": 1}, read_timeout=10, inject_host_prefix=False),
        )
        self.model = self.client.meta.service_model
        self.decoders = Decoders(self.model)
        self.raw: dict[str, Any] = {}
        self.client.meta.events.register("before-parse", self._keep)

    def _keep(self, response_dict: dict[str, Any], **_: Any) -> None:
        self.raw = dict(response_dict)

    def ask(self, operation: str, arguments: dict[str, Any]) -> Any:
        """What botocore gives; both readings are compared."""
        self.raw, found, refused = {}, None, None
        try:
            found = getattr(self.client, xform_name(operation))(**arguments)
        except Exception as error:
            refused = error
        if self.raw:
            self._compare(operation, found, refused)
        return found

    def _compare(self, operation: str, found: Any, refused: Exception | None) -> None:
        model = self.model.operation_model(operation)
        headers = {name.lower(): value for name, value in self.raw["headers"].items()}
        response = Response(self.raw["status_code"], headers, self.raw["body"])
        where = f"{self.model.service_name}.{operation}"
        if response.status >= 300:
            self.tally.errors += 1
            self._compare_errors(where, model, response, refused)
            return
        try:
            ours: Any = self.decoders.decoder(model)(response)
            with pytest.MonkeyPatch.context() as patched:
                patched.setattr(decode.scan, "pieces", _odd)
                by_tree = self.decoders.decoder(model)(response)
        except Exception as error:
            ours = by_tree = error
        if found is None:
            if not isinstance(ours, Exception):
                self.tally.differ.append(f"{where}: botocore raises {refused!r}, we give {ours}")
            return
        theirs = {name: plain(value) for name, value in found.items() if name != "ResponseMetadata"}
        if ours != theirs or by_tree != theirs:
            self.tally.differ.append(f"{where}: {ours} != {theirs}")
        else:
            self.tally.answers[self.model.resolved_protocol] += 1

    def _compare_errors(self, where: str, model: Any, response: Response, refused: Exception | None) -> None:
        try:
            told: Any = self.decoders.error(model, response).get("Error", {})
        except Exception as error:
            if type(error) is not type(refused):
                self.tally.differ.append(f"{where}: {error!r} instead of {refused!r}")
            return
        if not isinstance(refused, ClientError) or told != refused.response.get("Error", {}):
            self.tally.differ.append(f"{where}: {told} instead of {refused!r}")


def _odd(_body: bytes) -> Any:
    raise scan.Odd


@pytest.fixture(scope="module")
def estate(aws_server: MotoServer) -> world.AccountWorld:
    """An account with one of every type."""
    return world.whole(aws_server.url)


def opened(account: world.AccountWorld) -> Any:
    session = botocore.session.Session()
    session.set_credentials(*account.keys.values())
    session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=wire_time)
    return session


@pytest.mark.parametrize("part", range(PARTS))
def test_every_listing_is_read_as_botocore_reads_it(estate: world.AccountWorld, part: int) -> None:
    session, tally = opened(estate), Tally()
    for index, name in enumerate(session.get_available_services()):
        if index % PARTS != part:
            continue
        both = Both(session, estate.url, name, tally)
        for operation in both.model.operation_names:
            model = both.model.operation_model(operation)
            required = model.input_shape.required_members if model.input_shape is not None else ()
            if operation.startswith(READS) and not required and not model.has_streaming_output:
                both.ask(operation, {})
        both.client.close()
    assert tally.differ == []
    assert tally.answers.total() > 60 and tally.errors > 100, tally


def test_what_is_asked_of_one_thing_is_read_as_botocore_reads_it(estate: world.AccountWorld) -> None:
    import jmespath

    session, tally = opened(estate), Tally()
    clients: dict[str, Both] = {}
    for service, listing, path, operation, argument in SECOND_LEVEL:
        both = clients.setdefault(service, Both(session, estate.url, service, tally))
        known = jmespath.search(path, both.ask(listing, {}))
        if known is not None:
            both.ask(operation, {argument: known})
    for both in clients.values():
        both.client.close()
    assert tally.differ == []
    assert tally.answers.total() >= 30, tally
