"""Saved views: an address of the console under a name, for oneself or for one's group."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import sqlalchemy as sa

from uwu.app import identify
from uwu.app.console import links, words
from uwu.app.console.frame import VIEW, Act, Answer, Asked, Form, Frame, Page, redirect
from uwu.app.console.views import View
from uwu.kernel import audit, codec, tables
from uwu.kernel.errors import BadInput, Conflict, NotFound
from uwu.kernel.identity import Principal

NAME_CHARACTERS, PATH_CHARACTERS = 60, 1000
EACH = 100
"""Views of one owner: a list that is still read."""
CHANGE = "self.change"


class Saved(View, frozen=True):
    """One saved view. ``group`` is the short name of the group whose it is; empty for one's own."""

    id: str
    name: str
    path: str
    owner: str
    group: str
    created_by: str
    created_at: datetime


def of(connection: sa.Connection, principal: Principal, section: str = "") -> list[Saved]:
    """The views of ``principal`` and of its groups, by name; those of one place where ``section`` is given."""
    v = tables.saved_views
    owners = [principal.ref, *principal.groups]
    found = sa.select(v.c.id, v.c.name, v.c.path, v.c.owner, v.c.created_by, v.c.created_at).where(
        v.c.owner.in_(owners)
    )
    rows = connection.execute(found.order_by(sa.func.lower(v.c.name), v.c.id))
    return [
        Saved(
            id=row.id,
            name=row.name,
            path=row.path,
            owner=row.owner,
            group="" if row.owner == principal.ref else words.short_ref(row.owner),
            created_by=words.short_ref(row.created_by),
            created_at=row.created_at,
        )
        for row in rows
        if not section or row.path.partition("?")[0] == section
    ]


def titled(name: str) -> str:
    """``name`` as it is kept. Raises ``BadInput`` for none, or for one that is too long."""
    plain = " ".join(name.split())
    if not plain or len(plain) > NAME_CHARACTERS:
        raise BadInput(f"a view's name has 1 to {NAME_CHARACTERS} characters", place="name")
    return plain


def address(path: str) -> str:
    """``path`` where it is an address of this console. Raises ``BadInput``."""
    if links.same_site_path(path) != path or len(path) > PATH_CHARACTERS:
        raise BadInput("a view is an address of this console", place="path", hint="open the list, then save its view")
    return path


def save(at: Frame, request: Asked, form: Form) -> Answer:
    """Saves a view and goes back to it. Raises ``Conflict`` for a name that is taken."""
    principal = identify.principal_of(request)
    name, path = titled(form.get("name")), address(form.get("path"))
    owner = form.get("owner") or principal.ref
    if owner not in _mine(principal):
        raise BadInput(f"you are not in {owner}", place="owner", hint="save it for yourself, or for a group of yours")
    v = tables.saved_views
    row = {
        "id": codec.new_id("v"),
        "owner": owner,
        "name": name,
        "path": path,
        "created_by": principal.ref,
        "created_at": codec.now(),
    }
    with at.kernel.db.write() as connection:
        held = connection.execute(sa.select(sa.func.count()).select_from(v).where(v.c.owner == owner)).scalar_one()
        if held >= EACH:
            raise Conflict(f"{words.short_ref(owner)} has {EACH} views already", hint="delete one that is not used")
        _free(connection, owner, name)
        connection.execute(v.insert().values(**row))
        audit.append(connection, actor=principal.ref, action="view.save", subject=row["id"], detail={"path": path})
    return redirect(path)


def _mine(principal: Principal) -> Iterable[str]:
    return (principal.ref, *principal.groups)


def _free(connection: sa.Connection, owner: str, name: str) -> None:
    v = tables.saved_views
    if connection.execute(sa.select(v.c.id).where(v.c.owner == owner, v.c.name == name)).first() is not None:
        raise Conflict(f"there is a view {name!r} already", code="view-taken", hint="choose another name")


def _held(connection: sa.Connection, principal: Principal, id: str) -> str:
    """The owner of the view ``id``. Raises ``NotFound`` for one that is not the principal's or of its groups."""
    v = tables.saved_views
    owner = connection.execute(sa.select(v.c.owner).where(v.c.id == id)).scalar()
    if owner is None or owner not in _mine(principal):
        raise NotFound("there is no such view", hint="it was deleted, or it is another's")
    return owner


def rename(at: Frame, request: Asked, form: Form) -> Answer:
    principal, id = identify.principal_of(request), str(request.path_params["id"])
    name = titled(form.get("name"))
    v = tables.saved_views
    with at.kernel.db.write() as connection:
        owner = _held(connection, principal, id)
        if connection.execute(sa.select(v.c.name).where(v.c.id == id)).scalar() != name:
            _free(connection, owner, name)
            connection.execute(v.update().where(v.c.id == id).values(name=name))
            audit.append(connection, actor=principal.ref, action="view.rename", subject=id, detail={"name": name})
    return redirect(links.VIEWS)


def delete(at: Frame, request: Asked, form: Form) -> Answer:
    del form
    principal, id = identify.principal_of(request), str(request.path_params["id"])
    v = tables.saved_views
    with at.kernel.db.write() as connection:
        _held(connection, principal, id)
        connection.execute(v.delete().where(v.c.id == id))
        audit.append(connection, actor=principal.ref, action="view.delete", subject=id)
    return redirect(links.VIEWS)


def show(at: Frame, request: Asked) -> Answer:
    with at.kernel.db.read() as connection:
        held = of(connection, identify.principal_of(request))
    return at.page(request, "saved_views.html", section=links.VIEWS, views_held=held)


PAGES = (
    Page(links.VIEWS, show, VIEW),
    Act(links.VIEWS, save, CHANGE),
    Act(links.VIEWS + "/{id:str}/rename", rename, CHANGE),
    Act(links.VIEWS + "/{id:str}/delete", delete, CHANGE),
)
