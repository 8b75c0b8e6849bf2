"""A bucket whose notifications go to a queue, on moto: what a trail's pipeline reads."""

from __future__ import annotations

import gzip
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import botocore.session

from uwu.kernel import codec

REGION, ACCOUNT = "us-east-1", "111122223333"


class Pipe:
    """One bucket and one queue of their own."""

    def __init__(self, url: str) -> None:
        session = botocore.session.get_session()
        self.s3: Any = session.create_client("s3", region_name=REGION, endpoint_url=url)
        self.sqs: Any = session.create_client("sqs", region_name=REGION, endpoint_url=url)
        self.sns: Any = session.create_client("sns", region_name=REGION, endpoint_url=url)
        self.name = f"pipe-{uuid.uuid4().hex[:12]}"
        self.s3.create_bucket(Bucket=self.name)
        self.queue = self.sqs.create_queue(QueueName=self.name)["QueueUrl"]
        attributes = self.sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=["QueueArn"])
        self.queue_arn = attributes["Attributes"]["QueueArn"]
        self._made = 0

    @property
    def source(self) -> str:
        return f"s3://{self.name}/AWSLogs/"

    def notify_queue(self) -> None:
        """S3 tells the queue itself."""
        wanted = [{"QueueArn": self.queue_arn, "Events": ["s3:ObjectCreated:*"]}]
        self.s3.put_bucket_notification_configuration(
            Bucket=self.name, NotificationConfiguration={"QueueConfigurations": wanted}
        )

    def notify_topic(self) -> None:
        """S3 tells a topic, which wraps it for the queue."""
        topic = self.sns.create_topic(Name=self.name)["TopicArn"]
        self.sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=self.queue_arn)
        wanted = [{"TopicArn": topic, "Events": ["s3:ObjectCreated:*"]}]
        self.s3.put_bucket_notification_configuration(
            Bucket=self.name, NotificationConfiguration={"TopicConfigurations": wanted}
        )

    def key(self, at: datetime, name: str = "") -> str:
        self._made += 1
        unique = name or f"{self._made:016d}"
        folder = f"AWSLogs/o-abc/{ACCOUNT}/CloudTrail/{REGION}/{at:%Y/%m/%d}"
        return f"{folder}/{ACCOUNT}_CloudTrail_{REGION}_{at:%Y%m%dT%H%MZ}_{unique}.json.gz"

    def put(self, records: Iterable[dict[str, Any]], at: datetime, name: str = "") -> str:
        """An object of ``records`` delivered at ``at``; gives its key."""
        key = self.key(at, name)
        self.s3.put_object(Bucket=self.name, Key=key, Body=gzip.compress(codec.encode({"Records": list(records)})))
        return key

    def send(self, body: Any) -> None:
        self.sqs.send_message(
            QueueUrl=self.queue, MessageBody=body if isinstance(body, str) else codec.encode(body).decode()
        )

    def waiting(self) -> int:
        """Messages in the queue, in flight or not."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        held = self.sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=names)["Attributes"]
        return sum(int(held[name]) for name in names)


def notification(bucket: str, key: str, mark: str, size: int = 1) -> dict[str, Any]:
    """What S3 tells of a new object."""
    from urllib.parse import quote_plus

    thing = {"key": quote_plus(key, safe="/"), "size": size, "eTag": mark}
    return {
        "Records": [
            {
                "eventVersion": "2.1",
                "eventSource": "aws:s3",
                "eventTime": codec.iso(datetime.now(UTC) - timedelta(seconds=3)),
                "eventName": "ObjectCreated:Put",
                "s3": {"bucket": {"name": bucket}, "object": thing},
            }
        ]
    }


def records(made: Any, count: int, at: datetime) -> list[dict[str, Any]]:
    """``count`` records, each of its own id."""
    return [
        made("CreateTags", eventID=str(uuid.uuid4()), eventTime=at.strftime("%Y-%m-%dT%H:%M:%SZ")) for _ in range(count)
    ]
