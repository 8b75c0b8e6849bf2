"""An organization of a few accounts in moto, with one of every type that is observed, and a proxy that makes faults."""

from __future__ import annotations

import http.client
import io
import json
import random
import threading
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import botocore.session

from uwu.domains.inventory.observe import JOBS
from uwu.kernel import codec
from uwu.kernel.errors import UwuError
from uwu.kernel.runtime import Kernel

REGION = "eu-west-1"
_session = botocore.session.Session()
_lock = threading.Lock()
_numbers = random.SystemRandom()


@dataclass
class AccountWorld:
    """One account of moto, entered as moto wants it: by assuming a role."""

    url: str
    id: str
    ids: dict[str, str] = field(default_factory=dict)

    @cached_property
    def keys(self) -> dict[str, str]:
        with _lock:
            sts = _session.create_client(
                "sts",
                region_name="us-east-1",
                endpoint_url=self.url,
                aws_access_key_id="first",
                aws_secret_access_key="first",
            )
        given = sts.assume_role(RoleArn=f"arn:aws:iam::{self.id}:role/builder", RoleSessionName="builder")[
            "Credentials"
        ]
        return {
            "AWS_ACCESS_KEY_ID": given["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": given["SecretAccessKey"],
            "AWS_SESSION_TOKEN": given["SessionToken"],
        }

    def client(self, service: str, region: str = REGION) -> Any:
        keys: dict[str, Any] = {name.lower(): value for name, value in self.keys.items()}
        with _lock:
            return _session.create_client(service, region_name=region, endpoint_url=self.url, **keys)


def new_account(url: str) -> AccountWorld:
    """An account that no other test has."""
    return AccountWorld(url, f"7{_numbers.randrange(10**11):011d}")


def tags(**values: str) -> list[dict[str, str]]:
    return [{"Key": k, "Value": v} for k, v in values.items()]


def network(account: AccountWorld) -> None:
    ec2, ids = account.client("ec2"), account.ids

    def named(kind: str, name: str) -> list[dict[str, Any]]:
        return [{"ResourceType": kind, "Tags": tags(Name=name, team="payments")}]

    ids["vpc"] = ec2.create_vpc(CidrBlock="10.0.0.0/16", TagSpecifications=named("vpc", "main"))["Vpc"]["VpcId"]
    for name, block, zone in (("a", "10.0.0.0/24", "a"), ("b", "10.0.1.0/24", "b")):
        ids[f"subnet-{name}"] = ec2.create_subnet(VpcId=ids["vpc"], CidrBlock=block, AvailabilityZone=REGION + zone)[
            "Subnet"
        ]["SubnetId"]
    ids["sg"] = ec2.create_security_group(
        GroupName="web", Description="web", VpcId=ids["vpc"], TagSpecifications=named("security-group", "web")
    )["GroupId"]
    ec2.authorize_security_group_ingress(
        GroupId=ids["sg"],
        IpPermissions=[
            {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]},
            {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "UserIdGroupPairs": [{"GroupId": ids["sg"]}]},
        ],
    )
    account.client("iam").create_instance_profile(InstanceProfileName="web")
    ids["instance"] = ec2.run_instances(
        ImageId="ami-12345678",
        MinCount=1,
        MaxCount=1,
        InstanceType="t3.micro",
        SubnetId=ids["subnet-a"],
        SecurityGroupIds=[ids["sg"]],
        IamInstanceProfile={"Name": "web"},
        TagSpecifications=named("instance", "web-1"),
    )["Instances"][0]["InstanceId"]
    dead = ec2.run_instances(ImageId="ami-12345678", MinCount=1, MaxCount=1, SubnetId=ids["subnet-a"])
    ids["terminated"] = dead["Instances"][0]["InstanceId"]
    ec2.terminate_instances(InstanceIds=[ids["terminated"]])
    ids["volume"] = ec2.create_volume(
        AvailabilityZone=REGION + "a", Size=10, Encrypted=True, TagSpecifications=named("volume", "data")
    )["VolumeId"]
    ec2.attach_volume(VolumeId=ids["volume"], InstanceId=ids["instance"], Device="/dev/sdf")
    ids["eni"] = ec2.create_network_interface(SubnetId=ids["subnet-b"], Groups=[ids["sg"]])["NetworkInterface"][
        "NetworkInterfaceId"
    ]
    ids["eip"] = ec2.allocate_address(Domain="vpc", TagSpecifications=named("elastic-ip", "door"))["AllocationId"]
    ec2.associate_address(AllocationId=ids["eip"], InstanceId=ids["instance"])
    ids["eip-address"] = ec2.describe_addresses(AllocationIds=[ids["eip"]])["Addresses"][0]["PublicIp"]
    ids["ami"] = ec2.create_image(InstanceId=ids["instance"], Name="golden")["ImageId"]
    ids["lt"] = ec2.create_launch_template(
        LaunchTemplateName="web",
        LaunchTemplateData={"ImageId": ids["ami"], "InstanceType": "t3.micro"},
        TagSpecifications=named("launch-template", "web"),
    )["LaunchTemplate"]["LaunchTemplateId"]


