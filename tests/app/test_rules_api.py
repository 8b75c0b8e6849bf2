"""Rules and exemptions as programs and people at a terminal meet them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from tests.app.asking import ADMIN, NOBODY, Routes, person
from tests.app.console import world
from uwu.app.cli import rules
from uwu.app.client import ApiClient, Embedded
from uwu.kernel import codec, tables
from uwu.kernel.errors import BadInput, Conflict, NotFound
from uwu.kernel.runtime import Kernel

SG = world.SG_PAYMENTS
DAY = (codec.now() + timedelta(days=20)).date().isoformat()
ASKED = {"rule": "world.open", "subject": SG.urn, "until": DAY, "reason": "a load test"}


@pytest.fixture
def kernel(sqlite_kernel: Kernel) -> Iterator[Kernel]:
    opened = Kernel(sqlite_kernel.settings, (world.WORLD,))
    world.fill(opened)
    yield opened
    opened.close()


@pytest.fixture
def api(kernel: Kernel) -> Iterator[Any]:
    client = ApiClient(Embedded(kernel))
    yield client
    client.close()


def could_not_judge(kernel: Kernel) -> None:
    reasons = [{"why": "Policy was not observed", "type": world.QUEUE, "count": 14, "subjects": [world.EVIL.urn]}]
    j = tables.judgements
    with kernel.db.write() as connection:
        connection.execute(j.update().where(j.c.rule == "world.open").values(unjudged=14, reasons=reasons))


# ---- the API


def test_rules_are_listed_page_by_page_and_told_one_by_one(api: Any, kernel: Kernel) -> None:
    could_not_judge(kernel)
    whole = api.get("/rules")
    assert (whole["total"], len(whole["items"]), whole["after"]) == (5, 5, "")
    first = api.get("/rules", limit=2)
    rest = api.get("/rules", limit=500, after=first["after"])
    assert [one["id"] for one in (*first["items"], *rest["items"])] == [one["id"] for one in whole["items"]]
    told = whole["items"][0]
    assert api.get("/rules/world.open") == told
    assert (told["id"], told["theme"], told["severity"], told["open"], told["worst"]) == (
        "world.open",
        "Exposure",
        "critical",
        1,
        "critical",
    )
    assert told["unjudged"] == 14 and told["reasons"][0]["subjects"] == [world.EVIL.urn]
    assert told["why"] and told["remedy"] and told["references"] and told["judged_at"]
    with pytest.raises(NotFound):
        api.get("/rules/world.none")
    with pytest.raises(BadInput):
        api.get("/rules", after="x")


def test_an_exemption_is_made_read_and_ended(api: Any, kernel: Kernel) -> None:
    made = api.post("/exemptions", {**ASKED, "subject": "sg-payments-db"})
    assert (made["subject"], made["account"], made["ended_at"]) == (SG.urn, "", None)
    assert made["until"][:10] == (codec.now() + timedelta(days=21)).date().isoformat()
    assert api.get(f"/exemptions/{made['id']}") == made
    assert api.get("/exemptions")["items"] == [made] == api.get("/exemptions", rule="world.open")["items"]
    assert api.get("/exemptions", rule="drift.gone")["total"] == 0
    assert api.get("/findings", rule="world.open")["total"] == 0
    (hidden,) = api.get("/findings", rule="world.open", status="exempt")["items"]
    assert hidden["exemption"] == made["id"]
    ended = api.post(f"/exemptions/{made['id']}/end")
    assert ended["ended_at"] and ended["ended_by"]
    assert api.get("/findings", rule="world.open")["total"] == 1
    assert api.get("/exemptions")["total"] == 0 and api.get("/exemptions", ended=True)["total"] == 1
    with pytest.raises(Conflict):
        api.post(f"/exemptions/{made['id']}/end")
    for wrong in ("/exemptions/exemption_none", "/exemptions/exemption_none/end"):
        with pytest.raises(NotFound):
            api.get(wrong) if not wrong.endswith("/end") else api.post(wrong)


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"subject": ""}, "exemption-scope"),
        ({"account": world.PAYMENTS}, "exemption-scope"),
        ({"rule": "world.none"}, "rule-unknown"),
        ({"reason": " "}, "exemption-reason"),
        ({"until": "tomorrow"}, "time"),
        ({"until": "2999-01-01"}, "exemption-until"),
        ({"colour": "red"}, "request-invalid"),
        ({"reason": "x" * 501}, "request-invalid"),
        ({"account": "1" * 13, "subject": ""}, "request-invalid"),
    ],
)
def test_what_does_not_fit_is_refused(api: Any, changed: dict[str, str], code: str) -> None:
    with pytest.raises(BadInput) as refused:
        api.post("/exemptions", {**ASKED, **changed})
    assert refused.value.problem.code == code
    assert api.get("/exemptions", ended=True)["total"] == 0


def test_who_may_exempt_what(kernel: Kernel) -> None:
    routes = Routes(kernel)
    path = "/api/v1/exemptions"
    mira, vera = person("mira", groups=("payments",)), person("vera", groups=("storefront",))
    for who, status in ((NOBODY, 401), (person("teo"), 403), (vera, 403), (mira, 201)):
        assert routes.json(who, "POST", path, ASKED)[0] == status, who.ref
    account = {**ASKED, "subject": "", "account": world.PAYMENTS}
    assert routes.json(mira, "POST", path, account)[0] == 403
    status, made = routes.json(ADMIN, "POST", path, account)
    assert status == 201
    assert routes.json(mira, "POST", f"{path}/{made['id']}/end")[0] == 403
    assert routes.json(person("teo"), "GET", path)[1]["total"] == 2
    assert routes.json(ADMIN, "POST", f"{path}/{made['id']}/end")[0] == 200
    a = tables.audit
    with kernel.db.read() as connection:
        rows = connection.execute(sa.select(a.c.action, a.c.actor, a.c.subject, a.c.detail).order_by(a.c.seq)).all()
    told = [row for row in rows if row.action.startswith("exemption.")]
    assert [(row.action, row.actor, row.subject) for row in told] == [
        ("exemption.made", mira.ref, SG.urn),
        ("exemption.made", ADMIN.ref, world.PAYMENTS),
        ("exemption.ended", ADMIN.ref, world.PAYMENTS),
    ]
    assert told[0].detail["rule"] == "world.open" and told[0].detail["reason"] == "a load test"


# ---- the commands


def test_the_command_lists_what_has_something_to_tell(api: Any, kernel: Kernel) -> None:
    could_not_judge(kernel)
    told = rules.show(client=api)
    assert "A port is open to the internet" in told.text and "world.open" in told.text and "14" in told.text
    assert "uwu rules ID tells all of one." in told.text
    every = rules.show(all=True, client=api)
    assert "A resource has no owner" in every.text and len(every.value["items"]) == every.value["total"] == 5


def test_the_command_tells_all_of_one(api: Any, kernel: Kernel) -> None:
    could_not_judge(kernel)
    api.post("/exemptions", {**ASKED, "subject": "", "account": world.WEB})
    text = rules.show("world.open", client=api).text
    for part in (
        "tries every password",
        "critical",
        "revoke-security-group-ingress",
        "CIS AWS 3.0 5.2",
        "1 open: uwu findings --rule world.open",
        "Not judged: 14",
        "Policy was not observed",
        f"account {world.WEB} until {DAY}: a load test",
    ):
        assert part in text
    with pytest.raises(NotFound) as refused:
        rules.show("nothing-like-it", client=api)
    assert refused.value.problem.hint == "uwu rules --all lists them all"
    with pytest.raises(NotFound) as refused:
        rules.show("world.opne", client=api)
    assert refused.value.problem.hint == "did you mean world.open? uwu rules --all lists them all"


def test_the_command_exempts_lists_and_ends(api: Any) -> None:
    assert "Nothing is exempt." in rules.exemptions(client=api).text
    made = rules.exempt("world.*", subject="sg-payments-db", until=DAY, reason="a load test", client=api)
    assert f"{SG.urn} is exempt from world.* until {DAY}." in made.text
    id = made.value["id"]
    assert f"uwu rules end {id}" in made.text
    listed = rules.exemptions(rule="world.open", client=api).text
    assert DAY in listed and "a load test" in listed and id in listed
    assert "Nothing is exempt from drift.gone." in rules.exemptions(rule="drift.gone", client=api).text
    assert "is no longer exempt from world.*" in rules.end(id, client=api).text
    assert "ended" in rules.exemptions(ended=True, client=api).text


def test_before_anything_was_judged_it_says_how_to_begin(sqlite_kernel: Kernel) -> None:
    client: Any = ApiClient(Embedded(Kernel(sqlite_kernel.settings, (world.WORLD,))))
    assert "uwu sync" in rules.show(client=client).text
    assert "It has not judged yet." in rules.show("world.open", client=client).text
    client.close()
