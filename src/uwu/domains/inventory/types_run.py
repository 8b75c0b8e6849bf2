"""Where containers run and data is served: ECS, EKS, ECR, OpenSearch, RDS clusters, and the settings of an account."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from uwu.domains.inventory.model import Batch, Each, Item, Link, Scope, Spec, Under, arn, ec2, kms_key, member
from uwu.kernel import urns


def _subnet_group(scope: Scope, name: str) -> str:
    return urns.arn("rds", f"subgrp:{name}", account=scope.account, region=scope.region) if name else ""


def _by_itself(name: str, kind: str) -> Callable[[Scope, Item], str]:
    """An automated snapshot, or one of a backup plan, is its database's; a manual one is somebody's."""
    return lambda scope, item: (
        _rds(kind)(scope, item.get(name, "")) if item.get("SnapshotType") in {"automated", "awsbackup"} else ""
    )


def _rds(kind: str) -> Callable[[Scope, str], str]:
    return lambda scope, value: urns.arn("rds", f"{kind}:{value}", account=scope.account, region=scope.region)


def _secret(_scope: Scope, value: str) -> str:
    """A secret's ARN without the key, stage and version that may follow it."""
    return ":".join(value.split(":")[:7]) if ":secretsmanager:" in value else ""


def _snapshot(kind: str, cluster: str) -> Any:
    """Who may restore it is asked of those that people made: the automated ones cannot be shared."""
    return Each(
        f"DescribeDB{cluster}SnapshotAttributes",
        lambda item: {f"DB{cluster}SnapshotIdentifier": item[f"DB{cluster}SnapshotIdentifier"]},
        f"DB{cluster}SnapshotAttributesResult.DB{cluster}SnapshotAttributes",
        "SnapshotAttributes",
        when=lambda item: item.get("SnapshotType") == kind,
    )


_CLUSTERS = Under(
    "ListClusters", "clusterArns[].{arn: @}", lambda cluster: {"cluster": cluster["arn"]}, keep={"_cluster": "arn"}
)

