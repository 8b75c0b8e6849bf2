"""Every type that is observed, and the shards that hold them: one shard is (account, region, group of services)."""

from __future__ import annotations

from collections.abc import Iterable

from uwu.domains.inventory import types_app, types_data, types_ec2, types_iam
from uwu.domains.inventory.model import Spec

SPECS: tuple[Spec, ...] = (*types_ec2.SPECS, *types_iam.SPECS, *types_data.SPECS, *types_app.SPECS)

SERVICES: dict[str, tuple[Spec, ...]] = {
    service: tuple(spec for spec in SPECS if spec.service == service)
    for service in dict.fromkeys(spec.service for spec in SPECS)
}
"""Service -> its types, in the order in which one shard reads them."""

GROUPS: dict[str, tuple[str, ...]] = {
    "ec2": ("ec2",),
    "regional": tuple(s for s, specs in SERVICES.items() if s != "ec2" and not specs[0].everywhere),
    "s3": ("s3",),
    "global": tuple(s for s, specs in SERVICES.items() if s != "s3" and specs[0].everywhere),
}
"""Services that one shard reads one after the other: a durable job costs about as much as three calls, and most
services of most regions answer a single, empty page. Those with calls for each resource are alone."""

ACCOUNT = "aws_account"
"""The type of accounts; Organizations tells them, not a shard."""


def shards(account: str, regions: Iterable[str], home_region: str) -> list[tuple[str, str, str]]:
    """(account, region, group) of every shard of ``account``: global services once, in the home region."""
    once = [(account, home_region, group) for group in ("global", "s3")]
    return once + [(account, region, group) for region in regions for group in ("ec2", "regional")]
