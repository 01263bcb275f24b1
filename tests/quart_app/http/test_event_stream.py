"""A response that goes on for as long as its client reads."""

from __future__ import annotations

import asyncio
from typing import Any

from quart import Quart

from quart_app.http.event_socket import Send
from quart_app.http.event_stream import EventStream, RawHeaders, StreamingHttp

SCOPE: Any = {
    "type": "http",
    "asgi": {},
    "http_version": "1.1",
    "method": "GET",
    "scheme": "http",
    "path": "/events",
    "raw_path": b"/events",
    "query_string": b"",
    "root_path": "",
    "headers": [],
    "extensions": {},
}


async def test_it_outlives_the_time_that_other_responses_have() -> None:
    app = Quart(__name__)
    app.config["RESPONSE_TIMEOUT"] = 0
    sent: list[Any] = []

    async def serve(send: Send, headers: RawHeaders) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": b"later", "more_body": False})

    @app.get("/events")
    async def events() -> EventStream:
        return EventStream(serve)

    async def send(message: Any) -> None:
        sent.append(message)

    requests: asyncio.Queue[Any] = asyncio.Queue(1)
    requests.put_nowait({"type": "http.request", "body": b"", "more_body": False})

    async with asyncio.timeout(10):
        await StreamingHttp(app, SCOPE)(requests.get, send)
    assert [message.get("body") for message in sent] == [None, b"later"]
