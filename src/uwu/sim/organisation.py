"""Builds the simulated organisation in a moto server: accounts, infrastructure, states, estate, a day of changes."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from uwu.kernel import urns
from uwu.sim import digests, estate, postures
from uwu.sim.cloudtrail import Clock, Recorder
from uwu.sim.company import HOME_REGION, OUS, Account, Company, Service, found
from uwu.sim.deploy import Pipeline, allow
from uwu.sim.drifts import Hands, Made
from uwu.sim.identities import SSO_SUFFIX, Identities, unrecorded
from uwu.sim.judge import Drift, Posture
from uwu.sim.server import control
from uwu.sim.terraform import Stack

Progress = Callable[[str, int, int], None]

OBSERVER = "uwu-observer"
APPLIER = "uwu-applier"
DIGEST_HOURS = 12
"""For how long the trail has had its log files validated."""
"""The role that applies plans; the observer's only reads."""
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
"""What moto takes for the management account's."""

KINDS = ("t3.medium", "m7i.large", "c7g.large", "r7g.large")


@dataclass(frozen=True)
class Organisation:
    """The organisation that was built, and what only the simulator knows of it."""

    ledger: list[Drift]
    postures: list[Posture]
    owners: dict[str, str]
    """ARN -> the team whose pipeline made it."""
    estate: Path
    trail: str
    """The trail's s3:// address."""
    regions: list[str]
    accounts: int
    services: int
    declared: int
    """Resources that Terraform states hold."""
    events: int
    """CloudTrail records delivered."""
    endpoint_url: str
    credentials: dict[str, str]
    """Environment variables of the management account's credentials."""


def _silent(_what: str, _done: int, _total: int) -> None:
    """No progress is shown."""


def build(
    url: str,
    home: Path,
    *,
    seed: int = 7,
    accounts: int = 12,
    regions: int = 3,
    resources: int = 650,
    progress: Progress = _silent,
) -> Organisation:
    """Makes the organisation in the moto server at ``url`` and its estate in ``home/estate``."""
    return _Builder(
        url, home, seed, found(seed, accounts=accounts, regions=regions, resources=resources), progress
    ).build()


