"""Which stack reads the outputs of which: ``terraform_remote_state`` and ``tfe_outputs``, as the states tell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from uwu.domains.iac.declare import Source
from uwu.domains.iac.state import Remote, State

OUTPUTS = "outputs"
"""The path of such a reference: all outputs are read."""
_WIRE = "/iac/state/"


def rows(stacks: Sequence[Source], read: Sequence[tuple[Source, State]]) -> Iterator[dict[str, str]]:
    """Rows of ``iac_references``: from the data source to the stack whose state it reads."""
    by_path = {_same(source.path): source for source in stacks}
    for source, state in read:
        for remote in state.remotes:
            target = next((by_path[path] for path in _paths(remote, source) if path in by_path), None)
            if target is not None and target.source != source.source:
                yield {
                    "source": f"{source.source}#{remote.address}",
                    "target": f"{target.source}#",
                    "path": OUTPUTS,
                    "name": remote.address,
                }


def _same(path: str) -> str:
    return path.lower() if path.startswith("uwu://") else path


def _paths(remote: Remote, source: Source) -> Iterator[str]:
    """Where the other state may lie, as a stack would name it."""
    config = remote.config
    if "bucket" in config and "key" in config:
        yield f"s3://{config['bucket']}/{config['key']}"
    if "address" in config:
        _, found, name = unquote(urlsplit(config["address"]).path).partition(_WIRE)
        if found:
            yield f"uwu://{name.strip('/')}".lower()
    if "path" in config:
        folder = Path(source.path).parent if not source.path.startswith(("uwu://", "s3://")) else None
        if folder is not None:
            yield str((folder / config["path"]).resolve())
            yield str(folder / config["path"])
    if "organization" in config and "workspace" in config:
        yield f"uwu://{config['organization']}/{config['workspace']}".lower()
