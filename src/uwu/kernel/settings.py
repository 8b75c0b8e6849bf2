"""One TOML file and UWU_* variables -> one frozen Settings.

The file is ``$UWU_HOME/uwu.toml``. A field ``name`` of a section ``section`` is overridden by
``UWU_SECTION_NAME``; a field at the top by ``UWU_NAME``. Unknown keys are refused with their place.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

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
    external_id: str = ""
    """The ExternalId sent with AssumeRole; empty sends none."""
    home_region: str = "us-east-1"
    """Where global services and Organizations are asked."""
    regions: tuple[str, ...] = ("us-east-1",)
    """The regions that are observed in each account."""
    connect_timeout_seconds: Positive = 5
    read_timeout_seconds: Positive = 30
    max_attempts: Positive = 4
    """Tries of one call, the first included, with the adaptive retry mode of botocore."""
    concurrency: Positive = 8
    """Shards (account, region, service) observed at the same time by one worker."""


class HttpSettings(Section, frozen=True):
    """Where ``uwu serve`` listens."""

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8420


class LakeSettings(Section, frozen=True):
    """Where event tables are kept."""

    warehouse: str = ""
    """A folder or an s3:// prefix; empty for ``$UWU_HOME/lake``."""
    batch_events: Positive = 100_000
    """Events in one committed batch; 100-250 thousand bounds memory to about 1 GB."""


class QuerySettings(Section, frozen=True):
    """Limits of one ``uwu query``."""

    memory_mb: Positive = 1024
    timeout_seconds: Positive = 30
    max_rows: Positive = 10_000


class OwnershipSettings(Section, frozen=True):
    """Which tags name an owner."""

    tags: tuple[str, ...] = ("uwu:owner", "owner", "team", "service", "app")
    """Tag keys, strongest first; a value names a group, or an entity whose owner is meant."""


class DriftSettings(Section, frozen=True):
    """When silence becomes a fact of its own."""

    stale_after_hours: Positive = 24
    """A finding whose source has not been observed for so long is stale: neither open nor closed is known."""


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
    jobs: JobsSettings = JobsSettings()
    http: HttpSettings = HttpSettings()
    lake: LakeSettings = LakeSettings()
    query: QuerySettings = QuerySettings()
    ownership: OwnershipSettings = OwnershipSettings()
    drift: DriftSettings = DriftSettings()

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
            for sub in msgspec.structs.fields(section):
                value = env.get(f"UWU_{field.name}_{sub.name}".upper())
                if value is not None:
                    raw.setdefault(field.name, {})[sub.name] = _text(value, sub.type)
        else:
            value = env.get(f"UWU_{field.name}".upper())
            if value is not None:
                raw[field.name] = _text(value, field.type)


def _section(kind: Any) -> type[Section] | None:
    return kind if isinstance(kind, type) and issubclass(kind, Section) else None


def _text(value: str, kind: Any) -> Any:
    if getattr(kind, "__origin__", None) is tuple:
        return [part.strip() for part in value.split(",") if part.strip()]
    return value