def balancing(account: AccountWorld) -> None:
    elb, ids = account.client("elbv2"), account.ids
    subnets = [ids["subnet-a"], ids["subnet-b"]]
    for kind in ("application", "network", "gateway"):
        groups = {"SecurityGroups": [ids["sg"]]} if kind == "application" else {}
        ids[kind] = elb.create_load_balancer(Name=kind, Type=kind, Subnets=subnets, Tags=tags(team="web"), **groups)[
            "LoadBalancers"
        ][0]["LoadBalancerArn"]
    ids["tg"] = elb.create_target_group(Name="web", Protocol="HTTP", Port=80, VpcId=ids["vpc"], Tags=tags(team="web"))[
        "TargetGroups"
    ][0]["TargetGroupArn"]
    elb.register_targets(TargetGroupArn=ids["tg"], Targets=[{"Id": ids["instance"]}])
    elb.create_listener(
        LoadBalancerArn=ids["application"],
        Protocol="HTTP",
        Port=80,
        DefaultActions=[{"Type": "forward", "TargetGroupArn": ids["tg"]}],
    )
    names = elb.describe_load_balancers(LoadBalancerArns=[ids["application"]])["LoadBalancers"][0]
    ids["dns-name"], ids["dns-zone"] = names["DNSName"], names["CanonicalHostedZoneId"]
    dns = account.client("route53")
    ids["zone"] = dns.create_hosted_zone(Name="example.org", CallerReference=account.id)["HostedZone"]["Id"]
    dns.change_tags_for_resource(
        ResourceType="hostedzone", ResourceId=ids["zone"].split("/")[-1], AddTags=tags(team="dns")
    )

    def upsert(**record: Any) -> dict[str, Any]:
        return {"Action": "UPSERT", "ResourceRecordSet": record}

    alias = {"HostedZoneId": ids["dns-zone"], "DNSName": ids["dns-name"], "EvaluateTargetHealth": False}
    dns.change_resource_record_sets(
        HostedZoneId=ids["zone"],
        ChangeBatch={
            "Changes": [
                upsert(Name="www.example.org", Type="A", AliasTarget=alias),
                upsert(Name="door.example.org", Type="A", TTL=60, ResourceRecords=[{"Value": ids["eip-address"]}]),
                upsert(Name="*.example.org", Type="CNAME", TTL=60, ResourceRecords=[{"Value": "elsewhere.net"}]),
            ]
        },
    )


