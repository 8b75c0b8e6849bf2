"""What no source of facts tells: ids that name their own type, members that name a type under another word, actions
on the account or the caller, and the few actions whose target is not what their words say.

Members and actions are written as ``mapping.norm`` writes them.
"""

from __future__ import annotations

from uwu.domains.trail.mapping import Way

EC2_IDS = {
    "acl": "network-acl",
    "ami": "image",
    "cgw": "customer-gateway",
    "cr": "capacity-reservation",
    "dopt": "dhcp-options",
    "eigw": "egress-only-internet-gateway",
    "eipalloc": "elastic-ip",
    "eni": "network-interface",
    "export-i": "export-instance-task",
    "fl": "vpc-flow-log",
    "fleet": "fleet",
    "h": "dedicated-host",
    "i": "instance",
    "igw": "internet-gateway",
    "import-ami": "import-image-task",
    "import-snap": "import-snapshot-task",
    "ipam": "ipam",
    "ipam-pool": "ipam-pool",
    "ipam-scope": "ipam-scope",
    "key": "key-pair",
    "lgw": "local-gateway",
    "lgw-rtb": "local-gateway-route-table",
    "lt": "launch-template",
    "nat": "natgateway",
    "nip": "network-insights-path",
    "pcx": "vpc-peering-connection",
    "pg": "placement-group",
    "pl": "prefix-list",
    "rtb": "route-table",
    "sfr": "spot-fleet-request",
    "sg": "security-group",
    "sir": "spot-instances-request",
    "snap": "snapshot",
    "subnet": "subnet",
    "tgw": "transit-gateway",
    "tgw-attach": "transit-gateway-attachment",
    "tgw-rtb": "transit-gateway-route-table",
    "tmf": "traffic-mirror-filter",
    "tms": "traffic-mirror-session",
    "tmt": "traffic-mirror-target",
    "vgw": "vpn-gateway",
    "vol": "volume",
    "vpc": "vpc",
    "vpce": "vpc-endpoint",
    "vpce-svc": "vpc-endpoint-service",
    "vpn": "vpn-connection",
}
"""Prefix of an EC2 or VPC id -> the word of its ARN."""

EC2_LINKS = {
    "aclassoc": "network-acl",
    "eipassoc": "elastic-ip",
    "eni-attach": "network-interface",
    "iip-assoc": "instance",
    "rtbassoc": "route-table",
    "subnet-cidr-assoc": "subnet",
    "vpc-cidr-assoc": "vpc",
}
"""Prefix of an id that only links -> the word of what it belongs to. Such an id is an alias of that resource."""

