"""CloudTrail events in the Open Cybersecurity Schema Framework 1.3: account changes, sign-ins, API calls.

Classes 3001 Account Change, 3002 Authentication and 6003 API Activity, profile ``cloud`` (schema.ocsf.io/1.3.0).
What the schema has no place for, such as the human behind a role, stands under ``unmapped``.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from uwu.domains.trail import store
from uwu.kernel import codec, urns
from uwu.kernel.errors import BadInput
from uwu.kernel.runtime import Kernel

VERSION = "1.3.0"
ACCOUNT_CHANGE, AUTHENTICATION, API_ACTIVITY = 3001, 3002, 6003
CLASSES = (ACCOUNT_CHANGE, AUTHENTICATION, API_ACTIVITY)

_CREATE, _ENABLE, _PASSWORD_CHANGE, _PASSWORD_RESET, _DISABLE, _DELETE, _ATTACH, _DETACH = 1, 2, 3, 4, 5, 6, 7, 8
_MFA_ENABLE, _MFA_DISABLE = 10, 11

_ACCOUNT_CHANGES: Mapping[str, tuple[int, str]] = {
    "CreateUser": (_CREATE, "Create"),
    "CreateRole": (_CREATE, "Create"),
    "CreateAccessKey": (_CREATE, "Create"),
    "CreateLoginProfile": (_ENABLE, "Enable"),
    "ChangePassword": (_PASSWORD_CHANGE, "Password Change"),
    "UpdateLoginProfile": (_PASSWORD_RESET, "Password Reset"),
    "DeleteLoginProfile": (_DISABLE, "Disable"),
    "DeleteUser": (_DELETE, "Delete"),
    "DeleteRole": (_DELETE, "Delete"),
    "DeleteAccessKey": (_DELETE, "Delete"),
    "AttachUserPolicy": (_ATTACH, "Attach Policy"),
    "AttachRolePolicy": (_ATTACH, "Attach Policy"),
    "PutUserPolicy": (_ATTACH, "Attach Policy"),
    "PutRolePolicy": (_ATTACH, "Attach Policy"),
    "DetachUserPolicy": (_DETACH, "Detach Policy"),
    "DetachRolePolicy": (_DETACH, "Detach Policy"),
    "DeleteUserPolicy": (_DETACH, "Detach Policy"),
    "DeleteRolePolicy": (_DETACH, "Detach Policy"),
    "EnableMFADevice": (_MFA_ENABLE, "MFA Factor Enable"),
    "DeactivateMFADevice": (_MFA_DISABLE, "MFA Factor Disable"),
}
_LOGONS = frozenset({"ConsoleLogin", "SwitchRole", "UserAuthentication", "Authenticate"})
_LOGONS |= {"AssumeRoleWithSAML", "AssumeRoleWithWebIdentity"}

_VERBS = (
    (1, "Create", ("Create", "Run", "Register", "Allocate", "Import", "Copy", "Restore", "Request", "Start", "Launch")),
    (4, "Delete", ("Delete", "Terminate", "Deregister", "Release", "Remove", "Revoke", "Purge", "Cancel", "Schedule")),
    (2, "Read", ("Get", "List", "Describe", "Head", "Lookup", "Search", "Query", "Scan", "BatchGet", "Select")),
)
_UPDATE, _OTHER = (3, "Update"), (99, "Other")
_USER_TYPES = {"Root": 2, "IAMUser": 1, "AWSService": 3}


def class_of(event: Mapping[str, Any]) -> int:
    """The class of an event."""
    if event["event_source"] == "iam.amazonaws.com" and event["event_name"] in _ACCOUNT_CHANGES:
        return ACCOUNT_CHANGE
    return AUTHENTICATION if event["event_name"] in _LOGONS else API_ACTIVITY


def event_of(event: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the lake's ``events`` as an OCSF event."""
    class_uid = class_of(event)
    identity = _object(event["identity"])
    request = _object(event["request_parameters"])
    failed = _failed(event)
    if class_uid == ACCOUNT_CHANGE:
        activity, name = _ACCOUNT_CHANGES[event["event_name"]]
    elif class_uid == AUTHENTICATION:
        activity, name = 1, "Logon"
    else:
        activity, name = _activity(event)
    made: dict[str, Any] = {
        "activity_id": activity,
        "activity_name": name,
        "category_uid": class_uid // 1000,
        "category_name": "Application Activity" if class_uid == API_ACTIVITY else "Identity & Access Management",
        "class_uid": class_uid,
        "class_name": {ACCOUNT_CHANGE: "Account Change", AUTHENTICATION: "Authentication"}.get(
            class_uid, "API Activity"
        ),
        "type_uid": class_uid * 100 + activity,
        "time": int(event["event_time"].timestamp() * 1000),
        "severity_id": 1,
        "severity": "Informational",
        "status_id": 2 if failed else 1,
        "status": "Failure" if failed else "Success",
        "metadata": {
            "version": VERSION,
            "uid": event["event_id"],
            "log_provider": "AWS",
            "log_name": "CloudTrail",
            "event_code": event["event_name"],
            "profiles": ["cloud"],
            "product": {
                "name": "CloudTrail",
                "vendor_name": "AWS",
                "feature": {"name": event["event_category"] or "Management"},
            },
        },
        "cloud": _clean(
            {
                "provider": "AWS",
                "region": event["region"],
                "account": {"uid": event["account"], "type": "AWS Account", "type_id": 10}
                if event["account"]
                else None,
            }
        ),
        "api": _clean(
            {
                "operation": event["event_name"],
                "service": {"name": event["event_source"]},
                "request": {"uid": event["event_id"], **({"data": request} if request else {})},
                "response": _response(event),
            }
        ),
        "actor": _actor(event, identity),
        "src_endpoint": _endpoint(event),
        "unmapped": _clean(
            {
                "actor": event["actor"],
                "actor_kind": event["actor_kind"],
                "actor_confidence": event["actor_confidence"],
                "through": event["through"],
                "event_type": event["event_type"],
                "shared_event_id": event["shared_event_id"],
                "object": event["object"],
            }
        ),
    }
    if event["error_code"]:
        made["status_code"] = event["error_code"]
    if event["error_message"]:
        made["status_detail"] = event["error_message"]
    if event["user_agent"]:
        made["http_request"] = {"user_agent": event["user_agent"]}
    if class_uid == API_ACTIVITY:
        named = codec.decode(event["targets"]) if event["targets"] else []
        if named:
            made["resources"] = [_resource(urn) for urn in named]
    elif class_uid == ACCOUNT_CHANGE:
        made["user"] = _changed(event, request)
        policy = request.get("policyArn") or request.get("policyName")
        if policy:
            made["policy"] = _clean({"name": str(policy).rsplit("/", 1)[-1], "uid": request.get("policyArn")})
    else:
        made["user"] = _user(event, identity)
        made["service"] = {"name": event["event_source"]}
        extra = _object(_object(event["more"]).get("additionalEventData"))
        if extra.get("MFAUsed"):
            made["is_mfa"] = extra["MFAUsed"] == "Yes"
        made["is_remote"] = True
    return made


