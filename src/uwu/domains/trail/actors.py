"""Who did it: the human at the end of a role chain, or the machine or the service where there is none.

Evidence in order of confidence: a source identity or IAM Identity Center's own word; a user that signs as itself; the
event that issued the session's key, followed back as far as it goes; the event that opened a session of the same role
and name at the same second; the sibling of a cross-account call; a machine or service, named as such; a session name
that looks like an e-mail address, labelled as a guess. A human is never invented.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol

import msgspec

from uwu.domains.trail.names import principal_urn
from uwu.kernel import codec
from uwu.kernel.model import Actor

HUMAN, MACHINE, SERVICE, UNKNOWN = "human", "machine", "service", "unknown"
CERTAIN, LIKELY, GUESS, NONE = "certain", "likely", "guess", "none"

MAX_CHAIN = 8
"""Roles on the way to a human; AWS itself lets sessions chain without end, an hour each."""
CREATION_SLACK = timedelta(seconds=2)
"""A session's creationDate against the time of the event that issued it."""

_INSTANCE = re.compile(r"^(i|mi)-[0-9a-f]{8,17}$")
_EMAIL = re.compile(r"^[^@\s/]+@[^@\s/]+\.[A-Za-z]{2,}$")
_SSO_ROLE = re.compile(r":role/aws-reserved/sso\.amazonaws\.com/|[:/]AWSReservedSSO_")
_SERVICE_ROLE = re.compile(r":role/aws-service-role/([^/]+)/")
_WORKLOAD = re.compile(
    r"^(system:serviceaccount:|repo:|project_path:|organization:|pipeline:|workspace:|spiffe://)|\.gserviceaccount\.com$"
)
_ISSUES = frozenset({"AssumeRole", "AssumeRoleWithSAML", "AssumeRoleWithWebIdentity", "AssumeRoot"})
_ISSUES_USER = frozenset({"GetSessionToken", "GetFederationToken"})


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A session of temporary credentials and who asked for it."""

    event_id: str
    at: datetime
    access_key: str = ""
    """The key that was issued; empty where the event does not tell."""
    assumed_role: str = ""
    """``AROA...:session name``."""
    role: str = ""
    """The role's ARN as the call gave it."""
    name: str = ""
    """The session's name."""
    source_identity: str = ""
    shared_event: str = ""
    caller: dict[str, Any] = {}
    """The ``userIdentity`` that asked."""

    @property
    def role_session(self) -> str:
        return role_session(self.role, self.name)


class Sessions(Protocol):
    """What is known of issued sessions."""

    def by_key(self, access_key: str) -> Session | None: ...

    def by_assumed_role(self, assumed_role: str) -> list[Session]: ...

    def by_role_session(self, role_session: str) -> list[Session]: ...

    def by_shared_event(self, shared_event: str) -> Session | None: ...


class SessionIndex:
    """Sessions in memory."""

    def __init__(self, sessions: Iterable[Session] = ()) -> None:
        self.all: dict[str, Session] = {}
        self._keys: dict[str, Session] = {}
        self._assumed: defaultdict[str, list[Session]] = defaultdict(list)
        self._role_sessions: defaultdict[str, list[Session]] = defaultdict(list)
        self._shared: dict[str, Session] = {}
        for session in sessions:
            self.add(session)

    def add(self, session: Session) -> None:
        if session.event_id in self.all:
            return
        self.all[session.event_id] = session
        if session.shared_event and _tells(session.caller):
            self._shared[session.shared_event] = session
        if session.access_key:
            held = self._keys.get(session.access_key)
            # the caller's own copy of a cross-account call tells more than the target's
            if held is None or not _tells(held.caller):
                self._keys[session.access_key] = session
        if session.assumed_role:
            self._assumed[session.assumed_role].append(session)
        if session.role and session.name:
            self._role_sessions[session.role_session].append(session)

    def by_key(self, access_key: str) -> Session | None:
        return self._keys.get(access_key)

    def by_assumed_role(self, assumed_role: str) -> list[Session]:
        return self._assumed.get(assumed_role, [])

    def by_role_session(self, role_session: str) -> list[Session]:
        return self._role_sessions.get(role_session, [])

    def by_shared_event(self, shared_event: str) -> Session | None:
        return self._shared.get(shared_event)


def _tells(caller: Mapping[str, Any]) -> bool:
    return caller.get("type") != "AWSAccount"


def role_session(role_arn: str, name: str) -> str:
    """A key for sessions of one name of one role: account, role name without path, session name."""
    parts = role_arn.split(":", 5)
    if len(parts) < 6:
        return ""
    return f"{parts[4]}/{parts[5].rsplit('/', 1)[-1]}/{name}"


