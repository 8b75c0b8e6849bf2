"""One TOML file and UWU_* variables -> one frozen Settings.

The file is ``$UWU_HOME/uwu.toml``. A field ``name`` of a section ``section`` is overridden by
``UWU_SECTION_NAME``; a field at the top by ``UWU_NAME``; one of a named table by ``UWU_SECTION_TABLES_NAME_FIELD``
(``UWU_NOTIFY_CHANNELS_OPS_URL``) where the file has that table. Unknown keys are refused with their place.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, cast
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Meta

from uwu.kernel.errors import Misconfigured

Positive = Annotated[int, Meta(ge=1)]


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of uwu.toml."""


class AwsSettings(Section, frozen=True):
    """How AWS is reached. Credentials come from the standard chain; no key is ever a setting."""

    endpoint_url: str = ""
    """Where every AWS call goes instead of AWS; empty for AWS itself."""
    profile: str = ""
    """The named profile of the management (or delegated administrator) account; empty for the default chain."""
    role_name: str = "uwu-observer"
    """The role assumed in each member account."""
    apply_role_name: str = ""
    """The role assumed in each account to apply plans, the caller's own account included; empty: nothing is applied.
    It is never the observer's."""
    external_id: str = ""
    """The ExternalId sent with AssumeRole; empty sends none."""
    home_region: str = "us-east-1"
    """Where global services and Organizations are asked."""
    regions: tuple[str, ...] = ("us-east-1",)
    """The regions that are observed in each account."""
    connect_timeout_seconds: Positive = 5
    read_timeout_seconds: Positive = 30
    max_attempts: Positive = 4
    """Tries of one call, the first included; 1 tries nothing again. To be told to slow down costs the fast client time
    and no attempt."""
    retry_seconds: Positive = 60
    """For so long after its first failure one call is tried again by the fast client."""
    max_answer_mb: Positive = 64
    """The largest answer of one call that the fast client reads."""
    client: Literal["fast", "botocore"] = "fast"
    """What speaks to AWS to observe: ``fast`` reads answers some ten times as fast and takes botocore for what it does
    not speak; ``botocore`` takes it for all."""
    concurrency: Positive = 8
    """Services of one shard (an account and some of its regions) that are asked at the same time; a worker has as many
    shards at work as jobs.concurrency says."""


class InventorySettings(Section, frozen=True):
    """What of AWS is observed, and how often."""

    types: tuple[str, ...] = ("curated",)
    """What is collected: ``core`` (networks, compute, data, identity and what carries traffic), ``curated`` (core and
    all other types that people have looked at and that cost few calls), ``all`` (every operation of AWS that lists
    resources: some two thousand calls for each account and region), and names or patterns (``aws_glue_*``)."""
    exclude: tuple[str, ...] = ()
    """Names or patterns of types that are not collected all the same."""
    freshness_minutes: Annotated[int, Meta(ge=0)] = 0
    """A complete look at a cell (account, region, type) is late after so many minutes, and the next one due; 0 for
    drift.stale_after_hours."""
    freshness: dict[str, Positive] = {}
    """The same for some types, by pattern: ``"aws_iam_*" = 360``. A sync of everything leaves them alone until they are
    due: what seldom changes, or costs much, is looked at less often."""
    refresh_calls_per_minute: Positive = 60
    """Calls that refreshes by event may take of each account in a minute: one a second is a small part of what any
    service allows. What does not fit is left to the next sync."""


class HttpSettings(Section, frozen=True):
    """Where ``uwu serve`` listens."""

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8420
    public_url: str = ""
    """The address at which people reach it, for links and for the way back from a sign-in: ``https://uwu.example.com``;
    empty for the one it listens on. Requests for its host are answered."""
    tls_certificate: str = ""
    """The PEM file of the certificate and its chain; relative to the home. With ``tls_key`` it speaks HTTPS."""
    tls_key: str = ""
    """The PEM file of the certificate's key; relative to the home."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses or networks of proxies whose X-Forwarded-Proto, -Host and -For are believed: ``10.0.0.7``,
    ``10.1.0.0/16``. Where it listens on more than loopback without TLS, only they are answered."""

    def __post_init__(self) -> None:
        for network in self.trusted_proxies:
            ip_network(network)
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise ValueError("tls_certificate and tls_key go together")
        url = urlsplit(self.public_url)
        if self.public_url and (url.scheme not in {"http", "https"} or not url.hostname or url.path.strip("/")):
            raise ValueError("public_url is an address without a path, such as https://uwu.example.com")


