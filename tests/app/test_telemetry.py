"""What a server tells of itself: request ids, its log, its measures, whether it is ready, and its traces."""

from __future__ import annotations

import gzip
import http.server
import io
import json
import logging
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client.parser import text_string_to_metric_families

from tests.app.front import Answer, ask, post, serving
from tests.kernel import world
from uwu.app import health, metrics, traces
from uwu.app.cli import logs
from uwu.kernel import codec, domain, graph, jobs, migrate, tables, telemetry
from uwu.kernel.errors import Misconfigured
from uwu.kernel.jobs import Job, Run
from uwu.kernel.runtime import Kernel
from uwu.kernel.settings import Settings, TelemetrySettings
from uwu.kernel.worker import StepFailed, Worker


def with_telemetry(kernel: Kernel, **given: Any) -> Kernel:
    """A kernel of the same home with other settings of telemetry."""
    home = kernel.settings.home
    settings = Settings(home=home, database_url=kernel.settings.database_url, telemetry=TelemetrySettings(**given))
    return Kernel(settings, domain.installed())


@contextmanager
def logged(settings: TelemetrySettings) -> Iterator[io.StringIO]:
    """What a service writes to its log."""
    root, written = logging.getLogger(), io.StringIO()
    kept, level = list(root.handlers), root.level
    old, sys.stderr = sys.stderr, written
    try:
        logs.configure_service(settings)
        yield written
    finally:
        sys.stderr = old
        root.handlers[:] = kept
        root.setLevel(level)
        logging.getLogger(logs.ACCESS).setLevel(logging.NOTSET)


# ---- request ids


def test_a_request_id_is_echoed_where_it_is_sane_and_made_where_not(sqlite_kernel: Kernel) -> None:
    with serving(sqlite_kernel) as url:
        chosen = ask(url, "GET", "/healthz", X_Request_Id="deploy-7f3a.09_A")
        assert chosen.headers["x-request-id"] == "deploy-7f3a.09_A"
        for bad in ("", "short", "x" * 129, 'a"b<script>c', "with space", "tab\tbed-id"):
            made = ask(url, "GET", "/healthz", X_Request_Id=bad).headers["x-request-id"]
            assert re.fullmatch(r"req_[0-9a-z]{26}", made), bad


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "/api/v1/nothing", {}),
        ("GET", "/api/v1/resources?limit=0", {}),
        ("DELETE", "/api/v1/resources", {}),
        ("POST", "/api/v1/jobs", {"Origin": "https://evil.example"}),
        ("GET", "/healthz", {"Host": "evil.example"}),
    ],
)
def test_a_problem_names_its_request(sqlite_kernel: Kernel, method: str, path: str, headers: dict[str, str]) -> None:
    with serving(sqlite_kernel) as url:
        answer = ask(url, method, path, None, X_Request_Id="req-of-mine", **headers)
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json["instance"] == "urn:uwu:request:req-of-mine"


# ---- the log


