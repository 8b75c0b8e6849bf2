"""Measured claims: ``python -m bench NAME [--quick]``."""
