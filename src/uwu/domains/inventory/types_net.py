"""The network between things: gateways, route tables, ACLs, endpoints, peerings, listeners, groups that scale."""

from __future__ import annotations

import re
from collections.abc import Callable

from uwu.domains.inventory.model import (
    AWS,
    Batch,
    Each,
    Item,
    Join,
    Link,
    Scope,
    Spec,
    Under,
    arn,
    ec2,
    ec2_member,
    kms_key,
    member,
    own,
)
from uwu.kernel import urns

_GONE = frozenset({"deleted", "deleting", "failed", "rejected", "expired"})

_GATEWAYS = {
    "igw": "internet-gateway",
    "vgw": "vpn-gateway",
    "vpce": "vpc-endpoint",
    "nat": "natgateway",
    "tgw": "transit-gateway",
    "pcx": "vpc-peering-connection",
    "eni": "network-interface",
    "i": "instance",
    "eigw": "egress-only-internet-gateway",
    "lgw": "local-gateway",
    "cagw": "carrier-gateway",
    "pl": "prefix-list",
}


def by_prefix(scope: Scope, value: str) -> str:
    """The urn of an EC2 id by its prefix (``igw-0abc``); empty for other words, such as ``local``."""
    kind = _GATEWAYS.get(value.partition("-")[0], "")
    return ec2(kind)(scope, value) if kind and "-" in value else ""


def _elsewhere(kind: str) -> Callable[[Scope, str], str]:
    """Ids of any account: the value is ``account/region/id``."""

    def name(scope: Scope, value: str) -> str:
        account, region, id = value.split("/")
        return urns.ec2(kind, id, account=account or scope.account, region=region or scope.region) if id else ""

    return name


def _there(_scope: Scope, item: Item) -> bool:
    state = item.get("State") or item.get("Status") or ""
    return str(state.get("Code", "") if isinstance(state, dict) else state).lower() not in _GONE


def _own_name(kind: str, name: str) -> Callable[[Scope, Item], str]:
    return lambda scope, item: urns.own(
        "autoscaling", kind, str(item[name]), account=scope.account, region=scope.region
    )


_ROUTES = ("GatewayId", "NatGatewayId", "TransitGatewayId", "VpcPeeringConnectionId", "NetworkInterfaceId")
_LISTENER_PROTOCOLS = frozenset({"HTTP", "HTTPS"})

_OF_AN_IMAGE = re.compile(r"^(?:Created by CreateImage|Auto-created snapshot|Copied) .*?(ami-[0-9a-f]+)", re.IGNORECASE)


def _snapshot_maker(scope: Scope, item: Item) -> str:
    """The image that a snapshot was made for, or the volume that a backup plan or a lifecycle policy keeps."""
    image = _OF_AN_IMAGE.match(item.get("Description") or "")
    if image is not None:
        return ec2("image")(scope, image[1])
    kept = any(tag.startswith(("aws:backup:", "aws:dlm:")) for tag in item.get("_tags", ()))
    return ec2("volume")(scope, item.get("VolumeId", "")) if kept else ""


