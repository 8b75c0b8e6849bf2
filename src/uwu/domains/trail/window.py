"""What to list of a bucket: the days of a window under each account and region, never everything.

CloudTrail's keys are ``[prefix/]AWSLogs/[o-id/]account/CloudTrail/region/Y/M/D/...``; the accounts and regions are
looked for once in a while. What is in a day and was not taken is found by the set of those taken, not by a marker: keys
within a day do not come in the order of time.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta

from uwu.domains.trail import sources, standing
from uwu.domains.trail.sources import Listed
from uwu.kernel import codec
from uwu.kernel.runtime import Kernel

ROOTS_SECONDS = 3_600.0
"""How long the accounts and regions of a bucket are taken for known."""
_DEPTH = 5
"""Levels between a source's prefix and ``CloudTrail/``: prefix, AWSLogs, organization, account."""


def roots(kernel: Kernel, source: str) -> list[str]:
    """The prefixes ``.../CloudTrail/region/`` of a bucket; none where it is not laid out as CloudTrail does it."""
    row = standing.row_of(kernel.db, source)
    at = row.get("roots_at")
    if at is not None and row["roots"] and (codec.now() - at).total_seconds() < ROOTS_SECONDS:
        return list(row["roots"])
    found = sorted(_roots(kernel, source))
    standing.update_source(kernel.db, source, roots=found, roots_at=codec.now())
    return found


def _roots(kernel: Kernel, source: str) -> Iterator[str]:
    bucket, prefix = sources.split(source)
    parts = prefix.split("/")
    if "CloudTrail" in parts[:-1]:
        at = parts.index("CloudTrail")
        if len(parts) > at + 2:  # within one region already
            yield "/".join(parts[: at + 2]) + "/"
            return
        yield from sources.children(kernel, bucket, "/".join(parts[: at + 1]) + "/")
        return
    level = [prefix if prefix.endswith("/") or not prefix else f"{prefix}/"]
    for _ in range(_DEPTH):
        deeper: list[str] = []
        for each in level:
            for child in sources.children(kernel, bucket, each):
                name = child.rsplit("/", 2)[-2]
                if name == "CloudTrail":
                    yield from sources.children(kernel, bucket, child)
                elif not name.startswith("CloudTrail-"):
                    deeper.append(child)
        level = deeper


def prefixes(kernel: Kernel, source: str, since: date, until: date) -> list[str]:
    """``s3://bucket/.../Y/M/D/`` of every account and region for the days from ``since`` before ``until``, in order."""
    bucket, prefix = sources.split(source)
    days = [since + timedelta(days=n) for n in range((until - since).days)]
    found = [f"{root}{day:%Y/%m/%d}/" for day in days for root in roots(kernel, source)]
    return [f"s3://{bucket}/{each}" for each in found if each.startswith(prefix) or prefix.startswith(each)]


def listed(kernel: Kernel, source: str, now: datetime) -> Iterator[Listed]:
    """What a source holds that may be new: all of it the first time and where it has another layout, else its window.

    A day more is listed than the window has: objects are filed by the day of their delivery.
    """
    row = standing.row_of(kernel.db, source)
    if row.get("listed_at") is None or not roots(kernel, source):
        yield from sources.listed(kernel, source)
        return
    first = now.date() - timedelta(days=kernel.settings.trail.window_days)
    for prefix in prefixes(kernel, source, first, now.date() + timedelta(days=1)):
        yield from sources.listed(kernel, prefix)
