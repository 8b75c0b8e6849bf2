"""Sign-in by an OpenID provider: authorization code with PKCE (OpenID Connect Core 1.0, 3.1; RFC 7636, RFC 9207).

Each call of the provider has a time, a size and a number of tries. What it signs is checked whole: signature by its
published keys, issuer, audience, expiry, nonce, hash of the access token.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit
from weakref import WeakKeyDictionary

import httpx
import msgspec
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from uwu.app import identify
from uwu.kernel import codec
from uwu.kernel.errors import Denied, Misconfigured, NotFound, Unavailable, UwuError
from uwu.kernel.identity.principals import Claims
from uwu.kernel.runtime import Kernel
from uwu.kernel.settings import OidcSettings

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
"""Signatures that a public key proves. ``none`` and the HMACs, whose key the client knows too, are never taken."""

MOST_BYTES = 1_000_000
"""Of one answer of the provider: discovery, keys and tokens take some kilobytes."""
MOST_CLAIM = 2000
"""Groups of one person that are looked at."""
TRIES = 3
"""Of a request that may be repeated."""
PAUSE_SECONDS = 0.2
"""Before the second try; doubled each time."""
KEEP_SECONDS = 3600.0
"""How long discovery and keys are kept."""
REFETCH_SECONDS = 30.0
"""An unknown key fetches the keys anew, but not more often: whoever invents key ids must not make us ask for each."""


class Refused(Denied):
    """What came back from the provider does not hold."""

    code = "sign-in-refused"


class ProviderDown(Unavailable):
    """The provider does not answer as one does."""

    code = "provider-unavailable"


class Discovery(msgspec.Struct, frozen=True, kw_only=True):
    """What is used of the provider's metadata (OpenID Connect Discovery 1.0, 3)."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str = ""
    end_session_endpoint: str = ""
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)
    authorization_response_iss_parameter_supported: bool = False


