"""Commands that look after an installation: the audit chain, completion."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import App, Parameter
from rich.text import Text

from uwu.app.cli import look
from uwu.kernel.domain import Answer, Client

Here = Annotated[Client, Parameter(parse=False)]

audit = App(name="audit", help="Verify and read the audit chain.", help_format="plaintext")


@audit.command
def verify(*, client: Here) -> Answer:
    """Walk the whole chain and name the first entry that was changed, removed or reordered."""
    verdict = client.get("/audit/verify")
    if verdict["first_bad"] is not None:
        text = (
            f"Entry {verdict['first_bad']} does not hold: {verdict['reason']}. The {verdict['entries']} before it do."
        )
        return Answer(verdict, text, exit_code=1)
    held = "The only entry holds" if verdict["entries"] == 1 else f"All {verdict['entries']} entries hold"
    return Answer(verdict, f"{held}. Head {verdict['head']}")


@audit.command(name="list")
def list_(*, limit: int = 50, client: Here) -> Answer:
    """List the latest entries.

    Parameters
    ----------
    limit
        How many at most, up to 500.
    """
    entries = client.get("/audit", limit=limit)
    rows = [
        (
            str(e["seq"]),
            look.when(e["at"]),
            e["actor"],
            e["action"],
            Text(e["subject"]),
            Text(look.value(e["detail"]), style="dim"),
        )
        for e in entries
    ]
    if not rows:
        return Answer(entries, "The audit is empty: nothing was done yet.")
    return Answer(entries, look.render(look.table(("no", "when", "who", "did", "to", "with"), rows, numbers=("no",))))


def completion(shell: Literal["bash", "zsh", "fish"]) -> Answer:
    """Print the completion script of a shell.

    For bash: uwu completion bash > ~/.local/share/bash-completion/completions/uwu
    """
    from uwu.app.cli import build

    script = build().generate_completion(shell=shell)
    return Answer({"shell": shell, "script": script}, script)
