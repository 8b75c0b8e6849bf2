"""AWS as every domain reaches it: accounts through Organizations, assumed-role credentials, few and bounded clients.

One botocore client per service and region speaks for all accounts: it costs 1 to 2 MB and 5 to 20 ms, the account only
changes who signs. Credentials come from the standard chain or a profile; none is stored or shown.
"""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownLambdaType=false
from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

import botocore.session
import msgspec
from botocore.config import Config
from botocore.credentials import Credentials, RefreshableCredentials
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
from botocore.httpsession import get_cert_path

from uwu.kernel import aws_errors, codec, telemetry, urns
from uwu.kernel.aws_calls import BotocoreCaller, Caller, Meter
from uwu.kernel.aws_errors import Failure, classify
from uwu.kernel.aws_fast.client import FastClient
from uwu.kernel.aws_fast.times import wire_time
from uwu.kernel.errors import Denied, Misconfigured, Problem, Unavailable, UwuError
from uwu.kernel.settings import AwsSettings

CLIENTS = 64
"""Clients (service x region) kept by one process; making one anew costs less than keeping hundreds."""

SESSION_NAME = "uwu"
"""RoleSessionName of AssumeRole: how our own calls are told apart in CloudTrail."""

REFUSAL_SECONDS = 60.0
"""For how long a refused AssumeRole is believed before it is tried again."""


class Identity(msgspec.Struct, frozen=True):
    """Who the credentials of the standard chain are (STS GetCallerIdentity)."""

    account: str
    arn: str
    partition: str


class AwsAccount(msgspec.Struct, frozen=True, kw_only=True):
    """An account of the organization (Organizations API, ``Account``)."""

    id: str
    name: str
    email: str
    status: str
    """``ACTIVE``, ``SUSPENDED`` or ``PENDING_CLOSURE``."""
    ou_path: str
    """The names of its organizational units from the root down: ``/Workloads/Production``; ``/`` directly under it."""
    arn: str
    ou_id: str = ""
    joined_method: str = ""
    joined_at: str = ""
    tags: dict[str, str] = {}


class Organization(msgspec.Struct, frozen=True):
    """The accounts that can be seen, and what stood in the way of seeing more."""

    management: str
    """The account of the caller's own credentials."""
    accounts: list[AwsAccount]
    problems: list[Problem]
    complete: bool
    """False where Organizations did not tell: ``accounts`` is then the caller's own account alone."""
    asked_at: datetime
    calls: int
    failure: Failure | None = None


class AssumeRoleDenied(Denied):
    """The account does not let us assume the role."""

    code = "assume-role-denied"


class _Speaker(threading.local):
    """Whose credentials sign what this thread sends."""

    credentials: Any = None


_speaker = _Speaker()


class _Spoken(Credentials):
    """The credentials of a shared client: those of whoever speaks in this thread."""

    def __init__(self) -> None:
        super().__init__("", "", method="uwu")

    def get_frozen_credentials(self) -> Any:
        return _speaker.credentials.get_frozen_credentials()


class _Session(botocore.session.Session):
    """A botocore session whose clients sign as whoever speaks."""

    spoken = _Spoken()

    def get_credentials(self, *_args: Any, **_kwargs: Any) -> Any:
        return self.spoken

    def chain_credentials(self) -> Any:
        """The credentials of the standard chain; raises where there are none."""
        found = super().get_credentials()
        if found is None:
            raise NoCredentialsError
        return found


