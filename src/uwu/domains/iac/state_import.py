"""The job that takes existing states in: a file, a folder, an object or a prefix in S3. Each state is a write like any
other: what is there already is not written twice, what does not follow is refused with its reason."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from uwu.domains.iac import state_store, state_write
from uwu.domains.iac.actions import IMPORT
from uwu.domains.iac.observe import read
from uwu.kernel import jobs
from uwu.kernel.errors import BadInput, NotFound, Unavailable, UwuError
from uwu.kernel.identity import Principal
from uwu.kernel.jobs import Job, Run
from uwu.kernel.runtime import Kernel

MOST = 10_000
"""States of one import: a bucket of logs is not a folder of states."""
_STATE = re.compile(r".*\.tfstate(\.json)?$|.*/state\.json$")
_SKIPPED = re.compile(r".*\.tflock$|.*\.backup$|.*/\.terraform/.*")


def _import(run: Run, arguments: dict[str, Any]) -> dict[str, Any]:
    sources = [str(each) for each in arguments.get("sources") or ()]
    into, namespace = str(arguments.get("into") or ""), str(arguments.get("namespace") or "default")
    if not sources:
        raise BadInput("nothing to import was named", code="import-sources", place="sources", hint="a file or s3://...")
    found: list[list[str]] = run.step(locate, run.kernel, sources, namespace, into, name="locate")
    taken: list[dict[str, Any]] = []
    for number, (location, key) in enumerate(found):
        run.progress("importing", number, len(found))
        told: dict[str, Any] = run.step(take, run.kernel, run.id, location, key, name=f"take {number}")
        if told["problem"]:
            run.log(f"{location}: {told['problem']['message']} [{told['problem']['code']}]", level="error", data=told)
        taken.append(told)
    imported = [each for each in taken if not each["problem"]]
    run.log(f"{len(imported)} of {len(taken)} states are kept here now")
    return {
        "imported": len(imported),
        "failed": len(taken) - len(imported),
        "states": [
            {name: each[name] for name in ("state", "location", "version", "serial", "resources")} for each in imported
        ],
        "problems": [each["problem"] for each in taken if each["problem"]],
    }


def locate(kernel: Kernel, sources: list[str], namespace: str, into: str) -> list[list[str]]:
    """(location, name it gets) of every state of ``sources``, by location.

    ``into`` names the state where there is one; else the name is what leads to it: its path below the source, less
    ``terraform.tfstate`` and the suffix. Raises ``BadInput``, ``NotFound``.
    """
    found: dict[str, str] = {}
    for source in sources:
        below = list(_s3(kernel, source) if source.startswith("s3://") else _files(source))
        if not below:
            raise NotFound("there is no state", code="import-empty", place=source, hint="states end in .tfstate")
        for location, path in below:
            found[location] = f"{namespace}/{_named(path)}"
    if into:
        if len(found) != 1:
            raise BadInput(
                f"{len(found)} states cannot have one name", code="import-name", place="into", hint="leave the name out"
            )
        found = {location: "/".join(state_store.named(into, "into")) for location in found}
    doubles = (
        {key for key in found.values() if list(found.values()).count(key) > 1} if len(found) < 1000 else set[str]()
    )
    if doubles:
        raise BadInput(
            f"several states would be called {min(doubles)}",
            code="import-name",
            place=next(location for location, key in found.items() if key in doubles),
            hint="import them one by one, each with --into namespace/name",
        )
    return [[location, key] for location, key in sorted(found.items())]


def _named(path: str) -> str:
    """``network/prod/terraform.tfstate`` -> ``network-prod``; ``env:/prod/network.tfstate`` -> ``network-prod``."""
    parts = [part for part in path.split("/") if part]
    if len(parts) > 2 and parts[0] == "env:":  # how Terraform's S3 backend keeps workspaces
        parts = [*parts[2:-1], re.sub(r"\.tfstate.*$", "", parts[-1]), parts[1]]
    elif len(parts) > 1 and parts[-1] in {"terraform.tfstate", "default.tfstate", "state.json"}:
        parts = parts[:-1]
    else:
        parts[-1] = re.sub(r"\.tfstate(\.json)?$", "", parts[-1])
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", "-".join(parts)).strip(".-")[:90]
    return name or "state"


def _files(source: str) -> Iterator[tuple[str, str]]:
    path = Path(source)
    if path.is_file():
        yield str(path), path.name if path.name != "terraform.tfstate" else f"{path.resolve().parent.name}/{path.name}"
        return
    if not path.is_dir():
        raise NotFound(
            "there is no such file or folder on the server", code="import-missing", place=source, hint="check the path"
        )
    count = 0
    for each in sorted(path.rglob("*")):
        if each.is_file() and _STATE.fullmatch(f"/{each.name}") and not _SKIPPED.fullmatch(str(each)):
            count += 1
            if count > MOST:
                raise _too_many(source)
            yield str(each), str(each.relative_to(path))


def _s3(kernel: Kernel, source: str) -> Iterator[tuple[str, str]]:
    bucket, _, prefix = source.removeprefix("s3://").partition("/")
    if not bucket:
        raise BadInput("this names no bucket", code="import-sources", place=source, hint="s3://bucket/prefix")
    count, token = 0, ""
    while True:
        more = {"ContinuationToken": token} if token else {}
        try:
            answer = kernel.aws.client("s3").list_objects_v2(Bucket=bucket, Prefix=prefix, **more)
        except UwuError:
            raise
        except Exception as error:  # botocore's errors have no common base that also covers its transport's
            failure = kernel.aws.classify(error)
            raise Unavailable(
                f"the prefix cannot be listed: {failure.message}",
                code="import-s3",
                place=source,
                hint="s3:ListBucket and s3:GetObject are needed",
            ) from None
        for each in answer.get("Contents", ()):
            key = each["Key"]
            if key == prefix or (_STATE.fullmatch(f"/{key}") and not _SKIPPED.fullmatch(key)):
                count += 1
                if count > MOST:
                    raise _too_many(source)
                yield f"s3://{bucket}/{key}", key if key == prefix else key.removeprefix(prefix).lstrip("/")
        token = answer.get("NextContinuationToken", "")
        if not token:
            return


def _too_many(source: str) -> BadInput:
    return BadInput(
        f"there are more than {MOST} states", code="import-many", place=source, hint="import them part by part"
    )


def take(kernel: Kernel, job: str, location: str, key: str) -> dict[str, Any]:
    """Writes one state, and tells which version it is, or the problem that kept it out."""
    namespace, name = state_store.named(key)
    with kernel.db.read() as connection:
        by = jobs.job(connection, job).requested_by
    principal = Principal(ref=by or "service:uwu/import", name=by, kind="service", scopes=(), via="none")
    told: dict[str, Any] = {
        "state": key,
        "location": location,
        "version": 0,
        "serial": 0,
        "resources": 0,
        "problem": None,
    }
    try:
        wanted = state_write.Wanted(namespace=namespace, name=name, via="import")
        made = state_write.write(kernel, principal, wanted, read(kernel, location, location))
    except UwuError as error:
        problem = error.problem
        return {
            **told,
            "problem": {"code": problem.code, "message": problem.message, "place": location, "hint": problem.hint},
        }
    return {**told, "version": made.number, "serial": made.serial, "resources": made.resources}


JOBS = (Job("iac.state.import", _import, concurrency=1, action=IMPORT),)
