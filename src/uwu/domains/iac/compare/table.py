"""Terraform type -> its comparer, by name: nothing is imported before it is needed."""

from __future__ import annotations

_HERE = "uwu.domains.iac.compare"

COMPARE: dict[str, str] = {
    f"aws_{type}": f"{_HERE}.{function}"
    for type, function in {
        "instance": "ec2:instance",
        "ebs_volume": "ec2:volume",
        "security_group": "groups:compare",
        "default_security_group": "groups:compare",
        "security_group_rule": "groups:compare_rule",
        "vpc_security_group_ingress_rule": "groups:compare_rule",
        "vpc_security_group_egress_rule": "groups:compare_rule",
        "vpc": "ec2:vpc",
        "default_vpc": "ec2:vpc",
        "subnet": "ec2:subnet",
        "default_subnet": "ec2:subnet",
        "network_interface": "ec2:network_interface",
        "eip": "ec2:address",
        "ami": "ec2:image",
        "ami_copy": "ec2:image",
        "ami_from_instance": "ec2:image",
        "launch_template": "ec2:launch_template",
        "lb": "ec2:load_balancer",
        "alb": "ec2:load_balancer",
        "lb_target_group": "ec2:target_group",
        "alb_target_group": "ec2:target_group",
        "s3_bucket": "storage:bucket",
        "s3_bucket_versioning": "storage:versioning",
        "s3_bucket_server_side_encryption_configuration": "storage:encryption",
        "s3_bucket_public_access_block": "storage:public_access",
        "s3_bucket_policy": "storage:bucket_policy",
        "db_instance": "storage:database",
        "kms_key": "storage:key",
        "secretsmanager_secret": "storage:secret",
        "secretsmanager_secret_rotation": "storage:rotation",
        "iam_role": "iam:role",
        "iam_role_policy": "iam:inline_policy",
        "iam_role_policy_attachment": "iam:attachment",
        "iam_user": "iam:user",
        "iam_user_policy": "iam:inline_policy",
        "iam_user_policy_attachment": "iam:attachment",
        "iam_policy": "iam:policy",
        "iam_access_key": "iam:access_key",
        "lambda_function": "app:function",
        "route53_zone": "app:zone",
        "route53_record": "app:record",
        "sqs_queue": "app:queue",
        "sqs_queue_policy": "app:queue_policy",
        "sqs_queue_redrive_policy": "app:queue_redrive",
        "sns_topic": "app:topic",
        "sns_topic_policy": "app:topic_policy",
        "acm_certificate": "app:certificate",
        "cloudformation_stack": "app:stack",
    }.items()
}
