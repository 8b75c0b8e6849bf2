"""CloudTrail: what happened, to which resource, by which human."""

from __future__ import annotations

from uwu.kernel.actions import Action
from uwu.kernel.domain import Domain, EntityKind, Phase, Schedule

_TRAIL_SPEC = {
    "type": "object",
    "required": ["source"],
    "properties": {
        "source": {
            "type": "string",
            "minLength": 1,
            "description": "s3://bucket/prefix, or a folder (relative to the file that declares it)",
        },
        "queue": {
            "type": "string",
            "pattern": "^https?://",
            "description": "the URL of the SQS queue that is told of new objects; without one the bucket is listed",
        },
        "workers": {
            "type": "integer",
            "minimum": 1,
            "maximum": 16,
            "description": "how many read the queue at once; 1 where it is not told",
        },
        "owner": {"type": "string", "minLength": 1},
    },
}

POLL = Schedule(
    "trail",
    "trail.ingest",
    "take in new CloudTrail objects: AWS delivers them about every five minutes",
    every_minutes=5,
    when="uwu.domains.trail.ingest:declared_sources",
)

_DETECTION_SPEC = {
    "type": "object",
    "required": ["sigma"],
    "properties": {
        "sigma": {
            "type": "object",
            "required": ["detection"],
            "description": "a Sigma rule over aws/cloudtrail",
        },
        "subject": {"enum": ["target", "principal", "account"], "description": "what an alert is about"},
        "remedy": {"type": "string", "description": "what to do about an alert"},
        "owner": {"type": "string", "minLength": 1, "description": "who keeps the rule"},
    },
}

DETECT = Schedule(
    "trail.detect",
    "trail.detect",
    "run the rules over batches that no ingest asked them for",
    every_minutes=1,
    when="uwu.domains.trail.detect.jobs:due",
)

RECEIVE = Schedule(
    "trail.receive",
    "trail.receive",
    "take in what the trails' queues tell of, as it comes",
    every_minutes=1,
    when="uwu.domains.trail.pipeline:queues",
)

UPKEEP = Schedule(
    "trail.upkeep",
    "trail.upkeep",
    "compact the lake, delete days that are no longer kept, collect files that nothing names",
    daily="03:40",
)

VERIFY = Schedule(
    "trail.verify",
    "trail.verify",
    "verify the digests that came since: CloudTrail writes one an hour",
    every_minutes=60,
    when="uwu.domains.trail.digests.verify:buckets",
)

DOMAIN = Domain(
    name="trail",
    title="CloudTrail",
    summary="Take in CloudTrail; tell who changed what.",
    kinds=(
        EntityKind(
            kind="Trail",
            api_versions=("uwu.dev/v1alpha1",),
            schema=_TRAIL_SPEC,
            references={"owner": ("group", "ownedBy", "ownerOf")},
        ),
        EntityKind(
            kind="Detection",
            api_versions=("uwu.dev/v1alpha1",),
            schema=_DETECTION_SPEC,
            references={"owner": ("group", "ownedBy", "ownerOf")},
            check="uwu.domains.trail.detect.load:check_entity",
        ),
    ),
    jobs="uwu.domains.trail.work:JOBS",
    sync=((Phase.EVENTS, "trail.ingest"), (Phase.EVENTS, "trail.detect")),
    schedules=(POLL, RECEIVE, UPKEEP, DETECT, VERIFY),
    rules="uwu.domains.trail.digests.rules:RULES",
    more_rules="uwu.domains.trail.detect.alerts:rules",
    sweep="uwu.domains.trail.detect.alerts:sweep",
    evidence="uwu.domains.trail.creators:evidence",
    changes="uwu.domains.trail.changes:log",
    tables="uwu.domains.trail.tables",
    actions=(
        Action("trail.rules", "run", "try a detection on an event or over history"),
        Action("trail.close", "change", "close an alert"),
    ),
    query_tables="uwu.domains.trail.health:query_tables",
    routes="uwu.domains.trail.routes:HANDLERS",
    commands="uwu.domains.trail.commands:APP",
    health="uwu.domains.trail.health:health",
)
