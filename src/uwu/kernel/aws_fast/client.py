"""The client: signs, sends, tries again within its budget, decodes and turns pages."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportPrivateUsage=false
from __future__ import annotations

import random
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from threading import RLock
from typing import Any

from botocore import xform_name
from botocore.exceptions import (
    ClientError,
    HTTPClientError,
    PaginationError,
)
from botocore.exceptions import ConnectionError as Unreached

from uwu.kernel import aws_errors, telemetry
from uwu.kernel.aws_calls import Answer, Caller, Meter
from uwu.kernel.aws_fast.budget import Budget, Budgets
from uwu.kernel.aws_fast.connections import AnswerTooLarge, Connections
from uwu.kernel.aws_fast.decode import Response
from uwu.kernel.aws_fast.requests import OF_REGION, Request, Service, Unspoken
from uwu.kernel.settings import AwsSettings

SERVICES = 64
"""Services kept by one process, each with its model: 1 to 2 MB, and 10 to 50 ms to make one anew. Whoever asks more
services than these does well to ask all accounts of one before the next."""

LONGEST_WAIT = 20.0
"""Seconds between two tries, at most."""

_TRANSIENT_STATUS = frozenset({500, 502, 503, 504})
_TRANSIENT_CODES = frozenset({"RequestTimeout", "RequestTimeoutException", "PriorRequestNotComplete"})
_REDIRECTS = frozenset(
    {"301", "302", "307", "400", "AuthorizationHeaderMalformed", "PermanentRedirect", "TemporaryRedirect"}
)


class FastClient:
    """The fast way to AWS of one home: services, connections and budgets. Threads share it."""

    def __init__(
        self, settings: AwsSettings, make: Callable[[str, str], Any], session: Callable[[], Any], ca_file: str
    ) -> None:
        """``make`` gives a botocore client of a service in a region, ``session`` the botocore session."""
        self.settings = settings
        self._make = make
        self._session = session
        self._lock = RLock()
        self._services: OrderedDict[tuple[str, str], Service] = OrderedDict()
        self.budgets = Budgets()
        self.connections = Connections(
            connect_timeout=settings.connect_timeout_seconds,
            read_timeout=settings.read_timeout_seconds,
            max_bytes=settings.max_answer_mb * 1024 * 1024,
            ca_file=ca_file,
        )

    def service(self, name: str, region: str) -> Service:
        """The service as it is spoken in ``region``. Raises ``UnknownServiceError``."""
        key = name, (region if name in OF_REGION else "")
        with self._lock:
            found = self._services.get(key)
            if found is None:
                client = self._make(name, region if name in OF_REGION else self.settings.home_region)
                found = self._services[key] = Service(client, self._session())
                while len(self._services) > SERVICES:
                    (oldest, _), _ = self._services.popitem(last=False)
                    self._forget(oldest)
            else:
                self._services.move_to_end(key)
            return found

    def _forget(self, name: str) -> None:
        """Lets the session's loader forget the parsed models of a service: it would keep each for ever."""
        if any(kept == name for kept, _ in self._services):
            return
        cache: dict[tuple[Any, ...], Any] = self._session().get_component("data_loader")._cache
        for key in list(cache):
            if any(part == name or str(part).startswith(f"{name}/") for part in key[1:]):
                cache.pop(key, None)

    def caller(
        self,
        service: str,
        account: str,
        region: str,
        credentials: Any,
        otherwise: Callable[[], Caller],
        meter: Meter | None = None,
    ) -> Caller:
        """The operations of a service; ``otherwise`` gives the caller of what is not spoken here."""
        return FastCaller(self, service, (account, region, service), credentials, otherwise, meter)

    def close(self) -> None:
        """Closes the connections that are kept."""
        self.connections.close()


class FastCaller:
    """One service in one account and region."""

    def __init__(
        self,
        client: FastClient,
        service: str,
        cell: tuple[str, str, str],
        credentials: Any,
        otherwise: Callable[[], Caller],
        meter: Meter | None,
    ) -> None:
        self._client = client
        self._name = service
        self._cell = cell
        self._region = cell[1]
        self._credentials = credentials
        self._otherwise = otherwise
        self._meter = meter
        self._slow: Caller | None = None

    def call(self, operation: str, arguments: Mapping[str, Any]) -> Answer:
        service = self._client.service(self._name, self._region)
        try:
            model = service.operation(operation)
            request = service.request(model, arguments, self._region)
        except Unspoken:
            return self._botocore().call(operation, arguments)
        return self._ask(service, model, request, arguments)

    def pages(self, operation: str, arguments: Mapping[str, Any]) -> Iterator[Answer]:
        service = self._client.service(self._name, self._region)
        try:
            model = service.operation(operation)
            paging = service.paging(model)
            service.request(model, arguments, self._region)
        except Unspoken:
            yield from self._botocore().pages(operation, arguments)
            return
        asked, seen = dict(arguments), set[int]()
        while True:
            answer = self.call(operation, asked)
            yield answer
            tokens = paging.next(answer) if paging is not None else {}
            if paging is None or not tokens:
                return
            mark = hash(repr(sorted(tokens.items())))
            if mark in seen:
                raise PaginationError(message=f"{operation} gave the same next token twice")
            seen.add(mark)
            asked = {name: value for name, value in asked.items() if name not in paging.inputs} | tokens

    def _botocore(self) -> Caller:
        if self._slow is None:
            self._slow = self._otherwise()
        return self._slow

    def _ask(self, service: Service, model: Any, request: Request, arguments: Mapping[str, Any]) -> Answer:
        trial = _Trial(self._client, self._cell, self._credentials)
        with telemetry.span(f"aws {self._name}.{xform_name(model.name)}", **{"rpc.system": "aws-api"}):
            try:
                try:
                    return trial.run(service, model, request)
                except ClientError as error:
                    elsewhere = self._bucket_region(trial, error)
                    if not elsewhere:
                        raise
                there = self._client.service(self._name, elsewhere)
                return trial.run(there, model, there.request(there.operation(model.name), arguments, elsewhere))
            finally:
                if self._meter is not None:
                    self._meter.add(
                        attempts=trial.attempts,
                        throttled=trial.throttled,
                        size=trial.size,
                        seconds=time.monotonic() - trial.began,
                    )

    def _bucket_region(self, trial: _Trial, error: ClientError) -> str:
        """The region of the bucket where S3 told that it is another one; empty otherwise."""
        if self._name != "s3" or aws_errors.code_of(error) not in _REDIRECTS:
            return ""
        told: dict[str, Any] = error.response.get("Error", {})  # pyright: ignore[reportAssignmentType]
        region: str = trial.headers.get("x-amz-bucket-region") or told.get("Region", "")
        return region if region != self._region else ""


