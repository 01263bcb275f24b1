"""Where Prometheus finds the metrics of a process: a small HTTP server in a thread, at an address of its own.

One request at a time, each with a deadline: whoever asks slowly keeps nobody waiting for long, and costs no memory.
"""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import structlog
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import SecretStr

from bus import bind_address
from bus.bearer import brings

REQUEST_TIMEOUT = 3.0
"""Seconds that a client may take for its request and for reading the answer, together."""
LOOK_EVERY = 0.5
"""Seconds between two looks whether to stop."""
BIND_AGAIN = 2.0
"""Seconds between two attempts to take the address."""

log = structlog.get_logger(__name__)


class MetricsListener:
    """Shows metrics at `/metrics`.

    Args:
        text: what it shows, in the Prometheus text format; called in the listener's thread for each request.
        bind: where, as `host:port`; None for nowhere.
        token: what a request has to bring, `BUS_METRICS_TOKEN`; None lets everybody read.
    """

    def __init__(self, text: Callable[[], bytes], bind: str | None, token: SecretStr | None) -> None:
        self._address = bind_address.parse(bind) if bind is not None else None
        self._handler = _handler(text, token)
        self._server: HTTPServer | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def run(self) -> None:
        """Answer until `stop`. An address that another process has is waited for."""
        told = False
        while self._address is not None and not self._stop.is_set():
            try:
                with _Server(self._address, self._handler) as self._server:
                    log.info("metrics are shown", host=self._address[0], port=self._address[1], path="/metrics")
                    while not self._stop.is_set():
                        self._server.handle_request()
            except OSError as error:
                if not told:
                    log.error("metrics cannot be shown there; trying again", bind=self._address, error=str(error))
                told = True
            self._stop.wait(BIND_AGAIN)

    def start(self) -> None:
        """Do `run` in a thread of its own, if there is an address."""
        if self._address is not None:
            self._thread = threading.Thread(target=self.run, name="metrics", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End `run` soon."""
        self._stop.set()

    def end(self) -> None:
        """Stop, and wait until the address is free."""
        self.stop()
        if self._thread is not None:
            self._thread.join(LOOK_EVERY + REQUEST_TIMEOUT)

    def forget(self) -> None:
        """In a forked child: let go of the address, which is the main process's."""
        if self._server is not None:
            self._server.socket.close()


class _Server(HTTPServer):
    timeout = LOOK_EVERY

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self.address_family = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)[0][0]
        super().__init__(address, handler)

    def server_bind(self) -> None:
        """Bind, without asking DNS for a name that nobody needs."""
        socketserver.TCPServer.server_bind(self)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer; whoever is not done with that in time is cut off, however often a byte comes or goes."""
        cut = threading.Timer(REQUEST_TIMEOUT, _cut, [request])
        cut.daemon = True
        cut.start()
        try:
            super().process_request(request, client_address)
        finally:
            cut.cancel()

    def handle_error(self, request: object, client_address: object) -> None:
        """Nothing: what goes wrong with a client is its own."""


def _cut(request: socket.socket) -> None:
    with suppress(OSError):  # it has just been closed
        request.shutdown(socket.SHUT_RDWR)


def _handler(shown: Callable[[], bytes], token: SecretStr | None) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """Answer."""
            if self.path.partition("?")[0] != "/metrics":
                self._answer(404, b"see /metrics\n", "text/plain; charset=utf-8")
            elif brings(token, self.headers.get("Authorization", "")):
                self._answer(200, shown(), CONTENT_TYPE_LATEST)
            else:
                text = b"this needs Authorization: Bearer with the value of BUS_METRICS_TOKEN\n"
                self._answer(401, text, "text/plain; charset=utf-8", **{"WWW-Authenticate": "Bearer"})

        def _answer(self, status: int, body: bytes, content_type: str, **headers: str) -> None:
            self.send_response(status)
            lengths = {"Content-Type": content_type, "Content-Length": str(len(body))}
            for name, value in (lengths | headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def version_string(self) -> str:
            """What runs here is nobody's business."""
            return "busctl"

        def log_message(self, *_: object) -> None:
            """Nothing, for each scrape."""

    return Handler
