"""How CloudTrail writes the parameters and the answer of a call: the forms differ by service.

All but EC2 and S3 write members with their first letter lowered and lists plain. EC2 writes its XML names with lists as
``{"items": [...]}``; S3 names the bucket and the sub-resource. Answers of reads are null. Secrets are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from botocore.model import ListShape, MapShape, StructureShape

REDACTED = "<sensitiveDataRemoved>"
HIDDEN = "HIDDEN_DUE_TO_SECURITY_REASONS"
READ_VERBS = ("Get", "List", "Describe", "Head", "Lookup", "Search", "BatchGet", "Scan", "Query", "Select", "Check")

_EC2_LISTS = {
    "InstanceIds": ("instancesSet", "instanceId"),
    "GroupIds": ("securityGroupIdSet", "groupId"),
    "VpcIds": ("vpcSet", "vpcId"),
    "SubnetIds": ("subnetSet", "subnetId"),
    "VolumeIds": ("volumeSet", "volumeId"),
    "Resources": ("resourcesSet", "resourceId"),
    "Tags": ("tagSet", ""),
    "TagSpecifications": ("tagSpecificationSet", ""),
    "SecurityGroupIds": ("groupSet", "groupId"),
    "SecurityGroups": ("groupSet", "groupName"),
    "Groups": ("groupSet", "groupId"),
    "Filters": ("filterSet", ""),
    "Values": ("valueSet", "value"),
    "NetworkInterfaceIds": ("networkInterfaceIdSet", "networkInterfaceId"),
    "ImageIds": ("imagesSet", "imageId"),
    "RegionNames": ("regionSet", "regionName"),
    "IpPermissions": ("ipPermissions", ""),
    "IpRanges": ("ipRanges", ""),
    "Ipv6Ranges": ("ipv6Ranges", ""),
    "UserIdGroupPairs": ("groups", ""),
    "PrefixListIds": ("prefixListIds", ""),
}
_EC2_EMPTY = {"IpPermissions": ("UserIdGroupPairs", "IpRanges", "Ipv6Ranges", "PrefixListIds")}
_EC2_READS_OF = {
    "DescribeInstances": ("instancesSet", "filterSet"),
    "DescribeSecurityGroups": ("securityGroupSet", "securityGroupIdSet", "filterSet"),
    "DescribeVpcs": ("vpcSet", "filterSet"),
    "DescribeSubnets": ("subnetSet", "filterSet"),
    "DescribeVolumes": ("volumeSet", "filterSet"),
}
_EC2_WRAPPED = {"CreateLaunchTemplate", "CreateNatGateway", "CreateFlowLogs", "CreateVpcEndpoint"}
"""Newer calls: the request under ``<Name>Request`` and the answer under ``<Name>Response``, capitals kept."""

_S3_NAMES = {
    "PutBucketLifecycleConfiguration": "PutBucketLifecycle",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
    "DeletePublicAccessBlock": "DeleteBucketPublicAccessBlock",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
}
_S3_SUBRESOURCE = {
    "PutBucketPolicy": "policy",
    "DeleteBucketPolicy": "policy",
    "PutBucketVersioning": "versioning",
    "PutBucketEncryption": "encryption",
    "DeleteBucketEncryption": "encryption",
    "PutBucketTagging": "tagging",
    "PutPublicAccessBlock": "publicAccessBlock",
    "DeletePublicAccessBlock": "publicAccessBlock",
}
_LAMBDA_DATES = {
    "CreateFunction": "20150331",
    "UpdateFunctionConfiguration": "20150331v2",
    "UpdateFunctionCode": "20150331v2",
    "DeleteFunction": "20150331",
    "AddPermission": "20150331v2",
    "TagResource": "20170331v2",
}
_SECRET_MEMBERS = {
    "SecretString": HIDDEN,
    "SecretBinary": HIDDEN,
    "MasterUserPassword": "****",
    "Password": HIDDEN,
    "UserData": REDACTED,
    "Plaintext": HIDDEN,
}
_ALWAYS_ANSWERED = {
    "AssumeRole",
    "AssumeRoleWithWebIdentity",
    "AssumeRoleWithSAML",
    "GetSessionToken",
    "GetFederationToken",
}


def is_read(operation: str) -> bool:
    return operation.startswith(READ_VERBS) and operation not in {"GetSessionToken", "GetFederationToken"}


def event_name(service: str, operation: str) -> str:
    """The event's name: the operation's, but for S3's and Lambda's own ways."""
    if service == "s3":
        return _S3_NAMES.get(operation, operation)
    if service == "lambda" and operation in _LAMBDA_DATES:
        return operation + _LAMBDA_DATES[operation]
    return operation


def lower(name: str) -> str:
    """``DBInstanceIdentifier`` -> ``dBInstanceIdentifier``: only the first letter."""
    return name[:1].lower() + name[1:]


def request(service: str, model: Any, parameters: Mapping[str, Any], host: str) -> Any:
    """``requestParameters`` of a call."""
    operation = model.name
    if service == "ec2":
        if operation in _EC2_WRAPPED:
            return {f"{operation}Request": _plain(model.input_shape, parameters, capitals=True)}
        shown = _ec2_request(parameters)
        for empty in _EC2_READS_OF.get(operation, ()):
            shown.setdefault(empty, {})
        return shown or None
    if service == "s3":
        return _s3_request(operation, model, parameters, host)
    shown = _plain(model.input_shape, parameters)
    return shown or None


def response(service: str, model: Any, parsed: Mapping[str, Any], request_id: str) -> Any:
    """``responseElements`` of a call that succeeded."""
    operation = model.name
    if service == "s3" or (is_read(operation) and operation not in _ALWAYS_ANSWERED):
        return None
    content = {k: v for k, v in parsed.items() if k != "ResponseMetadata"}
    if service == "ec2":
        if operation in _EC2_WRAPPED:
            return {f"{operation}Response": {"requestId": request_id, **_ec2_answer(model.output_shape, content)}}
        answer = {"requestId": request_id, **_ec2_answer(model.output_shape, content)}
        return answer if len(answer) > 1 else {"requestId": request_id, "_return": True}
    shown = _plain(model.output_shape, content, service=service)
    if service == "rds" and isinstance(shown, dict) and len(shown) == 1:
        shown = next(iter(shown.values()))
    return shown or None


def _plain(shape: Any, value: Any, *, capitals: bool = False, service: str = "", name: str = "") -> Any:
    if value is None:
        return None
    if name in _SECRET_MEMBERS:
        return _SECRET_MEMBERS[name]
    if isinstance(value, Mapping):
        members: Any = shape.members if isinstance(shape, StructureShape) else {}
        inner = shape.value if isinstance(shape, MapShape) else None
        keep = capitals or isinstance(shape, MapShape)
        return {
            (key if keep else lower(key)): _plain(
                members.get(key, inner), item, capitals=capitals, service=service, name=key
            )
            for key, item in value.items()
            if item is not None
        }
    if isinstance(value, list | tuple):
        member = shape.member if isinstance(shape, ListShape) else None
        return [_plain(member, item, capitals=capitals, service=service) for item in value]
    if isinstance(value, datetime):
        return _date(value, service)
    if isinstance(value, bytes | bytearray):
        return None
    return value


def _date(value: datetime, service: str) -> str:
    value = value.astimezone(UTC)
    comma = "," if service == "sts" else ""
    return f"{value:%b} {value.day}, {value.year}{comma} {value.hour % 12 or 12}:{value:%M:%S %p}"


def _ec2_request(parameters: Mapping[str, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for name, value in parameters.items():
        if value is None:
            continue
        if isinstance(value, list | tuple):
            key, member = _EC2_LISTS.get(name, (lower(name) + "Set", lower(name.removesuffix("s"))))
            items: list[Any] = []
            for item in value:
                if isinstance(item, Mapping):
                    inner = _ec2_request(item)
                    for empty in _EC2_EMPTY.get(name, ()):
                        inner.setdefault(_EC2_LISTS[empty][0], {})
                    items.append(inner)
                else:
                    items.append({member or "value": item})
            shown[key] = {"items": items} if items else {}
        elif isinstance(value, Mapping):
            shown[lower(name)] = _ec2_request(value)
        elif name in _SECRET_MEMBERS:
            shown[lower(name)] = _SECRET_MEMBERS[name]
        else:
            shown[lower(name)] = value.isoformat() if isinstance(value, datetime) else value
    if "minCount" in shown and "imageId" in shown:
        counts = {k: shown[k] for k in ("imageId", "minCount", "maxCount") if k in shown}
        for key in ("imageId", "minCount", "maxCount"):
            shown.pop(key, None)
        shown = {
            "instancesSet": {"items": [counts]},
            **shown,
            "monitoring": {"enabled": False},
            "disableApiStop": False,
        }
    return shown


def _ec2_answer(shape: Any, value: Any) -> Any:
    if isinstance(value, Mapping):
        members: Any = shape.members if isinstance(shape, StructureShape) else {}
        shown: dict[str, Any] = {}
        for key, item in value.items():
            member = members.get(key)
            name = member.serialization.get("name", lower(key)) if member is not None else lower(key)
            shown[name] = _ec2_answer(member, item)
        return shown
    if isinstance(value, list | tuple):
        member = shape.member if isinstance(shape, ListShape) else None
        return {"items": [_ec2_answer(member, item) for item in value]} if value else {}
    if isinstance(value, datetime):
        return int(value.timestamp() * 1000)
    return value


def _s3_request(operation: str, model: Any, parameters: Mapping[str, Any], host: str) -> dict[str, Any]:
    bucket = parameters.get("Bucket", "")
    shown: dict[str, Any] = {}
    if bucket:
        shown["bucketName"] = bucket
    shown["Host"] = f"{bucket}.{host}" if bucket else host
    if operation in _S3_SUBRESOURCE:
        shown[_S3_SUBRESOURCE[operation]] = ""
    for name, value in parameters.items():
        if name == "Bucket" or value is None or isinstance(value, bytes) or hasattr(value, "read"):
            continue
        if name == "Policy":
            import json

            shown["bucketPolicy"] = json.loads(value)
        elif name == "Key":
            shown["key"] = value
        elif isinstance(value, Mapping):
            shape = model.input_shape.members.get(name) if model.input_shape is not None else None
            shown[name] = _plain(shape, value, capitals=True)
        else:
            shown[lower(name)] = value
    return shown
