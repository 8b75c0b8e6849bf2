"""How CloudTrail writes EC2's calls, which is two ways.

Older calls have keys of their own for lists (``instancesSet``) whose elements lie under ``items``. Newer calls lie
under ``<Name>Request`` and ``<Name>Response`` and keep the names of the query protocol: an element of a list tells its
place in ``tag``, a plain value stands in ``content``, and a list of one is that one.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from botocore.model import ListShape, StructureShape

REDACTED = "<sensitiveDataRemoved>"
XML = "http://ec2.amazonaws.com/doc/2016-11-15/"

NEWER = frozenset(
    f"{verb}{noun}"
    for verb, nouns in {
        "Create": ("EgressOnlyInternetGateway", "Fleet", "FlowLogs", "LaunchTemplate", "LaunchTemplateVersion"),
        "Delete": ("EgressOnlyInternetGateway", "FlowLogs", "LaunchTemplate", "NatGateway", "VpcEndpoints"),
        "Describe": (
            "AddressTransfers",
            "AddressesAttribute",
            "EgressOnlyInternetGateways",
            "FlowLogs",
            "Hosts",
            "InstanceCreditSpecifications",
            "LaunchTemplateVersions",
            "LaunchTemplates",
            "NatGateways",
            "VpcClassicLinkDnsSupport",
            "VpcEndpointServiceConfigurations",
            "VpcEndpoints",
        ),
        "Modify": ("LaunchTemplate", "VpcEndpoint"),
    }.items()
    for noun in nouns
) | {"CreateNatGateway", "CreateVpcEndpoint"}

_LISTS = {
    "AllocationIds": ("allocationIdsSet", "allocationId"),
    "AttributeNames": ("accountAttributeNameSet", "attributeName"),
    "BlockDeviceMappings": ("blockDeviceMapping", ""),
    "CustomerGatewayIds": ("customerGatewaySet", "customerGatewayId"),
    "DhcpOptionsIds": ("dhcpOptionsSet", "dhcpOptionsId"),
    "ExecutableUsers": ("executableBySet", "user"),
    "Filters": ("filterSet", ""),
    "GroupIds": ("securityGroupIdSet", "groupId"),
    "GroupNames": ("securityGroupSet", "groupName"),
    "Groups": ("groupSet", "groupId"),
    "ImageIds": ("imagesSet", "imageId"),
    "InstanceIds": ("instancesSet", "instanceId"),
    "InternetGatewayIds": ("internetGatewayIdSet", "internetGatewayId"),
    "IpPermissions": ("ipPermissions", ""),
    "IpRanges": ("ipRanges", ""),
    "Ipv6Ranges": ("ipv6Ranges", ""),
    "KeyNames": ("keySet", "keyName"),
    "KeyPairIds": ("keyPairIdSet", "keyPairId"),
    "NetworkAclIds": ("networkAclIdSet", "networkAclId"),
    "NetworkInterfaceIds": ("networkInterfaceIdSet", "networkInterfaceId"),
    "NetworkInterfaces": ("networkInterfaceSet", ""),
    "Owners": ("ownersSet", "owner"),
    "PlacementGroupIds": ("placementGroupIdSet", "groupId"),
    "PrefixListIds": ("prefixListIds", ""),
    "PublicIps": ("publicIpsSet", "publicIp"),
    "RegionNames": ("regionSet", "regionName"),
    "Resources": ("resourcesSet", "resourceId"),
    "RestorableByUserIds": ("sharedUsersSet", "user"),
    "RouteTableIds": ("routeTableIdSet", "routeTableId"),
    "SecurityGroupIds": ("groupSet", "groupId"),
    "SecurityGroups": ("groupSet", "groupName"),
    "SnapshotIds": ("snapshotSet", "snapshotId"),
    "SubnetIds": ("subnetSet", "subnetId"),
    "TagSpecifications": ("tagSpecificationSet", ""),
    "Tags": ("tagSet", ""),
    "UserIdGroupPairs": ("groups", ""),
    "Values": ("valueSet", "value"),
    "VolumeIds": ("volumeSet", "volumeId"),
    "VpcIds": ("vpcSet", "vpcId"),
    "VpcPeeringConnectionIds": ("vpcPeeringConnectionIdSet", "vpcPeeringConnectionId"),
    "VpnConnectionIds": ("vpnConnectionSet", "vpnConnectionId"),
    "VpnGatewayIds": ("vpnGatewaySet", "vpnGatewayId"),
    "ZoneIds": ("availabilityZoneIdSet", "zoneId"),
    "ZoneNames": ("availabilityZoneSet", "zoneName"),
}
_GRANTS = frozenset({"Add", "Remove"})
_PLAIN_LISTS = frozenset({"Tags"})
"""Lists that within a structure of a request stand without ``items``."""
_NAMES = {
    ("CreateSecurityGroup", "Description"): "groupDescription",
    ("CreateVolume", "AvailabilityZone"): "zone",
    ("DescribePlacementGroups", "GroupNames"): "placementGroupSet",
}
_ATTRIBUTES = {"LaunchPermission": "launchPermission", "CreateVolumePermission": "createVolumePermission"}
"""What a call that grants access tells in ``attributeType``."""
_ALWAYS = {
    "DescribeAccountAttributes": ("accountAttributeNameSet", "filterSet"),
    "DescribeAddresses": ("publicIpsSet", "allocationIdsSet", "filterSet"),
    "DescribeAvailabilityZones": ("availabilityZoneSet", "availabilityZoneIdSet", "filterSet"),
    "DescribeCustomerGateways": ("customerGatewaySet", "filterSet"),
    "DescribeDhcpOptions": ("dhcpOptionsSet", "filterSet"),
    "DescribeImages": ("executableBySet", "imagesSet", "ownersSet", "filterSet"),
    "DescribeInstanceStatus": ("instancesSet", "filterSet"),
    "DescribeInstances": ("instancesSet", "filterSet"),
    "DescribeInternetGateways": ("internetGatewayIdSet", "filterSet"),
    "DescribeKeyPairs": ("keySet", "keyPairIdSet", "filterSet"),
    "DescribeNetworkAcls": ("networkAclIdSet", "filterSet"),
    "DescribeNetworkInterfaces": ("networkInterfaceIdSet", "filterSet"),
    "DescribePlacementGroups": ("placementGroupSet", "placementGroupIdSet", "filterSet"),
    "DescribeRegions": ("regionSet",),
    "DescribeRouteTables": ("routeTableIdSet", "filterSet"),
    "DescribeSecurityGroups": ("securityGroupSet", "securityGroupIdSet", "filterSet"),
    "DescribeSnapshots": ("snapshotSet", "ownersSet", "sharedUsersSet", "filterSet"),
    "DescribeSubnets": ("subnetSet", "filterSet"),
    "DescribeTags": ("filterSet",),
    "DescribeVolumeStatus": ("volumeSet", "filterSet"),
    "DescribeVolumes": ("volumeSet", "filterSet"),
    "DescribeVpcClassicLink": ("vpcSet", "filterSet"),
    "DescribeVpcPeeringConnections": ("vpcPeeringConnectionIdSet", "filterSet"),
    "DescribeVpcs": ("vpcSet", "filterSet"),
    "DescribeVpnConnections": ("vpnConnectionSet", "filterSet"),
    "DescribeVpnGateways": ("vpnGatewaySet", "filterSet"),
    "CreateNetworkInterface": ("groupSet", "privateIpAddressesSet"),
    "RunInstances": ("blockDeviceMapping", "monitoring"),
}
"""Lists that stand, empty, where the caller gave none."""
_RULE_LISTS = ("groups", "ipRanges", "ipv6Ranges", "prefixListIds")


def lower(name: str) -> str:
    """``DBInstanceIdentifier`` -> ``dBInstanceIdentifier``: only the first letter."""
    return name[:1].lower() + name[1:]


def list_key(name: str) -> tuple[str, str]:
    """How older calls tell the list ``name``: its key, and the key of each plain value in it."""
    return _LISTS.get(name, (lower(name) + "Set", lower(name.removesuffix("s"))))


def request(model: Any, parameters: Mapping[str, Any]) -> Any:
    """``requestParameters``."""
    operation = model.name
    if operation in NEWER:
        return {f"{operation}Request": _newer(model.input_shape, parameters)}
    shown = _older(operation, parameters, top=True)
    for empty in _ALWAYS.get(operation, ()):
        shown.setdefault(empty, {"enabled": False} if empty == "monitoring" else {})
    for name, told in _ATTRIBUTES.items():
        if name in parameters:
            shown["attributeType"] = told
    if operation == "RunInstances":
        counts = {k: shown.pop(k) for k in ("imageId", "minCount", "maxCount") if k in shown}
        shown = {"instancesSet": {"items": [counts]}, **shown}
        shown.setdefault("disableApiTermination", False)
        shown.setdefault("disableApiStop", False)
    return shown or None


def response(model: Any, content: Mapping[str, Any], request_id: str) -> Any:
    """``responseElements`` of a write that succeeded; one that answers nothing answers true."""
    operation = model.name
    shown = _answer(model.output_shape, content, newer=operation in NEWER)
    if operation in NEWER:
        return {f"{operation}Response": {"xmlns": XML, "requestId": request_id, **shown}}
    if "return" in shown:
        shown["_return"] = shown.pop("return")
    elif not shown or operation in {"CreateSecurityGroup", "CreateRoute"}:
        shown["_return"] = True
    return {"requestId": request_id, **shown}


def _newer(shape: Any, value: Any) -> Any:
    if isinstance(value, Mapping):
        members: Any = shape.members if isinstance(shape, StructureShape) else {}
        return {_query_name(k, members.get(k)): _newer(members.get(k), v) for k, v in value.items() if v is not None}
    if isinstance(value, list | tuple):
        member: Any = shape.member if isinstance(shape, ListShape) else None
        made: list[dict[str, Any]] = []
        for place, each in enumerate(value, 1):
            inner = _newer(member, each)
            made.append({**inner, "tag": place} if isinstance(inner, dict) else {"content": inner, "tag": place})
        return made[0] if len(made) == 1 else made or ""
    return value.isoformat() if isinstance(value, datetime) else value


def _query_name(name: str, shape: Any) -> str:
    """The member's name in the EC2 query protocol."""
    serialization: Mapping[str, Any] = shape.serialization if shape is not None else {}
    plain = str(serialization.get("name") or name)
    return str(serialization.get("queryName") or plain[:1].upper() + plain[1:])


