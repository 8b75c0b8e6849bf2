"""How CloudTrail writes the parameters and the answer of a call: the forms differ by service.

All but EC2 and S3 write members with their first letter lowered and lists plain; EC2 has two ways of its own. S3 names
the bucket and the sub-resource, and writes a body as its XML has it. Answers of reads are null. Secrets are left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from botocore.model import ListShape, MapShape, StructureShape

from uwu.sim import forms_ec2
from uwu.sim.forms_ec2 import lower

HIDDEN = "HIDDEN_DUE_TO_SECURITY_REASONS"
READ_VERBS = ("Get", "List", "Describe", "Head", "Lookup", "Search", "BatchGet", "Scan", "Query", "Select", "Check")

XML = "http://s3.amazonaws.com/doc/2006-03-01/"
CAPITALS = frozenset({"account", "ce", "devops-guru", "resource-explorer-2"})
"""Services whose members are told as the API writes them."""

_S3_NAMES = {
    "DeletePublicAccessBlock": "DeleteBucketPublicAccessBlock",
    "GetBucketAccelerateConfiguration": "GetAccelerateConfiguration",
    "GetBucketLifecycleConfiguration": "GetBucketLifecycle",
    "GetObjectLockConfiguration": "GetBucketObjectLockConfiguration",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "PutBucketLifecycleConfiguration": "PutBucketLifecycle",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
}
_LAMBDA_DATES = {
    "AddPermission": "20150331v2",
    "CreateFunction": "20150331",
    "DeleteFunction": "20150331",
    "GetFunction": "20150331v2",
    "GetPolicy": "20150331v2",
    "ListFunctions": "20150331",
    "ListVersionsByFunction": "20150331",
    "RemovePermission": "20150331v2",
    "TagResource": "20170331v2",
    "UpdateFunctionCode": "20150331v2",
    "UpdateFunctionConfiguration": "20150331v2",
}
_LEFT_OUT = frozenset({"SecretAccessKey", "WebIdentityToken", "SAMLAssertion", "ZipFile"})
"""Members that a record never tells; a session's token it does."""
_SECRET_MEMBERS = {
    "SecretString": HIDDEN,
    "SecretBinary": HIDDEN,
    "MasterUserPassword": "****",
    "Password": HIDDEN,
    "UserData": forms_ec2.REDACTED,
    "Plaintext": HIDDEN,
}
_USES = frozenset(
    {
        "AssumeRole",
        "AssumeRoleWithSAML",
        "AssumeRoleWithWebIdentity",
        "Decrypt",
        "Encrypt",
        "GenerateDataKey",
        "GenerateDataKeyWithoutPlaintext",
    }
)
_ALWAYS_ANSWERED = {
    "AssumeRole",
    "AssumeRoleWithWebIdentity",
    "AssumeRoleWithSAML",
    "GetSessionToken",
    "GetFederationToken",
}


def is_read(operation: str) -> bool:
    """CloudTrail's ``readOnly``: opening a session and using a key change nothing."""
    return operation.startswith(READ_VERBS) or operation in _USES


def event_name(service: str, operation: str) -> str:
    """The event's name: the operation's, but for S3's and Lambda's own ways."""
    if service == "s3":
        return _S3_NAMES.get(operation, operation)
    if service == "lambda" and operation in _LAMBDA_DATES:
        return operation + _LAMBDA_DATES[operation]
    return operation


def error_code(service: str, model: Any, code: str) -> str:
    """``errorCode``: EC2 says whose fault it was, the others name the error's shape (``NoSuchEntityException``)."""
    if service == "ec2":
        code = "UnauthorizedOperation" if code == "AccessDenied" else code
        return code if code.startswith(("Client.", "Server.")) else f"Client.{code}"
    if service == "sqs":
        return code
    return next((shape.name for shape in model.error_shapes if shape.error_code == code), code)


def request(service: str, model: Any, parameters: Mapping[str, Any], host: str) -> Any:
    """``requestParameters`` of a call."""
    if service == "ec2":
        return forms_ec2.request(model, parameters)
    if service == "s3":
        return _s3_request(model, parameters, host)
    shown = _plain(model.input_shape, parameters, service=service, capitals=service in CAPITALS)
    return shown or None


