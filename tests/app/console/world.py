"""A small organisation, filled in through the kernel's own functions: what the console's tests look at."""

# ruff: noqa: E501
from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from uwu.kernel import declared, drift, graph, ownership, tables, urns
from uwu.kernel.domain import Domain, ResourceType, Rule, SourceHealth
from uwu.kernel.model import (
    Actor,
    Cell,
    CellStatus,
    Change,
    Declaration,
    Difference,
    Entity,
    Evidence,
    Found,
    Outcome,
    Place,
    Relation,
    Resource,
    Severity,
)
from uwu.kernel.runtime import Kernel

NOW = datetime.now(UTC).replace(microsecond=0)
PAYMENTS, WEB, DATA, NETWORK = "444455556666", "222233334444", "333344445555", "111122223333"
ACCOUNTS = {PAYMENTS: "prod-payments", WEB: "prod-web", DATA: "prod-data", NETWORK: "network-hub"}
TEAMS = {"payments": PAYMENTS, "storefront": WEB, "insights": DATA, "network": NETWORK}
REGION = "eu-west-1"
HOSTILE = "<script>alert(1)</script>"

SG = "aws_vpc_security_group"
DB = "aws_rds_db_instance"
BUCKET = "aws_s3_bucket"
QUEUE = "aws_sqs_queue"
ROLE = "aws_iam_role"
LAMBDA = "aws_lambda_function"
VPC = "aws_vpc"
INSTANCE = "aws_ec2_instance"
ACCOUNT = "aws_account"

TYPES = (
    ResourceType(SG, "Security group", "ec2", "shield"),
    ResourceType(DB, "RDS instance", "rds", "database"),
    ResourceType(BUCKET, "S3 bucket", "s3", "archive"),
    ResourceType(QUEUE, "SQS queue", "sqs", "rows-3"),
    ResourceType(ROLE, "IAM role", "iam", "shield-user"),
    ResourceType(LAMBDA, "Lambda function", "lambda", "zap"),
    ResourceType(VPC, "VPC", "ec2", "network"),
    ResourceType(INSTANCE, "EC2 instance", "ec2", "server"),
    ResourceType(ACCOUNT, "AWS account", "organizations", "wallet-cards"),
)


def ago(**delta: float) -> datetime:
    return NOW - timedelta(**delta)


def _urn(type: str, name: str, account: str) -> str:
    if type in (SG, VPC, INSTANCE):
        kind = {SG: "security-group", VPC: "vpc", INSTANCE: "instance"}[type]
        return urns.ec2(kind, name, account=account, region=REGION)
    if type == BUCKET:
        return urns.s3_bucket(name)
    if type == ROLE:
        return urns.iam("role", name, account=account)
    if type == ACCOUNT:
        return urns.arn("organizations", f"account/o-larkspur/{account}", account=NETWORK)
    service, kind = {DB: ("rds", "db:"), QUEUE: ("sqs", ""), LAMBDA: ("lambda", "function:")}[type]
    return urns.arn(service, kind + name, account=account, region=REGION)


def resource(
    type: str, name: str, account: str, *, id: str = "", tags: dict[str, str] | None = None, **attributes: Any
) -> Resource:
    """A resource of the world; ``id`` where its urn is not made from its name."""
    return Resource(
        urn=_urn(type, id or name, account),
        type=type,
        account=account,
        region="" if type in (ROLE, ACCOUNT) else REGION,
        name=name,
        attributes=attributes,
        tags={"team": next(t for t, a in TEAMS.items() if a == account)} if tags is None else tags,
    )


def _rules(*cidrs: str) -> list[dict[str, Any]]:
    ranges = [{"CidrIp": cidr, "Description": "ledger, api"} for cidr in cidrs]
    return [{"FromPort": 5432, "ToPort": 5432, "IpProtocol": "tcp", "IpRanges": ranges}]


