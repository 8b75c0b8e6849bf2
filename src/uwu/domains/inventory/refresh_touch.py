"""What a write event can have touched: which of a resource's further calls must be asked again."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from uwu.domains.inventory.model import Batch, Each, Join, Spec

Extra = Each | Batch | Join


@dataclass(frozen=True)
class Touched:
    """What is to be read of one resource."""

    item: bool
    """Its own item; else what the list said of it stands."""
    extras: tuple[Extra, ...]


_VERB = re.compile(
    r"^(?:Put|Get|List|Describe|Delete|Create|Update|Modify|Set|Reset|Add|Remove|Attach|Detach|Associate|Disassociate"
    r"|Enable|Disable|Batch|Change|Register|Deregister)+(?=[A-Z])"
)
_VERSION = re.compile(r"(?:\d{8}(?:v\d+)?|\d{4}_\d{2}_\d{2})$")
_GONE = re.compile(r"^(?:Delete|Terminate|Deregister|Release|Remove|Purge|Cancel|Destroy|Unsubscribe|Schedule)")

_BY_NAME: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("apigatewayv2", "CreateApiMapping"): ("GetApiMappings",),
    ("apigatewayv2", "DeleteApiMapping"): ("GetApiMappings",),
    ("apigatewayv2", "UpdateApiMapping"): ("GetApiMappings",),
    ("ec2", "ModifyManagedPrefixList"): ("GetManagedPrefixListEntries",),
    ("ec2", "RestoreManagedPrefixListVersion"): ("GetManagedPrefixListEntries",),
    ("elbv2", "CreateRule"): ("DescribeRules",),
    ("elbv2", "DeleteRule"): ("DescribeRules",),
    ("elbv2", "DeregisterTargets"): ("DescribeTargetHealth",),
    ("elbv2", "ModifyRule"): ("DescribeRules",),
    ("elbv2", "RegisterTargets"): ("DescribeTargetHealth",),
    ("elbv2", "SetRulePriorities"): ("DescribeRules",),
    ("events", "PutTargets"): ("ListTargetsByRule",),
    ("events", "RemoveTargets"): ("ListTargetsByRule",),
    ("lambda", "AddPermission"): ("GetPolicy",),
    ("lambda", "RemovePermission"): ("GetPolicy",),
    ("rds", "ModifyDBClusterSnapshotAttribute"): ("DescribeDBClusterSnapshotAttributes",),
    ("rds", "ModifyDBSnapshotAttribute"): ("DescribeDBSnapshotAttributes",),
    ("s3", "PutBucketNotification"): ("GetBucketNotificationConfiguration",),
    ("s3", "PutBucketPublicAccessBlock"): ("GetPublicAccessBlock",),
    ("s3", "DeleteBucketPublicAccessBlock"): ("GetPublicAccessBlock",),
    ("wafv2", "AssociateWebACL"): ("ListResourcesForWebACL",),
    ("wafv2", "DisassociateWebACL"): ("ListResourcesForWebACL",),
}
"""(service, event) -> the calls that show what it did, where their names do not say so."""

_ITEM_TOO = frozenset({("ec2", "ModifyManagedPrefixList"), ("ec2", "RestoreManagedPrefixListVersion")})
"""Events of ``_BY_NAME`` that change the item itself as well."""


def base_name(event: str) -> str:
    """The action without the API version that Lambda and CloudFront add."""
    return _VERSION.sub("", event)


def deletes(events: Iterable[str]) -> bool:
    """Whether one of ``events`` is a deletion by its name."""
    return any(_GONE.match(event) for event in events)


def all_of(spec: Spec) -> Touched:
    """Everything."""
    return Touched(True, spec.extras)


def touched(spec: Spec, events: Iterable[str]) -> Touched:
    """What ``events`` (their names) can have touched of a resource of ``spec`` that is known; no events: everything."""
    events = [base_name(event) for event in events]
    if not events:
        return all_of(spec)
    wanted: set[str] = set()
    item = False
    for event in events:
        named = _extras_of(spec, event)
        wanted.update(named)
        item = item or not named or (spec.service, event) in _ITEM_TOO
    if not item and any(_merges(extra) and extra.operation in wanted for extra in spec.extras):
        item = True  # what such a call no longer tells can only be seen by putting the item together anew
    chosen = tuple(each for each in spec.extras if each.operation in wanted or (item and _merges(each)))
    return Touched(item, chosen)


def _extras_of(spec: Spec, event: str) -> set[str]:
    """The operations of ``spec`` that show what ``event`` did; empty where it may have changed the item."""
    named = _BY_NAME.get((spec.service, event))
    if named is not None:
        return {extra.operation for extra in spec.extras if extra.operation in named}
    if "Tag" in event:
        return {extra.operation for extra in spec.extras if not isinstance(extra, Join) and extra.into == spec.tags}
    noun = _noun(event)
    return {extra.operation for extra in spec.extras if noun and _noun(extra.operation) == noun}


def _noun(operation: str) -> str:
    """``PutBucketPolicy`` -> ``bucketpolicy``."""
    found = _VERB.sub("", operation)
    return found.lower() if found != operation else ""


def _merges(extra: Extra) -> bool:
    """Whether what it tells becomes members of the item, of which it is not known which are its own."""
    return isinstance(extra, Join) or not extra.into
