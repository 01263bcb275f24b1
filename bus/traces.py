"""Traces: the one that a job belongs to, from the frame that asks for it to its result (W3C Trace Context).

A `traceparent` names a trace, and the step in it that comes before. It is stored with the job, and is a header of each
of the job's events in NATS and of its task in Redis. With `BUS_TRACES=otlp` the steps of this system are spans of that
trace, or begin one; without, a trace that a client began is handed on as it is, and log lines have its `trace_id`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from importlib.util import find_spec
from typing import Annotated, Literal, TypeAlias

import structlog
from pydantic import AfterValidator, Field
from structlog.contextvars import bind_contextvars, bound_contextvars, unbind_contextvars

from bus.errors import SettingsError
from bus.settings import Settings
from bus.tracebacks import described

log = structlog.get_logger(__name__)

HEADER = "traceparent"
"""The name of the header, of an event and of a task."""
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")

Kind: TypeAlias = Literal["producer", "consumer"]


def _traceparent(value: str) -> str:
    if not _TRACEPARENT.fullmatch(value):
        raise ValueError("no traceparent of W3C Trace Context, such as 00-<32 hex digits>-<16 hex digits>-01")
    return value


Traceparent = Annotated[
    str,
    Field(min_length=55, max_length=55, examples=["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"]),
    AfterValidator(_traceparent),
]


def trace_id(traceparent: str) -> str:
    """The id of the trace, 32 hex digits."""
    return traceparent[3:35]


def read(value: str | None) -> str | None:
    """A traceparent that came from outside, such as a variable of the environment; None for what is none."""
    return value if value is not None and _TRACEPARENT.fullmatch(value) else None


class Span:
    """One step of a trace. This one is shown nowhere; `bus.opentelemetry` has those that are.

    Args:
        traceparent: what comes after this step is told of its trace; None outside of any.
    """

    def __init__(self, traceparent: str | None) -> None:
        self.traceparent = traceparent

    def end(self, state: str) -> None:
        """How it ended: the action of the event that says so, such as `job_result`."""


Opening: TypeAlias = Callable[[str, str | None, Kind, Mapping[str, str | int]], AbstractContextManager[Span]]


def _shown_nowhere(_: str, parent: str | None, __: Kind, ___: Mapping[str, str | int]) -> AbstractContextManager[Span]:
    return nullcontext(Span(parent))


_open: Opening = _shown_nowhere
_flush: Callable[[], None] = lambda: None  # noqa: E731 - replaced as a whole


@contextmanager
def span(name: str, parent: str | None, kind: Kind, attributes: Mapping[str, str | int]) -> Iterator[Span]:
    """A block that is one step of a trace. Log lines from inside it have the `trace_id`.

    Args:
        name: what is done, and to what kind of thing: of few different ones.
        parent: the `traceparent` of the step before; None begins a trace, if spans are shown.
        kind: whether it hands work on, or does some that was handed on.
        attributes: what is known of it at the beginning. No text of a client's.
    """
    with ExitStack() as stack:
        try:
            opened = stack.enter_context(_open(name, parent, kind, attributes))
        except Exception as error:  # a job whose attempt has begun would stay so
            log.warning("a span cannot be shown", error=described(error))
            opened = Span(parent)
        if opened.traceparent is None:
            yield opened
            return
        with bound_contextvars(trace_id=trace_id(opened.traceparent)):
            yield opened


@contextmanager
def of_a_job() -> Iterator[None]:
    """A block in which work is done for one job, whose trace `bind` tells when it is known."""
    try:
        yield
    finally:
        unbind_contextvars("trace_id")


def bind(traceparent: str | None) -> None:
    """Have log lines tell this trace, inside of `of_a_job`."""
    if traceparent is not None:
        bind_contextvars(trace_id=trace_id(traceparent))


def require(settings: Settings) -> None:
    """See that spans can be sent, if they are to be.

    Raises:
        SettingsError: a package is missing, or a variable of OpenTelemetry's cannot be used.
    """
    if settings.traces != "otlp":
        return
    if find_spec("opentelemetry") is None or find_spec("opentelemetry.sdk") is None:
        raise SettingsError("BUS_TRACES: otlp needs packages that are not installed: install busctl[otel]")
    try:
        from bus import opentelemetry

        opentelemetry.require()
    except Exception as error:
        told = ", ".join(sorted(name for name in os.environ if name.startswith("OTEL_")))
        raise SettingsError(f"BUS_TRACES: otlp cannot be used as {told} say: {error}") from error


def start(settings: Settings, service: str) -> None:
    """Show spans from now on, in this process and in those that it forks, if the settings ask for it.

    Args:
        service: what this process is called where `OTEL_SERVICE_NAME` says nothing else.
    """
    if settings.traces == "otlp":
        from bus import opentelemetry

        use(*opentelemetry.over_otlp(service))


def use(opening: Opening, flush: Callable[[], None]) -> None:
    """Have spans opened by `opening`, and sent at once by `flush`."""
    global _open, _flush
    _open, _flush = opening, flush


def stop() -> None:
    """Send what was not sent yet, for a few seconds at most."""
    _flush()
