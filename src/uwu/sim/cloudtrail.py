"""CloudTrail of the simulated company: a record of each call that its people and machines make, delivered to S3."""

from __future__ import annotations

import gzip
import hashlib
import random
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import boto3
import botocore.session
import msgspec
from botocore.config import Config
from botocore.credentials import Credentials, ReadOnlyCredentials

from uwu.sim import forms
from uwu.sim.digests import Log
from uwu.sim.server import control

GLOBAL_SERVICES = frozenset({"iam", "sts", "route53", "organizations", "cloudfront"})
EVENT_SOURCES = {"elbv2": "elasticloadbalancing"}
DELIVERY_MINUTES = 15


class Clock:
    """The company's time: set to when a thing happens, and it goes on by itself a little with each call."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311
        self.at = datetime.now(UTC)

    def set(self, at: datetime) -> None:
        self.at = at.astimezone(UTC).replace(microsecond=0)

    def tick(self) -> datetime:
        self.at += timedelta(seconds=self._random.choice((0, 0, 1, 1, 2)))
        return self.at


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Who signs a call: CloudTrail's ``userIdentity``, and what the call looks like from outside."""

    user_identity: dict[str, Any]
    account: str
    user_agent: str
    source_ip: str
    access_key: str
    secret_key: str
    session_token: str = ""
    silent: bool = False
    """True for what AWS does for itself, or happened before the story begins: no record tells of it."""


class _Signer(Credentials):
    """Credentials that change with who acts, so that one client of a service and region serves everybody."""

    def __init__(self) -> None:
        super().__init__("none", "none")
        self.identity: Identity | None = None

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        assert self.identity is not None
        who = self.identity
        return ReadOnlyCredentials(who.access_key, who.secret_key, who.session_token or None)


class _Provider:
    """botocore's port for where credentials come from."""

    def __init__(self, signer: _Signer) -> None:
        self._signer = signer

    def load_credentials(self) -> _Signer:
        return self._signer


class _Acting:
    """A client whose every call is signed by one identity."""

    def __init__(self, signer: _Signer, identity: Identity, client: Any) -> None:
        self._signer = signer
        self._identity = identity
        self._client = client

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        if not callable(found):
            return found

        def call(**parameters: Any) -> Any:
            self._signer.identity = self._identity
            return found(**parameters)

        return call