def identities(account: AccountWorld) -> None:
    iam, ids = account.client("iam"), account.ids
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }
    allow = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
    ids["role"] = iam.create_role(
        RoleName="runner", Path="/team/", AssumeRolePolicyDocument=json.dumps(trust), Tags=tags(team="payments")
    )["Role"]["Arn"]
    ids["policy"] = iam.create_policy(PolicyName="store", PolicyDocument=json.dumps(allow), Tags=tags(team="payments"))[
        "Policy"
    ]["Arn"]
    iam.attach_role_policy(RoleName="runner", PolicyArn=ids["policy"])
    iam.put_role_policy(RoleName="runner", PolicyName="inline", PolicyDocument=json.dumps(allow))
    iam.create_service_linked_role(AWSServiceName="rds.amazonaws.com")
    ids["user"] = iam.create_user(UserName="breakglass", Tags=tags(team="security"))["User"]["Arn"]
    ids["key"] = iam.create_access_key(UserName="breakglass")["AccessKey"]["AccessKeyId"]
    iam.create_instance_profile(InstanceProfileName="runner")
    iam.add_role_to_instance_profile(InstanceProfileName="runner", RoleName="runner")


def data(account: AccountWorld) -> None:
    ids = account.ids
    kms = account.client("kms")
    ids["kms"] = kms.create_key(Description="orders", Tags=[{"TagKey": "team", "TagValue": "payments"}])["KeyMetadata"][
        "Arn"
    ]
    kms.create_alias(AliasName="alias/orders", TargetKeyId=ids["kms"])
    kms.enable_key_rotation(KeyId=ids["kms"])
    s3 = account.client("s3")
    ids["bucket"], ids["plain-bucket"] = f"orders-{account.id}", f"plain-{account.id}"
    s3.create_bucket(Bucket=ids["bucket"], CreateBucketConfiguration={"LocationConstraint": REGION})
    account.client("s3", "us-east-1").create_bucket(Bucket=ids["plain-bucket"])
    s3.put_bucket_versioning(Bucket=ids["bucket"], VersioningConfiguration={"Status": "Enabled"})
    by_key = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": ids["kms"]}
    s3.put_bucket_encryption(
        Bucket=ids["bucket"],
        ServerSideEncryptionConfiguration={"Rules": [{"ApplyServerSideEncryptionByDefault": by_key}]},
    )
    s3.put_public_access_block(Bucket=ids["bucket"], PublicAccessBlockConfiguration={"BlockPublicAcls": True})
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Principal": "*", "Action": "s3:*"}]}
    policy["Statement"][0]["Resource"] = f"arn:aws:s3:::{ids['bucket']}"  # type: ignore[index]
    s3.put_bucket_policy(Bucket=ids["bucket"], Policy=json.dumps(policy))
    s3.put_bucket_tagging(Bucket=ids["bucket"], Tagging={"TagSet": tags(team="payments")})
    rds = account.client("rds")
    rds.create_db_subnet_group(
        DBSubnetGroupName="db", DBSubnetGroupDescription="db", SubnetIds=[ids["subnet-a"], ids["subnet-b"]]
    )
    ids["db"] = rds.create_db_instance(
        DBInstanceIdentifier="orders",
        DBInstanceClass="db.t3.micro",
        Engine="postgres",
        AllocatedStorage=20,
        MasterUsername="orders",
        MasterUserPassword="not-a-secret-1",
        StorageEncrypted=True,
        KmsKeyId=ids["kms"],
        DBSubnetGroupName="db",
        VpcSecurityGroupIds=[ids["sg"]],
        Tags=tags(team="payments"),
    )["DBInstance"]["DBInstanceArn"]
    ids["secret"] = account.client("secretsmanager").create_secret(
        Name="orders/db", SecretString="hush-hush", KmsKeyId=ids["kms"], Tags=tags(team="payments")
    )["ARN"]


