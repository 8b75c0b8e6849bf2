"""What to say where a command line does not fit."""

from __future__ import annotations

import difflib
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cyclopts import App, CycloptsError

USAGE = 2


def explain_usage(app: App, error: CycloptsError) -> int:
    """Adds the nearest command to what the parser said already; gives the exit status of bad input."""
    unused = getattr(error, "unused_tokens", None) or []
    names = [name for name in app if not name.startswith("-")]
    if unused and (near := difflib.get_close_matches(unused[0], names, n=1)):
        sys.stderr.write(f" hint did you mean: uwu {near[0]}\n")
    else:
        sys.stderr.write(" hint uwu --help lists the commands\n")
    return USAGE
