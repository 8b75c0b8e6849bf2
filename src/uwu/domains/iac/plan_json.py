"""Terraform's plan in JSON (``terraform show -json FILE``, ``format_version`` 1.x), read without its secrets.

Values that Terraform marks sensitive, and those of attributes that providers are known to keep secret, are replaced
while the plan is read. Values of variables, the prior state and the planned values are dropped.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Any

import msgspec

from uwu.domains.iac import sensitive
from uwu.domains.iac.scrub import Scrubber
from uwu.kernel import codec
from uwu.kernel.errors import BadInput, Problem
from uwu.kernel.sensitive import MARK

UNKNOWN = "(known after apply)"
"""Stands in the place of a value that only the apply will tell."""
MAX_BYTES = 512 * 1_048_576
"""A larger plan is refused: one of 5,000 changes has some 20 MB."""


class Op(StrEnum):
    """What Terraform would do to one resource."""

    NONE = "no-op"
    CREATE = "create"
    READ = "read"
    UPDATE = "update"
    REPLACE = "replace"
    DELETE = "delete"
    FORGET = "forget"
    """It leaves the state and stays in the world."""


CHANGES = frozenset({Op.CREATE, Op.UPDATE, Op.REPLACE, Op.DELETE})
GONE = frozenset({Op.REPLACE, Op.DELETE})
"""What was there before is not there afterwards."""
_OPS: dict[tuple[str, ...], Op] = {
    ("no-op",): Op.NONE,
    ("create",): Op.CREATE,
    ("read",): Op.READ,
    ("update",): Op.UPDATE,
    ("delete",): Op.DELETE,
    ("forget",): Op.FORGET,
    ("delete", "create"): Op.REPLACE,
    ("create", "delete"): Op.REPLACE,
    ("forget", "create"): Op.CREATE,
    ("create", "forget"): Op.CREATE,
}


class Change(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What would be done to one resource, or in ``drift`` what was found done to it."""

    address: str
    """As Terraform prints it: ``module.db["eu"].aws_db_instance.main[0]``."""
    type: str
    op: Op
    mode: str = "managed"
    module: str = ""
    provider: str = ""
    """``registry.terraform.io/hashicorp/aws``."""
    previous_address: str = ""
    deposed: str = ""
    """The key of the deposed object that it is about; empty for the current one."""
    reason: str = ""
    """Why, in Terraform's word: ``replace_because_cannot_update``, ``delete_because_no_resource_config``."""
    imported: bool = False
    create_before_destroy: bool = False
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
    """Both without secrets; what is not known yet is ``UNKNOWN``."""
    changed: tuple[str, ...] = ()
    """The attributes that differ, secret ones by their name too."""
    forces: tuple[str, ...] = ()
    """The attributes that force a replacement."""


