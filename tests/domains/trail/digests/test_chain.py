"""Chains of digests: as the AWS CLI judges them, and what it does not see."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.domains.trail.digests.chains import ACCOUNT, HOME, HOUR, START, Chained, validate
from uwu.domains.trail import DOMAIN
from uwu.domains.trail.digests import chain, sources
from uwu.domains.trail.digests.chain import ABSENT, MISSING_LOG, STOPPED, UNLINKED, Walk
from uwu.kernel import codec
from uwu.kernel.errors import Unavailable
from uwu.kernel.runtime import Kernel
from uwu.kernel.settings import AwsSettings, Settings

if TYPE_CHECKING:
    from uwu.sim.server import MotoServer

HOURS = 6

WHY = {
    "digest-absent": "not found",
    "digest-moved": "has been moved from its original location",
    "digest-signature": "signature verification failed",
    "digest-format": "invalid format",
    "log-absent": "not found",
    "log-hash": "hash value doesn't match",
    "log-trailing": "unexpected data after end of compressed stream",
    "log-format": "invalid format",
}
"""Our codes as the AWS CLI says them."""


@pytest.fixture
def home(
    aws_server: MotoServer, sqlite_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Kernel]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    folder = tmp_path / "home"
    folder.mkdir()
    shutil.copy(sqlite_template, folder / "state.db")
    opened = Kernel(Settings(home=str(folder), aws=AwsSettings(endpoint_url=aws_server.url, max_attempts=1)), (DOMAIN,))
    yield opened
    opened.close()


@pytest.fixture
def chained(aws_server: MotoServer) -> Chained:
    return Chained(aws_server.url)


def walked(home: Kernel, chained: Chained, hours: int = HOURS) -> list[Walk]:
    since, until = START - HOUR, START + hours * HOUR
    store, keys = sources.S3Store(home), sources.CloudTrailKeys(home)
    found = sources.chains(home, chained.source, since, until)
    return [chain.walk(store, keys, each, named, since) for each, named in found.items()]


def invalid(walks: list[Walk]) -> set[tuple[str, str]]:
    """(key, why) in the words of the AWS CLI, of what it can see."""
    faults = [fault for walk in walks for fault in walk.all_faults]
    return {(f.key, WHY[f.code]) for f in faults if f.code in WHY and not f.inferred}


def codes(walks: list[Walk]) -> list[tuple[str, str]]:
    return [(fault.code, fault.key) for walk in walks for fault in walk.all_faults]


def test_a_whole_chain_is_proven_as_the_aws_cli_proves_it(home: Kernel, chained: Chained):
    chained.chain(0, HOURS)
    (walk,) = walked(home, chained)
    assert walk.all_faults == []
    assert [proof.digest.end for proof in walk.proofs] == [START + n * HOUR for n in reversed(range(HOURS))]
    assert {log.key for proof in walk.proofs for log in proof.valid} == {log.key for log in chained.logs}
    theirs, said = validate(chained, HOURS)
    assert theirs == set()
    assert f"{HOURS}/{HOURS} digest files valid" in said
    assert f"{len(chained.logs)}/{len(chained.logs)} log files valid" in said


def _corrupt(chained: Chained, what: str) -> None:
    """One fault of each kind that both see."""
    log = chained.logs[5].key
    if what == "log changed":
        chained.change(log, lambda _: gzip.compress(codec.encode({"Records": []})))
    elif what == "log deleted":
        chained.delete(log)
    elif what == "log with data behind it":
        chained.change(log, lambda body: body + b"more")
    elif what == "log that is no gzip":
        chained.change(log, gzip.decompress)
    elif what == "log cut off":
        chained.change(log, lambda body: body[:-12])
    elif what == "digest changed":
        chained.change(chained.key(3), lambda b: gzip.compress(gzip.decompress(b).replace(b"SHA-256", b"SHA-255")))
    elif what == "digest deleted":
        chained.delete(chained.key(3))
    elif what == "newest digest without its signature":
        chained.change(chained.key(HOURS - 1), lambda body: body, metadata={})
    elif what == "digest that is no gzip":
        chained.change(chained.key(3), gzip.decompress)
    elif what == "digest of another hour":
        held = chained.s3.get_object(Bucket=chained.bucket, Key=chained.key(1))
        chained.put(chained.key(3), held["Body"].read(), held["Metadata"])
    elif what == "digest and logs":
        chained.delete(chained.key(4))
        chained.delete(chained.logs[0].key)
        chained.change(chained.logs[2].key, lambda body: body + b"\0")
        chained.change(chained.key(2), lambda body: body, metadata={"signature": "00", "signature-algorithm": "x"})
    else:
        raise AssertionError(what)


@pytest.mark.parametrize(
    "what",
    [
        "log changed",
        "log deleted",
        "log with data behind it",
        "log that is no gzip",
        "log cut off",
        "digest changed",
        "digest deleted",
        "newest digest without its signature",
        "digest that is no gzip",
        "digest of another hour",
        "digest and logs",
    ],
)
def test_what_was_altered_is_told_as_the_aws_cli_tells_it(home: Kernel, chained: Chained, what: str):
    chained.chain(0, HOURS)
    _corrupt(chained, what)
    walks = walked(home, chained)
    theirs, said = validate(chained, HOURS)
    assert theirs, said
    assert invalid(walks) == theirs
    good = sum(len(walk.proofs) for walk in walks)
    assert f"{good}/{HOURS} digest files valid" in said
    assert f"{sum(len(p.valid) for walk in walks for p in walk.proofs)}/" in said


def test_each_of_consecutive_deleted_digests_is_named(home: Kernel, chained: Chained):
    chained.chain(0, HOURS)
    for n in (2, 3, 4):
        chained.delete(chained.key(n))
    (walk,) = walked(home, chained)
    assert codes([walk]) == [(ABSENT, chained.key(n)) for n in (4, 3, 2)]
    assert [fault.inferred for fault in walk.faults] == [False, True, True]
    assert (walk.faults[-1].since, walk.faults[0].until) == (START + 1 * HOUR, START + 4 * HOUR)
    assert not any(fault.tampering for fault in walk.faults)
    theirs, _ = validate(chained, HOURS)
    assert theirs == {(chained.key(4), "not found")}  # the AWS CLI names the first alone


def test_a_wrong_hash_of_the_digest_before_is_found(home: Kernel, chained: Chained):
    """Both digests bear good signatures: only what the later tells of the earlier does not fit."""
    before = chained.chain(0, 3)

    def lie(content: dict[str, Any]) -> None:
        if content["digestS3Object"] == chained.key(3):
            content["previousDigestHashValue"] = "0" * 64

    chained.chain(3, 3, previous=before, alter=lie)
    walks = walked(home, chained)
    assert codes(walks) == [(UNLINKED, chained.key(2))]
    assert walks[0].faults[0].tampering
    assert len(walks[0].proofs) == HOURS
    assert validate(chained, HOURS)[0] == set()  # the AWS CLI never compares them


def test_a_signature_that_the_next_digest_does_not_tell_is_found(home: Kernel, chained: Chained):
    before = chained.chain(0, 3)
    assert before is not None
    chained.chain(0, 3)  # the same hours again, signed as well as before
    chained.chain(3, 3, previous=before)
    assert codes(walked(home, chained)) == [(UNLINKED, chained.key(2))]
    assert validate(chained, HOURS)[0] == set()


def test_a_trail_that_was_off_is_a_gap_and_no_fault(home: Kernel, chained: Chained):
    chained.chain(0, 2)
    chained.chain(4, 2)
    (walk,) = walked(home, chained)
    assert codes([walk]) == [(STOPPED, chained.key(4))]
    assert (walk.faults[0].since, walk.faults[0].until) == (START + HOUR, START + 3 * HOUR)
    assert not walk.faults[0].tampering
    assert len(walk.proofs) == 4
    theirs, said = validate(chained, HOURS)
    assert theirs == set()
    assert "No log files were delivered by CloudTrail between" in said


def test_an_unknown_public_key_proves_nothing(home: Kernel, chained: Chained):
    def alter(content: dict[str, Any]) -> None:
        content["digestPublicKeyFingerprint"] = "f" * 32

    chained.chain(0, 1, alter=alter)
    (walk,) = walked(home, chained)
    assert codes([walk]) == [("digest-key", chained.key(0))]
    assert walk.proofs == []
    theirs, _ = validate(chained, HOURS)
    assert {key for key, _ in theirs} == {chained.key(0)}


def test_an_organization_trail_is_walked_for_each_account(home: Kernel, aws_server: MotoServer):
    import botocore.session

    session = botocore.session.get_session()
    organizations: Any = session.create_client("organizations", HOME, endpoint_url=aws_server.url)
    try:
        organization = organizations.create_organization(FeatureSet="ALL")["Organization"]["Id"]
    except organizations.exceptions.AlreadyInOrganizationException:
        organization = organizations.describe_organization()["Organization"]["Id"]
    chained = Chained(aws_server.url, organization=organization)
    cloudtrail: Any = session.create_client("cloudtrail", HOME, endpoint_url=aws_server.url)
    flags = {"IsMultiRegionTrail": True, "IsOrganizationTrail": True}
    arn = cloudtrail.create_trail(Name=chained.trail.name, S3BucketName=chained.bucket, **flags)["TrailARN"]
    chained.chain(0, HOURS)
    chained.delete(chained.key(3))
    walks = walked(home, chained)
    assert [(walk.chain.account, walk.chain.prefix) for walk in walks] == [(ACCOUNT, f"AWSLogs/{organization}/")]
    assert codes(walks) == [(ABSENT, chained.key(3))]
    assert validate(chained, HOURS, organization_trail=arn)[0] == invalid(walks)
    cloudtrail.delete_trail(Name=chained.trail.name)


def test_backfilled_digests_are_a_chain_of_their_own(home: Kernel, chained: Chained):
    chained.chain(0, HOURS)
    chained.chain(0, 3, backfilled=START + 20 * HOUR)
    chained.delete(chained.key(1, backfill=True))
    walks = walked(home, chained)
    assert [(walk.chain.backfill, len(walk.proofs)) for walk in walks] == [(False, HOURS), (True, 2)]
    assert codes(walks) == [(ABSENT, chained.key(1, backfill=True))]
    theirs, _ = validate(chained, HOURS)
    assert theirs == invalid(walks)


def test_nothing_is_concluded_where_the_bucket_does_not_answer(home: Kernel, chained: Chained):
    chained.chain(0, 2)
    (found,) = sources.chains(home, chained.source, START - HOUR, START + 2 * HOUR).items()

    class Away(sources.S3Store):
        def get(self, bucket: str, key: str) -> chain.Held:
            raise Unavailable("S3 does not answer")

    with pytest.raises(Unavailable):
        chain.walk(Away(home), sources.CloudTrailKeys(home), *found, START - HOUR)


def test_digests_are_found_from_whatever_prefix_is_declared(home: Kernel, chained: Chained):
    chained.chain(0, 1)
    root = f"AWSLogs/{ACCOUNT}/CloudTrail-Digest/{chained.region}/"
    for prefix in ("", "AWSLogs", f"AWSLogs/{ACCOUNT}/", f"AWSLogs/{ACCOUNT}/CloudTrail/", root):
        assert sources.roots(home, f"s3://{chained.bucket}/{prefix}") == [root], prefix
    window = (START - timedelta(minutes=1), START + timedelta(minutes=1))
    assert [len(named) for named in sources.chains(home, f"s3://{chained.bucket}/", *window).values()] == [1]


def test_a_missing_log_file_is_no_tampering(home: Kernel, chained: Chained):
    chained.chain(0, 1)
    chained.delete(chained.logs[0].key)
    (walk,) = walked(home, chained)
    assert codes([walk]) == [(MISSING_LOG, chained.logs[0].key)]
    assert [log.key for log in walk.proofs[0].valid] == [chained.logs[1].key]
    assert not walk.all_faults[0].tampering