class Recorder:
    """Records the calls of the clients that it makes. One call at a time: so the same seed gives the same ids."""

    def __init__(self, url: str, clock: Clock, seed: int) -> None:
        self._url = url
        self._clock = clock
        self._random = random.Random(seed ^ 0x7A11)  # noqa: S311
        self._signer = _Signer()
        core = botocore.session.Session()
        core.register_component("credential_provider", _Provider(self._signer))
        self._session = boto3.Session(botocore_session=core)
        self._clients: dict[tuple[str, str], Any] = {}
        self.records: list[tuple[str, dict[str, Any]]] = []
        """(account whose trail holds it, record)."""
        self.delivered: list[Log] = []
        """The log files, as digests tell of them."""

    def client(self, identity: Identity, service: str, region: str) -> Any:
        """A boto3 client that signs as ``identity`` and whose calls are recorded."""
        key = (service, region)
        if key not in self._clients:
            self._clients[key] = self._make(service, region)
        return _Acting(self._signer, identity, self._clients[key])

    def _make(self, service: str, region: str) -> Any:
        client = self._session.client(
            service,
            region_name=region,
            endpoint_url=self._url,
            config=Config(
                connect_timeout=5,
                read_timeout=60,
                retries={"total_max_attempts": 1},  # a call that is made twice would be recorded once
                parameter_validation=False,
                s3={"addressing_style": "path"},
            ),
        )

        def here(request: Any, **_: Any) -> None:
            # S3 Control puts the account into the host's name, which is no name of this machine
            request.url = urlsplit(request.url)._replace(netloc=urlsplit(self._url).netloc).geturl()

        def before(params: Mapping[str, Any], context: dict[str, Any], **_: Any) -> None:
            context["uwu.parameters"] = dict(params)

        def after(http_response: Any, parsed: dict[str, Any], model: Any, context: dict[str, Any], **_: Any) -> None:
            identity = self._signer.identity
            if identity is not None and not identity.silent:
                self.record(identity, service, region, model, context.get("uwu.parameters", {}), parsed, http_response)

        client.meta.events.register("before-parameter-build.*.*", before)
        client.meta.events.register("after-call.*.*", after)
        client.meta.events.register("before-sign.s3-control", here)
        return client

    @contextmanager
    def permissions_checked(self) -> Iterator[None]:
        """Meanwhile AWS refuses what policies do not allow; else moto lets everybody do everything."""
        control(self._url, "reset-auth", b"0")
        try:
            yield
        finally:
            control(self._url, "reset-auth", b"inf")

    def record(
        self,
        identity: Identity,
        service: str,
        region: str,
        model: Any,
        parameters: Mapping[str, Any],
        parsed: Mapping[str, Any],
        http_response: Any,
    ) -> None:
        """One call as CloudTrail tells it."""
        operation = model.name
        failed = http_response.status_code >= 400
        error = parsed.get("Error", {})
        request_id = str(uuid.UUID(int=self._random.getrandbits(128), version=4))
        region = "us-east-1" if service in GLOBAL_SERVICES else region
        host = f"s3.{region}.amazonaws.com" if service == "s3" else f"{service}.{region}.amazonaws.com"
        denied = (
            failed
            and service != "ec2"
            and (error.get("Code", "").startswith("AccessDenied") or "Throttl" in error.get("Code", ""))
        )
        source = model.service_model.metadata.get("endpointPrefix", service)
        record: dict[str, Any] = {
            "eventVersion": "1.09",
            "userIdentity": identity.user_identity,
            "eventTime": self._time(),
            "eventSource": f"{EVENT_SOURCES.get(service, source)}.amazonaws.com",
            "eventName": forms.event_name(service, operation),
            "awsRegion": region,
            "sourceIPAddress": identity.source_ip,
            "userAgent": identity.user_agent,
        }
        if failed:
            record["errorCode"] = forms.error_code(service, model, error.get("Code", "InternalFailure"))
            record["errorMessage"] = error.get("Message", "")
        record["requestParameters"] = None if denied else forms.request(service, model, parameters, host)
        record["responseElements"] = None if failed else forms.response(service, model, parsed, request_id)
        record |= {
            "requestID": request_id,
            "eventID": self._id(),
            "readOnly": forms.is_read(operation),
            "eventType": "AwsApiCall",
            "managementEvent": True,
            "recipientAccountId": identity.account,
            "eventCategory": "Management",
            "tlsDetails": {
                "tlsVersion": "TLSv1.3",
                "cipherSuite": "TLS_AES_128_GCM_SHA256",
                "clientProvidedHostHeader": host,
            },
        }
        if "Console" in identity.user_agent or "console" in identity.user_agent:
            record["sessionCredentialFromConsole"] = "true"
        if service == "sqs":
            self._as_aws(record, f"https://sqs.{region}.amazonaws.com")
        if operation == "AssumeRole" and not failed:
            self._assumed(identity, parameters, record)
        self.records.append((identity.account, record))

    def _as_aws(self, record: dict[str, Any], host: str) -> None:
        """A queue's URL names the server: AWS's, where a record tells it."""
        for part in ("requestParameters", "responseElements"):
            content = record[part]
            if isinstance(content, dict) and isinstance(content.get("queueUrl"), str):
                record[part] = {**content, "queueUrl": content["queueUrl"].replace(self._url, host)}

    def _assumed(self, identity: Identity, parameters: Mapping[str, Any], record: dict[str, Any]) -> None:
        """A cross-account AssumeRole is told twice, in both accounts, tied by ``sharedEventID``."""
        role = str(parameters.get("RoleArn", ""))
        target = role.split(":")[4] if role.count(":") >= 5 else identity.account
        record["resources"] = [{"accountId": target, "type": "AWS::IAM::Role", "ARN": role}]
        if target == identity.account:
            return
        record["sharedEventID"] = self._id()
        caller = {
            "type": "AWSAccount",
            "principalId": identity.user_identity.get("principalId", ""),
            "accountId": identity.account,
        }
        copy = {**record, "eventID": self._id(), "userIdentity": caller, "recipientAccountId": target}
        self.records.append((target, copy))

    def add(self, account: str, record: dict[str, Any]) -> None:
        """A record that no call makes: a sign-in, a service's own event."""
        full = {
            "eventVersion": "1.09",
            "eventTime": self._time(),
            "eventID": self._id(),
            "requestParameters": None,
            "responseElements": None,
            "recipientAccountId": account,
            "managementEvent": True,
            "eventCategory": "Management",
            **record,
        }
        self.records.append((account, full))

    def _time(self) -> str:
        return self._clock.tick().strftime("%Y-%m-%dT%H:%M:%SZ")

    def _id(self) -> str:
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    @property
    def last(self) -> dict[str, Any]:
        """The latest record: right after a call, that call's own."""
        return self.records[-1][1]

    def deliver(self, organization: str, put: Callable[[str, bytes], None]) -> int:
        """Writes every record into objects as CloudTrail does (gzip, one account and region, some minutes each).

        ``put`` takes the key under the trail's prefix and the bytes. Gives the number of records.
        """
        groups: defaultdict[tuple[str, str, datetime], list[dict[str, Any]]] = defaultdict(list)
        for account, record in self.records:
            at = datetime.fromisoformat(record["eventTime"])
            slot = at.replace(minute=at.minute - at.minute % DELIVERY_MINUTES, second=0)
            groups[account, record["awsRegion"], slot].append(record)
        count = 0
        letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
        for (account, region, slot), records in sorted(groups.items(), key=lambda g: (g[0][2], g[0][0], g[0][1])):
            delivered = slot + timedelta(minutes=DELIVERY_MINUTES)
            unique = "".join(self._random.choices(letters, k=16))
            name = f"{account}_CloudTrail_{region}_{delivered:%Y%m%dT%H%MZ}_{unique}.json.gz"
            key = f"AWSLogs/{organization}/{account}/CloudTrail/{region}/{delivered:%Y/%m/%d}/{name}"
            text = msgspec.json.encode({"Records": records})
            put(key, gzip.compress(text, compresslevel=5, mtime=0))
            times = [datetime.fromisoformat(record["eventTime"]) for record in records]
            sha256 = hashlib.sha256(text).hexdigest()
            self.delivered.append(Log(account, region, delivered, key, sha256, min(times), max(times)))
            count += len(records)
        return count
