"""A message: a sentence first, then its notices with their rows, as plain text, as HTML, and as a webhook's JSON."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import msgspec

from uwu.kernel import codec
from uwu.kernel.notify.notices import SEVERITIES, Told, plain
from uwu.kernel.settings import Settings

SHOWN = 30
"""Notices that a message spells out; it counts the others and links to them all."""

WORDS = {
    "finding.opened": ("finding opened", "findings opened"),
    "finding.reopened": ("finding is back", "findings are back"),
    "finding.closed": ("finding closed", "findings closed"),
    "finding.stale": ("finding is no longer observed", "findings are no longer observed"),
    "finding.many": ("batch of findings", "batches of findings"),
    "plan.waiting": ("plan waits for approval", "plans wait for approval"),
    "plan.approved": ("plan approved", "plans approved"),
    "plan.rejected": ("plan rejected", "plans rejected"),
    "plan.void": ("plan is void", "plans are void"),
    "plan.expired": ("plan expired", "plans expired"),
    "plan.applied": ("plan applied", "plans applied"),
    "plan.failed": ("plan failed", "plans failed"),
    "break-glass.opened": ("break-glass opened", "break-glasses opened"),
    "break-glass.ended": ("break-glass ended", "break-glasses ended"),
    "sync.failed": ("sync failed", "syncs failed"),
    "source.late": ("source is late", "sources are late"),
    "notice.test": ("test", "tests"),
}
"""Kind -> one of it and many of it; a kind of a domain's own is said by its own name."""


class Message(msgspec.Struct, frozen=True):
    """What leaves by one channel at once."""

    id: str
    """The same at every try: a receiver knows a repeated one by it."""
    channel: str
    address: str
    subject: str
    sentence: str
    notices: tuple[Told, ...]
    base: str
    """The address of the console."""
    organization: str

    @property
    def all_url(self) -> str:
        """The page that lists every notice of this message."""
        return f"{self.base}/notices?message={quote(self.id)}"


def base_url(settings: Settings) -> str:
    """The address of the console, without a slash at its end."""
    host = settings.http.host
    return settings.http.public_url.rstrip("/") or f"http://{f'[{host}]' if ':' in host else host}:{settings.http.port}"


def compose(settings: Settings, id: str, channel: str, address: str, notices: Sequence[Told]) -> Message:
    """The message ``id`` of ``notices``, the worst first."""
    ordered = tuple(sorted(notices, key=lambda n: (SEVERITIES.index(n.severity), n.created_at, n.id)))
    sentence = _sentence(ordered)
    mark = f"[uwu {settings.organization}]" if settings.organization else "[uwu]"
    level = "" if ordered[0].severity == "info" else f" {ordered[0].severity}:"
    return Message(
        id=id,
        channel=channel,
        address=address,
        subject=plain(f"{mark}{level} {sentence}", 180),
        sentence=sentence,
        notices=ordered,
        base=base_url(settings),
        organization=settings.organization,
    )


def _sentence(notices: Sequence[Told]) -> str:
    if len(notices) == 1:
        return notices[0].title.rstrip(".")
    counts = Counter(n.kind for n in notices)
    parts = [f"{count:,} {WORDS.get(kind, (kind, kind))[count != 1]}" for kind, count in counts.most_common()]
    return ", ".join(parts[:4]) + (f" and {sum(c for _, c in counts.most_common()[4:]):,} more" if parts[4:] else "")


def rows(message: Message, notice: Told) -> list[tuple[str, str]]:
    """(label, text) of one notice: what, whose, by whom, since when, where to read on."""
    found = [("kind", f"{WORDS.get(notice.kind, (notice.kind,))[0]}, {notice.severity}")]
    found.append(("owner", notice.owner or "nobody"))
    found += [(label, _text(value)) for label, value in notice.detail.items()]
    if notice.path:
        found.append(("open", message.base + notice.path))
    return found


def _text(value: str) -> str:
    """A time as people write it; anything else as it is."""
    try:
        at = datetime.fromisoformat(value) if value[:4].isdigit() and "T" in value else None
    except ValueError:
        at = None
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if at is not None and at.tzinfo is not None else value


def text(message: Message) -> str:
    """The plain text."""
    lines = [f"{message.sentence}."]
    for notice in message.notices[:SHOWN]:
        lines.append("")
        if len(message.notices) > 1:
            lines.append(notice.title)
        found = rows(message, notice)
        wide = max(len(label) for label, _ in found)
        lines += [f"  {label:<{wide}}  {value}" for label, value in found]
    if rest := len(message.notices) - SHOWN:
        lines += ["", f"And {rest:,} more: {message.all_url}"] if rest > 0 else []
    return "\n".join(lines) + "\n"


def html_text(message: Message) -> str:
    """The HTML, without images, scripts and anything that is fetched."""
    parts = [
        "<!doctype html><html><head><meta charset='utf-8'></head>",
        "<body style='font:14px/21px system-ui,sans-serif;color:#1c1d22;background:#fff'>",
        f"<p style='font-size:16px'>{html.escape(message.sentence)}.</p>",
    ]
    for notice in message.notices[:SHOWN]:
        if len(message.notices) > 1:
            parts.append(f"<p style='margin:20px 0 4px'><b>{html.escape(notice.title)}</b></p>")
        parts.append("<table style='border-collapse:collapse'>")
        for label, value in rows(message, notice):
            shown = html.escape(value)
            if label == "open":
                shown = f"<a href='{html.escape(value, quote=True)}'>{shown}</a>"
            parts.append(
                "<tr><td style='color:#5c5f6b;padding:1px 14px 1px 0;vertical-align:top'>"
                f"{html.escape(label)}</td><td>{shown}</td></tr>"
            )
        parts.append("</table>")
    if (rest := len(message.notices) - SHOWN) > 0:
        parts.append(f"<p><a href='{html.escape(message.all_url, quote=True)}'>And {rest:,} more</a></p>")
    parts.append("</body></html>")
    return "".join(parts)


def body(message: Message, at: datetime) -> dict[str, Any]:
    """The JSON of a webhook; ``docs/notifications.md`` tells its fields."""
    return {
        "id": message.id,
        "sent_at": codec.iso(at),
        "organization": message.organization,
        "channel": message.channel,
        "text": message.sentence,
        "notices": [
            {
                "id": notice.id,
                "kind": notice.kind,
                "subject": notice.subject,
                "owner": notice.owner,
                "severity": notice.severity,
                "title": notice.title,
                "detail": notice.detail,
                "url": message.base + notice.path if notice.path else "",
                "created_at": codec.iso(notice.created_at),
            }
            for notice in message.notices
        ],
    }
