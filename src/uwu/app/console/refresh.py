"""The button of a resource's page: read it in AWS again."""

from __future__ import annotations

from uwu.app import identify
from uwu.app.console import links
from uwu.app.console.frame import Act, Answer, Asked, Form, Frame, redirect
from uwu.domains.inventory import refresh_ask


def again(at: Frame, request: Asked, form: Form) -> Answer:
    """Asks for a resource to be read again, and shows the job that does it. Raises as ``refresh_ask.ask``."""
    id = refresh_ask.ask(at.kernel, identify.principal_of(request), [form.get("subject")])
    return redirect(links.job(id))


PAGES = (Act(links.RESOURCES, again, refresh_ask.ACTION),)
