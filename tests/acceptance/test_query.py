"""Questions that people ask of a whole organisation, in SQL, with Steampipe's names."""

from __future__ import annotations

from typing import Any

import pytest

from tests.acceptance.conftest import Synced
from tests.acceptance.world import Small, rows, uwu


def test_who_has_a_database_open_to_the_world(synced: Synced, small: Small) -> None:
    (drift,) = [d for d in small.organisation.ledger if d.expected[0].path == "publicly_accessible"]
    sql = "select arn, owner, engine, tags->>'service' from aws_rds_db_instance where publicly_accessible"
    ((arn, owner, engine, service),) = rows(synced.kernel, sql)
    assert (arn, owner) == (drift.subject, f"group:default/{drift.owner}")
    assert engine and service


def test_findings_with_their_humans_and_the_people_s_teams(synced: Synced, small: Small) -> None:
    sql = """
        select f.subject, f.actor, t.target as team, f.declared, f.observed
        from findings f
        left join entities e on e.kind = 'User' and e.metadata->>'name' = split_part(f.actor, '@', 1)
        left join relations t on t.source = e.ref and t.kind = 'memberOf'
        where f.rule = 'drift.attribute' and f.status = 'open'
        order by f.subject
    """
    found = rows(synced.kernel, sql)
    expected = {e.subject for d in small.organisation.ledger for e in d.expected if e.rule == "drift.attribute"}
    assert {row[0] for row in found} == expected
    assert all(row[2].startswith("group:default/") for row in found if "@" in row[1])
    assert any(isinstance(row[3], int) for row in found), "a bare number is a number"
    assert all(row[3] != row[4] for row in found)


def test_the_events_behind_the_findings(synced: Synced, small: Small) -> None:
    sql = """
        select e.event_id, e.actor, e.event_name, f.rule
        from findings f join events e on e.event_id = f.cause->>'event_id'
        where f.rule like 'drift.%'
    """
    found = rows(synced.kernel, sql)
    assert {row[0] for row in found} == {drift.event_id for drift in small.organisation.ledger}
    names = {drift.event_id: drift.event_name for drift in small.organisation.ledger}
    assert all(row[2] == names[row[0]] for row in found)


def test_who_changed_most_by_hand(synced: Synced) -> None:
    sql = """
        select actor, count(distinct event_id) as changes, count(distinct urn) as resources
        from event_resources where actor_kind = 'human' group by actor order by changes desc, actor
    """
    found = rows(synced.kernel, sql)
    assert len(found) >= 10 and all(row[1] > 0 and row[2] > 0 for row in found)


@pytest.mark.parametrize(
    "sql",
    [
        "select count(*) from aws_ec2_instance i join aws_vpc_subnet s on s.subnet_id = i.subnet_id "
        "join aws_vpc v on v.vpc_id = s.vpc_id where v.account_id = i.account_id",
        "select count(*) from aws_ebs_volume where size >= 50 and state = 'available'",
        "select count(*) from aws_iam_role where (assume_role_policy_document->'Statement') is not null",
        "select count(*) from aws_lambda_function where memory_size = 256 and owner is not null",
        "select count(*) from aws_s3_bucket b join ownership o on o.subject = b.arn where o.strength = 'state'",
        "select count(*) from relations r join resources s on s.urn = r.source join resources t on t.urn = r.target",
        "select count(*) from declarations d join resources r on r.urn = d.urn where d.type = r.type",
        "select count(*) from coverage where status = 'complete' and resources > 0",
        "select count(*) from versions where valid_to is null",
        "select count(*) from events where not read_only and error_code = '' and through = 'Terraform'",
    ],
)
def test_what_people_ask_has_an_answer(synced: Synced, sql: str) -> None:
    ((count,),) = rows(synced.kernel, sql)
    assert count > 0


def test_the_command_answers_like_the_api(synced: Synced) -> None:
    sql = "select type, count(*) as n from resources group by type order by n desc, type limit 5"
    told: dict[str, Any] = uwu(synced.env, "query", sql, "--json").json
    assert [tuple(row) for row in told["rows"]] == rows(synced.kernel, sql)
    wrong = uwu(synced.env, "query", "select nam from aws_s3_bucket")
    assert wrong.status == 2 and "query-unknown-column" in wrong.err and "1:8" in wrong.err and "name" in wrong.err