class AccessSettings(Section, frozen=True):
    """Who may what, and for how long a proof of who one is holds."""

    admins: tuple[str, ...] = ()
    """Who has the role admin: ``group:default/platform``, ``user:default/mira``."""
    operators: tuple[str, ...] = ()
    """Who has the role operator."""
    auditors: tuple[str, ...] = ()
    """Who has the role auditor."""
    everyone: Literal["viewer", "operator", "none"] = "viewer"
    """The role of whoever has signed in, services too."""
    anonymous: Literal["auto", "viewer", "none"] = "auto"
    """The role of who has not signed in. ``auto``: viewer on a server that only this machine can reach (loopback, no
    public_url, no proxy) and that has no sign-in by OIDC; none elsewhere. It can never write."""
    session_idle_hours: Positive = 12
    """A session that was not used for so long has ended."""
    session_days: Positive = 7
    """However it is used, a session ends after so many days."""
    token_days: Positive = 90
    """How long a token lives where nothing is said."""
    token_max_days: Positive = 365
    """How long a token may live at most."""
    break_glass_max_minutes: Annotated[int, Meta(ge=1, le=1440)] = 60
    """The longest time for which somebody may break glass."""

    def __post_init__(self) -> None:
        for ref in (*self.admins, *self.operators, *self.auditors):
            kind, colon, rest = ref.partition(":")
            if kind.lower() not in {"user", "group", "service"} or not colon or "/" not in rest:
                raise ValueError(f"{ref!r} is no full reference, such as group:default/platform")


class OidcSettings(Section, frozen=True):
    """Sign-in by an OpenID provider (authorization code with PKCE). Its redirect address is
    ``<public_url>/sign-in/callback``."""

    issuer: str = ""
    """The provider's issuer, as its discovery document says it; empty for no sign-in by OIDC."""
    client_id: str = ""
    client_secret_env: str = "UWU_OIDC_CLIENT_SECRET"  # noqa: S105 - the name of a variable
    """The variable that holds the client's secret; a client without a secret is a public one."""
    client_secret_file: str = ""
    """The file that holds the client's secret, instead of the variable; relative to the home."""
    name: str = "single sign-on"
    """What stands on the button: ``Sign in with ...``."""
    scopes: tuple[str, ...] = ("openid", "profile", "email")
    groups_claim: str = "groups"
    """The claim that names the groups of a person; empty for the catalog's alone."""
    username_claim: str = "preferred_username"
    """The claim that names the person."""
    trust_email: bool = False
    """Take an e-mail address although the provider does not say that it has verified it (``email_verified``)."""
    timeout_seconds: Annotated[int, Meta(ge=1, le=60)] = 5
    """How long the provider may take for one answer."""
    leeway_seconds: Annotated[int, Meta(ge=0, le=300)] = 60
    """How far the clocks of the provider and of this server may be apart."""

    def __post_init__(self) -> None:
        if not self.issuer:
            return
        url = urlsplit(self.issuer)
        local = url.hostname in {"127.0.0.1", "localhost", "::1"}
        if (url.scheme != "https" and not (url.scheme == "http" and local)) or url.query or url.fragment:
            raise ValueError("the issuer is an https address without query")
        if not self.client_id:
            raise ValueError("an issuer needs a client_id")
        if "openid" not in self.scopes:
            raise ValueError("scopes must hold openid")


class ConsoleSettings(Section, frozen=True):
    """What the pages give."""

    export_rows: Positive = 100_000
    """Rows of one CSV or JSON export: some 20 MB, what a spreadsheet still opens. What is cut says so in a header."""


