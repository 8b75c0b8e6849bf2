"""What can be done to states and with runs."""

from __future__ import annotations

from uwu.kernel.actions import Action

READ, WRITE, LOCK, UNLOCK = "iac.state.read", "iac.state.write", "iac.state.lock", "iac.state.unlock"
LIST, CREATE, FORCE, IMPORT, REKEY, UPLOAD, DISCOVER = (
    "iac.state.list",
    "iac.state.create",
    "iac.state.force",
    "iac.state.import",
    "iac.state.rekey",
    "iac.state.upload",
    "iac.discover",
)
ADOPT, OUTPUT = "iac.stack.import", "iac.stack.secrets"
RUN, CANCEL, HOOK = "iac.run.plan", "iac.run.cancel", "iac.run.hook"
FETCH, PUBLISH_PROVIDER, PUBLISH_MODULE, PACKAGE_ADDRESS = (
    "iac.package.fetch",
    "iac.provider.publish",
    "iac.module.publish",
    "iac.package.address",
)

ACTIONS = (
    Action(READ, "change", "download a state, with the secrets in it"),
    Action(WRITE, "change", "write a state, or bring an earlier version back"),
    Action(LOCK, "change", "lock a state, and give one's own lock back"),
    Action(UNLOCK, "change", "take a lock away from its holder"),
    Action(ADOPT, "change", "write import blocks into a stack's folder"),
    Action(OUTPUT, "change", "read the outputs of a stack that are sensitive"),
    Action(RUN, "run", "plan a stack with Terraform"),
    Action(CANCEL, "run", "cancel a run, or try it again"),
    Action(HOOK, "open", "deliver a webhook that its signature vouches for"),
    Action(LIST, "read", "list the states that one may download"),
    Action(CREATE, "run", "make a state that no stack declares"),
    Action(FORCE, "admin", "write a state against the order of its serials, or of another lineage"),
    Action(IMPORT, "admin", "import states from the server's disk and from S3"),
    Action(REKEY, "admin", "wrap the keys of all states anew with the home's current key"),
    Action(UPLOAD, "open", "send a state to an address that was given out for it"),
    Action(FETCH, "read", "fetch providers and modules"),
    Action(PUBLISH_PROVIDER, "admin", "publish and yank providers: programs that every run starts"),
    Action(PUBLISH_MODULE, "run", "publish and yank modules"),
    Action(PACKAGE_ADDRESS, "open", "fetch an archive from an address that was given out for it"),
    Action(DISCOVER, "open", "ask which of Terraform's services are here"),
)
"""Who owns the stack may do the group ``change`` to its states; the metadata of states is read as the rest of the world
is (``world.read``)."""