class _Builder:
    def __init__(self, url: str, home: Path, seed: int, company: Company, progress: Progress) -> None:
        self.url = url
        self.estate = home / "estate"
        self.seed = seed
        self.company = company
        self.progress = progress
        self.random = random.Random(seed ^ 0xB17)  # noqa: S311
        self.now = datetime.now(UTC).replace(microsecond=0)
        self.clock = Clock(seed)
        self.clock.set(self.now - timedelta(days=3, hours=4))
        self.made = Made()
        self.stacks: list[Stack] = []
        self.networks: dict[tuple[str, str], tuple[str, list[str]]] = {}
        self.zones: dict[str, tuple[str, str]] = {}
        self.images: dict[str, str] = {}
        self.postures: list[Posture] = []

    def _planted(self, kind: str, rule: str, subject: str) -> None:
        self.postures.append(Posture(kind=kind, rule=f"inventory.{rule}", subject=subject))

    def build(self) -> Organisation:
        self._seed_moto()
        self.recorder = Recorder(self.url, self.clock, self.seed)
        organization = self._accounts()
        self.identities = Identities(self.recorder, self.clock, self.company.accounts[0].id, self.seed)
        total = len(self.company.accounts) + len(self.company.services)
        for done, account in enumerate(self.company.accounts):
            self.progress("building accounts", done, total)
            self._baseline(account)
        for done, service in enumerate(self.company.services):
            self.progress("building services", len(self.company.accounts) + done, total)
            self._service(service)
        self.progress("building services", total, total)
        trail, declared = self._declare()
        hands = Hands(self.company, self.made, self.recorder, self.identities, self.clock)
        self.identities.forget()
        hands.work(self.now)
        events = self.recorder.deliver(organization, self._put_trail)
        self._digests(organization)
        return Organisation(
            ledger=hands.ledger,
            postures=[*self.postures, *postures.of_changes(hands.ledger)],
            owners={arn: stack.owner for stack in self.stacks for arn in stack.arns()},
            estate=self.estate,
            trail=trail,
            regions=self.company.regions,
            accounts=len(self.company.accounts),
            services=len(self.company.services),
            declared=declared,
            events=events,
            endpoint_url=self.url,
            credentials=dict(CREDENTIALS),
        )

    def _plain(self, service: str, credentials: dict[str, Any] | None = None) -> Any:
        """A client whose calls are not part of the company's life."""
        return self.recorder.client(unrecorded("", credentials), service, HOME_REGION)

    def _seed_moto(self) -> None:
        """The ids that moto gives follow from the seed."""
        control(self.url, f"seed?a={self.seed}")

    def _accounts(self) -> str:
        client = self._plain("organizations")
        organization = client.create_organization(FeatureSet="ALL")["Organization"]
        root = client.list_roots()["Roots"][0]["Id"]
        units = {
            name: client.create_organizational_unit(ParentId=root, Name=name)["OrganizationalUnit"]["Id"]
            for name in OUS
        }
        for account in self.company.accounts:
            if not account.ou:
                account.id = organization["MasterAccountId"]
                continue
            made = client.create_account(AccountName=account.name, Email=f"aws+{account.name}@larkspur.example")
            account.id = made["CreateAccountStatus"]["AccountId"]
            account.arn = client.describe_account(AccountId=account.id)["Account"]["Arn"]
            client.move_account(AccountId=account.id, SourceParentId=root, DestinationParentId=units[account.ou])
        return organization["Id"]

    def _pipeline(self, stack: Stack, repository: str, tags: dict[str, str]) -> Pipeline:
        hub = self.company.accounts[0].id
        identity = self.identities.ci(repository, hub, stack.account)
        self.stacks.append(stack)
        return Pipeline(self.recorder, identity, stack, tags)

    def _stack(self, name: str, owner: str, system: str, account: str, region: str) -> Stack:
        return Stack(name, owner=owner, system=system, account=account, region=region, random=self.random)

    # ---- what every account has

    def _baseline(self, account: Account) -> None:
        management = self.company.accounts[0].id
        self._sso_roles(account)
        stack = self._stack(f"baseline-{account.name}", "platform", "core", account.id, HOME_REGION)
        pipeline = self._pipeline(stack, "platform", {"managed-by": "terraform", "environment": account.environment})
        principal = {"AWS": f"arn:aws:iam::{management}:root"}
        for role in (OBSERVER, APPLIER, "ci-deployer", "operator"):
            pipeline.role(role, principal, label=role.replace("-", "_"))
        if account.id == management:
            pipeline.role(
                "github-actions", {"Federated": f"arn:aws:iam::{management}:oidc-provider/github"}, label="github"
            )
            self.trail_bucket = pipeline.bucket(f"larkspur-cloudtrail-{management[-4:]}", "trail")
            self.state_bucket = pipeline.bucket(f"larkspur-terraform-states-{management[-4:]}", "states")
            for member in self.company.accounts[1:]:
                attributes = {"id": member.id, "arn": member.arn, "name": member.name, "status": "ACTIVE"}
                stack.add("aws_organizations_account", "member", attributes, key=member.name)
            pipeline.trail("organization", self.trail_bucket)
        self._guard(account, pipeline)
        if account.environment == "production":
            pipeline.cloudformation(f"vendor-agent-{account.name}")
        if account.name == self._security_account():
            user_id, key, secret = pipeline.user("ana.b", "/break-glass/")
            service = next(s for s in self.company.services if s.account == account.name).name
            # a pipeline gives a person a key: who watches the trail asks about that
            urn = urns.own("iam", "access-key", key, account=account.id)
            self.postures.append(Posture(kind="key for another", rule="trail.key-for-another", subject=urn))
            identity = self.identities.user("ana.b", account.id, key, secret, user_id, "/break-glass/")
            self.made.break_glass = (service, identity)
        for region in account.regions:
            if region == HOME_REGION:
                network = pipeline
            else:
                short = region.replace("-", "")
                stack = self._stack(f"network-{account.name}-{short}", "platform", "core", account.id, region)
                network = self._pipeline(stack, "platform", {"managed-by": "terraform", "owner": "platform"})
            second = 16 + 16 * self.company.accounts.index(account) % 224 + self.company.regions.index(region)
            self.networks[account.id, region] = network.vpc(f"{account.name}-{region}", second)
        if account.regions:
            name = f"{account.name}.larkspur.example"
            self.zones[account.id] = (pipeline.zone(name), name)

    def _guard(self, account: Account, pipeline: Pipeline) -> None:
        """The account's defaults, and what two accounts lack or allow."""
        plain = account.regions[0] if account.name == postures.OPEN_DEFAULTS else ""
        block = account.name != postures.NO_BLOCK
        role = f"arn:aws:iam::{account.id}:role/OrganizationAccountAccessRole"
        management = account.id == self.company.accounts[0].id
        given = self._plain("sts").assume_role(RoleArn=role, RoleSessionName="guard")["Credentials"]
        who = unrecorded("", None if management else given)
        postures.guard(
            account.id,
            account.regions,
            lambda service, region: self.recorder.client(who, service, region),
            block=block,
            plain=plain,
        )
        if block:
            pipeline.account_block()
        else:
            settings = urns.own("s3", "account-settings", "settings", account=account.id)
            self._planted("public buckets allowed", "s3-account-block", settings)
            policy = pipeline.policy("legacy-admin", allow(["*"], "*"), label="legacy_admin")
            self._planted("policy for everything", "policy-everything", policy)
        if plain:
            settings = urns.own("ec2", "regional-settings", "settings", account=account.id, region=plain)
            self._planted("volumes plain by default", "ebs-default-encryption", settings)
            vendor = {"AWS": f"arn:aws:iam::{postures.VENDOR}:root"}
            audit = pipeline.role("vendor-audit", vendor, label="vendor_audit")
            self._planted("vendor trusted without a condition", "role-foreign", audit)

    def _security_account(self) -> str:
        names = {s.name: s.account for s in self.company.services}
        return names["key-rotation"]

    def _sso_roles(self, account: Account) -> None:
        """IAM Identity Center keeps a role for each permission set in each account; AWS makes them, not the company."""
        role = f"arn:aws:iam::{account.id}:role/OrganizationAccountAccessRole"
        answer = self._plain("sts").assume_role(RoleArn=role, RoleSessionName="identity-center")
        iam = self._plain("iam", answer["Credentials"])
        trust = json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Effect": "Allow",
                        "Principal": {"Federated": f"arn:aws:iam::{account.id}:saml-provider/AWSSSO"},
                        "Action": "sts:AssumeRoleWithSAML",
                    }
                ],
            }
        )
        for name in ("AdministratorAccess", "PowerUserAccess"):
            iam.create_role(
                RoleName=f"AWSReservedSSO_{name}_{SSO_SUFFIX(name)}",
                Path="/aws-reserved/sso.amazonaws.com/",
                AssumeRolePolicyDocument=trust,
            )

    # ---- services

    def _image(self, region: str) -> str:
        """The golden image of a region: the account that has one there first makes it, the others use it."""
        return self.images.get(region, "")

    def _service(self, service: Service) -> None:
        account = self.company.account(service.account)
        region = service.region
        stack = self._stack(service.name, service.team, service.system, account.id, region)
        # two in three teams tag what they make; the others are known by the state that holds it
        tags = {"service": service.name, "managed-by": "terraform"}
        if self.random.random() < 0.66:
            tags["team"] = service.team
        pipeline = self._pipeline(stack, service.team, tags)
        name, size, made = service.name, service.size, self.made
        vpc, subnets = self.networks[account.id, region]
        if region not in self.images:
            self.images[region] = pipeline.image(f"golden-{region}")
        image = self.images[region]
        policy = pipeline.policy(f"{name}-access", allow(["s3:GetObject", "sqs:SendMessage"], "*"))
        role = pipeline.role(
            f"{name}-app", {"Service": ["ec2.amazonaws.com", "lambda.amazonaws.com"]}, policies=[policy]
        )
        made.roles[name], made.policies[name] = f"{name}-app", policy
        pipeline.instance_profile(f"{name}-app", f"{name}-app")
        app = pipeline.security_group(f"{name}-app", vpc, {8080: "10.0.0.0/8"}, "app")
        data = pipeline.security_group(f"{name}-db", vpc, {5432: "10.0.0.0/8"}, "db")
        made.groups[name] = data
        made.buckets[name] = pipeline.bucket(f"larkspur-{name}-{account.id[-4:]}", "data")
        made.keys[name] = pipeline.key(name)
        pipeline.secret(f"{name}/database", "database")
        target = "origin.larkspur.example"
        if service.tier <= 2:
            target = pipeline.load_balancer(name, vpc, subnets, app)
            pipeline.certificate(f"{name}.larkspur.example")
        if service.tier == 1:
            zones = name != postures.ONE_ZONE
            made.databases[name] = pipeline.database(name, data, zones=zones)
            if not zones:
                database = f"arn:aws:rds:{region}:{account.id}:db:{made.databases[name]}"
                self._planted("database in one zone", "database-single-zone", database)
            pipeline.address(f"{name}-edge")
        zone, suffix = self.zones[account.id]
        made.records[name] = (zone, pipeline.record(zone, f"{name}.{suffix}", target))
        pipeline.launch_template(f"{name}-app", image, KINDS[0])
        for index in range(size):
            kind = KINDS[(index + len(name)) % len(KINDS)]
            subnet = subnets[index % len(subnets)]
            instance = pipeline.instance(
                name, index, image=image, kind=kind, subnet=subnet, groups=[app], profile=f"{name}-app"
            )
            made.instances.setdefault(name, instance)
            made.volumes.setdefault(name, pipeline.volume(name, index, size=50 + 50 * (index % 3)))
            made.queues.setdefault(name, []).append(pipeline.queue(name, index))
            pipeline.topic(name, index)
            old = index == 0 and name == postures.OLD_RUNTIME
            more = {postures.VARIABLE: "hunter2"} if index == 0 and name == postures.PLAIN_SECRET else {}
            runtime = postures.RUNTIME if old else "python3.12"
            function = pipeline.function(name, index, role=role, memory=256, runtime=runtime, more=more)
            arn = f"arn:aws:lambda:{region}:{account.id}:function:{function}"
            if old:
                self._planted("function on an old runtime", "runtime-ended", arn)
            if more:
                self._planted("secret in a plain environment", "function-secret-in-plain", arn)
            made.functions.setdefault(name, function)

    # ---- what is written down

    def _declare(self) -> tuple[str, int]:
        """Stores the states and writes the estate; gives the trail's address and the number of declared resources."""
        s3 = self._plain("s3")
        declared: list[dict[str, Any]] = []
        for index, stack in enumerate(self.stacks):
            key = f"{stack.name}.tfstate"
            if index % 16 == 3:
                place = self.estate / "aws" / "states" / key
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(stack.state())
                state = f"states/{key}"
            else:
                s3.put_object(Bucket=self.state_bucket, Key=key, Body=stack.state())
                state = f"s3://{self.state_bucket}/{key}"
            spec = {"owner": stack.owner, "system": stack.system, "state": state, "account": stack.account}
            declared.append({"name": stack.name, "spec": {**spec, "region": stack.region}})
        trail = f"s3://{self.trail_bucket}/AWSLogs"
        estate.write(self.estate, self.company, stacks=declared, trail=trail)
        return trail, sum(stack.count for stack in self.stacks)

    def _put_trail(self, key: str, body: bytes, metadata: dict[str, str] | None = None) -> None:
        self._plain("s3").put_object(Bucket=self.trail_bucket, Key=key, Body=body, Metadata=metadata or {})

    def _digests(self, organization: str) -> None:
        """The trail's digests of the last hours: log files from before are delivered, and not proven."""
        signer = digests.Signer()
        signer.publish(self.url, self.now - timedelta(days=7), self.now + timedelta(days=365))
        prefix = f"AWSLogs/{organization}/"
        trail = digests.Trail(name="organization", home=HOME_REGION, bucket=self.trail_bucket, prefix=prefix)
        until = self.now.replace(minute=0, second=0)
        since = until - timedelta(hours=DIGEST_HOURS)
        logs = [log for log in self.recorder.delivered if since <= log.delivered < until]
        for account, region, hours in digests.hours_of(logs, until):
            digests.write(signer, trail, account, region, hours, self._put_trail)


def write_home(home: Path, organisation: Organisation) -> None:
    """The home's settings, so that uwu looks at the simulated organisation."""

    def quoted(value: Any) -> str:
        return msgspec.json.encode(value).decode()

    (home / "uwu.toml").write_text(
        "\n".join(
            [
                "# The demo's home: AWS is a moto server on this machine.",
                'organization = "Larkspur"',
                'estate = ["estate"]',
                "",
                "[aws]",
                f"endpoint_url = {quoted(organisation.endpoint_url)}",
                f"role_name = {quoted(OBSERVER)}",
                f"apply_role_name = {quoted(APPLIER)}",
                f"home_region = {quoted(HOME_REGION)}",
                f"regions = {quoted(organisation.regions)}",
                "",
                "[inventory]",
                'types = ["core"]',
                "",
                "[schedule]",
                "sync_minutes = 0",
                "",
            ]
        )
    )
