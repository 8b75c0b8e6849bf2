"""Which resources an event names: its target, and what is related.

Few writes carry AWS's own ``resources``; the rest is mined from what the call asked and answered. Candidates come, in
order of trust, from the record's own list, from explicit ARNs, from ids and members that name their own type, from the
generated action map, from aliases learned earlier, and from the rules on the account and the caller.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from uwu.domains.trail import mapping, overlay
from uwu.kernel import urns

TARGET, RELATED = "target", "related"
MAX_NAMED = 40
"""Resources kept of one event; a call that names more is about the first ones."""
_MAX_DEPTH = 8

_EC2_ID = re.compile(
    "^("
    + "|".join(sorted((*overlay.EC2_IDS, *overlay.EC2_LINKS), key=len, reverse=True))
    + r")-(?:[0-9a-f]{8}|[0-9a-f]{17})$"
)
_VERSION = re.compile(r"(?:\d{8}(?:v\d+)?|\d{4}_\d{2}_\d{2})$")
_CREATES = re.compile(
    r"^(Create|Run|Allocate|Request|Register|Copy|Import|Restore|Launch|Publish|Upload|Purchase|Clone|Add|Issue)"
)
_READS = re.compile(
    r"^(Get|List|Describe|Head|BatchGet|Search|Query|Scan|Select|View|Lookup|Test|Check|Validate|Estimate|Verify"
    r"|Encrypt|Decrypt|ReEncrypt|GenerateDataKey|GenerateMac|AssumeRole)"
)
_ACCESS_KEY = re.compile(r"^A[KS]IA[A-Z2-7]{16}$")
_NO_RESOURCE = frozenset({"HIDDEN_DUE_TO_SECURITY_REASONS", "***", ""})
_EMPTY: Mapping[str, str] = {}
_NOUN_OF_SERVICE = {"s3": "bucket", "sns": "topic", "sqs": "queue"}


class Named(NamedTuple):
    """A resource that an event names."""

    urn: str
    role: str
    """``target`` or ``related``."""
    step: str
    """How it was found: ``own``, ``arn``, ``id``, ``key``, ``map``, ``record``, ``account`` or ``principal``."""


class Aliases:
    """Other names of resources: what a call says (a role without its path, an association) -> the urn it means."""

    def __init__(self, known: Mapping[str, str] | None = None) -> None:
        self.known = dict(known or {})
        self.learned: dict[str, str] = {}

    def resolve(self, urn: str) -> str:
        return self.known.get(urn, urn)

    def learn(self, alias: str, urn: str) -> None:
        if alias != urn and self.known.get(alias) != urn:
            self.known[alias] = urn
            self.learned[alias] = urn

    def add_inventory(self, observed: Iterable[str]) -> None:
        """Learns the short forms of resources that are observed; these are not kept: the graph has them."""
        for urn in observed:
            for short in short_forms(urn):
                self.known[short] = urn


def short_forms(urn: str) -> list[str]:
    """The urns that a call gives a resource when it knows only its name: what ``Aliases`` turns into ``urn``."""
    parts = urns.parse(urn)
    if parts is None:
        return []
    head, rest = urn[: -len(parts.resource)], parts.resource
    if parts.service == "iam" and rest.count("/") > 1:
        return [f"{head}{rest.split('/', 1)[0]}/{rest.rsplit('/', 1)[1]}"]
    if parts.service == "secretsmanager" and re.search(r"-[A-Za-z0-9]{6}$", rest):
        return [head + rest[:-7]]
    if parts.service == "cloudformation" and rest.startswith("stack/") and rest.count("/") == 2:
        return [head + rest.rsplit("/", 1)[0]]
    if parts.service == "organizations" and rest.startswith("account/"):
        return [account_root(rest.rsplit("/", 1)[1], parts.partition)]
    if parts.service == "autoscaling" and ":autoScalingGroupName/" in rest:
        return [f"{head}autoScalingGroup:*:{rest.split(':', 2)[2]}"]
    return []


def account_root(account: str, partition: str = "aws") -> str:
    """The account itself, until inventory tells its ARN in the organization."""
    return f"arn:{partition}:iam::{account}:root"


def base_name(event_name: str) -> str:
    """The action without the API version that Lambda and CloudFront add: ``UpdateFunctionCode20150331v2``."""
    return _VERSION.sub("", event_name)


def is_write(record: Mapping[str, Any]) -> bool:
    """Whether the event changes anything: the field where it is given, else the verb."""
    read_only = record.get("readOnly")
    if isinstance(read_only, bool):
        return not read_only
    return not _READS.match(str(record.get("eventName") or ""))


class _Action(NamedTuple):
    """What is known of an action before any record of it is read."""

    source: str
    service: str
    name: str
    words: str
    creates: bool
    keys: Mapping[str, str]
    required: frozenset[str]
    optional: frozenset[str]
    ways: tuple[mapping.Way, ...]
    forced: str


@lru_cache(maxsize=20_000)
def _action(event_source: str, event_name: str) -> _Action:
    source = event_source.split(".", 1)[0]
    base = base_name(event_name)
    name = mapping.norm(base)
    words = name
    for word, noun in overlay.NOUN_WORDS.items():
        if word in name:
            words += " " + noun
    ways = (*overlay.WAYS.get((source, name), ()), *mapping.load().of(source, name))
    return _Action(
        source,
        overlay.SERVICES.get(source, source),
        name,
        words,
        bool(_CREATES.match(base)) and name not in {"createtags", "addtags"},
        overlay.KEYS.get(source, _EMPTY),
        frozenset(w.noun for w in ways if w.required),
        frozenset(w.noun for w in ways if not w.required),
        tuple(w for w in ways if w.template),
        overlay.TARGETS.get((source, name), "object" if source == "s3" and "bucket" not in name else ""),
    )


class _Candidate(NamedTuple):
    urn: str
    service: str
    noun: str
    origin: str
    """``r`` the record's own list, ``q`` request, ``p`` response."""
    depth: int
    key: str
    step: str