def test_the_log_of_a_service_is_json_with_the_request_and_no_secret(
    sqlite_kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(*_: Any, **__: Any) -> Any:
        raise RuntimeError("it broke")

    monkeypatch.setattr(graph, "find", explode)
    settings = TelemetrySettings(log_format="json", access_log=True)
    with logged(settings) as written, serving(sqlite_kernel) as url:
        ask(url, "GET", "/api/v1/resources?text=hunter2", Authorization="Basic hunter2", X_Request_Id="mine-00001")
        ask(url, "GET", "/api/v1/status", Cookie="theme=hunter2", X_Request_Id="mine-00002")
    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    failed = next(line for line in lines if line["level"] == "error")
    assert failed["request"] == "mine-00001"
    assert "RuntimeError: it broke" in failed["traceback"]
    access = {line["request"]: line for line in lines if line["logger"] == "uwu.access"}
    assert access["mine-00001"] | {"ms": 0, "at": "", "message": ""} == {
        "at": "", "level": "info", "logger": "uwu.access", "message": "", "request": "mine-00001", "method": "GET",
        "path": "/api/v1/resources", "route": "/api/v1/resources", "status": 500, "ms": 0,
        "bytes": access["mine-00001"]["bytes"], "queries": access["mine-00001"]["queries"],
        "principal": access["mine-00001"]["principal"], "client": "127.0.0.1",
    }  # fmt: skip
    assert access["mine-00002"]["status"] == 200
    assert access["mine-00002"]["queries"] > 5, "statements of threads are counted too"
    assert access["mine-00002"]["ms"] > 0
    assert "hunter2" not in written.getvalue()


def test_a_line_can_not_be_forged_through_the_path(sqlite_kernel: Kernel) -> None:
    with logged(TelemetrySettings(log_format="text", access_log=True)) as written, serving(sqlite_kernel) as url:
        ask(url, "GET", "/a%0d%0aforged%20line%1b[31m")
    lines = written.getvalue().splitlines()
    assert not any(line.startswith("forged") for line in lines)
    assert "\x1b" not in written.getvalue()


def test_without_the_setting_no_request_is_logged(sqlite_kernel: Kernel) -> None:
    with logged(TelemetrySettings(log_format="json", log_level="info")) as written, serving(sqlite_kernel) as url:
        ask(url, "GET", "/healthz")
    assert "uwu.access" not in written.getvalue()


def test_what_is_no_json_is_logged_as_text() -> None:
    with logged(TelemetrySettings(log_format="json")) as written:
        logging.getLogger("x").warning("odd", extra={"thing": object()})
    assert json.loads(written.getvalue())["thing"].startswith("<object")


def test_a_job_binds_its_own_id_and_that_of_who_asked() -> None:
    with logged(TelemetrySettings(log_format="json")) as written:
        with telemetry.job("job_1", "sync", {"request": "req_9"}):
            logging.getLogger("x").warning("inside")
        logging.getLogger("x").warning("outside")
    inside, outside = map(json.loads, written.getvalue().splitlines())
    assert (inside["job"], inside["request"]) == ("job_1", "req_9")
    assert "job" not in outside
    assert "request" not in outside


# ---- ready or not


def beat(kernel: Kernel, ago: timedelta = timedelta()) -> None:
    at = codec.now() - ago
    row = {"executor_id": "w", "beat_at": at, "started_at": at, "host": "h", "pid": 1}
    with kernel.db.write() as connection:
        connection.execute(tables.workers.delete())
        connection.execute(tables.workers.insert().values(row))


def failing(kernel: Kernel) -> list[str]:
    return [check.name for check in health.readiness(kernel).checks if not check.ok]


def test_ready_is_when_all_is_so(kernel: Kernel) -> None:
    assert failing(kernel) == ["worker"], "nobody runs jobs"
    beat(kernel)
    assert health.readiness(kernel).status == "ready"
    assert [check.name for check in health.readiness(kernel).checks] == ["database", "migration", "worker", "disk"]
    beat(kernel, timedelta(seconds=kernel.settings.jobs.stale_after_seconds + 5))
    assert failing(kernel) == ["worker"]


def test_a_database_of_another_version_is_not_ready(kernel: Kernel) -> None:
    beat(kernel)
    with kernel.db.write() as connection:
        connection.exec_driver_sql("update alembic_version set version_num = '0000'")
    bad = [check for check in health.readiness(kernel).checks if not check.ok]
    assert [check.name for check in bad] == ["migration"]
    assert migrate.head() in bad[0].detail


def test_a_full_disk_and_a_lost_database_are_not_ready(sqlite_kernel: Kernel, tmp_path: Path) -> None:
    beat(sqlite_kernel)
    small = with_telemetry(sqlite_kernel, min_free_mb=10**9)
    assert failing(small) == ["disk"]
    small.close()
    lost = Kernel(Settings(home=str(tmp_path), database_url="postgresql+psycopg://nobody@127.0.0.1:1/none"), ())
    assert failing(lost) == ["database"]
    lost.close()


def test_unready_is_a_problem_that_names_each_check(sqlite_kernel: Kernel) -> None:
    with serving(sqlite_kernel) as url:
        answer = ask(url, "GET", "/readyz")
        assert (answer.status, answer.json["code"], answer.json["place"]) == (503, "unready", "worker")
        assert answer.headers["retry-after"] == "2"
        assert {check["name"]: check["ok"] for check in answer.json["checks"]} == {
            "database": True, "migration": True, "worker": False, "disk": True,
        }  # fmt: skip
        assert ask(url, "GET", "/healthz").json == {"status": "ok"}, "the process lives"
        beat(sqlite_kernel)
        ready = ask(url, "GET", "/readyz")
        assert (ready.status, ready.json["status"]) == (200, "ready")
        assert str(sqlite_kernel.settings.home) not in ready.body.decode(), "it is told to anyone"


# ---- measures


def samples(answer: Answer) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.body.decode())
        for sample in family.samples
    }


