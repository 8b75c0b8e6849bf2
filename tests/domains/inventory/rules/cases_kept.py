"""More of what every rule says: of encryption, secrets, logging, resilience, the edge, lifecycle and waste."""

from __future__ import annotations

from tests.domains.inventory.rules.cases import (
    CASES,
    DENIED,
    ELSEWHERE,
    OTHER,
    account,
    bucket,
    case,
    database,
    eks,
    function,
    inside,
    key,
    machine,
    queue,
    s3_account,
    search,
    secret,
    warehouse,
)
from tests.domains.inventory.rules.held import Held, ago, production
from tests.kernel.world import ACCOUNT, REGION
from uwu.domains.inventory.rules.model import CRITICAL, HIGH, LOW, MEDIUM
from uwu.kernel.sensitive import fingerprint

# ---- encryption

case(
    "database-unencrypted",
    production(database.but(StorageEncrypted=False)),
    HIGH,
    "is not encrypted",
    "StorageEncrypted",
    False,
    database,
    warehouse.but(Encrypted=True),
    unjudged=database.partly("StorageEncrypted"),
)
regional = Held("aws_ec2_regional_settings", {"EbsEncryptionByDefault": True}, managed_by="aws")
plain = regional.but(EbsEncryptionByDefault=False)
volume = Held(
    "aws_ebs_volume", {"VolumeId": "vol-1", "Encrypted": False, "State": "available", "Size": 8}, days=60, id="vol-1"
)
case(
    "volume-unencrypted",
    (volume, regional),
    MEDIUM,
    "is not encrypted",
    "Encrypted",
    False,
    (volume.but(Encrypted=True), regional),
    (volume, plain),
    unjudged=(volume,),
)
case(
    "ebs-default-encryption",
    (plain, volume),
    MEDIUM,
    f"Region {REGION} of {ACCOUNT} does not encrypt new volumes by default",
    "EbsEncryptionByDefault",
    False,
    (regional, volume),
    (plain,),
    unjudged=(regional.partly("EbsEncryptionByDefault"), volume),
)
case(
    "queue-unencrypted",
    queue,
    LOW,
    "is not encrypted",
    "SqsManagedSseEnabled",
    "false",
    queue.but(SqsManagedSseEnabled="true"),
    queue.but(KmsMasterKeyId="alias/one"),
    unjudged=queue.partly("SqsManagedSseEnabled"),
)
at_rest = search.but(EncryptionAtRestOptions={"Enabled": False})
case(
    "search-unencrypted",
    at_rest,
    MEDIUM,
    "is not encrypted at rest",
    "EncryptionAtRestOptions.Enabled",
    False,
    search.but(EncryptionAtRestOptions={"Enabled": True}),
    unjudged=at_rest.partly("EncryptionAtRestOptions"),
)
cache = Held("aws_elasticache_replication_group", {"TransitEncryptionEnabled": False, "AtRestEncryptionEnabled": True})
case(
    "cache-unencrypted",
    cache,
    LOW,
    "speaks in plain text",
    "TransitEncryptionEnabled",
    False,
    cache.but(TransitEncryptionEnabled=True),
    unjudged=cache.partly("TransitEncryptionEnabled"),
)
case(
    "key-deletion",
    key.but(KeyState="PendingDeletion", DeletionDate=ago(-7)),
    HIGH,
    f"is to be deleted on {ago(-7)[:10]}",
    "KeyState",
    "PendingDeletion",
    key,
    key.but(KeyState="Disabled"),
    unjudged=key.partly("KeyState"),
)
case(
    "key-rotation",
    key.but(KeyRotationEnabled=False),
    LOW,
    "is not rotated",
    "KeyRotationEnabled",
    False,
    key,
    key.but(KeyRotationEnabled=None, KeySpec="RSA_2048"),
    key.but(KeyRotationEnabled=False, KeyState="PendingDeletion"),
    key.but(KeyRotationEnabled=False).of(managed_by="aws"),
    unjudged=key.partly("KeyRotationEnabled"),
)

# ---- secrets

