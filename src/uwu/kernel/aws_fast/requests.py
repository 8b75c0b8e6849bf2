"""Requests, built by botocore's own parts and kept where they are the same each time.

One botocore client a service gives model, serializer, handlers and endpoint rules; the rules are asked again for each
region with the region put in, so 17 regions cost one model. A listing without arguments is built once a region and
then only signed. What this client does not speak is told by ``Unspoken``.
"""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportPrivateUsage=false
from __future__ import annotations

import copy
from collections.abc import Mapping
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

import botocore
import jmespath
from botocore.awsrequest import create_request_object
from botocore.endpoint_provider import RuleSetEndpoint
from botocore.exceptions import DataNotFoundError, ParamValidationError, UnknownServiceError
from botocore.httpchecksum import apply_request_checksum, resolve_checksum_context
from botocore.regions import EndpointResolverBuiltins
from botocore.utils import get_environ_proxies

from uwu.kernel.aws_fast.connections import Host
from uwu.kernel.aws_fast.decode import PROTOCOLS, Decoders
from uwu.kernel.aws_fast.sigv4 import Kind, Signable, host_of

READS = (
    "BatchDescribe",
    "BatchGet",
    "BatchList",
    "Describe",
    "Get",
    "Head",
    "List",
    "Lookup",
    "Query",
    "Scan",
    "Search",
    "Select",
    "Simulate",
)
"""How the operations begin that are spoken. A write is rare and goes through botocore with all its customisations."""

OF_REGION = frozenset({"s3", "s3control", "sts"})
"""Services whose endpoint follows from more than the region: each region has a botocore client of its own."""

REQUESTS = 4096
"""Built requests that a service keeps."""

_UNSPOKEN_ARGUMENTS = frozenset({"EncodingType", "PaginationConfig"})


class Unspoken(Exception):
    """This goes through botocore."""


class Request:
    """A built request. Threads may share it."""

    __slots__ = ("bodiless", "body", "head", "host", "signable")

    def __init__(self, *, host: Host, head: str, body: bytes, signable: Signable, bodiless: bool) -> None:
        self.host = host
        self.head = head
        """Request line and headers, but for those of the signature and the empty line."""
        self.body = body
        self.signable = signable
        self.bodiless = bodiless

    def wire(self, credentials: Any, when: str) -> bytes:
        """The bytes that are sent when it is signed at ``when``."""
        return f"{self.head}{self.signable.sign(credentials, when)}\r\n".encode() + self.body


