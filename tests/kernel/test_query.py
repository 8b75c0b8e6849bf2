"""``uwu query``: what it answers, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
import sqlalchemy as sa
from sqlalchemy import event

from tests.kernel.lake_world import EVENTS, events
from uwu.kernel import graph, query, tables
from uwu.kernel.db import Database
from uwu.kernel.domain import Domain, ResourceType
from uwu.kernel.errors import BadInput
from uwu.kernel.lake import Batches, Column
from uwu.kernel.model import Cell, CellStatus, Outcome, Relation, Resource
from uwu.kernel.query import Source, query_tables
from uwu.kernel.runtime import Kernel
from uwu.kernel.settings import Settings

AT = datetime(2025, 3, 10, 14, 2, 11, tzinfo=UTC)
THINGS = (Column("id", "text"), Column("at", "time"), Column("extra", "json"))


def things(kernel: Kernel) -> pa.Table:
    return pa.table({"id": ["x"], "at": pa.array([AT], pa.timestamp("us", "UTC")), "extra": ['{"deep": [1, 2]}']})


def query_sources(kernel: Kernel) -> dict[str, Source]:
    return {"events": Source.lake(EVENTS), "things": Source("a domain's own", THINGS, things)}


DOMAIN = Domain(
    "inventory",
    "Inventory",
    types=(
        ResourceType("aws_ec2_instance", "Instance", "ec2"),
        ResourceType("aws_sqs_queue", "Queue", "sqs"),
    ),
    query_tables="tests.kernel.test_query:query_sources",
)


def instance(n: int, **more: object) -> Resource:
    return Resource(
        urn=f"arn:aws:ec2:eu-west-1:111122223333:instance/i-{n}",
        type="aws_ec2_instance",
        account="111122223333",
        region="eu-west-1",
        name=f"i-{n}",
        attributes={
            "InstanceType": "t3.micro",
            "LaunchTime": "2025-03-10T10:00:00Z",
            "CpuOptions": {"CoreCount": n},
            "SecurityGroups": [{"GroupId": "sg-1"}],
            "EbsOptimized": n % 2 == 0,
            "AmiLaunchIndex": n,
            "DBInstanceIdentifier": "odd",
            "Region": "shadowed",
            **more,
        },
        tags={"team": "payments", "Name": f"web-{n}"},
    )


def fill(kernel: Kernel) -> None:
    cell = Cell(source="aws", account="111122223333", region="eu-west-1", type="aws_ec2_instance")
    outcome = Outcome(cell=cell, status=CellStatus.COMPLETE, observed_at=AT)
    found = [instance(0), instance(1), instance(2, Score=1.5)]
    sg = "arn:aws:ec2:eu-west-1:111122223333:security-group/sg-1"
    with kernel.db.write() as connection:
        graph.observe(connection, outcome, found, [Relation(source=found[0].urn, kind="uses", target=sg)])
        connection.execute(
            tables.ownership.insert().values(
                subject=found[1].urn,
                owner="group:default/payments",
                strength="tag",
                evidence=[],
                conflicts=[],
                settled_at=AT,
            )
        )


@pytest.fixture
def filled(database_url: str, tmp_path: Path) -> Iterator[Kernel]:
    kernel = Kernel(Settings(home=str(tmp_path / "home"), database_url=database_url), (DOMAIN,))
    fill(kernel)
    yield kernel
    kernel.close()


@pytest.fixture
def laptop(sqlite_template: Path, tmp_path: Path) -> Iterator[Kernel]:
    import shutil

    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(sqlite_template, home / "state.db")
    kernel = Kernel(Settings(home=str(home)), (DOMAIN,))
    fill(kernel)
    yield kernel
    kernel.close()


def test_a_resource_type_is_a_table_with_its_attributes_as_columns(filled: Kernel) -> None:
    result = query.run(
        filled,
        """select arn, title, account_id, region, tags->>'team' as team, owner, instance_type, launch_time,
                  cpu_options, ebs_optimized, ami_launch_index + 1 as next,
                  db_instance_identifier, security_groups[0]->>'GroupId', score
           from aws_ec2_instance where tags->>'Name' = 'web-1'""",
    )
    assert result.rows == [
        [
            "arn:aws:ec2:eu-west-1:111122223333:instance/i-1",
            "web-1",
            "111122223333",
            "eu-west-1",
            "payments",
            "group:default/payments",
            "t3.micro",
            "2025-03-10T10:00:00Z",
            {"CoreCount": 1},
            False,
            2,
            "odd",
            "sg-1",
            None,
        ]
    ]
    assert result.types[6:11] == ("VARCHAR", "TIMESTAMP WITH TIME ZONE", "JSON", "BOOLEAN", "BIGINT")
    assert not result.truncated


def test_a_type_that_nobody_has_is_an_empty_table(filled: Kernel) -> None:
    result = query.run(filled, "from aws_sqs_queue where tags->>'team' = 'x' and changed_at > now()")
    assert result.rows == []
    assert result.columns[:7] == ("arn", "name", "title", "account_id", "region", "tags", "owner")


def test_the_kernels_tables_join(filled: Kernel) -> None:
    result = query.run(
        filled,
        """with o as (select subject, owner from ownership)
           select r.name, o.owner, r.attributes->'CpuOptions'->>'CoreCount', r.first_seen = v.valid_from, c.status
           from Resources r left join o on o.subject = r.urn join versions v using (urn)
                join coverage c on c.cell = r.cell
           where exists (select 1 from relations where source = r.urn) or o.owner is not null order by r.name""",
    )
    assert result.rows == [
        ["i-0", None, "0", True, "complete"],
        ["i-1", "group:default/payments", "1", True, "complete"],
    ]


@pytest.mark.parametrize("name", [*query_tables._STATE])
def test_every_table_of_the_database_reads(filled: Kernel, name: str) -> None:
    result = query.run(filled, f"select * from {name}")
    listed = next(table for table in query.tables(filled) if table.name == name)
    assert list(result.columns) == [column["name"] for column in listed.columns]


def test_json_null_is_null(filled: Kernel) -> None:
    with filled.db.write() as connection:
        values = {c.name: "" for c in tables.findings.columns if not c.nullable}
        values |= {"id": "f", "opened_at": AT, "last_seen": AT, "declared": "text", "observed": None, "cause": None}
        connection.execute(sa.insert(tables.findings).values(**values))
    sql = "select observed is null, cause is null, declared, opened_at, closed_at from findings"
    assert query.run(filled, sql).rows == [[True, True, "text", "2025-03-10T14:02:11Z", None]]


def test_tables_lists_names_columns_and_comments(filled: Kernel) -> None:
    listed = {table.name: table for table in query.tables(filled)}
    assert {"resources", "findings", "events", "things", "aws_sqs_queue", "aws_ec2_instance"} <= listed.keys()
    kinds = {column["name"]: column["type"] for column in listed["aws_ec2_instance"].columns}
    run = query.run(filled, "describe aws_ec2_instance")
    words = {"VARCHAR": "text", "JSON": "json", "TIMESTAMP WITH TIME ZONE": "time", "BOOLEAN": "boolean"}
    words |= {"BIGINT": "long", "DOUBLE": "double"}
    assert kinds == {row[0]: words[row[1]] for row in run.rows}
    assert "tags" in {column["name"] for column in listed["aws_sqs_queue"].columns}
    assert all(table.comment for table in listed.values())


def test_lake_tables_and_a_domains_own(filled: Kernel) -> None:
    assert query.run(filled, "select count(*) from events").rows == [[0]]
    batches = Batches(filled.db, filled.lake, "s", (EVENTS,))
    batch = batches.claim(["a"])
    assert batch is not None
    batches.write(batch, {"events": events("a")})
    batches.commit()
    sql = "select count(*), min(event_time), sum((request->>'n')::int) from events where principal = 'role-1'"
    assert query.run(filled, sql).rows == [[9, "2025-03-10T22:04:00Z", sum(range(1, 60, 7))]]
    joined = "select e.id, t.extra->'deep', t.at from events e, things t where e.id = 'a/0'"
    assert query.run(filled, joined).rows == [["a/0", [1, 2], "2025-03-10T14:02:11Z"]]


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("sum(x) from range(4) t(x)", 6),
        ("170141183460469231731687303715884105727::hugeint", "170141183460469231731687303715884105727"),
        ("1.25::decimal(9,2)", 1.25),
        ("2.00::decimal(9,2)", 2),
        ("'nan'::double", None),
        ("'ab'::blob", "YWI="),
        ("date '2025-03-10'", "2025-03-10"),
        ("timestamptz '2025-03-10 15:02:11+01'", "2025-03-10T14:02:11Z"),
        ("timestamp_ns '2025-03-10 14:02:11.123456789'", "2025-03-10T14:02:11.123456"),
        ("interval 90 second", "P0M0DT90S"),
        (
            "{'a': [timestamptz '2025-03-10 00:00:00+00'], 'b': map {'k': 1}}",
            {"a": ["2025-03-10T00:00:00Z"], "b": {"k": 1}},
        ),
        ("'{\"a\": [1, null]}'::json", {"a": [1, None]}),
        ("null", None),
        ("'ünïcode — 日本'", "ünïcode — 日本"),
    ],
)
def test_values_are_plain_json(laptop: Kernel, expression: str, value: object) -> None:
    assert query.run(laptop, f"select {expression}").rows == [[value]]


def test_columns_of_one_name_are_both_there(laptop: Kernel) -> None:
    assert query.run(laptop, "select 1 as a, 2 as a").rows == [[1, 2]]


def test_rows_beyond_the_limit_are_cut_off_and_said_to_be(laptop: Kernel) -> None:
    result = query.run(laptop, "select i from range(100000000000) t(i)", max_rows=5)
    assert result.rows == [[0], [1], [2], [3], [4]]
    assert result.truncated
    assert not query.run(laptop, "select i from range(5) t(i)", max_rows=5).truncated
    wide = query.run(laptop, "select repeat('x', 1000000) from range(500)")
    assert wide.truncated
    assert 25 < len(wide.rows) < 40


def test_explain_and_summarize_answer(laptop: Kernel) -> None:
    assert "SCAN" in query.run(laptop, "explain select * from resources").rows[0][0]
    assert query.run(laptop, "-- why\n/* slow */ EXPLAIN ANALYZE select 1").rows
    assert query.run(laptop, "summarize resources").columns[0] == "column_name"


@pytest.mark.parametrize(
    ("sql", "code", "place", "hint"),
    [
        ("selec 1", "query-syntax", "1:1", ""),
        ("select 1\nfrom resources\nwher x", "query-syntax", "3:6", ""),
        ("", "query-syntax", "", "SELECT"),
        ("select * from resorces", "query-unknown-table", "1:15", "did you mean resources?"),
        ("select (select 1 from\n  aws_ec2_instances)", "query-unknown-table", "2:3", "did you mean aws_ec2_instance?"),
        (
            "select 'é', instnce_type from aws_ec2_instance",
            "query-unknown-column",
            "1:13",
            "did you mean instance_type?",
        ),
        ("select r.acount from resources r", "query-unknown-column", "1:8", "did you mean account?"),
        ("select nofunction(1)", "query-invalid", "1:8", ""),
        ("select cast('x' as int)", "query-invalid", "1:8", ""),
        ("explain select nope from resources", "query-unknown-column", "1:16", ""),
    ],
)
def test_an_error_says_what_where_and_what_next(laptop: Kernel, sql: str, code: str, place: str, hint: str) -> None:
    with pytest.raises(BadInput) as caught:
        query.run(laptop, sql)
    problem = caught.value.problem
    assert (problem.code, problem.place) == (code, place)
    assert hint in problem.hint
    assert problem.hint


def test_only_the_named_tables_are_read(laptop: Kernel) -> None:
    read: list[str] = []

    def before(_c: object, _cursor: object, statement: str, *_rest: object) -> None:
        read.append(statement)

    event.listen(laptop.db.engine, "before_cursor_execute", before)
    query.run(laptop, "select count(*) from findings")
    assert any("FROM findings" in statement for statement in read)
    assert not any("resources.attributes" in statement or "FROM versions" in statement for statement in read)


def test_snake_case_follows_the_apis_words() -> None:
    words = [
        "InstanceId",
        "DBInstanceIdentifier",
        "KmsKeyId",
        "SSEType",
        "PubliclyAccessible",
        "Ipv6Addresses",
        "EnableDNS",
    ]
    assert [query_tables.snake(word) for word in words] == [
        "instance_id",
        "db_instance_identifier",
        "kms_key_id",
        "sse_type",
        "publicly_accessible",
        "ipv6_addresses",
        "enable_dns",
    ]


def test_the_database_is_never_written(laptop: Kernel) -> None:
    before = Path(laptop.settings.home, "state.db").read_bytes()
    query.run(laptop, "select * from resources")
    assert Path(laptop.settings.home, "state.db").read_bytes() == before
    assert isinstance(laptop.db, Database)
