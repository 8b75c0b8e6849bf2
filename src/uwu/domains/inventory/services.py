"""Every type that is observed, and the shards that hold them: one shard is (account, region, service)."""

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

ACCOUNT = "aws_account"
"""The type of accounts; Organizations tells them, not a shard."""


def shards(account: str, regions: Iterable[str], home_region: str) -> list[tuple[str, str, str]]:
    """(account, region, service) of every shard of ``account``: global services once, in the home region."""
    regional = [s for s, specs in SERVICES.items() if not specs[0].everywhere]
    once = [s for s, specs in SERVICES.items() if specs[0].everywhere]
    return [(account, home_region, s) for s in once] + [(account, region, s) for region in regions for s in regional]
