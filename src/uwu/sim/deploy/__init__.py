"""What a deploy pipeline makes for one stack: a call to AWS for each resource, and its entry in the state."""

from uwu.sim.deploy.access import Access, allow
from uwu.sim.deploy.compute import Compute
from uwu.sim.deploy.messages import Messages
from uwu.sim.deploy.storage import Storage

__all__ = ["Pipeline", "allow"]


class Pipeline(Compute, Storage, Access, Messages):
    """Everything that a stack may declare."""
