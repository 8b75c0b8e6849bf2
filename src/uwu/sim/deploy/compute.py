"""Networks and what runs in them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping

from uwu.sim.deploy.base import Deployment, pairs, spec

CODE = io.BytesIO()
with zipfile.ZipFile(CODE, "w") as _archive:
    _archive.writestr(zipfile.ZipInfo("app.py"), "def handler(event, context):\n    return event\n")


class Compute(Deployment):
    """VPCs, security groups, instances, volumes, functions, load balancers."""

    def vpc(self, name: str, second: int) -> tuple[str, list[str]]:
        """A VPC with three subnets; gives their ids."""
        ec2, tags = self.aws("ec2"), self.tags(name)
        cidr = f"10.{second}.0.0/16"
        vpc = ec2.create_vpc(CidrBlock=cidr, TagSpecifications=spec("vpc", tags))["Vpc"]["VpcId"]
        self.stack.add(
            "aws_vpc",
            "main",
            {
                "id": vpc,
                "arn": self._arn("ec2", f"vpc/{vpc}"),
                "cidr_block": cidr,
                "instance_tenancy": "default",
                "enable_dns_support": True,
                "enable_dns_hostnames": False,
                "owner_id": self.account,
                **self._tagged(tags),
            },
            module="module.network",
        )
        subnets: list[str] = []
        for index, zone in enumerate("abc"):
            tags = self.tags(f"{name}-{zone}")
            cidr = f"10.{second}.{index * 16}.0/20"
            made = ec2.create_subnet(
                VpcId=vpc, CidrBlock=cidr, AvailabilityZone=self.region + zone, TagSpecifications=spec("subnet", tags)
            )
            subnet = made["Subnet"]["SubnetId"]
            subnets.append(subnet)
            self.stack.add(
                "aws_subnet",
                "private",
                {
                    "id": subnet,
                    "arn": self._arn("ec2", f"subnet/{subnet}"),
                    "vpc_id": vpc,
                    "cidr_block": cidr,
                    "availability_zone": self.region + zone,
                    "map_public_ip_on_launch": False,
                    "assign_ipv6_address_on_creation": False,
                    "owner_id": self.account,
                    **self._tagged(tags),
                },
                key=zone,
                module="module.network",
            )
        return vpc, subnets

    def security_group(self, name: str, vpc: str, ports: Mapping[int, str], label: str) -> str:
        """A security group that lets ``ports`` in from a network each, and everything out."""
        ec2, tags = self.aws("ec2"), self.tags(name)
        description = f"{name}: managed by Terraform"
        group = ec2.create_security_group(
            GroupName=name, Description=description, VpcId=vpc, TagSpecifications=spec("security-group", tags)
        )["GroupId"]
        if ports:
            ec2.authorize_security_group_ingress(
                GroupId=group,
                IpPermissions=[
                    {
                        "IpProtocol": "tcp",
                        "FromPort": p,
                        "ToPort": p,
                        "IpRanges": [{"CidrIp": c, "Description": "inside"}],
                    }
                    for p, c in ports.items()
                ],
            )
        rule = {"ipv6_cidr_blocks": [], "prefix_list_ids": [], "security_groups": [], "self": False}
        self.stack.add(
            "aws_security_group",
            label,
            {
                "id": group,
                "arn": self._arn("ec2", f"security-group/{group}"),
                "name": name,
                "description": description,
                "vpc_id": vpc,
                "ingress": [
                    {
                        "protocol": "tcp",
                        "from_port": p,
                        "to_port": p,
                        "cidr_blocks": [c],
                        "description": "inside",
                        **rule,
                    }
                    for p, c in ports.items()
                ],
                "egress": [
                    {
                        "protocol": "-1",
                        "from_port": 0,
                        "to_port": 0,
                        "cidr_blocks": ["0.0.0.0/0"],
                        "description": "",
                        **rule,
                    }
                ],
                "owner_id": self.account,
                "revoke_rules_on_delete": False,
                **self._tagged(tags),
            },
        )
        return group

    def image(self, name: str) -> str:
        ec2, tags = self.aws("ec2"), self.tags(name)
        image = ec2.register_image(
            Name=name,
            Description="Golden image",
            RootDeviceName="/dev/xvda",
            Architecture="x86_64",
            VirtualizationType="hvm",
        )["ImageId"]
        ec2.create_tags(Resources=[image], Tags=pairs(tags))
        attributes = {"id": image, "arn": f"arn:aws:ec2:{self.region}::image/{image}", "name": name}
        self.stack.add("aws_ami", "golden", {**attributes, "description": "Golden image", **self._tagged(tags)})
        return image

    def instance(
        self, name: str, index: int, *, image: str, kind: str, subnet: str, groups: list[str], profile: str
    ) -> str:
        ec2, tags = self.aws("ec2"), self.tags(f"{name}-{index}")
        volume = {"Encrypted": True, "VolumeSize": 8, "DeleteOnTermination": True}
        made = ec2.run_instances(
            ImageId=image,
            InstanceType=kind,
            MinCount=1,
            MaxCount=1,
            SubnetId=subnet,
            SecurityGroupIds=groups,
            IamInstanceProfile={"Name": profile},
            # the account's default, which moto does not apply
            BlockDeviceMappings=[{"DeviceName": "/dev/sda1", "Ebs": volume}],
            TagSpecifications=spec("instance", tags),
        )["Instances"][0]
        id = made["InstanceId"]
        self.stack.add(
            "aws_instance",
            "app",
            {
                "id": id,
                "arn": self._arn("ec2", f"instance/{id}"),
                "ami": image,
                "instance_type": kind,
                "subnet_id": subnet,
                "vpc_security_group_ids": groups,
                "iam_instance_profile": profile,
                "source_dest_check": True,
                "monitoring": False,
                "ebs_optimized": False,
                "key_name": "",
                "private_ip": made.get("PrivateIpAddress", ""),
                **self._tagged(tags),
            },
            key=index,
        )
        return id

    def instance_profile(self, name: str, role: str) -> None:
        iam = self.aws("iam")
        iam.create_instance_profile(InstanceProfileName=name)
        iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=role)
        arn = self._arn("iam", f"instance-profile/{name}", region=False)
        self.stack.add("aws_iam_instance_profile", "app", {"id": name, "arn": arn, "name": name, "role": role})

    def volume(self, name: str, index: int, *, size: int) -> str:
        ec2, tags = self.aws("ec2"), self.tags(f"{name}-data-{index}")
        zone = self.region + "abc"[index % 3]
        made = ec2.create_volume(
            AvailabilityZone=zone, Size=size, VolumeType="gp3", Encrypted=True, TagSpecifications=spec("volume", tags)
        )
        id = made["VolumeId"]
        self.stack.add(
            "aws_ebs_volume",
            "data",
            {
                "id": id,
                "arn": self._arn("ec2", f"volume/{id}"),
                "availability_zone": zone,
                "size": size,
                "type": "gp3",
                "encrypted": True,
                "iops": made.get("Iops") or 0,
                "throughput": made.get("Throughput") or 0,
                **self._tagged(tags),
            },
            key=index,
        )
        return id

    def launch_template(self, name: str, image: str, kind: str) -> str:
        ec2, tags = self.aws("ec2"), self.tags(name)
        made = ec2.create_launch_template(
            LaunchTemplateName=name,
            LaunchTemplateData={"ImageId": image, "InstanceType": kind},
            TagSpecifications=spec("launch-template", tags),
        )["LaunchTemplate"]
        id = made["LaunchTemplateId"]
        attributes = {"id": id, "arn": self._arn("ec2", f"launch-template/{id}"), "name": name}
        versions = {"default_version": 1, "latest_version": 1}
        self.stack.add("aws_launch_template", "app", {**attributes, **versions, **self._tagged(tags)})
        return id

    def address(self, name: str) -> str:
        ec2, tags = self.aws("ec2"), self.tags(name)
        made = ec2.allocate_address(Domain="vpc", TagSpecifications=spec("elastic-ip", tags))
        id = made["AllocationId"]
        self.stack.add(
            "aws_eip",
            "edge",
            {
                "id": id,
                "arn": self._arn("ec2", f"elastic-ip/{id}"),
                "allocation_id": id,
                "public_ip": made["PublicIp"],
                "domain": "vpc",
                "instance": "",
                **self._tagged(tags),
            },
        )
        return made["PublicIp"]

    def function(self, name: str, index: int, *, role: str, memory: int, runtime: str, more: Mapping[str, str]) -> str:
        client, tags = self.aws("lambda"), self.tags(name)
        full = f"{name}-{('worker', 'api', 'cron', 'hook')[index % 4]}{index // 4 or ''}"
        variables = {"STAGE": "production", "SERVICE": name, **more}
        made = client.create_function(
            FunctionName=full,
            Runtime=runtime,
            Role=role,
            Handler="app.handler",
            Code={"ZipFile": CODE.getvalue()},
            MemorySize=memory,
            Timeout=30,
            Environment={"Variables": variables},
            Tags=tags,
        )
        self.stack.add(
            "aws_lambda_function",
            "this",
            {
                "id": full,
                "arn": made["FunctionArn"],
                "function_name": full,
                "runtime": runtime,
                "handler": "app.handler",
                "role": role,
                "memory_size": memory,
                "timeout": 30,
                "description": "",
                "layers": [],
                "environment": [{"variables": variables}],
                **self._tagged(tags),
            },
            key=index,
        )
        return full

    def load_balancer(self, name: str, vpc: str, subnets: list[str], group: str) -> str:
        """A balancer and its target group; gives its DNS name."""
        client, tags = self.aws("elbv2"), self.tags(name)
        made = client.create_load_balancer(
            Name=name,
            Subnets=subnets[:2],
            SecurityGroups=[group],
            Scheme="internal",
            Type="application",
            Tags=pairs(tags),
        )["LoadBalancers"][0]
        self.stack.add(
            "aws_lb",
            "this",
            {
                "id": made["LoadBalancerArn"],
                "arn": made["LoadBalancerArn"],
                "name": name,
                "load_balancer_type": "application",
                "internal": True,
                "security_groups": [group],
                "subnets": subnets[:2],
                "dns_name": made["DNSName"],
                "vpc_id": vpc,
                **self._tagged(tags),
            },
        )
        target = client.create_target_group(
            Name=f"{name}-tg", Protocol="HTTP", Port=8080, VpcId=vpc, TargetType="instance", Tags=pairs(tags)
        )["TargetGroups"][0]
        self.stack.add(
            "aws_lb_target_group",
            "this",
            {
                "id": target["TargetGroupArn"],
                "arn": target["TargetGroupArn"],
                "name": f"{name}-tg",
                "port": 8080,
                "protocol": "HTTP",
                "vpc_id": vpc,
                "target_type": "instance",
                **self._tagged(tags),
            },
        )
        return made["DNSName"]
