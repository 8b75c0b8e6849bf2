"""What runs, routes and carries: Lambda, load balancers, Route 53, SQS, SNS, ACM, CloudFormation."""

from __future__ import annotations

from typing import Any

from uwu.domains.inventory.model import AWS, Batch, Each, Item, Link, Scope, Spec, Under, arn, ec2, kms_key, member
from uwu.kernel import urns

_KEY_TYPES = ["RSA_1024", "RSA_2048", "RSA_3072", "RSA_4096", "EC_prime256v1", "EC_secp384r1", "EC_secp521r1"]


def _load_balancer(name: str, title: str, kind: str, icon: str) -> Spec:
    return Spec(
        name,
        title,
        "elbv2",
        icon,
        operation="DescribeLoadBalancers",
        path="LoadBalancers",
        urn=member("LoadBalancerArn"),
        label="LoadBalancerName",
        where=lambda _scope, item: item.get("Type", "application") == kind,
        extras=(
            _elb_tags("LoadBalancerArn"),
            Each(
                "DescribeLoadBalancerAttributes",
                lambda item: {"LoadBalancerArn": item["LoadBalancerArn"]},
                "Attributes[?Key=='access_logs.s3.enabled'].Value | [0]",
                "AccessLogs",
                when=lambda _item: kind != "gateway",
            ),
        ),
        links=(
            Link("inVpc", "VpcId", ec2("vpc")),
            Link("inSubnet", "AvailabilityZones[].SubnetId", ec2("subnet")),
            Link("hasSecurityGroup", "SecurityGroups[]", ec2("security-group")),
        ),
    )


def _elb_tags(name: str) -> Batch:
    """ELBv2 DescribeTags takes at most 20 ARNs."""
    return Batch(
        "DescribeTags", "ResourceArns", lambda item: item[name], 20, "TagDescriptions", "ResourceArn", "Tags", "Tags"
    )


def _queue(item: Item) -> dict[str, str]:
    return {"QueueUrl": item["QueueUrl"]}


def _zone_id(item: Item) -> str:
    return str(item["Id"]).rsplit("/", 1)[-1]


def _record(scope: Scope, item: Item) -> str:
    return urns.record_set(
        item["HostedZoneId"],
        item["Name"],
        item["Type"],
        account=scope.account,
        set_identifier=item.get("SetIdentifier", ""),
    )


def _record_maker(_scope: Scope, item: Item) -> str:
    """A zone's own NS and SOA come with it."""
    apex = str(item["Name"]).rstrip(".").lower() == str(item.get("_zone_name", "")).rstrip(".").lower()
    return AWS if apex and item["Type"] in {"NS", "SOA"} else ""


def _target(scope: Scope, value: str) -> str:
    """A target is an instance, a function, a load balancer or a bare address."""
    return ec2("instance")(scope, value) if value.startswith("i-") else arn(scope, value)


def _zone(scope: Scope, value: str) -> str:
    return urns.arn("route53", f"hostedzone/{value.rsplit('/', 1)[-1]}", partition=scope.partition)


def _resource(name: str) -> Any:
    return lambda item: {"Resource": item[name]}