def test_metrics_count_requests_by_route_and_never_by_path(sqlite_kernel: Kernel) -> None:
    kernel = with_telemetry(sqlite_kernel, metrics_cache_seconds=0)
    with serving(kernel) as url:
        for path in ("/api/v1/jobs/job_a", "/api/v1/jobs/job_b", "/api/v1/status", "/nothing/a", "/nothing/b"):
            ask(url, "GET", path)
        ask(url, "BREW", "/pot")
        scraped = ask(url, "GET", "/metrics")
    assert scraped.headers["content-type"].startswith("text/plain; version=")
    found = samples(scraped)

    def requests(route: str, status: str, method: str = "GET") -> float | None:
        return found.get(("uwu_http_requests_total", (("method", method), ("route", route), ("status", status))))

    assert requests("/api/v1/jobs/{id}", "404") == 2
    assert requests("/api/v1/status", "200") == 1
    assert requests("/{key}", "404") == 2, "what no page has"
    assert [key for key in found if dict(key[1]).get("method") == "BREW"] == [], "a caller makes no series of its own"
    labels = (("method", "GET"), ("route", "/api/v1/status"))
    assert found["uwu_http_request_duration_seconds_count", labels] == 1
    assert found["uwu_http_request_duration_seconds_sum", labels] > 0
    assert found["uwu_sql_statements_total", ()] > 5
    assert found["uwu_http_requests_in_flight", ()] == 1, "the scrape itself"
    kernel.close()


def test_metrics_tell_of_the_world(kernel: Kernel) -> None:
    with kernel.db.write() as connection:
        graph.observe(connection, world.outcome(5), [world.queue("orders")], [])
    opened = with_telemetry(kernel, metrics_cache_seconds=0)
    now = codec.now()
    with kernel.db.write() as connection:
        for number, (status, age) in enumerate((("queued", 90), ("queued", 30), ("done", 5), ("failed", 5))):
            ticket = {"name": "x", "arguments": {}, "parent": "", "requested_by": ""}
            row = jobs.queued_row(f"job_{number}", {**ticket, "created_at": codec.iso(now - timedelta(seconds=age))})
            connection.execute(tables.jobs.insert().values({**row, "status": status}))
        for day, entropy in (("2026-03-09", 4.0), ("2026-03-10", 12.5)):
            row = {"day": day, "scope": "all", "key": "", "entropy": entropy, "findings": 1, "subjects": 2}
            connection.execute(tables.entropy_days.insert().values({**row, "weight": 1.0, "measured_at": now}))
    beat(kernel, timedelta(seconds=3))
    with serving(opened) as url:
        found = samples(ask(url, "GET", "/metrics"))
    assert found["uwu_jobs", (("status", "queued"),)] == 2
    assert found["uwu_jobs", (("status", "failed"),)] == 1
    assert found["uwu_jobs", (("status", "running"),)] == 0, "told as 0, so that an alert on it resolves"
    assert 89 <= found["uwu_job_queue_age_seconds", ()] < 600
    assert found["uwu_entropy", (("key", ""), ("scope", "all"))] == 12.5, "the latest day"
    assert 3 <= found["uwu_worker_heartbeat_age_seconds", ()] < 600
    assert found["uwu_database_up", ()] == 1
    cells = {key[1][0][1]: value for key, value in found.items() if key[0] == "uwu_coverage_cells"}
    assert cells["complete"] > 0
    assert sum(value for key, value in found.items() if key[0] == "uwu_findings") >= 0
    assert ("uwu_outbox_deliveries", (("status", "waiting"),)) in found
    opened.close()


