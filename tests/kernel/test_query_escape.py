"""Tries to break out of a query: to files, the network, the configuration, more memory, more time."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.kernel.test_query import DOMAIN, fill
from uwu.kernel import query
from uwu.kernel.errors import BadInput
from uwu.kernel.runtime import Kernel
from uwu.kernel.settings import Settings

SECRET = "the-secret-of-this-machine"


@pytest.fixture(scope="module")
def home(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("escape")
    shutil.copy(sqlite_template, home / "state.db")
    (home / "secret.csv").write_text(f"a,b\n{SECRET},1\n")
    (home / "secret.json").write_text(f'{{"a": "{SECRET}"}}')
    return home


@pytest.fixture(scope="module")
def kernel(home: Path) -> Iterator[Kernel]:
    opened = Kernel(Settings(home=str(home)), (DOMAIN,))
    fill(opened)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def web() -> Iterator[tuple[str, list[str]]]:
    """A server of this machine that writes down who asks."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"a,b\n1,2\n")

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", asked
    server.shutdown()
    server.server_close()


ATTEMPTS = [
    # files, read
    "select * from read_csv('{home}/secret.csv')",
    "select * from read_csv_auto('{home}/secret.csv')",
    "select * from read_text('{home}/secret.csv')",
    "select * from read_blob('{home}/secret.csv')",
    "select * from read_json('{home}/secret.json')",
    "select * from read_json_objects('{home}/secret.json')",
    "select * from read_parquet('{home}/*.parquet')",
    "select * from parquet_metadata('{home}/secret.csv')",
    "select * from glob('{home}/*')",
    "select * from sniff_csv('{home}/secret.csv')",
    "select * from '{home}/secret.csv'",
    'select * from "{home}/secret.csv"',
    "from '/etc/passwd'",
    "from '{home}/state.db'",
    "select * from sqlite_scan('{home}/state.db', 'audit')",
    "with t as (select * from read_text('/etc/passwd')) select * from t",
    "select (select content from read_text('/etc/passwd'))",
    "select * from resources where name in (select a from '{home}/secret.csv')",
    "select 1 union all select 2 from read_text('/etc/passwd')",
    "select * from (values (1)) v(x), lateral (select * from read_text('{home}/secret.csv')) t",
    "/* from resources */ select /**/ * from -- hidden\n read_text('/etc/passwd')",
    "select * from query('select * from read_text(''/etc/passwd'')')",
    "select * from query_table('{home}/secret.csv')",
    "select * from query_table(['resources', '{home}/secret.csv'])",
    "select json_execute_serialized_sql(json_serialize_sql('from ''/etc/passwd'''))",
    "from json_execute_serialized_sql(json_serialize_sql('from ''/etc/passwd'''))",
    "select * from /etc/passwd",
    "describe select * from read_text('/etc/passwd')",
    "describe '{home}/secret.csv'",
    "summarize '{home}/secret.csv'",
    "explain analyze select * from read_text('/etc/passwd')",
    "explain analyze copy (select 1) to '{home}/out.csv'",
    # files, written
    "copy (select 1) to '{home}/out.csv'",
    "copy resources to '{home}/out.parquet' (format parquet)",
    "with x as (copy (select 1) to '{home}/out.csv') select 1",
    "select * from (copy (select 1) to '{home}/out.csv')",
    "export database '{home}/out'",
    "import database '{home}/out'",
    "create table t as select 1",
    "create view v as select 1",
    "create macro m() as 1",
    "create secret s (type s3, key_id 'a', secret 'b')",
    "insert into resources select * from resources",
    "delete from resources",
    "update resources set name = 'x'",
    "with i as (insert into resources values (1) returning *) select * from i",
    "with u as (update resources set name = 'x' returning *) select * from u",
    "select * from (with d as (delete from resources returning *) select * from d)",
    "with d as (delete from resources returning *) select * from d",
    "drop view resources",
    "attach '{home}/out.db' as o",
    "attach ':memory:' as o",
    "detach memory",
    "use memory",
    "vacuum",
    "checkpoint",
    # the network
    "select * from read_csv('{web}/a.csv')",
    "from '{web}/a.parquet'",
    "select * from 's3://bucket/key.parquet'",
    # extensions and configuration
    "install httpfs",
    "install httpfs from '{web}'",
    "load httpfs",
    "load '{home}/evil.duckdb_extension'",
    "set enable_external_access = true",
    "set global memory_limit = '100GB'",
    "reset lock_configuration",
    "pragma enable_external_access = true",
    "pragma database_list",
    "call pragma_version()",
    "select * from pragma_database_list()",
    "set variable x = 1",
    "select getvariable('x')",
    "prepare p as select 1",
    "execute p",
    "begin",
    # what the process knows
    "select getenv('HOME')",
    "select current_setting('allowed_paths')",
    "from duckdb_settings()",
    "from duckdb_secrets()",
    "select * from which_secret('s3://x', 's3')",
    "from duckdb_views()",
    "from duckdb_logs",
    "from duckdb_temporary_files()",
    "select * from information_schema.tables",
    "select * from pg_catalog.pg_settings",
    "select * from system.main.duckdb_settings",
    "select * from sqlite_master",
    # Python's own variables
    "select * from python_variable",
    "select * from sys",
    'select * from "given:resources"',
    # more than one statement
    "select 1; select 2",
    "select 1; copy (select 1) to '{home}/out.csv'",
    "select 1;\n-- and then\ndrop view resources",
    "explain select 1; drop view resources",
]


