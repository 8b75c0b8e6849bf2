"""Generates the catalog of operations from the models of the installed botocore."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import botocore
import botocore.loaders
import botocore.session

from uwu.domains.inventory.catalog import infer, names, overlay
from uwu.domains.inventory.catalog.infer import Identity, Shapes
from uwu.domains.inventory.catalog.model import FILE, NO_IDENTITY, Catalog, Row, encode
from uwu.domains.inventory.model import ITS_ACCOUNT

_LISTS = frozenset({"List", "Describe"})
_PAGED = frozenset({"Get", "Search", "Query", "Lookup", "View", "Fetch", "BatchGet", "BatchDescribe"})
_TELLS = frozenset({"List", "Describe", "Get", "BatchGet", "BatchDescribe"})
_FIXED: dict[tuple[str, str], str] = {
    ("budgets", "AccountId"): ITS_ACCOUNT,
    ("quicksight", "AwsAccountId"): ITS_ACCOUNT,
    ("ram", "resourceOwner"): "SELF",
    ("s3control", "AccountId"): ITS_ACCOUNT,
    ("wafv2", "Scope"): "REGIONAL",
}
"""(service, argument) -> the one value that it is asked with."""
_SIZES = frozenset({"MaxResults", "maxResults", "MaxResult", "Limit", "PageSize"})
"""Sizes of a page: those that are required are asked with the most that there may be."""
_NEEDED: dict[tuple[str, str], str] = {
    ("ecs", "ListContainerInstances"): "cluster",
    ("ecs", "ListServices"): "cluster",
    ("ecs", "ListTasks"): "cluster",
    ("efs", "DescribeMountTargets"): "FileSystemId",
    ("elbv2", "DescribeListeners"): "LoadBalancerArn",
    ("iam", "ListAccessKeys"): "UserName",
    ("iam", "ListMFADevices"): "UserName",
    ("iam", "ListSSHPublicKeys"): "UserName",
    ("iam", "ListServiceSpecificCredentials"): "UserName",
    ("iam", "ListSigningCertificates"): "UserName",
    ("kinesis", "DescribeStream"): "StreamName",
    ("kinesis", "DescribeStreamSummary"): "StreamName",
    ("kinesis", "ListShards"): "StreamName",
    ("kinesis", "ListTagsForStream"): "StreamName",
    ("logs", "DescribeLogStreams"): "logGroupName",
    ("network-firewall", "DescribeFirewall"): "FirewallArn",
    ("network-firewall", "DescribeFirewallPolicy"): "FirewallPolicyArn",
    ("network-firewall", "DescribeRuleGroup"): "RuleGroupArn",
    ("s3vectors", "ListIndexes"): "vectorBucketName",
    ("wafv2", "GetLoggingConfiguration"): "ResourceArn",
}
"""Arguments that AWS requires and its models do not."""
_PLURAL = re.compile(r"(?<!Setting)(?<!Statu)(?<!Detail)(?<!Statistic)(?<!Acces)s$")
"""``GetLifecyclePolicies`` lists, though it has no pages."""
_SECRETS = re.compile(
    r"SecretValue|Password|Credentials?$|Token$|Presigned|Screenshot|Download|SignedUrl|^Get(Parameter|Object)$"
)
"""What answers with a secret, or with data, is never asked for each of anything."""
_TOKENS = ("token", "marker", "cursor")
_TAGGED = ("resource_arn", "arn", "resource_id", "resource", "resource_identifier", "resource_name")
"""What the operations that list the tags of a resource call it."""
_ENDS = ("identifier", "arn", "name", "id", "url")


class Listed(NamedTuple):
    """The one list in an answer."""

    path: str
    text: str
    """The member that a bare text becomes; empty where the items are structures."""
    shape: str
    """The shape of an item."""


@dataclass
class Service:
    """One service's model."""

    name: str
    model: Mapping[str, Any]
    paginators: Mapping[str, Any]
    everywhere: bool
    unclear: int = 0
    lists: list[tuple[Row, str]] = field(default_factory=list)
    """The lists that need no argument, and the shape of their items."""

    @cached_property
    def shapes(self) -> Shapes:
        return self.model["shapes"]

    @cached_property
    def kinds(self) -> frozenset[str]:
        """The kinds of EC2's ARNs; every other service's items tell their ARN, or have none."""
        return frozenset(self.shapes["ResourceType"]["enum"]) if self.name == "ec2" else frozenset()

    def required(self, operation: str) -> list[str]:
        """The arguments without which it cannot be asked."""
        shape = self.model["operations"][operation].get("input", {}).get("shape", "")
        needed = list(self.shapes[shape].get("required", ())) if shape else []
        return needed or [name for name in [_NEEDED.get((self.name, operation), "")] if name]

    def output(self, operation: str) -> str:
        return self.model["operations"][operation].get("output", {}).get("shape", "")


