"""The verification: every chain of the declared trails walked, every hour judged, every fault kept."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from uwu.domains.trail import ingest
from uwu.domains.trail import sources as trail_sources
from uwu.domains.trail.digests import chain, ledger, sources
from uwu.domains.trail.digests.chain import HOUR, Walk
from uwu.domains.trail.digests.file import Chain, Named
from uwu.domains.trail.digests.ledger import DELIVERED, LATE, MISSING, PROVEN, Hour
from uwu.kernel import codec
from uwu.kernel.errors import BadInput, Problem, UwuError
from uwu.kernel.jobs import Job, Run
from uwu.kernel.runtime import Kernel

FIRST = timedelta(days=7)
"""How far back a verification looks that has none before it."""
AGAIN = 3 * HOUR
"""What is looked at again each time: its digests and log files may have come late."""
MOST_DAYS = 400

_LOG = re.compile(r"_CloudTrail_[a-z0-9-]+_(\d{8}T\d{4})Z_[A-Za-z0-9]+\.json\.gz$")

Progress = Callable[[str, int, int], None]


class Verified(msgspec.Struct, kw_only=True):
    """What a verification found."""

    chains: int = 0
    digests: int = 0
    """Whose signatures fit."""
    logs: int = 0
    """As a digest tells them."""
    hours: int = 0
    proven: int = 0
    delivered: int = 0
    missing: int = 0
    faults: int = 0
    tampering: int = 0
    """Of the faults, those that somebody must have made."""
    problems: list[Problem] = msgspec.field(default_factory=list)
    """Chains that could not be read: of them nothing is concluded."""


def buckets(kernel: Kernel) -> list[str]:
    """The declared sources that lie in S3: a folder's files have lost the signatures."""
    return [source for source in ingest.declared_sources(kernel) if source.startswith("s3://")]


def run(
    kernel: Kernel,
    given: Sequence[str],
    since: datetime | None = None,
    *,
    now: datetime | None = None,
    progress: Progress = lambda _stage, _done, _total: None,
) -> Verified:
    """Verifies the trails at ``given`` from ``since``, or from where the last verification ended.

    A chain that cannot be read costs only itself. Raises ``BadInput`` for a time that lies too far back, and the first
    error where no source could be listed.
    """
    now = now or codec.now()
    if since is not None and not timedelta() < now - since <= timedelta(days=MOST_DAYS):
        raise BadInput(
            f"a verification begins within the last {MOST_DAYS} days", code="time-invalid", hint="--since 2026-01-01"
        )
    with kernel.db.read() as connection:
        checked = ledger.checked(connection)
    done = Verified()
    errors: list[UwuError] = []
    first = since or now - FIRST
    places: defaultdict[Place, _Place] = defaultdict(_Place)
    for source in given:
        progress(f"listing {source}", 0, 0)
        try:
            _look(kernel, source, first, now, places)
        except UwuError as error:
            errors.append(error)
            done.problems.append(error.problem)
    if errors and len(errors) == len(given):
        raise errors[0]
    if not errors:  # where a source is not seen, what it does not hold is no loss
        for place in checked:
            places[place] = places[place]
    store, keys = sources.S3Store(kernel), sources.CloudTrailKeys(kernel)
    for count, (place, held) in enumerate(sorted(places.items(), key=lambda each: each[0])):
        progress("verifying", count, len(places))
        earliest, latest = checked.get(place, (now, first))
        begin = since or max(first, latest - AGAIN)
        known = earliest < ledger.floor(begin)
        threads = kernel.settings.aws.concurrency
        try:
            walks = [
                chain.walk(store, keys, each, [n for n in named if n.at > begin], begin, threads=threads)
                for each, named in held.chains.items()
            ]
        except UwuError as error:
            done.problems.append(error.problem)
            continue
        _keep(kernel, place, walks, held.logs, begin, now, known=known, done=done)
    return done


Place = tuple[str, str]
"""Account and region."""