def application(account: AccountWorld) -> None:
    ids = account.ids
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("x.py", "x = 1")
    ids["function"] = account.client("lambda").create_function(
        FunctionName="charge",
        Runtime="python3.12",
        Role=ids["role"],
        Handler="x.y",
        Code={"ZipFile": code.getvalue()},
        VpcConfig={"SubnetIds": [ids["subnet-a"]], "SecurityGroupIds": [ids["sg"]]},
        Tags={"team": "payments"},
    )["FunctionArn"]
    sqs = account.client("sqs")

    def queue(name: str, **attributes: str) -> str:
        url = sqs.create_queue(QueueName=name, Attributes=attributes, tags={"team": "payments"})["QueueUrl"]
        return sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]

    ids["dlq"] = queue("orders-dead")
    redrive = json.dumps({"deadLetterTargetArn": ids["dlq"], "maxReceiveCount": "5"})
    ids["queue"] = queue("orders", RedrivePolicy=redrive, KmsMasterKeyId=ids["kms"])
    ids["topic"] = account.client("sns").create_topic(
        Name="orders", Attributes={"KmsMasterKeyId": ids["kms"]}, Tags=tags(team="payments")
    )["TopicArn"]
    ids["certificate"] = account.client("acm").request_certificate(DomainName="example.org", Tags=tags(team="web"))[
        "CertificateArn"
    ]
    template = {
        "Resources": {
            "Bucket": {
                "Type": "AWS::S3::Bucket",
                "Properties": {"BucketName": f"stacked-{account.id}", "Tags": tags(kind="stacked")},
            }
        }
    }
    ids["stack"] = account.client("cloudformation").create_stack(
        StackName="stacked", TemplateBody=json.dumps(template), Tags=tags(owner="platform")
    )["StackId"]


def whole(url: str) -> AccountWorld:
    """An account with one of every type."""
    account = new_account(url)
    for build in (network, balancing, identities, data, application):
        build(account)
    return account


@dataclass
class OrganizationWorld:
    management: AccountWorld
    accounts: dict[str, AccountWorld]


def organization(url: str) -> OrganizationWorld:
    """Workloads/Production/payments, Workloads/staging and the management account under the root."""
    management = new_account(url)
    client = management.client("organizations", "us-east-1")
    client.create_organization(FeatureSet="ALL")
    root = client.list_roots()["Roots"][0]["Id"]

    def unit(parent: str, name: str) -> str:
        return client.create_organizational_unit(ParentId=parent, Name=name)["OrganizationalUnit"]["Id"]

    workloads = unit(root, "Workloads")
    places = {"payments": unit(workloads, "Production"), "staging": workloads}
    accounts: dict[str, AccountWorld] = {}
    for name, place in places.items():
        made = client.create_account(Email=f"{name}@example.org", AccountName=name, Tags=tags(environment=name))
        id = made["CreateAccountStatus"]["AccountId"]
        client.move_account(AccountId=id, SourceParentId=root, DestinationParentId=place)
        accounts[name] = AccountWorld(url, id)
    return OrganizationWorld(management, accounts)


# ---- running jobs in this process


class InlineRun:
    """The Run of a job, in this process and without durability; results pass through JSON as the real one's do."""

    def __init__(self, kernel: Kernel) -> None:
        self.id = codec.new_id("inline")
        self.kernel = kernel
        self.lines: list[str] = []

    def step(self, function: Callable[..., Any], *args: Any, name: str = "") -> Any:
        return codec.decode(codec.encode(function(*args)))

    def fan_out(self, job: str, arguments: Any, *, keys: Any) -> list[dict[str, Any]]:
        assert len(set(keys)) == len(list(arguments))
        body = next(each.run for each in JOBS if each.name == job)

        def one(some: dict[str, Any]) -> dict[str, Any]:
            try:
                return body(self, some)  # type: ignore[arg-type]
            except UwuError as error:
                return {"problem": codec.builtins(error.problem)}

        with ThreadPoolExecutor(self.kernel.settings.aws.concurrency) as pool:
            return list(pool.map(one, arguments))

    def progress(self, stage: str, done: int = 0, total: int = 0) -> None:
        return None

    def log(self, message: str, *, level: str = "info", data: Any = None) -> None:
        self.lines.append(message)