def test_many_scrapes_cost_as_much_as_one(sqlite_kernel: Kernel) -> None:
    kept = metrics.World(sqlite_kernel)
    first = kept.collect()
    assert kept.collect() is first
    fresh = metrics.World(with_telemetry(sqlite_kernel, metrics_cache_seconds=0))
    assert fresh.collect() is not fresh.collect()


def test_a_scrape_tells_that_the_database_is_away(tmp_path: Path) -> None:
    lost = Kernel(Settings(home=str(tmp_path), database_url="postgresql+psycopg://nobody@127.0.0.1:1/none"), ())
    body, _ = metrics.Metrics(lost).exposition("")
    assert b"uwu_database_up 0.0" in body
    assert b"uwu_http_requests_in_flight 0.0" in body
    lost.close()


# ---- traces


class Collector:
    """A receiver of OTLP/HTTP that decodes what it is sent."""

    def __init__(self) -> None:
        self.requests: list[ExportTraceServiceRequest] = []
        self.headers: list[Mapping[str, str]] = []
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                assert self.path == "/v1/traces"
                collector.requests.append(ExportTraceServiceRequest.FromString(body))
                collector.headers.append(dict(self.headers))
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None: ...

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def spans(self) -> list[Any]:
        return [
            span for request in self.requests for r in request.resource_spans for s in r.scope_spans for span in s.spans
        ]

    def resource(self) -> dict[str, str]:
        attributes = self.requests[0].resource_spans[0].resource.attributes
        return {pair.key: pair.value.string_value for pair in attributes}


def told(span: Any) -> dict[str, Any]:
    return {pair.key: pair.value.string_value or pair.value.int_value for pair in span.attributes}


@pytest.fixture
def collector() -> Iterator[Collector]:
    found = Collector()
    yield found
    traces.stop()
    found.server.shutdown()
    found.server.server_close()


TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def test_requests_are_traced_to_a_collector(sqlite_kernel: Kernel, collector: Collector) -> None:
    traces.start(TelemetrySettings(otlp_endpoint=collector.url), "server")
    with serving(sqlite_kernel) as url:
        ask(url, "GET", "/api/v1/jobs/job_x", traceparent=f"00-{TRACE}-{PARENT}-01", Authorization="Basic hunter2")
        ask(url, "GET", "/healthz", traceparent="not-a-traceparent")
    traces.flush()
    assert collector.resource()["service.name"] == "uwu-server"
    spans = {span.name: span for span in collector.spans}
    traced = spans["GET /api/v1/jobs/{id}"]
    assert (traced.trace_id.hex(), traced.parent_span_id.hex()) == (TRACE, PARENT)
    assert traced.kind == 2, "a server's span"
    assert told(traced)["http.route"] == "/api/v1/jobs/{id}"
    assert told(traced)["http.response.status_code"] == 404
    assert spans["GET /healthz"].parent_span_id == b""
    assert b"hunter2" not in b"".join(request.SerializeToString() for request in collector.requests)


def _step() -> str:
    return "done"


