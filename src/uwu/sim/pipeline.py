"""What a deploy pipeline makes for one stack: a call to AWS for each resource, and its entry in the state."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from typing import Any

from uwu.sim.cloudtrail import Identity, Recorder
from uwu.sim.terraform import Stack

CODE = io.BytesIO()
with zipfile.ZipFile(CODE, "w") as _archive:
    _archive.writestr(zipfile.ZipInfo("app.py"), "def handler(event, context):\n    return event\n")

TRUST_OF = {"lambda": "lambda.amazonaws.com", "ec2": "ec2.amazonaws.com"}


def trust(principal: Mapping[str, Any]) -> str:
    """An assume-role policy for ``principal``."""
    statement = {"Effect": "Allow", "Principal": dict(principal), "Action": "sts:AssumeRole"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]}, separators=(",", ":"))


def allow(actions: list[str], resource: str) -> str:
    """A policy that allows ``actions`` on ``resource``."""
    statement = {"Effect": "Allow", "Action": actions, "Resource": resource}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]}, separators=(",", ":"))


class Pipeline:
    """Applies one stack as one identity in its account and region."""

    def __init__(self, recorder: Recorder, identity: Identity, stack: Stack, tags: Mapping[str, str]) -> None:
        self._recorder = recorder
        self._identity = identity
        self.stack = stack
        self.account = stack.account
        self.region = stack.region
        self.base_tags = dict(tags)

    def aws(self, service: str) -> Any:
        return self._recorder.client(self._identity, service, self.region)

    def tags(self, name: str, **more: str) -> dict[str, str]:
        return {"Name": name, **self.base_tags, **more}

    def _arn(self, service: str, resource: str, *, region: bool = True) -> str:
        return f"arn:aws:{service}:{self.region if region else ''}:{self.account}:{resource}"

    def _tagged(self, tags: Mapping[str, str]) -> dict[str, Any]:
        return {"tags": dict(tags), "tags_all": dict(tags)}

    # ---- network

    def vpc(self, name: str, second: int) -> tuple[str, list[str]]:
        """A VPC with three subnets; gives their ids."""
        ec2, tags = self.aws("ec2"), self.tags(name)
        cidr = f"10.{second}.0.0/16"
        vpc = ec2.create_vpc(CidrBlock=cidr, TagSpecifications=_spec("vpc", tags))["Vpc"]["VpcId"]
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
                VpcId=vpc, CidrBlock=cidr, AvailabilityZone=self.region + zone, TagSpecifications=_spec("subnet", tags)
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
            GroupName=name, Description=description, VpcId=vpc, TagSpecifications=_spec("security-group", tags)
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

    # ---- compute

    def image(self, name: str) -> str:
        ec2, tags = self.aws("ec2"), self.tags(name)
        image = ec2.register_image(
            Name=name,
            Description="Golden image",
            RootDeviceName="/dev/xvda",
            Architecture="x86_64",
            VirtualizationType="hvm",
        )["ImageId"]
        ec2.create_tags(Resources=[image], Tags=_pairs(tags))
        attributes = {"id": image, "arn": f"arn:aws:ec2:{self.region}::image/{image}", "name": name}
        self.stack.add("aws_ami", "golden", {**attributes, "description": "Golden image", **self._tagged(tags)})
        return image

    def instance(
        self, name: str, index: int, *, image: str, kind: str, subnet: str, groups: list[str], profile: str
    ) -> str:
        ec2, tags = self.aws("ec2"), self.tags(f"{name}-{index}")
        made = ec2.run_instances(
            ImageId=image,
            InstanceType=kind,
            MinCount=1,
            MaxCount=1,
            SubnetId=subnet,
            SecurityGroupIds=groups,
            IamInstanceProfile={"Name": profile},
            TagSpecifications=_spec("instance", tags),
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
            AvailabilityZone=zone, Size=size, VolumeType="gp3", Encrypted=True, TagSpecifications=_spec("volume", tags)
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
            TagSpecifications=_spec("launch-template", tags),
        )["LaunchTemplate"]
        id = made["LaunchTemplateId"]
        attributes = {"id": id, "arn": self._arn("ec2", f"launch-template/{id}"), "name": name}
        versions = {"default_version": 1, "latest_version": 1}
        self.stack.add("aws_launch_template", "app", {**attributes, **versions, **self._tagged(tags)})
        return id

    def address(self, name: str) -> str:
        ec2, tags = self.aws("ec2"), self.tags(name)
        made = ec2.allocate_address(Domain="vpc", TagSpecifications=_spec("elastic-ip", tags))
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

    def function(self, name: str, index: int, *, role: str, memory: int) -> str:
        client, tags = self.aws("lambda"), self.tags(name)
        full = f"{name}-{('worker', 'api', 'cron', 'hook')[index % 4]}{index // 4 or ''}"
        variables = {"STAGE": "production", "SERVICE": name}
        made = client.create_function(
            FunctionName=full,
            Runtime="python3.12",
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
                "runtime": "python3.12",
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
            Tags=_pairs(tags),
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
            Name=f"{name}-tg", Protocol="HTTP", Port=8080, VpcId=vpc, TargetType="instance", Tags=_pairs(tags)
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

    # ---- identity

    def role(
        self, name: str, principal: Mapping[str, Any], *, policies: list[str] | None = None, label: str = "app"
    ) -> str:
        """A role with managed policies attached; gives its ARN."""
        iam, tags = self.aws("iam"), self.tags(name)
        document = trust(principal)
        made = iam.create_role(
            RoleName=name,
            AssumeRolePolicyDocument=document,
            Description=f"{name} role",
            MaxSessionDuration=3600,
            Tags=_pairs(tags),
        )["Role"]
        self.stack.add(
            "aws_iam_role",
            label,
            {
                "id": name,
                "arn": made["Arn"],
                "name": name,
                "path": "/",
                "description": f"{name} role",
                "assume_role_policy": document,
                "max_session_duration": 3600,
                "managed_policy_arns": policies or [],
                "permissions_boundary": "",
                "unique_id": made["RoleId"],
                **self._tagged(tags),
            },
        )
        for index, policy in enumerate(policies or []):
            iam.attach_role_policy(RoleName=name, PolicyArn=policy)
            attachment = {"id": f"{name}-{index}", "role": name, "policy_arn": policy}
            self.stack.add("aws_iam_role_policy_attachment", label, attachment, key=index)
        return made["Arn"]

    def policy(self, name: str, document: str, label: str = "app") -> str:
        iam, tags = self.aws("iam"), self.tags(name)
        arn = iam.create_policy(PolicyName=name, PolicyDocument=document, Tags=_pairs(tags))["Policy"]["Arn"]
        attributes = {"id": arn, "arn": arn, "name": name, "path": "/", "policy": document}
        self.stack.add("aws_iam_policy", label, {**attributes, **self._tagged(tags)})
        return arn

    def user(self, name: str, path: str) -> tuple[str, str, str]:
        """An IAM user with a key; gives (user id, access key, secret key)."""
        iam, tags = self.aws("iam"), self.tags(name)
        made = iam.create_user(UserName=name, Path=path, Tags=_pairs(tags))["User"]
        key = iam.create_access_key(UserName=name)["AccessKey"]
        self.stack.add(
            "aws_iam_user",
            "break_glass",
            {
                "id": name,
                "arn": made["Arn"],
                "name": name,
                "path": path,
                "permissions_boundary": "",
                "unique_id": made["UserId"],
                **self._tagged(tags),
            },
        )
        self.stack.add(
            "aws_iam_access_key",
            "break_glass",
            {"id": key["AccessKeyId"], "user": name, "status": "Active", "secret": key["SecretAccessKey"]},
            sensitive=("secret",),
        )
        return made["UserId"], key["AccessKeyId"], key["SecretAccessKey"]

    # ---- data

    def bucket(self, name: str, label: str) -> str:
        """A private, versioned, encrypted bucket."""
        s3, tags = self.aws("s3"), self.tags(name)
        where = {} if self.region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": self.region}}
        s3.create_bucket(Bucket=name, **where)
        s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": _pairs(tags)})
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
        s3.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration={"Rules": [rule]})
        access = dict.fromkeys(
            ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"), True
        )
        s3.put_public_access_block(Bucket=name, PublicAccessBlockConfiguration=access)
        arn = f"arn:aws:s3:::{name}"
        self.stack.add("aws_s3_bucket", label, {"id": name, "arn": arn, "bucket": name, **self._tagged(tags)})
        part = {"id": name, "bucket": name}
        self.stack.add("aws_s3_bucket_versioning", label, {**part, "versioning_configuration": [{"status": "Enabled"}]})
        default = {"sse_algorithm": "AES256", "kms_master_key_id": ""}
        self.stack.add(
            "aws_s3_bucket_server_side_encryption_configuration",
            label,
            {**part, "rule": [{"apply_server_side_encryption_by_default": [default]}]},
        )
        switches = ("block_public_acls", "block_public_policy", "ignore_public_acls", "restrict_public_buckets")
        self.stack.add("aws_s3_bucket_public_access_block", label, {**part, **dict.fromkeys(switches, True)})
        return name

    def database(self, name: str, group: str) -> str:
        rds, tags = self.aws("rds"), self.tags(name)
        made = rds.create_db_instance(
            DBInstanceIdentifier=name,
            Engine="postgres",
            EngineVersion="16.4",
            DBInstanceClass="db.r6g.large",
            AllocatedStorage=100,
            StorageType="gp3",
            StorageEncrypted=True,
            MasterUsername="app",
            MasterUserPassword="correct-horse-battery",
            VpcSecurityGroupIds=[group],
            DeletionProtection=True,
            PubliclyAccessible=False,
            MultiAZ=True,
            BackupRetentionPeriod=14,
            Tags=_pairs(tags),
        )["DBInstance"]
        self.stack.add(
            "aws_db_instance",
            "main",
            {
                "id": name,
                "arn": made["DBInstanceArn"],
                "identifier": name,
                "engine": "postgres",
                "engine_version": "16.4",
                "instance_class": "db.r6g.large",
                "allocated_storage": 100,
                "max_allocated_storage": 0,
                "storage_type": "gp3",
                "storage_encrypted": True,
                "username": "app",
                "password": "correct-horse-battery",
                "vpc_security_group_ids": [group],
                "deletion_protection": True,
                "publicly_accessible": False,
                "multi_az": True,
                "backup_retention_period": 14,
                **self._tagged(tags),
            },
            sensitive=("password",),
        )
        return name

    def key(self, name: str) -> str:
        kms, tags = self.aws("kms"), self.tags(name)
        pairs = [{"TagKey": k, "TagValue": v} for k, v in tags.items()]
        made = kms.create_key(Description=f"{name} data key", Tags=pairs)["KeyMetadata"]
        kms.enable_key_rotation(KeyId=made["KeyId"])
        self.stack.add(
            "aws_kms_key",
            "data",
            {
                "id": made["KeyId"],
                "arn": made["Arn"],
                "key_id": made["KeyId"],
                "description": f"{name} data key",
                "is_enabled": True,
                "enable_key_rotation": True,
                **self._tagged(tags),
            },
        )
        return made["KeyId"]

    def secret(self, name: str, label: str) -> str:
        client, tags = self.aws("secretsmanager"), self.tags(name)
        made = client.create_secret(
            Name=name,
            Description=f"{name} credentials",
            SecretString="not-a-real-secret",
            Tags=_pairs(tags),
        )
        attributes = {"id": made["ARN"], "arn": made["ARN"], "name": name, "description": f"{name} credentials"}
        self.stack.add("aws_secretsmanager_secret", label, {**attributes, "kms_key_id": "", **self._tagged(tags)})
        return made["ARN"]

    # ---- messages and names

    def queue(self, name: str, index: int) -> str:
        """A queue with its dead-letter queue; gives its URL."""
        sqs = self.aws("sqs")
        dead = f"{name}-{index}-dlq"
        dead_arn = self._arn("sqs", dead)
        self._queue(sqs, dead, {"MessageRetentionPeriod": "1209600"}, "dead", index)
        redrive = json.dumps({"deadLetterTargetArn": dead_arn, "maxReceiveCount": 5}, separators=(",", ":"))
        full = f"{name}-{index}"
        attributes = {"VisibilityTimeout": "60", "MessageRetentionPeriod": "345600", "RedrivePolicy": redrive}
        return self._queue(sqs, full, attributes, "work", index)

    def _queue(self, sqs: Any, name: str, attributes: Mapping[str, str], label: str, index: int) -> str:
        tags = self.tags(name)
        url = sqs.create_queue(QueueName=name, Attributes=dict(attributes), tags=tags)["QueueUrl"]
        shown = f"https://sqs.{self.region}.amazonaws.com/{self.account}/{name}"
        self.stack.add(
            "aws_sqs_queue",
            label,
            {
                "id": shown,
                "url": shown,
                "arn": self._arn("sqs", name),
                "name": name,
                "visibility_timeout_seconds": int(attributes.get("VisibilityTimeout", 30)),
                "message_retention_seconds": int(attributes["MessageRetentionPeriod"]),
                "delay_seconds": 0,
                "redrive_policy": attributes.get("RedrivePolicy", ""),
                **self._tagged(tags),
            },
            key=index,
        )
        return url

    def topic(self, name: str, index: int) -> str:
        client, full = self.aws("sns"), f"{name}-{index}"
        tags = self.tags(full)
        arn = client.create_topic(Name=full, Attributes={"DisplayName": name}, Tags=_pairs(tags))["TopicArn"]
        attributes = {"id": arn, "arn": arn, "name": full, "display_name": name, "kms_master_key_id": ""}
        self.stack.add("aws_sns_topic", "events", {**attributes, **self._tagged(tags)}, key=index)
        return arn

    def zone(self, name: str) -> str:
        client = self.aws("route53")
        reference = f"terraform-{self.stack.name}"
        config = {"Comment": "Managed by Terraform", "PrivateZone": False}
        made = client.create_hosted_zone(Name=name, CallerReference=reference, HostedZoneConfig=config)
        id = made["HostedZone"]["Id"].rsplit("/", 1)[-1]
        tags = self.tags(name)
        client.change_tags_for_resource(ResourceType="hostedzone", ResourceId=id, AddTags=_pairs(tags))
        attributes = {"id": id, "zone_id": id, "arn": f"arn:aws:route53:::hostedzone/{id}", "name": name}
        self.stack.add(
            "aws_route53_zone", "main", {**attributes, "comment": "Managed by Terraform", **self._tagged(tags)}
        )
        return id

    def record(self, zone: str, name: str, value: str) -> str:
        """A CNAME, as a pipeline points it."""
        change = {"Name": name, "Type": "CNAME", "TTL": 300, "ResourceRecords": [{"Value": value}]}
        self.aws("route53").change_resource_record_sets(
            HostedZoneId=zone, ChangeBatch={"Changes": [{"Action": "UPSERT", "ResourceRecordSet": change}]}
        )
        self.stack.add(
            "aws_route53_record",
            "this",
            {
                "id": f"{zone}_{name}_CNAME",
                "zone_id": zone,
                "name": name,
                "fqdn": name,
                "type": "CNAME",
                "ttl": 300,
                "records": [value],
                "set_identifier": "",
                "alias": [],
            },
        )
        return name

    def certificate(self, name: str) -> str:
        client, tags = self.aws("acm"), self.tags(name)
        arn = client.request_certificate(DomainName=name, ValidationMethod="DNS", Tags=_pairs(tags))["CertificateArn"]
        attributes = {"id": arn, "arn": arn, "domain_name": name, "subject_alternative_names": [name]}
        self.stack.add("aws_acm_certificate", "this", {**attributes, **self._tagged(tags)})
        return arn

    def cloudformation(self, name: str) -> str:
        """A CloudFormation stack that Terraform keeps: a log group from a vendor's template."""
        client, tags = self.aws("cloudformation"), self.tags(name)
        group = {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": f"/vendor/{name}"}}
        template = json.dumps({"AWSTemplateFormatVersion": "2010-09-09", "Resources": {"Logs": group}})
        arn = client.create_stack(StackName=name, TemplateBody=template, Tags=_pairs(tags))["StackId"]
        self.stack.add(
            "aws_cloudformation_stack", "vendor", {"id": arn, "name": name, "parameters": {}, **self._tagged(tags)}
        )
        return arn


def _pairs(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def _spec(kind: str, tags: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{"ResourceType": kind, "Tags": _pairs(tags)}]
