"""The ``cloud`` block against a real ``uwu serve`` with TLS, found by service discovery; many clients at once; and that
a secret of a state stands nowhere."""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import ssl
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.acceptance.terraform import Project, declare, http_project, service
from tests.acceptance.test_terraform_http import MODULE, SECRET
from tests.acceptance.world import UWU, environment, opened, uwu
from tests.app.front import ask, serving
from uwu.app.serve import ServerInfo, read_server_info
from uwu.domains.iac import state_store
from uwu.kernel import migrate
from uwu.kernel.identity import ANONYMOUS
from uwu.kernel.runtime import Kernel

CONTENDING = int(os.environ.get("UWU_SOAK_TERRAFORMS") or 12)

PATIENCE = 60 + 15 * CONTENDING
"""Seconds for the last of them: Terraform looks for the lock every sixteen seconds."""


def certificate(folder: Path) -> None:
    """A certificate of ``localhost`` that has signed itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    pem = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(*pem))


@dataclass
class Served:
    """A real server with TLS, and one who owns the stack ``payments``."""

    home: Path
    kernel: Kernel
    info: ServerInfo
    log: Path
    token: str
    ref: str

    @property
    def host(self) -> str:
        return self.info.url.replace("https://127.0.0.1", "localhost")

    def tag(self, name: str, tag: str) -> None:
        """Tags a workspace, as its page at HCP Terraform would."""
        trusted = ssl.create_default_context(cafile=str(self.home / "cert.pem"))
        connection = http.client.HTTPSConnection(self.host, context=trusted, timeout=30)
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/vnd.api+json"}
        connection.request("GET", f"/iac/tfe/v2/organizations/default/workspaces/{name}", headers=headers)
        id = json.loads(connection.getresponse().read())["data"]["id"]
        body = json.dumps({"data": [{"type": "tags", "attributes": {"name": tag}}]})
        connection.request("POST", f"/iac/tfe/v2/workspaces/{id}/relationships/tags", body, headers)
        assert connection.getresponse().status == 204
        connection.close()

    def project(self, folder: Path, workspaces: str) -> Project:
        folder.mkdir()
        (folder / "backend.tf").write_text(
            f'terraform {{\n  cloud {{\n    hostname = "{self.host}"\n    organization = "default"\n'
            f"    workspaces {{\n      {workspaces}\n    }}\n  }}\n}}\n"
        )
        (folder / "terraform.rc").write_text(f'credentials "{self.host}" {{\n  token = "{self.token}"\n}}\n')
        env = {"TF_CLI_CONFIG_FILE": str(folder / "terraform.rc"), "SSL_CERT_FILE": str(self.home / "cert.pem")}
        made = Project(folder, env)
        made.write(MODULE)
        return made


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    home = tmp_path / "home"
    home.mkdir()
    certificate(home)
    (home / "uwu.toml").write_text(
        '[http]\ntls_certificate = "cert.pem"\ntls_key = "key.pem"\n'
        '[telemetry]\naccess_log = true\nlog_level = "debug"\n[schedule]\nsync_minutes = 0\n'
    )
    kernel = opened(home)
    migrate.upgrade(kernel.db)
    declare(kernel, "payments", "payments")
    ref, token = service(kernel, "deployer", groups=["group:default/payments"])
    log = tmp_path / "serve.log"
    with log.open("wb") as out:
        process = subprocess.Popen([UWU, "serve", "--port", "0"], env=environment(home, None), stdout=out, stderr=out)
    try:
        deadline = time.monotonic() + 60
        while (info := read_server_info(home)) is None or info.pid != process.pid:
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield Served(home, kernel, info, log, token, ref)
    finally:
        process.terminate()
        process.wait(30)
        kernel.close()


@pytest.mark.timeout(300)
def test_terraform_finds_it_makes_its_workspaces_and_tells_them_apart_by_tags(served: Served, tmp_path: Path) -> None:
    declare(served.kernel, "payments-prod", "payments")
    made = served.project(tmp_path / "first", 'name = "payments"')
    made.run("init")
    served.tag("payments", "billing")
    project = served.project(tmp_path / "project", 'tags = ["billing"]')
    project.run("init")
    project.run("apply", "-auto-approve")
    project.run("workspace", "new", "payments-prod")
    project.run("apply", "-auto-approve", "-var", "size=large")
    listed = re.findall(r"payments\S*", project.run("workspace", "list").out)
    assert listed == ["payments", "payments-prod"]
    project.run("workspace", "select", "payments")
    assert project.run("plan", "-detailed-exitcode").status == 0
    kept = project.run("workspace", "delete", "payments-prod", check=False)
    assert kept.status == 1, "it still manages resources"
    project.run("workspace", "select", "payments-prod")
    project.run("destroy", "-auto-approve")
    project.run("workspace", "select", "payments")
    project.run("workspace", "delete", "payments-prod")
    with served.kernel.db.read() as connection:
        states = {state.name: state for state in state_store.listed(connection).items}
    assert (
        states["payments"].tags == states["payments-prod"].tags == {"billing": ""}
        and states["payments-prod"].version is None
    )
    assert states["payments"].version is not None and states["payments"].version.via == "cloud"


@pytest.mark.timeout(300)
def test_a_secret_of_a_state_stands_in_no_log_page_audit_entry_or_file(served: Served, tmp_path: Path) -> None:
    project = served.project(tmp_path / "project", 'name = "payments"')
    project.run("init")
    project.run("apply", "-auto-approve")
    project.run("apply", "-auto-approve", "-var", f"password={SECRET}-changed")
    assert project.run("output", "-raw", "password").out == f"{SECRET}-changed"

    env = environment(served.home, None)
    state = ("iac", "state")
    asked = [
        (*state, "list"),
        (*state, "show", "default/payments"),
        (*state, "versions", "default/payments"),
        (*state, "diff", "default/payments"),
        ("sync", "iac"),
        ("query", "select * from declarations"),
        ("audit", "list", "--limit", "500"),
    ]
    shown: list[str] = []
    for command in asked:
        said = uwu(env, *command)
        assert said.status == 0, (command, said.err)
        shown += [said.out, said.err]
    said = uwu(env, *state, "diff", "default/payments", "--json")
    shown.append(said.out)
    diff = said.json
    assert {each["address"] for each in diff["changes"]} >= {"terraform_data.login", "output.password"}
    for page in ("/states", "/states/default/payments", "/states/default/payments?before=1&after=2", "/audit"):
        with serving(served.kernel) as url:
            answer = ask(url, "GET", page)
        assert answer.status == 200
        shown.append(answer.body.decode())
    text = "\n".join(shown)
    assert "terraform_data.login" in text and SECRET not in text
    for needle in (SECRET.encode(), base64.b64encode(SECRET.encode()), SECRET.encode("utf-16-le")):
        files = [path for path in served.home.rglob("*") if path.is_file()] + [served.log]
        assert {path.name for path in files} >= {"state.db", "state.db-wal", "serve.log"}
        assert [path.name for path in files if needle in path.read_bytes()] == []
    log = served.log.read_text()
    assert "/iac/uploads/" in log and "signature" not in log and served.token not in log


@pytest.mark.timeout(120 + PATIENCE)
def test_of_many_terraforms_one_works_at_a_time_and_none_is_lost(sqlite_kernel: Kernel, tmp_path: Path) -> None:
    """Each adds one output to the same state; ``make soak`` sends fifty."""
    kernel = sqlite_kernel
    declare(kernel, "payments", "payments")
    _, token = service(kernel, "deployer", groups=["group:default/payments"])
    with serving(kernel, principal=ANONYMOUS) as url:
        first = http_project(tmp_path / "first", url, "default/payments", token)
        first.write('resource "terraform_data" "shared" {}\n')
        first.run("init")
        first.run("apply", "-auto-approve")

        def imports(number: int) -> str:
            project = http_project(tmp_path / f"p{number}", url, "default/payments", token)
            project.write(f'resource "terraform_data" "mine{number}" {{}}\nresource "terraform_data" "shared" {{}}\n')
            project.run("init")
            return project.run(
                "import", "-lock-timeout=15m", f"terraform_data.mine{number}", f"id-{number}", seconds=PATIENCE
            ).text

        with ThreadPoolExecutor(CONTENDING) as pool:
            told = list(pool.map(imports, range(CONTENDING)))
        assert all("Import successful" in each for each in told)
        addresses = set(first.run("state", "list").out.split())
    assert addresses == {"terraform_data.shared", *(f"terraform_data.mine{n}" for n in range(CONTENDING))}
    with kernel.db.read() as connection:
        kept = state_store.get(connection, "default/payments")
        page = state_store.versions(connection, kept.id, limit=500)
    assert kept.lock is None and page.total == CONTENDING + 1
    serials = [version.serial for version in page.items]
    assert serials == sorted(set(serials), reverse=True) and [v.resources for v in page.items] == list(
        range(CONTENDING + 1, 0, -1)
    )