class Paging:
    """How an operation goes from page to page (botocore's paginators)."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        outputs: Any = config["output_token"]
        inputs: Any = config["input_token"]
        self.inputs: list[str] = inputs if isinstance(inputs, list) else [inputs]
        self._outputs = [jmespath.compile(each) for each in (outputs if isinstance(outputs, list) else [outputs])]
        more: str | None = config.get("more_results")
        self._more = jmespath.compile(more) if more is not None else None

    def next(self, answer: Mapping[str, Any]) -> dict[str, Any]:
        """The tokens that ask for the page after ``answer``; empty where it is the last."""
        if self._more is not None and not self._more.search(answer):
            return {}
        found = {name: each.search(answer) for name, each in zip(self.inputs, self._outputs, strict=False)}
        return {name: token for name, token in found.items() if token}


class Service:
    """One service: its operations as requests and decoders. Threads share it."""

    def __init__(self, client: Any, session: Any) -> None:
        """``client`` is a botocore client of the service; ``session`` the botocore session that made it."""
        self._client = client
        self.model: Any = client.meta.service_model
        self.name: str = self.model.service_name
        self._id: str = self.model.service_id.hyphenize()
        self._lock = Lock()
        self._requests: dict[tuple[str, str], Request] = {}
        self._resolvers: dict[str, Any] = {}
        self._operations: dict[str, Any] = {}
        self._paging: dict[str, Paging | None] | None = None
        self._loader: Any = session.get_component("data_loader")
        self._proxied: dict[str, bool] = {}
        self.decoders = Decoders(self.model)

    def operation(self, name: str) -> Any:
        """The model of an operation. Raises ``Unspoken``, ``OperationNotFoundError``."""
        found = self._operations.get(name)
        if found is None:
            found = self.model.operation_model(name)
            self._operations[name] = found if self._spoken(found) else False
            found = self._operations[name]
        if found is False:
            raise Unspoken(name)
        return found

    def request(self, operation: Any, arguments: Mapping[str, Any], region: str) -> Request:
        """The request of a call. Raises ``Unspoken`` and ``ParamValidationError``."""
        if arguments or operation.idempotent_members:
            return self._build(operation, arguments, region)
        key = region, operation.name
        found = self._requests.get(key)
        if found is None:
            found = self._build(operation, arguments, region)
            if len(self._requests) >= REQUESTS:
                self._requests.clear()
            self._requests[key] = found
        return found

    def paging(self, operation: Any) -> Paging | None:
        """How the operation pages; None where it does not. Raises ``Unspoken`` for tokens that are no plain data."""
        if self._paging is None:
            self._paging = {}
        if operation.name not in self._paging:
            config = self._pagination().get(operation.name)
            self._paging[operation.name] = Paging(config) if config is not None else None
        found = self._paging[operation.name]
        if found is not None:
            members = operation.input_shape.members if operation.input_shape is not None else {}
            if any(members[name].type_name not in _TOKENS for name in found.inputs if name in members):
                raise Unspoken(operation.name)
        return found

    def _pagination(self) -> Mapping[str, Any]:
        try:
            told: dict[str, Any] = self._loader.load_service_model(self.name, "paginators-1", self.model.api_version)
        except (DataNotFoundError, UnknownServiceError):
            return {}
        return told["pagination"]

    def _spoken(self, operation: Any) -> bool:
        required = operation.endpoint_discovery is not None and operation.endpoint_discovery.get("required")
        return (
            operation.name.startswith(READS)
            and self.decoders.protocol in PROTOCOLS
            and self._client._ruleset_resolver is not None
            and not operation.has_streaming_input
            and not operation.has_streaming_output
            and not operation.has_event_stream_input
            and not operation.has_event_stream_output
            and not (operation.endpoint or {}).get("hostPrefix")
            and not required
            and (self.name, operation.name) != ("s3", "HeadObject")  # Expires is whatever was put there
        )

    def _build(self, operation: Any, arguments: Mapping[str, Any], region: str) -> Request:
        if not _UNSPOKEN_ARGUMENTS.isdisjoint(arguments):
            raise Unspoken(operation.name)
        client, context = self._client, self._context(operation, region)
        parameters = client._emit_api_params(api_params=dict(arguments), operation_model=operation, context=context)
        url, headers, properties = self._endpoint(operation, parameters, context, region)
        if properties:
            context["endpoint_properties"] = properties
        raw = client._convert_to_request_dict(
            api_params=parameters, operation_model=operation, endpoint_url=url, context=context, headers=headers
        )
        resolve_checksum_context(raw, operation, parameters)
        _handler, answer = client.meta.events.emit_until_response(
            f"before-call.{self._id}.{operation.name}",
            model=operation,
            params=raw,
            request_signer=client._request_signer,
            context=context,
        )
        if answer is not None:
            raise Unspoken(operation.name)
        apply_request_checksum(raw)
        return self._request(create_request_object(raw), operation, context, region)

    def _context(self, operation: Any, region: str) -> dict[str, Any]:
        return {
            "client_region": region,
            "client_config": self._client.meta.config,
            "has_streaming_input": False,
            "auth_type": operation.resolved_auth_type,
            "unsigned_payload": operation.unsigned_payload,
            "auth_options": self.model.metadata.get("auth"),
        }

    def _endpoint(
        self, operation: Any, parameters: Mapping[str, Any], context: dict[str, Any], region: str
    ) -> tuple[str, dict[str, str], dict[str, Any]]:
        resolver = self._resolver(region)
        found: RuleSetEndpoint = resolver.construct_endpoint(
            operation_model=operation, call_args=parameters, request_context=context
        )
        schemes = found.properties.get("authSchemes")
        if schemes is not None:
            context["auth_type"], signing = resolver.auth_schemes_to_signing_ctx(schemes)
            context.setdefault("signing", {}).update(signing)
        return found.url, found.headers, found.properties

    def _resolver(self, region: str) -> Any:
        """The client's endpoint rules with another region put in."""
        found = self._resolvers.get(region)
        if found is None:
            found = copy.copy(self._client._ruleset_resolver)
            found._builtins = {**found._builtins, EndpointResolverBuiltins.AWS_REGION: region}
            self._resolvers[region] = found
        return found

    def _request(self, made: Any, operation: Any, context: Mapping[str, Any], region: str) -> Request:
        prepared = made.prepare()
        parts = urlsplit(prepared.url)
        if self._proxy(f"{parts.scheme}://{parts.netloc}"):
            raise Unspoken(operation.name)
        kind, name, scope = self._signing(operation, context, region)
        body: Any = prepared.body or b""
        body = body.encode() if isinstance(body, str) else body
        if not isinstance(body, bytes | bytearray):
            raise Unspoken(operation.name)
        signed = [(str(key), _value(value)) for key, value in made.headers.items()]
        signable = Signable(
            method=prepared.method,
            url=prepared.url,
            headers=signed,
            body=bytes(body),
            kind=kind,
            name=name,
            region=scope,
            unsigned_payload=not context.get("payload_signing_enabled", True),
        )
        sent = {str(key): _value(value) for key, value in prepared.headers.items()}
        if body or prepared.method != "GET":
            sent.setdefault("Content-Length", str(len(body)))
        sent.setdefault("Accept-Encoding", "identity")
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        head = f"{prepared.method} {target} HTTP/1.1\r\nHost: {host_of(prepared.url)}\r\n" + "".join(
            f"{key}: {value}\r\n" for key, value in sent.items()
        )
        if head.count("\n") != len(sent) + 2:
            raise ParamValidationError(report="an argument that becomes a header or a path holds a line break")
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
        host = parts.scheme, parts.hostname or "", port
        return Request(host=host, head=head, body=bytes(body), signable=signable, bodiless=prepared.method == "HEAD")

    def _signing(self, operation: Any, context: Mapping[str, Any], region: str) -> tuple[Kind, str, str]:
        """How, under what name and for what region the call is signed."""
        signer = self._client._request_signer
        chosen = signer._choose_signer(operation.name, "standard", context)
        told = context.get("signing", {})
        name = told.get("signing_name") or signer._signing_name
        own: str = self._client.meta.region_name
        scope = told.get("region") or (region if signer._region_name == own else signer._region_name)
        if chosen is botocore.UNSIGNED:
            return "none", name, scope
        if chosen not in {"v4", "s3v4"}:
            raise Unspoken(operation.name)
        return chosen, name, scope

    def _proxy(self, url: str) -> bool:
        """Whether the environment wants a proxy before ``url``: botocore goes through proxies."""
        found = self._proxied.get(url)
        if found is None:
            found = self._proxied[url] = bool(get_environ_proxies(url))
        return found


_TOKENS = frozenset({"string", "integer", "long"})


def _value(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
