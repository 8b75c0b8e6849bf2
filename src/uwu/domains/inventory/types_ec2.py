"""EC2: instances, volumes, images, launch templates, and the VPC around them."""

from __future__ import annotations

from uwu.domains.inventory.model import AWS, Item, Join, Link, Scope, Spec, arn, ec2, ec2_member, kms_key, own

_INSTANCES = "Reservations[].Instances[]"
_GONE = frozenset({"terminated", "shutting-down"})


def _alive(_scope: Scope, item: Item) -> bool:
    return item.get("State", {}).get("Name") not in _GONE


def _made_by_instance(scope: Scope, item: Item) -> str:
    """A root volume, and any other that the launch of its instance made and its end deletes."""
    for attachment in item.get("Attachments", ()):
        root = item.get("_root_device")
        if attachment.get("DeleteOnTermination") or (root and attachment.get("Device") == root):
            return ec2("instance")(scope, attachment.get("InstanceId", ""))
    return ""


def _interface_maker(scope: Scope, item: Item) -> str:
    if item.get("RequesterManaged"):
        return AWS
    attachment = item.get("Attachment") or {}
    primary = attachment.get("DeviceIndex") == 0 and attachment.get("InstanceOwnerId", scope.account) == scope.account
    return ec2("instance")(scope, attachment.get("InstanceId", "")) if primary else ""


SPECS = (
    Spec(
        "aws_ec2_instance",
        "EC2 instance",
        "ec2",
        "server",
        operation="DescribeInstances",
        path=_INSTANCES,
        urn=ec2_member("instance", "InstanceId"),
        label="_tag_name || InstanceId",
        where=_alive,
        links=(
            Link("inVpc", "VpcId", ec2("vpc")),
            Link("inSubnet", "SubnetId", ec2("subnet")),
            Link("hasSecurityGroup", "SecurityGroups[].GroupId", ec2("security-group")),
            Link("hasInstanceProfile", "IamInstanceProfile.Arn", arn),
            Link("usesImage", "ImageId", ec2("image")),
        ),
    ),
    Spec(
        "aws_ebs_volume",
        "EBS volume",
        "ec2",
        "hard-drive",
        operation="DescribeVolumes",
        path="Volumes",
        urn=ec2_member("volume", "VolumeId"),
        label="_tag_name || VolumeId",
        extras=(
            Join(
                "DescribeInstances",
                _INSTANCES,
                key="InstanceId",
                on="Attachments[0].InstanceId",
                members={"_root_device": "RootDeviceName"},
            ),
        ),
        links=(
            Link("attachedTo", "Attachments[].InstanceId", ec2("instance")),
            Link("encryptedBy", "KmsKeyId", kms_key),
        ),
        managed_by=_made_by_instance,
    ),
    Spec(
        "aws_vpc_security_group",
        "Security group",
        "ec2",
        "shield",
        operation="DescribeSecurityGroups",
        path="SecurityGroups",
        urn=ec2_member("security-group", "GroupId"),
        label="GroupName",
        where=own,
        links=(
            Link("inVpc", "VpcId", ec2("vpc")),
            Link("admits", "IpPermissions[].UserIdGroupPairs[].GroupId", ec2("security-group")),
        ),
        managed_by=lambda _scope, item: AWS if item.get("GroupName") == "default" else "",
    ),
    Spec(
        "aws_vpc",
        "VPC",
        "ec2",
        "network",
        operation="DescribeVpcs",
        path="Vpcs",
        urn=ec2_member("vpc", "VpcId"),
        label="_tag_name || VpcId",
        where=own,
        managed_by=lambda _scope, item: AWS if item.get("IsDefault") else "",
    ),
    Spec(
        "aws_vpc_subnet",
        "Subnet",
        "ec2",
        "split",
        operation="DescribeSubnets",
        path="Subnets",
        urn=ec2_member("subnet", "SubnetId"),
        label="_tag_name || SubnetId",
        where=own,
        links=(Link("inVpc", "VpcId", ec2("vpc")),),
        managed_by=lambda _scope, item: AWS if item.get("DefaultForAz") else "",
        drop=frozenset({"AvailableIpAddressCount"}),
    ),
    Spec(
        "aws_ec2_network_interface",
        "Network interface",
        "ec2",
        "ethernet-port",
        operation="DescribeNetworkInterfaces",
        path="NetworkInterfaces",
        urn=ec2_member("network-interface", "NetworkInterfaceId"),
        label="_tag_name || NetworkInterfaceId",
        where=own,
        tags="TagSet",
        links=(
            Link("inVpc", "VpcId", ec2("vpc")),
            Link("inSubnet", "SubnetId", ec2("subnet")),
            Link("hasSecurityGroup", "Groups[].GroupId", ec2("security-group")),
            Link("attachedTo", "Attachment.InstanceId", ec2("instance")),
        ),
        managed_by=_interface_maker,
    ),
    Spec(
        "aws_vpc_eip",
        "Elastic IP",
        "ec2",
        "map-pin",
        operation="DescribeAddresses",
        path="Addresses",
        urn=ec2_member("elastic-ip", "AllocationId"),
        label="_tag_name || PublicIp",
        where=lambda _scope, item: bool(item.get("AllocationId")),
        links=(
            Link("attachedTo", "InstanceId", ec2("instance")),
            Link("attachedTo", "NetworkInterfaceId", ec2("network-interface")),
        ),
        managed_by=lambda _scope, item: AWS if item.get("ServiceManaged") else "",
    ),
    Spec(
        "aws_ec2_ami",
        "Machine image",
        "ec2",
        "disc",
        operation="DescribeImages",
        path="Images",
        arguments={"Owners": ["self"]},
        urn=ec2_member("image", "ImageId"),
        label="Name",
        links=(Link("madeFrom", "SourceInstanceId", ec2("instance")),),
        drop=frozenset({"LastLaunchedTime"}),
    ),
    Spec(
        "aws_ec2_launch_template",
        "Launch template",
        "ec2",
        "rocket",
        operation="DescribeLaunchTemplates",
        path="LaunchTemplates",
        urn=ec2_member("launch-template", "LaunchTemplateId"),
        label="LaunchTemplateName",
        secret=frozenset({"UserData"}),
        extras=(
            Join(
                "DescribeLaunchTemplateVersions",
                "LaunchTemplateVersions",
                key="LaunchTemplateId",
                on="LaunchTemplateId",
                members={"LaunchTemplateData": "LaunchTemplateData"},
                arguments={"Versions": ["$Default"]},
            ),
        ),
        links=(
            Link("usesImage", "LaunchTemplateData.ImageId", ec2("image")),
            Link("hasSecurityGroup", "LaunchTemplateData.SecurityGroupIds[]", ec2("security-group")),
            Link("hasInstanceProfile", "LaunchTemplateData.IamInstanceProfile.Arn", arn),
        ),
    ),
)