class Output(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An output of the root module that would change."""

    name: str
    op: Op
    sensitive: bool = False
    before: Any = None
    after: Any = None


class ModuleCall(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A module that the configuration calls."""

    address: str
    source: str
    version: str = ""
    """Its version constraint; empty for none."""


class Provisioner(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A provisioner of the configuration: it runs a command while the plan is applied."""

    address: str
    type: str


class Variable(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An input of the root module; its values are never kept."""

    name: str
    description: str = ""
    required: bool = False
    """It has no default."""
    sensitive: bool = False


class Plan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A plan of Terraform or OpenTofu, without its secrets."""

    format_version: str
    terraform_version: str = ""
    changes: tuple[Change, ...] = ()
    """Those of managed resources that are no no-op."""
    drift: tuple[Change, ...] = ()
    """``resource_drift``: what has changed outside of Terraform since it last looked."""
    outputs: tuple[Output, ...] = ()
    managed: int = 0
    """Managed instances before it, as far as the plan tells."""
    reads: int = 0
    """Data sources that are read while it is applied."""
    errored: bool = False
    """The planning failed: it cannot be applied."""
    modules: tuple[ModuleCall, ...] = ()
    provisioners: tuple[Provisioner, ...] = ()
    variables: tuple[Variable, ...] = ()
    failed_checks: tuple[str, ...] = ()
    """Addresses of ``check`` blocks and conditions that do not hold."""
    problems: tuple[Problem, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """Op -> how many resources, for the four that change something."""
        found: dict[str, int] = dict.fromkeys(("create", "update", "replace", "delete"), 0)
        for change in self.changes:
            if change.op in CHANGES:
                found[change.op.value] += 1
        return found

    @property
    def effective(self) -> tuple[Change, ...]:
        """The changes that change something."""
        return tuple(change for change in self.changes if change.op in CHANGES)

    @property
    def is_empty(self) -> bool:
        """Applying it would change nothing: no resource, no output, no state."""
        return not (self.changes or self.outputs)


def parse(data: bytes, key: str = "plan") -> Plan:
    """The plan in ``data``; ``key`` names it in errors.

    Raises ``BadInput`` with the code ``plan-empty``, ``plan-binary``, ``plan-truncated``, ``plan-json``,
    ``plan-too-large``, ``plan-state``, ``plan-stream``, ``plan-shape`` or ``plan-version``. No message holds a value of
    the plan: it may be a secret.
    """
    raw = _raw(data, key)
    problems: list[Problem] = []
    changes = list(_changes(raw, "resource_changes", key, problems))
    drift = [c for c in _changes(raw, "resource_drift", key, problems) if c.mode == "managed"]
    outputs = list(_outputs(raw))
    # a provider may repeat in a computed attribute what is sensitive in another: Terraform marks only the other
    scrubber = Scrubber(_secrets(raw)).within(codec.encode([changes, drift, outputs]))
    if scrubber:
        changes, drift, outputs = (_scrubbed(each, scrubber) for each in (changes, drift, outputs))
    prior = raw.get("prior_state")
    values = prior.get("values") if isinstance(prior, dict) else None
    modules: list[ModuleCall] = []
    provisioners: list[Provisioner] = []
    configuration = raw.get("configuration")
    root = configuration.get("root_module") if isinstance(configuration, dict) else None
    if isinstance(root, dict):
        _configured(root, "", modules, provisioners)
    return Plan(
        format_version=str(raw["format_version"]),
        terraform_version=str(raw.get("terraform_version", "")),
        changes=tuple(c for c in changes if c.mode == "managed" and c.op is not Op.NONE),
        drift=tuple(drift),
        outputs=tuple(outputs),
        managed=_managed(values.get("root_module") if isinstance(values, dict) else None)
        or sum(c.mode == "managed" and c.before is not None for c in changes),
        reads=sum(c.op is Op.READ for c in changes),
        errored=raw.get("errored") is True,
        modules=tuple(modules),
        provisioners=tuple(provisioners),
        variables=tuple(_variables(root)),
        failed_checks=tuple(_failed_checks(raw.get("checks"))),
        problems=tuple(problems),
    )


def secrets(data: bytes, key: str = "plan") -> set[str]:
    """The texts that a plan holds and nobody may read: of sensitive variables, and what its masks cover. To keep them
    out of a log; raises as ``parse``."""
    return _secrets(_raw(data, key))


def _secrets(raw: Mapping[str, Any]) -> set[str]:
    found: set[str] = set()
    configuration = raw.get("configuration")
    root = configuration.get("root_module") if isinstance(configuration, dict) else None
    declared = root.get("variables") if isinstance(root, dict) else None
    given = raw.get("variables")
    if isinstance(declared, dict) and isinstance(given, dict):
        for name, variable in declared.items():
            if isinstance(variable, dict) and variable.get("sensitive"):
                found.update(_texts((given.get(name) or {}).get("value")))
    for section in ("resource_changes", "resource_drift"):
        for entry in raw.get(section) or ():
            change = entry.get("change") if isinstance(entry, dict) else None
            if isinstance(change, dict):
                for side in ("before", "after"):
                    found.update(_covered(change.get(side), change.get(f"{side}_sensitive")))
    for change in (raw.get("output_changes") or {}).values():
        if isinstance(change, dict):
            for side in ("before", "after"):
                found.update(_covered(change.get(side), change.get(f"{side}_sensitive")))
    return found


def _variables(root: Any) -> Iterator[Variable]:
    declared = root.get("variables") if isinstance(root, dict) else None
    for name, told in sorted(declared.items()) if isinstance(declared, dict) else ():
        given = told if isinstance(told, dict) else {}
        yield Variable(
            name=str(name),
            description=str(given.get("description") or ""),
            required="default" not in given,
            sensitive=given.get("sensitive") is True,
        )


# ---- the whole


def _raw(data: bytes, key: str) -> dict[str, Any]:
    if not data.strip():
        raise BadInput("the plan is empty", code="plan-empty", place=key, hint="terraform show -json FILE > plan.json")
    if data[:2] == b"PK":
        raise BadInput(
            "this is a plan file, not its JSON",
            code="plan-binary",
            place=key,
            hint="terraform show -json FILE > plan.json, in the folder where the plan was made",
        )
    if len(data) > MAX_BYTES:
        raise BadInput(
            f"the plan has more than {MAX_BYTES // 1_048_576} MiB", code="plan-too-large", place=key, hint="part it"
        )
    try:
        raw = codec.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _malformed(data, key, error) from None
    if not isinstance(raw, dict):
        raise _shape(key, "an object is expected")
    if "serial" in raw and "lineage" in raw:
        raise BadInput(
            "this is a state, not a plan",
            code="plan-state",
            place=key,
            hint="terraform plan -out FILE, then terraform show -json FILE; states: uwu iac state import",
        )
    if "@level" in raw:
        raise _streamed(key)
    version = raw.get("format_version")
    if not isinstance(version, str):
        raise _shape(key, "it has no format_version")
    if version.partition(".")[0] != "1":
        raise BadInput(
            f"the plan's format is {version[:20]}; 1.x is read",
            code="plan-version",
            place=f"{key} /format_version",
            hint="Terraform 1.0 and later, and OpenTofu, write 1.x",
        )
    if "resource_changes" not in raw and "planned_values" not in raw and "output_changes" not in raw:
        state = "values" in raw
        raise _shape(key, "it is a state in Terraform's output format" if state else "nothing in it is planned")
    for name, kind in (("resource_changes", list), ("resource_drift", list), ("output_changes", dict)):
        if not isinstance(raw.get(name) or kind(), kind):
            raise _shape(key, f"{name} is of another form")
    return raw


def _malformed(data: bytes, key: str, error: Exception) -> BadInput:
    line = 0
    try:
        json.loads(data)
    except json.JSONDecodeError as detail:
        line = detail.lineno
        if detail.msg == "Extra data" and data.lstrip()[:1] == b"{" and b'"@level"' in data[:2000]:
            return _streamed(key)
    except UnicodeDecodeError as detail:
        line = data.count(b"\n", 0, detail.start) + 1
    place = f"{key}:{line}" if line else key
    if "truncated" in str(error):
        return BadInput("the plan ends in the middle", code="plan-truncated", place=place, hint="write it again")
    return BadInput("the plan is no JSON", code="plan-json", place=place, hint="terraform show -json FILE > plan.json")


def _streamed(key: str) -> BadInput:
    return BadInput(
        "these are Terraform's log lines, not a plan",
        code="plan-stream",
        place=key,
        hint="terraform plan -out FILE, then terraform show -json FILE > plan.json",
    )


def _shape(key: str, what: str) -> BadInput:
    return BadInput(
        f"this is no Terraform plan: {what}",
        code="plan-shape",
        place=key,
        hint="give the file that `terraform show -json FILE` prints",
    )


# ---- changes


def _scrubbed(told: list[Any], scrubber: Scrubber) -> list[Any]:
    return [
        msgspec.structs.replace(each, before=scrubber.value(each.before), after=scrubber.value(each.after))
        for each in told
    ]


def _changes(raw: Mapping[str, Any], section: str, key: str, problems: list[Problem]) -> Iterator[Change]:
    for index, entry in enumerate(raw.get(section) or ()):
        try:
            yield _change(entry)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            message = f"the change is not of the form that format 1.x has ({type(error).__name__})"
            problems.append(Problem("plan-change", message, f"{key} /{section}/{index}", "the others are read"))


def _change(entry: Mapping[str, Any]) -> Change:
    change = entry["change"]
    op = _OPS[tuple(change["actions"])]
    kind, address = str(entry["type"]), str(entry["address"])
    mode = str(entry.get("mode", "managed"))
    if op is Op.NONE:
        # its values are the state's, of which nothing is kept; whether it was there is
        there = {} if change.get("before") is not None else None
        return Change(address=address, type=kind, op=op, mode=mode, before=there)
    before, after = change.get("before"), change.get("after")
    unknown = change.get("after_unknown")
    merged = _unknown(after, unknown) if op is not Op.DELETE else after
    return Change(
        address=address,
        type=kind,
        op=op,
        mode=mode,
        module=str(entry.get("module_address", "")),
        provider=str(entry.get("provider_name", "")),
        previous_address=str(entry.get("previous_address", "")),
        deposed=str(entry.get("deposed", "")),
        reason=str(entry.get("action_reason", "")),
        imported=change.get("importing") is not None,
        create_before_destroy=change["actions"] == ["create", "delete"],
        before=_shown(kind, before, change.get("before_sensitive")),
        after=_shown(kind, merged, change.get("after_sensitive")),
        changed=tuple(_differing(before, merged)) if isinstance(before, dict) and isinstance(merged, dict) else (),
        forces=tuple(dict.fromkeys(str(path[0]) for path in change.get("replace_paths") or () if path)),
    )


def _differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    for name in sorted({*before, *after}):
        if before.get(name) != after.get(name):
            yield name


def _shown(kind: str, value: Any, mask: Any) -> dict[str, Any] | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise TypeError("values of a resource are an object")
    return sensitive.redacted(kind, _masked(value, mask), ())


def _masked(value: Any, mask: Any) -> Any:
    """``value`` with a mark where ``mask`` is true."""
    if mask is True:
        return value if value is None else MARK
    if isinstance(mask, dict) and mask and isinstance(value, dict):
        return {key: _masked(each, mask[key]) if key in mask else each for key, each in value.items()}
    if isinstance(mask, list) and mask and isinstance(value, list):
        return [_masked(each, mask[n]) if n < len(mask) else each for n, each in enumerate(value)]
    return value


def _unknown(value: Any, unknown: Any) -> Any:
    """``value`` with ``UNKNOWN`` where ``unknown`` is true."""
    if unknown is True:
        return UNKNOWN
    if isinstance(unknown, dict) and unknown:
        held: dict[str, Any] = dict(value) if isinstance(value, dict) else {}
        for key, each in unknown.items():
            known = held.get(key)
            filled = _unknown(known, each)
            if filled is not None or key in held:
                held[key] = filled
        return held if held or isinstance(value, dict) else value
    if isinstance(unknown, list) and unknown:
        items: list[Any] = list(value) if isinstance(value, list) else []
        items += [None] * (len(unknown) - len(items))
        return [_unknown(each, unknown[n]) if n < len(unknown) else each for n, each in enumerate(items)]
    return value


def _covered(value: Any, mask: Any) -> Iterator[str]:
    """The texts of ``value`` that ``mask`` covers."""
    if mask is True:
        yield from _texts(value)
    elif isinstance(mask, dict) and isinstance(value, dict):
        for key, each in mask.items():
            yield from _covered(value.get(key), each)
    elif isinstance(mask, list) and isinstance(value, list):
        for one, each in zip(value, mask, strict=False):
            yield from _covered(one, each)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)


def _outputs(raw: Mapping[str, Any]) -> Iterator[Output]:
    for name, change in sorted((raw.get("output_changes") or {}).items()):
        op = _OPS.get(tuple(change.get("actions") or ()), Op.NONE)
        if op is Op.NONE:
            continue
        hidden = bool(change.get("before_sensitive") or change.get("after_sensitive"))
        before = _masked(change.get("before"), change.get("before_sensitive"))
        after = _masked(_unknown(change.get("after"), change.get("after_unknown")), change.get("after_sensitive"))
        named = sensitive.redacted("", {name: [before, after]}, ())[name]
        yield Output(name=name, op=op, sensitive=hidden, before=named[0], after=named[1])


def _managed(module: Any) -> int:
    if not isinstance(module, dict):
        return 0
    own = sum(isinstance(r, dict) and r.get("mode") == "managed" for r in module.get("resources") or ())
    return own + sum(_managed(child) for child in module.get("child_modules") or ())


def _configured(
    module: Mapping[str, Any], address: str, modules: list[ModuleCall], provisioners: list[Provisioner]
) -> None:
    for resource in module.get("resources") or ():
        for each in resource.get("provisioners") or ():
            place = ".".join(filter(None, [address, str(resource.get("address", ""))]))
            provisioners.append(Provisioner(address=place, type=str(each.get("type", ""))))
    for name, call in sorted((module.get("module_calls") or {}).items()):
        below = ".".join(filter(None, [address, f"module.{name}"]))
        constraint = str(call.get("version_constraint", ""))
        modules.append(ModuleCall(address=below, source=str(call.get("source", "")), version=constraint))
        if isinstance(call.get("module"), dict):
            _configured(call["module"], below, modules, provisioners)


def _failed_checks(checks: Any) -> Iterable[str]:
    for check in checks or ():
        if isinstance(check, dict) and check.get("status") in ("fail", "error"):
            yield str((check.get("address") or {}).get("to_display", ""))