class LakeSettings(Section, frozen=True):
    """Where event tables are kept."""

    warehouse: str = ""
    """A folder or an s3:// prefix; empty for ``$UWU_HOME/lake``."""
    batch_events: Positive = 100_000
    """Events in one committed batch; 100-250 thousand bounds memory to about 1 GB."""


class DetectSettings(Section, frozen=True):
    """Rules over CloudTrail events beside those that uwu ships. Which of all run, ``rules`` says."""

    rules: tuple[str, ...] = ()
    """Files or folders of rules: Sigma (``*.yml``) and Python (``*.py``), relative to the home. Python rules may do all
    that uwu may."""
    placeholders: dict[str, tuple[str, ...]] = {}
    """What the placeholders of Sigma rules stand for: ``Admin_Workstations = ["10.2.0.*"]``."""
    keep_days: Positive = 30
    """An alert that nobody closed is over so many days after its last event: it was not worth a look."""
    regroup_hours: Positive = 24
    """Matches of a rule on the same subject by the same actor join an open alert so long after its last event."""


class TrailSettings(Section, frozen=True):
    """How CloudTrail is taken in and kept."""

    window_days: Annotated[int, Meta(ge=1, le=31)] = 3
    """How many days of a bucket are listed to find objects that nothing told of; older ones: ``uwu trail backfill``."""
    reconcile_minutes: Positive = 60
    """How often that is done where a queue tells of new objects."""
    retention_days: Annotated[int, Meta(ge=0)] = 0
    """Days of events that are kept; older days are deleted as whole files. 0 keeps everything."""


class QuerySettings(Section, frozen=True):
    """Limits of one ``uwu query``."""

    memory_mb: Positive = 1024
    timeout_seconds: Positive = 30
    max_rows: Positive = 10_000


class OwnershipSettings(Section, frozen=True):
    """Which tags name an owner."""

    tags: tuple[str, ...] = ("uwu:owner", "owner", "team", "service", "app")
    """Tag keys, strongest first; a value names a group, or an entity whose owner is meant."""


class CatalogSettings(Section, frozen=True):
    """What is declared."""

    orphan_days: Positive = 30
    """How long an entity is kept that no file holds any more: a repository that is away for a while loses nothing."""
    orphan_percent: Annotated[int, Meta(ge=1, le=100)] = 30
    """Of ten or more entities of one source at most so many percent are deleted at once without being asked to."""


class DriftSettings(Section, frozen=True):
    """When silence becomes a fact of its own."""

    stale_after_hours: Positive = 24
    """A finding whose source has not been observed for so long is stale: neither open nor closed is known."""


class RulesSettings(Section, frozen=True):
    """Which rules judge, and from when on what they ask for is late. Days are whole."""

    enabled: tuple[str, ...] = ("*",)
    """The rules that judge, by id or pattern: ``inventory.*``, ``drift.gone``."""
    disabled: tuple[str, ...] = ()
    """Those of them that do not; their findings close."""
    exemption_max_days: Positive = 366
    """The longest exemption: what may stay for ever is a rule to disable, which stands in this file."""
    production: tuple[str, ...] = ("production", "prod", "prd", "live")
    """The environments in which rules are stricter: of an Account entity's spec.environment, else of the tags
    ``environment`` or ``env`` of the account or the resource. A pattern may be used."""
    trusted_accounts: tuple[str, ...] = ()
    """Accounts outside the organization that its roles may trust: vendors, a former owner."""
    denied_regions: tuple[str, ...] = ()
    """Regions in which nothing may be, by pattern, even where they are observed."""
    key_days: Positive = 90
    """An access key is to be replaced after so many days (CIS AWS Foundations 3.0, 1.14)."""
    key_unused_days: Positive = 45
    """A key or password that nobody used for so long is to go (CIS AWS Foundations 3.0, 1.12)."""
    secret_days: Positive = 365
    """A secret without rotation is to be replaced after so many days: longer than people usually stay with a team."""
    certificate_days: Positive = 30
    """A certificate is late so long before its end: ACM begins to renew 60 days before, and warns of 45."""
    unused_days: Positive = 30
    """Addresses, volumes and security groups that nothing used for so long are waste or a door left open."""
    stopped_days: Positive = 30
    """An instance that is stopped for so long is forgotten: its volumes cost, and it misses every patch."""
    ended_days: Annotated[int, Meta(ge=0)] = 60
    """A runtime or an engine is told so many days before its support ends: an upgrade takes weeks."""
    backup_days: Positive = 7
    """Backups of production databases are kept at least so long: a mistake on a Friday is found on a Monday."""