class Namer:
    """Names the resources of events. Keeps the aliases that it learns on the way."""

    def __init__(self, aliases: Aliases | None = None) -> None:
        self.aliases = aliases or Aliases()

    def name(self, record: Mapping[str, Any]) -> list[Named]:
        """The resources of a successful write, targets first; nothing where none can be named."""
        action = _action(str(record.get("eventSource") or ""), str(record.get("eventName") or ""))
        identity = record.get("userIdentity") or {}
        account = str(record.get("recipientAccountId") or identity.get("accountId") or "")
        walk = _Walk(action, account, str(record.get("awsRegion") or ""))
        walk.own(record.get("resources"))
        request, response = record.get("requestParameters"), record.get("responseElements")
        walk.enter(request, "q")
        for extra in ("additionalEventData", "serviceEventDetails"):
            if record.get(extra):
                walk.enter(record[extra], "q")
        walk.enter(response, "p")
        if action.name == "changeresourcerecordsets":
            walk.record_sets(request)
        elif action.forced == "object":
            walk.s3_object(request)
        walk.by_map(request, response)
        self._learn(walk, action)
        return self._choose(walk, action, identity, account)

    def _learn(self, walk: _Walk, action: _Action) -> None:
        for urn, noun in walk.links.items():
            parents = {c.urn for c in walk.found if c.noun == noun and c.service == "ec2"}
            if len(parents) == 1:
                self.aliases.learn(urn, parents.pop())
        for made in [c for c in walk.found if c.step in {"key", "map"}]:
            same = {
                c.urn
                for c in walk.found
                if c.step in {"own", "arn", "id"} and c.noun == made.noun and c.service == made.service
            }
            # an explicit name beats one that was put together, and tells what the other stands for
            if made.urn in same or (same and (action.creates or _means(made, same))):
                walk.found.remove(made)
                same.discard(made.urn)
                if len(same) == 1:
                    self.aliases.learn(made.urn, next(iter(same)))

    def _choose(self, walk: _Walk, action: _Action, identity: Mapping[str, Any], account: str) -> list[Named]:
        asked = {c.urn for c in walk.found if c.origin == "q"}
        scored = [(_score(c, action, asked), c) for c in walk.found]
        for urn in walk.links:
            known = self.aliases.resolve(urn)
            noun = known if known == urn else _noun(urns.parse(known))
            scored.append((6, _Candidate(known, "ec2", noun, "q", 1, "link", "id")))
        named: dict[str, Named] = {}
        if scored:
            best_score, best = max(scored, key=lambda pair: pair[0])
            if best_score > 0:
                for _, one in scored:
                    if one.key == best.key and one.noun == best.noun and one.origin == best.origin:
                        self._put(named, one, TARGET)
        if not named:
            if action.name in overlay.ACCOUNT_ACTIONS.get(action.source, ()) and account:
                urn = self.aliases.resolve(account_root(account))
                named[urn] = Named(urn, TARGET, "account")
            elif action.name in overlay.PRINCIPAL_ACTIONS.get(action.source, ()):
                urn = principal_urn(identity)
                if urn:
                    named[urn] = Named(urn, TARGET, "principal")
        for _, one in sorted(scored, key=lambda pair: -pair[0])[:MAX_NAMED]:
            self._put(named, one, RELATED)
        return list(named.values())[:MAX_NAMED]

    def _put(self, named: dict[str, Named], one: _Candidate, role: str) -> None:
        urn = self.aliases.resolve(one.urn)
        if urn not in named:
            named[urn] = Named(urn, role, one.step)