def sync(kernel: Kernel) -> dict[str, Any]:
    """One ``inventory.sync``."""
    return JOBS[0].run(InlineRun(kernel), {})  # type: ignore[arg-type]


# ---- faults


@dataclass(frozen=True)
class Request:
    """One call as the proxy sees it."""

    action: str
    """The operation: of a query or EC2 body, or of X-Amz-Target; else ``METHOD path?query``."""
    service: str
    region: str
    body: str


@dataclass(frozen=True)
class Fault:
    """The answer that AWS gives to an operation instead of its own."""

    when: Callable[[Request], bool]
    code: str
    status: int = 400
    message: str = "no"
    plain: str = ""
    """An answer that is not AWS's at all."""


class FaultProxy:
    """Passes calls on to ``target`` and answers some with a fault. Counts what came."""

    def __init__(self, target: str) -> None:
        self.faults: list[Fault] = []
        self.requests: list[Request] = []
        self._target = urlsplit(target)
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            def _serve(self) -> None:
                proxy.serve(self)

            do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = _serve  # noqa: N815

            def log_message(self, format: str, *args: Any) -> None:
                return None

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def serve(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        request = _request(handler, body.decode("utf-8", "replace"))
        self.requests.append(request)
        fault = next((f for f in self.faults if f.when(request)), None)
        if fault is not None:
            content_type, answer = _fault_body(fault, request, handler.headers.get("Content-Type") or "")
            status = fault.status
        else:
            connection = http.client.HTTPConnection(self._target.netloc, timeout=30)
            connection.request(handler.command, handler.path, body, dict(handler.headers.items()))
            response = connection.getresponse()
            answer, status = response.read(), response.status
            content_type = response.headers.get("Content-Type", "")
            connection.close()
        handler.send_response(status)
        handler.send_header("Content-Type", content_type)
        handler.send_header("Content-Length", str(len(answer)))
        handler.end_headers()
        handler.wfile.write(answer)

    def count(self, action: str) -> int:
        return sum(1 for request in self.requests if request.action == action)


def _request(handler: BaseHTTPRequestHandler, body: str) -> Request:
    scope = (handler.headers.get("Authorization") or "").partition("Credential=")[2].split(",")[0].split("/")
    region, service = (scope[2], scope[3]) if len(scope) > 3 else ("", "")
    target = handler.headers.get("X-Amz-Target")
    if target:
        action = target.rsplit(".", 1)[-1]
    elif "Action=" in body:
        action = body.partition("Action=")[2].split("&")[0]
    else:
        action = f"{handler.command} {handler.path}"
    return Request(action, service, region, body)


def _fault_body(fault: Fault, request: Request, content_type: str) -> tuple[str, bytes]:
    if fault.plain:
        return "text/html", fault.plain.encode()
    xml = "Action=" in request.body or request.service in {"s3", "route53", "cloudfront"}
    if "json" in content_type or not xml:
        return "application/x-amz-json-1.1", json.dumps({"__type": fault.code, "message": fault.message}).encode()
    error = f"<Error><Code>{fault.code}</Code><Message>{fault.message}</Message></Error>"
    if request.service == "ec2":
        return "text/xml", f"<Response><Errors>{error}</Errors><RequestID>r</RequestID></Response>".encode()
    if request.service == "s3":
        return "text/xml", error.encode()
    return "text/xml", f"<ErrorResponse>{error}<RequestId>r</RequestId></ErrorResponse>".encode()


@contextmanager
def faulty(target: str) -> Iterator[FaultProxy]:
    proxy = FaultProxy(target)
    proxy._thread.start()
    try:
        yield proxy
    finally:
        proxy._server.shutdown()
        proxy._server.server_close()
        proxy._thread.join()
