"""Commands that run: init, sync, serve, worker, demo."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from rich.text import Text

from uwu.app.cli import look
from uwu.app.cli.session import Session
from uwu.kernel.domain import Answer
from uwu.kernel.errors import BadInput

if TYPE_CHECKING:
    from uwu.kernel.runtime import Kernel

Here = Annotated[Session, Parameter(parse=False)]

SETTINGS = """\
# uwu. Every key, its type and its default: docs/reference/settings.md
# Each can be overridden by a variable: UWU_AWS_REGIONS=eu-west-1,us-east-1

organization = "My organisation"

# Folders or files of declared entities; relative ones are under this folder.
estate = ["estate"]

# SQLite in this folder, unless: database_url = "postgresql+psycopg://uwu@db.example.com/uwu"

[aws]
# Credentials come from the standard chain (environment, profile, instance role); no key is ever a setting.
# profile = "management"
role_name = "uwu-observer"
# The role that applies approved plans, never the observer's. Without it nothing is ever written to AWS.
# apply_role_name = "uwu-applier"
regions = ["us-east-1"]

[http]
host = "127.0.0.1"
port = 8420
"""

ESTATE = {
    "teams.yaml": """\
# Who there is. Kinds, fields and references are those of the Backstage catalog.
apiVersion: backstage.io/v1alpha1
kind: Group
metadata:
  name: platform
  title: Platform
spec:
  type: team
  children: []
---
apiVersion: backstage.io/v1alpha1
kind: User
metadata:
  name: you
spec:
  memberOf: [platform]
""",
    "accounts.yaml": """\
# AWS accounts and who owns what nobody else does in them.
apiVersion: uwu.dev/v1alpha1
kind: Account
metadata:
  name: production
spec:
  accountId: "111122223333"
  owner: platform
""",
    "services.yaml": """\
apiVersion: backstage.io/v1alpha1
kind: Component
metadata:
  name: hello
  description: The first service
  # annotations:
  #   uwu.dev/owns: arn:aws:s3:::hello-assets
spec:
  type: service
  lifecycle: production
  owner: platform

# A Terraform state that declares resources, and where CloudTrail delivers:
# ---
# apiVersion: uwu.dev/v1alpha1
# kind: Stack
# metadata: {name: hello}
# spec: {owner: platform, state: "s3://my-states/hello.tfstate"}
# ---
# apiVersion: uwu.dev/v1alpha1
# kind: Trail
# metadata: {name: organisation}
# spec: {source: "s3://my-trail-bucket/AWSLogs"}
""",
}


def init(*, session: Here) -> Answer:
    """Make the home: its settings, an example estate and its database. What is there already is kept."""
    from uwu.kernel.runtime import Kernel

    home = session.home
    made: list[str] = []
    wanted = {home / "uwu.toml": SETTINGS}
    if not (home / "estate").exists():
        wanted |= {home / "estate" / name: text for name, text in ESTATE.items()}
    for path, text in wanted.items():
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.write_text(text)
            made.append(str(path))
    kernel = Kernel.open(home)
    try:
        admin = _first_admin(session, kernel)
    finally:
        kernel.close()
    text = "\n".join(
        [
            *(f"wrote {path}" for path in made),
            f"The home is {home}" + ("" if made else "; everything was there already"),
            "Next: edit uwu.toml and the estate, then run uwu sync",
        ]
    )
    if admin:
        show_admin(session, admin)
    return Answer({"home": str(home), "made": made}, text)


def _first_admin(session: Session, kernel: Kernel) -> str:
    """The token of the first admin, where there is none and a person looks: a log must never hold it."""
    from uwu.app import identify
    from uwu.kernel.identity import principals

    if session.json or not session.err.is_terminal or principals.admin_exists(kernel):
        return ""
    return principals.bootstrap(kernel, identify.local())


def show_admin(session: Session, token: str) -> None:
    """Shows the first admin's token at the terminal, and nowhere else."""
    told = "The bootstrap admin's token, shown this once. Sign in to the console with it; keep it as you keep a key."
    again = "uwu access bootstrap --again makes another in its place."
    session.err.print(Text.assemble(told, "\n", (token, "bold"), "\n", (again, "dim")))


