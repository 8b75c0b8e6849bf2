"""Terraform's raw state, version 4 (``internal/states/statefile`` of Terraform and OpenTofu), as it is stored."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from uwu.kernel import codec
from uwu.kernel.errors import BadInput, Problem

VERSION = 4


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    """One managed resource instance of a state."""

    address: str
    """As Terraform prints it: ``module.db["eu"].aws_db_instance.main[0]``."""
    type: str
    provider: str
    """The provider's configuration with its alias; instances of one share account and region."""
    attributes: dict[str, Any]
    sensitive: tuple[tuple[str | int, ...], ...] = ()
    """Paths of attributes that Terraform marks sensitive."""


class Remote(msgspec.Struct, frozen=True, kw_only=True):
    """A data source that reads the outputs of another state. What it read is not kept: it may be secret."""

    address: str
    type: str
    """``terraform_remote_state`` or ``tfe_outputs``."""
    backend: str
    config: dict[str, str]
    """Where the other state lies: ``bucket`` and ``key``, ``address``, ``path``, ``organization`` and ``workspace``."""


class State(msgspec.Struct, frozen=True, kw_only=True):
    """A state: who wrote it, how often, and what it holds."""

    key: str
    serial: int
    lineage: str
    terraform_version: str
    instances: tuple[Instance, ...]
    data_sources: int = 0
    """Data instances, which declare nothing and are left out."""
    remotes: tuple[Remote, ...] = ()
    """The other states whose outputs it reads."""
    problems: tuple[Problem, ...] = ()

    @property
    def place(self) -> str:
        """The state's key and serial: where a declaration of it lies."""
        return f"{self.key}#{self.serial}"


def parse(data: bytes, key: str) -> State:
    """The state in ``data``; ``key`` names it in errors.

    Raises ``BadInput`` with the code ``state-empty``, ``state-truncated``, ``state-json``, ``state-encrypted``,
    ``state-shape`` or ``state-version``. No message holds a part of the state: it may be a secret.
    """
    if not data.strip():
        raise BadInput("the state is empty", code="state-empty", place=key, hint="run terraform apply once, or drop it")
    try:
        raw = codec.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _malformed(data, key, error) from None
    if not isinstance(raw, dict):
        raise _shape(key, "the top is no object")
    if "encrypted_data" in raw:
        raise BadInput(
            "the state is encrypted (OpenTofu)",
            code="state-encrypted",
            place=key,
            hint="give uwu a decrypted copy: tofu state pull > plain.tfstate",
        )
    version = raw.get("version")
    if version != VERSION:
        told = f"of version {version}" if isinstance(version, int) else "of no version"
        raise BadInput(
            f"the state is {told}; version {VERSION} is read",
            code="state-version",
            place=key,
            hint="Terraform 0.12 and later write version 4: run terraform init and terraform apply -refresh-only"
            if isinstance(version, int) and version < VERSION
            else "give the file that `terraform state pull` prints",
        )
    resources = raw.get("resources", [])
    resources = [] if resources is None else resources
    if not isinstance(resources, list) or not isinstance(raw.get("serial", 0), int):
        raise _shape(key, "resources must be a list and serial a number")
    instances: list[Instance] = []
    problems: list[Problem] = []
    remotes: list[Remote] = []
    data_sources = 0
    for index, resource in enumerate(resources):
        try:
            found = list(_instances(resource))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            message = f"the resource is not of the form that version 4 has ({type(error).__name__})"
            problems.append(Problem("state-resource", message, f"{key} /resources/{index}", "the others are read"))
            continue
        if resource.get("mode") == "managed":
            instances.extend(found)
        else:
            data_sources += len(found)
            remotes += [_remote(each) for each in found if each.type in _REMOTE]
    return State(
        key=key,
        serial=raw.get("serial", 0),
        lineage=str(raw.get("lineage", "")),
        terraform_version=str(raw.get("terraform_version", "")),
        instances=tuple(instances),
        data_sources=data_sources,
        remotes=tuple(remotes),
        problems=tuple(problems),
    )


def _malformed(data: bytes, key: str, error: Exception) -> BadInput:
    place = key
    try:
        json.loads(data)
    except json.JSONDecodeError as detail:
        place = f"{key}:{detail.lineno}"
    except UnicodeDecodeError as detail:
        line = data.count(b"\n", 0, detail.start) + 1
        place = f"{key}:{line}"
    if "truncated" in str(error):
        return BadInput(
            "the state ends in the middle", code="state-truncated", place=place, hint="fetch it again; it was cut off"
        )
    return BadInput(
        "the state is no JSON",
        code="state-json",
        place=place,
        hint="a merge conflict or an editor may have broken it; restore the version before",
    )


def _shape(key: str, what: str) -> BadInput:
    return BadInput(
        f"this is no Terraform state: {what}",
        code="state-shape",
        place=key,
        hint="give the file that `terraform state pull` prints, not a plan and not `terraform show -json`",
    )


def _instances(resource: Mapping[str, Any]) -> Iterator[Instance]:
    module = resource.get("module") or ""
    base = f"{resource['type']}.{resource['name']}"
    if resource["mode"] != "managed":
        base = f"data.{base}"
    for instance in resource["instances"]:
        if instance.get("deposed"):
            continue  # on its way out: the declared one is its successor
        key = instance.get("index_key")
        address = ".".join(filter(None, [module, base])) + _index(key)
        attributes = instance.get("attributes")
        if attributes is None:
            attributes = _unflattened(instance.get("attributes_flat") or {})
        yield Instance(
            address=address,
            type=str(resource["type"]),
            provider=str(resource.get("provider", "")),
            attributes=dict(attributes),
            sensitive=tuple(_path(path) for path in instance.get("sensitive_attributes") or []),
        )


_REMOTE = frozenset({"terraform_remote_state", "tfe_outputs"})
_PLACES = ("bucket", "key", "path", "address", "organization", "hostname")


def _remote(instance: Instance) -> Remote:
    given = instance.attributes
    told = given.get("config")
    if isinstance(told, dict) and isinstance(told.get("value"), dict):  # a value of any type comes with its type
        told = told["value"]
    if not isinstance(told, dict):
        told = given
    config = {name: told[name] for name in _PLACES if isinstance(told.get(name), str)}
    workspace = told.get("workspace") or given.get("workspace")
    spaces = told.get("workspaces")
    for each in spaces if isinstance(spaces, list) else [spaces]:
        if isinstance(each, dict):
            workspace = each.get("name") or workspace
    if isinstance(workspace, str):
        config["workspace"] = workspace
    return Remote(address=instance.address, type=instance.type, backend=str(given.get("backend") or ""), config=config)


def _index(key: Any) -> str:
    """``[0]`` or ``["name"]``, quoted as HCL is."""
    if key is None:
        return ""
    if isinstance(key, str):
        quoted = json.dumps(key, ensure_ascii=False)
        return f"[{quoted.replace('${', '$${').replace('%{', '%%{')}]"
    return f"[{int(key)}]"


def _path(steps: Any) -> tuple[str | int, ...]:
    path: list[str | int] = []
    for step in steps:
        value = step["value"]
        path.append(value["value"] if isinstance(value, Mapping) else value)
    return tuple(path)


def _unflattened(flat: Mapping[str, str]) -> dict[str, Any]:
    """What a pre-0.12 provider left: its plain attributes, and its tags; nested ones need a refresh first."""
    attributes: dict[str, Any] = {name: value for name, value in flat.items() if "." not in name}
    tags = {name.removeprefix("tags."): v for name, v in flat.items() if name.startswith("tags.") and name != "tags.%"}
    return {**attributes, "tags": tags}
