"""Ownership by rules of the estate and by CODEOWNERS, disputes that are settled once, and coverage as a number."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from uwu.app.cli.own import own as own_command
from uwu.app.client import ApiClient, Embedded
from uwu.domains.catalog import own
from uwu.domains.catalog.codeowners import Files
from uwu.domains.catalog.observe import load_estate
from uwu.kernel import codec, declared, graph, ownership, tables
from uwu.kernel.errors import BadInput, NotFound
from uwu.kernel.model import Cell, CellStatus, Declaration, Outcome, Resource
from uwu.kernel.runtime import Kernel

PROD, TEST = "111111111111", "222222222222"
PEOPLE = """\
apiVersion: backstage.io/v1alpha1
kind: Group
metadata: {name: payments, annotations: {github.com/team-slug: acme/pay-core}}
spec: {type: team, children: []}
---
apiVersion: backstage.io/v1alpha1
kind: Group
metadata: {name: search}
spec: {type: team, children: []}
---
apiVersion: uwu.dev/v1alpha1
kind: Account
metadata: {name: payments-prod}
spec: {accountId: "111111111111", owner: search, environment: production}
"""


@pytest.fixture
def api(kernel: Kernel) -> Iterator[Any]:
    client = ApiClient(Embedded(kernel))
    yield client
    client.close()


def queue(name: str, account: str = PROD, region: str = "eu-west-1", **tags: str) -> Resource:
    urn = f"arn:aws:sqs:{region}:{account}:{name}"
    return Resource(urn=urn, type="aws_sqs_queue", account=account, region=region, name=name, tags=tags, attributes={})


LEDGER, CARTS, STACKED, IDLE, FAR = (
    queue("ledger-in"),
    queue("carts", app="carts"),
    queue("made", **{"aws:cloudformation:stack-name": "Ledger-Prod"}),
    queue("idle"),
    queue("far", TEST),
)


def rule(name: str, owner: str, match: str, **more: Any) -> str:
    rest = "".join(f"  {key}: {value}\n" for key, value in more.items())
    return (
        f"apiVersion: uwu.dev/v1alpha1\nkind: OwnershipRule\nmetadata: {{name: {name}}}\n"
        f"spec:\n  owner: {owner}\n  match: {match}\n{rest}"
    )


def write(kernel: Kernel, *documents: str) -> Path:
    (folder,) = kernel.settings.estate_paths
    folder.mkdir(exist_ok=True)
    (folder / "rules.yaml").write_text("---\n".join((PEOPLE, *documents)))
    return folder


def observe(kernel: Kernel, *resources: Resource) -> None:
    with kernel.db.write() as connection:
        for account in {one.account for one in resources}:
            cell = Cell(source="aws", account=account, region="eu-west-1", type="aws_sqs_queue")
            outcome = Outcome(cell=cell, status=CellStatus.COMPLETE, observed_at=codec.now())
            graph.observe(connection, outcome, [one for one in resources if one.account == account], [])


def settle(kernel: Kernel) -> dict[str, tuple[str, str, int]]:
    """By name: owner, strength and how much disagrees, once the estate is read and ownership is settled."""
    assert load_estate(kernel)["problems"] == []
    ownership.settle(kernel)
    with kernel.db.read() as connection:
        rows = connection.execute(tables.ownership.select()).all()
    return {row.subject.rpartition(":")[2]: (row.owner, row.strength, len(row.conflicts)) for row in rows}


@pytest.mark.parametrize(
    ("match", "owned"),
    [
        ("{name: 'ledger-*'}", {"ledger-in"}),
        ("{name: ['ledger-*', IDLE]}", {"ledger-in", "idle"}),
        ("{account: 'payments-*'}", {"ledger-in", "carts", "made", "idle"}),
        ("{account: '222222222222'}", {"far"}),
        ("{tags: {APP: 'car*'}}", {"carts"}),
        ("{stack: ledger-*}", {"made"}),
        ("{arn: 'arn:aws:sqs:*:*:[il]*'}", {"ledger-in", "idle"}),
        ("{type: aws_sqs_queue, region: 'us-*'}", set()),
        ("{state: payments}", {"idle"}),
        ("{state: 'stack:default/pay*', name: carts}", set()),
    ],
)
def test_what_a_rule_matches(sqlite_kernel: Kernel, match: str, owned: set[str]) -> None:
    observe(sqlite_kernel, LEDGER, CARTS, STACKED, IDLE, FAR)
    declared_by_a_state(sqlite_kernel, IDLE.urn)
    write(sqlite_kernel, rule("some", "payments", match))
    found = settle(sqlite_kernel)
    assert {name for name, (owner, strength, _) in found.items() if strength == "rule"} == owned
    assert all(found[name][0] == "group:default/payments" for name in owned)


def declared_by_a_state(kernel: Kernel, urn: str) -> None:
    declaration = Declaration(
        source="stack:default/payments",
        address="aws_sqs_queue.idle",
        place="terraform.tfstate#1",
        urn=urn,
        type="aws_sqs_queue",
        declared_type="aws_sqs_queue",
        attributes={},
        tags={},
    )
    with kernel.db.write() as connection:
        declared.replace_declarations(connection, declaration.source, [declaration])


def test_the_most_specific_rule_decides_and_equals_contradict(kernel: Kernel) -> None:
    observe(kernel, LEDGER, CARTS, FAR)
    write(
        kernel,
        rule("all", "search", "{account: payments-prod}"),
        rule("ledgers", "payments", "{account: payments-prod, name: 'ledger-*'}"),
        rule("one", "payments", "{name: 'fa*'}"),
        rule("two", "search", "{name: '*ar'}"),
        rule("longer", "payments", "{name: cart*}"),
    )
    found = settle(kernel)
    assert found["ledger-in"] == ("group:default/payments", "rule", 1), "its account's owner says otherwise"
    assert found["far"][1:] == ("rule", 1), "two rules say as much"
    assert found["carts"] == ("group:default/search", "rule", 0), "the account is spelled out, the name is not"


@pytest.mark.parametrize(
    ("match", "said"),
    [("{}", "every resource"), ("{name: '*', type: ['**']}", "every resource"), ("{nam: x}", "nam")],
)
def test_a_rule_that_means_nothing_is_refused_with_its_line(sqlite_kernel: Kernel, match: str, said: str) -> None:
    write(sqlite_kernel, rule("bad", "payments", match))
    (problem,) = load_estate(sqlite_kernel)["problems"]
    assert said in problem["message"]
    assert "rules.yaml:" in problem["place"]
    assert problem["hint"]


def test_saying_once_who_owns_it_settles_a_dispute_until_the_evidence_changes(kernel: Kernel, api: Any) -> None:
    observe(kernel, queue("ledger-in", team="search"), CARTS)
    folder = write(kernel, rule("ledgers", "payments", "{name: 'ledger-*'}"))
    assert settle(kernel)["ledger-in"] == ("group:default/payments", "rule", 2)
    told = own_command(conflicts=True, client=api)
    assert told.value["total"] == 1 and "ledger-in" in told.text and "carts" not in told.text

    shown = own_command("ledger-in", to="payments", reason="it is theirs", estate=folder, dry_run=True, client=api)
    assert "+    - tag group:default/search" in shown.text and not (folder / own.FILE).exists()
    done = own_command("ledger-in", to="payments", reason="it is theirs", estate=folder, client=api)
    assert done.value["written"] and (folder / own.FILE).is_file()
    assert settle(kernel)["ledger-in"] == ("group:default/payments", "estate", 0)
    again = own_command("ledger-in", to="payments", reason="it is theirs", estate=folder, client=api)
    assert "says so already" in again.text

    with kernel.db.write() as connection:
        cell = Cell(source="aws", account=PROD, region="eu-west-1", type="aws_sqs_queue")
        outcome = Outcome(cell=cell, status=CellStatus.COMPLETE, observed_at=codec.now())
        graph.observe(connection, outcome, [queue("ledger-in", team="group:default/search"), CARTS], [])
    assert settle(kernel)["ledger-in"][2] == 0, "the same evidence in other words"

    changed = own_command("ledger-in", to="search", estate=folder, client=api)
    assert "-  owner: payments" in changed.text and "+  owner: search" in changed.text
    assert settle(kernel)["ledger-in"] == ("group:default/search", "estate", 0)
    back = own_command("ledger-in", undo=True, estate=folder, client=api)
    assert back.value["written"] and not (folder / own.FILE).exists()
    assert settle(kernel)["ledger-in"] == ("group:default/payments", "rule", 2)
    with pytest.raises(NotFound):
        own_command("ledger-in", undo=True, estate=folder, client=api)


def test_a_rule_among_others_is_changed_without_touching_them(sqlite_kernel: Kernel) -> None:
    comment = "# why this is so\n"
    folder = write(
        sqlite_kernel,
        rule("first", "payments", "{name: 'x*'}"),
        comment + rule("second", "payments", f"{{arn: '{LEDGER.urn}'}}", reason="old"),
        rule("third", "search", "{name: 'y*'}"),
    )
    before = (folder / "rules.yaml").read_text()
    edit = own.give(folder, LEDGER.urn, "search", "new", [])
    edit.write()
    after = (folder / "rules.yaml").read_text()
    assert comment in after and "owner: search" in edit.diff
    words = [
        text.replace("search", "payments").replace("new", "old").replace("'", "").split() for text in (before, after)
    ]
    assert words[0] == words[1], "nothing else is said otherwise"
    own.take_back(folder, LEDGER.urn).write()
    left = (folder / "rules.yaml").read_text()
    assert "second" not in left and "first" in left and "third" in left
    assert load_estate(sqlite_kernel)["problems"] == []


def test_an_owner_whom_nobody_declared_is_refused_with_who_is_near(sqlite_kernel: Kernel, tmp_path: Path) -> None:
    folder = write(sqlite_kernel)
    with pytest.raises(BadInput) as refused:
        own.give(folder, LEDGER.urn, "paymens", "", [])
    assert refused.value.problem.code == "owner-unknown" and "payments" in refused.value.problem.hint
    with pytest.raises(BadInput) as refused:
        own.give(tmp_path / "none", LEDGER.urn, "payments", "", [])
    assert refused.value.problem.code == "estate-missing"


def test_coverage_of_ownership_is_a_number_for_each_account_and_owner(kernel: Kernel, api: Any) -> None:
    assert "uwu sync" in own_command(client=api).text
    observe(kernel, LEDGER, CARTS, IDLE, FAR)
    write(kernel, rule("ledgers", "payments", "{name: 'ledger-*'}"))
    settle(kernel)
    told = own_command(client=api)
    with kernel.db.read() as connection:
        shares = {share.account: share for share in ownership.by_account(connection)}
        owners = {held.owner: (held.resources, held.said) for held in ownership.by_owner(connection)}
    assert (shares[PROD].name, shares[PROD].owned, shares[PROD].resources) == ("payments-prod", 3, 3)
    assert (shares[TEST].owned, shares[TEST].resources, shares[TEST].pct) == (0, 1, 0.0)
    assert owners == {"group:default/payments": (1, 1), "group:default/search": (2, 0)}
    assert "75.0% of 4 resources are owned" in told.text
    assert "Nobody owns it" in own_command("far", client=api).text
    assert "ledger" in own_command("ledger-in", client=api).text


# ---- CODEOWNERS


def test_the_last_line_that_matches_decides(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".github").mkdir()
    (tmp_path / ".github" / "CODEOWNERS").write_text(
        "* @acme/platform\n/stacks/payments/ @acme/pay-core @jane\n"
        "/stacks/payments/none/\nstacks/*.tf docs@example.org\n"
    )

    def owners(path: str) -> tuple[int, tuple[str, ...]] | None:
        line = Files().deciding(tmp_path / path)
        return (line.number, line.owners) if line is not None else None

    assert owners("README.md") == (1, ("@acme/platform",))
    assert owners("stacks/payments/main.tf") == (2, ("@acme/pay-core", "@jane"))
    assert owners("stacks/payments/none/main.tf") is None, "a line without owners says nobody"
    assert owners("stacks/all.tf") == (4, ("docs@example.org",))
    assert Files().deciding(tmp_path.parent / "elsewhere.tf") is None


def test_who_reviews_a_stack_owns_what_its_state_holds(kernel: Kernel) -> None:
    observe(kernel, IDLE, CARTS)
    declared_by_a_state(kernel, IDLE.urn)
    folder = write(
        kernel,
        "apiVersion: uwu.dev/v1alpha1\nkind: Stack\nmetadata: {name: payments}\n"
        "spec: {owner: search, state: none.tfstate}\n",
    )
    (folder / "CODEOWNERS").write_text("*.yaml @acme/pay-core\n")
    assert settle(kernel)["idle"] == ("group:default/search", "state", 1), "the stack's own owner is stronger"
    with kernel.db.read() as connection:
        owned = ownership.owner_of(connection, IDLE.urn)
    assert owned is not None
    (said,) = [each for each in owned.evidence if each.kind == "codeowners"]
    assert said.owner == "group:default/payments" and said.source.endswith("CODEOWNERS:1 for stack:default/payments")
