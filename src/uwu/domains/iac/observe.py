"""The job that reads every stack's state and makes its instances what is declared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from uwu.domains.iac import naming, references, sensitive, state_store
from uwu.domains.iac.attach import PART_TYPES, attach
from uwu.domains.iac.compare.table import COMPARE
from uwu.domains.iac.declare import Source, sources
from uwu.domains.iac.naming import Scope
from uwu.domains.iac.stacks import remote
from uwu.domains.iac.state import Instance, State, parse
from uwu.kernel import codec, declared, tables
from uwu.kernel.errors import BadInput, Denied, NotFound, Problem, Unavailable, UwuError
from uwu.kernel.jobs import Job, Run
from uwu.kernel.model import CellStatus, Declaration
from uwu.kernel.runtime import Kernel

MAX_STATE_BYTES = 256 * 1024 * 1024
"""A larger state is refused: real ones of 10,000 resources have about 30 MiB, and a whole one is held in memory."""

_KEPT = frozenset(COMPARE) | PART_TYPES | {"aws_iam_policy_attachment"}
"""Types whose attributes are stored: nothing looks at those of others, which may hold secrets that we do not know."""


def _read(run: Run, _arguments: dict[str, Any]) -> dict[str, Any]:
    run.progress("reading states")
    result = run.step(read_states, run.kernel, name="read")
    for problem in result["problems"]:
        text = f"{problem.get('place', '')}: {problem['message']} [{problem['code']}]"
        run.log(text, level=problem.get("severity", "error"), data=problem)
    run.log(f"{result['states']} states, {result['declarations']} declarations, {result['named']} of them named")
    if result["unnamed"]:
        listed = ", ".join(f"{type} {count}" for type, count in sorted(result["unnamed"].items()))
        run.log(f"types that nothing observes: {listed}")
    return result


def read_states(kernel: Kernel) -> dict[str, Any]:
    """Reads the states of all stacks and replaces their declarations. Repeating it changes nothing.

    A state that cannot be read keeps what it declared before. One that no stack names any more declares nothing.
    """
    with kernel.db.read() as connection:
        stacks = declared.entities(connection, kind="Stack")
        known = set(connection.scalars(sa.select(tables.declarations.c.source).distinct()))
    problems: list[Problem] = []
    read: list[tuple[Source, State]] = []
    wanted = list(sources(stacks))
    for source in wanted:
        try:
            state = parse(fetch(kernel, source), source.key)
        except UwuError as error:
            problems.append(_at(error.problem, source))
            continue
        problems.extend(state.problems)
        read.append((source, state))
    declarations = _declarations(read, problems)
    sources_read = {source.source for source, _ in read}
    with kernel.db.read() as connection:
        for source in {source.source for source in wanted} - sources_read:
            declarations.extend(declared.declarations(connection, source=source))
    by_source: dict[str, list[Declaration]] = {source.source: [] for source in wanted}
    for declaration in attach(declarations):
        by_source[declaration.source].append(declaration)
    changed = 0
    if len(read) == len(wanted):  # a state that could not be read may hold either end of a reference
        held = [
            (f"{source.source}#{instance.address}", instance) for source, state in read for instance in state.instances
        ]
        found = [*references.find(held), *remote.rows(wanted, read)]
        with kernel.db.write() as connection:
            references.replace(connection, found)
    for source, part in sorted(by_source.items()):
        with kernel.db.write() as connection:
            changed += declared.replace_declarations(connection, source, part)
    for source in sorted(s for s in known - by_source.keys() if s.startswith("stack:")):
        with kernel.db.write() as connection:
            changed += declared.replace_declarations(connection, source, [])
    unnamed = Counter(d.declared_type for d in declarations if not d.urn)
    problems.extend(_unplaced(wanted, declarations))
    return {
        "states": len(read),
        "states_failed": len(wanted) - len(read),
        "declarations": len(declarations),
        "named": sum(1 for d in declarations if d.urn),
        "unnamed": dict(sorted(unnamed.items())),
        "data_sources": sum(state.data_sources for _, state in read),
        "changed": changed,
        "problems": codec.builtins(problems),
    }


def _unplaced(wanted: list[Source], declarations: list[Declaration]) -> Iterator[Problem]:
    """A warning for each state whose resources have names that need an account or a region nobody tells."""
    counts = Counter(d.source for d in declarations if not d.urn and naming.KINDS.get(d.declared_type))
    for source in wanted:
        if counts[source.source]:
            yield Problem(
                "state-account-unknown",
                f"{counts[source.source]} resources of {source.stack} have no ARN in their state, which does not tell "
                "its account and region either: they are not compared",
                source.key,
                f"add account and region to the spec of the stack at {source.place}",
                "warning",
            )


def _at(problem: Problem, source: Source) -> Problem:
    """The problem, with the stack that names the state."""
    message = f"{problem.message} (the state of {source.stack}, declared at {source.place})"
    return Problem(problem.code, message, problem.place or source.key, problem.hint, problem.severity)


def _declarations(read: list[tuple[Source, State]], problems: list[Problem]) -> list[Declaration]:
    by_source = {source.source: (source, state) for source, state in read}
    scopes = naming.scopes((s.source, state, s.account, s.region) for s, state in by_source.values())
    found: dict[str, Declaration] = {}
    for source, state in by_source.values():
        for instance in state.instances:
            made = declaration(source.source, state, instance, scopes[source.source, instance.provider])
            if made.id in found:
                message = f"{instance.address} stands twice in the state"
                problems.append(Problem("state-duplicate", message, state.place, "the first is kept"))
            found.setdefault(made.id, made)
    return list(found.values())


def declaration(source: str, state: State, instance: Instance, scope: Scope) -> Declaration:
    """What ``instance`` declares, without secrets."""
    type, urn = naming.name(instance.type, instance.attributes, scope)
    attributes: dict[str, Any] = {}
    if instance.type in _KEPT:
        attributes = sensitive.redacted(instance.type, instance.attributes, instance.sensitive)
    given = instance.attributes.get("tags_all") or instance.attributes.get("tags") or {}
    tags = {str(k): str(v) for k, v in given.items() if v is not None} if isinstance(given, dict) else {}
    for name in ("tags", "tags_all", "timeouts"):
        attributes.pop(name, None)
    return Declaration(
        source=source,
        address=instance.address,
        place=state.place,
        urn=urn,
        type=type,
        declared_type=instance.type,
        attributes=attributes,
        tags=tags,
    )


def fetch(kernel: Kernel, source: Source) -> bytes:
    """The bytes of a state. Raises ``UwuError`` with a code of ``state-*``."""
    if source.path.startswith(state_store.SCHEME):
        return state_store.current_content(kernel, source.path)
    return read(kernel, source.path, source.key)


def read(kernel: Kernel, location: str, key: str) -> bytes:
    """The bytes of a state in a file or an S3 object; ``key`` names it in errors. Raises ``UwuError`` with a code of
    ``state-*``."""
    if location.startswith("s3://"):
        return _from_s3(kernel, location)
    path = Path(location)
    try:
        if path.stat().st_size > MAX_STATE_BYTES:
            raise _too_large(key)
        return path.read_bytes()
    except FileNotFoundError:
        hint = f"it is looked for at {path}; `state` is relative to the file that declares the stack"
        raise NotFound("there is no such state file", code="state-missing", place=key, hint=hint) from None
    except OSError as error:
        message = f"the state file cannot be read: {error.strerror}"
        raise Denied(message, code="state-unreadable", place=key, hint="check its permissions") from None


def _too_large(place: str) -> BadInput:
    limit = MAX_STATE_BYTES // 1048576
    return BadInput(f"the state has more than {limit} MiB", code="state-too-large", place=place, hint="part the stack")


def _from_s3(kernel: Kernel, location: str) -> bytes:
    bucket, _, key = location.removeprefix("s3://").partition("/")
    if not bucket or not key:
        raise BadInput("this names no object", code="state-location", place=location, hint="write s3://bucket/key")
    try:
        answer = kernel.aws.client("s3").get_object(Bucket=bucket, Key=key)
        if answer["ContentLength"] > MAX_STATE_BYTES:
            raise _too_large(location)
        return answer["Body"].read()
    except UwuError:
        raise
    except Exception as error:  # botocore's errors have no common base that also covers its transport's
        failure = kernel.aws.classify(error)
        message = f"the state cannot be fetched: {failure.message}"
        if failure.code in {"NoSuchKey", "NoSuchBucket", "404"}:
            hint = "check bucket and key, and that the stack was applied once"
            raise NotFound(message, code="state-missing", place=location, hint=hint) from None
        if failure.status is CellStatus.DENIED:
            hint = "let the management credentials read it: s3:GetObject, and kms:Decrypt where it is encrypted"
            raise Denied(message, code="state-denied", place=location, hint=hint) from None
        raise Unavailable(
            message, code="state-unavailable", place=location, hint="it is tried again next time"
        ) from None


JOBS = (Job("iac.read", _read, concurrency=1),)