task = Held(
    "aws_ecs_task_definition",
    {"containerDefinitions": [{"name": "web", "environment": [{"name": "DB_PASSWORD", "value": fingerprint("x")}]}]},
    urn=f"arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/web:3",
)
service = Held("aws_ecs_service", {"serviceName": "web"}, links=(("runs", task.at),))
harmless = [{"name": "web", "environment": [{"name": "TOKEN_URL", "value": fingerprint("x")}]}]
case(
    "task-secret-in-plain",
    (task, service),
    HIGH,
    "holds DB_PASSWORD in the plain environment of web",
    "containerDefinitions[0].environment",
    ["DB_PASSWORD"],
    (task,),
    (task.but(containerDefinitions=harmless), service),
)
held_in = function.but(Environment={"Variables": {"apiKey": fingerprint("x"), "STAGE": fingerprint("y")}})
case(
    "function-secret-in-plain",
    held_in,
    MEDIUM,
    "holds apiKey in its plain environment",
    "Environment.Variables",
    ["apiKey"],
    function.but(Environment={"Variables": {"SECRET_ARN": fingerprint("x")}}),
    function,
)
case(
    "secret-not-rotated",
    secret,
    MEDIUM,
    "was not replaced for 400 days",
    "LastChangedDate",
    ago(400)[:10],
    secret.but(LastChangedDate=ago(30)),
    secret.but(RotationEnabled=True, NextRotationDate=ago(-3)),
    unjudged=secret.partly("CreatedDate"),
)

# ---- logging

trail = Held(
    "aws_cloudtrail_trail",
    {"Name": "all", "IsMultiRegionTrail": True, "IsLogging": True, "LogFileValidationEnabled": True},
)
case(
    "trail-missing",
    (account, trail.but(IsLogging=False)),
    HIGH,
    "is recorded by no trail in all regions",
    "Trails",
    [],
    (account, trail),
    (account, trail.but(IsOrganizationTrail=True).of(account=OTHER)),
    (account.but(Status="SUSPENDED"), Held("aws_cloudtrail_trail")),
    unjudged=(account, Held("aws_cloudtrail_trail", status=DENIED)),
)
case(
    "trail-stopped",
    trail.but(IsLogging=False),
    HIGH,
    "does not record",
    "IsLogging",
    False,
    trail,
    unjudged=trail.partly("IsLogging"),
)
case(
    "trail-no-validation",
    trail.but(LogFileValidationEnabled=False),
    LOW,
    "does not sign its files",
    "LogFileValidationEnabled",
    False,
    trail,
    unjudged=trail.partly("LogFileValidationEnabled"),
)
quiet = inside
detector = Held("aws_guardduty_detector", {"Status": "ENABLED"}, region=ELSEWHERE)
no_detector = Held("aws_guardduty_detector")
case(
    "guardduty-off",
    (regional, quiet, detector, no_detector),
    MEDIUM,
    "is not watched by GuardDuty",
    "aws_guardduty_detector",
    [],
    (regional, detector, no_detector),
    (regional, quiet, detector, detector.of(region=REGION)),
    (regional, quiet, no_detector),
    unjudged=(regional, quiet, detector),
)
recorder = Held("aws_config_configuration_recorder", {"name": "default", "recording": True}, region=ELSEWHERE)
no_recorder = Held("aws_config_configuration_recorder")
case(
    "config-off",
    (regional, quiet, recorder, no_recorder),
    LOW,
    "is not recorded by AWS Config",
    "aws_config_configuration_recorder",
    [],
    (regional, recorder, no_recorder),
    (regional, quiet, recorder, recorder.of(region=REGION)),
    unjudged=(regional, quiet, recorder, no_recorder.of(status=DENIED)),
)
logs = Held("aws_cloudwatch_log_group", {"logGroupName": "one"})
case(
    "log-group-no-retention",
    logs,
    LOW,
    "keeps its logs for ever",
    "retentionInDays",
    None,
    logs.but(retentionInDays=30),
    unjudged=logs.of(status=DENIED),
)
case(
    "s3-account-block",
    (s3_account, bucket),
    MEDIUM,
    f"Account {ACCOUNT} does not set BlockPublicAcls, IgnorePublicAcls, BlockPublicPolicy, RestrictPublicBuckets",
    "PublicAccessBlockConfiguration",
    ...,
    (s3_account,),
    (
        s3_account.but(
            PublicAccessBlockConfiguration=dict.fromkeys(
                ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True
            )
        ),
        bucket,
    ),
    unjudged=(s3_account.of(status=DENIED), bucket),
)
case(
    "region-denied",
    machine,
    MEDIUM,
    f"is in {REGION}, where nothing may be",
    "Region",
    REGION,
    machine.of(region="us-east-1"),
    denied_regions=("eu-*",),
)

# ---- resilience

