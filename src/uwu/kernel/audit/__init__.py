"""The audit chain: written in the transaction of the change; each entry holds the hash of the one before.

``append`` adds an entry, ``verify`` walks the chain, ``checkpoints`` signs where it stands and keeps that outside the
database, ``export`` gives it to others, who can verify it without us.
"""

from uwu.kernel.audit.chain import GENESIS, Entry, Filter, Verdict, append, entries, head, verify

__all__ = ["GENESIS", "Entry", "Filter", "Verdict", "append", "entries", "head", "verify"]
