"""Realistic answers of AWS, made here: sizes as measured in real accounts, no two elements alike."""

from __future__ import annotations

import json
import random
from urllib.parse import quote

ACCOUNT = "123456789012"


def _hex(random_: random.Random, size: int = 17) -> str:
    return f"{random_.getrandbits(size * 4):0{size}x}"


def _at(index: int) -> str:
    return f"2024-0{1 + index % 9}-1{index % 9}T0{index % 9}:1{index % 5}:4{index % 7}"


def identity() -> bytes:
    """STS GetCallerIdentity."""
    return (
        '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>'
        f"<Arn>arn:aws:iam::{ACCOUNT}:user/observer</Arn><UserId>AIDAEXAMPLE</UserId><Account>{ACCOUNT}</Account>"
        "</GetCallerIdentityResult><ResponseMetadata><RequestId>r</RequestId></ResponseMetadata>"
        "</GetCallerIdentityResponse>"
    ).encode()


def list_queues(count: int = 32) -> bytes:
    """SQS ListQueues (json): 2 KB."""
    urls = [f"https://sqs.us-east-1.amazonaws.com/{ACCOUNT}/orders-{index:04d}" for index in range(count)]
    return json.dumps({"QueueUrls": urls}).encode()


def list_roles(count: int = 21) -> bytes:
    """IAM ListRoles (query): 15 KB, each role with its URL-encoded trust policy."""
    random_ = random.Random(1)
    roles = ""
    for index in range(count):
        trust = {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Service": f"{random_.choice(['ec2', 'lambda', 'ecs-tasks'])}.amazonaws.com"},
                    "Action": "sts:AssumeRole",
                }
            ],
        }
        roles += (
            f"\n      <member>\n        <Path>/service-role/</Path>\n"
            f"        <AssumeRolePolicyDocument>{quote(json.dumps(trust), safe='')}</AssumeRolePolicyDocument>\n"
            "        <MaxSessionDuration>3600</MaxSessionDuration>\n"
            f"        <RoleId>AROA{_hex(random_).upper()}</RoleId>\n"
            f"        <RoleName>service-{index:04d}</RoleName>\n"
            f"        <Description>What service {index} runs as</Description>\n"
            f"        <Arn>arn:aws:iam::{ACCOUNT}:role/service-role/service-{index:04d}</Arn>\n"
            f"        <CreateDate>{_at(index)}Z</CreateDate>\n"
            "      </member>"
        )
    return (
        '<ListRolesResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/">\n  <ListRolesResult>\n'
        f"    <IsTruncated>false</IsTruncated>\n    <Roles>{roles}\n    </Roles>\n  </ListRolesResult>\n"
        "  <ResponseMetadata>\n    <RequestId>r</RequestId>\n  </ResponseMetadata>\n</ListRolesResponse>"
    ).encode()


