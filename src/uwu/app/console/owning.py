"""Who owns how much, and what evidence disagrees about."""

from __future__ import annotations

from uwu.app.console import links, words
from uwu.app.console.frame import Answer, Asked, Frame, Page, query
from uwu.app.console.lists import href_of
from uwu.app.console.mapping import Names
from uwu.app.console.views import Part, View
from uwu.kernel import ownership
from uwu.kernel.runtime import Kernel

ACCOUNTS_SHOWN, OWNERS_SHOWN, DISPUTES_SHOWN = 40, 40, 25


class Line(View, frozen=True):
    """An account or an owner: how much it holds, and how much of that is as it should be."""

    name: str
    href: str
    pct: float
    resources: int
    less: int
    """Unowned of an account; of an owner what is only inferred."""
    less_href: str = ""


class Dispute(View, frozen=True):
    """One resource of which evidence disagrees."""

    name: str
    href: str
    owner: str
    by: str
    others: list[tuple[str, str]]
    """Who else, and what says so."""


class Overview(View, frozen=True):
    say: list[Part]
    aside: str
    resources: int
    accounts: list[Line]
    more_accounts: int
    owners: list[Line]
    more_owners: int
    disputes: list[Dispute]
    conflicts: int
    more: str


def overview(kernel: Kernel, after: str) -> Overview:
    with kernel.db.read() as connection:
        names = Names(kernel, connection)
        shares = ownership.by_account(connection)
        held = ownership.by_owner(connection)
        page = ownership.disputes(connection, limit=DISPUTES_SHOWN, after=after)
        names.load(one.subject for one in page.items)
        disputes = [
            Dispute(
                name=names.subject(one.subject).name,
                href=links.resource(one.subject),
                owner=words.short_ref(one.owner),
                by=one.evidence[0].source,
                others=[(words.short_ref(each.owner), each.source) for each in one.conflicts],
            )
            for one in page.items
        ]
    resources, owned = sum(share.resources for share in shares), sum(share.owned for share in shares)
    unowned = resources - owned
    said = [Part(text=f"{100 * owned / resources if resources else 100:.1f}% of what could have an owner has one")]
    if unowned:
        nobodys = Part(text=words.plural(unowned, "resource"), kind="link", href=href_of(links.RESOURCES, {}, owner=""))
        said += [Part(text="; "), nobodys, Part(text=" nobody owns")]
    said.append(Part(text="."))
    disagree = f"Evidence disagrees about {words.plural(page.total, 'resource')}." if page.total else ""
    return Overview(
        say=said,
        aside=disagree or "All evidence agrees, or somebody has settled it.",
        resources=resources,
        accounts=[
            Line(
                name=share.name or share.account,
                href=href_of(links.RESOURCES, {}, account=share.account),
                pct=share.pct,
                resources=share.resources,
                less=share.resources - share.owned,
                less_href=href_of(links.RESOURCES, {}, account=share.account, owner=""),
            )
            for share in shares[:ACCOUNTS_SHOWN]
        ],
        more_accounts=max(len(shares) - ACCOUNTS_SHOWN, 0),
        owners=[
            Line(
                name=words.short_ref(one.owner),
                href=href_of(links.RESOURCES, {}, owner=one.owner),
                pct=one.pct,
                resources=one.resources,
                less=one.resources - one.said,
            )
            for one in held[:OWNERS_SHOWN]
        ],
        more_owners=max(len(held) - OWNERS_SHOWN, 0),
        disputes=disputes,
        conflicts=page.total,
        more=href_of(links.OWNERSHIP, {}, after=page.after) if page.after else "",
    )


def show_ownership(at: Frame, request: Asked) -> Answer:
    view = overview(at.kernel, query(request).get("after", ""))
    return at.page(request, "ownership.html", section=links.OWNERSHIP, view=view)


PAGES = (Page(links.OWNERSHIP, show_ownership, "world.read"),)
