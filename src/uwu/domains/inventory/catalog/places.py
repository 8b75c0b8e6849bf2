"""Where AWS offers a service, as botocore's endpoints say: what tells a region without it from a broken network."""

from __future__ import annotations

from functools import cache
from typing import Any

import botocore.session


@cache
def _offered() -> dict[str, frozenset[str]]:
    """Endpoint prefix -> the regions of all partitions in which it is."""
    found: dict[str, frozenset[str]] = {}
    data: dict[str, Any] = botocore.session.Session().get_component("data_loader").load_data("endpoints")
    for partition in data["partitions"]:
        for service, told in partition["services"].items():
            found[service] = found.get(service, frozenset()) | frozenset(told["endpoints"])
    return found


@cache
def missing(service: str, region: str) -> bool:
    """Whether ``service``, as botocore names it, is known to be in other regions and not in ``region``."""
    model = botocore.session.Session().get_service_model(service)
    regions = _offered().get(str(model.metadata["endpointPrefix"]))
    return regions is not None and region not in regions