class Provider:
    """One OpenID provider. Threads may share it."""

    def __init__(self, settings: OidcSettings, home: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.settings = settings
        self._home = home
        self._clock = clock
        self._lock = threading.Lock()
        self._discovery: tuple[float, Discovery] | None = None
        self._keys: tuple[float, KeySet] | None = None
        self._http = httpx.Client(
            timeout=settings.timeout_seconds,
            follow_redirects=False,
            headers={"accept": "application/json", "user-agent": "uwu"},
            trust_env=not _is_local(settings.issuer),
        )

    # ---- the way there and back

    def address(self, redirect_uri: str, state: str, secret: str) -> str:
        """Where the browser is sent. The verifier and the nonce come of ``secret``, which the browser alone keeps."""
        found = self.discovery()
        asked = {
            "response_type": "code",
            "client_id": self.settings.client_id,
            "redirect_uri": redirect_uri,
            "scope": " ".join(self.settings.scopes),
            "state": state,
            "nonce": derived(secret, "nonce", state),
            "code_challenge": create_s256_code_challenge(derived(secret, "verifier", state)),
            "code_challenge_method": "S256",
        }
        return _with(found.authorization_endpoint, asked)

    def claims(self, *, code: str, redirect_uri: str, state: str, secret: str, issuer: str = "") -> Claims:
        """Who has come back with ``code``; ``issuer`` is what the answer says of its own (RFC 9207).

        Raises ``Refused`` where anything does not hold, ``ProviderDown`` where the provider does not answer.
        """
        found = self.discovery()
        if issuer != found.issuer and (issuer or found.authorization_response_iss_parameter_supported):
            raise Refused("the answer is another provider's", place="iss", hint="sign in once more")
        answer = self._exchange(found, code, redirect_uri, derived(secret, "verifier", state))
        token, access = answer.get("id_token"), answer.get("access_token")
        if not isinstance(token, str):
            raise Refused("the provider gave no id_token", place="id_token", hint="is openid among oidc.scopes?")
        told = self._verified(token, str(access or ""), derived(secret, "nonce", state))
        if found.userinfo_endpoint and access and self._lacking(told):
            told = {**self._userinfo(found, str(access), str(told["sub"])), **told}
        return self._claims(found.issuer, told)

    def sign_out(self, return_to: str) -> str:
        """Where a browser signs out at the provider (RP-Initiated Logout 1.0); empty where it has no such page."""
        found = self.discovery()
        asked = {"client_id": self.settings.client_id, "post_logout_redirect_uri": return_to}
        return _with(found.end_session_endpoint, asked) if found.end_session_endpoint else ""

    # ---- what the provider publishes

    def discovery(self) -> Discovery:
        """The provider's metadata, at most an hour old. Raises ``ProviderDown``, ``Refused`` for another's."""
        with self._lock:
            if self._discovery is not None and self._discovery[0] > self._clock():
                return self._discovery[1]
        address = self.settings.issuer.rstrip("/") + "/.well-known/openid-configuration"
        found = self._told(self._get(address), Discovery, address)
        if found.issuer != self.settings.issuer:
            raise Refused(
                f"the provider calls itself {found.issuer[:200]!r}",
                place="issuer",
                hint="oidc.issuer must be written as its discovery document says it",
            )
        ends = (found.authorization_endpoint, found.token_endpoint, found.jwks_uri)
        for end in (*ends, *filter(None, (found.userinfo_endpoint, found.end_session_endpoint))):
            if urlsplit(end).scheme != "https" and not (_is_local(end) and _is_local(self.settings.issuer)):
                raise Refused(f"the provider names {end[:200]!r}, which is not https", place="discovery")
        with self._lock:
            self._discovery = (self._clock() + KEEP_SECONDS, found)
        return found

    def _key_set(self, *, fresh: bool) -> KeySet:
        """The provider's keys; with ``fresh`` asked for anew, but not more often than every half minute."""
        with self._lock:
            held = self._keys
        if held is not None:
            age = self._clock() - held[0]
            if age < (REFETCH_SECONDS if fresh else KEEP_SECONDS):
                return held[1]
        address = self.discovery().jwks_uri
        told = self._told(self._get(address), dict[str, Any], address)
        # keys for encryption, and kinds that we do not know, are passed over: they sign nothing for us
        keys = [one for one in told.get("keys", []) if isinstance(one, dict) and one.get("use", "sig") == "sig"]
        known = [one for one in keys if one.get("kty") in {"RSA", "EC", "OKP"}]
        try:
            found = KeySet.import_key_set({"keys": known})  # type: ignore[typeddict-item]
        except (JoseError, ValueError, TypeError, KeyError):
            raise ProviderDown("the keys of the provider cannot be read", place=address) from None
        with self._lock:
            self._keys = (self._clock(), found)
        return found

    # ---- what it gives for the code

    def _exchange(self, found: Discovery, code: str, redirect_uri: str, verifier: str) -> dict[str, Any]:
        """The token endpoint's answer. It is asked once: a code is worth nothing the second time."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": verifier,
        }
        secret, headers = client_secret(self.settings, self._home), dict[str, str]()
        methods = found.token_endpoint_auth_methods_supported
        if secret and "client_secret_basic" in methods:
            pair = f"{quote(self.settings.client_id, safe='')}:{quote(secret, safe='')}"  # RFC 6749, 2.3.1
            headers["authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        else:
            form["client_id"] = self.settings.client_id
            if secret:
                form["client_secret"] = secret
        response = self._send(httpx.Request("POST", found.token_endpoint, data=form, headers=headers), tries=1)
        if response.status_code >= 500:
            raise self._down(f"its token endpoint answered {response.status_code}")
        told = self._told(response, dict[str, Any], found.token_endpoint, at_most=499)
        if response.status_code != 200:
            # the error's code alone: its description may repeat what was sent
            reason = _word(told.get("error"))
            hint = "sign in once more" if reason == "invalid_grant" else "check oidc.client_id and the client's secret"
            raise Refused(f"the provider does not take the code: {reason}", place="token endpoint", hint=hint)
        return told

    def _verified(self, token: str, access_token: str, nonce: str) -> dict[str, Any]:
        """The claims of an id_token that holds in every part (Core, 3.1.3.7). Raises ``Refused`` with the part."""
        try:
            decoded = self._decoded(token)
        except (JoseError, ValueError, TypeError) as error:
            place = "algorithm" if "alg" in type(error).__name__.lower() + str(error).lower() else "signature"
            raise Refused("the id_token is not signed by the provider", place=place) from None
        options = {
            "iss": {"essential": True, "value": self.settings.issuer},
            "aud": {"essential": True, "value": self.settings.client_id},
            "sub": {"essential": True},
            "exp": {"essential": True},
            "iat": {"essential": True},
        }
        parameters = {"nonce": nonce, "client_id": self.settings.client_id, "access_token": access_token}
        claims: Any = CodeIDToken(decoded.claims, decoded.header, options, parameters)
        try:
            claims.validate(now=int(codec.now().timestamp()), leeway=self.settings.leeway_seconds)
        except JoseError as error:
            place = _word(getattr(error, "claim", "") or ("exp" if "expired" in error.error else error.error))
            raise Refused("the id_token does not hold", place=place, hint="sign in once more") from None
        except (ValueError, TypeError, KeyError):
            raise Refused("the id_token does not hold", place="claims") from None
        return dict(decoded.claims)

    def _decoded(self, token: str) -> jwt.Token:
        header = jws.extract_compact(token.encode()).headers()
        if header.get("alg") not in ALGORITHMS:
            raise ValueError("alg")
        keys = self._key_set(fresh=False)
        if header.get("kid") not in {key.kid for key in keys.keys}:
            keys = self._key_set(fresh=True)
        try:
            return jwt.decode(token, keys, algorithms=ALGORITHMS)
        except JoseError:
            fresh = self._key_set(fresh=True)  # a key that was changed under the same name
            if fresh is keys:
                raise
            return jwt.decode(token, fresh, algorithms=ALGORITHMS)

    def _lacking(self, told: Mapping[str, Any]) -> bool:
        wanted = (self.settings.username_claim, self.settings.groups_claim, "email")
        return any(name and name not in told for name in wanted)

    def _userinfo(self, found: Discovery, access_token: str, subject: str) -> dict[str, Any]:
        headers = {"authorization": f"Bearer {access_token}"}
        response = self._send(httpx.Request("GET", found.userinfo_endpoint, headers=headers))
        told = self._told(response, dict[str, Any], found.userinfo_endpoint)
        if told.get("sub") != subject:  # Core, 5.3.2: it may be another's
            raise Refused("the provider speaks of another person", place="userinfo sub")
        return told

    def _claims(self, issuer: str, told: Mapping[str, Any]) -> Claims:
        groups = told.get(self.settings.groups_claim) if self.settings.groups_claim else None
        given = [groups] if isinstance(groups, str) else groups if isinstance(groups, list) else []
        verified = told.get("email_verified") is True or self.settings.trust_email
        return Claims(
            issuer=issuer,
            subject=str(told["sub"]),
            username=_text(told.get(self.settings.username_claim)),
            email=_text(told.get("email")) if verified else "",
            name=_text(told.get("name")),
            groups=tuple(_text(group) for group in given[:MOST_CLAIM] if isinstance(group, str)),
        )

    # ---- asking

    def _get(self, address: str) -> httpx.Response:
        return self._send(httpx.Request("GET", address))

    def _send(self, request: httpx.Request, *, tries: int = TRIES) -> httpx.Response:
        """The answer of the provider. Repeated where it does not answer, or says that it cannot now."""
        pause = PAUSE_SECONDS
        for number in range(1, tries + 1):
            try:
                response = self._read(request)
            except httpx.HTTPError as error:
                # a connection that never stood has carried nothing: even a code may be sent again
                unsent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
                if number >= (TRIES if unsent else tries):
                    raise self._down(_why(error, self.settings.timeout_seconds)) from None
            else:
                if response.status_code < 500 or number >= tries:
                    return response
            time.sleep(pause)
            pause *= 2
        raise self._down("it does not answer")

    def _read(self, request: httpx.Request) -> httpx.Response:
        response = self._http.send(request, stream=True)
        try:
            body = b""
            for piece in response.iter_bytes():
                body += piece
                if len(body) > MOST_BYTES:
                    raise self._down("its answer is too large")
        finally:
            response.close()
        return httpx.Response(response.status_code, headers={"content-type": "application/json"}, content=body)

    def _told(self, response: httpx.Response, kind: Any, address: str, *, at_most: int = 299) -> Any:
        if response.status_code > at_most:
            raise self._down(f"{address} answered {response.status_code}")
        try:
            return msgspec.json.decode(response.content, type=kind)
        except (msgspec.ValidationError, msgspec.DecodeError):
            raise self._down(f"{address} answered with something else than it should") from None

    def _down(self, why: str) -> ProviderDown:
        return ProviderDown(
            f"{self.settings.name} does not answer: {why}",
            place=self.settings.issuer,
            hint="try again in a moment; who has a token can sign in with it",
        )


def _why(error: httpx.HTTPError, seconds: int) -> str:
    """What went wrong on the way, in words: the error's own may name proxies and addresses within."""
    if isinstance(error, httpx.TimeoutException):
        return f"nothing came within {seconds} s"
    return "no connection to it stands" if isinstance(error, httpx.ConnectError) else "the connection broke off"


def client_secret(settings: OidcSettings, home: Path) -> str:
    """The client's secret; empty for a public client. Raises ``Misconfigured`` where its file cannot be read."""
    if settings.client_secret_file:
        path = home / settings.client_secret_file
        try:
            return path.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError):
            raise Misconfigured(
                "the client's secret cannot be read",
                code="oidc-secret",
                place=str(path),
                hint="oidc.client_secret_file",
            ) from None
    return os.environ.get(settings.client_secret_env, "") if settings.client_secret_env else ""