def _clean(held: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in held.items() if value not in (None, "", {}, [])}


def _object(value: Any) -> dict[str, Any]:
    held = codec.decode(value) if isinstance(value, str) and value else value
    return held if isinstance(held, dict) else {}


def _failed(event: Mapping[str, Any]) -> bool:
    if event["event_name"] == "ConsoleLogin":
        return _object(event["response_elements"]).get("ConsoleLogin") == "Failure"
    return bool(event["error_code"])


def _activity(event: Mapping[str, Any]) -> tuple[int, str]:
    for id, name, verbs in _VERBS:
        if str(event["event_name"]).startswith(verbs):
            return id, name
    if event["read_only"]:
        return 2, "Read"
    return _OTHER if event["event_type"] == "AwsServiceEvent" else _UPDATE


def _response(event: Mapping[str, Any]) -> dict[str, Any]:
    return _clean(
        {
            "error": event["error_code"],
            "error_message": event["error_message"],
            "data": _object(event["response_elements"]),
        }
    )


def _actor(event: Mapping[str, Any], identity: Mapping[str, Any]) -> dict[str, Any]:
    session = _object(_object(identity.get("sessionContext")).get("attributes"))
    issuer = _object(_object(identity.get("sessionContext")).get("sessionIssuer"))
    created = session.get("creationDate")
    told = _clean(
        {
            "user": _user(event, identity),
            "session": _clean(
                {
                    "created_time": _milliseconds(created),
                    "issuer": issuer.get("arn"),
                    "is_mfa": {"true": True, "false": False}.get(str(session.get("mfaAuthenticated"))),
                    "credential_uid": event["access_key"],
                }
            ),
            "invoked_by": identity.get("invokedBy"),
            "idp": _clean({"name": identity.get("identityProvider")}),
        }
    )
    return told or {"invoked_by": event["event_source"]}


