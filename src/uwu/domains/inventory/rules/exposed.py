"""What the internet reaches, or anyone may use, and should not: each is proven by its way from outside."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from uwu.domains.inventory.exposure_policies import everyone
from uwu.domains.inventory.rules.model import CRITICAL, HIGH, MEDIUM, Book, Lacking, OfOne, Row, Said, Severity, Wrong
from uwu.domains.inventory.rules.world import World

BOOK = Book("Exposure")

ADMIN: Mapping[int, str] = {
    22: "SSH",
    23: "Telnet",
    2375: "the Docker API",
    2376: "the Docker API",
    3389: "RDP",
    5900: "VNC",
    5985: "WinRM",
    5986: "WinRM",
    6443: "the Kubernetes API",
    10250: "the kubelet",
}
"""Ports by which a machine is administered."""
DATA: Mapping[int, str] = {
    1433: "SQL Server",
    1521: "Oracle",
    2379: "etcd",
    3306: "MySQL",
    5432: "PostgreSQL",
    5984: "CouchDB",
    6379: "Redis",
    9042: "Cassandra",
    9092: "Kafka",
    9200: "Elasticsearch",
    11211: "memcached",
    27017: "MongoDB",
}
"""Ports at which data is served."""

_MACHINES = ("aws_ec2_instance", "aws_ec2_network_interface")
_DOORS = (*_MACHINES, "aws_ec2_network_load_balancer", "aws_ec2_classic_load_balancer")
_NETWORK = (
    "aws_vpc_security_group",
    "aws_vpc_subnet",
    "aws_vpc_route_table",
    "aws_vpc_network_acl",
)
"""What a way through the network stands on."""


def among(ports: Sequence[str], wanted: Mapping[int, str]) -> list[int]:
    """Which of ``wanted`` are open, by ``Exposure.ports``: ``tcp/22``, ``tcp/1024-65535``, ``all``."""
    found: set[int] = set()
    for told in ports:
        protocol, _, span = told.partition("/")
        if protocol == "all":
            return sorted(wanted)
        if protocol != "tcp" or not span:
            continue
        low, _, high = span.partition("-")
        found.update(port for port in wanted if int(low) <= port <= int(high or low))
    return sorted(found)


def reached(world: World, row: Row, says: str, path: str, severity: Severity | None = None) -> Said:
    """That the internet reaches ``row``, or that it is not known."""
    found = world.exposures.get(row.urn)
    if found is None:
        return None
    if found.answer == "unknown":
        return Lacking(f"whether it is exposed is not known: {found.lacks[0].why}" if found.lacks else "not known")
    shown = list(found.ports) or None
    return Wrong(says, path, shown, severity)


def _own_interface(row: Row) -> bool:
    """Not one that belongs to an instance, which is judged itself, nor to a service of AWS."""
    attachment = row.get("Attachment") or {}
    return not attachment.get("InstanceId") and not row.get("RequesterManaged")


def _open(world: World, row: Row, wanted: Mapping[int, str], severity: Severity) -> Said:
    if row.type == "aws_ec2_network_interface" and not _own_interface(row):
        return None
    found = world.exposures.get(row.urn)
    if found is None or found.answer == "unknown":
        return reached(world, row, "", "")
    ports = among(found.ports, wanted)
    if not ports:
        return None
    names = list(dict.fromkeys(wanted[port] for port in ports))
    shown = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
    path = "IpPermissions" if row.type in _MACHINES else "Listeners"
    return Wrong(f"is open to the internet for {shown}", path, [f"tcp/{p}" for p in ports], world.raised(row, severity))


@BOOK.one(
    "admin-ports-public",
    "A port of administration is open to the internet",
    HIGH,
    _DOORS,
    beside=_NETWORK,
    exposed=True,
    rises="in production",
    why="SSH, RDP or the Docker API that anyone reaches is tried within minutes, and one weak key gives the machine.",
    remedy="aws ec2 revoke-security-group-ingress for the rule that admits 0.0.0.0/0 or ::/0; "
    "use Session Manager (aws ssm start-session) instead",
    references=("CIS AWS 3.0 5.2", "CIS AWS 3.0 5.3", "FSBP EC2.13", "FSBP EC2.14"),
)
def _admin(world: World, row: Row) -> Said:
    return _open(world, row, ADMIN, HIGH)


@BOOK.one(
    "data-ports-public",
    "A database, cache or search port of a machine is open to the internet",
    HIGH,
    _DOORS,
    beside=_NETWORK,
    exposed=True,
    rises="in production",
    why="Redis, MongoDB or Elasticsearch on a machine often ask for no password: whoever finds the port has the data.",
    remedy="aws ec2 revoke-security-group-ingress for the rule that admits 0.0.0.0/0 or ::/0; "
    "admit the security groups of its clients",
    references=("FSBP EC2.19",),
)
def _data(world: World, row: Row) -> Said:
    return _open(world, row, DATA, HIGH)


@BOOK.one(
    "database-public",
    "An RDS instance is open to the internet",
    CRITICAL,
    ("aws_rds_db_instance",),
    beside=_NETWORK,
    exposed=True,
    why="A database with a public address stands one leaked or guessed password away from being copied.",
    remedy="aws rds modify-db-instance --db-instance-identifier <name> --no-publicly-accessible --apply-immediately "
    "--region <region>; Terraform: publicly_accessible = false",
    references=("FSBP RDS.2", "CIS AWS 3.0 2.3.3"),
)
def _database(world: World, row: Row) -> Said:
    return reached(world, row, "is open to the internet", "PubliclyAccessible")


@BOOK.one(
    "warehouse-public",
    "A Redshift cluster has a public address",
    HIGH,
    ("aws_redshift_cluster",),
    rises="in production",
    why="A warehouse holds a copy of everything, and its port is reachable for whomever a security group lets in.",
    remedy="aws redshift modify-cluster --cluster-identifier <name> --no-publicly-accessible --region <region>",
    references=("FSBP Redshift.1",),
)
def _warehouse(world: World, row: Row) -> Said:
    if row.get("PubliclyAccessible") is True:
        return Wrong("has a public address", "PubliclyAccessible", True, world.raised(row, HIGH))
    return row.unread("PubliclyAccessible")


@BOOK.one(
    "cluster-endpoint-public",
    "The API of an EKS cluster is open to the internet",
    MEDIUM,
    ("aws_eks_cluster",),
    exposed=True,
    rises="in production",
    why="Whoever holds a leaked kubeconfig or token can use it from anywhere, and every flaw of the API is yours.",
    remedy="aws eks update-cluster-config --name <name> --region <region> --resources-vpc-config "
    "endpointPublicAccess=false,endpointPrivateAccess=true (or publicAccessCidrs of your own networks)",
    references=("FSBP EKS.1",),
)
def _cluster(world: World, row: Row) -> Said:
    path = "resourcesVpcConfig.endpointPublicAccess"
    return reached(world, row, "has an API that is open to the internet", path, world.raised(row, MEDIUM))


@BOOK.one(
    "imds-v1-public",
    "A machine on the internet answers the metadata service's version 1",
    HIGH,
    ("aws_ec2_instance",),
    beside=_NETWORK,
    exposed=True,
    why="One server-side request forgery in what it serves hands out the credentials of its role: version 1 asks for "
    "no token.",
    remedy="aws ec2 modify-instance-metadata-options --instance-id <id> --http-tokens required --region <region>; "
    'Terraform: metadata_options { http_tokens = "required" }',
    references=("FSBP EC2.8", "CIS AWS 3.0 5.6"),
)
def _metadata(world: World, row: Row) -> Said:
    options = row.get("MetadataOptions")
    if options is None:
        return row.unread("MetadataOptions")
    if options.get("HttpEndpoint") == "disabled" or options.get("HttpTokens") != "optional":
        return None
    if not (row.get("IamInstanceProfile") or {}).get("Arn"):
        return None  # there is no role whose credentials it would give
    return reached(world, row, "is on the internet and answers version 1 of its metadata service",
                   "MetadataOptions.HttpTokens", HIGH)  # fmt: skip


def _by_policy(
    id: str,
    title: str,
    severity: Severity,
    types: tuple[str, ...],
    says: str,
    path: str,
    *,
    why: str,
    remedy: str,
    references: tuple[str, ...] = (),
    beside: tuple[str, ...] = (),
) -> OfOne:
    """A rule that stands on the exposure of a type alone."""

    def judge(world: World, row: Row) -> Said:
        return reached(world, row, says, path)

    return BOOK.one(
        id,
        title,
        severity,
        types,
        why=why,
        remedy=remedy,
        references=references,
        exposed=True,
        beside=beside,
    )(judge)


_by_policy(
    "search-public",
    "An OpenSearch domain is open to the internet",
    CRITICAL,
    ("aws_opensearch_domain",),
    "is open to the internet",
    "AccessPolicies",
    why="Its access policy lets anyone search, and mostly write, the indexes: such domains are found and wiped daily.",
    remedy="aws opensearch update-domain-config --domain-name <name> --region <region> --access-policies <a policy "
    "that names roles>; better: VPC access",
    references=("FSBP Opensearch.2",),
)
_by_policy(
    "bucket-public",
    "A bucket is public by its policy or ACL",
    HIGH,
    ("aws_s3_bucket",),
    "is public",
    "PublicAccessBlockConfiguration",
    why="Anyone who knows or guesses its name reads what is in it; many leaks of this decade were just that.",
    remedy="aws s3api put-public-access-block --bucket <name> --public-access-block-configuration "
    "BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true "
    "(serve a website through CloudFront with origin access control)",
    references=("FSBP S3.2", "FSBP S3.3", "CIS AWS 3.0 2.1.4"),
    beside=("aws_s3_account_settings",),
)
_by_policy(
    "snapshot-public",
    "A snapshot is shared with everyone",
    CRITICAL,
    ("aws_ebs_snapshot", "aws_rds_db_snapshot", "aws_rds_db_cluster_snapshot"),
    "is shared with every AWS account",
    "RestorePermissions",
    why="Every AWS account can restore it and read the whole disk or database; people scan for new ones.",
    remedy="aws ec2 modify-snapshot-attribute --snapshot-id <id> --attribute createVolumePermission --operation-type "
    "remove --group-names all --region <region> (RDS: aws rds modify-db-snapshot-attribute --attribute-name restore "
    "--values-to-remove all)",
    references=("FSBP EC2.1", "FSBP RDS.1"),
)
_by_policy(
    "image-public",
    "A machine image is public",
    HIGH,
    ("aws_ec2_ami",),
    "can be launched by every AWS account",
    "Public",
    why="Whatever was on the disk when it was made (keys, sources, shell histories) is there for everyone to launch.",
    remedy='aws ec2 modify-image-attribute --image-id <id> --launch-permission "Remove=[{Group=all}]" '
    "--region <region>",
    references=("AWS: Make your AMI publicly available for use in Amazon EC2",),
)
_by_policy(
    "queue-public",
    "A queue's policy lets everyone in",
    HIGH,
    ("aws_sqs_queue",),
    "lets everyone in by its policy",
    "Policy",
    why="Anyone can send what your consumers then trust, or read and delete what others sent.",
    remedy="aws sqs set-queue-attributes --queue-url <url> --attributes Policy=<a policy that names principals or "
    "aws:SourceArn> --region <region>",
    references=("FSBP SQS.3",),
)
_by_policy(
    "topic-public",
    "A topic's policy lets everyone in",
    HIGH,
    ("aws_sns_topic",),
    "lets everyone in by its policy",
    "Policy",
    why="Anyone can subscribe to what it carries, or publish to all who listen.",
    remedy="aws sns set-topic-attributes --topic-arn <arn> --attribute-name Policy --attribute-value <a policy that "
    "names principals> --region <region>",
    references=("FSBP SNS.4",),
)
_by_policy(
    "key-public",
    "A key's policy lets everyone use it",
    CRITICAL,
    ("aws_kms_key",),
    "lets everyone use it by its policy",
    "Policy",
    why="Encryption by a key that everyone may use protects nothing that it encrypts.",
    remedy="aws kms put-key-policy --key-id <arn> --policy-name default --policy <a policy that names principals> "
    "--region <region>",
    references=("FSBP KMS.5",),
)
_by_policy(
    "secret-public",
    "A secret's policy lets everyone read it",
    CRITICAL,
    ("aws_secretsmanager_secret",),
    "lets everyone in by its policy",
    "ResourcePolicy",
    why="Whoever asks for it gets the password.",
    remedy="aws secretsmanager delete-resource-policy --secret-id <arn> --region <region>; then rotate the secret",
    references=("AWS: Resource-based policies in AWS Secrets Manager",),
)
_by_policy(
    "registry-public",
    "A container registry's policy lets everyone in",
    HIGH,
    ("aws_ecr_repository",),
    "lets everyone in by its policy",
    "policy",
    why="Anyone can pull your images with all that is in them, or push one that your clusters then run.",
    remedy="aws ecr set-repository-policy --repository-name <name> --policy-text <a policy that names principals> "
    "--region <region>",
    references=("AWS: Private repository policies in Amazon ECR",),
)


@BOOK.one(
    "function-public",
    "A function's policy lets everyone invoke it",
    HIGH,
    ("aws_lambda_function",),
    why="Any AWS account can run it with an event of its own making, on your bill and with its role.",
    remedy="aws lambda remove-permission --function-name <name> --statement-id <sid> --region <region>",
    references=("FSBP Lambda.1",),
)
def _function(_world: World, row: Row) -> Iterable[Said]:
    lack = row.unread("Policy")
    if lack is not None:
        yield lack
        return
    told = everyone(row.get("Policy"), ("lambda:InvokeFunction",))
    if told.answer == "yes":
        yield Wrong("lets everyone invoke it by its policy", "Policy", told.statements)
    elif told.answer == "unknown":
        yield Lacking(f"its policy is not wholly understood: {', '.join(told.conditions[:2])}")