class AccountClient:
    """A botocore client of one account: every call of the shared one, signed as this account. Threads may share it."""

    def __init__(self, shared: Any, credentials: Any) -> None:
        self._shared = shared
        self._credentials = credentials

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._shared, name)
        return self._as_account(name, found) if callable(found) else found

    def get_paginator(self, operation_name: str) -> Any:
        """As botocore's; its pages are asked for as this account."""
        paginator = self._shared.get_paginator(operation_name)
        paginator._method = getattr(self, operation_name)
        return paginator

    def _as_account(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        service = self._shared.meta.service_model.service_name

        def call(*args: Any, **kwargs: Any) -> Any:
            before, _speaker.credentials = _speaker.credentials, self._credentials
            try:
                with telemetry.span(f"aws {service}.{name}", **{"rpc.system": "aws-api"}):
                    return function(*args, **kwargs)
            finally:
                _speaker.credentials = before

        return call


class _Slot:
    """The credentials of one account, or why there are none."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.credentials: Any = None
        self.refused: AssumeRoleDenied | None = None
        self.refused_until = 0.0


class Aws:
    """The way to AWS of one home. Threads may share it."""

    def __init__(self, settings: AwsSettings, *, role: str = "", session_name: str = SESSION_NAME) -> None:
        """As the observer; or with ``role`` as that one in every account, the caller's own too."""
        self.settings = settings
        self._role = role
        self._session_name = session_name
        self._lock = threading.RLock()
        self._clients: OrderedDict[tuple[str, str], Any] = OrderedDict()
        self._slots: dict[str, _Slot] = {}
        self._identity: Identity | None = None
        self._opened: _Session | None = None
        self._own: Any = None
        self._quick: FastClient | None = None
        self._config = Config(
            connect_timeout=settings.connect_timeout_seconds,
            read_timeout=settings.read_timeout_seconds,
            retries={"mode": "adaptive", "total_max_attempts": settings.max_attempts},
            max_pool_connections=max(10, settings.concurrency),
            user_agent_extra="uwu",
        )

    # ---- who we are

    def identity(self) -> Identity:
        """The caller of the standard chain. Raises ``Denied`` (code ``aws-credentials``) or ``Unavailable``."""
        with self._lock:
            if self._identity is not None:
                return self._identity
        try:
            answer = self._management_sts().get_caller_identity()
        except (ClientError, BotoCoreError) as error:
            raise self._start_error(error) from None
        caller = urns.parse(answer["Arn"])
        identity = Identity(answer["Account"], answer["Arn"], caller.partition if caller is not None else "aws")
        with self._lock:
            self._identity = identity
        return identity

    def classify(self, error: Exception, region: str = "") -> Failure:
        """What ``error`` of a call in ``region`` means for a cell of coverage."""
        return classify(error, foreign_region=bool(region) and region != self.settings.home_region)

    def _start_error(self, error: Exception) -> UwuError:
        failure = classify(error)
        if failure.code == aws_errors.CREDENTIALS:
            return Denied(failure.message, code=failure.code, hint=failure.hint)
        if failure.code in {aws_errors.NETWORK, aws_errors.REGION_OFF}:
            where = self.settings.endpoint_url or f"AWS in {self.settings.home_region}"
            return Unavailable(
                f"{where} does not answer: {failure.message}",
                code="aws-unreachable",
                hint="check the network, aws.endpoint_url and aws.home_region",
            )
        return Unavailable(failure.message, code="aws-failed", hint=failure.hint)

    # ---- accounts

    def accounts(self) -> list[AwsAccount]:
        """Every account that can be seen; ``organization()`` also tells what could not."""
        return self.organization().accounts

    def organization(self) -> Organization:
        """The organization's accounts with their OU paths and tags.

        Where Organizations is denied or not in use: the caller's own account, with a Problem. Raises as ``identity``.
        """
        own = self.identity()
        client = self.client("organizations", own.account, self.settings.home_region)
        calls, at = _Calls(client), codec.now()
        try:
            places = _places(calls)
            listed = calls.pages("list_accounts", "Accounts")
            accounts = [
                AwsAccount(
                    id=raw["Id"],
                    name=raw.get("Name") or raw["Id"],
                    email=raw.get("Email", ""),
                    status=raw.get("State") or raw.get("Status", ""),
                    ou_path=places.get(raw["Id"], ("", "/"))[1],
                    ou_id=places.get(raw["Id"], ("", "/"))[0],
                    arn=raw.get("Arn", ""),
                    joined_method=raw.get("JoinedMethod", ""),
                    joined_at=_text(raw.get("JoinedTimestamp")),
                    tags=_tags(calls.pages("list_tags_for_resource", "Tags", ResourceId=raw["Id"])),
                )
                for raw in listed
            ]
        except (ClientError, BotoCoreError) as error:
            failure = self.classify(error)
            if aws_errors.code_of(error) == "AWSOrganizationsNotInUseException":
                failure = Failure(aws_errors.UNSUPPORTED, "organization-absent", failure.message)
            return self._alone(own, failure, at, calls.count)
        if not accounts:
            nothing = Failure(aws_errors.UNSUPPORTED, "organization-absent", "Organizations lists no account")
            return self._alone(own, nothing, at, calls.count)
        return Organization(own.account, accounts, [], complete=True, asked_at=at, calls=calls.count)

    def _alone(self, own: Identity, failure: Failure, at: datetime, calls: int) -> Organization:
        problem = Problem(
            "organization-unseen",
            f"Organizations does not tell the accounts ({failure.code}: {failure.message}); "
            f"only the caller's own account {own.account} is observed",
            hint="use credentials of the management or a delegated administrator account that may list accounts",
            severity="warning",
        )
        account = AwsAccount(
            id=own.account,
            name=own.account,
            email="",
            status="ACTIVE",
            ou_path="",
            arn=f"arn:{own.partition}:iam::{own.account}:root",
        )
        return Organization(
            own.account, [account], [problem], complete=False, asked_at=at, calls=calls, failure=failure
        )

    # ---- clients

    def client(self, service: str, account: str = "", region: str = "") -> Any:
        """A botocore client of ``service`` in ``account`` (default: the caller's own) and ``region`` (default: home).

        Raises ``AssumeRoleDenied`` where the account refuses the role, ``Denied`` for unusable credentials.
        """
        credentials = self.credentials(account or self.identity().account)
        return AccountClient(self._shared(service, region or self.settings.home_region), credentials)

    def caller(self, service: str, account: str = "", region: str = "", meter: Meter | None = None) -> Caller:
        """The operations of ``service`` as plain data, in ``account`` and ``region`` as ``client`` takes them.

        ``meter`` is told what each call costs. Raises as ``client``.
        """
        account, region = account or self.identity().account, region or self.settings.home_region
        if self.settings.client == "botocore":
            return BotocoreCaller(self.client(service, account, region), meter)
        return self._fast().caller(
            service,
            account,
            region,
            self.credentials(account),
            lambda: BotocoreCaller(self.client(service, account, region), meter),
            meter,
        )

    def _fast(self) -> FastClient:
        with self._lock:
            if self._quick is None:
                session = self._session()
                bundle = session.get_config_variable("ca_bundle") or get_cert_path(True)
                self._quick = FastClient(self.settings, self._shared, self._session, str(bundle))
            return self._quick

    def _shared(self, service: str, region: str) -> Any:
        """The one client of a service in a region. Made under the lock: making is not thread-safe, using is."""
        key = service, region
        with self._lock:
            if key not in self._clients:
                self._clients[key] = self._make(service, region)
                while len(self._clients) > CLIENTS:
                    self._clients.popitem(last=False)
            self._clients.move_to_end(key)
            return self._clients[key]

    def credentials(self, account: str) -> Any:
        """botocore credentials for ``account``, assumed once and refreshed before they expire."""
        own = self.identity().account
        with self._lock:
            slot = self._slots.setdefault(account, _Slot())
        with slot.lock:
            if slot.credentials is not None:
                return slot.credentials
            if slot.refused is not None and time.monotonic() < slot.refused_until:
                raise slot.refused
            slot.refused = None
            if account == own and not self._role:
                slot.credentials = self._chain()
                return slot.credentials
            try:
                slot.credentials = RefreshableCredentials.create_from_metadata(
                    metadata=self._assume(account),
                    refresh_using=lambda: self._assume(account),
                    method="sts-assume-role",
                )
            except ClientError as error:
                failure = classify(error)
                if failure.status is not aws_errors.DENIED:
                    raise
                slot.refused = AssumeRoleDenied(
                    f"{account} does not let us assume {self._role or self.settings.role_name}: {failure.message}",
                    hint=f"create the role in {account} with a trust policy that names this caller and its external id",
                )
                slot.refused_until = time.monotonic() + REFUSAL_SECONDS
                raise slot.refused from None
            return slot.credentials

    def _assume(self, account: str) -> dict[str, str]:
        role = self._role or self.settings.role_name
        arguments = {
            "RoleArn": urns.iam("role", role, account=account, partition=self.identity().partition),
            "RoleSessionName": self._session_name,
        }
        if self.settings.external_id:
            arguments["ExternalId"] = self.settings.external_id
        given = self._management_sts().assume_role(**arguments)["Credentials"]
        return {
            "access_key": given["AccessKeyId"],
            "secret_key": given["SecretAccessKey"],
            "token": given["SessionToken"],
            "expiry_time": given["Expiration"].isoformat(),
        }

    def _chain(self) -> Any:
        """The caller's own credentials, found once. botocore renews those that end."""
        with self._lock:
            if self._own is None:
                self._own = self._session().chain_credentials()
            return self._own

    def _management_sts(self) -> Any:
        return AccountClient(self._shared("sts", self.settings.home_region), self._chain())

    def _session(self) -> _Session:
        """The one session: its loader keeps every parsed model, its parsers read times quickly."""
        with self._lock:
            if self._opened is None:
                session = _Session(profile=self.settings.profile or None)
                session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=wire_time)
                self._opened = session
            return self._opened

    def _make(self, service: str, region: str) -> Any:
        try:
            client = self._session().create_client(
                service, region_name=region, endpoint_url=self.settings.endpoint_url or None, config=self._config
            )
        except ValueError as error:
            raise Misconfigured(
                f"the AWS endpoint does not fit: {aws_errors.clean(str(error))}",
                code="aws-endpoint",
                hint="aws.endpoint_url is empty for AWS itself, or like http://127.0.0.1:5000",
            ) from None
        if self.settings.endpoint_url:
            client.meta.events.register("before-call.s3-control", self._bare_endpoint)
        return client

    def _bare_endpoint(self, params: dict[str, Any], **_kwargs: Any) -> None:
        """S3 Control puts the account before the host's name: an endpoint of one's own has no such names."""
        endpoint = self.settings.endpoint_url.rstrip("/")
        path = params["url"].split("://", 1)[1].partition("/")[2]
        params["url"] = f"{endpoint}/{path}"


