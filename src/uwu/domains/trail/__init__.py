"""CloudTrail: what happened, to which resource, by which human."""

from __future__ import annotations

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
    ),
    jobs="uwu.domains.trail.work:JOBS",
    sync=((Phase.EVENTS, "trail.ingest"),),
    schedules=(POLL, RECEIVE, UPKEEP),
    evidence="uwu.domains.trail.creators:evidence",
    changes="uwu.domains.trail.changes:log",
    tables="uwu.domains.trail.tables",
    query_tables="uwu.domains.trail.health:query_tables",
    routes="uwu.domains.trail.api:HANDLERS",
    commands="uwu.domains.trail.cli:APP",
    health="uwu.domains.trail.health:health",
)