def _body(run: Run, arguments: Mapping[str, Any]) -> dict[str, Any]:
    run.step(_step, name="look")
    run.fan_out("child", [{}], keys=["one"])
    return {}


def _broken() -> None:
    raise RuntimeError("hunter2")


def _child(run: Run, arguments: Mapping[str, Any]) -> dict[str, Any]:
    with pytest.raises(StepFailed):
        run.step(_broken, name="break")
    return {}


def test_a_job_is_traced_from_the_request_that_asked_for_it(kernel: Kernel, collector: Collector) -> None:
    traces.start(TelemetrySettings(otlp_endpoint=collector.url), "worker")
    known = {"parent": Job("parent", _body), "child": Job("child", _child)}
    worker = Worker(kernel, jobs=known)
    worker.start()
    try:
        with telemetry.span("asking"):
            id = kernel.jobs.enqueue("parent")
        assert worker.run_until_done(id).status == "done"
    finally:
        worker.stop()
    traces.flush()
    spans = {span.name: span for span in collector.spans}
    assert {"asking", "job parent", "step look", "job child", "step break"} <= set(spans)
    assert len({span.trace_id for span in collector.spans}) == 1, "one trace, across the queue"
    assert spans["job parent"].parent_span_id == spans["asking"].span_id
    assert spans["step look"].parent_span_id == spans["job parent"].span_id
    assert spans["job child"].parent_span_id == spans["job parent"].span_id
    assert told(spans["job parent"])["uwu.job"] == id
    failed = spans["step break"]
    assert (failed.status.code, told(failed)["error.type"]) == (2, "RuntimeError")
    assert b"hunter2" not in b"".join(request.SerializeToString() for request in collector.requests)


def test_calls_of_aws_are_traced_by_their_name(
    collector: Collector, aws_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from uwu.kernel.aws import Aws
    from uwu.kernel.settings import AwsSettings

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    traces.start(TelemetrySettings(otlp_endpoint=collector.url), "worker")
    aws = Aws(AwsSettings(endpoint_url=aws_server.url))
    client = aws.client("ec2", aws.identity().account, "us-east-1")
    client.describe_instances()
    traces.flush()
    span = next(span for span in collector.spans if span.name == "aws ec2.describe_instances")
    assert span.kind == 3, "a client's span"


def test_an_endpoint_that_is_none_is_refused() -> None:
    with pytest.raises(Misconfigured) as caught:
        traces.start(TelemetrySettings(otlp_endpoint="collector:4318"), "server")
    assert caught.value.problem.code == "otlp-endpoint-invalid"


def test_without_the_extra_the_error_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['opentelemetry.sdk.trace'] = None\n"
        "from uwu.app import traces\n"
        "from uwu.kernel.settings import TelemetrySettings\n"
        "try:\n    traces.start(TelemetrySettings(otlp_endpoint='http://127.0.0.1:1'), 'server')\n"
        "except Exception as error:\n    print(error.problem.code, error.problem.hint)\n"
    )
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert out.stdout.startswith("extra-missing pip install 'uwu[otel]'")


def test_without_the_setting_nothing_of_the_extra_is_imported() -> None:
    program = (
        "import sys\nfrom uwu.app import traces, worker\nfrom uwu.kernel import telemetry\n"
        "from uwu.kernel.settings import TelemetrySettings\n"
        "traces.start(TelemetrySettings(), 'worker')\n"
        "with telemetry.span('x'): pass\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert out.stdout.strip() == "[]"


def test_a_collector_that_is_away_holds_up_nobody(sqlite_kernel: Kernel) -> None:
    traces.start(TelemetrySettings(otlp_endpoint="http://127.0.0.1:1", otlp_timeout_seconds=1), "server")
    try:
        with serving(sqlite_kernel) as url:
            assert post(url, "/api/v1/query", {"sql": "select 1"}).status == 200
    finally:
        traces.stop()
