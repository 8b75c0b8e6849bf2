"""Security groups as declared: what no declaration holds is revoked, what is missing is authorized.

The rules that differ come from the declaring tool's own comparer, one protocol, port range and peer each. Missing ones
are authorized first, so that nothing that is declared is cut meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from uwu.domains.inventory import plan as shared
from uwu.kernel import aws_errors, codec, declared, domain, drift, urns
from uwu.kernel.errors import BadInput
from uwu.kernel.model import Declaration, Difference, Resource
from uwu.kernel.plans import Action, Done, Plan, PlannedChange, Step
from uwu.kernel.rules import ATTRIBUTE
from uwu.kernel.runtime import Kernel

TYPE = "aws_vpc_security_group"
DIRECTIONS = {"ingress": "IpPermissions", "egress": "IpPermissionsEgress"}
_PORTS = frozenset({"tcp", "udp", "icmp", "icmpv6"})
_ORDER = {Action.CREATE: 0, Action.UPDATE: 1, Action.DELETE: 2}

Rule = dict[str, Any]
"""``direction``, ``protocol``, ``from_port``, ``to_port``, one of ``cidr``, ``prefix_list`` and ``group``, and
``description``; what does not apply is left out. ``group`` is ``self`` for the group that holds the rule."""


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Findings of drifted groups, or the groups themselves."""

    findings: list[str] = []
    subjects: list[str] = []


def plan(kernel: Kernel, request: Mapping[str, Any]) -> Plan:
    """The changes that bring the rules of the groups to what is declared. Raises ``BadInput``."""
    wanted = shared.asked(request, Request)
    with kernel.db.read() as connection:
        found = shared.findings(connection, wanted.findings)
        for number, finding in enumerate(found):
            if finding.type != TYPE or finding.path.partition(".")[0] not in DIRECTIONS:
                raise BadInput(
                    f"{finding.id} is not about the rules of a security group: {finding.title}",
                    code="finding-unfit",
                    place=f"/request/findings/{number}",
                )
        subjects = list(dict.fromkeys([f.subject for f in found] + [urns.canonical(s) for s in wanted.subjects]))
        shared.not_too_many(subjects)
        held = shared.resources(connection, subjects)
        declarations = {subject: declared.declarations(connection, urn=subject) for subject in subjects}
        total = shared.total(connection, (r.account for r in held.values()), TYPE)
    changes: list[PlannedChange] = []
    notes: list[str] = []
    for subject in subjects:
        resource = held.get(subject)
        if resource is None or resource.type != TYPE:
            what = "does not exist" if resource is None else "is no security group"
            raise BadInput(f"{subject} {what}", code="subject-unfit", place="/request", hint="uwu findings")
        differences = _differences(kernel, resource, declarations[subject])
        if differences is None:
            notes.append(f"{resource.name} is not declared: nothing says what its rules should be")
        elif not differences:
            notes.append(f"the rules of {resource.name} are as declared")
        changes += _changes(resource, differences or [])
    return Plan(
        domain="inventory",
        title=_title([held[s] for s in subjects]),
        changes=tuple(changes),
        declared_hash=codec.digest([[s, *map(_said, declarations[s])] for s in sorted(subjects)]),
        observed_hash=codec.digest([[s, _rules_of(held[s])] for s in sorted(subjects)]),
        subjects_total=total,
        notes=tuple(notes),
    )


def _said(declaration: Declaration) -> list[Any]:
    """What it declares, without its place: a state that was written anew says nothing new by that."""
    return [declaration.id, declaration.declared_type, declaration.attributes]


def _title(groups: Sequence[Resource]) -> str:
    if len(groups) == 1:
        return f"Restore the declared rules of {groups[0].name}"
    return f"Restore the declared rules of {len(groups)} security groups"


def _differences(kernel: Kernel, resource: Resource, declarations: Sequence[Declaration]) -> list[Difference] | None:
    """Where the rules are not as declared; None where nothing declares the group."""
    comparers = domain.comparers_of(kernel.domains)
    declaring = [d for d in declarations if d.declared_type in comparers]
    if not declaring:
        return None
    return [
        difference
        for declaration in declaring
        for difference in comparers[declaration.declared_type][0](declaration, resource)
        if difference.path.partition(".")[0] in DIRECTIONS
    ]


