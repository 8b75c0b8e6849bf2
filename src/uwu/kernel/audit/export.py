"""The audit for others: JSON lines that anyone can verify without us, or CSV for a spreadsheet.

A line has every member of an entry; its hash is the SHA-256 of the canonical JSON (keys sorted, no spaces, UTF-8) of
the array ``[seq, at, actor, action, subject, detail, prev]``.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec
import sqlalchemy as sa

from uwu.kernel import codec
from uwu.kernel.audit.chain import CHANGED, EVERYTHING, MISSING, UNLINKED, Entry, Filter, Verdict, hash_of
from uwu.kernel.runtime import Kernel
from uwu.kernel.tables import audit

ROWS = 2000
"""Entries of one query: no export holds the database for long."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def pages(kernel: Kernel, where: Filter = EVERYTHING) -> Iterator[list[Entry]]:
    """The entries of ``where``, oldest first; those that are there at the beginning."""
    with kernel.db.read() as connection:
        last = connection.execute(sa.select(sa.func.max(audit.c.seq))).scalar_one() or 0
    behind = 0
    while behind < last:
        query = sa.select(audit).where(audit.c.seq > behind, audit.c.seq <= last, *where.where())
        with kernel.db.read() as connection:
            found = [Entry(*row) for row in connection.execute(query.order_by(audit.c.seq).limit(ROWS))]
        if not found:
            return
        yield found
        behind = found[-1].seq


def jsonl(kernel: Kernel, where: Filter = EVERYTHING) -> Iterator[bytes]:
    """One JSON object a line."""
    for page in pages(kernel, where):
        yield b"".join(
            codec.canonical({**msgspec.structs.asdict(one), "at": codec.iso(one.at)}) + b"\n" for one in page
        )


def as_csv(given: Iterable[Iterable[Entry]]) -> Iterator[bytes]:
    """Pages of entries as RFC 4180.

    Text that a spreadsheet would run as a formula begins with an apostrophe (OWASP, CSV injection).
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(Entry.__struct_fields__)
    for page in given:
        for one in page:
            texts = (one.actor, one.action, one.subject, codec.canonical(one.detail).decode())
            writer.writerow((one.seq, codec.iso(one.at), *map(_cell, texts), one.prev, one.hash))
        yield text.getvalue().encode()
        text.seek(0)
        text.truncate()
    if text.tell():
        yield text.getvalue().encode()


def _cell(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text


class _Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An entry as a line has it: its time is text, so that each of its bytes counts."""

    seq: int
    at: str
    actor: str
    action: str
    subject: str
    detail: Any
    prev: str
    hash: str


def verify_lines(lines: Iterable[bytes], marks: Mapping[int, str] | None = None) -> Verdict:
    """Verifies an export: that no line was changed, removed, added or moved. It may begin at any entry.

    ``marks``: number -> hash as they were signed; those behind the first line must be there.
    """
    marks = marks or {}
    decoder = msgspec.json.Decoder(_Line)
    count, seq, head = 0, 0, ""

    def bad(number: int, reason: str) -> Verdict:
        return Verdict(entries=count, head=head, first_bad=number, reason=reason)

    for given in lines:
        line = given.rstrip(b"\n")
        try:
            one = decoder.decode(line)
            sound = codec.canonical(msgspec.structs.asdict(one)) == line and one.hash == hash_of(
                one.seq, one.at, one.actor, one.action, one.subject, one.detail, one.prev
            )
        except ValueError:  # msgspec's errors are; so is what is no UTF-8
            return bad(seq + 1, "its line is no entry")
        if count and one.seq != seq + 1:
            return bad(seq + 1, MISSING)
        if not sound:
            return bad(one.seq, CHANGED)
        if count and one.prev != head:
            return bad(one.seq, UNLINKED)
        if marks.get(one.seq, one.hash) != one.hash:
            return bad(one.seq, "it is not what was signed")
        count, seq, head = count + 1, one.seq, one.hash
    beyond = [number for number in marks if number > seq]
    if count and beyond:
        return bad(seq + 1, f"it is missing: {max(beyond)} was signed")
    return Verdict(entries=count, head=head)