case(
    "database-no-backup",
    production(database.but(BackupRetentionPeriod=0)),
    HIGH,
    "is not backed up",
    "BackupRetentionPeriod",
    0,
    database.but(BackupRetentionPeriod=1),
    production(database),
    database.but(BackupRetentionPeriod=0, ReadReplicaSourceDBInstanceIdentifier="first"),
    unjudged=database.partly("BackupRetentionPeriod"),
)
case(
    "database-no-deletion-protection",
    production(database.but(DeletionProtection=False)),
    MEDIUM,
    "can be deleted by one call",
    "DeletionProtection",
    False,
    database.but(DeletionProtection=False),
    production(database),
    unjudged=production(database).partly("DeletionProtection"),
)
case(
    "database-single-zone",
    production(database.but(MultiAZ=False)),
    MEDIUM,
    "stands in one zone",
    "MultiAZ",
    False,
    database.but(MultiAZ=False),
    production(database.but(MultiAZ=False, DBClusterIdentifier="orders")),
    unjudged=production(database).partly("MultiAZ"),
)
table = Held("aws_dynamodb_table", {"TableName": "one", "PointInTimeRecovery": {"Status": "DISABLED"}})
case(
    "table-no-recovery",
    production(table),
    MEDIUM,
    "has no point-in-time recovery",
    "PointInTimeRecovery",
    "DISABLED",
    table,
    production(table.but(PointInTimeRecovery={"Status": "ENABLED"})),
    unjudged=production(table).partly("PointInTimeRecovery"),
)
certificate = Held(
    "aws_acm_certificate", {"Status": "ISSUED", "NotAfter": ago(-5), "InUseBy": ["arn:lb"], "DomainName": "one"}
)
case(
    "certificate-expiring",
    certificate,
    HIGH,
    f"ends on {ago(-5)[:10]}",
    "NotAfter",
    ago(-5)[:10],
    certificate.but(NotAfter=ago(-40)),
    certificate.but(InUseBy=[]),
    unjudged=certificate.partly("NotAfter"),
)
case(
    "certificate-not-renewing",
    certificate.but(RenewalSummary={"RenewalStatus": "FAILED"}),
    HIGH,
    "cannot be renewed",
    "RenewalSummary.RenewalStatus",
    "FAILED",
    certificate.but(RenewalSummary={"RenewalStatus": "SUCCESS"}),
    certificate,
    unjudged=certificate.partly("Status"),
)

# ---- edge

BALANCER = f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:loadbalancer/app/front/1"
balancer = Held(
    "aws_ec2_application_load_balancer",
    {"LoadBalancerArn": BALANCER, "Scheme": "internet-facing", "AccessLogs": "false",
     "DNSName": "front-1.eu-west-1.elb.amazonaws.com"},
    urn=BALANCER,
)  # fmt: skip
listener = Held(
    "aws_ec2_load_balancer_listener",
    {"LoadBalancerArn": BALANCER, "Protocol": "HTTP", "Port": 80, "DefaultActions": [{"Type": "forward"}]},
)
TO_HTTPS = [{"Type": "redirect", "RedirectConfig": {"Protocol": "HTTPS", "StatusCode": "HTTP_301"}}]
case(
    "listener-plain",
    (listener, balancer),
    MEDIUM,
    "serves plain HTTP to the internet",
    "DefaultActions",
    ["forward"],
    (listener.but(DefaultActions=TO_HTTPS), balancer),
    (listener, balancer.but(Scheme="internal")),
    (listener.but(Protocol="HTTPS"), balancer),
    unjudged=(listener,),
)
case(
    "balancer-no-log",
    balancer,
    LOW,
    "writes no access log",
    "AccessLogs",
    "false",
    balancer.but(AccessLogs="true"),
    balancer.but(Scheme="internal"),
    unjudged=balancer.partly("AccessLogs"),
)
targets = Held(
    "aws_ec2_target_group",
    {"LoadBalancerArns": [BALANCER], "TargetHealthDescriptions": [{"Target": {"Id": "i-1"}}], "AnyHealthy": False},
)
case(
    "no-healthy-target",
    targets,
    HIGH,
    "has no healthy target",
    "TargetHealthDescriptions",
    1,
    targets.but(AnyHealthy=True),
    targets.but(LoadBalancerArns=[]),
    targets.but(TargetHealthDescriptions=[]),
    unjudged=targets.partly("AnyHealthy"),
)
record = Held(
    "aws_route53_record",
    {"Name": "shop.example.org.", "Type": "CNAME",
     "ResourceRecords": [{"Value": "shop.example.org.s3-website-eu-west-1.amazonaws.com"}]},
    region="global",
)  # fmt: skip
BUCKETS = Held("aws_s3_bucket", region="global")
to_front = record.but(ResourceRecords=[{"Value": "Front-1.eu-west-1.elb.amazonaws.com."}])
balancers = tuple(Held(f"aws_ec2_{kind}_load_balancer") for kind in ("application", "network", "classic"))
address = Held("aws_vpc_eip", {"AllocationId": "eipalloc-1", "PublicIp": "203.0.113.7"}, id="eipalloc-1", days=60)
case(
    "dns-dangling",
    (record, BUCKETS),
    CRITICAL,
    "leads to the bucket shop.example.org, which is not yours",
    "ResourceRecords",
    "shop.example.org.s3-website-eu-west-1.amazonaws.com",
    (record.of(links=(("resolvesTo", "arn:aws:s3:::shop.example.org"),)), BUCKETS),
    (record.but(ResourceRecords=[{"Value": "shops.myvendor.com"}]), BUCKETS),
    (to_front, *balancers),
    unjudged=(record, BUCKETS.of(status=DENIED)),
)
case(
    "dns-dangling",
    (to_front, balancer.of(gone=True), *balancers[1:]),
    MEDIUM,
    "leads to front-1.eu-west-1.elb.amazonaws.com, which was deleted",
    "ResourceRecords",
    "front-1.eu-west-1.elb.amazonaws.com",
    (to_front, balancer, *balancers[1:]),
)
to_address = record.but(Type="A", ResourceRecords=[{"Value": "203.0.113.7"}])
case(
    "dns-dangling",
    (to_address, address.of(gone=True), Held("aws_ec2_instance"), Held("aws_ec2_network_interface")),
    CRITICAL,
    "leads to 203.0.113.7, an address that was given up",
    "ResourceRecords",
    "203.0.113.7",
    (to_address, address),
)

