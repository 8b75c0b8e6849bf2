"""An OpenID provider on loopback whose every answer can be bent: for what a real one would never say."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

CLIENT, SECRET = "uwu", "a secret of the tests"
PERSON = {
    "sub": "00u1",
    "preferred_username": "mira.k",
    "name": "Mira K",
    "email": "mira@example.com",
    "email_verified": True,
    "groups": ["payments"],
}


def key(id: str) -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": id, "use": "sig"})


def half_hash(text: str) -> str:
    """at_hash of an RS256 token (Core, 3.1.3.6)."""
    digest = hashlib.sha256(text.encode()).digest()
    return base64.urlsafe_b64encode(digest[:16]).rstrip(b"=").decode()


class Provider:
    """What it says, and what it was asked."""

    def __init__(self) -> None:
        self.issuer = ""
        self.person: dict[str, Any] = dict(PERSON)
        self.keys = [key("k1")]
        """Published; the first one signs."""
        self.bend: Callable[[dict[str, Any]], None] = lambda claims: None
        """Changes the claims before they are signed."""
        self.sign: Callable[[dict[str, Any]], str] = self.signed
        self.discovery: dict[str, Any] = {}
        """Members in the place of its own."""
        self.down = False
        self.asked: list[str] = []
        self.codes: dict[str, dict[str, str]] = {}
        self.userinfo: dict[str, Any] = {}

    def signed(self, claims: dict[str, Any]) -> str:
        return jwt.encode({"alg": "RS256", "kid": self.keys[0].kid}, claims, self.keys[0])

    def authorize(self, address: str) -> dict[str, str]:
        """What the person's consent gives: the parameters of the way back."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        assert asked["response_type"] == "code" and asked["code_challenge_method"] == "S256"
        code = f"code-{len(self.codes)}"
        self.codes[code] = asked
        return {"code": code, "state": asked["state"]}

    def token(self, form: dict[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        asked = self.codes.pop(form["code"], None)
        pair = base64.b64encode(b"uwu:a%20secret%20of%20the%20tests").decode()
        if authorization != f"Basic {pair}":
            return 401, {"error": "invalid_client"}
        challenge = hashlib.sha256(form["code_verifier"].encode()).digest()
        if asked is None or asked["redirect_uri"] != form["redirect_uri"]:
            return 400, {"error": "invalid_grant", "error_description": f"code {form['code']}"}
        if base64.urlsafe_b64encode(challenge).rstrip(b"=").decode() != asked["code_challenge"]:
            return 400, {"error": "invalid_grant"}
        now, access = int(time.time()), f"access-{form['code']}"
        claims = {"iss": self.issuer, "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": asked["nonce"]}
        claims |= {**self.person, "at_hash": half_hash(access)}
        self.bend(claims)
        return 200, {"access_token": access, "token_type": "Bearer", "id_token": self.sign(claims)}

    def answer(self, path: str, form: dict[str, str], authorization: str) -> tuple[int, Any]:
        self.asked.append(path)
        if self.down:
            return 503, {}
        if path == "/.well-known/openid-configuration":
            known = {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/keys",
                "end_session_endpoint": f"{self.issuer}/leave",
                **({"userinfo_endpoint": f"{self.issuer}/me"} if self.userinfo else {}),
            }
            return 200, {**known, **self.discovery}
        if path == "/keys":
            return 200, {"keys": [each.as_dict(private=False) for each in self.keys]}
        if path == "/me":
            return 200, self.userinfo
        return self.token(form, authorization)


@contextmanager
def provider() -> Iterator[Provider]:
    made = Provider()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.reply({})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            self.reply({name: values[0] for name, values in parse_qs(body).items()})

        def reply(self, form: dict[str, str]) -> None:
            status, told = made.answer(urlsplit(self.path).path, form, self.headers.get("authorization", ""))
            body = json.dumps(told).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.issuer = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()


def none_signed(claims: dict[str, Any]) -> str:
    """A token that says that nothing signs it."""
    parts = ({"alg": "none"}, claims)
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts) + "."


def signed_with_secret(claims: dict[str, Any]) -> str:
    """A token that the client's own secret signs."""
    return jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(SECRET.ljust(32)), algorithms=["HS256"])