_EC2 = (
    Spec(
        "aws_vpc_internet_gateway",
        "Internet gateway",
        "ec2",
        "globe",
        operation="DescribeInternetGateways",
        path="InternetGateways",
        urn=ec2_member("internet-gateway", "InternetGatewayId"),
        label="_tag_name || InternetGatewayId",
        where=own,
        links=(Link("attachedTo", "Attachments[].VpcId", ec2("vpc")),),
    ),
    Spec(
        "aws_vpc_egress_only_internet_gateway",
        "Egress-only internet gateway",
        "ec2",
        "log-out",
        operation="DescribeEgressOnlyInternetGateways",
        path="EgressOnlyInternetGateways",
        urn=ec2_member("egress-only-internet-gateway", "EgressOnlyInternetGatewayId"),
        label="_tag_name || EgressOnlyInternetGatewayId",
        links=(Link("attachedTo", "Attachments[].VpcId", ec2("vpc")),),
    ),
    Spec(
        "aws_vpc_nat_gateway",
        "NAT gateway",
        "ec2",
        "arrow-right-left",
        operation="DescribeNatGateways",
        path="NatGateways",
        urn=ec2_member("natgateway", "NatGatewayId"),
        label="_tag_name || NatGatewayId",
        where=_there,
        links=(
            Link("inVpc", "VpcId", ec2("vpc")),
            Link("inSubnet", "SubnetId", ec2("subnet")),
            Link("hasAddress", "NatGatewayAddresses[].AllocationId", ec2("elastic-ip")),
            Link("hasInterface", "NatGatewayAddresses[].NetworkInterfaceId", ec2("network-interface")),
        ),
    ),
    Spec(
        "aws_vpc_route_table",
        "Route table",
        "ec2",
        "route",
        operation="DescribeRouteTables",
        path="RouteTables",
        urn=ec2_member("route-table", "RouteTableId"),
        label="_tag_name || RouteTableId",
        where=own,
        links=(
            Link("inVpc", "VpcId", ec2("vpc")),
            Link("routesFor", "Associations[].SubnetId", ec2("subnet")),
            Link("routesFor", "Associations[].GatewayId", by_prefix),
            *(Link("routesTo", f"Routes[].{name}", by_prefix) for name in _ROUTES),
            Link("routesTo", "Routes[].EgressOnlyInternetGatewayId", by_prefix),
            Link("routesTo", "Routes[].CarrierGatewayId", by_prefix),
            Link("routesTo", "Routes[].LocalGatewayId", by_prefix),
            Link("usesPrefixList", "Routes[].DestinationPrefixListId", by_prefix),
        ),
        # a VPC's main table comes with it
        managed_by=lambda _scope, item: AWS if any(a.get("Main") for a in item.get("Associations") or ()) else "",
    ),
    Spec(
        "aws_vpc_network_acl",
        "Network ACL",
        "ec2",
        "brick-wall",
        operation="DescribeNetworkAcls",
        path="NetworkAcls",
        urn=ec2_member("network-acl", "NetworkAclId"),
        label="_tag_name || NetworkAclId",
        where=own,
        links=(
            Link("inVpc", "VpcId", ec2("vpc")),
            Link("guards", "Associations[].SubnetId", ec2("subnet")),
        ),
        managed_by=lambda _scope, item: AWS if item.get("IsDefault") else "",
    ),
    Spec(
        "aws_ec2_managed_prefix_list",
        "Prefix list",
        "ec2",
        "list",
        operation="DescribeManagedPrefixLists",
        path="PrefixLists",
        urn=ec2_member("prefix-list", "PrefixListId"),
        label="PrefixListName",
        extras=(
            Each(
                "GetManagedPrefixListEntries",
                lambda item: {"PrefixListId": item["PrefixListId"], "MaxResults": 100},
                # of a longer list the first hundred are kept, and that there are more
                "{Entries: Entries, MoreEntries: NextToken != null}",
                # what AWS's own lists hold is known by their names
                when=lambda item: item.get("OwnerId") != "AWS",
            ),
        ),
        managed_by=lambda _scope, item: AWS if item.get("OwnerId") == "AWS" else "",
    ),
    Spec(
        "aws_vpc_endpoint",
        "VPC endpoint",
        "ec2",
        "plug",
        operation="DescribeVpcEndpoints",
        path="VpcEndpoints",
        urn=ec2_member("vpc-endpoint", "VpcEndpointId"),
        label="_tag_name || VpcEndpointId",
        where=_there,
        links=(
            Link("inVpc", "VpcId", ec2("vpc")),
            Link("inSubnet", "SubnetIds[]", ec2("subnet")),
            Link("hasSecurityGroup", "Groups[].GroupId", ec2("security-group")),
            Link("hasInterface", "NetworkInterfaceIds[]", ec2("network-interface")),
            Link("inRouteTable", "RouteTableIds[]", ec2("route-table")),
        ),
        documents=frozenset({"PolicyDocument"}),
        managed_by=lambda _scope, item: AWS if item.get("RequesterManaged") else "",
    ),
    Spec(
        "aws_vpc_peering_connection",
        "VPC peering",
        "ec2",
        "link",
        operation="DescribeVpcPeeringConnections",
        path="VpcPeeringConnections",
        urn=ec2_member("vpc-peering-connection", "VpcPeeringConnectionId"),
        label="_tag_name || VpcPeeringConnectionId",
        where=_there,
        links=tuple(
            Link(
                "connects",
                f"join('/', [{side}.OwnerId || '', {side}.Region || '', {side}.VpcId || ''])",
                _elsewhere("vpc"),
            )
            for side in ("RequesterVpcInfo", "AccepterVpcInfo")
        ),
    ),
    Spec(
        "aws_ec2_transit_gateway",
        "Transit gateway",
        "ec2",
        "waypoints",
        operation="DescribeTransitGateways",
        path="TransitGateways",
        urn=ec2_member("transit-gateway", "TransitGatewayId"),
        label="_tag_name || TransitGatewayId",
        where=lambda scope, item: own(scope, item) and _there(scope, item),
    ),
    Spec(
        "aws_ec2_transit_gateway_vpc_attachment",
        "Transit gateway attachment",
        "ec2",
        "plug",
        operation="DescribeTransitGatewayAttachments",
        path="TransitGatewayAttachments",
        urn=ec2_member("transit-gateway-attachment", "TransitGatewayAttachmentId"),
        label="_tag_name || TransitGatewayAttachmentId",
        where=_there,
        links=(
            Link(
                "attachedTo",
                "join('/', [TransitGatewayOwnerId || '', '', TransitGatewayId || ''])",
                _elsewhere("transit-gateway"),
            ),
            Link(
                "connects",
                "join('/', [ResourceOwnerId || '', '', ResourceType == 'vpc' && ResourceId || ''])",
                _elsewhere("vpc"),
            ),
        ),
    ),
    Spec(
        "aws_vpc_vpn_gateway",
        "VPN gateway",
        "ec2",
        "key-round",
        operation="DescribeVpnGateways",
        path="VpnGateways",
        urn=ec2_member("vpn-gateway", "VpnGatewayId"),
        label="_tag_name || VpnGatewayId",
        where=_there,
        links=(Link("attachedTo", "VpcAttachments[?State=='attached'].VpcId", ec2("vpc")),),
    ),
    Spec(
        "aws_ebs_snapshot",
        "EBS snapshot",
        "ec2",
        "camera",
        operation="DescribeSnapshots",
        path="Snapshots",
        arguments={"OwnerIds": ["self"]},
        urn=ec2_member("snapshot", "SnapshotId"),
        label="_tag_name || SnapshotId",
        extras=(
            Join(
                "DescribeSnapshots",
                "Snapshots",
                key="SnapshotId",
                on="SnapshotId",
                members={"Public": "`true`"},
                arguments={"OwnerIds": ["self"], "RestorableByUserIds": ["all"]},
            ),
        ),
        links=(
            Link("madeFrom", "VolumeId", lambda scope, v: "" if v == "vol-ffffffff" else ec2("volume")(scope, v)),
            Link("encryptedBy", "KmsKeyId", kms_key),
        ),
        managed_by=_snapshot_maker,
        drop=frozenset({"Progress"}),
    ),
    Spec(
        "aws_vpc_block_public_access_options",
        "VPC block public access",
        "ec2",
        "shield-ban",
        operation="DescribeVpcBlockPublicAccessOptions",
        path="[VpcBlockPublicAccessOptions]",
        urn=lambda scope, _item: urns.own(
            "ec2", "vpc-block-public-access-options", "options", account=scope.account, region=scope.region
        ),
        label="'VPC block public access'",
        managed_by=lambda _scope, item: AWS if item.get("InternetGatewayBlockMode") == "off" else "",
        drop=frozenset({"LastUpdateTimestamp"}),
    ),
    Spec(
        "aws_vpc_block_public_access_exclusion",
        "VPC block public access exclusion",
        "ec2",
        "shield-off",
        operation="DescribeVpcBlockPublicAccessExclusions",
        path="VpcBlockPublicAccessExclusions",
        urn=ec2_member("vpc-block-public-access-exclusion", "ExclusionId"),
        label="_tag_name || ExclusionId",
        where=lambda _scope, item: "delete" not in str(item.get("State")),
        links=(Link("excludes", "ResourceArn", arn),),
    ),
)