class PlansSettings(Section, frozen=True):
    """What a plan needs before it is applied."""

    approvals: Positive = 1
    """How many others must approve, at the least; the estate's ApprovalPolicy entities may ask for more."""
    expire_hours: Positive = 24
    """A plan that was not applied after so many hours has expired."""
    safe_subjects: Positive = 10
    """Below so many subjects in scope a plan may touch them all: a share of few says nothing."""
    safe_percent: Annotated[int, Meta(ge=1, le=100)] = 30
    """The share of its scope that a plan may update, replace or delete unless it is forced (octoDNS's limit)."""
    affected_approve: bool = True
    """One of each group that owns what depends on something that a plan deletes or replaces must approve it too, where
    its planner can tell what that is."""


class JobsSettings(Section, frozen=True):
    """How jobs run in a worker."""

    concurrency: Positive = 8
    """Runs of one job at the same time in one worker, where the job sets no number: they mostly wait on the network."""
    grace_seconds: Positive = 10
    """How long a stopping worker waits for steps in flight; those that need longer are repeated by the next worker."""
    stale_after_seconds: Positive = 15
    """A worker that was not heard of for so long is dead: its peers take over its jobs."""
    keep_days: Positive = 30
    """Finished jobs and their logs are deleted after so many days."""


class ScheduleSettings(Section, frozen=True):
    """What the workers of a server ask for by themselves. A command that runs its own jobs asks for nothing else."""

    sync_minutes: Annotated[int, Meta(ge=0)] = 60
    """Minutes between two syncs of everything; 0 for none."""
    paused: tuple[str, ...] = ()
    """Names of schedules that rest; ``uwu schedules`` lists them. ``*`` for all."""


class ChannelSettings(Section, frozen=True):
    """A way to tell people: ``[notify.channels.<name>]``. Its address is a secret and is never shown."""

    url: str = ""
    """An apprise URL (``mailtos://...``, ``slack://...``), or ``webhook+https://host/path`` for a signed webhook."""
    url_env: str = ""
    """The variable that holds the URL, instead of ``url``."""
    url_file: str = ""
    """The file that holds the URL, instead of ``url``; relative to the home."""
    secret_env: str = ""
    """The variable that holds the secret that signs a webhook."""
    secret_file: str = ""
    """The file that holds that secret; relative to the home."""
    to_owner: bool = False
    """For ``mailto``: to the e-mail address of the owner's profile in the catalog; without one, to the URL's own."""
    quiet: Annotated[str, Meta(pattern=r"^(([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d)?$")] = ""
    """Hours in which it says nothing, ``22:00-07:00``; what comes meanwhile is told together at their end."""
    timezone: str = "UTC"
    """The time zone of the quiet hours: ``Europe/Berlin``."""
    digest_minutes: Annotated[int, Meta(ge=0, le=10_080)] = 0
    """Collects for so long and tells it in one message; 0 tells within a minute."""

    def __post_init__(self) -> None:
        if sum(map(bool, (self.url, self.url_env, self.url_file))) != 1:
            raise ValueError("a channel needs one of url, url_env and url_file")
        try:
            ZoneInfo(self.timezone)
        except (KeyError, ValueError, OSError):
            raise ValueError(f"there is no time zone {self.timezone!r}") from None


