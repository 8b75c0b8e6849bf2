"""Which relations are found by comparing resources of several cells, and so stand on all of these."""

from __future__ import annotations

from uwu.domains.inventory.model import Spec

ADDRESSES: dict[str, tuple[str, ...]] = {
    "aws_ec2_application_load_balancer": ("DNSName",),
    "aws_ec2_network_load_balancer": ("DNSName",),
    "aws_ec2_classic_load_balancer": ("DNSName", "CanonicalHostedZoneName"),
    "aws_cloudfront_distribution": ("DomainName",),
    "aws_api_gatewayv2_api": ("ApiEndpoint",),
    "aws_api_gatewayv2_domain_name": ("DomainName", "DomainNameConfigurations[].ApiGatewayDomainName"),
    "aws_lambda_function_url": ("FunctionUrl",),
    "aws_opensearch_domain": (
        "Endpoint",
        "EndpointV2",
        "values(Endpoints || `{}`)",
        "DomainEndpointOptions.CustomEndpoint",
    ),
    "aws_eks_cluster": ("endpoint",),
    "aws_vpc_endpoint": ("DnsEntries[].DnsName",),
    "aws_rds_db_cluster": ("Endpoint", "ReaderEndpoint", "CustomEndpoints[]"),
    "aws_rds_db_instance": ("Endpoint.Address",),
    "aws_vpc_eip": ("PublicIp",),
    "aws_ec2_instance": ("PublicIpAddress", "PublicDnsName", "PrivateIpAddress"),
    "aws_ec2_network_interface": ("PrivateIpAddresses[].PrivateIpAddress", "Association.PublicIp"),
}
"""Type -> where its names and addresses lie. An earlier type goes before a later one that holds the same address."""

NAMED = (*ADDRESSES, "aws_s3_bucket", "aws_api_gateway_rest_api", "aws_route53_record")
"""Types that a name on the network may lead to."""

FOUND: dict[str, tuple[str, ...]] = {
    "aws_route53_record": ("resolvesTo",),
    "aws_cloudfront_distribution": ("hasOrigin",),
    "aws_iam_user": ("memberOf",),
    "aws_api_gatewayv2_domain_name": ("mapsTo",),
}
"""Type -> the kinds of relations of it that are found by comparing."""

NEEDS: dict[str, tuple[str, ...]] = {
    "aws_route53_record": NAMED,
    "aws_cloudfront_distribution": NAMED,
    "aws_iam_user": ("aws_iam_group",),
    "aws_api_gatewayv2_domain_name": ("aws_api_gateway_rest_api", "aws_api_gatewayv2_api"),
}
"""Type -> the types among which they are looked for."""


def kinds_of(spec: Spec) -> tuple[str, ...]:
    """Every kind of relation that a resource of ``spec`` may hold. Any may be part of a CloudFormation stack."""
    return tuple(sorted({link.kind for link in spec.links} | {"partOf", *FOUND.get(spec.name, ())}))