def build() -> Catalog:
    """The catalog of the installed botocore: the same bytes for the same version."""
    loader: botocore.loaders.Loader = botocore.session.Session().get_component("data_loader")
    partition = next(p for p in loader.load_data("endpoints")["partitions"] if p["partition"] == "aws")
    once = {name for name, told in partition["services"].items() if told.get("isRegionalized") is False}
    rows: list[Row] = []
    unclear = 0
    for name in sorted(loader.list_available_services("service-2")):
        model: Mapping[str, Any] = loader.load_service_model(name, "service-2")
        try:
            paginators: Mapping[str, Any] = loader.load_service_model(name, "paginators-1")["pagination"]
        except botocore.loaders.UnknownServiceError:
            paginators = {}
        service = Service(name, model, paginators, model["metadata"]["endpointPrefix"] in once or name in once)
        rows += _rows(service)
        unclear += service.unclear
    return Catalog(botocore.__version__, tuple(rows), unclear)


def write(catalog: Catalog) -> None:
    """Writes ``catalog`` in place. Raises ``OSError`` where the installation is not to be written to."""
    installed().write_bytes(encode(catalog))


def installed() -> Path:
    """Where the file lies in this installation."""
    return Path(str(files("uwu.domains.inventory.catalog") / FILE))


def _rows(service: Service) -> list[Row]:
    operations = sorted(service.model["operations"])
    for operation in operations:
        fixed = _fixed(service, operation)
        if fixed is not None and _lists(service, operation):
            found = _listed(service, operation)
            if found is None:
                service.unclear += 1
                continue
            service.lists.append((_row(service, operation, "list", found, **fixed), found.shape))
    rows = [row for row, _ in service.lists]
    parents = _parents(service)
    for operation in operations:
        needed = service.required(operation)
        if len(needed) != 1 or names.verb(operation) not in _TELLS or _SECRETS.search(operation):
            continue
        if _fixed(service, operation) is not None:
            continue
        row = _second(service, operation, needed[0], parents)
        if row is not None:
            rows.append(row)
        elif _lists(service, operation):
            service.unclear += 1
    return rows


def _fixed(service: Service, operation: str) -> dict[str, Any] | None:
    """The argument that is the same for all, as a row tells it; None where it takes others."""
    needed = service.required(operation)
    if len(needed) == 1 and (service.name, needed[0]) in _FIXED:
        return {"argument": needed[0], "given": _FIXED[service.name, needed[0]]}
    if len(needed) == 1 and needed[0] in _SIZES:
        shape = service.model["operations"][operation]["input"]["shape"]
        told = service.shapes[service.shapes[shape]["members"][needed[0]]["shape"]]
        return {"argument": needed[0], "given": str(told.get("max", 50))}
    return None if needed else {}


def _lists(service: Service, operation: str) -> bool:
    verb = names.verb(operation)
    if verb == "Get" and _PLURAL.search(operation):
        return True
    return verb in _LISTS or (verb in _PAGED and operation in service.paginators)


# ---- the list in an answer


def _listed(service: Service, operation: str) -> Listed | None:
    """The one list of an answer of ``operation``: the paginator's, that of its noun, or the only one there is."""
    output = service.output(operation)
    if not output:
        return None
    candidates = list(_candidates(service, output))
    if not candidates:
        return None
    keys = service.paginators.get(operation, {}).get("result_key", ())
    keys = [keys] if isinstance(keys, str) else list(keys)
    noun = names.noun(operation)
    named = [found for found in candidates if names.member(found[0].rpartition(".")[2]) in {noun, f"{noun}_list"}]
    paged = sorted((found for found in candidates if found[0] in keys), key=lambda found: keys.index(found[0]))
    for some in (named, paged, candidates):
        if len(some) == 1:
            return _inner(service, *some[0], noun)
    loose = [found for found in paged or candidates if infer.same(names.member(found[0].rpartition(".")[2]), noun)]
    if len(loose) == 1:
        return _inner(service, *loose[0], noun)
    # further lists of an answer tell about the first: what could not be read, what else there is
    return _inner(service, *paged[0], noun) if paged else None


def _candidates(service: Service, shape: str, path: str = "") -> Iterator[tuple[str, str]]:
    """(path, shape of an item) of the lists in an answer, below structures that only hold one."""
    shapes = service.shapes
    held = infer.members(shapes, shape)
    for name, ref in held.items():
        told = shapes[ref["shape"]]
        if told["type"] == "list" and not any(token in name.lower() for token in _TOKENS):
            inner = told["member"]["shape"]
            if shapes[inner]["type"] in {"structure", "string"}:
                yield f"{path}{name}", inner
        elif (
            told["type"] == "structure"
            and not path
            and (len(held) == 1 or "Items" in infer.members(shapes, ref["shape"]))
        ):
            yield from _candidates(service, ref["shape"], f"{name}.")