class RouteSettings(Section, frozen=True):
    """Who is told what: ``[[notify.routes]]``. Every route that fits is taken."""

    channel: str
    """The name of a channel."""
    owner: str = "*"
    """A reference, or a pattern of one: ``group:default/payments``, ``group:*/sre-*``. ``*`` for all, unowned too."""
    kinds: tuple[str, ...] = ("*",)
    """Patterns of kinds: ``finding.*``, ``plan.waiting``, ``break-glass.*``."""
    severity: Literal["critical", "high", "medium", "low", "info"] = "info"
    """Only what is at least so severe."""


class NotifySettings(Section, frozen=True):
    """Who is told, by what channel, and when."""

    channels: dict[str, ChannelSettings] = {}
    routes: tuple[RouteSettings, ...] = ()
    fallback: str = ""
    """The channel of what no route and no annotation takes; empty: it stands on the page of notices only."""
    finding_severity: Literal["critical", "high", "medium", "low", "info"] = "high"
    """Findings that are at least so severe are told when they open, close or become stale."""
    critical_at_once: bool = True
    """What is critical waits for no quiet hours and no digest."""
    attempts: Positive = 10
    """Tries of one message, the waits between them doubling from one minute to an hour; then it has failed."""
    timeout_seconds: Annotated[int, Meta(ge=1, le=60)] = 10
    """How long the far side may take to connect, and then to answer."""
    allow_addresses: tuple[str, ...] = ()
    """Networks that a webhook may reach although they are loopback or link-local: ``127.0.0.0/8``."""
    keep_days: Positive = 90
    """Notices are deleted after so many days."""

    def __post_init__(self) -> None:
        for channel in (self.fallback, *(route.channel for route in self.routes)):
            if channel and channel not in self.channels:
                raise ValueError(f"there is no channel {channel!r}: [notify.channels.{channel}] is missing")
        for network in self.allow_addresses:
            ip_network(network)


class TelemetrySettings(Section, frozen=True):
    """What a server and its workers tell of themselves."""

    log_format: Literal["auto", "text", "json"] = "auto"
    """``json`` is one object a line; ``auto`` is text at a terminal and json elsewhere."""
    log_level: Literal["debug", "info", "warning", "error"] = "warning"
    """From what level on; a request's own line (``access_log``) is told in any case."""
    access_log: bool = False
    """One line for each request: method, path without its query, status, time, who. No header and no body."""
    metrics_cache_seconds: Annotated[int, Meta(ge=0, le=300)] = 10
    """For how long what a scrape reads from the database is given again: many scrapers cost as much as one."""
    min_free_mb: Positive = 256
    """With less room than this where the home lies, ``/readyz`` says that the server is not ready."""
    otlp_endpoint: str = ""
    """Where traces go (OTLP over HTTP): ``http://collector:4318``; empty for none. It needs the extra ``uwu[otel]``;
    headers, as ever, by ``OTEL_EXPORTER_OTLP_HEADERS``."""
    otlp_timeout_seconds: Annotated[int, Meta(ge=1, le=60)] = 5
    """How long the collector may take to accept a batch."""
    trace_share: Annotated[float, Meta(ge=0, le=1)] = 1.0
    """The share of traces that is kept, decided at its first span."""


class AuditSettings(Section, frozen=True):
    """How it is proven that the audit was not changed."""

    checkpoints: str = ""
    """Where signed checkpoints are kept: a file, relative to the home, or an ``s3://bucket/prefix``; empty for
    ``audit-checkpoints.jsonl``. Who can write the database should not be able to write there."""
    checkpoint_minutes: Positive = 60
    """A checkpoint is signed so long after the one before, where there are new entries."""
    checkpoint_entries: Positive = 10_000
    """With so many new entries one is signed at once."""
    key_file: str = ""
    """The PEM file of the Ed25519 key that signs, relative to the home; empty for ``audit.key``, made on first use."""
    trusted_keys: tuple[str, ...] = ()
    """PEM files of public keys whose checkpoints are believed beside the own: those of earlier keys, of other homes."""