def _rules_of(resource: Resource) -> list[Any]:
    return [resource.attributes.get(member) for member in DIRECTIONS.values()]


def _changes(resource: Resource, differences: Iterable[Difference]) -> list[PlannedChange]:
    changes: list[PlannedChange] = []
    for difference in differences:
        direction = difference.path.partition(".")[0]
        reason = drift.finding_id(ATTRIBUTE, resource.urn, difference.path)
        missing = [{"direction": direction, **rule} for rule in difference.declared or ()]
        extra = [{"direction": direction, **rule} for rule in difference.observed or ()]
        for rule in missing:
            # the same rule under another description is one rule to AWS
            twin = next((each for each in extra if _same(each, rule)), None)
            if twin is not None:
                extra.remove(twin)
            changes.append(_change(resource.urn, twin, rule, reason))
        changes += [_change(resource.urn, rule, None, reason) for rule in extra]
    return sorted(changes, key=lambda change: _ORDER[change.action])


def _change(subject: str, before: Rule | None, after: Rule | None, reason: str) -> PlannedChange:
    if before is None:
        assert after is not None
        action, title = Action.CREATE, f"authorize {told(after)}"
    elif after is None:
        action, title = Action.DELETE, f"revoke {told(before)}"
    else:
        action, title = Action.UPDATE, f"describe {told(after)} as {after.get('description', '')!r}"
    return PlannedChange(subject=subject, action=action, title=title, before=before, after=after, reason=reason)


def told(rule: Rule) -> str:
    """``ingress tcp 22 from 0.0.0.0/0``."""
    protocol = "all" if rule["protocol"] == "-1" else rule["protocol"]
    low, high = rule.get("from_port", -1), rule.get("to_port", -1)
    ports = "" if low == -1 else f" {low}" if low == high else f" {low}-{high}"
    peer = rule.get("cidr") or rule.get("prefix_list") or rule.get("group", "")
    way = "from" if rule["direction"] == "ingress" else "to"
    return f"{rule['direction']} {protocol}{ports} {way} {'itself' if peer == 'self' else peer}"


def _same(one: Rule, other: Rule) -> bool:
    return _bare(one) == _bare(other)


def _bare(rule: Rule) -> Rule:
    return {key: value for key, value in rule.items() if key != "description"}


# ---- taking back


def undo(kernel: Kernel, original: Plan, done: Sequence[PlannedChange]) -> Plan:
    """Each change that was done the other way round, the last one first, where the world still is as it left it."""
    subjects = sorted({change.subject for change in done})
    with kernel.db.read() as connection:
        held = shared.resources(connection, subjects)
        total = shared.total(connection, (r.account for r in held.values()), TYPE)
    changes: list[PlannedChange] = []
    notes: list[str] = []
    for change in reversed(done):
        resource = held.get(change.subject)
        if resource is None:
            notes.append(f"{urns.short(change.subject)} does not exist any more")
        elif (change.after is not None) != _has(resource, change.after or change.before):
            notes.append(f"{resource.name}: {told(change.after or change.before)} was changed since")
        else:
            changes.append(_change(change.subject, change.after, change.before, ""))
    return Plan(
        domain="inventory",
        title=f"Take back: {original.title}",
        changes=tuple(sorted(changes, key=lambda change: _ORDER[change.action])),
        declared_hash=codec.digest(codec.builtins(list(done))),
        observed_hash=codec.digest([[s, _rules_of(held[s]) if s in held else None] for s in subjects]),
        subjects_total=total,
        notes=tuple(notes),
    )


# ---- applying