def _user(event: Mapping[str, Any], identity: Mapping[str, Any]) -> dict[str, Any]:
    kind = str(identity.get("type") or "")
    principal = str(identity.get("principalId") or "")
    session = principal.split(":", 1)[1] if ":" in principal else ""
    account = str(identity.get("accountId") or "")
    told = _clean(
        {
            "type": kind,
            "type_id": _USER_TYPES.get(kind, 99) if kind else 0,
            "name": str(identity.get("userName") or session or event["actor"]),
            "uid": identity.get("arn") or principal,
            "uid_alt": principal,
            "credential_uid": event["access_key"],
            "account": {"uid": account, "type": "AWS Account", "type_id": 10} if account else None,
        }
    )
    return told if told.keys() & {"account", "name", "uid"} else {**told, "name": "unknown"}


def _changed(event: Mapping[str, Any], request: Mapping[str, Any]) -> dict[str, Any]:
    """The user or role that was changed; who asked, where a call is about oneself."""
    name = request.get("userName") or request.get("roleName")
    if not name:
        return _user(event, _object(event["identity"]))
    targets = codec.decode(event["targets"]) if event["targets"] else []
    kind = "user" if request.get("userName") else "role"
    arn = next((urn for urn in targets if f":{kind}/" in urn), urns.iam(kind, str(name), account=str(event["account"])))
    return {
        "name": str(name),
        "uid": arn,
        "type": "User" if kind == "user" else "Role",
        "type_id": 1 if kind == "user" else 99,
    }


def _endpoint(event: Mapping[str, Any]) -> dict[str, Any]:
    source = str(event["source_ip"] or "")
    try:
        return {"ip": str(ipaddress.ip_address(source))}
    except ValueError:
        return {"svc_name": source or "unknown"}


def _resource(urn: str) -> dict[str, Any]:
    parts = urns.parse(urn)
    told: dict[str, Any] = {"uid": urn, "name": urns.short(urn)}
    if parts is not None:
        told |= _clean({"type": parts.service, "region": parts.region, "cloud_partition": parts.partition})
    return told


def _milliseconds(text: Any) -> int | None:
    try:
        return int(codec.parse_time(str(text)).timestamp() * 1000) if text else None
    except ValueError:
        return None


# ---- the export

_COLUMNS = (
    "event_time, event_id, event_source, event_name, account, region, read_only, error_code, error_message, "
    "actor_kind, actor, actor_confidence, principal, through, access_key, source_ip, user_agent, targets, "
    "request_parameters, response_elements, identity, more, shared_event_id, event_type, event_category, object"
)
MOST_DAYS = 400
_ROWS = 5_000


def events(
    kernel: Kernel, since: datetime, until: datetime, classes: tuple[int, ...] = CLASSES
) -> Iterator[dict[str, Any]]:
    """The OCSF events of [since, until) by time, day after day. Raises ``BadInput`` for a window that is none."""
    if since >= until or until - since > timedelta(days=MOST_DAYS):
        raise BadInput(f"an export goes over at most {MOST_DAYS} days, and ends after it begins", code="export-window")
    if not set(classes) <= set(CLASSES):
        known = ", ".join(map(str, CLASSES))
        raise BadInput("there is no such class here", code="export-class", hint=f"one of: {known}")
    kernel.lake.ensure(store.EVENTS)
    return _stream(kernel, since, until, classes)


def _stream(kernel: Kernel, since: datetime, until: datetime, classes: tuple[int, ...]) -> Iterator[dict[str, Any]]:
    start = since
    while start < until:
        end = min(start.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1), until)
        scan = kernel.lake.scan(store.EVENTS.name, since=start, until=end)
        query = (
            f"select {_COLUMNS} from {scan} where event_time >= ? and event_time < ? "  # noqa: S608 - values bound
            "order by event_time, event_id"
        )
        with kernel.lake.connection() as connection:
            table = connection.sql(query, params=[start, end]).to_arrow_table()
        for batch in table.to_batches(max_chunksize=_ROWS):
            for row in batch.to_pylist():
                if class_of(row) in classes:
                    yield event_of(row)
        start = end