SG_PAYMENTS = resource(
    SG,
    "sg-payments-db",
    PAYMENTS,
    id="sg-0b3f9a41d27c8e650",
    Description="Ledger database",
    VpcId="vpc-0a1b2c3d",
    IpPermissions=_rules("10.20.0.0/16", "0.0.0.0/0"),
    OwnerId=PAYMENTS,
)
SG_BEFORE = msgspec.structs.replace(
    SG_PAYMENTS, attributes=SG_PAYMENTS.attributes | {"IpPermissions": _rules("10.20.0.0/16")}
)
VPC_PAYMENTS = resource(VPC, "vpc-payments", PAYMENTS, id="vpc-0a1b2c3d", CidrBlock="10.20.0.0/16", State="available")
LEDGER = resource(
    DB,
    "ledger-db",
    PAYMENTS,
    Engine="postgres",
    EngineVersion="16.4",
    DBInstanceClass="db.r7g.xlarge",
    MultiAZ=True,
    PubliclyAccessible=False,
    BackupRetentionPeriod=1,
)
REPLICA = resource(DB, "ledger-db-replica", PAYMENTS, Engine="postgres", EngineVersion="16.4", MultiAZ=False)
RECEIPTS = resource(BUCKET, "larkspur-receipts", PAYMENTS, Region=REGION, Versioning={"Status": "Enabled"})
DEPLOY = resource(ROLE, "deploy-web", WEB, Path="/ci/", MaxSessionDuration=43200, CreateDate="2025-02-09T10:00:00Z")
THUMBS = resource(LAMBDA, "thumbnails-debug", WEB, Runtime="python3.12", MemorySize=512, Timeout=30)
ORDERS = resource(QUEUE, "orders", WEB, VisibilityTimeout="30", MessageRetentionPeriod="345600")
DLQ = resource(QUEUE, "orders-dlq", WEB, VisibilityTimeout="30")
STRAY = resource(QUEUE, "tmp-export", DATA, tags={}, VisibilityTimeout="30")
EVIL = resource(
    QUEUE,
    HOSTILE,
    DATA,
    id="evil..%2F?x=1&y=\"'#frag",
    tags={"team": "insights", '"><img src=x onerror=alert(2)>': HOSTILE, "{{7*7}}": "${7*7}"},
    Note=HOSTILE,
    Nested={"</pre><script>alert(3)</script>": [HOSTILE]},
)
WEBS = [
    resource(INSTANCE, f"web-{i}", WEB, id=f"i-0c{i:015x}", InstanceType="m7i.large", State={"Name": "running"})
    for i in range(12)
]
ETL = [
    resource(INSTANCE, f"etl-{i}", DATA, id=f"i-0d{i:015x}", InstanceType="r7i.xlarge", State={"Name": "running"})
    for i in range(8)
]
LAKES = [resource(BUCKET, f"larkspur-lake-{n}", DATA, Region=REGION) for n in ("raw", "clean", "reports")]
HELD = [
    resource(ACCOUNT, name, account, tags={"team": team}, Email=f"aws+{name}@larkspur.example", Status="ACTIVE")
    for account, name in ACCOUNTS.items()
    for team, of in TEAMS.items()
    if of == account
]
PRESENT = [
    SG_PAYMENTS, VPC_PAYMENTS, LEDGER, REPLICA, RECEIPTS, DEPLOY, THUMBS, ORDERS, STRAY, EVIL, *WEBS, *ETL, *LAKES, *HELD
]  # fmt: skip


def _human(name: str, account: str, role: str = "Admin") -> Actor:
    principal = f"arn:aws:sts::{account}:assumed-role/AWSReservedSSO_{role}_1f2e3d/{name}@larkspur.example"
    chain = (name, f"arn:aws:iam::{account}:role/aws-reserved/sso.amazonaws.com/AWSReservedSSO_{role}_1f2e3d")
    return Actor(kind="human", name=name, how="sso session name", principal=principal, chain=chain)


CI = Actor(
    kind="machine", name="ci-deployer", how="role chain of 2", principal=f"arn:aws:sts::{WEB}:assumed-role/ci/run-8121"
)


def change(id: str, at: datetime, name: str, on: Resource, actor: Actor, through: str, request: Any = None) -> Change:
    service = {SG: "ec2", VPC: "ec2", INSTANCE: "ec2", DB: "rds", BUCKET: "s3", QUEUE: "sqs", ROLE: "iam"}
    return Change(
        event_id=id,
        at=at,
        name=name,
        source=f"{service.get(on.type, 'lambda')}.amazonaws.com",
        account=on.account,
        region=REGION,
        urn=on.urn,
        actor=actor,
        through=through,
        request=request,
        place=f"AWSLogs/o-larkspur/{on.account}/CloudTrail/{REGION}/part-0007.json.gz",
    )


