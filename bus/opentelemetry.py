"""Spans of OpenTelemetry, for `bus.traces`. Imported only where they are wanted: the SDK is an extra."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from bus.library_log import LibraryRecords
from bus.traces import HEADER, Kind, Opening, Span

FLUSH_TIMEOUT = 3.0
"""Seconds that a process which ends waits for its last spans to be taken."""

# It quotes headers, which have secrets, wherever its records go: also before logging is configured.
logging.getLogger("opentelemetry.util.re").addFilter(LibraryRecords())

_PROPAGATOR = TraceContextTextMapPropagator()
_KINDS: dict[Kind, SpanKind] = {"producer": SpanKind.PRODUCER, "consumer": SpanKind.CONSUMER}


class Recorded(Span):
    """A span that is recorded, if its trace is sampled.

    Args:
        parent: the `traceparent` of the step before, which is handed on where nothing is recorded.
    """

    def __init__(self, recorded: trace.Span, parent: str | None) -> None:
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier, trace.set_span_in_context(recorded))
        super().__init__(carrier.get(HEADER, parent))  # OTEL_SDK_DISABLED makes spans that are none
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
    provider = _provider(service)
    trace.set_tracer_provider(provider)
    return opening(provider), lambda: flush(provider)


def require() -> None:
    """See that the `OTEL_` variables can be used.

    Raises:
        Exception: what the SDK raises for one that cannot.
    """
    _provider("busctl").shutdown()


def _provider(service: str) -> TracerProvider:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    told = Resource.create()
    unnamed = str(told.attributes.get(SERVICE_NAME, "")).startswith("unknown_service")
    resource = told.merge(Resource({SERVICE_NAME: service})) if unnamed else told
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)  # which would wait for 30 s; see `flush`
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


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
                yield Recorded(recorded, parent)
            except BaseException as error:
                recorded.set_attribute("error.type", type(error).__qualname__)
                recorded.set_status(Status(StatusCode.ERROR))
                raise

    return opened


def flush(provider: TracerProvider) -> None:
    """Send what was not sent yet, for `FLUSH_TIMEOUT` at most."""
    # The SDK takes a timeout and then waits as long as its exporter tries: a thread does, which nobody has to wait for.
    flushing = threading.Thread(target=provider.force_flush, name="last spans", daemon=True)
    flushing.start()
    flushing.join(FLUSH_TIMEOUT)
