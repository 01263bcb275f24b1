"""Pages and static files travel compressed to those who take that (RFC 9110 section 8.4).

Nothing of them depends on who asks, so their length tells nobody a secret.
"""

from __future__ import annotations

import asyncio
import gzip

from quart import Quart, Response, request

LEAST = 600
"""Bytes; what is shorter gains nothing."""
ENDPOINTS = {"static", "asset", "pages.system", "console.page", "asyncapi.docs", "asyncapi.document"}
TYPES = {"text/css", "text/html", "text/javascript", "image/svg+xml", "application/json"}


def compress_pages(app: Quart) -> None:
    """Compress what the endpoints above answer.

    Args:
        app: the application.
    """
    known: dict[str, bytes] = {}  # static files by entity tag: one has many paths, with dots in them

    @app.after_request
    async def compress(response: Response) -> Response:
        if request.endpoint not in ENDPOINTS or response.status_code != 200 or response.mimetype not in TYPES:
            return response
        response.vary.add("Accept-Encoding")
        tag, _ = response.get_etag()
        body = await response.get_data(as_text=False)
        if len(body) < LEAST or request.accept_encodings["gzip"] <= 0:
            return response
        packed = known.get(tag) if tag is not None else None
        if packed is None:
            packed = await asyncio.to_thread(gzip.compress, body, mtime=0)
        if tag is not None:
            known[tag] = packed
            response.set_etag(tag, weak=True)  # the same thing, though not byte for byte
        response.set_data(packed)
        response.content_encoding = "gzip"
        return response
