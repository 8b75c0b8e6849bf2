"""What a run says on a pull request, through a port."""

from __future__ import annotations

from typing import Protocol

import msgspec

from uwu.domains.iac.blast import Radius
from uwu.domains.iac.runs.store import CLEAN, FAILED, Document, Log, Run
from uwu.kernel import domain
from uwu.kernel.runtime import Kernel

LISTED = 20


class Comment(msgspec.Struct, frozen=True, kw_only=True):
    """One comment: of each stack and pull request there is one, which later runs replace."""

    repository: str
    """``owner/name``."""
    number: int
    """Of the pull request."""
    commit: str
    key: str
    """What tells it from the comments of other stacks: ``uwu:stack:default/payments``."""
    text: str
    """Markdown, without a secret."""


class Comments(Protocol):
    """Port to whoever comments; ``iac.comments`` names a ``module:function`` (Kernel) -> Comments."""

    def put(self, comment: Comment, log: Log) -> None:
        """Puts the comment where the one of its key stands, or makes it. It may be called again after a kill.

        Raises ``UwuError``; the run is as it is then, and its log tells that nobody was told.
        """
        ...


class Kept:
    """Keeps what would be said in the run's log, where nothing speaks with the code host."""

    def put(self, comment: Comment, log: Log) -> None:
        """One line for each of the comment's."""
        log.say(f"comment for {comment.repository}#{comment.number}:")
        for line in comment.text.splitlines():
            log.say(f"  {line}")


def kept(_kernel: Kernel) -> Comments:
    """The default."""
    return Kept()


def of(kernel: Kernel) -> Comments:
    """The port of this home."""
    return domain.load(kernel.settings.iac.comments)(kernel)


def text(run: Run, found: Document | None, base_url: str = "") -> str:
    """What is said of a run, in Markdown."""
    head = f"### `{run.stack}` at `{run.revision[:12] or 'head'}`"
    link = f"[run {run.number}]({base_url}/runs/{run.number})" if base_url else f"run {run.number}"
    if run.status == FAILED or found is None:
        return f"{head}\n\n**The plan failed**: {_plain(run.why)}\n\n{link}"
    if run.status == CLEAN:
        return f"{head}\n\nNothing would change.\n\n{link}"
    counts = found.plan.counts
    lines = [
        head,
        "",
        f"**{counts['create']} to create, {counts['update']} to update, {counts['replace']} to replace, "
        f"{counts['delete']} to destroy**",
        "",
    ]
    lines += [f"- {each.op.value} `{each.address}`" for each in found.plan.effective[:LISTED]]
    if len(found.plan.effective) > LISTED:
        lines.append(f"- and {len(found.plan.effective) - LISTED} more")
    verdict = found.verdict
    told = [*verdict.failed, *verdict.warned]
    if told:
        lines += ["", f"**Policy**: {len(verdict.failed)} stop it, {len(verdict.warned)} to look at"]
        lines += [f"- {v.severity.value} `{v.rule}` {v.address}: {_plain(v.message)}" for v in told[:LISTED]]
    lines += _radius(found.radius)
    return "\n".join([*lines, "", link])


def _radius(radius: Radius) -> list[str]:
    if not radius.gone:
        return []
    if not radius.total:
        known = "nothing depends" if radius.complete else "nothing is known to depend"
        return ["", f"**Blast radius**: {known} on what it destroys."]
    owners = ", ".join(f"{owner or 'nobody'} ({count})" for owner, count in radius.owners.items())
    lines = ["", f"**Blast radius**: {radius.total} depend on what it destroys or replaces, owned by {owners}"]
    for each in radius.dependents[:LISTED]:
        hop = each.path[0]
        lines.append(
            f"- {each.category} `{_plain(each.name)}` of {each.owner or 'nobody'}: {hop.kind} ({hop.evidence})"
        )
    return lines


def _plain(text: str) -> str:
    """``text`` on one line, without what Markdown or a mention would make of it."""
    return " ".join(text.split()).replace("`", "'").replace("@", "@\u200b").replace("<", "&lt;")[:500]
