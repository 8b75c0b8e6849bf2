"""The one Jinja environment: everything is escaped, an unknown name is an error, no script or style is inline."""

from __future__ import annotations

import re
from functools import cache
from typing import Any
from urllib.parse import quote

import jinja2
from markupsafe import Markup

from uwu import __version__
from uwu.app.console import links, look, places, words
from uwu.app.console.assets import assets
from uwu.kernel import codec

THEMES = ("system", "light", "dark")


@cache
def environment() -> jinja2.Environment:
    """Built once: templates are compiled on first use and kept."""
    env = jinja2.Environment(
        loader=jinja2.PackageLoader("uwu.app.console", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    env.globals |= {
        "asset": assets().url,
        "sprite": assets().url("icons.svg"),
        "links": links,
        "version": __version__,
        "places": places.standing,
        "themes": THEMES,
        "icons": look,
        "now": codec.now,
    }
    env.filters |= {
        "clock": words.clock,
        "stamp": words.stamp,
        "moment": words.moment,
        "age": words.age,
        "iso": words.iso,
        "plural": words.plural,
        "last_day": words.last_day,
        "account_number": words.account_number,
        "short": words.short,
        "marked": marked,
        "drawn": drawn,
        "anchor": lambda text: quote(str(text), safe=""),
        "one_decimal": lambda value: f"{value:.1f}",
    }
    return env


@cache
def _drawn() -> frozenset[str]:
    return frozenset(re.findall(r'<symbol id="i-([a-z0-9-]+)"', assets().by_name["icons.svg"].body.decode()))


def drawn(icon: str) -> str:
    """``icon`` where the sprite has it, a plain box otherwise: a third party's domain may name any."""
    return icon if icon in _drawn() else look.FALLBACK


def marked(text: str, needle: str) -> Markup:
    """``text`` escaped, each occurrence of ``needle`` (any case) in ``<mark>``."""
    if not needle:
        return Markup.escape(text)
    low, find_, out, at = text.lower(), needle.lower(), Markup(), 0
    if len(low) != len(text):
        return Markup.escape(text)
    while (i := low.find(find_, at)) >= 0:
        out += Markup.escape(text[at:i]) + Markup("<mark>{}</mark>").format(text[i : i + len(find_)])
        at = i + len(find_)
    return out + Markup.escape(text[at:])


def render(template: str, **values: Any) -> bytes:
    """The page as UTF-8."""
    return environment().get_template(template).render(**values).encode()