def session_of(record: Mapping[str, Any]) -> Session | None:
    """The session that a record's call issued; None where it issued none."""
    name = record.get("eventName")
    if record.get("eventSource") != "sts.amazonaws.com" or record.get("errorCode"):
        return None
    if name not in _ISSUES and name not in _ISSUES_USER:
        return None
    request, response = _dict(record.get("requestParameters")), _dict(record.get("responseElements"))
    assumed = _dict(response.get("assumedRoleUser"))
    arn = str(assumed.get("arn") or "")
    try:
        at = codec.parse_time(str(record.get("eventTime")))
    except ValueError:
        return None
    return Session(
        event_id=str(record.get("eventID") or ""),
        at=at,
        access_key=str(_dict(response.get("credentials")).get("accessKeyId") or ""),
        assumed_role=str(assumed.get("assumedRoleId") or ""),
        role=str(request.get("roleArn") or ""),
        name=str(request.get("roleSessionName") or (arn.rsplit("/", 1)[-1] if arn else "")),
        source_identity=str(response.get("sourceIdentity") or request.get("sourceIdentity") or ""),
        shared_event=str(record.get("sharedEventID") or ""),
        caller=_dict(record.get("userIdentity")),
    )


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def settled(actor: Actor) -> bool:
    """Whether later events cannot name the actor any better."""
    return actor.confidence in {CERTAIN, LIKELY}


def resolve(identity: Mapping[str, Any], at: datetime, sessions: Sessions, *, shared_event: str = "") -> Actor:
    """The actor behind ``identity``, the ``userIdentity`` of a record at ``at``.

    ``shared_event`` is the record's ``sharedEventID``: a cross-account call's sibling names its caller.
    """
    return _resolve(identity, at, sessions, shared_event, (), set())


def _resolve(
    identity: Mapping[str, Any],
    at: datetime,
    sessions: Sessions,
    shared_event: str,
    way: tuple[str, ...],
    seen: set[str],
) -> Actor:
    """``way`` holds the identities after this one, nearest first; ``seen`` the issuing events already followed."""
    context = _dict(identity.get("sessionContext"))
    arn = str(identity.get("arn") or identity.get("principalId") or identity.get("invokedBy") or "")
    chain = (arn, *way) if arn else way
    principal = "" if way else principal_urn(identity)

    def found(kind: str, name: str, confidence: str, how: str) -> Actor:
        roles = len(way)
        steps = f"{how}, through {roles} role{'s' if roles > 1 else ''}" if roles else how
        return Actor(kind=kind, name=name, confidence=confidence, how=steps, principal=principal, chain=chain)

    told = context.get("sourceIdentity")
    if told:
        kind = MACHINE if _WORKLOAD.search(str(told)) or _INSTANCE.match(str(told)) else HUMAN
        return found(kind, str(told), CERTAIN, "source identity")
    type = str(identity.get("type") or "")
    behalf = _dict(identity.get("onBehalfOf"))
    if behalf.get("userId"):
        name = str(identity.get("userName") or identity.get("principalId") or behalf["userId"])
        return found(HUMAN, name if type == "IdentityCenterUser" else str(behalf["userId"]), CERTAIN, "identity center")
    via = f", via {identity['invokedBy']}" if identity.get("invokedBy") else ""
    user = str(identity.get("userName") or "")
    if type == "IdentityCenterUser" and user:
        return found(HUMAN, user, CERTAIN, "identity center")
    if type == "IAMUser" and (user or arn):
        return found(HUMAN, user or arn.rsplit("/", 1)[-1], CERTAIN, f"IAM user{via}")
    if type == "Root":
        return found(HUMAN, f"root of {identity.get('accountId') or 'the account'}", LIKELY, f"root user{via}")
    if type in {"SAMLUser", "WebIdentityUser"} and (user or arn):
        name = user or arn
        if _WORKLOAD.search(name):
            return found(MACHINE, name, CERTAIN, "web identity of a workload")
        if type == "SAMLUser":
            return found(HUMAN, name, CERTAIN, "SAML user")
        return found(HUMAN, name, CERTAIN if _EMAIL.match(name) else LIKELY, "web identity")
    issuer = _dict(context.get("sessionIssuer"))
    if type == "FederatedUser":
        if issuer.get("type") == "IAMUser" and issuer.get("userName"):
            return found(HUMAN, str(issuer["userName"]), CERTAIN, "federated user's issuer")
        if issuer.get("type") == "Root":
            return found(
                HUMAN, f"root of {issuer.get('accountId') or 'the account'}", LIKELY, "federated user's issuer"
            )
    session_name = _session_name(identity)
    role = str(issuer.get("arn") or identity.get("arn") or "")
    if type == "AssumedRole" and session_name and _SSO_ROLE.search(role):
        return found(HUMAN, session_name, CERTAIN, "SSO session name")
    if type in {"AssumedRole", "FederatedUser"} and len(way) < MAX_CHAIN:
        issued = _issuing(identity, context, at, sessions, session_name, role)
        if issued is not None and issued.event_id not in seen:
            actor = _follow(issued, identity, sessions, chain, seen, principal)
            if actor.kind != UNKNOWN:
                return actor
            chain = actor.chain
    if type in {"AWSAccount", "Unknown", ""} and shared_event:
        sibling = sessions.by_shared_event(shared_event)
        if sibling is not None and sibling.event_id not in seen:
            return _follow(sibling, identity, sessions, way, seen, principal)
    if "ec2RoleDelivery" in context or "ec2RoleDelivery" in _dict(context.get("attributes")):
        return found(MACHINE, session_name or arn, CERTAIN, "EC2 role delivery")
    if _INSTANCE.match(session_name):
        return found(MACHINE, session_name, CERTAIN, "instance's session name")
    linked = _SERVICE_ROLE.search(role)
    if linked is not None:
        return found(SERVICE, linked[1], CERTAIN, "service-linked role")
    if identity.get("invokedBy") or type == "AWSService":
        return found(SERVICE, str(identity.get("invokedBy") or arn), CERTAIN, "AWS service")
    if _EMAIL.match(session_name):
        return found(HUMAN, session_name, GUESS, "session name looks like an e-mail address")
    return Actor(
        kind=UNKNOWN,
        name=arn or principal or str(identity.get("accountId") or ""),
        confidence=NONE,
        how=_why_unknown(type, identity),
        principal=principal,
        chain=chain,
    )


