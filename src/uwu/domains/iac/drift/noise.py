"""What a refresh tells as changed and nobody has changed: each a rule with a name, so that it can be seen and argued.

Noise is told in the drift of a run, marked with its rule; it never opens a finding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from uwu.kernel import codec

_NOTHING: tuple[Any, ...] = (None, "", [], {})
_LISTS = frozenset({"Action", "NotAction", "Resource", "NotResource", "AWS", "Service", "Federated", "CanonicalUser"})
"""Members of an IAM policy whose one value may stand alone or in a list, in any order."""


@dataclass(frozen=True)
class Told:
    """One attribute that differs, as a noise rule sees it."""

    type: str
    path: str
    """``tags.env``; the attribute's own name comes first."""
    before: Any
    after: Any
    was: Mapping[str, Any]
    """All that the state says of the resource."""
    row: Mapping[str, Any]
    """All that the resource has after the refresh."""

    @property
    def name(self) -> str:
        """The attribute."""
        return self.path.partition(".")[0]


@dataclass(frozen=True)
class Noise:
    """A reason for which a difference is none."""

    id: str
    why: str
    holds: Callable[[Told], bool]


COMPUTED: dict[str, frozenset[str]] = {
    "*": frozenset(
        {"arn", "etag", "last_modified", "last_modified_date", "last_updated", "last_updated_date", "modified_at"}
        | {"updated_at", "update_time", "unique_id", "owner_id", "timeouts"}
    ),
    "aws_instance": frozenset(
        {"instance_state", "public_ip", "public_dns", "private_dns", "password_data", "primary_network_interface_id"}
    ),
    "aws_lambda_function": frozenset(
        {"version", "qualified_arn", "qualified_invoke_arn", "source_code_size", "signing_job_arn", "code_sha256"}
    ),
    "aws_db_instance": frozenset({"latest_restorable_time", "status", "resource_id", "engine_version_actual"}),
    "aws_rds_cluster": frozenset({"engine_version_actual", "cluster_members"}),
    "aws_launch_template": frozenset({"latest_version"}),
    "aws_ecs_task_definition": frozenset({"revision"}),
    "aws_autoscaling_group": frozenset({"predicted_capacity", "warm_pool_size"}),
    "aws_dynamodb_table": frozenset({"stream_label", "stream_arn"}),
    "aws_iam_role": frozenset({"create_date"}),
    "aws_iam_policy": frozenset({"attachment_count", "policy_id"}),
    "aws_route53_zone": frozenset({"primary_name_server"}),
    "aws_kms_key": frozenset({"key_id"}),
    "aws_acm_certificate": frozenset({"not_after", "not_before", "status", "renewal_summary", "pending_renewal"}),
    "aws_s3_object": frozenset({"version_id", "etag"}),
}
"""Type (``*`` for all) -> attributes that only the provider computes: no configuration can set them."""

ORDERLESS = frozenset(
    {"availability_zones", "cidr_blocks", "ipv6_cidr_blocks", "managed_policy_arns", "prefix_list_ids"}
    | {"security_groups", "security_group_ids", "subnet_ids", "subnets", "tag", "tags", "vpc_security_group_ids"}
)
"""Attributes whose lists have no order in AWS."""


def _computed(told: Told) -> bool:
    return told.name in COMPUTED["*"] or told.name in COMPUTED.get(told.type, ())


def _default(told: Told) -> bool:
    return told.before in _NOTHING and told.after in _NOTHING


def _json(told: Told) -> bool:
    before, after = _parsed(told.before), _parsed(told.after)
    return before is not None and after is not None and _settled(before) == _settled(after)


def _parsed(value: Any) -> Any:
    """The object or list that a text holds as JSON; None for any other."""
    if not isinstance(value, str) or value.lstrip()[:1] not in ("{", "["):
        return None
    try:
        return codec.decode(value.encode())
    except ValueError:
        return None


def _settled(value: Any, name: str = "") -> Any:
    """A JSON value in the one form that says the same as all others."""
    if isinstance(value, dict):
        return {key: _settled(each, key) for key, each in value.items()}
    if name in _LISTS:
        several = value if isinstance(value, list) else [value]
        return sorted(codec.encode(each).decode() for each in several)
    return [_settled(each) for each in value] if isinstance(value, list) else value


def _order(told: Told) -> bool:
    if told.path.rpartition(".")[2] not in ORDERLESS:
        return False
    both = (told.before, told.after)
    if not all(isinstance(each, list) for each in both):
        return False
    before, after = (sorted(codec.encode(one).decode() for one in each) for each in both)
    return before == after


def _repeats(told: Told) -> bool:
    if told.name != "tags_all":
        return False
    before, after = told.was.get("tags") or {}, told.row.get("tags") or {}
    key = told.path.partition(".")[2]
    if key:
        return before.get(key) == told.before and after.get(key) == told.after
    return bool(before or after) and (before, after) == (told.before or {}, told.after or {})


def _aws_tag(told: Told) -> bool:
    return told.name in {"tags", "tags_all"} and told.path.partition(".")[2].startswith("aws:")


RULES: tuple[Noise, ...] = (
    Noise("computed", "only the provider computes it: no configuration can set it", _computed),
    Noise("default", "nothing and nothing are the same: null, an empty text, an empty list", _default),
    Noise("json", "the same JSON, written otherwise", _json),
    Noise("order", "the same members in another order, where order means nothing", _order),
    Noise("repeats", "tags_all repeats what tags says", _repeats),
    Noise("aws-tag", "AWS sets the tags whose keys begin with aws:", _aws_tag),
)
IGNORED = Noise("ignored", "the stack says in drift.ignore that it is let be", lambda _: False)


def of(told: Told) -> str:
    """The id of the first rule by which the difference is none; empty where it is one."""
    return next((rule.id for rule in RULES if rule.holds(told)), "")


def ignored(address: str, type: str, path: str, patterns: Iterable[str]) -> bool:
    """Whether a stack's ``drift.ignore`` names the attribute, or one that holds it: ``aws_instance.tags``,
    ``module.db.aws_db_instance.main.engine_version`` or ``*.tags_all``."""
    for pattern in patterns:
        for owner in (address, type, "*"):
            if pattern.startswith(f"{owner}."):
                wanted = pattern[len(owner) + 1 :]
                if path == wanted or path.startswith(f"{wanted}."):
                    return True
    return False