KEYS: dict[str, dict[str, str]] = {
    "autoscaling": {
        "autoscalinggroupname": "autoscaling:R:A:autoScalingGroup:*:autoScalingGroupName/{}",
        "launchconfigurationname": "autoscaling:R:A:launchConfiguration:*:launchConfigurationName/{}",
    },
    "cloudformation": {"stackname": "cloudformation:R:A:stack/{}", "stacksetname": "cloudformation:R:A:stackset/{}"},
    "cloudtrail": {"trailname": "cloudtrail:R:A:trail/{}"},
    "dynamodb": {"tablename": "dynamodb:R:A:table/{}"},
    "ec2": {"keyname": "ec2:R:A:key-pair/{}", "launchtemplatename": "ec2:R:A:launch-template/{}"},
    "ecs": {"cluster": "ecs:R:A:cluster/{}", "clustername": "ecs:R:A:cluster/{}"},
    "eks": {"clustername": "eks:R:A:cluster/{}"},
    "iam": {
        "groupname": "iam::A:group/{}",
        "instanceprofilename": "iam::A:instance-profile/{}",
        "rolename": "iam::A:role/{}",
        "username": "iam::A:user/{}",
        "virtualmfadevicename": "iam::A:mfa/{}",
    },
    "kms": {"keyid": "kms:R:A:key/{}", "targetkeyid": "kms:R:A:key/{}", "aliasname": "kms:R:A:{}"},
    "lambda": {"functionname": "lambda:R:A:function:{}", "layername": "lambda:R:A:layer:{}"},
    "logs": {"loggroupname": "logs:R:A:log-group:{}"},
    "monitoring": {"alarmname": "cloudwatch:R:A:alarm:{}", "alarmnames": "cloudwatch:R:A:alarm:{}"},
    "organizations": {"accountid": "iam::{}:root"},
    "rds": {
        "dbclusteridentifier": "rds:R:A:cluster:{}",
        "dbclusterparametergroupname": "rds:R:A:cluster-pg:{}",
        "dbclustersnapshotidentifier": "rds:R:A:cluster-snapshot:{}",
        "dbinstanceidentifier": "rds:R:A:db:{}",
        "dbparametergroupname": "rds:R:A:pg:{}",
        "dbsnapshotidentifier": "rds:R:A:snapshot:{}",
        "dbsubnetgroupname": "rds:R:A:subgrp:{}",
        "optiongroupname": "rds:R:A:og:{}",
    },
    "route53": {"hostedzoneid": "route53:::hostedzone/{}"},
    "s3": {"bucketname": "s3:::{}", "bucket": "s3:::{}"},
    "secretsmanager": {"secretid": "secretsmanager:R:A:secret:{}"},
    "sqs": {"queueurl": "sqs:R:A:{}", "queuename": "sqs:R:A:{}"},
    "ssm": {"documentname": "ssm:R:A:document/{}", "parametername": "ssm:R:A:parameter/{}"},
}
"""Event source -> member that names a type by itself -> ARN format (as in ``mapping.Way.template``)."""

WAYS = {
    ("route53", "createhostedzone"): (Way("hostedzone", "route53:::hostedzone/{}", ("<hostedzoneid",)),),
    ("route53", "changetagsforresource"): (Way("hostedzone", "route53:::{}/{}", ("resourcetype", "resourceid")),),
}
"""(event source, action) -> ways that the reference does not tell."""

SERVICES = {
    "monitoring": "cloudwatch",
    "email": "ses",
    "sso-directory": "identitystore",
    "replicator": "ecr",
    "streams": "dynamodb",
    "opsworks-cm": "opsworks",
    "apigatewayv2": "apigateway",
}
"""First label of an event source -> the service in its resources' ARNs, where they differ."""

TARGETS = {
    ("ec2", "associateiaminstanceprofile"): "instance",
    ("ec2", "disassociateiaminstanceprofile"): "instance",
    ("ec2", "replaceiaminstanceprofileassociation"): "instance",
    ("ec2", "associateaddress"): "elasticip",
    ("ec2", "disassociateaddress"): "elasticip",
    ("ec2", "attachvolume"): "volume",
    ("ec2", "createlaunchtemplateversion"): "launchtemplate",
    ("ec2", "createroute"): "routetable",
    ("ec2", "modifysubnetattribute"): "subnet",
    ("elasticloadbalancing", "setsecuritygroups"): "loadbalancer",
    ("elasticloadbalancing", "setsubnets"): "loadbalancer",
    ("elasticloadbalancing", "registertargets"): "targetgroup",
    ("elasticloadbalancing", "deregistertargets"): "targetgroup",
    ("iam", "createaccesskey"): "accesskey",
    ("iam", "deleteaccesskey"): "accesskey",
    ("iam", "updateaccesskey"): "accesskey",
    ("iam", "createpolicyversion"): "policy",
    ("iam", "deletepolicyversion"): "policy",
    ("iam", "enablemfadevice"): "user",
    ("iam", "deactivatemfadevice"): "user",
    ("kms", "updatealias"): "alias",
    ("lambda", "addpermission"): "function",
    ("lambda", "removepermission"): "function",
    ("organizations", "moveaccount"): "account",
    ("rds", "deletedbinstance"): "db",
    ("rds", "deletedbcluster"): "cluster",
    ("ssm", "putcomplianceitems"): "instance",
    ("ssm", "putinventory"): "instance",
    ("ssm", "sendcommand"): "instance",
    ("ssm", "startsession"): "instance",
    ("ssm", "updateinstanceinformation"): "instance",
    ("ssm", "updateinstanceassociationstatus"): "instance",
    ("route53", "changeresourcerecordsets"): "recordset",
    ("sns", "subscribe"): "topic",
    ("sns", "unsubscribe"): "topic",
}
"""(event source, action) -> the noun of its target, where words and reference say another."""

