"""What Terraform's own refresh finds changed outside of it, as facts and findings."""

from __future__ import annotations
