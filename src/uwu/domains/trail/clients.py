"""Through what a call came, by its user agent: what people recognise, not a list of every SDK."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

_KNOWN = tuple(
    (re.compile(pattern, re.IGNORECASE), name)
    for pattern, name in (
        (r"\bopentofu\b", "OpenTofu"),
        (r"\bterraform\b", "Terraform"),
        (r"\bpulumi\b", "Pulumi"),
        (r"^cloudformation\.amazonaws\.com$", "CloudFormation"),
        (r"\baws-?cdk\b", "AWS CDK"),
        (r"\bcloud-custodian\b|\bc7n\b", "Cloud Custodian"),
        (r"\bansible\b|\bapn/1\.0 ansible", "Ansible"),
        (r"\bcrossplane\b", "Crossplane"),
        (r"\bexec-env/CloudShell\b", "AWS CloudShell"),
        (r"\baws-cli/", "AWS CLI"),
        (r"^(AWS Toolkit|aws-toolkit)", "AWS Toolkit"),
        (r"AWSPowerShell|\bPowerShell\b", "AWS Tools for PowerShell"),
        (
            r"(console|signin)\.amazonaws\.com|S3Console|\bRDS Console\b|AWS[ -]?Console|^\[?Mozilla/|awsconsole",
            "AWS console",
        ),
        (r"\bkubernetes|\baws-load-balancer-controller|\bkarpenter|\bcluster-autoscaler", "Kubernetes"),
        (r"amazon-ssm-agent", "SSM agent"),
        (r"\bboto3/|\bbotocore/", "boto3"),
        (r"aws-sdk-go", "AWS SDK for Go"),
        (r"aws-sdk-java", "AWS SDK for Java"),
        (r"aws-sdk-(js|nodejs|node)", "AWS SDK for JavaScript"),
        (r"aws-sdk-(\w+)", "an AWS SDK"),
    )
)
_UNIQUE = re.compile(r"[_-][0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]+$")
_SERVICE = re.compile(r"^[a-z0-9.-]+\.amazonaws\.com$")


@lru_cache(maxsize=10_000)
def of_agent(agent: str) -> str:
    """The client that an agent string tells; empty where it tells none."""
    agent = agent.strip()
    for pattern, name in _KNOWN:
        if pattern.search(agent):
            return name
    if _SERVICE.match(agent):
        return agent
    head = re.match(r"\[?([A-Za-z][\w .-]{1,40})", _UNIQUE.sub("", agent))
    return head[1].strip() if head is not None and agent not in {"AWS Internal", "-"} else ""


def through(record: Mapping[str, Any]) -> str:
    """How a call came: ``Terraform``, ``AWS console``, ``AWS CLI``, a service; empty where nothing tells."""
    if record.get("sessionCredentialFromConsole") == "true":
        name = of_agent(str(record.get("userAgent") or ""))
        return name if name in {"AWS CloudShell", "AWS console"} else "AWS console"
    invoked = str((record.get("userIdentity") or {}).get("invokedBy") or "")
    name = of_agent(str(record.get("userAgent") or ""))
    if name or not invoked or invoked == "AWS Internal":
        return name
    return "CloudFormation" if invoked == "cloudformation.amazonaws.com" else invoked