class _Calls:
    """Counts the calls of one client."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.count = 0

    def pages(self, operation: str, member: str, **arguments: Any) -> list[Any]:
        """The whole list ``member`` of every page of ``operation``."""
        found: list[Any] = []
        for page in self._client.get_paginator(operation).paginate(**arguments):
            self.count += 1
            found.extend(page.get(member, ()))
        return found


def _places(calls: _Calls) -> dict[str, tuple[str, str]]:
    """Account id -> (id of its OU or root, path of OU names)."""
    places: dict[str, tuple[str, str]] = {}
    waiting = [(root["Id"], "") for root in calls.pages("list_roots", "Roots")]
    while waiting:
        parent, path = waiting.pop()
        for account in calls.pages("list_accounts_for_parent", "Accounts", ParentId=parent):
            places[account["Id"]] = parent, path or "/"
        units = calls.pages("list_organizational_units_for_parent", "OrganizationalUnits", ParentId=parent)
        waiting.extend((unit["Id"], f"{path}/{unit['Name']}") for unit in units)
    return places


def _tags(pairs: Iterable[Any]) -> dict[str, str]:
    return {pair["Key"]: pair.get("Value", "") for pair in pairs}


def _text(value: Any) -> str:
    return codec.iso(value) if isinstance(value, datetime) else ""