class IacSettings(Section, frozen=True):
    """How Terraform states are kept, and how Terraform is run."""

    state_key_file: str = ""
    """The file of the key that encrypts states at rest: 32 random bytes in base64, relative to the home; empty for
    ``state.key``, made on first use. Servers of one database need the same."""
    state_key_env: str = "UWU_STATE_KEY"
    """The variable that holds the key instead of the file, where it is set."""
    old_state_key_files: tuple[str, ...] = ()
    """Files of earlier keys: what they have encrypted is still read; what is written is encrypted with the key."""
    max_state_mb: Positive = 256
    """A larger state is refused: real ones of 10,000 resources have some 30 MB, and a whole one is held in memory."""
    max_package_mb: Positive = 512
    """A larger archive of a provider or a module is refused: the largest providers have some 200 MB, and a whole one is
    held in memory while it is published."""
    keep_versions: Positive = 200
    """So many versions of a state are kept in any case."""
    keep_days: Positive = 90
    """An older version is deleted so many days after it was written; the current one never is."""
    upload_minutes: Annotated[int, Meta(ge=1, le=1440)] = 15
    """How long the address of an upload holds."""
    program: str = "terraform"
    """What runs plan and apply with: ``terraform``, ``tofu``, or a path; it is looked for on the worker's PATH."""
    run_minutes: Annotated[int, Meta(ge=1, le=1440)] = 60
    """How long each program of a run may take before it is ended."""
    run_memory_mb: Annotated[int, Meta(ge=256)] = 4096
    """Memory that each program of a run may write to: Terraform and a large provider take some 1,500."""
    run_env: tuple[str, ...] = ()
    """Variables of the worker that runs see beside PATH, LANG, TZ, proxies and SSL_CERT_FILE."""
    credentials: str = "uwu.domains.iac.runs.credentials:simulated"
    """``module:function`` (Kernel) that gives runs their short-lived credentials; by default ones that open nothing."""
    policies: tuple[str, ...] = ()
    """Files or folders of rules over plans beside those that uwu ships: ``*.cedar`` and ``*.py``, relative to the home.
    Python rules may do all that uwu may."""
    github_secret_env: str = "UWU_GITHUB_SECRET"  # noqa: S105 - the name of a variable
    """The variable that holds the secret of GitHub's webhook; where it is not set, the webhook is off."""
    comments: str = "uwu.domains.iac.runs.comments:kept"
    """``module:function`` (Kernel) that comments on pull requests; by default what would be said is kept in the run's
    log."""


class LimitSettings(Section, frozen=True):
    """How much one caller may ask. Counted by each process in its own memory; 0 takes a limit away."""

    requests_per_minute: Annotated[int, Meta(ge=0)] = 3000
    """Of one principal. Whoever holds the home itself is not counted."""
    anonymous_per_minute: Annotated[int, Meta(ge=0)] = 300
    """Of one address that has not signed in."""
    sign_in_per_minute: Annotated[int, Meta(ge=0)] = 30
    """Attempts to sign in of one address."""
    burst_seconds: Annotated[int, Meta(ge=1, le=60)] = 20
    """A caller who was quiet may ask for so many seconds' worth at once."""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything that can be set, with its default."""

    home: str
    organization: str = ""
    """The name shown in the console."""
    database_url: str = ""
    """A SQLAlchemy URL: empty for ``$UWU_HOME/state.db``, or ``postgresql+psycopg://...``."""
    estate: tuple[str, ...] = ("estate",)
    """Folders or files of declared entities; relative ones are under the home."""
    aws: AwsSettings = AwsSettings()
    inventory: InventorySettings = InventorySettings()
    jobs: JobsSettings = JobsSettings()
    http: HttpSettings = HttpSettings()
    access: AccessSettings = AccessSettings()
    oidc: OidcSettings = OidcSettings()
    console: ConsoleSettings = ConsoleSettings()
    lake: LakeSettings = LakeSettings()
    trail: TrailSettings = TrailSettings()
    query: QuerySettings = QuerySettings()
    ownership: OwnershipSettings = OwnershipSettings()
    catalog: CatalogSettings = CatalogSettings()
    drift: DriftSettings = DriftSettings()
    rules: RulesSettings = RulesSettings()
    plans: PlansSettings = PlansSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    notify: NotifySettings = NotifySettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    limits: LimitSettings = LimitSettings()
    audit: AuditSettings = AuditSettings()
    iac: IacSettings = IacSettings()
    detect: DetectSettings = DetectSettings()

    @property
    def home_path(self) -> Path:
        return Path(self.home)

    @property
    def state_url(self) -> str:
        """The URL of the state database."""
        return self.database_url or f"sqlite:///{self.home_path / 'state.db'}"

    @property
    def jobs_url(self) -> str:
        """The URL of the jobs database: a second SQLite file beside the state, or a schema of the same PostgreSQL."""
        if not self.state_url.startswith("sqlite"):
            return self.state_url
        return self.state_url.rsplit("/", 1)[0] + "/jobs.db"

    @property
    def warehouse(self) -> str:
        """The lake's root: an absolute path or an s3:// prefix."""
        return self.lake.warehouse or str(self.home_path / "lake")

    @property
    def estate_paths(self) -> tuple[Path, ...]:
        return tuple(p if p.is_absolute() else self.home_path / p for p in map(Path, self.estate))


