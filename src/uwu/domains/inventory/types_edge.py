"""Where the world comes in and what passes it on: CloudFront, API Gateway, WAF, function URLs, subscriptions, rules."""

from __future__ import annotations

import re
from collections.abc import Callable

from uwu.domains.inventory.model import Each, Item, Link, Scope, Spec, Under, arn, ec2, member
from uwu.kernel import urns

_FUNCTION = re.compile(r"arn:aws[a-z-]*:lambda:[a-z0-9-]+:\d{12}:function:[A-Za-z0-9_-]+")


def function(_scope: Scope, value: str) -> str:
    """The function in a value: its ARN with or without a qualifier, or an API Gateway integration's URI."""
    found = _FUNCTION.search(value)
    return found[0] if found else ""


def target(scope: Scope, value: str) -> str:
    """What an ARN names; a function's without its qualifier."""
    return function(scope, value) or urns.canonical(arn(scope, value))


def _api(version: int) -> Callable[[Scope, str], str]:
    kind = "restapis" if version == 1 else "apis"
    return lambda scope, value: urns.arn("apigateway", f"/{kind}/{value}", region=scope.region) if value else ""


def _under_api(version: int, path: str, name: str) -> Callable[[Scope, Item], str]:
    def urn(scope: Scope, item: Item) -> str:
        return f"{_api(version)(scope, item['ApiId'])}/{path}/{item[name]}"

    return urn


def _children_of(version: int) -> Under:
    if version == 1:
        return Under("GetRestApis", "items", lambda api: {"restApiId": api["id"]}, keep={"ApiId": "id", "_api": "name"})
    return Under("GetApis", "Items", lambda api: {"ApiId": api["ApiId"]}, keep={"ApiId": "ApiId", "_api": "Name"})


_GATEWAYS = (
    Spec(
        "aws_api_gateway_rest_api",
        "REST API",
        "apigateway",
        "webhook",
        operation="GetRestApis",
        path="items",
        arguments={"limit": 500},
        urn=lambda scope, item: _api(1)(scope, item["id"]),
        label="name",
        tags="tags",
        documents=frozenset({"policy"}),
        links=(Link("reachableThrough", "endpointConfiguration.vpcEndpointIds[]", ec2("vpc-endpoint")),),
    ),
    Spec(
        "aws_api_gateway_stage",
        "REST API stage",
        "apigateway",
        "milestone",
        operation="GetStages",
        path="item",
        arguments={"limit": 500},
        under=_children_of(1),
        urn=_under_api(1, "stages", "stageName"),
        label="join('', [_api || '', ' ', stageName])",
        tags="tags",
        links=(
            Link("partOf", "ApiId", _api(1)),
            Link("protectedBy", "webAclArn", arn),
        ),
        secret=frozenset({"variables"}),
    ),
    Spec(
        "aws_api_gateway_resource",
        "REST API resource",
        "apigateway",
        "signpost",
        operation="GetResources",
        path="items",
        arguments={"limit": 500},
        under=Under(
            "GetRestApis",
            "items",
            lambda api: {"restApiId": api["id"], "limit": 500, "embed": ["methods"]},
            keep={"ApiId": "id", "_api": "name"},
        ),
        urn=_under_api(1, "resources", "id"),
        label="join('', [_api || '', ' ', path || ''])",
        links=(
            Link("partOf", "ApiId", _api(1)),
            Link("invokes", "values(resourceMethods || `{}`)[].methodIntegration.uri", function),
            Link("runsAs", "values(resourceMethods || `{}`)[].methodIntegration.credentials", arn),
        ),
    ),
    Spec(
        "aws_api_gatewayv2_api",
        "HTTP or WebSocket API",
        "apigatewayv2",
        "webhook",
        operation="GetApis",
        path="Items",
        urn=lambda scope, item: _api(2)(scope, item["ApiId"]),
        label="Name",
    ),
    Spec(
        "aws_api_gatewayv2_stage",
        "HTTP API stage",
        "apigatewayv2",
        "milestone",
        operation="GetStages",
        path="Items",
        under=_children_of(2),
        urn=_under_api(2, "stages", "StageName"),
        label="join('', [_api || '', ' ', StageName])",
        links=(Link("partOf", "ApiId", _api(2)),),
        secret=frozenset({"StageVariables"}),
    ),
    Spec(
        "aws_api_gatewayv2_integration",
        "HTTP API integration",
        "apigatewayv2",
        "unplug",
        operation="GetIntegrations",
        path="Items",
        under=_children_of(2),
        urn=_under_api(2, "integrations", "IntegrationId"),
        label="join('', [_api || '', ' ', IntegrationType || ''])",
        links=(
            Link("partOf", "ApiId", _api(2)),
            Link("invokes", "IntegrationUri", function),
            Link(
                "forwardsTo", "IntegrationUri", lambda scope, value: "" if function(scope, value) else arn(scope, value)
            ),
            Link("runsAs", "CredentialsArn", arn),
        ),
    ),
    Spec(
        "aws_api_gatewayv2_domain_name",
        "API domain name",
        "apigatewayv2",
        "signpost",
        operation="GetDomainNames",
        path="Items",
        urn=lambda scope, item: urns.arn("apigateway", f"/domainnames/{item['DomainName']}", region=scope.region),
        label="DomainName",
        extras=(Each("GetApiMappings", lambda item: {"DomainName": item["DomainName"]}, "Items", "ApiMappings"),),
        links=(Link("usesCertificate", "DomainNameConfigurations[].CertificateArn", arn),),
    ),
)