def _older(operation: str, parameters: Mapping[str, Any], *, top: bool = False) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for name, value in parameters.items():
        if value is None:
            continue
        if isinstance(value, list | tuple):
            key, plain = list_key(name)
            if name in _GRANTS:
                key = lower(name)
            if not top and name in _PLAIN_LISTS:
                shown["tags"] = [_older(operation, each) for each in value]
                continue
            shown[_NAMES.get((operation, name), key) if top else key] = _items(operation, name, plain, value)
        elif isinstance(value, Mapping):
            shown[lower(name)] = _older(operation, value)
        elif name == "UserData":
            shown["userData"] = REDACTED
        else:
            key = _NAMES.get((operation, name), lower(name)) if top else lower(name)
            shown[key] = value.isoformat() if isinstance(value, datetime) else value
    return shown


def _items(operation: str, name: str, plain: str, values: list[Any] | tuple[Any, ...]) -> dict[str, Any]:
    items: list[dict[str, Any]] = []
    for each in values:
        if isinstance(each, Mapping):
            inner = _older(operation, each)
            if name == "IpPermissions":
                for empty in _RULE_LISTS:
                    inner.setdefault(empty, {})
            items.append(inner)
        else:
            items.append({plain or "value": each})
    return {"items": items} if items else {}


def _answer(shape: Any, value: Any, *, newer: bool, key: str = "items") -> Any:
    if isinstance(value, Mapping):
        members: Any = shape.members if isinstance(shape, StructureShape) else {}
        shown: dict[str, Any] = {}
        for name, item in value.items():
            member = members.get(name)
            told = str(member.serialization.get("name", lower(name))) if member is not None else lower(name)
            shown[told] = _answer(member, item, newer=newer, key="item" if told == "privateIpAddressesSet" else "items")
        return shown
    if isinstance(value, list | tuple):
        member: Any = shape.member if isinstance(shape, ListShape) else None
        made = [_answer(member, each, newer=newer) for each in value]
        if newer:  # as the XML has it: one element is no list
            return {"item": made[0] if len(made) == 1 else made} if made else ""
        return {key: made} if made else {}
    if isinstance(value, datetime):
        return int(value.timestamp() * 1000)
    return value