# ---- lifecycle

case(
    "runtime-ended",
    production(function.but(Runtime="python3.8")),
    MEDIUM,
    "is on python3.8, whose support ended on 2024-10-14",
    "Runtime",
    "python3.8",
    function,
    function.but(Runtime=None, PackageType="Image"),
    unjudged=function.but(Runtime="cobol85"),
)
case(
    "engine-ended",
    database.but(Engine="mysql", EngineVersion="5.7.44"),
    MEDIUM,
    "is on mysql 5.7, whose support ended on 2024-02-29",
    "EngineVersion",
    "mysql 5.7",
    database,
    database.but(Engine="oracle-ee", EngineVersion="12.1"),
    unjudged=database.but(EngineVersion="99.1"),
)
case(
    "cluster-version-ended",
    eks,
    MEDIUM,
    "is on Kubernetes 1.30, whose support ended on 2025-07-23",
    "version",
    "Kubernetes 1.30",
    eks.but(version="1.35"),
    unjudged=eks.partly("version"),
)

# ---- waste

case(
    "address-unused",
    address,
    LOW,
    "is attached to nothing",
    "AssociationId",
    "203.0.113.7",
    address.but(AssociationId="eipassoc-1"),
    address.of(days=3),
)
case(
    "volume-unused",
    volume,
    LOW,
    "of 8 GiB is attached to nothing",
    "Attachments",
    [],
    volume.but(State="in-use"),
    volume.of(days=3),
    unjudged=volume.partly("State"),
)
stopped = machine.but(
    State={"Name": "stopped"}, StateTransitionReason=f"User initiated ({ago(50)[:19].replace('T', ' ')} GMT)"
)
case(
    "instance-stopped",
    stopped,
    LOW,
    f"has been stopped since {ago(50)[:10]}",
    "State",
    "stopped",
    stopped.but(StateTransitionReason=""),
    stopped.but(State={"Name": "running"}),
    unjudged=stopped.partly("State"),
)
group = Held(
    "aws_vpc_security_group",
    {"GroupId": "sg-1", "IpPermissions": [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]},
    days=60,
)
FACES = (Held("aws_ec2_network_interface"), Held("aws_ec2_instance"))
case(
    "group-open-unused",
    (group, *FACES),
    LOW,
    "is used by nothing and admits the world",
    "IpPermissions",
    None,
    (group.but(IpPermissions=[]), *FACES),
    (group.of(days=3), *FACES),
    (group, FACES[0], machine.of(links=(("hasSecurityGroup", group.at),))),
    unjudged=(group, FACES[0].of(status=DENIED), FACES[1]),
)
vpc = Held("aws_vpc", {"VpcId": "vpc-1", "IsDefault": True})
case(
    "default-vpc-used",
    (machine, vpc),
    LOW,
    "runs in the default VPC",
    "VpcId",
    "vpc-1",
    (machine, vpc.but(IsDefault=False)),
    unjudged=(machine,),
)


__all__ = ["CASES"]
