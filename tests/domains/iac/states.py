"""States to write, and who writes them."""

from __future__ import annotations

import json
from typing import Any

from uwu.domains.iac import state_write
from uwu.domains.iac.state_store import Version
from uwu.domains.iac.state_write import Wanted
from uwu.kernel import audit
from uwu.kernel.audit.chain import Entry
from uwu.kernel.identity import Principal
from uwu.kernel.runtime import Kernel

CI = Principal(ref="service:default/ci", name="ci", kind="service", via="token")
MIRA = Principal(ref="user:default/mira", name="Mira", kind="human", groups=("group:default/payments",), via="session")
ADMIN = Principal(ref="user:default/ada", name="Ada", kind="human", roles=("admin",), via="session")
KEY = "default/payments"
PAYMENTS = Wanted(namespace="default", name="payments", via="http")


def resource(name: str, type: str = "aws_sqs_queue", marked: tuple[str, ...] = (), **attributes: Any) -> dict[str, Any]:
    """A managed resource with one instance; ``marked`` attributes are sensitive."""
    paths = [[{"type": "get_attr", "value": each}] for each in marked]
    instance = {"attributes": {"id": name, **attributes}, "sensitive_attributes": paths}
    return {"mode": "managed", "type": type, "name": name, "provider": "p", "instances": [instance]}


def state(serial: int, *resources: dict[str, Any], lineage: str = "1111-2222", **more: Any) -> bytes:
    """A state of version 4."""
    top = {"version": 4, "terraform_version": "1.11.4", "serial": serial, "lineage": lineage, "outputs": {}}
    return json.dumps({**top, "resources": list(resources), **more}, indent=2).encode()


def write(kernel: Kernel, data: bytes, wanted: Wanted = PAYMENTS, principal: Principal = CI) -> Version:
    return state_write.write(kernel, principal, wanted, data)


def audited(kernel: Kernel) -> list[Entry]:
    """What the audit tells of states, the oldest first."""
    with kernel.db.read() as connection:
        found = audit.entries(connection, limit=500)
    return sorted((each for each in found if each.action.startswith("iac.")), key=lambda each: each.seq)
