"""Where a server listens, whose word it takes for where a browser is, and who is told the first admin's token."""

from __future__ import annotations

import asyncio
import datetime
import os
import pty
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from litestar.testing import TestClient

from tests.app.test_serve import until
from uwu.app import forwarded, identify
from uwu.app.asgi import create_app
from uwu.app.cli import run
from uwu.app.client import ApiClient, Remote, connect
from uwu.app.serve import read_server_info, refuse_plain, serve
from uwu.kernel import codec
from uwu.kernel.errors import Misconfigured, Unavailable
from uwu.kernel.identity import principals, secret
from uwu.kernel.runtime import Kernel
from uwu.kernel.settings import HttpSettings, load

SERVE = """
import sys
from pathlib import Path
from uwu.app.serve import serve
serve(Path(sys.argv[1]), port=0)
"""


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "uwu.example.com"])
def test_it_does_not_listen_to_others_in_plain_text(sqlite_kernel: Kernel, host: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        serve(sqlite_kernel.settings.home_path, host, 0)
    told = caught.value.problem
    assert told.code == "bind-refused" and "tls_certificate" in told.hint and "trusted_proxies" in told.hint
    refuse_plain(host, HttpSettings(trusted_proxies=("10.0.0.1",)))
    refuse_plain(host, HttpSettings(tls_certificate="c", tls_key="k"))


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.9.9.9"])
def test_it_listens_to_this_machine(host: str) -> None:
    refuse_plain(host, HttpSettings())


@pytest.mark.parametrize(
    "section",
    [
        "trusted_proxies = ['proxy.example.com']",
        "tls_key = 'k'",
        "public_url = 'https://x/uwu'",
        "public_url = 'ftp://x'",
    ],
)
def test_settings_that_do_not_fit_are_refused(tmp_path: Path, section: str) -> None:
    (tmp_path / "uwu.toml").write_text(f"[http]\n{section}\n")
    with pytest.raises(Misconfigured) as caught:
        load(tmp_path, {})
    assert caught.value.problem.code == "settings-invalid"


@pytest.mark.parametrize(
    "section", ["issuer = 'http://id.example.com'\nclient_id = 'x'", "issuer = 'https://id.example.com'"]
)
def test_a_provider_in_plain_text_or_without_a_client_is_refused(tmp_path: Path, section: str) -> None:
    (tmp_path / "uwu.toml").write_text(f"[oidc]\n{section}\n")
    with pytest.raises(Misconfigured):
        load(tmp_path, {})


# ---- a proxy's word


def passed(
    peer: str, headers: dict[str, str], *, proxies: tuple[str, ...] = ("10.0.0.0/8",), only: bool = False
) -> Any:
    """What stands behind the layer: the scope, or the status of its refusal."""
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            seen.append(message["status"])

    scope = {
        "type": "http",
        "scheme": "http",
        "client": (peer, 5000),
        "server": ("192.0.2.9", 8420),
        "headers": [(b"host", b"inside"), *((k.encode(), v.encode()) for k, v in headers.items())],
    }
    asyncio.run(forwarded.layer(app, proxies, only=only)(scope, None, send))  # type: ignore[arg-type]
    [found] = seen
    return found


WORD = {"x-forwarded-for": "198.51.100.7", "x-forwarded-proto": "https", "x-forwarded-host": "uwu.example.com"}


def test_a_trusted_proxy_is_believed() -> None:
    found = passed("10.1.2.3", WORD)
    assert (found["scheme"], found["client"][0]) == ("https", "198.51.100.7")
    assert found["headers"] == [(b"host", b"uwu.example.com")]
    assert passed("::ffff:10.1.2.3", WORD)["scheme"] == "https"


@pytest.mark.parametrize("peer", ["127.0.0.1", "11.0.0.1", "", "unix"])
def test_nobody_else_is_believed(peer: str) -> None:
    found = passed(peer, {**WORD, "forwarded": "for=1.2.3.4"})
    assert (found["scheme"], found["client"][0], found["headers"]) == ("http", peer, [(b"host", b"inside")])


def test_what_a_browser_invents_is_not_believed() -> None:
    chain = {"x-forwarded-for": "127.0.0.1, 203.0.113.5, 10.0.0.9", "x-forwarded-proto": "https, http"}
    found = passed("10.1.2.3", chain)
    assert (found["client"][0], found["scheme"]) == ("203.0.113.5", "http")
    assert passed("10.1.2.3", {"x-forwarded-for": "nonsense", "x-forwarded-proto": "gopher"})["client"][0] == "10.1.2.3"


def test_behind_a_proxy_nobody_comes_past_it() -> None:
    assert passed("198.51.100.7", {}, only=True) == 403
    for peer in ("10.0.0.1", "127.0.0.1", "192.0.2.9"):
        assert passed(peer, {}, only=True)["client"][0] == peer


# ---- HTTPS


def certificate(folder: Path) -> None:
    """A certificate of uwu.example.com, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "uwu.example.com")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("uwu.example.com")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
    (folder / "key.pem").write_bytes(key.private_bytes(*form, plain))


def test_a_server_speaks_https_and_commands_of_its_home_know_it(sqlite_kernel: Kernel) -> None:
    home = sqlite_kernel.settings.home_path
    certificate(home)
    (home / "uwu.toml").write_text(
        "[http]\nhost = '0.0.0.0'\ntls_certificate = 'cert.pem'\ntls_key = 'key.pem'\n[schedule]\npaused = ['*']\n"
    )
    process = subprocess.Popen([sys.executable, "-c", SERVE, str(home)])
    try:
        info = until(lambda: read_server_info(home))
        assert info.url.startswith("https://127.0.0.1:")
        until(lambda: _reads(home))
        assert connect(home).get("/whoami")["via"] == "home"
        with pytest.raises(Unavailable):
            ApiClient(Remote(info.url, info.token)).get("/whoami")  # who does not hold the home checks the name
    finally:
        process.terminate()
        process.wait(30)


def _reads(home: Path) -> bool:
    client = connect(home)
    try:
        return isinstance(client.transport, Remote)
    finally:
        client.close()


def test_a_certificate_that_cannot_be_used_is_told(sqlite_kernel: Kernel) -> None:
    home = sqlite_kernel.settings.home_path
    (home / "uwu.toml").write_text("[http]\ntls_certificate = 'none.pem'\ntls_key = 'none.pem'\n")
    with pytest.raises(Misconfigured) as caught:
        serve(home, port=0)
    assert caught.value.problem.code == "tls-invalid" and caught.value.problem.place.endswith("none.pem")


def test_a_token_is_not_sent_in_plain_text() -> None:
    with pytest.raises(Misconfigured) as caught:
        Remote("http://uwu.example.com", "uwu_x")
    assert caught.value.problem.code == "url-insecure"
    Remote("http://uwu.example.com")
    Remote("http://[::1]:8420", "uwu_x")


# ---- the first admin


def at_a_terminal(*arguments: str) -> str:
    """What a command shows at a terminal."""
    main, side = pty.openpty()
    command = [sys.executable, "-c", "from uwu.app.cli import main; main()", *arguments]
    process = subprocess.Popen(command, stdout=side, stderr=side, stdin=side)
    os.close(side)
    shown = bytearray()

    def read() -> None:
        while True:
            try:
                piece = os.read(main, 4096)
            except OSError:
                return
            if not piece:
                return
            shown.extend(piece)

    reader = threading.Thread(target=read)
    reader.start()
    assert process.wait(60) == 0
    reader.join(10)
    os.close(main)
    return shown.decode()


def test_the_first_admin_is_shown_once_and_at_a_terminal_only(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"
    assert run(["--home", str(home), "init"]) == 0
    piped = capfd.readouterr()
    assert "uwu_" not in piped.out + piped.err, "what is piped may be a log"
    first = at_a_terminal("--home", str(home), "init")
    found = secret.TOKEN.search(first)
    assert found is not None and "uwu_" not in at_a_terminal("--home", str(home), "init")
    kernel = Kernel.open(home)
    assert kernel.identities.of_token(found[0]).roles == ("admin", "viewer")
    assert found[0].encode() not in b"".join(path.read_bytes() for path in home.glob("state.db*"))
    kernel.close()

    assert run(["--home", str(home), "access", "bootstrap"]) == 4
    assert "admin-exists" in capfd.readouterr().err
    assert run(["--home", str(home), "--json", "access", "bootstrap", "--again"]) == 0
    second = codec.decode(capfd.readouterr().out)
    assert (
        second["principal"] == principals.BOOTSTRAP
        and secret.is_token(second["secret"])
        and second["secret"] != found[0]
    )


def test_only_the_homes_holder_makes_the_first_admin(sqlite_kernel: Kernel) -> None:
    text = principals.bootstrap(sqlite_kernel, identify.local())
    app: Any = create_app(sqlite_kernel)
    with TestClient(app, base_url="http://127.0.0.1:8420") as client:
        write = {"authorization": f"Bearer {text}"}
        refused = client.post("/api/v1/access/bootstrap", json={"again": True}, headers=write)
    assert (refused.status_code, refused.json()["code"]) == (403, "not-the-home")
    sqlite_kernel.identities.forget()
    assert sqlite_kernel.identities.of_token(text).ref == principals.BOOTSTRAP


def test_commands_look_after_services_and_tokens(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    home = str(tmp_path)

    def told(*arguments: str, status: int = 0) -> Any:
        assert run(["--home", home, "--json", *arguments]) == status, capfd.readouterr()
        captured = capfd.readouterr()
        return codec.decode(captured.out or captured.err)

    assert told("whoami")["via"] == "home"
    assert told("access", "service", "create", "deployer", "--group", "platform")["groups"] == [
        "group:default/platform"
    ]
    made = told("token", "create", "ci", "--for", "service:default/deployer", "--scope", "read", "--days", "7")
    assert secret.is_token(made["secret"]) and made["token"]["scopes"] == ["read"]
    assert told("token", "create", "mine", status=2)["error"]["code"] == "token-for-whom"
    [held] = told("token", "list", "--all")
    assert (held["id"], held["name"]) == (made["token"]["id"], "ci")
    assert told("token", "list") == []
    assert told("token", "revoke", held["id"])["revoked_at"]
    assert told("access", "service", "disable", "deployer")["disabled"]
    [service] = told("access", "service", "list")
    assert service["ref"] == "service:default/deployer" and service["disabled"]
    assert told("access", "sessions", "--all") == []
    assert told("access", "enable", "service:default/nobody", status=3)["error"]["code"] == "not-found"
    assert run(["--home", home, "token", "list", "--all"]) == 0 and "revoked" in capfd.readouterr().out
    assert run(["--home", home, "whoami"]) == 0 and "the home itself" in capfd.readouterr().out
