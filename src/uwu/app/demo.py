"""``uwu demo``: the simulated organisation, the whole loop on it, and what was found, held against the ledger."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text

from uwu.app.cli import look
from uwu.kernel import codec
from uwu.kernel.domain import Answer
from uwu.kernel.errors import Conflict, Misconfigured

if TYPE_CHECKING:
    from uwu.app.cli.session import Session
    from uwu.sim import Organisation, Verdict

MARK = ".demo"
"""A home that the demo made, and may replace."""
KEPT = ("UWU_HOME", "UWU_DEBUG", "UWU_HTTP_")
"""What of uwu's own environment goes for the demo too."""


def home_of(folder: Path | None) -> Path:
    """Where the demo's home lies."""
    given = folder or (Path(os.environ["UWU_HOME"]) if os.environ.get("UWU_HOME") else Path(".uwu-demo"))
    return given.expanduser().resolve()


def make_fresh(home: Path) -> None:
    """Makes ``home`` an empty folder that is marked as the demo's.

    Raises ``Conflict`` where it holds what no demo made, or where an earlier demo still serves it, and
    ``Misconfigured`` where it cannot be made.
    """
    if home.exists() and not (home / MARK).is_file() and not (home.is_dir() and _is_empty(home)):
        raise Conflict(
            f"{home} is a home of your own or holds other files; the demo would replace them",
            code="demo-home",
            place=str(home),
            hint="name another folder with --folder, or unset UWU_HOME",
        )
    try:
        if (home / "server.lock").exists():
            from uwu.app.serve import only_server

            with only_server(home):
                shutil.rmtree(home)
        elif home.exists():
            shutil.rmtree(home)
        home.mkdir(parents=True, mode=0o700)
        (home / MARK).touch()
    except OSError as error:
        raise Misconfigured(
            f"the demo's home cannot be made anew: {error.strerror or error}",
            code="demo-home",
            place=str(error.filename or home),
            hint="name a folder that may be written with --folder",
        ) from None


def forget_the_outside() -> None:
    """Lets this process and its children know nothing of a person's own database, lake, AWS profiles or proxy."""
    for name in [n for n in os.environ if n.startswith(("UWU_", "AWS_")) and not n.startswith(KEPT)]:
        del os.environ[name]
    os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"


def _is_empty(folder: Path) -> bool:
    return next(folder.iterdir(), None) is None


class _Stages:
    """How long each stage took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._began = time.perf_counter()

    @contextlib.contextmanager
    def time(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - began, 2)

    def total(self) -> dict[str, float]:
        return {**self.seconds, "total": round(time.perf_counter() - self._began, 2)}


def run(
    session: Session, home: Path, *, once: bool, seed: int, accounts: int, resources: int, port: int | None
) -> Answer | int:
    """Builds, syncs, judges and tells; serves the console unless ``once``."""
    from uwu import sim

    stages = _Stages()
    make_fresh(home)
    forget_the_outside()
    session.home = home
    with contextlib.ExitStack() as stack:
        with stages.time("start"):
            server = stack.enter_context(sim.MotoServer())
        with stages.time("simulate"), _progress(session) as progress:
            organisation = sim.build(
                server.url, home, seed=seed, accounts=accounts, resources=resources, progress=progress
            )
        sim.write_home(home, organisation)
        os.environ.update(organisation.credentials)
        with stages.time("sync"):
            session.run("sync")
        with stages.time("judge"):
            told, verdict = _measure(session, organisation)
        session.close()
        told["seconds"] = stages.total()
        status = 0 if _holds(verdict) else 1
        if once:
            return Answer(told, look.render(*_story(told, verdict)), exit_code=status)
        session.out.print(*_story(told, verdict), sep="\n", markup=False)
        _serve(session, home, port)
    return status


@contextlib.contextmanager
def _progress(session: Session) -> Iterator[Any]:
    if session.json or not session.err.is_terminal:
        session.err.print("Building the simulated organisation", markup=False)
        yield lambda _what, _done, _total: None
        return
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(finished_text="[green]✓"),
        TextColumn("{task.description}", style="bold"),
        BarColumn(bar_width=24),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=session.err) as bars:
        task = bars.add_task("Building the simulated organisation", total=None)
        yield lambda _what, done, total: bars.update(task, completed=done, total=total)
        bars.update(task, completed=1, total=1)


def _measure(session: Session, organisation: Organisation) -> tuple[dict[str, Any], Verdict]:
    """Asks the API for everything that was found, and judges it against the ledger."""
    from uwu.sim import judge, judge_owners

    status = session.get("/status")
    findings: list[dict[str, Any]] = []
    after = ""
    while True:
        page = session.get("/findings", limit=500, after=after)
        findings += page["items"]
        after = page["after"]
        if not after:
            break
    verdict = judge(organisation.ledger, findings, organisation.postures)
    events = session.post("/query", {"sql": "select count(*) from events"})["rows"][0][0]
    settled = session.post("/query", {"sql": "select subject, owner from ownership", "max_rows": 100_000})["rows"]
    owners = judge_owners(organisation.owners, dict(settled))
    owned = 100.0 * status["owned"] / status["ownable"] if status["ownable"] else 0.0
    told = {
        "accounts": status["accounts"],
        "regions": len(organisation.regions),
        "resources": status["resources"],
        "relations": status["relations"],
        "entities": status["entities"],
        "declarations": status["declarations"],
        "events": events,
        "findings": len(findings),
        "owned_pct": round(owned, 2),
        "owners_known": owners.known,
        "owners_right": owners.right,
        "owners_unowned": owners.unowned,
        "owners_wrong": owners.wrong,
        "drifts_seeded": verdict.drifts_seeded,
        "drifts_found": verdict.drifts_found,
        "drifts_explained": verdict.drifts_explained,
        "false_findings": verdict.false_findings,
        "postures_planted": verdict.postures_planted,
        "postures_found": verdict.postures_found,
        "postures_false": verdict.postures_false,
        "missing": verdict.missing,
        "wrong": verdict.wrong,
        "false": verdict.false,
    }
    told["story"] = _worst(session, findings)
    return told, verdict


def _worst(session: Session, findings: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The story of the worst finding: the API gives that one first."""
    if not findings:
        return None
    story = session.get("/explain", subject=findings[0]["subject"])
    return {
        "subject": story["subject"],
        "title": story["title"],
        "type_title": story["type_title"],
        "account": story["account_name"],
        "region": story["region"],
        "finding": findings[0]["id"],
        "sentences": [{"about": s["about"], "text": s["text"], "at": s["at"]} for s in story["sentences"]],
    }


