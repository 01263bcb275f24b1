"""A job's trace: which texts name one, and the spans below it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Sequence
from typing import NoReturn

import pytest
import structlog
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from pydantic import TypeAdapter, ValidationError

from bus import Settings, SettingsError, opentelemetry, traces

TRACE, BEFORE = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GIVEN = f"00-{TRACE}-{BEFORE}-01"
NONE = [
    "",
    GIVEN.upper(),
    GIVEN + "-00",
    GIVEN[:-1],
    f"ff-{TRACE}-{BEFORE}-01",
    f"00-{'0' * 32}-{BEFORE}-01",
    f"00-{TRACE}-{'0' * 16}-01",
    f"00-{TRACE}-{BEFORE}-0g",
    GIVEN.replace("a", "à"),
    GIVEN[:-1] + "\n",
]


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """Has spans kept in memory."""
    kept, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    monkeypatch.setattr(traces, "_open", opentelemetry.opening(provider))
    yield kept
    provider.shutdown()


@pytest.mark.parametrize("text", NONE)
def test_what_is_no_traceparent_is_refused_where_it_is_written_and_passed_over_elsewhere(text: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(traces.Traceparent).validate_python(text)
    assert traces.read(text) is None


@pytest.mark.parametrize("text", [GIVEN, GIVEN[:-1] + "0", "cc" + GIVEN[2:]])
def test_a_traceparent_names_its_trace(text: str) -> None:
    assert TypeAdapter(traces.Traceparent).validate_python(text) == text == traces.read(text)
    assert traces.trace_id(text) == TRACE


def test_without_spans_a_trace_is_handed_on_as_it_is_and_none_begins() -> None:
    with traces.span("submit echo", GIVEN, "producer", {}) as span:
        assert span.traceparent == GIVEN
        assert structlog.contextvars.get_contextvars()["trace_id"] == TRACE
    with traces.span("submit echo", None, "producer", {}) as span:
        assert span.traceparent is None
        assert "trace_id" not in structlog.contextvars.get_contextvars()


def test_spans_are_below_the_step_that_they_are_given(exporter: InMemorySpanExporter) -> None:
    with traces.span("submit echo", GIVEN, "producer", {"busctl.job.id": "j"}) as submitted:
        assert submitted.traceparent is not None
        assert submitted.traceparent.startswith(f"00-{TRACE}-")
    with traces.span("run echo", submitted.traceparent, "consumer", {}) as run:
        run.end("job_failed")
    first, second = exporter.get_finished_spans()
    assert first.parent is not None
    assert second.parent is not None
    assert f"{first.parent.span_id:016x}" == BEFORE
    assert second.parent.span_id == first.context.span_id
    assert {f"{one.context.trace_id:032x}" for one in (first, second)} == {TRACE}
    assert first.attributes == {"busctl.job.id": "j"}
    assert (second.attributes, second.status.status_code) == ({"busctl.job.state": "job_failed"}, StatusCode.ERROR)


def test_a_trace_that_is_not_sampled_is_handed_on_and_not_recorded(exporter: InMemorySpanExporter) -> None:
    with traces.span("submit echo", GIVEN[:-1] + "0", "producer", {}) as span:
        assert span.traceparent is not None
        assert span.traceparent.startswith(f"00-{TRACE}-")
        assert span.traceparent.endswith("-00")
    assert exporter.get_finished_spans() == ()


def test_a_span_begins_a_trace_where_there_is_none_and_tells_no_exceptions_text(exporter: InMemorySpanExporter) -> None:
    with pytest.raises(ValueError, match="secret"), traces.span("submit echo", None, "producer", {}):
        raise ValueError("secret")
    (recorded,) = exporter.get_finished_spans()
    assert recorded.parent is None
    assert recorded.status.status_code == StatusCode.ERROR
    assert "secret" not in recorded.to_json()
    assert (recorded.attributes or {})["error.type"] == "ValueError"


def test_with_the_sdk_switched_off_a_trace_is_handed_on_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    monkeypatch.setattr(traces, "_open", opentelemetry.opening(TracerProvider()))
    for given in (GIVEN, None):
        with traces.span("submit echo", given, "producer", {}) as span:
            assert span.traceparent == given
            span.end("job_failed")


def test_a_span_that_cannot_be_opened_keeps_nothing_from_being_done(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> NoReturn:
        raise RuntimeError("no clock")

    monkeypatch.setattr(traces, "_open", broken)
    with traces.span("run echo", GIVEN, "consumer", {}) as span:
        assert span.traceparent == GIVEN
    with pytest.raises(ValueError, match="its own"), traces.span("run echo", GIVEN, "consumer", {}):
        raise ValueError("its own")


def test_a_collector_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    trying, answer = threading.Event(), threading.Event()

    class Waits(InMemorySpanExporter):
        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            trying.set()
            answer.wait(30)
            return super().export(spans)

    exporter, provider = Waits(), TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(exporter))
    monkeypatch.setattr(opentelemetry, "FLUSH_TIMEOUT", 0.05)
    monkeypatch.setattr(traces, "_flush", lambda: opentelemetry.flush(provider))
    with provider.get_tracer("test").start_as_current_span("run echo"):
        pass
    traces.stop()
    assert trying.wait(10)
    assert exporter.get_finished_spans() == ()
    answer.set()
    provider.shutdown()


@pytest.mark.parametrize(("name", "value"), [("OTEL_BSP_SCHEDULE_DELAY", "0"), ("OTEL_BSP_MAX_QUEUE_SIZE", "-1")])
def test_what_opentelemetry_cannot_use_is_said_at_the_start(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=rf"BUS_TRACES.*{name}.* must be "):
        traces.require(Settings.load(traces="otlp"))
    traces.require(Settings.load())


def test_without_its_packages_a_process_that_should_send_spans_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings.load(traces="OTLP")
    traces.require(settings)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(SettingsError, match=r"BUS_TRACES.*install busctl\[otel\]"):
        traces.require(settings)
    traces.require(Settings.load())