def _means(made: _Candidate, explicit: set[str]) -> bool:
    """Whether a name that was put together stands for one of the ``explicit`` ones."""
    if made.key == "launchtemplatename":
        return len(explicit) == 1
    return any(made.urn in short_forms(urn) for urn in explicit)


def principal_urn(identity: Mapping[str, Any]) -> str:
    """The urn of the identity that signed: the role behind a session, else the user; empty where none is told."""
    issuer = (identity.get("sessionContext") or {}).get("sessionIssuer") or {}
    arn = issuer.get("arn") or identity.get("arn")
    if not arn and identity.get("userName") and identity.get("accountId"):
        return urns.iam("user", str(identity["userName"]), account=str(identity["accountId"]))
    return str(arn or "")


def _score(one: _Candidate, action: _Action, asked: set[str]) -> int:
    """How surely ``one`` is what the call is about; not above zero: named in passing."""
    ours = one.service == action.service
    score = 2 if one.origin == "q" else 3 if one.origin == "r" else 0
    score -= one.depth
    if one.noun == action.forced:
        return score + 50
    if one.noun in action.required:
        score += 8
    elif one.noun in action.optional:
        score += 3
    elif not ours and one.origin != "r" and not one.key.startswith("resource"):
        return -1
    if ours and one.noun and one.noun in action.words:
        score += 6
    if action.creates and one.origin == "p" and ours and one.urn not in asked:
        score += 10
    if ours and one.origin != "p":
        score += 2
    if one.key == "arn" or (one.noun and one.key.startswith(one.noun)):
        score += 1
    return score


def _noun(parts: urns.Arn | None) -> str:
    if parts is None:
        return ""
    noun = _NOUN_OF_SERVICE.get(parts.service)
    if noun:
        return noun
    if parts.resource == "root":
        return "account"
    return mapping.noun_of(parts.resource, "")


