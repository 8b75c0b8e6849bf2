"""The entity kinds that the kernel itself understands, whatever domains are installed."""

from __future__ import annotations

from uwu.kernel.plans.policy import APPROVAL_POLICY
from uwu.kernel.policies import POLICY

KINDS = (APPROVAL_POLICY, POLICY)
