"""Who signs the company's calls: people through SSO and role chains, CI by web identity, a break-glass user."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

from uwu.sim.cloudtrail import Clock, Identity, Recorder
from uwu.sim.company import HOME_REGION, Person

CONSOLE = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/129.0 Safari/537.36 Console"
)
CLI = "aws-cli/2.31.2 md/awscrt#0.27.6 ua/2.1 os/macos#24.6.0 lang/python#3.13.7 md/installer#source"
TERRAFORM = (
    "APN/1.0 HashiCorp/1.0 Terraform/1.11.4 (+https://www.terraform.io) "
    "terraform-provider-aws/6.14.0 aws-sdk-go-v2/1.39.2"
)
BOTO3 = "Boto3/1.40.40 md/Botocore#1.40.40 ua/2.1 os/linux#6.8.0-aws lang/python#3.12.11"

OIDC = "token.actions.githubusercontent.com"


class Identities:
    """Opens sessions; the same one is used again while it lasts."""

    def __init__(self, recorder: Recorder, clock: Clock, management: str, seed: int) -> None:
        self._recorder = recorder
        self._clock = clock
        self._random = random.Random(seed ^ 0x1D)  # noqa: S311
        self._open: dict[tuple[str, ...], Identity] = {}
        self._ips: dict[str, str] = {}
        self._management = management

    def _ip(self, name: str) -> str:
        """One address a person: from the documentation ranges, so that none is anybody's."""
        return self._ips.setdefault(
            name, f"{self._random.choice(('198.51.100', '203.0.113'))}.{self._random.randint(2, 250)}"
        )

    def plain_credentials(self, account: str, role: str, name: str) -> dict[str, Any]:
        """Credentials of ``account`` that no record tells of: for what happened before the story begins."""
        sts = self._recorder.client(unrecorded(self._management), "sts", HOME_REGION)
        return sts.assume_role(RoleArn=f"arn:aws:iam::{account}:role/{role}", RoleSessionName=name)

    def sso(
        self, person: Person, account: str, permission_set: str = "AdministratorAccess", agent: str = CONSOLE
    ) -> Identity:
        """A person in an account through IAM Identity Center: the session's name is the e-mail address."""
        key = ("sso", person.name, account, permission_set, agent)
        if key not in self._open:
            role = f"AWSReservedSSO_{permission_set}_{_suffix(permission_set)}"
            path = f"aws-reserved/sso.amazonaws.com/{role}"
            answer = self.plain_credentials(account, path, person.email)
            identity = self._assumed(answer, account, role, path, person.email, agent, self._ip(person.name))
            self._open[key] = identity
            self._recorder.add(
                account,
                {
                    "userIdentity": {k: v for k, v in identity.user_identity.items() if k != "accessKeyId"},
                    "eventSource": "signin.amazonaws.com",
                    "eventName": "ConsoleLogin",
                    "awsRegion": HOME_REGION,
                    "sourceIPAddress": identity.source_ip,
                    "userAgent": identity.user_agent,
                    "responseElements": {"ConsoleLogin": "Success"},
                    "additionalEventData": {"MobileVersion": "No", "MFAUsed": "No"},
                    "readOnly": False,
                    "eventType": "AwsConsoleSignIn",
                },
            )
        return self._open[key]

    def assume(
        self, caller: Identity, account: str, role: str, name: str, *, source_identity: str = "", agent: str = ""
    ) -> Identity:
        """The next role of a chain; the call that opens it is recorded."""
        key = ("chain", caller.access_key, account, role, name, source_identity)
        if key not in self._open:
            parameters = {
                "RoleArn": f"arn:aws:iam::{account}:role/{role}",
                "RoleSessionName": name,
                "DurationSeconds": 3600,
            }
            if source_identity:
                parameters["SourceIdentity"] = source_identity
            answer = self._recorder.client(caller, "sts", HOME_REGION).assume_role(**parameters)
            self._open[key] = self._assumed(
                answer,
                account,
                role.rsplit("/", 1)[-1],
                role,
                name,
                agent or caller.user_agent,
                caller.source_ip,
                source_identity=source_identity,
            )
        return self._open[key]

    def ci(self, repository: str, hub: str, account: str) -> Identity:
        """A pipeline: GitHub's token for a role in the hub account, and from there the deploy role of ``account``."""
        key = ("ci", repository)
        subject = f"repo:larkspur/{repository}:ref:refs/heads/main"
        name = f"gha-{repository}"
        if key not in self._open:
            provider = f"arn:aws:iam::{hub}:oidc-provider/{OIDC}"
            web = Identity(
                user_identity={
                    "type": "WebIdentityUser",
                    "principalId": f"{provider}:sts.amazonaws.com:{subject}",
                    "userName": subject,
                    "identityProvider": provider,
                },
                account=hub,
                user_agent=TERRAFORM,
                source_ip="192.0.2." + str(self._random.randint(2, 250)),
                access_key=f"ASIAWEB{repository.upper():.>13}"[:20],
                secret_key="web",  # noqa: S106
            )
            answer = self._recorder.client(web, "sts", HOME_REGION).assume_role_with_web_identity(
                RoleArn=f"arn:aws:iam::{hub}:role/github-actions",
                RoleSessionName=name,
                WebIdentityToken="token",
            )
            identity = self._assumed(answer, hub, "github-actions", "github-actions", name, TERRAFORM, web.source_ip)
            identity.user_identity["sessionContext"]["webIdFederationData"] = {
                "federatedProvider": provider,
                "attributes": {},
            }
            self._open[key] = identity
        return self.assume(self._open[key], account, "ci-deployer", name)

    def user(
        self, name: str, account: str, access_key: str, secret_key: str, user_id: str, path: str = "/"
    ) -> Identity:
        """An IAM user with a long-lived key, as kept for emergencies."""
        return Identity(
            user_identity={
                "type": "IAMUser",
                "principalId": user_id,
                "arn": f"arn:aws:iam::{account}:user{path}{name}",
                "accountId": account,
                "accessKeyId": access_key,
                "userName": name,
            },
            account=account,
            user_agent=CLI,
            source_ip=self._ip(name),
            access_key=access_key,
            secret_key=secret_key,
        )

    def _assumed(
        self,
        answer: dict[str, Any],
        account: str,
        role: str,
        path: str,
        name: str,
        agent: str,
        ip: str,
        *,
        source_identity: str = "",
    ) -> Identity:
        credentials, user = answer["Credentials"], answer["AssumedRoleUser"]
        role_id = user["AssumedRoleId"].split(":")[0]
        attributes = {"creationDate": self._clock.at.strftime("%Y-%m-%dT%H:%M:%SZ"), "mfaAuthenticated": "false"}
        context: dict[str, Any] = {
            "sessionIssuer": {
                "type": "Role",
                "principalId": role_id,
                "arn": f"arn:aws:iam::{account}:role/{path}",
                "accountId": account,
                "userName": role,
            },
            "attributes": attributes,
        }
        if source_identity:
            context["sourceIdentity"] = source_identity
        return Identity(
            user_identity={
                "type": "AssumedRole",
                "principalId": f"{role_id}:{name}",
                "arn": f"arn:aws:sts::{account}:assumed-role/{role}/{name}",
                "accountId": account,
                "accessKeyId": credentials["AccessKeyId"],
                "sessionContext": context,
            },
            account=account,
            user_agent=agent,
            source_ip=ip,
            access_key=credentials["AccessKeyId"],
            secret_key=credentials["SecretAccessKey"],
            session_token=credentials["SessionToken"],
        )

    def forget(self) -> None:
        """Ends the open sessions, as hours do."""
        self._open.clear()

    def later(self, **delta: float) -> None:
        """Lets time pass."""
        self._clock.set(self._clock.at + timedelta(**delta))


def unrecorded(account: str, credentials: dict[str, Any] | None = None) -> Identity:
    """Whoever acts in ``account`` before the story begins; without credentials, in the management account."""
    given = credentials or {"AccessKeyId": "testing", "SecretAccessKey": "testing"}
    return Identity(
        user_identity={},
        account=account,
        user_agent="",
        source_ip="",
        access_key=given["AccessKeyId"],
        secret_key=given["SecretAccessKey"],
        session_token=given.get("SessionToken", ""),
        silent=True,
    )


def _suffix(permission_set: str) -> str:
    return f"{sum(map(ord, permission_set)) * 2654435761 % 2**64:016x}"


SSO_SUFFIX = _suffix