class _Trial:
    """One call with its attempts."""

    __slots__ = ("_budget", "_client", "_credentials", "attempts", "began", "headers", "size", "throttled")

    def __init__(self, client: FastClient, cell: tuple[str, str, str], credentials: Any) -> None:
        self._client = client
        self._credentials = credentials
        self._budget: Budget = client.budgets.of(cell)
        self.began = time.monotonic()
        self.attempts = self.throttled = self.size = 0
        self.headers: dict[str, str] = {}

    def run(self, service: Service, model: Any, request: Request) -> Answer:
        """The answer. Raises ``ClientError``, ``BotoCoreError`` and ``ResponseParserError``."""
        failures, first_failure = 0, 0.0
        while True:
            wait = self._budget.turn()
            if wait:
                time.sleep(wait)
            self.attempts += 1
            throttled = False
            try:
                response = self._send(request)
                if response.status < 300 and not _hidden_error(service, response):
                    self._budget.answered()
                    return service.decoders.decoder(model)(response)
                failure: Exception = self._refusal(service, model, response)
                throttled = _throttled(model, failure, response.status)
                again = throttled or _transient(model, failure, response.status)
                if throttled:
                    self.throttled += 1
                    self._budget.refused()
                else:
                    self._budget.answered()
            except (Unreached, HTTPClientError) as error:
                failure, again = error, not isinstance(error, AnswerTooLarge)
            now = time.monotonic()
            first_failure = first_failure or now
            failures += not throttled
            if not again or not self._may_try(failures, now - first_failure):
                raise failure
            time.sleep(self._pause(throttled))

    def _send(self, request: Request) -> Response:
        when = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        frozen = self._credentials.get_frozen_credentials() if request.signable.kind != "none" else None
        response = self._client.connections.exchange(
            request.host, request.wire(frozen, when), bodiless=request.bodiless
        )
        self.size += len(response.body)
        self.headers = response.headers
        return response

    def _refusal(self, service: Service, model: Any, response: Response) -> ClientError:
        if response.status < 300:
            response.status = 500
        told = service.decoders.error(model, response)
        error = told.setdefault("Error", {})
        if error.get("QueryErrorCode") and service.name == "sqs":
            error["Code"] = error["QueryErrorCode"]
        told.setdefault("ResponseMetadata", {})["RetryAttempts"] = self.attempts - 1
        return ClientError(told, model.name)  # pyright: ignore[reportArgumentType]

    def _may_try(self, failures: int, waited: float) -> bool:
        """Whether to try again. Being told to slow down costs time and no attempt: the budget brings the pace down."""
        settings = self._client.settings
        return 1 < settings.max_attempts > failures and waited < settings.retry_seconds

    def _pause(self, throttled: bool) -> float:
        """Seconds until the next try, with full jitter. The budget paces what was refused; this only spreads it."""
        base = 0.1 if throttled else 1.0
        return random.random() * min(base * 2 ** (self.attempts - 1), 1.0 if throttled else LONGEST_WAIT)  # noqa: S311


def _hidden_error(service: Service, response: Response) -> bool:
    """S3 may answer 200 with an error in the body."""
    return service.name == "s3" and response.body[:256].find(b"<Error>") >= 0


def _modeled(model: Any, failure: Exception) -> Any:
    """The trait ``retryable`` of an error, None where it has none; False where the model does not know the error."""
    code = aws_errors.code_of(failure)
    for shape in model.error_shapes:
        if code in {shape.name, shape.metadata.get("error", {}).get("code")}:
            return shape.metadata.get("retryable")
    return False


def _throttled(model: Any, failure: Exception, status: int) -> bool:
    if aws_errors.throttles(aws_errors.code_of(failure)):
        return True
    trait = _modeled(model, failure)
    return bool(trait.get("throttling")) if trait else trait is False and status == 429


def _transient(model: Any, failure: Exception, status: int) -> bool:
    if aws_errors.code_of(failure) in _TRANSIENT_CODES or status in _TRANSIENT_STATUS:
        return True
    return bool(_modeled(model, failure))