_TAGS = Batch(
    "DescribeTags",
    "ResourceArns",
    lambda item: item["ListenerArn"],
    20,
    "TagDescriptions",
    "ResourceArn",
    "Tags",
    "Tags",
)

_BALANCING = (
    Spec(
        "aws_ec2_load_balancer_listener",
        "Load balancer listener",
        "elbv2",
        "ear",
        operation="DescribeListeners",
        path="Listeners",
        under=Under(
            "DescribeLoadBalancers",
            "LoadBalancers",
            lambda balancer: {"LoadBalancerArn": balancer["LoadBalancerArn"]},
            keep={"_balancer": "LoadBalancerName"},
        ),
        urn=member("ListenerArn"),
        label="join('', [_balancer || '', ' ', Protocol || '', ':', to_string(Port || `0`)])",
        extras=(
            _TAGS,
            Each(
                "DescribeRules",
                lambda item: {"ListenerArn": item["ListenerArn"], "PageSize": 400},
                "Rules",
                "Rules",
                when=lambda item: item.get("Protocol") in _LISTENER_PROTOCOLS,
            ),
        ),
        links=(
            Link("listensFor", "LoadBalancerArn", arn),
            Link("forwardsTo", "DefaultActions[].TargetGroupArn", arn),
            Link("forwardsTo", "DefaultActions[].ForwardConfig.TargetGroups[].TargetGroupArn", arn),
            Link("forwardsTo", "Rules[].Actions[].TargetGroupArn", arn),
            Link("forwardsTo", "Rules[].Actions[].ForwardConfig.TargetGroups[].TargetGroupArn", arn),
            Link("usesCertificate", "Certificates[].CertificateArn", arn),
        ),
    ),
    Spec(
        "aws_ec2_classic_load_balancer",
        "Classic load balancer",
        "elb",
        "route",
        operation="DescribeLoadBalancers",
        path="LoadBalancerDescriptions",
        urn=lambda scope, item: urns.arn(
            "elasticloadbalancing",
            f"loadbalancer/{item['LoadBalancerName']}",
            account=scope.account,
            region=scope.region,
        ),
        label="LoadBalancerName",
        extras=(
            Batch(
                "DescribeTags",
                "LoadBalancerNames",
                lambda item: item["LoadBalancerName"],
                20,
                "TagDescriptions",
                "LoadBalancerName",
                "Tags",
                "Tags",
            ),
        ),
        links=(
            Link("inVpc", "VPCId", ec2("vpc")),
            Link("inSubnet", "Subnets[]", ec2("subnet")),
            Link("hasSecurityGroup", "SecurityGroups[]", ec2("security-group")),
            Link("targets", "Instances[].InstanceId", ec2("instance")),
            Link("usesCertificate", "ListenerDescriptions[].Listener.SSLCertificateId", arn),
        ),
    ),
    Spec(
        "aws_ec2_autoscaling_group",
        "Auto Scaling group",
        "autoscaling",
        "scaling",
        operation="DescribeAutoScalingGroups",
        path="AutoScalingGroups",
        # instances name their group by its name alone, so its ARN, which holds a number, would find none
        urn=_own_name("group", "AutoScalingGroupName"),
        label="AutoScalingGroupName",
        links=(
            Link("launches", "Instances[].InstanceId", ec2("instance")),
            Link("usesLaunchTemplate", "LaunchTemplate.LaunchTemplateId", ec2("launch-template")),
            Link(
                "usesLaunchTemplate",
                "MixedInstancesPolicy.LaunchTemplate.LaunchTemplateSpecification.LaunchTemplateId",
                ec2("launch-template"),
            ),
            Link(
                "usesLaunchConfiguration",
                "LaunchConfigurationName",
                lambda scope, value: urns.own(
                    "autoscaling", "launch-configuration", value, account=scope.account, region=scope.region
                ),
            ),
            Link("inTargetGroup", "TargetGroupARNs[]", arn),
            Link("inSubnet", "VPCZoneIdentifier", ec2("subnet"), split=","),
            Link("runsAs", "ServiceLinkedRoleARN", arn),
        ),
    ),
    Spec(
        "aws_ec2_launch_configuration",
        "Launch configuration",
        "autoscaling",
        "rocket",
        operation="DescribeLaunchConfigurations",
        path="LaunchConfigurations",
        urn=_own_name("launch-configuration", "LaunchConfigurationName"),
        label="LaunchConfigurationName",
        secret=frozenset({"UserData"}),
        links=(
            Link("usesImage", "ImageId", ec2("image")),
            Link("hasSecurityGroup", "SecurityGroups[]", ec2("security-group")),
        ),
    ),
)

SPECS = (*_EC2, *_BALANCING)
