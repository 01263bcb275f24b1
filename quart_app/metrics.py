"""What this process counts, in the Prometheus text format at `/metrics`.

With several workers the processes share a directory, named by PROMETHEUS_MULTIPROC_DIR, and each answers for all.
"""

from __future__ import annotations

import os
import shutil
from hmac import compare_digest

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from pydantic import SecretStr
from quart import Blueprint, Response, request

from quart_app.close_codes import CloseCode

SHARED_DIR = "PROMETHEUS_MULTIPROC_DIR"
"""The variable by which prometheus-client finds the directory that several processes share."""


class Metrics:
    """The counters of one process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.connections = Gauge(
            "busctl_connections", "Open WebSockets.", registry=self._registry, multiprocess_mode="livesum"
        )
        self.events = Counter("busctl_events", "Events heard from the bus for clients here.", registry=self._registry)
        self.deliveries = Counter("busctl_deliveries", "Events times connections.", registry=self._registry)
        self.dropped = Counter("busctl_dropped", "Bus messages that were no event.", registry=self._registry)
        self.errors = Counter("busctl_errors", "Frames answered with an error.", ["type"], registry=self._registry)
        self._refused = Counter("busctl_refused", "Handshakes refused.", ["status"], registry=self._registry)
        self._closed = Counter("busctl_closed", "WebSockets closed from this side.", ["code"], registry=self._registry)

    def refused(self, refusal: Response) -> None:
        """Count a handshake that was answered with an HTTP error, such as 503 for want of room."""
        self._refused.labels(str(refusal.status_code)).inc()

    def closed(self, code: CloseCode) -> None:
        """Count a WebSocket that was closed from this side, such as 1013 for one that reads too slowly."""
        self._closed.labels(str(code.code)).inc()

    def text(self) -> bytes:
        """Everything, of all processes that share a directory."""
        registry = self._registry
        if SHARED_DIR in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)

    def remove_shared(self) -> None:
        """Remove the directory that processes share, when the supervisor that made it was killed and cannot."""
        shutil.rmtree(os.environ[SHARED_DIR], ignore_errors=True)


def metrics(counted: Metrics, token: SecretStr | None) -> Blueprint:
    """`/metrics`.

    Args:
        counted: what it shows.
        token: what a request has to bring, `BUS_METRICS_TOKEN`; None lets everybody read.
    """
    routes = Blueprint("metrics", __name__)

    @routes.get("/metrics")
    async def expose() -> Response:
        """The counters, for Prometheus; 401 without the token, when `BUS_METRICS_TOKEN` is set."""
        if token is not None and not _brings(token.get_secret_value(), request.headers.get("Authorization", "")):
            text = "this needs Authorization: Bearer with the value of BUS_METRICS_TOKEN\n"
            return Response(text, 401, {"WWW-Authenticate": "Bearer"}, content_type="text/plain; charset=utf-8")
        return Response(counted.text(), content_type=CONTENT_TYPE_LATEST)

    return routes


def _brings(token: str, authorization: str) -> bool:
    """Whether a header has the token, in a time that does not tell how much of it is right."""
    scheme, _, given = authorization.partition(" ")
    return scheme.lower() == "bearer" and compare_digest(given.strip().encode("latin-1"), token.strip().encode())
