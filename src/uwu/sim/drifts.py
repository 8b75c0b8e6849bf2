"""Fourteen things that people change by hand, each kept in the ledger with what must be found of it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from uwu.sim.cloudtrail import Clock, Identity, Recorder
from uwu.sim.company import Company, Person
from uwu.sim.identities import BOTO3, CLI, CONSOLE, Identities
from uwu.sim.judge import Drift, Expected

ATTRIBUTE, GONE, UNDECLARED, UNOWNED = "drift.attribute", "drift.gone", "drift.undeclared", "drift.unowned"


@dataclass
class Made:
    """What the pipelines made that people will lay their hands on, by service name."""

    groups: dict[str, str] = field(default_factory=dict)
    buckets: dict[str, str] = field(default_factory=dict)
    instances: dict[str, str] = field(default_factory=dict)
    databases: dict[str, str] = field(default_factory=dict)
    functions: dict[str, str] = field(default_factory=dict)
    roles: dict[str, str] = field(default_factory=dict)
    policies: dict[str, str] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    queues: dict[str, list[str]] = field(default_factory=dict)
    volumes: dict[str, str] = field(default_factory=dict)
    records: dict[str, tuple[str, str]] = field(default_factory=dict)
    """(zone, name)."""
    break_glass: tuple[str, Identity] | None = None
    """(service whose account it is in, the user)."""


class Hands:
    """People at work between yesterday and now."""

    def __init__(self, company: Company, made: Made, recorder: Recorder, identities: Identities, clock: Clock) -> None:
        self._company = company
        self._made = made
        self._recorder = recorder
        self._identities = identities
        self._clock = clock
        self.ledger: list[Drift] = []

    def _service(self, name: str) -> Any:
        return next(s for s in self._company.services if s.name == name)

    def _account(self, service: str) -> str:
        return self._company.account(self._service(service).account).id

    def _person(self, name: str) -> Person:
        return next(p for p in self._company.people if p.name == name)

    def _arn(self, aws: str, resource: str, service: str) -> str:
        return f"arn:aws:{aws}:{self._service(service).region}:{self._account(service)}:{resource}"

    def _sso(self, person: str, service: str, agent: str = CONSOLE) -> Identity:
        return self._identities.sso(self._person(person), self._account(service), agent=agent)

    def _operator(self, person: str, service: str, *, source_identity: bool) -> Identity:
        """Through the shared account to the operator role of the service's; with or without a source identity."""
        hub = self._company.account("larkspur").id
        first = self._identities.sso(self._person(person), hub, "PowerUserAccess", CLI)
        if source_identity:
            email = self._person(person).email
            return self._identities.assume(first, self._account(service), "operator", "ops", source_identity=email)
        middle = self._identities.assume(first, hub, "operator", "shift")
        return self._identities.assume(middle, self._account(service), "operator", "fix", agent=BOTO3)

    def _change(
        self,
        kind: str,
        human: str,
        owner: str,
        subject: str,
        expected: list[tuple[str, str]],
        call: Callable[[], Any],
    ) -> None:
        call()
        record = self._recorder.last
        self.ledger.append(
            Drift(
                kind=kind,
                subject=subject,
                human=human,
                owner=owner,
                event_id=record["eventID"],
                event_name=record["eventName"],
                at=record["eventTime"],
                expected=tuple(Expected(rule, subject, path) for rule, path in expected),
            )
        )

    def _attribute(self, kind: str, human: str, service: str, subject: str, path: str, call: Callable[[], Any]) -> None:
        self._change(kind, human, self._service(service).team, subject, [(ATTRIBUTE, path)], call)

    def _aws(self, identity: Identity, aws: str, service: str) -> Any:
        return self._recorder.client(identity, aws, self._service(service).region)

    # ---- the changes, in the order of the day

    def work(self, now: datetime) -> None:
        """A day of fourteen changes, some reads, a call that fails, and a change that is taken back."""
        changes = [
            self.retype_instance,
            self.change_retention,
            self.open_port,
            self.unprotect_database,
            self.expose_database,
            self.resize_function,
            self.attach_policy,
            self.stop_rotation,
            self.retag_volume,
            self.retarget_record,
            self.delete_queue,
            self.create_bucket,
            self.unblock_bucket,
            self.create_user,
        ]
        start = now - timedelta(hours=21)
        self._clock.set(start - timedelta(hours=2))
        self.be_refused()
        for index, change in enumerate(changes):
            self._clock.set(start + timedelta(minutes=85 * index + 7 * (index % 4)))
            change()
            if index % 5 == 4:
                self._identities.forget()

    def be_refused(self) -> None:
        """The contractor tries what the role does not allow: told by the trail, and nothing has changed."""
        account = self._company.account("old-acquisition")
        who = self._identities.sso(self._person("max.ext"), account.id, "PowerUserAccess", CLI)
        tries: tuple[tuple[str, Callable[[Any], Any]], ...] = (
            ("iam", lambda iam: iam.create_user(UserName="max-admin")),
            ("ec2", lambda ec2: ec2.create_key_pair(KeyName="max")),
        )
        with self._recorder.permissions_checked():
            for service, call in tries:
                with contextlib.suppress(ClientError):
                    call(self._recorder.client(who, service, "us-east-1"))

    def open_port(self) -> None:
        who, service = self._person("mira.k").email, "ledger"
        group = self._made.groups[service]
        ec2 = self._aws(self._sso("mira.k", service), "ec2", service)
        ec2.describe_security_groups(GroupIds=[group])
        permission = {"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
        self._attribute(
            "port opened to the world",
            who,
            service,
            self._arn("ec2", f"security-group/{group}", service),
            "ingress",
            lambda: ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[permission]),
        )

    def unblock_bucket(self) -> None:
        who, service = self._person("bea.r").email, "checkout"
        bucket = self._made.buckets[service]
        s3 = self._aws(self._sso("bea.r", service), "s3", service)
        s3.get_bucket_versioning(Bucket=bucket)
        self._attribute(
            "public access block removed",
            who,
            service,
            f"arn:aws:s3:::{bucket}",
            "public_access_block",
            lambda: s3.delete_public_access_block(Bucket=bucket),
        )

    def retype_instance(self) -> None:
        who, service = self._person("hana.y").email, "catalogue"
        instance = self._made.instances[service]
        ec2 = self._aws(self._sso("hana.y", service, CLI), "ec2", service)
        ec2.describe_instances(InstanceIds=[instance])
        ec2.stop_instances(InstanceIds=[instance])
        self._attribute(
            "instance type changed",
            who,
            service,
            self._arn("ec2", f"instance/{instance}", service),
            "instance_type",
            lambda: ec2.modify_instance_attribute(InstanceId=instance, InstanceType={"Value": "m7i.4xlarge"}),
        )
        ec2.start_instances(InstanceIds=[instance])

    def unprotect_database(self) -> None:
        self._database("pavel.d", "deletion protection off", "deletion_protection", {"DeletionProtection": False})

    def expose_database(self) -> None:
        self._database("lin.z", "database made public", "publicly_accessible", {"PubliclyAccessible": True})

    def _database(self, person: str, kind: str, path: str, change: dict[str, Any]) -> None:
        service = "payouts"
        database = self._made.databases[service]
        rds = self._aws(self._operator(person, service, source_identity=False), "rds", service)
        self._attribute(
            kind,
            self._person(person).email,
            service,
            self._arn("rds", f"db:{database}", service),
            path,
            lambda: rds.modify_db_instance(DBInstanceIdentifier=database, ApplyImmediately=True, **change),
        )

    def resize_function(self) -> None:
        who, service = self._person("ola.n").email, "events"
        name = self._made.functions[service]
        client = self._aws(self._sso("ola.n", service), "lambda", service)
        self._attribute(
            "function resized",
            who,
            service,
            self._arn("lambda", f"function:{name}", service),
            "memory_size",
            lambda: client.update_function_configuration(FunctionName=name, MemorySize=3008),
        )
        # someone else tries another timeout on the same function and takes it back: no drift, and not the cause
        other = self._aws(self._sso("dev.p", service, CLI), "lambda", service)
        other.update_function_configuration(FunctionName=name, Timeout=90)
        other.update_function_configuration(FunctionName=name, Timeout=30)

    def attach_policy(self) -> None:
        service = "profiles"
        role, policy = self._made.roles[service], self._made.policies["sessions"]
        account = self._account(service)
        iam = self._aws(self._operator("ines.m", service, source_identity=True), "iam", service)
        self._attribute(
            "policy attached to a role",
            self._person("ines.m").email,
            service,
            f"arn:aws:iam::{account}:role/{role}",
            "managed_policy_arns",
            lambda: iam.attach_role_policy(RoleName=role, PolicyArn=policy),
        )

    def stop_rotation(self) -> None:
        assert self._made.break_glass is not None
        service, user = self._made.break_glass
        key = self._made.keys[service]
        kms = self._aws(user, "kms", service)
        kms.describe_key(KeyId=key)
        self._attribute(
            "key rotation disabled",
            "ana.b",
            service,
            self._arn("kms", f"key/{key}", service),
            "enable_key_rotation",
            lambda: kms.disable_key_rotation(KeyId=key),
        )

    def change_retention(self) -> None:
        who, service = self._person("rui.c").email, "warehouse"
        url = self._made.queues[service][0]
        name = url.rsplit("/", 1)[-1]
        sqs = self._aws(self._sso("rui.c", service, BOTO3), "sqs", service)
        self._attribute(
            "queue retention changed",
            who,
            service,
            self._arn("sqs", name, service),
            "message_retention_seconds",
            lambda: sqs.set_queue_attributes(QueueUrl=url, Attributes={"MessageRetentionPeriod": "600"}),
        )

    def retag_volume(self) -> None:
        who, service = self._person("june.o").email, "metrics"
        volume = self._made.volumes[service]
        ec2 = self._aws(self._sso("june.o", service), "ec2", service)
        self._attribute(
            "tags changed",
            who,
            service,
            self._arn("ec2", f"volume/{volume}", service),
            "tags",
            lambda: ec2.create_tags(Resources=[volume], Tags=[{"Key": "backup", "Value": "never"}]),
        )

    def retarget_record(self) -> None:
        who, service = self._person("samu.t").email, "signup"
        zone, name = self._made.records[service]
        client = self._aws(self._sso("samu.t", service), "route53", service)
        record = {
            "Name": name,
            "Type": "CNAME",
            "TTL": 300,
            "ResourceRecords": [{"Value": "maintenance.larkspur.example"}],
        }
        batch = {"Changes": [{"Action": "UPSERT", "ResourceRecordSet": record}]}
        self._attribute(
            "record points elsewhere",
            who,
            service,
            f"urn:uwu:aws:route53:record-set:{self._account(service)}::{zone}/{name}/CNAME",
            "records",
            lambda: client.change_resource_record_sets(HostedZoneId=zone, ChangeBatch=batch),
        )

    def delete_queue(self) -> None:
        who, service = self._person("dev.p").email, "reports"
        url = self._made.queues[service][-1]
        sqs = self._aws(self._sso("dev.p", service), "sqs", service)
        self._change(
            "declared queue deleted",
            who,
            self._service(service).team,
            self._arn("sqs", url.rsplit("/", 1)[-1], service),
            [(GONE, "")],
            lambda: sqs.delete_queue(QueueUrl=url),
        )
        # it is gone; the failed look is in the trail too
        with contextlib.suppress(sqs.exceptions.ClientError):
            sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])

    def create_bucket(self) -> None:
        who, service = self._person("kofi.a").email, "basket"
        account = self._company.account(self._service(service).account)
        region = self._service(service).region
        name = f"larkspur-tmp-export-{account.id[-4:]}"
        s3 = self._aws(self._sso("kofi.a", service), "s3", service)
        where = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        self._change(
            "bucket made by hand",
            who,
            account.owner,
            f"arn:aws:s3:::{name}",
            [(UNDECLARED, "")],
            lambda: s3.create_bucket(Bucket=name, **where),
        )

    def create_user(self) -> None:
        account = self._company.account("old-acquisition")
        person = self._person("max.ext")
        identity = self._identities.sso(person, account.id)
        iam = self._recorder.client(identity, "iam", "us-east-1")
        name = "legacy-sync"
        self._change(
            "user made by hand that nobody owns",
            person.email,
            "",
            f"arn:aws:iam::{account.id}:user/{name}",
            [(UNDECLARED, ""), (UNOWNED, "")],
            lambda: iam.create_user(UserName=name),
        )