SPECS = (
    Spec(
        "aws_lambda_function",
        "Lambda function",
        "lambda",
        "square-function",
        operation="ListFunctions",
        path="Functions",
        urn=member("FunctionArn"),
        label="FunctionName",
        secret=frozenset({"Variables"}),
        extras=(
            Each("ListTags", _resource("FunctionArn"), "Tags", "Tags"),
            Each(
                "GetPolicy",
                lambda item: {"FunctionName": item["FunctionArn"]},
                "Policy",
                "Policy",
                frozenset({"ResourceNotFoundException"}),
            ),
        ),
        documents=frozenset({"Policy"}),
        links=(
            Link("runsAs", "Role", arn),
            Link("inVpc", "VpcConfig.VpcId", ec2("vpc")),
            Link("inSubnet", "VpcConfig.SubnetIds[]", ec2("subnet")),
            Link("hasSecurityGroup", "VpcConfig.SecurityGroupIds[]", ec2("security-group")),
            Link("encryptedBy", "KMSKeyArn", kms_key),
            Link("deadLettersTo", "DeadLetterConfig.TargetArn", arn),
            Link("usesLayer", "Layers[].Arn", arn),
        ),
    ),
    _load_balancer("aws_ec2_application_load_balancer", "Application load balancer", "application", "route"),
    _load_balancer("aws_ec2_network_load_balancer", "Network load balancer", "network", "route"),
    _load_balancer("aws_ec2_gateway_load_balancer", "Gateway load balancer", "gateway", "route"),
    Spec(
        "aws_ec2_target_group",
        "Target group",
        "elbv2",
        "target",
        operation="DescribeTargetGroups",
        path="TargetGroups",
        urn=member("TargetGroupArn"),
        label="TargetGroupName",
        extras=(
            _elb_tags("TargetGroupArn"),
            Each(
                "DescribeTargetHealth",
                lambda item: {"TargetGroupArn": item["TargetGroupArn"]},
                "TargetHealthDescriptions[].{Target: Target}",
                "TargetHealthDescriptions",
                # each one's health comes and goes
                beside={"AnyHealthy": "length(TargetHealthDescriptions[?TargetHealth.State=='healthy']) > `0`"},
            ),
        ),
        links=(
            Link("inVpc", "VpcId", ec2("vpc")),
            Link("servedBy", "LoadBalancerArns[]", arn),
            Link("targets", "TargetHealthDescriptions[].Target.Id", _target),
        ),
    ),
    Spec(
        "aws_route53_zone",
        "Hosted zone",
        "route53",
        "globe",
        operation="ListHostedZones",
        path="HostedZones",
        urn=lambda scope, item: _zone(scope, str(item["Id"])),
        label="Name",
        extras=(
            Batch(
                "ListTagsForResources",
                "ResourceIds",
                _zone_id,
                10,
                "ResourceTagSets",
                "ResourceId",
                "Tags",
                "Tags",
                {"ResourceType": "hostedzone"},
            ),
        ),
        managed_by=lambda _scope, item: AWS if item.get("LinkedService") else "",
        drop=frozenset({"ResourceRecordSetCount"}),
        everywhere=True,
    ),
    Spec(
        "aws_route53_record",
        "DNS record",
        "route53",
        "signpost",
        operation="ListResourceRecordSets",
        path="ResourceRecordSets",
        under=Under(
            "ListHostedZones",
            "HostedZones",
            lambda zone: {"HostedZoneId": _zone_id(zone)},
            keep={"HostedZoneId": "Id", "_zone_name": "Name"},
        ),
        urn=_record,
        label="Name",
        links=(Link("inZone", "HostedZoneId", _zone),),
        managed_by=_record_maker,
        everywhere=True,
    ),
    Spec(
        "aws_sqs_queue",
        "SQS queue",
        "sqs",
        "inbox",
        operation="ListQueues",
        path="QueueUrls[].{QueueUrl: @}",
        arguments={"MaxResults": 1000},
        urn=lambda scope, item: str(
            item.get("QueueArn")
            or urns.arn("sqs", item["QueueUrl"].rsplit("/", 1)[-1], account=scope.account, region=scope.region)
        ),
        label="",
        extras=(
            Each("GetQueueAttributes", lambda item: {**_queue(item), "AttributeNames": ["All"]}, "Attributes"),
            Each("ListQueueTags", _queue, "Tags", "Tags"),
        ),
        links=(
            Link("deadLettersTo", "RedrivePolicy.deadLetterTargetArn", arn),
            Link("encryptedBy", "KmsMasterKeyId", kms_key),
        ),
        drop=frozenset(
            {
                "ApproximateNumberOfMessages",
                "ApproximateNumberOfMessagesDelayed",
                "ApproximateNumberOfMessagesNotVisible",
            }
        ),
        documents=frozenset({"Policy", "RedrivePolicy", "RedriveAllowPolicy"}),
    ),
    Spec(
        "aws_sns_topic",
        "SNS topic",
        "sns",
        "megaphone",
        operation="ListTopics",
        path="Topics",
        urn=member("TopicArn"),
        label="",
        extras=(
            Each("GetTopicAttributes", lambda item: {"TopicArn": item["TopicArn"]}, "Attributes"),
            Each("ListTagsForResource", lambda item: {"ResourceArn": item["TopicArn"]}, "Tags", "Tags"),
        ),
        links=(Link("encryptedBy", "KmsMasterKeyId", kms_key),),
        drop=frozenset({"SubscriptionsConfirmed", "SubscriptionsDeleted", "SubscriptionsPending"}),
        documents=frozenset({"Policy", "DeliveryPolicy", "EffectiveDeliveryPolicy"}),
    ),
    Spec(
        "aws_acm_certificate",
        "Certificate",
        "acm",
        "badge-check",
        operation="ListCertificates",
        path="CertificateSummaryList[].{CertificateArn: CertificateArn}",
        arguments={"Includes": {"keyTypes": _KEY_TYPES}},
        urn=member("CertificateArn"),
        label="DomainName",
        extras=(
            Each("DescribeCertificate", lambda item: {"CertificateArn": item["CertificateArn"]}, "Certificate"),
            Each("ListTagsForCertificate", lambda item: {"CertificateArn": item["CertificateArn"]}, "Tags", "Tags"),
        ),
        links=(Link("usedBy", "InUseBy[]", arn),),
    ),
    Spec(
        "aws_cloudformation_stack",
        "CloudFormation stack",
        "cloudformation",
        "layers",
        operation="DescribeStacks",
        path="Stacks",
        urn=member("StackId"),
        label="StackName",
        where=lambda _scope, item: item.get("StackStatus") != "DELETE_COMPLETE",
        secret=frozenset({"ParameterValue", "OutputValue"}),
        links=(
            Link("runsAs", "RoleARN", arn),
            Link("partOf", "ParentId", arn),
        ),
    ),
)
