"""Commands that look after an installation: the audit chain, completion."""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated, Any, Literal
from urllib.parse import urlencode

import msgspec
from cyclopts import App, Parameter
from rich.text import Text

from uwu.app.cli import look
from uwu.kernel import codec
from uwu.kernel.audit import Entry, export, keys
from uwu.kernel.audit import checkpoints as signed
from uwu.kernel.audit.checkpoints import Bad, Checkpoint
from uwu.kernel.domain import Answer, Client
from uwu.kernel.errors import BadInput

Here = Annotated[Client, Parameter(parse=False)]
MARKS = 2000
"""So many checkpoints are compared with a server's chain: enough to name the place, and they fit one request."""

audit = App(name="audit", help="Verify, read, sign and export the audit chain.", help_format="plaintext")


@audit.command
def verify(
    *, checkpoints: Path | None = None, key: Path | None = None, file: Path | None = None, client: Here
) -> Answer:
    """Walk the whole chain and name the first entry that was changed, removed, added or moved.

    It is compared with the signed checkpoints that the server keeps, or with those of --checkpoints.

    Parameters
    ----------
    checkpoints
        A copy of the checkpoints, one JSON object a line.
    key
        The public key that signed them, as PEM; by default the server tells its own.
    file
        An export as JSON lines instead of the chain itself: needs no server and no home.
    """
    if file is None and checkpoints is None:
        if key is not None:
            raise BadInput("--key goes with --checkpoints", code="usage", hint="uwu audit key prints the server's own")
        return _told(client.get("/audit/verify"))
    marks, bad = _marks(checkpoints, key, client, offline=file is not None)
    if file is None:
        few = marks if len(marks) <= MARKS else marks[:: len(marks) // MARKS + 1] + marks[-1:]
        found = client.post("/audit/verify", {"marks": [{"seq": one.seq, "hash": one.hash} for one in few]})
    else:
        with _opened(file) as lines:
            found = codec.builtins(export.verify_lines(lines, {one.seq: one.hash for one in marks}))
    first_bad = found["first_bad"]
    agreed = [one for one in marks if first_bad is None or one.seq < first_bad]
    found |= {
        "checkpoints": len(agreed),
        "signed_seq": agreed[-1].seq if agreed else 0,
        "signed_at": codec.iso(agreed[-1].at) if agreed else None,
        "bad_checkpoint": bad.number if bad is not None else None,
        "checkpoint_reason": bad.reason if bad is not None else "",
    }
    return _told(found)


def _marks(
    path: Path | None, key: Path | None, client: Client, *, offline: bool
) -> tuple[list[Checkpoint], Bad | None]:
    if path is None:
        return [], None
    if key is None and offline:
        raise BadInput("--checkpoints needs the --key that signed them", code="usage", hint="uwu audit key > audit.pem")
    with _opened(path) as lines:
        held = [line.rstrip(b"\n") for line in lines]
    if key is None:
        pem, place = client.get("/audit/key")["pem"], ""
    else:
        with _opened(key) as lines:
            pem, place = b"".join(lines).decode("utf-8", "replace"), str(key)
    public = keys.read_public(pem, place)
    return signed.check(held, {keys.id_of(public): public})


@contextmanager
def _opened(path: Path) -> Generator[IO[bytes]]:
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise BadInput(
            f"it cannot be read: {error.strerror}", code="file-unreadable", place=str(path), hint="name a file"
        ) from None


def _told(verdict: dict[str, Any]) -> Answer:
    lines: list[str] = []
    bad, count = verdict["first_bad"], verdict["entries"]
    if bad is not None:
        lines.append(f"Entry {bad} does not hold: {verdict['reason']}. The {count:,} before it do.")
    elif count == 0:
        lines.append("The audit is empty.")
    else:
        held = "The only entry holds" if count == 1 else f"All {count:,} entries hold"
        lines.append(f"{held}. Head {verdict['head']}")
    if verdict["bad_checkpoint"] is not None:
        lines.append(f"Checkpoint {verdict['bad_checkpoint']} does not hold: {verdict['checkpoint_reason']}.")
    elif verdict["checkpoints"]:
        when, number = look.ago(verdict["signed_at"]), verdict["checkpoints"]
        agree = "The checkpoint agrees" if number == 1 else f"All {number:,} checkpoints agree"
        lines.append(f"{agree}: signed up to entry {verdict['signed_seq']:,}, {when}.")
    else:
        lines.append("No checkpoint says how long the chain was, or that it was not written anew.")
    failed = bad is not None or verdict["bad_checkpoint"] is not None
    return Answer(verdict, "\n".join(lines), exit_code=1 if failed else 0)


@audit.command(name="list")
def list_(
    *,
    actor: str = "",
    action: str = "",
    subject: str = "",
    since: str = "",
    until: str = "",
    limit: int = 50,
    client: Here,
) -> Answer:
    """List what was done, the latest first.

    Parameters
    ----------
    actor
        Who did it: user:default/mira.
    action
        plan.approve; or all of a sort: 'plan.*'.
    subject
        To what: a urn, a reference, an id.
    since
        From this time or day on: 2026-03-10, 2026-03-10T14:00:00Z.
    until
        Before this time or day.
    limit
        How many at most, up to 500.
    """
    asked = _asked(actor=actor, action=action, subject=subject, since=since, until=until)
    page = client.get("/audit", limit=limit, **asked)
    rows = [
        (
            str(e["seq"]),
            look.when(e["at"]),
            e["actor"],
            e["action"],
            Text(e["subject"]),
            Text(look.value(e["detail"]) if e["detail"] else "", style="dim"),
        )
        for e in page["items"]
    ]
    if not rows:
        return Answer(page, "No entry is like that." if asked else "The audit is empty: nothing was done yet.")
    return Answer(page, look.render(look.table(("no", "when", "who", "did", "to", "with"), rows, numbers=("no",))))


def _asked(**given: str) -> dict[str, str]:
    return {name: value for name, value in given.items() if value}


@audit.command(name="export")
def export_(
    *,
    format: Literal["jsonl", "csv"] = "jsonl",
    actor: str = "",
    action: str = "",
    subject: str = "",
    since: str = "",
    until: str = "",
    output: Path | None = None,
    client: Here,
) -> Answer | int:
    """Write the audit as JSON lines, which anyone can verify, or as CSV. The oldest first, as it comes.

    Parameters
    ----------
    format
        jsonl holds all that verifies it; csv is for a spreadsheet.
    actor
        Who did it: user:default/mira.
    action
        plan.approve; or all of a sort: 'plan.*'.
    subject
        To what: a urn, a reference, an id.
    since
        From this time or day on: 2026-03-10, 2026-03-10T14:00:00Z.
    until
        Before this time or day.
    output
        The file to write, which appears once it is whole; by default standard output.
    """
    asked = _asked(actor=actor, action=action, subject=subject, since=since, until=until)
    lines = client.lines("/audit/export" + (f"?{urlencode(asked)}" if asked else ""))
    count = 0

    def counted() -> Iterator[Any]:
        nonlocal count
        for line in lines:
            count += 1
            yield line

    if format == "csv":
        pieces = export.as_csv([msgspec.convert(line, Entry)] for line in counted())
    else:
        pieces = (codec.canonical(line) + b"\n" for line in counted())
    if output is None:
        for piece in pieces:
            sys.stdout.buffer.write(piece)
        return 0
    part = output.with_name(output.name + ".part")
    try:
        with part.open("wb") as file:
            for piece in pieces:
                file.write(piece)
        part.replace(output)
    except OSError as error:
        raise BadInput(
            f"it cannot be written: {error.strerror}", code="file-unwritable", place=str(output), hint="name another"
        ) from None
    finally:
        part.unlink(missing_ok=True)
    return Answer({"entries": count, "output": str(output)}, f"{count:,} entries in {output}")


@audit.command
def checkpoint(*, client: Here) -> Answer:
    """Sign where the chain stands now, and keep that outside the database."""
    made = client.post("/audit/checkpoint")
    if made is None:
        return Answer(made, "The audit is empty: there is nothing to sign.")
    text = f"Checkpoint {made['number']} signs entry {made['seq']:,} ({look.ago(made['at'])}, key {made['key']})."
    return Answer(made, text)


@audit.command(name="key")
def key_(*, client: Here) -> Answer:
    """Print the public key of the checkpoints, as PEM."""
    told = client.get("/audit/key")
    return Answer(told, told["pem"])


def completion(shell: Literal["bash", "zsh", "fish"]) -> Answer:
    """Print the completion script of a shell.

    For bash: uwu completion bash > ~/.local/share/bash-completion/completions/uwu
    """
    from uwu.app.cli import build

    script = build().generate_completion(shell=shell)
    return Answer({"shell": shell, "script": script}, script)