class _Place(msgspec.Struct):
    """What lies there of an account and region."""

    chains: dict[Chain, list[Named]] = msgspec.field(default_factory=dict)
    logs: defaultdict[str, defaultdict[datetime, list[str]]] = msgspec.field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )
    """By bucket and hour of delivery."""


def _look(kernel: Kernel, source: str, first: datetime, now: datetime, places: defaultdict[Place, _Place]) -> None:
    for each, named in sources.chains(kernel, source, first - HOUR, now).items():
        places[each.account, each.region].chains[each] = named
    bucket, _ = trail_sources.split(source)
    for place, at, key in _delivered(kernel, source, first, now):
        places[place].logs[bucket][at].append(key)


def _keep(
    kernel: Kernel,
    place: Place,
    walks: Sequence[Walk],
    logs: Mapping[str, Mapping[datetime, list[str]]],
    begin: datetime,
    now: datetime,
    *,
    known: bool,
    done: Verified,
) -> None:
    """Judges the hours by each bucket on its own: one trail may prove what another lost."""
    judged: list[list[Hour]] = []
    faults = [fault for walk in walks for fault in walk.all_faults]
    for bucket in sorted({walk.chain.bucket for walk in walks} | set(logs)) or [""]:
        of = [walk for walk in walks if walk.chain.bucket == bucket]
        hours, unlisted = ledger.judge(*place, of, logs.get(bucket, {}), begin, now - LATE, known=known)
        judged.append(hours)
        faults += unlisted
    hours = ledger.best(judged)
    with kernel.db.write() as connection:
        ledger.save(connection, *place, hours, faults, begin, now)
    done.chains += len(walks)
    done.digests += sum(len(walk.proofs) for walk in walks)
    done.logs += sum(len(proof.valid) for walk in walks for proof in walk.proofs)
    done.hours += len(hours)
    done.proven += sum(hour.state == PROVEN for hour in hours)
    done.delivered += sum(hour.state == DELIVERED for hour in hours)
    done.missing += sum(hour.state == MISSING for hour in hours)
    done.faults += len(faults)
    done.tampering += sum(fault.tampering for fault in faults)


def _delivered(kernel: Kernel, source: str, since: datetime, until: datetime) -> Iterator[tuple[Place, datetime, str]]:
    """The log files that lie there: (account and region, hour of delivery, key)."""
    bucket, _ = trail_sources.split(source)
    for root in sources.roots(kernel, source, digests=False):
        account, region = root.rsplit("/", 4)[-4], root.rsplit("/", 2)[-2]
        for day in range((until.date() - since.date()).days + 1):
            prefix = f"{root}{since.date() + timedelta(days=day):%Y/%m/%d}/"
            for key in sources.keys(kernel, bucket, prefix):
                told = _LOG.search(key)
                if told is not None:
                    at = datetime.strptime(told[1], "%Y%m%dT%H%M").replace(tzinfo=UTC)
                    yield (account, region), ledger.floor(at), key


# ---- the job


def _job(given: Run, arguments: dict[str, Any]) -> dict[str, Any]:
    since = str(arguments.get("since") or "")
    result = given.step(_step, given, since, name="verify")
    for problem in result["problems"]:
        given.log(f"{problem['message']} [{problem['code']}]", level="warning")
    return result


def _step(given: Run, since: str) -> dict[str, Any]:
    at = None
    if since:
        try:
            at = codec.parse_time(since if "T" in since else f"{since}T00:00:00Z")
        except ValueError as error:
            raise BadInput(str(error), code="time-invalid", hint="2026-03-10 or 2026-03-10T14:00:00Z") from None
    found = buckets(given.kernel)
    if not found:
        given.log("no trail in S3 is declared: a folder's files have lost their signatures", level="warning")
    return codec.builtins(run(given.kernel, found, at, progress=given.progress))


JOBS = (Job("trail.verify", _job, concurrency=1),)