_CALLS = {
    Action.CREATE: ("authorize_security_group_{}", "ec2:AuthorizeSecurityGroup{}"),
    Action.UPDATE: (
        "update_security_group_rule_descriptions_{}",
        "ec2:UpdateSecurityGroupRuleDescriptions{}",
    ),
    Action.DELETE: ("revoke_security_group_{}", "ec2:RevokeSecurityGroup{}"),
}
_ALREADY = frozenset({"InvalidPermission.Duplicate", "InvalidPermission.NotFound"})
"""EC2 itself tells what is so already: a look before the call could be overtaken by another's write."""


def apply(step: Step, change: PlannedChange) -> Done:
    """Authorizes, describes or revokes one rule in the role that applies. Raises ``UwuError``."""
    arn = urns.parse(change.subject)
    if arn is None:
        raise BadInput(f"{change.subject} is no ARN", code="subject-unfit")
    rule: Rule = change.after if change.after is not None else change.before
    group = urns.short(change.subject)
    call, operation = (part.format(_word(part, rule["direction"])) for part in _CALLS[change.action])
    note = f"{operation} {group} {told(rule)}"
    permission = permission_of(rule, group)
    client = step.aws.client("ec2", arn.account, arn.region)
    try:
        answer = getattr(client, call)(GroupId=group, IpPermissions=[permission])
    except (ClientError, BotoCoreError) as error:
        so = aws_errors.code_of(error) in _ALREADY and change.action is not Action.UPDATE
        if so and _is_so(step, change, arn.account, arn.region):
            return Done(note=f"{note}: it was so", already=True)
        raise shared.refused(step, operation, error) from None
    # the default VPC's groups answer so instead of an error (EC2 API, RevokeSecurityGroupIngress)
    return Done(note=note, already=bool(answer.get("UnknownIpPermissions")))


def _is_so(step: Step, change: PlannedChange, account: str, region: str) -> bool:
    """Whether the group is as the change would leave it: a rule that is there under other words is not gone."""
    group = urns.short(change.subject)
    client = step.kernel.aws.client("ec2", account, region)
    try:
        (found,) = client.describe_security_groups(GroupIds=[group])["SecurityGroups"]
    except (ClientError, BotoCoreError) as error:
        raise shared.refused(step, "ec2:DescribeSecurityGroups", error) from None
    return _holds(found, group, change.after or change.before) == (change.after is not None)


def _word(part: str, direction: str) -> str:
    return direction if part.islower() else direction.capitalize()


def permission_of(rule: Rule, own: str, *, describe: bool = True) -> dict[str, Any]:
    """AWS's ``IpPermission`` of one rule (EC2 API)."""
    permission: dict[str, Any] = {"IpProtocol": rule["protocol"]}
    if rule["protocol"] in _PORTS:
        permission |= {"FromPort": rule.get("from_port", -1), "ToPort": rule.get("to_port", -1)}
    if rule.get("cidr"):
        member, key = ("Ipv6Ranges", "CidrIpv6") if ":" in rule["cidr"] else ("IpRanges", "CidrIp")
        peer = {key: rule["cidr"]}
    elif rule.get("prefix_list"):
        member, peer = "PrefixListIds", {"PrefixListId": rule["prefix_list"]}
    else:
        member = "UserIdGroupPairs"
        peer = {"GroupId": own if rule["group"] == "self" else rule["group"]}
    if describe and rule.get("description"):
        peer["Description"] = rule["description"]
    permission[member] = [peer]
    return permission


def _has(resource: Resource, rule: Rule) -> bool:
    return _holds(resource.attributes, urns.short(resource.urn), rule)


def _holds(attributes: Mapping[str, Any], group: str, rule: Rule) -> bool:
    """Whether the group as EC2 describes it has the rule, whatever its description."""
    wanted = permission_of(rule, group, describe=False)
    ((member, (peer,)),) = ((k, v) for k, v in wanted.items() if isinstance(v, list))
    ((key, value),) = peer.items()
    for permission in attributes.get(DIRECTIONS[rule["direction"]]) or ():
        ports = ("IpProtocol", "FromPort", "ToPort") if rule["protocol"] in _PORTS else ("IpProtocol",)
        same = all(permission.get(name) == wanted.get(name) for name in ports)
        if same and any(each.get(key) == value for each in permission.get(member) or ()):
            return True
    return False