OPENED = change(
    "7f3a09c1-4be2-4c6e-9a8f-03d1b2c3a4f5",
    ago(minutes=46),
    "AuthorizeSecurityGroupIngress",
    SG_PAYMENTS,
    _human("mira.k", PAYMENTS),
    "AWS console",
    {
        "groupId": "sg-0b3f9a41d27c8e650",
        "ipPermissions": {
            "items": [
                {
                    "ipProtocol": "tcp",
                    "fromPort": 5432,
                    "toPort": 5432,
                    "ipRanges": {"items": [{"cidrIp": "0.0.0.0/0", "description": "tmp debug"}]},
                }
            ]
        },
    },
)
EVENTS = [
    OPENED,
    change("e-2", ago(hours=2), "ModifyDBInstance", LEDGER, _human("jun", PAYMENTS, "Operator"), "AWS CLI", {"backupRetentionPeriod": 1}),
    change("e-3", ago(hours=4), "PutRolePolicy", DEPLOY, _human("arda", WEB), "AWS console", {"maxSessionDuration": 43200}),
    change("e-4", ago(hours=5), "DeleteQueue", DLQ, _human("ines.v", WEB, "Operator"), "AWS CLI", {}),
    change("e-5", ago(hours=9), "CreateFunction20150331", THUMBS, _human("sol", WEB), "AWS console", {"functionName": "thumbnails-debug"}),
    change("e-6", ago(hours=11), "CreateQueue", STRAY, _human("teo", DATA), "AWS CLI", {"queueName": "tmp-export"}),
    change("e-9", ago(hours=1), "ConsoleLogin", DEPLOY, _human("arda", WEB), "AWS console"),
    change("e-7", ago(days=3), "PutBucketTagging", RECEIPTS, _human("teo", PAYMENTS), "AWS console", {}),
    change("e-8", ago(days=3, hours=2), HOSTILE, EVIL, _human(HOSTILE, DATA), HOSTILE, {"x": HOSTILE}),
    *(change(f"ci-{i}", ago(hours=1, minutes=7 * i), "RebootInstances", WEBS[i], CI, "Terraform") for i in range(9)),
]  # fmt: skip


def _declared(stack: str, address: str, of: Resource, **attributes: Any) -> Declaration:
    return Declaration(
        source=f"stack:default/{stack}",
        address=address,
        place=f"s3://larkspur-state/{stack}.tfstate, serial 388",
        urn=of.urn,
        type=of.type,
        declared_type=of.type,
        attributes=attributes,
    )


DECLARATIONS = {
    "payments": [
        _declared(
            "payments",
            "module.ledger.aws_security_group.db",
            SG_PAYMENTS,
            IpPermissions=_rules("10.20.0.0/16"),
            Description="Ledger database",
        ),
        _declared("payments", "aws_vpc.main", VPC_PAYMENTS, CidrBlock="10.20.0.0/16"),
        _declared("payments", "module.ledger.aws_db_instance.main", LEDGER, BackupRetentionPeriod=14, MultiAZ=True),
        _declared("payments", "module.ledger.aws_db_instance.replica", REPLICA, MultiAZ=False),
        _declared("payments", "aws_s3_bucket.receipts", RECEIPTS),
    ],
    "web": [
        _declared("web", "aws_iam_role.deploy", DEPLOY, MaxSessionDuration=3600),
        _declared("web", "aws_sqs_queue.orders", ORDERS, VisibilityTimeout="30"),
        _declared("web", "aws_sqs_queue.dlq", DLQ, VisibilityTimeout="30", MessageRetentionPeriod="1209600", name="orders-dlq"),
        *(_declared("web", f"aws_instance.web[{i}]", one) for i, one in enumerate(WEBS)),
    ],
    "data": [
        *(_declared("data", f"aws_instance.etl[{i}]", one) for i, one in enumerate(ETL)),
        *(_declared("data", f"aws_s3_bucket.lake[{i}]", one) for i, one in enumerate(LAKES)),
        _declared("data", "aws_sqs_queue.evil", EVIL, Note="quiet"),
    ],
}  # fmt: skip


