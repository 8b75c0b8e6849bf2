"""EC2 and VPC."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from uwu.domains.iac.compare.base import MISSING, Side, block, last, names, plain, seen
from uwu.kernel.model import Declaration, Difference, Resource


def instance(declaration: Declaration, resource: Resource) -> Sequence[Difference]:
    """``aws_instance``."""
    side = Side(declaration, resource)
    o = side.observed
    side.same("instance_type", seen(o, "InstanceType"))
    side.same("ami", seen(o, "ImageId"))
    side.same("subnet_id", seen(o, "SubnetId"))
    side.same_set("vpc_security_group_ids", names(o.get("SecurityGroups"), "GroupId"), empty_is_unset=True)
    side.same("source_dest_check", seen(o, "SourceDestCheck"))
    monitoring = seen(o, "Monitoring", "State")
    side.same("monitoring", monitoring if monitoring is MISSING else monitoring in {"enabled", "pending"})
    side.same("iam_instance_profile", last(seen(o, "IamInstanceProfile", "Arn", default="")), norm=last)
    side.same("disable_api_termination", seen(o, "DisableApiTermination"))
    side.same("ebs_optimized", seen(o, "EbsOptimized"))
    side.same("key_name", seen(o, "KeyName", default=""))
    _metadata(side)
    side.tags()
    return side.differences


def _metadata(side: Side) -> None:
    """One difference for the metadata service: whether it asks for a token is a matter of security."""
    options = block(side.declared, "metadata_options")
    members = {
        "http_tokens": "HttpTokens",
        "http_endpoint": "HttpEndpoint",
        "http_put_response_hop_limit": "HttpPutResponseHopLimit",
    }
    left: dict[str, Any] = {}
    right: dict[str, Any] = {}
    for name, member in members.items():
        observed = seen(side.observed, "MetadataOptions", member)
        if options.get(name) is not None and observed is not MISSING and options[name] != observed:
            left[name], right[name] = options[name], observed
    if left:
        side.differ("metadata_options", left, right)


def volume(declaration: Declaration, resource: Resource) -> Sequence[Difference]:
    """``aws_ebs_volume``."""
    side = Side(declaration, resource)
    side.same("size", seen(side.observed, "Size"))
    side.same("type", seen(side.observed, "VolumeType"))
    side.same("encrypted", seen(side.observed, "Encrypted"))
    for name, member in (("iops", "Iops"), ("throughput", "Throughput")):
        if side.declared.get(name):  # 0 is what the provider writes where the type has none to set
            side.same(name, seen(side.observed, member))
    side.tags()
    return side.differences


def vpc(declaration: Declaration, resource: Resource) -> Sequence[Difference]:
    """``aws_vpc`` and ``aws_default_vpc``."""
    side = Side(declaration, resource)
    side.same("cidr_block", seen(side.observed, "CidrBlock"))
    side.same("instance_tenancy", seen(side.observed, "InstanceTenancy"))
    side.same("enable_dns_support", seen(side.observed, "EnableDnsSupport"))
    side.same("enable_dns_hostnames", seen(side.observed, "EnableDnsHostnames"))
    side.tags()
    return side.differences


def subnet(declaration: Declaration, resource: Resource) -> Sequence[Difference]:
    """``aws_subnet`` and ``aws_default_subnet``."""
    side = Side(declaration, resource)
    side.same("cidr_block", seen(side.observed, "CidrBlock"))
    side.same("map_public_ip_on_launch", seen(side.observed, "MapPublicIpOnLaunch"))
    side.same("assign_ipv6_address_on_creation", seen(side.observed, "AssignIpv6AddressOnCreation"))
    side.tags()
    return side.differences


def network_interface(declaration: Declaration, resource: Resource) -> Sequence[Difference]:
    """``aws_network_interface``."""
    side = Side(declaration, resource)
    side.same("description", seen(side.observed, "Description", default=""))
    side.same("subnet_id", seen(side.observed, "SubnetId"))
    side.same("source_dest_check", seen(side.observed, "SourceDestCheck"))
    side.same_set("security_groups", names(side.observed.get("Groups"), "GroupId"), empty_is_unset=True)
    side.tags()
    return side.differences


def address(declaration: Declaration, resource: Resource) -> Sequence[Difference]:
    """``aws_eip``: where it points, if its own declaration says so (an association may be a resource of its own)."""
    side = Side(declaration, resource)
    if side.declared.get("instance"):
        side.same("instance", seen(side.observed, "InstanceId", default=""))
    elif side.declared.get("network_interface"):
        side.same("network_interface", seen(side.observed, "NetworkInterfaceId", default=""))
    side.tags()
    return side.differences


def image(declaration: Declaration, resource: Resource) -> Sequence[Difference]:
    """``aws_ami`` and those made by copy or from an instance."""
    side = Side(declaration, resource)
    side.same("description", seen(side.observed, "Description", default=""))
    side.tags()
    return side.differences


def launch_template(declaration: Declaration, resource: Resource) -> Sequence[Difference]:
    """``aws_launch_template``: a version made beside Terraform, or another default."""
    side = Side(declaration, resource)
    side.same("default_version", seen(side.observed, "DefaultVersionNumber"))
    side.same("latest_version", seen(side.observed, "LatestVersionNumber"))
    side.tags()
    return side.differences


def load_balancer(declaration: Declaration, resource: Resource) -> Sequence[Difference]:
    """``aws_lb``."""
    side = Side(declaration, resource)
    o = side.observed
    scheme = seen(o, "Scheme")
    side.same("internal", scheme if scheme is MISSING else scheme == "internal")
    side.same("ip_address_type", seen(o, "IpAddressType"))
    side.same_set("security_groups", o.get("SecurityGroups"), empty_is_unset=True)
    side.same_set("subnets", names(o.get("AvailabilityZones"), "SubnetId"), empty_is_unset=True)
    side.tags()
    return side.differences


def target_group(declaration: Declaration, resource: Resource) -> Sequence[Difference]:
    """``aws_lb_target_group``, its health check as one difference."""
    side = Side(declaration, resource)
    o = side.observed
    side.same("port", seen(o, "Port"))
    side.same("protocol", seen(o, "Protocol"))
    side.same("vpc_id", seen(o, "VpcId"))
    declared = block(side.declared, "health_check")
    observed = {
        "enabled": seen(o, "HealthCheckEnabled"),
        "path": seen(o, "HealthCheckPath"),
        "port": seen(o, "HealthCheckPort"),
        "protocol": seen(o, "HealthCheckProtocol"),
        "interval": seen(o, "HealthCheckIntervalSeconds"),
        "timeout": seen(o, "HealthCheckTimeoutSeconds"),
        "healthy_threshold": seen(o, "HealthyThresholdCount"),
        "unhealthy_threshold": seen(o, "UnhealthyThresholdCount"),
        "matcher": seen(o, "Matcher", "HttpCode", default=seen(o, "Matcher", "GrpcCode")),
    }
    left: dict[str, Any] = {}
    right: dict[str, Any] = {}
    for name, value in observed.items():
        wanted = declared.get(name)
        if wanted in (None, "") or value is MISSING or wanted == plain(value, wanted):
            continue
        left[name], right[name] = wanted, value
    if left:
        side.differ("health_check", left, right)
    side.tags()
    return side.differences
