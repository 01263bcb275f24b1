"""Spans of OpenTelemetry, for `bus.traces`. Imported only where they are wanted: the SDK is an extra."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from bus.traces import HEADER, Kind, Opening, Span

FLUSH_TIMEOUT = 3000
"""Milliseconds that a process which ends waits for its last spans to be taken."""

_PROPAGATOR = TraceContextTextMapPropagator()
_KINDS: dict[Kind, SpanKind] = {"producer": SpanKind.PRODUCER, "consumer": SpanKind.CONSUMER}


class Recorded(Span):
    """A span that is recorded, if its trace is sampled."""

    def __init__(self, recorded: trace.Span) -> None:
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier, trace.set_span_in_context(recorded))
        super().__init__(carrier[HEADER])
        self._recorded = recorded

    def end(self, state: str) -> None:
        self._recorded.set_attribute("busctl.job.state", state)
        if state in ("job_failed", "job_retrying"):  # why, may tell what a client wrote
            self._recorded.set_status(Status(StatusCode.ERROR))


def over_otlp(service: str) -> tuple[Opening, Callable[[], None]]:
    """Spans that are sent in the background, at most 2,048 of them waiting, as the `OTEL_` variables say.

    The provider becomes that of the whole process, so that what a job's own libraries record are spans below its.

    Args:
        service: the name of the service, where `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` have none.
    """
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    told = Resource.create()
    unnamed = str(told.attributes.get(SERVICE_NAME, "")).startswith("unknown_service")
    provider = TracerProvider(resource=told.merge(Resource({SERVICE_NAME: service})) if unnamed else told)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    return opening(provider), lambda: _flush(provider)


def opening(provider: TracerProvider) -> Opening:
    """What opens spans of this provider."""
    tracer = provider.get_tracer("busctl")

    @contextmanager
    def opened(name: str, parent: str | None, kind: Kind, attributes: Mapping[str, str | int]) -> Iterator[Span]:
        before = None if parent is None else _PROPAGATOR.extract({HEADER: parent})
        # An exception's text may tell what a client wrote, so that there was one is all that is recorded.
        with tracer.start_as_current_span(
            name, before, _KINDS[kind], attributes, record_exception=False, set_status_on_exception=False
        ) as recorded:
            try:
                yield Recorded(recorded)
            except BaseException as error:
                recorded.set_attribute("error.type", type(error).__qualname__)
                recorded.set_status(Status(StatusCode.ERROR))
                raise

    return opened


def _flush(provider: TracerProvider) -> None:
    provider.force_flush(FLUSH_TIMEOUT)