def default_home() -> Path:
    """``$UWU_HOME``, or ``~/.uwu``."""
    return Path(os.environ.get("UWU_HOME") or Path.home() / ".uwu").expanduser().absolute()


def load(home: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """The settings of ``home``. Raises ``Misconfigured`` with file and key where one does not fit."""
    env = os.environ if environ is None else environ
    home = (home or default_home()).absolute()
    path = home / "uwu.toml"
    raw: dict[str, Any] = {}
    if path.exists():
        try:
            raw = tomllib.loads(path.read_text("utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise Misconfigured(
                f"this is not TOML: {error}", code="settings-syntax", place=str(path), hint="TOML 1.0: https://toml.io"
            ) from None
    raw["home"] = str(home)
    _override(raw, env)
    try:
        return msgspec.convert(raw, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise Misconfigured(
            f"a setting does not fit: {error}",
            code="settings-invalid",
            place=str(path),
            hint="docs/reference/settings.md lists every key, its type and its default",
        ) from None


def _override(raw: dict[str, Any], env: Mapping[str, str]) -> None:
    for field in msgspec.structs.fields(Settings):
        if field.name == "home":
            continue
        section = _section(field.type)
        if section is not None:
            _override_section(raw, field.name, section, f"UWU_{field.name}", env)
        else:
            value = env.get(f"UWU_{field.name}".upper())
            if value is not None:
                raw[field.name] = _text(value, field.type)


def _override_section(
    table: dict[str, Any], key: str, section: type[Section], prefix: str, env: Mapping[str, str]
) -> None:
    for field in msgspec.structs.fields(section):
        variable = f"{prefix}_{field.name}".upper().replace("-", "_")
        named = _named(field.type)
        if named is not None:  # a table of tables: those that the file names
            inner = _table(_table(table.get(key)).get(field.name))
            for name in inner:
                _override_section(inner, name, named, f"{variable}_{name}", env)
        elif (value := env.get(variable)) is not None:
            table.setdefault(key, {})[field.name] = _text(value, field.type)


def _table(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _named(kind: Any) -> type[Section] | None:
    """The section of each table where ``kind`` is a table of tables."""
    return _section(kind.__args__[1]) if getattr(kind, "__origin__", None) is dict else None


def _section(kind: Any) -> type[Section] | None:
    return kind if isinstance(kind, type) and issubclass(kind, Section) else None


def _text(value: str, kind: Any) -> Any:
    if getattr(kind, "__origin__", None) is tuple:
        return [part.strip() for part in value.split(",") if part.strip()]
    if getattr(kind, "__origin__", None) is dict:
        pairs = (part.partition("=") for part in value.split(",") if part.strip())
        return {name.strip(): told.strip() for name, _, told in pairs}
    return value