class Log:
    """Who changed what, as the world has it."""

    def changes(
        self, urns: Sequence[str], *, since: datetime | None = None, until: datetime | None = None, limit: int = 100
    ) -> list[Change]:
        found = [c for c in EVENTS if c.urn in set(urns) and (since is None or c.at >= since)]
        found = [c for c in found if until is None or c.at <= until]
        return sorted(found, key=lambda c: c.at, reverse=True)[:limit]

    def recent(self, *, since: datetime, limit: int = 100) -> list[Change]:
        return sorted((c for c in EVENTS if c.at >= since), key=lambda c: c.at, reverse=True)[:limit]

    def as_of(self) -> datetime | None:
        return ago(minutes=4)


def change_log(kernel: Kernel) -> Log:
    return Log()


def compare(declaration: Declaration, resource: Resource) -> list[Difference]:
    return [
        Difference(path=key, declared=value, observed=resource.attributes.get(key))
        for key, value in declaration.attributes.items()
        if key in resource.attributes and resource.attributes[key] != value
    ]


def remedy(declaration: Declaration, differences: Sequence[Difference]) -> str:
    return f"terraform -chdir=stacks/{declaration.source.rsplit('/', 1)[1]} apply -target='{declaration.address}'"


def adopt(resource: Resource) -> str:
    return f'import {{\n  to = {resource.type}.this\n  id = "{resource.name}"\n}}'


def evidence(kernel: Kernel, connection: Any) -> Iterable[Evidence]:
    for row in connection.execute(tables.resources.select()):
        if team := row.tags.get("team"):
            yield Evidence(subject=row.urn, owner=f"group:default/{team}", kind="tag", source=f"tag team={team}")
    for row in connection.execute(tables.declarations.select()):
        team = {"payments": "payments", "web": "storefront", "data": "insights"}[row.source.rsplit("/", 1)[1]]
        yield Evidence(
            subject=row.urn, owner=f"group:default/{team}", kind="state", source=f"{row.source} {row.address * 4}"
        )


def health(kernel: Kernel) -> list[SourceHealth]:
    return [
        SourceHealth("AWS", "fresh", ago(minutes=2)),
        SourceHealth("CloudTrail", "fresh", ago(minutes=4)),
        SourceHealth("Terraform", "fresh", ago(minutes=11)),
        SourceHealth("Estate", "late", ago(hours=30), "not read since"),
    ]


def _open(kernel: Kernel, connection: Any) -> Iterable[Found]:
    for row in connection.execute(tables.resources.select().where(tables.resources.c.type == SG)):
        for rule in row.attributes.get("IpPermissions", []):
            if any(r["CidrIp"] == "0.0.0.0/0" for r in rule["IpRanges"]):
                yield Found(
                    subject=row.urn,
                    path="IpPermissions",
                    title=f"Port {rule['FromPort']} of {row.name} is open to the internet",
                    type=row.type,
                    account=row.account,
                    region=row.region,
                    observed=rule,
                    cell=row.cell,
                    remedy="aws ec2 revoke-security-group-ingress --group-id sg-0b3f9a41d27c8e650 --protocol tcp "
                    "--port 5432 --cidr 0.0.0.0/0",
                )


RULES = (
    Rule(
        "world.open",
        "A port is open to the internet",
        Severity.CRITICAL,
        _open,
        theme="Exposure",
        why="Whoever scans the internet finds it within minutes, and tries every password that ever leaked.",
        remedy="aws ec2 revoke-security-group-ingress --group-id ID --protocol tcp --port 5432 --cidr 0.0.0.0/0",
        references=("CIS AWS 3.0 5.2", "Security Hub EC2.13"),
        types=(SG, INSTANCE),
    ),
)

WORLD = Domain(
    name="world",
    title="World",
    types=TYPES,
    compare={type.name: "tests.app.console.world:compare" for type in TYPES},
    remedy="tests.app.console.world:remedy",
    adopt="tests.app.console.world:adopt",
    evidence="tests.app.console.world:evidence",
    changes="tests.app.console.world:change_log",
    rules="tests.app.console.world:RULES",
    health="tests.app.console.world:health",
)


def _entity(kind: str, name: str, line: int, description: str = "", **spec: Any) -> Entity:
    return Entity(
        kind=kind,
        name=name,
        api_version="backstage.io/v1alpha1",
        metadata={"name": name, "description": description},
        spec=spec,
        place=Place("estate/catalog.yaml", line),
    )