def _instance(random_: random.Random, index: int) -> str:
    def text(name: str, value: object) -> str:
        return f"  <{name}>{value}</{name}>\n"

    at = f"{_at(index)}.000Z"
    address = f"10.{index % 200}.{index // 200}.{random_.randrange(255)}"
    groups = f"<item><groupId>sg-{_hex(random_)}</groupId><groupName>web</groupName></item>"
    tags = "".join(
        f"    <item>\n      <key>{key}</key>\n      <value>{value}-{index}</value>\n    </item>\n"
        for key, value in (("Name", "web"), ("team", "payments"), ("env", "prod"), ("cost-center", "4711"))
    )
    interface = (
        f"<item><networkInterfaceId>eni-{_hex(random_)}</networkInterfaceId><subnetId>subnet-{_hex(random_)}</subnetId>"
        f"<vpcId>vpc-0a1b2c3d4e5f60718</vpcId><description/><ownerId>{ACCOUNT}</ownerId><status>in-use</status>"
        f"<macAddress>02:42:ac:11:00:{index % 100:02d}</macAddress><privateIpAddress>{address}</privateIpAddress>"
        f"<sourceDestCheck>true</sourceDestCheck><groupSet>{groups}</groupSet><attachment>"
        f"<attachmentId>eni-attach-{_hex(random_)}</attachmentId><deviceIndex>0</deviceIndex><status>attached</status>"
        f"<attachTime>{at}</attachTime><deleteOnTermination>true</deleteOnTermination></attachment>"
        f"<privateIpAddressesSet><item><privateIpAddress>{address}</privateIpAddress><primary>true</primary></item>"
        "</privateIpAddressesSet><ipv6AddressesSet/><interfaceType>interface</interfaceType></item>"
    )
    volume = (
        f"<item><deviceName>/dev/xvda</deviceName><ebs><volumeId>vol-{_hex(random_)}</volumeId><status>attached</status>"
        f"<attachTime>{at}</attachTime><deleteOnTermination>true</deleteOnTermination></ebs></item>"
    )
    return (
        "        <item>\n"
        f"            <reservationId>r-{_hex(random_)}</reservationId>\n            <ownerId>{ACCOUNT}</ownerId>\n"
        "            <groupSet/>\n            <instancesSet>\n                <item>\n"
        + text("instanceId", f"i-{_hex(random_)}")
        + text("imageId", f"ami-{_hex(random_)}")
        + text("instanceState", "<code>16</code><name>running</name>")
        + text("privateDnsName", f"ip-{address.replace('.', '-')}.ec2.internal")
        + "                    <dnsName/>\n                    <reason/>\n                    <productCodes/>\n"
        + text("keyName", "ops")
        + text("amiLaunchIndex", 0)
        + text("instanceType", "m6i.large")
        + text("launchTime", at)
        + text("placement", "<availabilityZone>us-east-1a</availabilityZone><groupName/><tenancy>default</tenancy>")
        + text("monitoring", "<state>disabled</state>")
        + text("subnetId", f"subnet-{_hex(random_)}")
        + text("vpcId", "vpc-0a1b2c3d4e5f60718")
        + text("privateIpAddress", address)
        + text("sourceDestCheck", "true")
        + text("groupSet", groups)
        + text("architecture", "x86_64")
        + text("rootDeviceType", "ebs")
        + text("rootDeviceName", "/dev/xvda")
        + text("blockDeviceMapping", volume)
        + text("virtualizationType", "hvm")
        + text("clientToken", _hex(random_))
        + text("tagSet", f"\n{tags}")
        + text("hypervisor", "xen")
        + text("networkInterfaceSet", interface)
        + text("iamInstanceProfile", f"<arn>arn:aws:iam::{ACCOUNT}:instance-profile/web</arn><id>AIPA{index}</id>")
        + text("ebsOptimized", "false")
        + text("enaSupport", "true")
        + text("cpuOptions", "<coreCount>1</coreCount><threadsPerCore>2</threadsPerCore>")
        + "                </item>\n            </instancesSet>\n        </item>\n"
    )


def describe_instances(count: int = 100) -> bytes:
    """EC2 DescribeInstances (ec2): 100 instances."""
    random_ = random.Random(2)
    items = "".join(_instance(random_, index) for index in range(count))
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">\n    <requestId>r</requestId>\n'
        f"    <reservationSet>\n{items}    </reservationSet>\n</DescribeInstancesResponse>"
    ).encode()


def list_functions(count: int = 50) -> bytes:
    """Lambda ListFunctions (rest-json)."""
    random_ = random.Random(3)
    functions = [
        {
            "FunctionName": f"orders-{index}",
            "FunctionArn": f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:orders-{index}",
            "Runtime": "python3.12",
            "Role": f"arn:aws:iam::{ACCOUNT}:role/orders",
            "Handler": "app.handle",
            "CodeSize": random_.randrange(10**7),
            "Timeout": 30,
            "MemorySize": 512,
            "LastModified": "2024-05-01T10:00:00.000+0000",
            "CodeSha256": _hex(random_, 40),
            "Version": "$LATEST",
            "Environment": {"Variables": {"STAGE": "prod", "TABLE": f"orders-{index}"}},
            "TracingConfig": {"Mode": "Active"},
            "Architectures": ["arm64"],
            "EphemeralStorage": {"Size": 512},
        }
        for index in range(count)
    ]
    return json.dumps({"Functions": functions, "NextMarker": None}).encode()