def derived(secret: str, what: str, state: str) -> str:
    """A value for one sign-in that only who holds ``secret`` can make: nothing of it needs to be kept here."""
    made = hmac.digest(secret.encode(), f"{what} {state}".encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(made).rstrip(b"=").decode()


def _with(address: str, parameters: Mapping[str, str]) -> str:
    return f"{address}{'&' if urlsplit(address).query else '?'}{urlencode(parameters)}"


def _is_local(address: str) -> bool:
    return identify.is_loopback(urlsplit(address).hostname or "")


def _text(value: Any) -> str:
    plain = value if isinstance(value, str) else ""
    return "".join(c for c in plain if c.isprintable())[:200].strip()


def _word(value: Any) -> str:
    """A short word of a protocol that may be shown."""
    text = str(value or "unknown")
    return text if text.replace("_", "").isalnum() and len(text) <= 60 else "unknown"


_providers: WeakKeyDictionary[Kernel, Provider] = WeakKeyDictionary()
_making = threading.Lock()


def provider(kernel: Kernel) -> Provider:
    """The provider of this home, with what is held of it. Raises ``NotFound`` where none is set."""
    settings = kernel.settings.oidc
    if not settings.issuer:
        raise NotFound("there is no sign-in by a provider here", code="oidc-off", hint="oidc.issuer in uwu.toml")
    with _making:
        found = _providers.get(kernel)
        if found is None:
            found = _providers[kernel] = Provider(settings, kernel.settings.home_path)
        return found


def told(error: str) -> UwuError:
    """What the provider says in the place of a code (RFC 6749, 4.1.2.1)."""
    word = _word(error)
    said = {
        "access_denied": "the sign-in was cancelled, or the provider does not let you in",
        "temporarily_unavailable": "the provider cannot sign anyone in now",
        "server_error": "the provider cannot sign anyone in now",
    }.get(word, f"the provider refuses: {word}")
    return Refused(said, place=word, hint="sign in once more")