@pytest.mark.parametrize("sql", ATTEMPTS)
def test_it_does_not_break_out(kernel: Kernel, home: Path, web: tuple[str, list[str]], sql: str) -> None:
    python_variable = [1, 2, 3]
    before = sorted(path.name for path in home.iterdir() if not path.name.startswith("state.db"))
    with pytest.raises(BadInput) as caught:
        query.run(kernel, sql.replace("{home}", str(home)).replace("{web}", web[0]))
    assert caught.value.problem.code in {"query-forbidden", "query-syntax", "query-unknown-table"}, caught.value
    assert caught.value.problem.hint
    assert SECRET not in str(caught.value)
    assert "root:" not in str(caught.value)
    assert sorted(path.name for path in home.iterdir() if not path.name.startswith("state.db")) == before
    assert not web[1]
    assert python_variable


UNCHECKED = [
    "select * from read_text('/etc/passwd')",
    "select * from read_csv('{home}/secret.csv')",
    "from '{home}/secret.csv'",
    "from glob('{home}/*')",
    "copy (select 1) to '{home}/out.csv'",
    "attach '{home}/out.db' as o",
    "install httpfs",
    "load httpfs",
    "set enable_external_access = true",
    "set memory_limit = '100GB'",
    "select * from read_csv('{web}/a.csv')",
    "select * from duckdb_secrets()",
]


@pytest.mark.parametrize("sql", UNCHECKED)
def test_the_process_itself_cannot_even_where_the_check_would_be_passed(
    kernel: Kernel, home: Path, web: tuple[str, list[str]], sql: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second wall: the same statements without the first."""
    statement = sql.replace("{home}", str(home)).replace("{web}", web[0])
    monkeypatch.setattr(query, "_parse", lambda _: query._Statement(statement, "SELECT", {"resources": 0}, frozenset()))
    try:
        result = query.run(kernel, statement)
        assert result.rows == []
    except BadInput as error:
        assert SECRET not in str(error)
        assert "root:" not in str(error)
    assert not (home / "out.csv").exists()
    assert not (home / "out.db").exists()
    assert not web[1]


@pytest.mark.parametrize(
    "sql",
    [
        "with recursive t(n) as (select 1 union all select n + 1 from t) select max(n) from t",
        "select count(*) from range(1000000) a, range(1000000) b",
        "select sum(length(regexp_replace(repeat('ab', 50000) || i, '(a|b)*c', ''))) from range(100000000) t(i)",
    ],
)
def test_a_query_without_end_is_stopped(kernel: Kernel, sql: str) -> None:
    with pytest.raises(BadInput) as caught:
        query.run(kernel, sql, timeout_seconds=0.5)
    assert caught.value.problem.code == "query-timeout"


@pytest.mark.parametrize(
    "sql",
    [
        "select list(i) from range(10000000000) t(i)",
        "select i, repeat('a', 1000) from range(100000000) t(i) order by 2, 1",
        "select length(repeat('x', 2000000000))",
        "select lpad('x', 2000000000, 'y')",
        "select list_resize([1], 1000000000)",
        "select repeat('x', 10000000) from range(2048)",
        "select length(string_agg(repeat('x', 100000), '')) from range(1000000)",
        "with recursive t(n) as (select 'x' union all select n || n from t) select length(max(n)) from t",
    ],
)
def test_a_query_that_eats_memory_is_stopped_and_costs_only_itself(kernel: Kernel, sql: str) -> None:
    with pytest.raises(BadInput) as caught:
        query.run(kernel, sql, memory_mb=128, timeout_seconds=60)
    assert caught.value.problem.code == "query-memory"
    assert query.run(kernel, "select 1").rows == [[1]]


def test_the_child_has_no_environment(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    child = query._start()
    environment = Path(f"/proc/{child.pid}/environ")
    try:
        assert not environment.parent.exists() or SECRET not in environment.read_text()
    finally:
        child.kill()
        child.communicate()