def _inner(service: Service, path: str, shape: str, noun: str) -> Listed:
    """The list itself, or the one of the noun in each of its items: ``Reservations[].Instances[]``."""
    shapes = service.shapes
    if shapes[shape]["type"] == "string":
        return Listed(path, names.text(path.rpartition(".")[2]), shape)
    held = infer.members(shapes, shape)
    if names.member(path.rpartition(".")[2]) != noun:
        for name, ref in held.items():
            told = shapes[ref["shape"]]
            if names.member(name) == noun and told["type"] == "list":
                inner = told["member"]["shape"]
                if shapes[inner]["type"] == "structure":
                    return Listed(f"{path}[].{name}[]", "", inner)
    if len(held) <= 2:
        # {"Key": {...}} and {"Type": "managed", "CachePolicy": {...}}: the one structure is what is listed
        structures = [(n, r["shape"]) for n, r in held.items() if infer.kind(shapes, r) == "structure"]
        if len(structures) == 1 and infer.same(names.member(structures[0][0]), noun):
            return Listed(f"{path}[].{structures[0][0]}", "", structures[0][1])
    return Listed(path, "", shape)


def _row(
    service: Service,
    operation: str,
    form: str,
    found: Listed,
    *,
    parent: str = "",
    argument: str = "",
    given: str = "",
    many: bool = False,
) -> Row:
    shapes, noun = service.shapes, names.noun(operation)
    if found.text:
        plain = names.member(found.text)
        own = Identity(found.text, found.text if plain.endswith("arn") else "", found.text, "", "")
        if own.arn:
            own = own._replace(id="", name="")
    else:
        own = infer.identity(shapes, found.shape, noun, service.kinds)
    return Row(
        service=service.name,
        operation=operation,
        form=form,
        path=found.path,
        text=found.text,
        noun=noun,
        everywhere=service.everywhere,
        paginated=operation in service.paginators,
        id=own.id,
        arn=own.arn,
        name=own.name,
        tags=own.tags,
        created=own.created,
        members=len(infer.members(shapes, found.shape)),
        parent=parent,
        argument=argument,
        given=given,
        many=many,
        links=infer.links(shapes, found.shape, own, noun),
        noise=infer.noise(shapes, found.shape, own),
        secret=infer.secrets(shapes, found.shape, own),
        left_out=overlay.reason(service.name, operation),
    )


# ---- what is asked for each item of a list


class Parent(NamedTuple):
    """A list whose items may fill an argument."""

    row: Row
    members: Mapping[str, str]
    """Plain name -> member of an item that is a text."""


def _parents(service: Service) -> list[Parent]:
    shapes = service.shapes
    found: list[Parent] = []
    for row, shape in service.lists:
        if row.text:
            found.append(Parent(row, {names.member(row.text): row.text}))
            continue
        texts = {
            names.member(n): n for n, r in infer.members(shapes, shape).items() if infer.kind(shapes, r) == "string"
        }
        found.append(Parent(row, texts))
    return found


def _second(service: Service, operation: str, argument: str, parents: Sequence[Parent]) -> Row | None:
    shapes = service.shapes
    shape = service.model["operations"][operation]["input"]["shape"]
    told = shapes[shapes[shape]["members"][argument]["shape"]]
    many = told["type"] == "list"
    if many:
        told = shapes[told["member"]["shape"]]
    if told["type"] != "string" or told.get("enum"):
        return None
    best: tuple[int, Parent, str] | None = None
    for parent in parents:
        score, given = _fits(operation, names.member(argument), parent)
        if score and (best is None or score > best[0]):
            best = score, parent, given
    if best is None:
        return None
    _, parent, given = best
    kept: dict[str, Any] = {"parent": parent.row.operation, "argument": argument, "given": given, "many": many}
    output = service.output(operation)
    tags = _tags(service, output) if output and "Tags" in operation else ""
    if tags:
        return _tell(service, operation, "tags", Listed(tags, "", output), parent, kept)
    plural = _lists(service, operation) and not (many and infer.same(names.noun(operation), parent.row.noun))
    listed = _listed(service, operation) if plural else None
    if listed is not None and not _one(service, operation, parent):
        return _row(service, operation, "each", listed, **kept)
    if not output:
        return None
    return _tell(service, operation, "detail", _thing(service, operation, output, many), parent, kept)


