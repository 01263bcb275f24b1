"""Ask the `busctl dev` that this process belongs to for a fault, so that people can see what the system makes of it."""

from __future__ import annotations

import asyncio

from quart import Blueprint, Response, request

from quart_app.websocket.origin import origin_allowed

ANSWER_WITHIN = 5.0
"""Seconds."""
FAULTS = ("kill-worker", "freeze-redis")


def dev_faults(socket: str) -> Blueprint:
    """`POST /dev/faults/<name>`, below `busctl dev` alone.

    Args:
        socket: path of the Unix socket where `busctl dev` listens; without one there is nothing here.
    """
    routes = Blueprint("dev_faults", __name__)
    routes.app_context_processor(lambda: {"faults": FAULTS if socket else ()})
    if not socket:
        return routes

    @routes.post("/dev/faults/<any({}):name>".format(", ".join(f'"{name}"' for name in FAULTS)))
    async def fault(name: str) -> Response:
        """Only for a page of this very origin: browsers say where a POST comes from, and other sites may send some."""
        origins, host = request.headers.getlist("Origin"), request.headers.get("Host", "")
        if not origins or not origin_allowed(origins, host, (), secure=request.scheme == "https"):
            return _told(403, "only this system's own page may ask for a fault")
        try:
            async with asyncio.timeout(ANSWER_WITHIN):
                answer = await _ask(socket, name)
        except (OSError, TimeoutError):
            return _told(502, "busctl dev does not answer")
        outcome, _, text = answer.partition(": ")
        return _told(409, text) if outcome == "error" else _told(200, answer)

    return routes


async def _ask(socket: str, name: str) -> str:
    reader, writer = await asyncio.open_unix_connection(socket)
    try:
        writer.write(f"{name}\n".encode())
        return (await reader.readline()).decode().strip()
    finally:
        writer.close()


def _told(status: int, text: str) -> Response:
    return Response(f"{text}\n", status, content_type="text/plain; charset=utf-8")