def sync(
    domain: str | None = None,
    *,
    account: Annotated[list[str] | None, Parameter(negative="")] = None,
    region: Annotated[list[str] | None, Parameter(negative="")] = None,
    type: Annotated[list[str] | None, Parameter(negative="")] = None,
    session: Here,
) -> Answer:
    """Read what is declared, observe what is there, take in events, and judge the difference. Changes nothing in AWS.

    Parameters
    ----------
    domain
        Only one domain, such as catalog, inventory, trail or iac.
    account
        Of the inventory only this account; may be given several times.
    region
        Of the inventory only this region; may be given several times.
    type
        Of the inventory only this type or pattern, such as aws_ec2_*; may be given several times.
    """
    given = {"domain": domain, "accounts": account, "regions": region, "types": type}
    result = session.run("sync", {name: value for name, value in given.items() if value})
    failed = any("problem" in told for told in result.values() if isinstance(told, dict))
    return Answer(result, look.render(*_synced(result)), exit_code=int(failed))


def _synced(result: dict[str, Any]) -> list[Any]:
    parts: list[Any] = []
    for job, told in result.items():
        if isinstance(told, dict) and "problem" in told:
            parts += _told(told["problem"], f"{job} failed", "red")
        for problem in (told.get("problems") or []) if isinstance(told, dict) else []:
            parts += _told(problem, "", "yellow", job)
    drift = result.get("drift") or {}
    owned = result.get("ownership") or {}
    if drift:
        told = (
            f"{drift['open']} findings open ({drift['opened']} new, {drift['closed']} closed, {drift['stale']} stale)"
        )
        if owned.get("resources"):
            told += f"; {owned['owned_pct']:.1f}% of {owned['resources']} resources owned"
        parts.append(Text(told))
        if drift["open"]:
            parts.append(Text("Next: uwu findings", style="dim"))
    return parts


def _told(problem: dict[str, Any], head: str, style: str, otherwise: str = "") -> list[Text]:
    """A problem: what is wrong, its code, where, and what to do."""
    start = ": ".join(part for part in (head, problem.get("place") or otherwise) if part)
    lines = [Text.assemble((f"{start}: ", style), problem.get("message", ""), (f"  {problem.get('code', '')}", "dim"))]
    if problem.get("hint"):
        lines.append(Text(f"  hint {problem['hint']}", style="dim"))
    return lines


def serve(*, host: str | None = None, port: int | None = None, session: Here) -> int:
    """Serve the console and the API, and run jobs, until Ctrl-C.

    Parameters
    ----------
    host
        Where to listen instead of http.host.
    port
        The port instead of http.port; 0 takes a free one.
    """
    from uwu.app.cli import logs
    from uwu.app.serve import serve as serve_

    logs.configure(service=True)
    serve_(
        session.home,
        host,
        port,
        on_start=lambda info: session.err.print(f"uwu serves {info.url} (Ctrl-C ends it)"),
        on_admin=(lambda token: show_admin(session, token)) if session.err.is_terminal and not session.json else None,
    )
    return 0


def worker(*, session: Here) -> int:
    """Run jobs until Ctrl-C, beside a server on another machine."""
    from uwu.app.cli import logs
    from uwu.app.worker import main

    logs.configure(service=True)
    main(session.home)


def demo(
    *,
    once: Annotated[bool, Parameter(negative="")] = False,
    seed: int = 7,
    accounts: int = 12,
    resources: int = 650,
    port: int | None = None,
    folder: Path | None = None,
    session: Here,
) -> Answer | int:
    """Simulate an organisation on real AWS APIs, run the whole loop on it, tell what was found, and open the console.

    Parameters
    ----------
    once
        Do not stay and serve the console.
    seed
        The same seed gives the same organisation.
    accounts
        How many AWS accounts it has.
    port
        The console's port instead of http.port; 0 takes a free one.
    resources
        About how many resources its teams declare.
    folder
        Where the demo's home is made anew; by default --home, $UWU_HOME, or .uwu-demo here.
    """
    from uwu.app import demo as demo_

    if session.json and not once:
        raise BadInput("--json goes with --once: a demo that stays has no end to tell", hint="uwu demo --once --json")
    home = demo_.home_of(folder or session.given_home)
    return demo_.run(session, home, once=once, seed=seed, accounts=accounts, resources=resources, port=port)
