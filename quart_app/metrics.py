"""What a web process counts, in the Prometheus text format at `/metrics`.

With several processes these share a directory, named by PROMETHEUS_MULTIPROC_DIR, and each answers for all.
docs/reference/metrics.md is made from what stands here.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable
from functools import partial

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from pydantic import SecretStr
from quart import Blueprint, Response, request

from bus.bearer import brings
from quart_app import close_codes
from quart_app.close_codes import CloseCode

SHARED_DIR = "PROMETHEUS_MULTIPROC_DIR"
"""The variable by which prometheus-client finds the directory that several processes share."""
SAMPLE_EVERY = 1.0
"""Seconds between two looks at what is not counted as it happens."""
CLIENT_CODES = frozenset([1000, 1001, 1005, 1006])
"""Codes with which a client closes, that are told apart; a client can send any."""
LAG_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)


class Metrics:
    """The metrics of one web process. All of it is used on the event loop."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        counter = partial(Counter, registry=self._registry)
        gauge = partial(Gauge, registry=self._registry)
        self.connections = gauge(
            "busctl_connections", "Open WebSockets and streams of events.", multiprocess_mode="livesum"
        )
        self.opened = counter(
            "busctl_opened",
            "WebSockets and streams of events accepted, by protocol: plain, bus.v1 or sse.",
            ["protocol"],
        )
        self.closed = counter(
            "busctl_closed",
            "WebSockets closed, by code and reason: the name in quart_app/close_codes.py where this side did it, such "
            "as too_slow; else client, with 1006 for one that sent no close frame.",
            ["code", "reason"],
        )
        self._refused = counter(
            "busctl_refused",
            "Handshakes, and requests for streams of events, answered with an HTTP error: 401 no valid token, 403 "
            "origin or channel, 421 host, 429 too many of one address, 503 no room, draining, or NATS or the keys of "
            "tokens away.",
            ["status"],
        )
        self.frames = counter("busctl_frames", "Frames that clients sent.")
        self.received = counter("busctl_received_bytes", "Bytes of those frames.")
        self.errors = counter(
            "busctl_errors",
            "Frames and requests that were not done, by type of error, such as stream_full or busy.",
            ["type"],
        )
        self.requests = counter("busctl_requests", "Requests of the HTTP API, by status of the answer.", ["status"])
        self.request_waits = gauge(
            "busctl_request_waits", "Requests that wait for the end of a job.", multiprocess_mode="livesum"
        )
        self.events = counter("busctl_events", "Events heard from the bus for clients here.")
        self.deliveries = counter("busctl_deliveries", "Events times connections.")
        self.delivered = counter(
            "busctl_delivered_bytes", "Bytes of events times connections, without those that are replayed."
        )
        self.dropped = counter(
            "busctl_dropped",
            "Bus messages that were no event, or that the stream does not have: garbage and forgeries.",
        )
        self.lag = Histogram(
            "busctl_bus_lag_seconds",
            "From when NATS stored an event to when it is handed to connections; ten samples a second at most. As good "
            "as the clocks agree.",
            buckets=LAG_BUCKETS,
            registry=self._registry,
        )
        self.resumes = counter(
            "busctl_resumes",
            "Clients of bus.v1 welcomed: new; recovered, with all that they missed; cut, with history missing.",
            ["outcome"],
        )
        self.replayed = counter("busctl_replayed_events", "Events replayed to clients that came back.")
        self.refilled = counter(
            "busctl_refilled_feeds",
            "Subscriptions of which missed events were read from the stream: NATS was away, this process too slow, or "
            "something did not fit.",
        )
        self.nats_up = gauge(
            "busctl_nats_up", "Whether NATS and the stream can be used; of several processes the worst.",
            multiprocess_mode="livemin",
        )  # fmt: skip
        self.nats_outages = counter("busctl_nats_outages", "How often that ended: a lost connection, or a refusal.")
        self.waiting = gauge(
            "busctl_enqueue_waiting", "Accepted jobs that wait for Redis in this process.", multiprocess_mode="livesum"
        )
        self.loop_lag = gauge(
            "busctl_loop_lag_seconds",
            "How late the event loop was at the last look, once a second; of several processes the worst.",
            multiprocess_mode="livemax",
        )

        for code in close_codes.ALL:  # so that the first of a kind is an increase
            self.closed.labels(str(code.code), code.name)
        for outcome in ("new", "recovered", "cut"):
            self.resumes.labels(outcome)

    def refused(self, refusal: Response) -> None:
        """Count a handshake that was answered with an HTTP error, such as 503 for want of room."""
        self._refused.labels(str(refusal.status_code)).inc()

    def frame(self, frame: str | bytes | None) -> None:
        """Count a frame of a client, and its bytes."""
        self.frames.inc()
        if frame:
            self.received.inc(len(frame if isinstance(frame, bytes) or frame.isascii() else frame.encode()))

    def closed_here(self, code: CloseCode) -> None:
        """Count a WebSocket that was closed from this side, such as with 1013 when it reads too slowly."""
        self.closed.labels(str(code.code), code.name).inc()

    def closed_there(self, code: int) -> None:
        """Count a WebSocket that its client closed, or lost (1006)."""
        self.closed.labels(str(code) if code in CLIENT_CODES else "other", "client").inc()

    def nats(self, works: bool) -> None:
        """NATS can be used from now on, or it cannot any more."""
        self.nats_up.set(works)
        if not works:
            self.nats_outages.inc()

    async def sample(self, waiting: Callable[[], int]) -> None:
        """Look now and then, until cancelled, at what is not counted as it happens.

        Args:
            waiting: how many jobs wait for Redis.
        """
        clock = asyncio.get_running_loop().time
        while True:
            due = clock() + SAMPLE_EVERY
            await asyncio.sleep(SAMPLE_EVERY)
            self.loop_lag.set(max(0.0, clock() - due))
            self.waiting.set(waiting())

    def text(self) -> bytes:
        """Everything, of all processes that share a directory."""
        directory = os.environ.get(SHARED_DIR)
        return generate_latest(self._registry) if directory is None else shared_text(directory)

    def remove_shared(self) -> None:
        """Remove the directory that processes share, when the supervisor that made it was killed and cannot."""
        shutil.rmtree(os.environ[SHARED_DIR], ignore_errors=True)


def shared_text(directory: str) -> bytes:
    """What all processes have counted that share a directory."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, directory)  # type: ignore[no-untyped-call]
    return generate_latest(registry)


def metrics(counted: Metrics, token: SecretStr | None) -> Blueprint:
    """`/metrics`, at the address where everybody comes; `BUS_METRICS_BIND` is for Prometheus alone.

    Args:
        counted: what it shows.
        token: what a request has to bring, `BUS_METRICS_TOKEN`; with None nobody is shown anything here.
    """
    routes = Blueprint("metrics", __name__)

    @routes.get("/metrics")
    async def expose() -> Response:
        """The metrics, for Prometheus; 401 without the token, and 403 while `BUS_METRICS_TOKEN` is not set."""
        if token is None:
            text = "metrics are not shown here: set BUS_METRICS_TOKEN, or BUS_METRICS_BIND to an address of their own\n"
            return Response(text, 403, content_type="text/plain; charset=utf-8")
        if not brings(token, request.headers.get("Authorization", "")):
            text = "this needs Authorization: Bearer with the value of BUS_METRICS_TOKEN\n"
            return Response(text, 401, {"WWW-Authenticate": "Bearer"}, content_type="text/plain; charset=utf-8")
        return Response(counted.text(), content_type=CONTENT_TYPE_LATEST)

    return routes