NOUN_WORDS = {
    "address": "elasticip",
    "alarm": "alarm",
    "clusterparametergroup": "clusterpg",
    "clustersnapshot": "clustersnapshot",
    "parametergroup": "pg",
    "flowlogs": "vpcflowlog",
    "hostedzone": "hostedzone",
    "keypair": "keypair",
    "optiongroup": "og",
    "peeringconnection": "vpcpeeringconnection",
    "resourcerecordsets": "recordset",
    "subnetgroup": "subgrp",
    "hosts": "dedicatedhost",
    "virtualmfadevice": "mfa",
}
"""A word in an action -> the noun that ARNs use for it."""

ACCOUNT_ACTIONS = {
    "cloudtrail": {"registerorganizationdelegatedadmin", "deregisterorganizationdelegatedadmin"},
    "ec2": {
        "disableebsencryptionbydefault",
        "disableimageblockpublicaccess",
        "disableserialconsoleaccess",
        "disablesnapshotblockpublicaccess",
        "enableebsencryptionbydefault",
        "enableimageblockpublicaccess",
        "enableserialconsoleaccess",
        "enablesnapshotblockpublicaccess",
        "modifydefaultcreditspecification",
        "modifyebsdefaultkmskeyid",
        "modifyidformat",
        "modifyinstancemetadatadefaults",
        "resetebsdefaultkmskeyid",
    },
    "guardduty": {"acceptinvitation"},
    "iam": {
        "createaccountalias",
        "deleteaccountalias",
        "deleteaccountpasswordpolicy",
        "generatecredentialreport",
        "setsecuritytokenservicepreferences",
        "updateaccountpasswordpolicy",
    },
    "inspector2": {"disable", "enable", "updateconfiguration"},
    "organizations": {"createorganization", "deleteorganization", "enableallfeatures", "leaveorganization"},
    "s3": {"deleteaccountpublicaccessblock", "putaccountpublicaccessblock"},
    "securityhub": {"disablesecurityhub", "enablesecurityhub"},
    "servicequotas": {"requestservicequotaincrease"},
    "ssm": {"updateservicesetting", "resetservicesetting"},
}
"""Actions on the account as a whole."""

PRINCIPAL_ACTIONS = {
    "iam": {"changepassword"},
    "signin": {
        "checkmfa",
        "consolelogin",
        "credentialchallenge",
        "credentialverification",
        "exitrole",
        "passwordrecoverycompleted",
        "passwordrecoveryrequested",
        "passwordupdated",
        "renewrole",
        "switchrole",
        "userauthentication",
    },
    "sso": {"authenticate", "federate", "logout"},
    "sts": {"getfederationtoken", "getsessiontoken"},
}
"""Actions on the caller."""

SKIP = frozenset(
    {
        "accesspolicy",
        "assumerolepolicydocument",
        "bucketpolicy",
        "changebatch",
        "clienttoken",
        "credentials",
        "createdby",
        "definition",
        "environment",
        "filter",
        "filters",
        "filterset",
        "fullyqualifiedarn",
        "host",
        "keypolicy",
        "nexttoken",
        "parameters",
        "policy",
        "policydocument",
        "policytext",
        "principal",
        "resourcepolicy",
        "scope",
        "sessiontoken",
        "statement",
        "tag",
        "tagging",
        "tags",
        "tagset",
        "tagspecification",
        "tagspecifications",
        "tagspecificationset",
        "tagslist",
        "tagkeys",
        "templatebody",
        "updatedby",
        "userdata",
        "useridentity",
        "xmlns",
    }
)
"""Members that name no resource, or only what a text speaks of."""

UNWRAP = frozenset({"items", "item", "content", "member", "entry"})
"""Members that are but the wrapping of a list."""
