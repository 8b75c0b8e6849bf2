"""The programs of one phase of one run: Terraform and git, with the phase's credentials, its state and its log."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec

from uwu.domains.iac import plan_json, sensitive, state, state_store
from uwu.domains.iac.runs import credentials, store
from uwu.domains.iac.runs.backend import Backend
from uwu.domains.iac.runs.sandbox import Sandbox
from uwu.domains.iac.runs.store import Log, Run
from uwu.kernel import codec
from uwu.kernel.errors import Unavailable, UwuError
from uwu.kernel.identity import Principal
from uwu.kernel.model import Entity
from uwu.kernel.runtime import Kernel


class PlanFailed(Unavailable):
    """Terraform, or what it needs, failed; the log tells more."""

    code = "run-failed"


def state_version(kernel: Kernel, key: str) -> state_store.Version | None:
    """The current version of a state; None where nothing was written."""
    namespace, name = state_store.named(key)
    with kernel.db.read() as connection:
        found = state_store.find(connection, namespace, name)
    return found.version if found is not None else None


class Tools:
    """The programs of one phase of one run."""

    def __init__(self, kernel: Kernel, run: Run, place: Sandbox, env: dict[str, str], log: Log) -> None:
        self._kernel, self._run, self._place, self._env, self._log = kernel, run, place, env, log
        self.outcomes: dict[str, Any] = {}
        """Address -> how it went, as Terraform tells while it applies."""
        self.errors: list[str] = []

    def git(self, arguments: Sequence[str], folder: Any) -> int:
        """Runs git, without the credentials and without the state."""
        return self._place.run(arguments, env={}, line=self._log.say, stopping=self._stopping, folder=folder)

    def run(self, arguments: Sequence[str]) -> int:
        """Runs Terraform; gives its exit status."""
        self.errors = []
        self._log.say(f"$ {self._kernel.settings.iac.program} {' '.join(arguments[:2])}")
        self._log.flush()
        program = [self._kernel.settings.iac.program, *arguments]
        return self._place.run(program, env=self._env, line=self._line, stopping=self._stopping)

    def need(self, arguments: Sequence[str], failed: str) -> None:
        """Runs Terraform. Raises ``PlanFailed`` where it fails, with its first error."""
        status = self.run(arguments)
        if status:
            told = self._log.scrubber.text(self.errors[0]) if self.errors else f"exit status {status}"
            raise PlanFailed(f"{failed}: {told[:500]}", hint=f"uwu iac log {self._run.number}")

    def shown(self, plan_file: Any) -> bytes:
        """A plan file in Terraform's JSON. None of it is logged."""
        kept: list[str] = []
        size = 0

        def take(text: str) -> None:
            nonlocal size
            size += len(text)
            if size <= plan_json.MAX_BYTES:
                kept.append(text)

        target = self._place.root / "plan.json"
        # a line may be longer than a line of a log: a shell's redirection takes it whole
        shell = ["sh", "-c", 'exec "$1" show -json "$2" > "$3"', "sh", self._kernel.settings.iac.program]
        status = self._place.run(
            [*shell, str(plan_file), str(target)], env=self._env, line=take, stopping=self._stopping
        )
        if status:
            raise PlanFailed("terraform show failed: the plan file cannot be read", hint="look in the log")
        data = target.read_bytes()
        target.unlink()
        return data

    def _stopping(self) -> bool:
        self._log.flush()
        return store.is_cancelled(self._kernel, self._run.id)

    def _line(self, text: str) -> None:
        if not text.startswith("{"):
            if text.strip():
                self._log.say(text, "error" if text.startswith(("Error:", "│ Error:")) else "info")
                if "Error:" in text:
                    self.errors.append(text.partition("Error:")[2].strip())
            return
        try:
            told = codec.decode(text)
        except msgspec.DecodeError:
            self._log.say(text)
            return
        message, level = str(told.get("@message", "")), str(told.get("@level", "info"))
        level = {"warn": "warning"}.get(level, level)
        diagnostic = told.get("diagnostic")
        if isinstance(diagnostic, dict):
            message = ": ".join(filter(None, [str(diagnostic.get("summary", "")), str(diagnostic.get("detail", ""))]))
            address = str(diagnostic.get("address") or "")
            if diagnostic.get("severity") == "error":
                self.errors.append(f"{address}: {message}" if address else message)
                if address:
                    self.outcomes[address] = {"status": "failed", "told": self._log.scrubber.text(message)[:1000]}
            message = f"{address}: {message}" if address else message
        hook = told.get("hook")
        if isinstance(hook, dict) and told.get("type") in ("apply_complete", "apply_errored"):
            address = str((hook.get("resource") or {}).get("addr", ""))
            done = told["type"] == "apply_complete"
            before = self.outcomes.get(address)
            if before is None or before["status"] == "done":
                self.outcomes[address] = {"status": "done" if done else "failed", "told": str(hook.get("action", ""))}
        if told.get("type") != "version" and message:
            self._log.say(message, level)


@contextmanager
def opened(
    kernel: Kernel,
    run: Run,
    stack: Entity,
    place: Sandbox,
    principal: Principal,
    phase: credentials.Phase,
    log: Log,
) -> Generator[Tools]:
    """Credentials and the state of one phase, while it lasts; its secrets stay out of the log."""
    wanted = credentials.Wanted(
        run=run.id,
        number=run.number,
        stack=run.stack,
        account=str(stack.spec.get("account") or ""),
        phase=phase,
        requested_by=principal.ref,
        seconds=kernel.settings.iac.run_minutes * 60,
    )

    def locked(id: str) -> None:
        with kernel.db.write() as connection:
            store.update(connection, run.id, lock_id=id)

    port = credentials.of(kernel)
    issued = port.issue(wanted)
    try:
        log.scrubber.add(issued.env.values())
        log.scrubber.add(_of_state(kernel, run.state))
        log.say(f"{issued.told}, until {codec.iso(issued.expires_at)}")
        with Backend(kernel, principal, run.state, writes=phase == "apply", locked=locked) as backend:
            log.scrubber.add([backend.password])
            yield Tools(kernel, run, place, {**issued.env, **backend.env}, log)
    finally:
        port.revoke(issued)


def _of_state(kernel: Kernel, key: str) -> list[str]:
    """The secrets that the current state holds: texts to keep out of the log."""
    if state_version(kernel, key) is None:
        return []
    data = state_store.current_content(kernel, f"{state_store.SCHEME}{key}")
    try:
        found = state.parse(data, key)
    except UwuError:
        return []
    texts: list[str] = []
    for instance in found.instances:
        for value in sensitive.secrets(instance.type, instance.attributes, instance.sensitive):
            texts += _texts(value)
    outputs = codec.decode(data).get("outputs")
    for output in (outputs or {}).values():
        if isinstance(output, dict) and output.get("sensitive"):
            texts += _texts(output.get("value"))
    return texts


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for each in value.values() for text in _texts(each)]
    return [text for each in value for text in _texts(each)] if isinstance(value, list) else []