_GLOBAL = (
    Spec(
        "aws_cloudfront_distribution",
        "CloudFront distribution",
        "cloudfront",
        "cloud",
        operation="ListDistributions",
        path="DistributionList.Items",
        urn=member("ARN"),
        label="Aliases.Items[0] || DomainName",
        extras=(Each("ListTagsForResource", lambda item: {"Resource": item["ARN"]}, "Tags.Items", "Tags"),),
        links=(
            Link("usesCertificate", "ViewerCertificate.ACMCertificateArn", arn),
            Link("protectedBy", "WebACLId", arn),
            Link("invokes", "DefaultCacheBehavior.LambdaFunctionAssociations.Items[].LambdaFunctionARN", function),
            Link("invokes", "CacheBehaviors.Items[].LambdaFunctionAssociations.Items[].LambdaFunctionARN", function),
        ),
        drop=frozenset({"ETag"}),
        everywhere=True,
    ),
)

_PASSING_ON = (
    Spec(
        "aws_wafv2_web_acl",
        "Web ACL",
        "wafv2",
        "shield-check",
        operation="ListWebACLs",
        path="WebACLs",
        arguments={"Scope": "REGIONAL"},
        urn=member("ARN"),
        label="Name",
        extras=(
            Each(
                "GetWebACL",
                lambda item: {"Name": item["Name"], "Scope": "REGIONAL", "Id": item["Id"]},
                "WebACL",
            ),
            Each(
                "ListResourcesForWebACL",
                lambda item: {"WebACLArn": item["ARN"]},
                "ResourceArns",
                "ResourceArns",
            ),
            Each(
                "ListTagsForResource",
                lambda item: {"ResourceARN": item["ARN"]},
                "TagInfoForResource.TagList",
                "Tags",
            ),
        ),
        links=(Link("protects", "ResourceArns[]", arn),),
        drop=frozenset({"LockToken"}),
    ),
    Spec(
        "aws_lambda_function_url",
        "Function URL",
        "lambda",
        "link",
        operation="ListFunctionUrlConfigs",
        path="FunctionUrlConfigs",
        under=Under(
            "ListFunctions",
            "Functions",
            lambda each: {"FunctionName": each["FunctionName"]},
            keep={"_name": "FunctionName"},
        ),
        # of each alias its own
        urn=lambda scope, item: urns.own(
            "lambda",
            "url",
            str(item["FunctionArn"]).split(":function:", 1)[-1],
            account=scope.account,
            region=scope.region,
        ),
        label="_name",
        links=(Link("invokes", "FunctionArn", function),),
    ),
    Spec(
        "aws_lambda_event_source_mapping",
        "Event source mapping",
        "lambda",
        "arrow-right-to-line",
        operation="ListEventSourceMappings",
        path="EventSourceMappings",
        urn=lambda scope, item: urns.arn(
            "lambda", f"event-source-mapping:{item['UUID']}", account=scope.account, region=scope.region
        ),
        label="UUID",
        links=(
            Link("invokes", "FunctionArn", function),
            Link("readsFrom", "EventSourceArn", arn),
            Link("deadLettersTo", "DestinationConfig.OnFailure.Destination", arn),
            Link("encryptedBy", "KMSKeyArn", arn),
        ),
        drop=frozenset({"LastProcessingResult"}),
    ),
    Spec(
        "aws_sns_topic_subscription",
        "SNS subscription",
        "sns",
        "rss",
        operation="ListSubscriptions",
        path="Subscriptions",
        urn=lambda scope, item: (
            str(item["SubscriptionArn"])
            if str(item["SubscriptionArn"]).startswith("arn:")
            else urns.own(
                "sns",
                "subscription",
                f"{item['TopicArn']}/{item['Protocol']}/{item.get('Endpoint', '')}",
                account=scope.account,
                region=scope.region,
            )
        ),
        label="Endpoint",
        links=(
            Link("subscribesTo", "TopicArn", arn),
            Link("deliversTo", "Endpoint", target),
        ),
    ),
    Spec(
        "aws_eventbridge_rule",
        "EventBridge rule",
        "events",
        "workflow",
        operation="ListRules",
        path="Rules",
        under=Under(
            "ListEventBuses",
            "EventBuses",
            lambda bus: {"EventBusName": bus["Name"]},
            keep={"_bus": "Arn"},
        ),
        urn=member("Arn"),
        label="Name",
        extras=(
            Each(
                "ListTargetsByRule",
                lambda item: {"Rule": item["Name"], "EventBusName": item.get("EventBusName") or "default"},
                "Targets",
                "Targets",
            ),
            Each("ListTagsForResource", lambda item: {"ResourceARN": item["Arn"]}, "Tags", "Tags"),
        ),
        links=(
            Link("invokes", "Targets[].Arn", target),
            Link("runsAs", "Targets[].RoleArn", arn),
            Link("listensTo", "_bus", arn),
        ),
        managed_by=lambda _scope, item: "aws" if item.get("ManagedBy") else "",
        documents=frozenset({"EventPattern"}),
        secret=frozenset({"Input"}),
    ),
)

SPECS = (*_GLOBAL, *_GATEWAYS, *_PASSING_ON)