def _follow(
    issued: Session,
    identity: Mapping[str, Any],
    sessions: Sessions,
    way: tuple[str, ...],
    seen: set[str],
    principal: str,
) -> Actor:
    """The actor behind the event that issued a session."""
    seen.add(issued.event_id)
    if issued.source_identity:
        kind = MACHINE if _WORKLOAD.search(issued.source_identity) else HUMAN
        actor = Actor(kind=kind, name=issued.source_identity, confidence=CERTAIN, how="source identity", chain=way)
    else:
        actor = _resolve(issued.caller, issued.at, sessions, issued.shared_event, way, seen)
        sso = _SSO_ROLE.search(issued.role)
        if actor.kind == SERVICE and _INSTANCE.match(_session_name(identity)):
            name = _session_name(identity)
            actor = msgspec.structs.replace(actor, kind=MACHINE, name=name, how="instance's session name")
        elif actor.kind == SERVICE and issued.name and sso is not None:
            actor = msgspec.structs.replace(actor, kind=HUMAN, name=issued.name, how="SSO session name")
    return msgspec.structs.replace(actor, principal=principal)


def _session_name(identity: Mapping[str, Any]) -> str:
    """The session's name: the tail of ``AROA...:name`` or of the session's ARN."""
    principal_id = str(identity.get("principalId") or "")
    if ":" in principal_id:
        return principal_id.split(":", 1)[1]
    arn = str(identity.get("arn") or "")
    return arn.rsplit("/", 1)[-1] if ":assumed-role/" in arn else ""


def _issuing(
    identity: Mapping[str, Any],
    context: Mapping[str, Any],
    at: datetime,
    sessions: Sessions,
    session_name: str,
    role: str,
) -> Session | None:
    """The event that issued the session: by its key, else by role, name and second where one caller alone fits."""
    key = str(identity.get("accessKeyId") or "")
    if key:
        session = sessions.by_key(key)
        if session is not None:
            return session
    created_text = _dict(context.get("attributes")).get("creationDate")
    if not created_text:
        return None
    try:
        created = codec.parse_time(str(created_text))
    except ValueError:
        return None
    candidates = sessions.by_assumed_role(str(identity.get("principalId") or ""))
    if not candidates and session_name:
        candidates = sessions.by_role_session(role_session(role, session_name))
    near = [s for s in candidates if abs(s.at - created) <= CREATION_SLACK and s.at <= at + CREATION_SLACK]
    callers = {codec.canonical(s.caller) for s in near if _tells(s.caller)} or {codec.canonical(s.caller) for s in near}
    if len({_caller(codec.decode(c)) for c in callers}) != 1:
        return None
    return next((s for s in near if _tells(s.caller)), near[0])


def _caller(identity: Mapping[str, Any]) -> str:
    return str(identity.get("arn") or identity.get("principalId") or identity.get("invokedBy") or "")


def _why_unknown(type: str, identity: Mapping[str, Any]) -> str:
    if type == "AssumedRole":
        return "no event that issued the session is known"
    if type == "AWSAccount":
        return f"a caller of account {identity.get('accountId') or 'unknown'}, which told no more"
    return f"an identity of type {type}" if type else "the record names no identity"
