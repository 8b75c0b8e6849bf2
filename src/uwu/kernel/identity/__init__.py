"""Who asks: principals, and what they prove themselves with (tokens, sessions, sign-ins)."""

from uwu.kernel.identity.model import ANONYMOUS, Kind, Principal, Role

__all__ = ["ANONYMOUS", "Kind", "Principal", "Role"]