class _Walk:
    """One pass over a record: every candidate in the order of the record."""

    def __init__(self, action: _Action, account: str, region: str) -> None:
        self.action = action
        self.account = account
        self.region = region
        self.found: list[_Candidate] = []
        self.links: dict[str, str] = {}
        """Urn of an association -> the noun of what it belongs to."""

    # ---- where candidates come from

    def own(self, resources: Any) -> None:
        for each in resources if isinstance(resources, list) else ():
            arn = isinstance(each, dict) and (each.get("ARN") or each.get("arn"))
            if isinstance(arn, str) and arn.startswith("arn:"):
                if each.get("type") == "AWS::S3::Object":
                    self.found.append(_Candidate(arn, "s3", "object", "r", 0, "resources", "own"))
                else:
                    self.arn(arn, "r", 0, f"resources{each.get('type') or ''}", "own")

    def enter(self, value: Any, origin: str) -> None:
        if isinstance(value, dict):
            if len(value) == 1 or (len(value) == 2 and "xmlns" in value):
                key, inner = next(iter(value.items()))
                if isinstance(inner, dict) and key.endswith(("Request", "Response")):
                    value = inner
            self.walk(value, origin, 0)

    def walk(self, value: dict[str, Any], origin: str, depth: int) -> None:
        if depth > _MAX_DEPTH:
            return
        for raw, inner in value.items():
            if inner is None or inner is True or inner is False:
                continue
            key = mapping.norm(raw)
            if key in overlay.SKIP:
                continue
            self.value(key, inner, origin, depth)

    def value(self, key: str, inner: Any, origin: str, depth: int) -> None:
        if isinstance(inner, str):
            self.text(key, inner, origin, depth)
        elif isinstance(inner, dict):
            if "content" in inner and "tag" in inner:
                self.value(key, inner["content"], origin, depth)
                return
            unwrapped = next((k for k in ("items", "item") if k in inner), None)
            if unwrapped is not None:
                self.value(key, inner[unwrapped], origin, depth)
            else:
                self.walk(inner, origin, depth + 1)
        elif isinstance(inner, list):
            for each in inner:
                self.value(key, each, origin, depth)

    def text(self, key: str, text: str, origin: str, depth: int) -> None:
        if text.startswith("arn:"):
            self.arn(text, origin, depth, key, "arn")
            return
        match = _EC2_ID.match(text)
        if match is not None:
            self.ec2(match[1], text, origin, depth, key)
            return
        if key == "accesskeyid" and self.action.source == "iam" and _ACCESS_KEY.match(text):
            urn = urns.access_key(text, account=self.account)
            self.found.append(_Candidate(urn, "iam", "accesskey", origin, depth, key, "id"))
            return
        template = self.action.keys.get(key)
        if template is not None and text not in _NO_RESOURCE:
            self.fill(template, (text,), origin, depth, key, "key")

    def arn(self, text: str, origin: str, depth: int, key: str, step: str) -> None:
        text = urns.canonical(text)
        if "*" in text or " " in text:
            return
        parts = urns.parse(text)
        if parts is None or (parts.service == "sts" and parts.resource.startswith("assumed-role/")):
            return
        if parts.service == "iam" and parts.account == "aws" and self.action.source != "iam":
            return
        self.found.append(_Candidate(text, parts.service, _noun(parts), origin, depth, key, step))

    def ec2(self, prefix: str, id: str, origin: str, depth: int, key: str) -> None:
        kind = overlay.EC2_IDS.get(prefix)
        if kind is None:
            urn = urns.own("ec2", "association", id, account=self.account, region=self.region)
            self.links.setdefault(urn, mapping.norm(overlay.EC2_LINKS[prefix]))
            return
        urn = urns.ec2(kind, id, account=self.account, region=self.region)
        self.found.append(_Candidate(urn, "ec2", mapping.norm(kind), origin, depth, key, "id"))

    def record_sets(self, request: Any) -> None:
        """Route 53's batch: each record set that it changes is a target."""
        batch = request.get("changeBatch") if isinstance(request, dict) else None
        zone = str(request.get("hostedZoneId") or "") if isinstance(request, dict) else ""
        for change in batch.get("changes") or () if isinstance(batch, dict) else ():
            held = change.get("resourceRecordSet") if isinstance(change, dict) else None
            if isinstance(held, dict) and held.get("name") and held.get("type") and zone:
                urn = urns.record_set(
                    zone,
                    str(held["name"]),
                    str(held["type"]),
                    account=self.account,
                    set_identifier=str(held.get("setIdentifier") or ""),
                )
                self.found.append(_Candidate(urn, "route53", "recordset", "r", 0, "recordset", "record"))

    def s3_object(self, request: Any) -> None:
        """A call on an object: it is the target, not its bucket."""
        if isinstance(request, dict) and isinstance(request.get("key"), str) and request.get("bucketName"):
            urn = f"{urns.s3_bucket(str(request['bucketName']))}/{request['key']}"
            self.found.append(_Candidate(urn, "s3", "object", "q", 0, "key", "key"))

    def by_map(self, request: Any, response: Any) -> None:
        if not self.action.ways:
            return
        asked = _flat(request, 1)
        answered: dict[str, Any] | None = None
        for way in self.action.ways:
            values: list[Any] = []
            origin = "q"
            for member in way.members:
                if member.startswith("<"):
                    if answered is None:
                        answered = _flat(response, 2)
                    values.append(answered.get(member[1:]))
                    origin = "p"
                else:
                    values.append(asked.get(member))
            if len(values) == 1 and isinstance(values[0], list):
                for each in values[0]:
                    self.fill(way.template, (each,), origin, 0, way.members[0], "map", way.noun)
            else:
                self.fill(way.template, tuple(values), origin, 0, way.members[-1], "map", way.noun)

    def fill(
        self, template: str, values: tuple[Any, ...], origin: str, depth: int, key: str, step: str, noun: str = ""
    ) -> None:
        """Adds the resource of ``template`` filled with ``values``, unless one of them is no name."""
        names: list[str] = []
        service, region, account, rest = template.split(":", 3)
        for value in values:
            if isinstance(value, int) and not isinstance(value, bool):
                value = str(value)
            if not isinstance(value, str) or value in _NO_RESOURCE or "*" in value:
                return
            if value.startswith("arn:"):
                if len(values) == 1:
                    return  # the explicit name is a candidate already
                value = re.split(r"[/:]", value)[-1]
            elif value.startswith("https://"):
                value = value.rsplit("/", 1)[-1]
            if service == "lambda" and ":" in value:
                # name:alias, or the partial ARN account:function:name[:alias]
                pieces = value.split(":")
                value = pieces[2] if len(pieces) > 2 and pieces[1] == "function" else pieces[0]
            names.append(value)
        if rest.endswith("/{}") and names[-1].startswith("/"):
            names[-1] = names[-1].lstrip("/")
        if service == "route53":
            names[-1] = names[-1].rsplit("/", 1)[-1]
        if service == "kms" and names[-1].startswith("alias/"):
            rest = "{}"
        if _EC2_ID.match(names[-1]) and service == "ec2":
            return  # ids name themselves
        resource = rest.format(*names)
        if account == "{}":
            account, resource = names[0], rest
        elif account == "A":
            account = self.account
        urn = urns.arn(
            service,
            resource,
            account=account,
            region=self.region if region == "R" else "",
            partition=urns.partition_of(self.region),
        )
        urn = urns.canonical(urn) if service != "s3" else urn
        found = _noun(urns.parse(urn)) if service != "s3" else noun or "bucket"
        self.found.append(_Candidate(urn, service, found or noun, origin, depth, key, step))


def _flat(value: Any, depth: int) -> dict[str, Any]:
    """Normalised member -> value, the outermost first, an inner one also under its outer's name; without wrappers."""
    flat: dict[str, Any] = {}
    if not isinstance(value, dict):
        return flat
    if len(value) == 1:
        key, inner = next(iter(value.items()))
        if isinstance(inner, dict) and key.endswith(("Request", "Response")):
            value = inner
    level: list[tuple[str, dict[str, Any]]] = [("", value)]
    for _ in range(depth):
        deeper: list[tuple[str, dict[str, Any]]] = []
        for outer, each in level:
            for raw, inner in each.items():
                key = mapping.norm(raw)
                flat.setdefault(key, inner)
                if outer:
                    flat.setdefault(outer + key, inner)
                if isinstance(inner, dict):
                    deeper.append((key, inner))
        level = deeper
    return flat