SPECS = (
    Spec(
        "aws_ecs_cluster",
        "ECS cluster",
        "ecs",
        "boxes",
        operation="ListClusters",
        path="clusterArns[].{clusterArn: @}",
        urn=member("clusterArn"),
        label="clusterName",
        tags="tags",
        extras=(
            Batch(
                "DescribeClusters",
                "clusters",
                lambda item: item["clusterArn"],
                100,
                "clusters",
                "clusterArn",
                "@",
                "",
                {"include": ["SETTINGS", "CONFIGURATIONS", "TAGS"]},
            ),
        ),
        drop=frozenset(
            {
                "activeServicesCount",
                "pendingTasksCount",
                "registeredContainerInstancesCount",
                "runningTasksCount",
                "statistics",
            }
        ),
    ),
    Spec(
        "aws_ecs_service",
        "ECS service",
        "ecs",
        "package",
        operation="ListServices",
        path="serviceArns[].{serviceArn: @}",
        under=_CLUSTERS,
        urn=member("serviceArn"),
        label="serviceName",
        tags="tags",
        extras=(
            Each(
                "DescribeServices",
                lambda item: {"cluster": item["_cluster"], "services": [item["serviceArn"]], "include": ["TAGS"]},
                "services[0]",
            ),
        ),
        links=(
            Link("inCluster", "clusterArn", arn),
            Link("runs", "taskDefinition", arn),
            Link("runsAs", "roleArn", arn),
            Link("inTargetGroup", "loadBalancers[].targetGroupArn", arn),
            Link("inSubnet", "networkConfiguration.awsvpcConfiguration.subnets[]", ec2("subnet")),
            Link(
                "hasSecurityGroup", "networkConfiguration.awsvpcConfiguration.securityGroups[]", ec2("security-group")
            ),
        ),
        drop=frozenset({"deployments", "events", "pendingCount", "runningCount", "taskSets"}),
    ),
    Spec(
        "aws_ecs_task_definition",
        "ECS task definition",
        "ecs",
        "file-code",
        operation="ListTaskDefinitions",
        path="taskDefinitionArns[].{taskDefinitionArn: @}",
        arguments={"status": "ACTIVE"},
        urn=member("taskDefinitionArn"),
        label="join(':', [family || '', to_string(revision || `0`)])",
        tags="tags",
        extras=(
            Each(
                "DescribeTaskDefinition",
                lambda item: {"taskDefinition": item["taskDefinitionArn"], "include": ["TAGS"]},
                "merge(taskDefinition, {tags: tags})",
            ),
        ),
        links=(
            Link("runsAs", "taskRoleArn", arn),
            Link("startedBy", "executionRoleArn", arn),
            Link("usesSecret", "containerDefinitions[].secrets[].valueFrom", _secret),
        ),
        # the names of variables tell; what they hold does not leave AWS
        secret=frozenset({"value"}),
    ),
    Spec(
        "aws_eks_cluster",
        "EKS cluster",
        "eks",
        "ship-wheel",
        operation="ListClusters",
        path="clusters[].{name: @}",
        urn=lambda scope, item: urns.arn("eks", f"cluster/{item['name']}", account=scope.account, region=scope.region),
        label="name",
        tags="tags",
        extras=(Each("DescribeCluster", lambda item: {"name": item["name"]}, "cluster"),),
        links=(
            Link("runsAs", "roleArn", arn),
            Link("inVpc", "resourcesVpcConfig.vpcId", ec2("vpc")),
            Link("inSubnet", "resourcesVpcConfig.subnetIds[]", ec2("subnet")),
            Link("hasSecurityGroup", "resourcesVpcConfig.securityGroupIds[]", ec2("security-group")),
            Link("hasSecurityGroup", "resourcesVpcConfig.clusterSecurityGroupId", ec2("security-group")),
            Link("encryptedBy", "encryptionConfig[].provider.keyArn", arn),
        ),
        drop=frozenset({"health"}),
    ),
    Spec(
        "aws_ecr_repository",
        "ECR repository",
        "ecr",
        "container",
        operation="DescribeRepositories",
        path="repositories",
        urn=member("repositoryArn"),
        label="repositoryName",
        extras=(
            Each(
                "GetRepositoryPolicy",
                lambda item: {"repositoryName": item["repositoryName"]},
                "policyText",
                "policy",
                frozenset({"RepositoryPolicyNotFoundException"}),
            ),
            Each("ListTagsForResource", lambda item: {"resourceArn": item["repositoryArn"]}, "tags", "Tags"),
        ),
        links=(Link("encryptedBy", "encryptionConfiguration.kmsKey", kms_key),),
        documents=frozenset({"policy"}),
    ),
    Spec(
        "aws_opensearch_domain",
        "OpenSearch domain",
        "opensearch",
        "search",
        operation="ListDomainNames",
        path="DomainNames",
        urn=lambda scope, item: str(
            item.get("ARN")
            or urns.arn("es", f"domain/{item['DomainName']}", account=scope.account, region=scope.region)
        ),
        label="DomainName",
        extras=(
            Batch(
                "DescribeDomains",
                "DomainNames",
                lambda item: item["DomainName"],
                5,
                "DomainStatusList",
                "DomainName",
                "@",
                "",
            ),
            Each("ListTags", lambda item: {"ARN": item["ARN"]}, "TagList", "Tags", when=lambda item: "ARN" in item),
        ),
        links=(
            Link("inVpc", "VPCOptions.VPCId", ec2("vpc")),
            Link("inSubnet", "VPCOptions.SubnetIds[]", ec2("subnet")),
            Link("hasSecurityGroup", "VPCOptions.SecurityGroupIds[]", ec2("security-group")),
            Link("encryptedBy", "EncryptionAtRestOptions.KmsKeyId", kms_key),
            Link("usesCertificate", "DomainEndpointOptions.CustomEndpointCertificateArn", arn),
        ),
        documents=frozenset({"AccessPolicies"}),
        drop=frozenset({"ChangeProgressDetails"}),
    ),
    Spec(
        "aws_rds_db_cluster",
        "RDS cluster",
        "rds",
        "database",
        operation="DescribeDBClusters",
        path="DBClusters",
        urn=member("DBClusterArn"),
        label="DBClusterIdentifier",
        tags="TagList",
        links=(
            Link("hasMember", "DBClusterMembers[].DBInstanceIdentifier", _rds("db")),
            Link("inSubnetGroup", "DBSubnetGroup", _subnet_group),
            Link("hasSecurityGroup", "VpcSecurityGroups[].VpcSecurityGroupId", ec2("security-group")),
            Link("encryptedBy", "KmsKeyId", kms_key),
            Link("usesSecret", "MasterUserSecret.SecretArn", arn),
            Link("runsAs", "AssociatedRoles[].RoleArn", arn),
        ),
        drop=frozenset({"EarliestRestorableTime", "LatestRestorableTime", "PercentProgress"}),
    ),
    Spec(
        "aws_rds_db_subnet_group",
        "DB subnet group",
        "rds",
        "split",
        operation="DescribeDBSubnetGroups",
        path="DBSubnetGroups",
        urn=lambda scope, item: str(item.get("DBSubnetGroupArn") or _subnet_group(scope, item["DBSubnetGroupName"])),
        label="DBSubnetGroupName",
        links=(
            Link("inVpc", "VpcId", ec2("vpc")),
            Link("inSubnet", "Subnets[].SubnetIdentifier", ec2("subnet")),
        ),
    ),
    Spec(
        "aws_rds_db_snapshot",
        "RDS snapshot",
        "rds",
        "camera",
        operation="DescribeDBSnapshots",
        path="DBSnapshots",
        urn=member("DBSnapshotArn"),
        label="DBSnapshotIdentifier",
        tags="TagList",
        extras=(_snapshot("manual", ""),),
        links=(
            Link("madeFrom", "DBInstanceIdentifier", _rds("db")),
            Link("encryptedBy", "KmsKeyId", kms_key),
        ),
        managed_by=_by_itself("DBInstanceIdentifier", "db"),
        drop=frozenset({"PercentProgress"}),
    ),
    Spec(
        "aws_rds_db_cluster_snapshot",
        "RDS cluster snapshot",
        "rds",
        "camera",
        operation="DescribeDBClusterSnapshots",
        path="DBClusterSnapshots",
        urn=member("DBClusterSnapshotArn"),
        label="DBClusterSnapshotIdentifier",
        tags="TagList",
        extras=(_snapshot("manual", "Cluster"),),
        links=(
            Link("madeFrom", "DBClusterIdentifier", _rds("cluster")),
            Link("encryptedBy", "KmsKeyId", kms_key),
        ),
        managed_by=_by_itself("DBClusterIdentifier", "cluster"),
        drop=frozenset({"PercentProgress"}),
    ),
    Spec(
        "aws_s3_account_settings",
        "S3 settings of the account",
        "s3control",
        "shield",
        operation="",
        path="",
        urn=lambda scope, _item: urns.own("s3", "account-settings", "settings", account=scope.account),
        label="'S3 settings'",
        extras=(
            Each(
                "GetPublicAccessBlock",
                lambda item: {"AccountId": item["AccountId"]},
                "PublicAccessBlockConfiguration",
                "PublicAccessBlockConfiguration",
                frozenset({"NoSuchPublicAccessBlockConfiguration"}),
            ),
        ),
        managed_by=lambda _scope, item: "" if item.get("PublicAccessBlockConfiguration") else "aws",
        everywhere=True,
    ),
)
