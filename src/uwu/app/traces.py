"""Traces over OTLP/HTTP where ``telemetry.otlp_endpoint`` says so; only then is the extra ``otel`` imported."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from uwu import __version__
from uwu.kernel import telemetry
from uwu.kernel.errors import Misconfigured

if TYPE_CHECKING:
    from uwu.kernel.settings import TelemetrySettings


def fail(span: Any) -> None:
    """Marks ``span`` as failed."""
    from opentelemetry.trace import StatusCode

    span.set_status(StatusCode.ERROR)


class Spans:
    """The spans of this process, sent in batches to one collector (OTLP 1.x over HTTP, protobuf)."""

    def __init__(self, settings: TelemetrySettings, process: str) -> None:
        """``process`` is ``server`` or ``worker``. Raises ``Misconfigured`` without the extra ``otel``."""
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
            from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
            from opentelemetry.trace import SpanKind
            from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
        except ImportError as error:
            raise Misconfigured(
                f"telemetry.otlp_endpoint is set, and {error.name} is not installed",
                code="extra-missing",
                place="telemetry.otlp_endpoint",
                hint="pip install 'uwu[otel]', or leave the endpoint empty",
            ) from None
        if not settings.otlp_endpoint.startswith(("http://", "https://")):
            raise Misconfigured(
                f"{settings.otlp_endpoint!r} is no address of a collector",
                code="otlp-endpoint-invalid",
                place="telemetry.otlp_endpoint",
                hint="http://collector:4318",
            )
        self._provider = TracerProvider(
            resource=Resource.create({"service.name": f"uwu-{process}", "service.version": __version__}),
            sampler=ParentBased(TraceIdRatioBased(settings.trace_share)),
            shutdown_on_exit=False,
        )
        address = settings.otlp_endpoint.rstrip("/")
        exporter = OTLPSpanExporter(
            endpoint=address if address.endswith("/v1/traces") else f"{address}/v1/traces",
            timeout=settings.otlp_timeout_seconds,
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("uwu", __version__)
        self._propagator = TraceContextTextMapPropagator()
        self._kinds = {"server": SpanKind.SERVER, "client": SpanKind.CLIENT, "": SpanKind.INTERNAL}

    @contextmanager
    def span(self, name: str, attributes: Mapping[str, Any], parent: str = "", *, kind: str = "") -> Generator[Any]:
        """See ``kernel.telemetry.Tracer``. An error that passes through is told by its type, never by its text."""
        context = self._propagator.extract({"traceparent": parent}) if parent else None
        kind = kind or ("client" if name.startswith("aws ") else "")
        with self._tracer.start_as_current_span(
            name,
            context=context,
            kind=self._kinds[kind],
            attributes=dict(attributes),
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield span
            except BaseException as error:
                span.set_attribute("error.type", type(error).__name__)
                fail(span)
                raise

    def traceparent(self) -> str:
        """See ``kernel.telemetry.Tracer``."""
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier)
        return carrier.get("traceparent", "")

    def flush(self, seconds: float = 5) -> bool:
        """Sends what waits; False where that took longer."""
        return self._provider.force_flush(int(seconds * 1000))

    def close(self) -> None:
        """Sends what waits and stops."""
        self._provider.shutdown()


_spans: Spans | None = None


def current() -> Spans | None:
    """Where the spans of this process go; None where they go nowhere."""
    return _spans


def start(settings: TelemetrySettings, process: str) -> None:
    """Begins to trace this process where ``settings`` name a collector. Raises as ``Spans``."""
    global _spans
    if settings.otlp_endpoint and _spans is None:
        _spans = Spans(settings, process)
        telemetry.install(_spans)


def stop() -> None:
    """Sends the last spans of this process."""
    global _spans
    if _spans is not None:
        spans, _spans = _spans, None
        telemetry.install(None)
        spans.close()


def flush() -> None:
    """Sends the spans that wait."""
    if _spans is not None:
        _spans.flush()
