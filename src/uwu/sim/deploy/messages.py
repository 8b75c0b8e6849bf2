"""Queues, topics, names and certificates."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from uwu.sim.deploy.base import Deployment, pairs


class Messages(Deployment):
    """What carries messages, and what says where things are."""

    def queue(self, name: str, index: int) -> str:
        """A queue with its dead-letter queue; gives its URL."""
        sqs = self.aws("sqs")
        dead = f"{name}-{index}-dlq"
        dead_arn = self._arn("sqs", dead)
        self._queue(sqs, dead, {"MessageRetentionPeriod": "1209600"}, "dead", index)
        redrive = json.dumps({"deadLetterTargetArn": dead_arn, "maxReceiveCount": 5}, separators=(",", ":"))
        full = f"{name}-{index}"
        attributes = {"VisibilityTimeout": "60", "MessageRetentionPeriod": "345600", "RedrivePolicy": redrive}
        return self._queue(sqs, full, attributes, "work", index)

    def _queue(self, sqs: Any, name: str, attributes: Mapping[str, str], label: str, index: int) -> str:
        tags = self.tags(name)
        url = sqs.create_queue(QueueName=name, Attributes=dict(attributes), tags=tags)["QueueUrl"]
        shown = f"https://sqs.{self.region}.amazonaws.com/{self.account}/{name}"
        self.stack.add(
            "aws_sqs_queue",
            label,
            {
                "id": shown,
                "url": shown,
                "arn": self._arn("sqs", name),
                "name": name,
                "visibility_timeout_seconds": int(attributes.get("VisibilityTimeout", 30)),
                "message_retention_seconds": int(attributes["MessageRetentionPeriod"]),
                "delay_seconds": 0,
                "redrive_policy": attributes.get("RedrivePolicy", ""),
                **self._tagged(tags),
            },
            key=index,
        )
        return url

    def topic(self, name: str, index: int) -> str:
        client, full = self.aws("sns"), f"{name}-{index}"
        tags = self.tags(full)
        arn = client.create_topic(Name=full, Attributes={"DisplayName": name}, Tags=pairs(tags))["TopicArn"]
        attributes = {"id": arn, "arn": arn, "name": full, "display_name": name, "kms_master_key_id": ""}
        self.stack.add("aws_sns_topic", "events", {**attributes, **self._tagged(tags)}, key=index)
        return arn

    def zone(self, name: str) -> str:
        client = self.aws("route53")
        reference = f"terraform-{self.stack.name}"
        config = {"Comment": "Managed by Terraform", "PrivateZone": False}
        made = client.create_hosted_zone(Name=name, CallerReference=reference, HostedZoneConfig=config)
        id = made["HostedZone"]["Id"].rsplit("/", 1)[-1]
        tags = self.tags(name)
        client.change_tags_for_resource(ResourceType="hostedzone", ResourceId=id, AddTags=pairs(tags))
        attributes = {"id": id, "zone_id": id, "arn": f"arn:aws:route53:::hostedzone/{id}", "name": name}
        self.stack.add(
            "aws_route53_zone", "main", {**attributes, "comment": "Managed by Terraform", **self._tagged(tags)}
        )
        return id

    def record(self, zone: str, name: str, value: str) -> str:
        """A CNAME, as a pipeline points it."""
        change = {"Name": name, "Type": "CNAME", "TTL": 300, "ResourceRecords": [{"Value": value}]}
        self.aws("route53").change_resource_record_sets(
            HostedZoneId=zone, ChangeBatch={"Changes": [{"Action": "UPSERT", "ResourceRecordSet": change}]}
        )
        self.stack.add(
            "aws_route53_record",
            "this",
            {
                "id": f"{zone}_{name}_CNAME",
                "zone_id": zone,
                "name": name,
                "fqdn": name,
                "type": "CNAME",
                "ttl": 300,
                "records": [value],
                "set_identifier": "",
                "alias": [],
            },
        )
        return name

    def certificate(self, name: str) -> str:
        client, tags = self.aws("acm"), self.tags(name)
        arn = client.request_certificate(DomainName=name, ValidationMethod="DNS", Tags=pairs(tags))["CertificateArn"]
        attributes = {"id": arn, "arn": arn, "domain_name": name, "subject_alternative_names": [name]}
        self.stack.add("aws_acm_certificate", "this", {**attributes, **self._tagged(tags)})
        return arn

    def cloudformation(self, name: str) -> str:
        """A CloudFormation stack that Terraform keeps: a log group from a vendor's template."""
        client, tags = self.aws("cloudformation"), self.tags(name)
        group = {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": f"/vendor/{name}"}}
        template = json.dumps({"AWSTemplateFormatVersion": "2010-09-09", "Resources": {"Logs": group}})
        arn = client.create_stack(StackName=name, TemplateBody=template, Tags=pairs(tags))["StackId"]
        self.stack.add(
            "aws_cloudformation_stack", "vendor", {"id": arn, "name": name, "parameters": {}, **self._tagged(tags)}
        )
        return arn
