"""uwu: one platform for production engineering."""

__version__ = "0.1.0"
