"""Roles, policies and users."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from uwu.sim.deploy.base import Deployment, pairs


def trust(principal: Mapping[str, Any]) -> str:
    """An assume-role policy for ``principal``."""
    statement = {"Effect": "Allow", "Principal": dict(principal), "Action": "sts:AssumeRole"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]}, separators=(",", ":"))


def allow(actions: list[str], resource: str) -> str:
    """A policy that allows ``actions`` on ``resource``."""
    statement = {"Effect": "Allow", "Action": actions, "Resource": resource}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]}, separators=(",", ":"))


class Access(Deployment):
    """IAM."""

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
            Tags=pairs(tags),
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
        arn = iam.create_policy(PolicyName=name, PolicyDocument=document, Tags=pairs(tags))["Policy"]["Arn"]
        attributes = {"id": arn, "arn": arn, "name": name, "path": "/", "policy": document}
        self.stack.add("aws_iam_policy", label, {**attributes, **self._tagged(tags)})
        return arn

    def user(self, name: str, path: str) -> tuple[str, str, str]:
        """An IAM user with a key; gives (user id, access key, secret key)."""
        iam, tags = self.aws("iam"), self.tags(name)
        made = iam.create_user(UserName=name, Path=path, Tags=pairs(tags))["User"]
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
