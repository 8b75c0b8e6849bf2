"""Buckets, databases, keys and secrets."""

from __future__ import annotations

from uwu.sim.deploy.base import Deployment, pairs


class Storage(Deployment):
    """What keeps data, and what protects it."""

    def bucket(self, name: str, label: str) -> str:
        """A private, versioned, encrypted bucket."""
        s3, tags = self.aws("s3"), self.tags(name)
        where = {} if self.region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": self.region}}
        s3.create_bucket(Bucket=name, **where)
        s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": pairs(tags)})
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
        s3.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration={"Rules": [rule]})
        access = dict.fromkeys(
            ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"), True
        )
        s3.put_public_access_block(Bucket=name, PublicAccessBlockConfiguration=access)
        arn = f"arn:aws:s3:::{name}"
        self.stack.add("aws_s3_bucket", label, {"id": name, "arn": arn, "bucket": name, **self._tagged(tags)})
        part = {"id": name, "bucket": name}
        self.stack.add("aws_s3_bucket_versioning", label, {**part, "versioning_configuration": [{"status": "Enabled"}]})
        default = {"sse_algorithm": "AES256", "kms_master_key_id": ""}
        self.stack.add(
            "aws_s3_bucket_server_side_encryption_configuration",
            label,
            {**part, "rule": [{"apply_server_side_encryption_by_default": [default]}]},
        )
        switches = ("block_public_acls", "block_public_policy", "ignore_public_acls", "restrict_public_buckets")
        self.stack.add("aws_s3_bucket_public_access_block", label, {**part, **dict.fromkeys(switches, True)})
        return name

    def account_block(self) -> None:
        """Tells that the account forbids public buckets; it is set with the account's other defaults."""
        switches = ("block_public_acls", "block_public_policy", "ignore_public_acls", "restrict_public_buckets")
        attributes = {"id": self.account, "account_id": self.account, **dict.fromkeys(switches, True)}
        self.stack.add("aws_s3_account_public_access_block", "this", attributes)

    def trail(self, name: str, bucket: str) -> None:
        """The trail of the organization: all regions, its files signed."""
        client, tags = self.aws("cloudtrail"), self.tags(name)
        flags = {"IsMultiRegionTrail": True, "IsOrganizationTrail": True, "EnableLogFileValidation": True}
        made = client.create_trail(Name=name, S3BucketName=bucket, TagsList=pairs(tags), **flags)
        client.start_logging(Name=made["TrailARN"])
        self.stack.add(
            "aws_cloudtrail",
            "organization",
            {
                "id": made["TrailARN"],
                "arn": made["TrailARN"],
                "name": name,
                "s3_bucket_name": bucket,
                "is_multi_region_trail": True,
                "is_organization_trail": True,
                "enable_log_file_validation": True,
                **self._tagged(tags),
            },
        )

    def database(self, name: str, group: str, *, zones: bool = True) -> str:
        rds, tags = self.aws("rds"), self.tags(name)
        made = rds.create_db_instance(
            DBInstanceIdentifier=name,
            Engine="postgres",
            EngineVersion="16.4",
            DBInstanceClass="db.r6g.large",
            AllocatedStorage=100,
            StorageType="gp3",
            StorageEncrypted=True,
            MasterUsername="app",
            MasterUserPassword="correct-horse-battery",
            VpcSecurityGroupIds=[group],
            DeletionProtection=True,
            PubliclyAccessible=False,
            MultiAZ=zones,
            BackupRetentionPeriod=14,
            Tags=pairs(tags),
        )["DBInstance"]
        self.stack.add(
            "aws_db_instance",
            "main",
            {
                "id": name,
                "arn": made["DBInstanceArn"],
                "identifier": name,
                "engine": "postgres",
                "engine_version": "16.4",
                "instance_class": "db.r6g.large",
                "allocated_storage": 100,
                "max_allocated_storage": 0,
                "storage_type": "gp3",
                "storage_encrypted": True,
                "username": "app",
                "password": "correct-horse-battery",
                "vpc_security_group_ids": [group],
                "deletion_protection": True,
                "publicly_accessible": False,
                "multi_az": zones,
                "backup_retention_period": 14,
                **self._tagged(tags),
            },
            sensitive=("password",),
        )
        return name

    def key(self, name: str) -> str:
        kms, tags = self.aws("kms"), self.tags(name)
        pairs = [{"TagKey": k, "TagValue": v} for k, v in tags.items()]
        made = kms.create_key(Description=f"{name} data key", Tags=pairs)["KeyMetadata"]
        kms.enable_key_rotation(KeyId=made["KeyId"])
        self.stack.add(
            "aws_kms_key",
            "data",
            {
                "id": made["KeyId"],
                "arn": made["Arn"],
                "key_id": made["KeyId"],
                "description": f"{name} data key",
                "is_enabled": True,
                "enable_key_rotation": True,
                **self._tagged(tags),
            },
        )
        return made["KeyId"]

    def secret(self, name: str, label: str) -> str:
        client, tags = self.aws("secretsmanager"), self.tags(name)
        made = client.create_secret(
            Name=name,
            Description=f"{name} credentials",
            SecretString="not-a-real-secret",
            Tags=pairs(tags),
        )
        attributes = {"id": made["ARN"], "arn": made["ARN"], "name": name, "description": f"{name} credentials"}
        self.stack.add("aws_secretsmanager_secret", label, {**attributes, "kms_key_id": "", **self._tagged(tags)})
        return made["ARN"]
