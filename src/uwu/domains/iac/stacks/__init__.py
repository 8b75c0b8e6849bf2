"""Stacks as parts of the catalog: what they hold and lack, what goes in and comes out, who depends on whom."""

from __future__ import annotations
