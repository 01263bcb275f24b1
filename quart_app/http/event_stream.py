"""A response that goes on for as long as its client reads, written by whoever serves it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from quart import Response
from quart.asgi import ASGIHTTPConnection
from quart.utils import encode_headers

from quart_app.http.event_socket import Send

RawHeaders = list[tuple[bytes, bytes]]
HEADERS = {
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx would else keep events back until it has a block of them
}


class EventStream(Response):
    """Server-Sent Events.

    Args:
        serve: sends the whole response, with these headers, and returns when it is over. Without it there is no body.
    """

    def __init__(self, serve: Callable[[Send, RawHeaders], Awaitable[None]] | None = None) -> None:
        super().__init__(b"", 200, HEADERS, content_type="text/event-stream; charset=utf-8")
        del self.headers["Content-Length"]
        self.timeout = None  # Quart would end it after RESPONSE_TIMEOUT, a minute
        self.serve = serve


class StreamingHttp(ASGIHTTPConnection):
    """Quart's HTTP connection, which also knows `EventStream`.

    Quart pulls what it sends out of a generator; here a connection pushes. When the client leaves, who serves it is
    cancelled, as Quart does with every handler.
    """

    async def _send_response(self, send: Any, response: Any) -> None:
        if isinstance(response, EventStream) and response.serve is not None:
            await response.serve(send, encode_headers(response.headers))
        else:
            await super()._send_response(send, response)