def _holds(verdict: Verdict) -> bool:
    drift = verdict.drifts_explained == verdict.drifts_seeded and verdict.false_findings == 0
    return drift and verdict.postures_found == verdict.postures_planted and verdict.postures_false == 0


def _story(told: dict[str, Any], verdict: Verdict) -> list[Text]:
    seconds = told["seconds"]
    lines = [
        Text.assemble(
            (f"{told['resources']} resources", "bold"),
            f" in {told['accounts']} accounts and {told['regions']} regions, {told['owned_pct']:.1f}% owned; "
            f"{told['events']} CloudTrail events, {told['entities']} entities. {seconds['total']:.0f} s",
        ),
        Text.assemble(
            (f"{told['drifts_explained']} of {told['drifts_seeded']}", "bold"),
            f" changes made by hand were found and explained; {told['false_findings']} false findings",
        ),
        Text.assemble(
            (f"{told['postures_found']} of {told['postures_planted']}", "bold"),
            f" things built wrongly were found by rules; {told['postures_false']} false findings",
        ),
    ]
    for name, entries in (("missing", verdict.missing), ("wrong", verdict.wrong), ("false", verdict.false)):
        lines += [Text(f"  {name}: {entry}", style="red") for entry in entries]
    story = told["story"]
    if story is not None:
        lines.append(Text())
        lines.append(
            Text.assemble(
                (story["title"], "bold"), f"  {story['type_title']}", (f"  {story['account']} {story['region']}", "dim")
            )
        )
        for sentence in story["sentences"]:
            at = f"  {codec.parse_time(sentence['at']):%Y-%m-%d %H:%M} UTC" if sentence["at"] else ""
            style = "cyan" if sentence["about"] == "fix" else ""
            lines.append(Text.assemble((f"{sentence['about']:>9}  ", "dim"), (sentence["text"], style), (at, "dim")))
    return lines


def _serve(session: Session, home: Path, port: int | None) -> None:
    from uwu.app.cli.home import show_admin
    from uwu.app.serve import serve

    def started(info: Any) -> None:
        session.out.print()
        session.out.print(f"The console is at {info.url}  (Ctrl-C ends the demo)", markup=False)
        session.out.print(f"Ask it yourself:  UWU_HOME={home} uwu findings", markup=False, style="dim")
        session.out.print(
            f"Plan a repair on a finding's page, and approve it as somebody else:  UWU_HOME={home} uwu plan approve 1",
            markup=False,
            style="dim",
        )

    terminal = session.err.is_terminal and not session.json
    on_admin = (lambda token: show_admin(session, token)) if terminal else None
    serve(home, port=port, on_start=started, on_admin=on_admin)
