"""The whole loop in small: one command simulates, observes, finds and explains; none is missed, none is made up."""

from __future__ import annotations

from pathlib import Path

from tests.acceptance.conftest import Synced
from tests.acceptance.world import SEED, Small, environment, uwu
from uwu.kernel import codec, drift
from uwu.sim import judge

TOLD = {
    "accounts", "regions", "resources", "relations", "entities", "events", "findings", "owned_pct", "drifts_seeded",
    "drifts_found", "drifts_explained", "false_findings", "seconds",
}  # fmt: skip


def test_the_demo_finds_and_explains_every_change_and_nothing_else(tmp_path: Path, small: Small) -> None:
    home = tmp_path / "home"
    said = uwu(environment(home, None), "demo", "--once", "--json", "--accounts", "5", "--resources", "150")
    told = said.json
    assert said.status == 0, (told["missing"], told["wrong"], told["false"])
    assert told.keys() >= TOLD
    assert (told["accounts"], told["regions"]) == (5, 3)
    assert told["drifts_seeded"] == told["drifts_found"] == told["drifts_explained"] == 14
    assert told["false_findings"] == told["postures_false"] == 0 and told["owned_pct"] >= 99
    assert told["postures_found"] == told["postures_planted"] >= 9
    assert told["resources"] > 150 and told["relations"] > 150 and told["entities"] > 60 and told["events"] > 300
    assert told["seconds"].keys() == {"start", "simulate", "sync", "judge", "total"}
    assert all(seconds > 0 for seconds in told["seconds"].values())
    sentences = told["story"]["sentences"]
    assert {s["about"] for s in sentences} >= {"happened", "declared", "observed", "owned", "fix"}, sentences

    # the server is gone; what was found stays, and is another organisation's than that of another seed
    after = uwu(environment(home, None), "findings", "--json", "--limit", "500").json
    assert len(after["items"]) == told["findings"]
    other = {drift.subject for drift in small.organisation.ledger}
    assert not other & {finding["subject"] for finding in after["items"]}


def test_another_seed_holds_as_well_and_syncing_again_changes_nothing(small: Small, synced: Synced) -> None:
    with synced.kernel.db.read() as connection:
        found = [codec.builtins(finding) for finding in drift.findings(connection, limit=500).items]
    verdict = judge(small.organisation.ledger, found, small.organisation.postures)
    assert verdict.drifts_explained == verdict.drifts_seeded == 14, (SEED, verdict.missing, verdict.wrong)
    assert verdict.false_findings == verdict.postures_false == 0, verdict.false
    assert verdict.postures_found == verdict.postures_planted >= 9, verdict
    assert synced.result["ownership"]["owned_pct"] >= 99
    assert {job for job, told in synced.result.items() if told.get("problems")} == set()

    again = uwu(synced.env, "sync", "--json").json
    unchanged = {
        "catalog.load": ("changed", "orphaned"),
        "iac.read": ("changed",),
        "inventory.sync": ("added", "changed", "removed"),
        "trail.ingest": ("events", "objects"),
        "ownership": ("changed",),
        "drift": ("opened", "closed"),
    }
    assert {job: [again[job][name] for name in names] for job, names in unchanged.items()} == {
        job: [0] * len(names) for job, names in unchanged.items()
    }