ENTITIES = [
    *(_entity("Group", team, 10 + i, f"Team {team}", type="team") for i, team in enumerate(TEAMS)),
    _entity("User", "mira.k", 30, "", memberOf=["payments"]),
    _entity("System", "ledger", 40, "Double-entry book of every payment", owner="payments"),
    _entity("Component", "ledger-api", 44, "Writes the ledger", type="service", lifecycle="production", owner="payments", system="ledger"),
    _entity("Component", "checkout", 52, "Takes orders and payments", type="service", lifecycle="production", owner="storefront"),
    _entity("Component", "thumbnails", 60, HOSTILE, type="service", lifecycle="experimental", owner="storefront"),
    *(_entity("Stack", stack, 70 + i, "", owner=team, state=f"s3://larkspur-state/{stack}.tfstate") for i, (stack, team) in enumerate((("payments", "payments"), ("web", "storefront"), ("data", "insights")))),
]  # fmt: skip
ENTITY_RELATIONS = [
    Relation(source="component:default/ledger-api", kind="ownedBy", target="group:default/payments"),
    Relation(source="component:default/ledger-api", kind="partOf", target="system:default/ledger"),
    Relation(source="system:default/ledger", kind="ownedBy", target="group:default/payments"),
    Relation(source="component:default/checkout", kind="ownedBy", target="group:default/storefront"),
    Relation(source="component:default/checkout", kind="dependsOn", target="component:default/ledger-api"),
    Relation(source="user:default/mira.k", kind="memberOf", target="group:default/payments"),
]
RELATIONS = [
    Relation(source=LEDGER.urn, kind="guarded_by", target=SG_PAYMENTS.urn, evidence="VpcSecurityGroups"),
    Relation(source=REPLICA.urn, kind="guarded_by", target=SG_PAYMENTS.urn, evidence="VpcSecurityGroups"),
    Relation(source=SG_PAYMENTS.urn, kind="in", target=VPC_PAYMENTS.urn, evidence="VpcId"),
    Relation(source=LEDGER.urn, kind="in", target=VPC_PAYMENTS.urn, evidence="DBSubnetGroup.VpcId"),
    Relation(source=REPLICA.urn, kind="in", target=VPC_PAYMENTS.urn, evidence="DBSubnetGroup.VpcId"),
    Relation(
        source=REPLICA.urn, kind="replicates", target=LEDGER.urn, evidence="ReadReplicaSourceDBInstanceIdentifier"
    ),
    *(Relation(source=one.urn, kind="writes", target=ORDERS.urn, evidence="policy") for one in WEBS),
]


def fill(kernel: Kernel) -> None:
    """Observes the world twice, declares it, then settles and judges: the loop as a sync runs it."""
    with kernel.db.write() as connection:
        declared.replace_entities(connection, "file:estate", ENTITIES, ENTITY_RELATIONS)
        for stack, held in DECLARATIONS.items():
            declared.replace_declarations(connection, f"stack:default/{stack}", held)
        before = [SG_BEFORE if one.urn == SG_PAYMENTS.urn else one for one in [*PRESENT, DLQ]]
        _observe(connection, before, NOW - timedelta(days=6))
    with kernel.db.write() as connection:
        _observe(connection, PRESENT, datetime.now(UTC))
        denied = Cell(source="aws", account=DATA, region="us-east-1", type=DB)
        outcome = Outcome(
            cell=denied,
            status=CellStatus.DENIED,
            observed_at=datetime.now(UTC),
            code="AccessDenied",
            message="uwu-observer may not call rds:DescribeDBInstances",
        )
        graph.observe(connection, outcome, [], [])
    ownership.settle(kernel)
    drift.judge(kernel)


def _observe(connection: Any, present: Sequence[Resource], at: datetime) -> None:
    cells: dict[tuple[str, str, str], list[Resource]] = {}
    for one in present:
        cells.setdefault((one.account, one.region, one.type), []).append(one)
    for (account, region, type), held in cells.items():
        cell = Cell(source="aws", account=account, region=region, type=type)
        within = {one.urn for one in held}
        graph.observe(
            connection,
            Outcome(cell=cell, status=CellStatus.COMPLETE, observed_at=at, calls=1, seconds=0.2),
            held,
            [r for r in RELATIONS if r.source in within],
        )


def open_kernel(home: Any, template: Any = None) -> Kernel:
    """A kernel of the world's domain over a home with a migrated database."""
    from uwu.kernel.settings import Settings

    del template
    return Kernel(Settings(home=str(home), organization="Larkspur"), (WORLD,))
