"""What an error of an AWS call means: for a cell of coverage, and for the person who reads it."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownLambdaType=false
from __future__ import annotations

import re
import socket
from typing import Any

import msgspec
from botocore import exceptions as boto
from botocore.parsers import ResponseParserError

from uwu.kernel.errors import UwuError
from uwu.kernel.model import CellStatus

DENIED, THROTTLED, UNSUPPORTED, FAILED = (
    CellStatus.DENIED,
    CellStatus.THROTTLED,
    CellStatus.UNSUPPORTED,
    CellStatus.FAILED,
)
CREDENTIALS, NETWORK, REGION_OFF, NOT_OFFERED = "aws-credentials", "network", "region-off", "operation-not-offered"

_DENIALS = frozenset(
    {
        "AuthorizationError",
        "AuthorizationErrorException",
        "Client.UnauthorizedOperation",
        "ExplicitDeny",
        "Forbidden",
        "KMSAccessDeniedException",
        "NotAuthorized",
        "NotAuthorizedException",
        "UnauthorizedAccess",
        "UnauthorizedException",
        "UnauthorizedOperation",
        "403",
    }
)
_THROTTLES = frozenset(
    {
        "BandwidthLimitExceeded",
        "Client.RequestLimitExceeded",
        "EC2ThrottledException",
        "LimitExceededException",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "ThrottledException",
        "Throttled",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionInProgressException",
        "429",
    }
)
_BAD_CREDENTIALS = frozenset(
    {
        "AuthFailure",
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "IncompleteSignatureException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "InvalidToken",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "RequestExpired",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
        "UnrecognizedClientException",
    }
)
_REFUSED_IN_REGION = frozenset({"AuthFailure", "InvalidClientTokenId", "InvalidToken", "UnrecognizedClientException"})
"""What a region that is not enabled answers to credentials that are good elsewhere."""

_NOT_OFFERED = frozenset(
    {
        "InvalidAction",
        "NotImplemented",
        "OperationNotSupportedException",
        "TypeNotFoundException",
        "UnknownOperation",
        "UnknownOperationException",
        "UnsupportedActionException",
        "UnsupportedOperation",
        "UnsupportedOperationException",
        "404",
        "405",
        "500",
        "501",
    }
)
"""The bare numbers are answers that are no AWS error at all: an HTML page of an endpoint that lacks the operation."""

_CREDENTIAL_ERRORS = (
    boto.NoCredentialsError,
    boto.PartialCredentialsError,
    boto.CredentialRetrievalError,
    boto.ProfileNotFound,
    boto.NoAuthTokenError,
    boto.TokenRetrievalError,
    boto.SSOError,
    boto.ConfigNotFound,
    boto.ConfigParseError,
)
_NETWORK_ERRORS = (
    boto.ConnectionError,
    boto.HTTPClientError,
    boto.IncompleteReadError,
    boto.ResponseStreamingError,
)

_SECRETS = (
    (
        re.compile(r"(?is)\b(x-amz-security-token|authorization|signature|canonical string|string-to-sign)\b.*"),
        r"\1 ***",
    ),
    (re.compile(r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{8,}"), "***"),
    (re.compile(r"[A-Za-z0-9+/=_]{40,}"), "***"),
)


class Failure(msgspec.Struct, frozen=True):
    """What a failed call leaves: the status of its cell, a stable code, a message without secrets and a hint."""

    status: CellStatus
    code: str
    message: str
    hint: str = ""


def classify(error: Exception, *, foreign_region: bool = False) -> Failure:
    """What ``error`` means. ``foreign_region``: the call went to a region other than home, so it may be off.

    The code is AWS's own where AWS gave one, else one of ours: ``aws-credentials``, ``network``, ``region-off``,
    ``operation-not-offered``, ``answer-unreadable``.
    """
    if isinstance(error, boto.ClientError):
        return _client_error(error, foreign_region)
    if isinstance(error, UwuError):
        return Failure(
            DENIED if error.status == 403 else FAILED, error.problem.code, error.problem.message, error.problem.hint
        )
    text = clean(str(error))
    if isinstance(error, _CREDENTIAL_ERRORS):
        return Failure(FAILED, CREDENTIALS, f"there are no usable AWS credentials: {text}", _CREDENTIAL_HINT)
    if isinstance(error, boto.EndpointConnectionError | boto.ConnectionError) and _unresolved(error) and foreign_region:
        return Failure(
            UNSUPPORTED, REGION_OFF, f"the region has no such endpoint: {text}", "take it out of aws.regions"
        )
    if isinstance(error, _NETWORK_ERRORS):
        return Failure(FAILED, NETWORK, text, "the next sync tries again")
    if isinstance(error, boto.OperationNotPageableError | boto.UnknownServiceError | boto.UnknownRegionError):
        return Failure(UNSUPPORTED, NOT_OFFERED, text)
    if isinstance(error, ResponseParserError):
        return Failure(FAILED, "answer-unreadable", f"the answer is not what AWS's model says: {text}")
    return Failure(FAILED, type(error).__name__, text)


_CREDENTIAL_HINT = (
    "renew them: `aws sso login`, AWS_PROFILE, or aws.profile in uwu.toml; `aws sts get-caller-identity` tells"
)


def _client_error(error: boto.ClientError, foreign_region: bool) -> Failure:
    response: Any = error.response
    told: dict[str, Any] = response.get("Error", {})
    code = str(told.get("Code") or "unknown")
    message = clean(str(told.get("Message") or code))
    bare = code.rsplit("#", 1)[-1]
    operation = error.operation_name
    if bare == "OptInRequired" or (foreign_region and bare in _REFUSED_IN_REGION):
        return Failure(
            UNSUPPORTED,
            REGION_OFF,
            f"the region is not enabled for this account ({bare})",
            "enable it, or take it out of aws.regions",
        )
    if bare in _BAD_CREDENTIALS:
        return Failure(FAILED, CREDENTIALS, f"AWS does not accept the credentials ({bare})", _CREDENTIAL_HINT)
    if bare.startswith("AccessDenied") or bare in _DENIALS:
        return Failure(DENIED, bare, f"{operation}: {message}", f"allow the observer's role the action of {operation}")
    if bare in _THROTTLES:
        return Failure(THROTTLED, bare, f"{operation}: {message}", "the next sync tries again; lower aws.concurrency")
    if bare in _NOT_OFFERED:
        return Failure(UNSUPPORTED, NOT_OFFERED if bare.isdigit() else bare, f"{operation} is not offered here")
    return Failure(FAILED, bare, f"{operation}: {message}")


def _unresolved(error: BaseException) -> bool:
    """Whether the host's name could not be resolved."""
    inner = getattr(error, "kwargs", {}).get("error", "")
    return (
        isinstance(inner, socket.gaierror) or "NameResolutionError" in repr(inner) or "Failed to resolve" in str(inner)
    )


def throttles(code: str) -> bool:
    """Whether ``code`` tells to slow down."""
    return code.rsplit("#", 1)[-1] in _THROTTLES


def code_of(error: Exception) -> str:
    """AWS's own error code; empty where it is none of AWS."""
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, boto.ClientError) else ""


def clean(text: str) -> str:
    """``text`` on one line, at most 300 characters, without key ids, tokens, signatures and encoded messages."""
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    text = " ".join(text.split())
    return text if len(text) <= 300 else text[:297] + "..."