def response(service: str, model: Any, parsed: Mapping[str, Any], request_id: str) -> Any:
    """``responseElements`` of a call that succeeded."""
    operation = model.name
    if service == "s3" or (is_read(operation) and operation not in _ALWAYS_ANSWERED):
        return None
    content = {k: v for k, v in parsed.items() if k != "ResponseMetadata"}
    if service == "ec2":
        return forms_ec2.response(model, content, request_id)
    shown = _plain(model.output_shape, content, service=service)
    if operation == "DeleteSecret" and isinstance(shown, dict) and "arn" in shown:
        shown["aRN"] = shown.pop("arn")  # of the three writes that answer it, this one spells it so
    if service == "rds" and isinstance(shown, dict) and len(shown) == 1:
        shown = next(iter(shown.values()))
    return shown or None


def _plain(shape: Any, value: Any, *, capitals: bool = False, service: str = "", name: str = "") -> Any:
    if value is None:
        return None
    if name in _SECRET_MEMBERS or (service, name) == ("ssm", "Value"):
        return _SECRET_MEMBERS.get(name, HIDDEN)
    if isinstance(value, Mapping):
        members: Any = shape.members if isinstance(shape, StructureShape) else {}
        inner = shape.value if isinstance(shape, MapShape) else None
        keep = capitals or isinstance(shape, MapShape)
        return {
            (key if keep else _member(key)): _plain(
                members.get(key, inner), item, capitals=capitals, service=service, name=key
            )
            for key, item in value.items()
            if item is not None and key not in _LEFT_OUT
        }
    if isinstance(value, list | tuple):
        member = shape.member if isinstance(shape, ListShape) else None
        return [_plain(member, item, capitals=capitals, service=service) for item in value]
    if isinstance(value, datetime):
        return _date(value, service)
    if isinstance(value, bytes | bytearray):
        return None
    return value


def _member(name: str) -> str:
    return "arn" if name == "ARN" else lower(name)


def _date(value: datetime, service: str) -> str:
    value = value.astimezone(UTC)
    comma = "," if service == "sts" else ""
    return f"{value:%b} {value.day}, {value.year}{comma} {value.hour % 12 or 12}:{value:%M:%S %p}"


def _s3_request(model: Any, parameters: Mapping[str, Any], host: str) -> dict[str, Any]:
    bucket = str(parameters.get("Bucket", ""))
    shown: dict[str, Any] = {}
    if bucket:
        shown["bucketName"] = bucket
    shown["Host"] = f"{bucket}.{host}" if bucket and not host.startswith(f"{bucket}.") else host
    # the sub-resource is what the address asks for without a value
    sub_resource = re.search(r"\?([A-Za-z-]+)(?:&|$)", str(model.http.get("requestUri", "")))
    if sub_resource is not None:
        shown[sub_resource[1]] = ""
    members = model.input_shape.members if model.input_shape is not None else {}
    for name, value in parameters.items():
        if name == "Bucket" or value is None or isinstance(value, bytes) or hasattr(value, "read"):
            continue
        shape = members.get(name)
        if name == "Policy":
            shown["bucketPolicy"] = json.loads(value)
        elif isinstance(value, Mapping):
            shown[_xml_name(name, shape)] = {"xmlns": XML, **_xml(shape, value)}
        else:
            shown["key" if name == "Key" else _xml_name(lower(name), shape)] = value
    return shown


def _xml_name(name: str, shape: Any) -> str:
    return str(shape.serialization.get("name") or name) if shape is not None else name


def _xml(shape: Any, value: Any) -> Any:
    """A body as its XML has it: an element that stands once is no list."""
    if isinstance(value, Mapping):
        members: Any = shape.members if isinstance(shape, StructureShape) else {}
        shown: dict[str, Any] = {}
        for key, item in value.items():
            member = members.get(key)
            inner = _xml(member, item)
            if isinstance(member, ListShape) and not getattr(member, "serialization", {}).get("flattened"):
                inner = {_xml_name("member", member.member): inner}
            shown[_xml_name(key, member)] = inner
        return shown
    if isinstance(value, list | tuple):
        made = [_xml(shape.member if isinstance(shape, ListShape) else None, each) for each in value]
        return made[0] if len(made) == 1 else made
    return value.isoformat() if isinstance(value, datetime) else value
