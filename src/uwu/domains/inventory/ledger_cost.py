"""What calls cost: nearly all that only list and describe are free, these are not.

List prices of AWS in us-east-1 as its price pages state them for requests (aws.amazon.com/<service>/pricing of S3, KMS,
SQS, SNS, Secrets Manager and CloudWatch, and that of Cost Explorer), before any free tier or discount: an upper bound
that says where money goes, not a bill. Reading AWS Config, CloudTrail's LookupEvents, Organizations and Cloud Control's
lists has no price per request.
"""

from __future__ import annotations

_LIST, _GET = 5e-6, 4e-7
"""S3: $0.005 for 1,000 LIST requests, $0.0004 for 1,000 of the others that read."""

_SERVICES = {
    "kms": 3e-6,  # $0.03 for 10,000 requests
    "secretsmanager": 5e-6,  # $0.05 for 10,000
    "sqs": 4e-7,  # $0.40 for a million: every action is a request
    "sns": 5e-7,  # $0.50 for a million
    "ce": 1e-2,  # $0.01 each
}
_OPERATIONS = {
    ("cloudwatch", "GetDashboard"): 1e-5,  # $0.01 for 1,000 requests
    ("cloudwatch", "GetMetricStatistics"): 1e-5,
    ("cloudwatch", "ListDashboards"): 1e-5,
    ("cloudwatch", "ListMetrics"): 1e-5,
    ("cloudwatch", "GetMetricData"): 1e-5,  # for each metric: one at the least
    ("cloudwatch", "GetInsightRuleReport"): 1e-5,
}


def price(service: str, operation: str) -> float:
    """US dollars of one answer of ``operation`` (``ListBuckets``) of ``service`` as botocore names it."""
    if service == "s3":
        return _LIST if operation.startswith("List") else _GET
    return _OPERATIONS.get((service, operation)) or _SERVICES.get(service, 0.0)
