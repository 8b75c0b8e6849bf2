"""The estate: declared entities in YAML files (Backstage's envelope), read with their places and references.

Nothing is fetched: a location of the type ``url`` is kept as an entity and not followed. Nothing is read outside the
folder that was named, whatever a glob, a substitution or a symbolic link says.

``load`` reads all of it and keeps nothing; ``reconcile`` makes it what is declared, and reads only what was written
since the last time.
"""

from uwu.kernel.estate.load import Estate, load
from uwu.kernel.estate.references import Reference, parse_location, parse_reference
from uwu.kernel.estate.roots import SUFFIXES

__all__ = ["SUFFIXES", "Estate", "Reference", "load", "parse_location", "parse_reference"]