def _tags(service: Service, shape: str, path: str = "") -> str:
    """The path of the tags in an answer; empty where it has none."""
    held = infer.members(service.shapes, shape)
    found = infer.tags_of(service.shapes, held)
    if found:
        return f"{path}{found}"
    inner = [(name, ref["shape"]) for name, ref in held.items() if infer.kind(service.shapes, ref) == "structure"]
    return _tags(service, inner[0][1], f"{inner[0][0]}.") if len(inner) == 1 and not path else ""


def _one(service: Service, operation: str, parent: Parent) -> bool:
    """Whether it tells the parent itself: ``DescribeCluster``, whose answer happens to hold a list."""
    tells = names.verb(operation) != "List" and names.noun(operation) == parent.row.noun
    return tells and not operation.endswith("s") and operation not in service.paginators


def _thing(service: Service, operation: str, output: str, many: bool) -> Listed:
    """The one thing in an answer: its only structure, the first of its only list, else the answer itself."""
    shapes = service.shapes
    held = infer.members(shapes, output)
    noun = names.noun(operation)
    if many:
        lists = list(_candidates(service, output))
        named = [found for found in lists if infer.same(names.member(found[0]), noun)] or lists
        if named and shapes[named[0][1]]["type"] == "structure":
            return Listed(f"{named[0][0]}[0]", "", named[0][1])
    structures = [(n, r["shape"]) for n, r in held.items() if infer.kind(shapes, r) == "structure"]
    named = [(n, shape) for n, shape in structures if names.member(n) == noun]
    named = named or [(n, shape) for n, shape in structures if infer.same(names.member(n), noun)]
    if len(held) == 1 and len(structures) == 1:
        return Listed(structures[0][0], "", structures[0][1])
    if len(named) == 1 and len(held) <= 4:
        return Listed(named[0][0], "", named[0][1])
    return Listed("@", "", output)


def _tell(service: Service, operation: str, form: str, found: Listed, parent: Parent, kept: Mapping[str, Any]) -> Row:
    shown = Identity("", "", "", found.path if form == "tags" else "", "")
    shapes = service.shapes
    if form == "detail":
        own = infer.identity(shapes, found.shape, parent.row.noun)
        shown = own._replace(id="" if own.id == NO_IDENTITY else own.id)
    about = found.shape if form == "detail" else ""
    return Row(
        service=service.name,
        operation=operation,
        form=form,
        path=found.path,
        text="",
        noun=parent.row.noun,
        everywhere=service.everywhere,
        paginated=operation in service.paginators,
        id=shown.id,
        arn=shown.arn,
        name=shown.name,
        tags=shown.tags,
        created=shown.created,
        members=len(infer.members(shapes, found.shape)),
        links=infer.links(shapes, about, shown, parent.row.noun) if about else (),
        noise=infer.noise(shapes, about, shown) if about else (),
        secret=infer.secrets(shapes, about, shown) if about else (),
        left_out="",
        **kept,
    )


def _fits(operation: str, argument: str, parent: Parent) -> tuple[int, str]:
    """How well an item of ``parent`` fills ``argument`` of ``operation`` (0: not at all), and with which member."""
    noun = parent.row.noun
    said = names.member(operation[len(names.verb(operation)) :])
    near = 4 if said == noun else 2 if said.startswith(f"{noun}_") or f"_for_{noun}" in f"{said}_" else 0
    best = (1 if len(parent.row.parent) == 0 else 0) + min(parent.row.members, 20) // 10
    if argument in _TAGGED and said.startswith(("tag", "resource_tag", "list_tag")):
        own = parent.row.arn if parent.row.arn[:1] != "~" else ""
        return (3 + best, own) if own and argument != "resource_id" else (0, "")
    end = next((end for end in _ENDS if argument == end or argument.endswith(f"_{end}")), "")
    about = argument[: -len(end)].rstrip("_") if end else argument
    own = {"arn": parent.row.arn, "name": parent.row.name, "id": parent.row.id, "url": ""}.get(
        end, parent.row.id or parent.row.arn or parent.row.name
    )
    if own == NO_IDENTITY:
        own = ""
    if not about or about == "resource":  # Name, Id, Arn: it is about what the operation's own noun says
        exact = parent.members.get(argument, "") or own
        return (20 + near + best, exact) if near and exact else (0, "")
    if argument in parent.members:  # ClusterName of an item that has a ClusterName
        mine = about == noun or noun.endswith(f"_{about}") or infer.same(about, noun)
        return (40 if about == noun else 30 if mine else 8) + near + best, parent.members[argument]
    if about == noun:
        fallback = own or (parent.row.text or "")
        return (35 + near + best, fallback) if fallback else (0, "")
    if noun.endswith(f"_{about}") or about.endswith(f"_{noun}"):
        fallback = own or (parent.row.text or "")
        return (15 + near + best, fallback) if fallback else (0, "")
    return 0, ""
