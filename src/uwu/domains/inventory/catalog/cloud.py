"""Types that no operation of their service lists for an account, and Cloud Control does: by CloudFormation's name.

Cloud Control gives at most a hundred of one type in an answer, and tells each of them by one more call (AWS Cloud
Control API, ListResources and GetResource): it is the last resort, and nothing of it is collected unasked.
"""

from __future__ import annotations

import re
from functools import partial

from botocore import xform_name

from uwu.domains.inventory.model import Each, Item, Scope, Spec
from uwu.kernel import urns

_TYPES = """
AWS::ApiGateway::Account | aws_api_gateway_account | API Gateway account settings | settings-2 | CloudWatchRoleArn
AWS::Chatbot::SlackChannelConfiguration | aws_chatbot_slack_channel | Slack channel | megaphone | SlackChannelId
AWS::Cognito::IdentityPoolRoleAttachment | aws_cognito_identity_pool_role | Identity pool roles | user-cog | Roles
AWS::EC2::EIPAssociation | aws_ec2_eip_association | Elastic IP association | link | InstanceId
AWS::EC2::SnapshotBlockPublicAccess | aws_ec2_snapshot_block_public_access | Snapshot sharing block | shield-ban | State
AWS::EC2::SubnetRouteTableAssociation | aws_ec2_subnet_route_table_association | Subnet's routes | link | SubnetId
AWS::EC2::VPCCidrBlock | aws_ec2_vpc_cidr_block | VPC address block | network | CidrBlock
AWS::EC2::VPCGatewayAttachment | aws_ec2_vpc_gateway_attachment | Gateway attachment | link | VpcId
AWS::ECR::RegistryPolicy | aws_ecr_registry_policy | ECR registry policy | scroll-text | PolicyText
AWS::ECR::RegistryScanningConfiguration | aws_ecr_registry_scanning_configuration | ECR scanning | search | ScanType
AWS::ECR::ReplicationConfiguration | aws_ecr_replication_configuration | ECR replication | copy | RegistryId
AWS::IoT::Logging | aws_iot_logging | IoT logging | scroll-text | DefaultLogLevel
AWS::Logs::AccountPolicy | aws_cloudwatch_log_account_policy | Account log policy | scroll-text | PolicyType
AWS::Organizations::ResourcePolicy | aws_organizations_resource_policy | Organization policy | scroll-text | Content
AWS::S3::AccessGrant | aws_s3_access_grant | S3 access grant | lock | Permission
AWS::S3::AccessGrantsInstance | aws_s3_access_grants_instance | S3 access grants | lock | AccessGrantsInstanceId
AWS::S3::MultiRegionAccessPoint | aws_s3_multi_region_access_point | Multi-region access point | globe | Name
AWS::S3ObjectLambda::AccessPoint | aws_s3objectlambda_access_point | Object Lambda point | square-function | Name
AWS::SecurityHub::Hub | aws_securityhub_hub | Security Hub | shield-check | EnableDefaultStandards
"""
_NAME = re.compile(r"[A-Z]\w*::\w+::\w+")


def _arguments(type: str, item: Item) -> dict[str, str]:
    return {"TypeName": type, "Identifier": item["Identifier"]}


def _urn(type: str, scope: Scope, item: Item) -> str:
    """The ARN where the model has one of this very resource, else a name of our own."""
    for name in ("Arn", "ARN"):
        value = item.get(name)
        if isinstance(value, str) and value.startswith("arn:"):
            return value
    kind = type.removeprefix("AWS::").replace("::", ".").lower()
    return urns.own("cloudcontrol", kind, str(item["Identifier"]), account=scope.account, region=scope.region)


def cloud_control(type: str, name: str, title: str, icon: str, *keys: str) -> Spec:
    """The type that CloudFormation calls ``type``, read through Cloud Control.

    What AWS marks as write-only in a type's schema is not in its model, so no secret is told.
    """
    return Spec(
        name=name,
        title=title,
        service="cloudcontrol",
        icon=icon,
        operation="ListResources",
        path="ResourceDescriptions[].{Identifier: Identifier}",
        arguments={"TypeName": type},
        urn=partial(_urn, type),
        label="_tag_name || Name || Identifier",
        extras=(Each("GetResource", partial(_arguments, type), "ResourceDescription.Properties", decode=True),),
        keys=keys,
    )


def any_type(type: str) -> Spec | None:
    """The type that CloudFormation calls ``type`` (``AWS::S3::AccessGrant``); None for what is no such name."""
    if _NAME.fullmatch(type) is None:
        return None
    known = next((spec for spec in SPECS if spec.arguments["TypeName"] == type), None)
    words = [xform_name(word) for word in type.removeprefix("AWS::").split("::")]
    return known or cloud_control(type, "aws_" + "_".join(words), type, "box")


SPECS: tuple[Spec, ...] = tuple(
    cloud_control(*(part.strip() for part in line.split("|"))) for line in _TYPES.strip().splitlines()
)
