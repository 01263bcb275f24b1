"""Whether this process lives, and whether it can do its work."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from quart import Blueprint, Response

from bus import BusError
from quart_app.errors import KeysUnavailable
from quart_app.identity.authenticator import Authenticator
from quart_app.services import Services
from quart_app.websocket.admission import Admission
from workers.errors import BrokerUnavailable

SHARED_FOR = 1.0
"""Seconds for which an answer is good enough for everybody who asks."""


class Readiness:
    """What the bus and the broker answered last. All who ask within `SHARED_FOR` share one look, however many they are.

    Args:
        checks: by name; each raises what is wrong.
    """

    def __init__(self, **checks: Callable[[], Awaitable[None]]) -> None:
        self._checks = checks
        self._looking: asyncio.Task[dict[str, str | None]] | None = None
        self._looked = float("-inf")

    async def look(self) -> dict[str, str | None]:
        """What is wrong with each, by name; None where nothing is."""
        loop = asyncio.get_running_loop()
        if self._looking is None or (self._looking.done() and loop.time() - self._looked >= SHARED_FOR):
            self._looked = loop.time()
            self._looking = asyncio.create_task(self._look(), name="look whether this process is ready")
        return await asyncio.shield(self._looking)

    async def _look(self) -> dict[str, str | None]:
        wrong = await asyncio.gather(*(_wrong(check) for check in self._checks.values()))
        return dict(zip(self._checks, wrong, strict=True))


async def _wrong(check: Callable[[], Awaitable[None]]) -> str | None:
    try:
        await check()
    except (BusError, BrokerUnavailable, KeysUnavailable) as error:
        return str(error)
    return None


def health(services: Services, admission: Admission, authenticator: Authenticator) -> Blueprint:
    """`/livez` and `/readyz`.

    Args:
        services: whose bus and broker have to answer.
        admission: says whether the process was told to stop.
        authenticator: needs keys, where clients have to prove who they are.
    """
    routes = Blueprint("health", __name__)
    checks = {"bus": services.bus.ping, "broker": services.enqueuer.ping}
    if authenticator.asks:
        checks["keys"] = authenticator.ping
    readiness = Readiness(**checks)

    @routes.get("/livez")
    async def livez() -> Response:
        """200 while the event loop turns; for restarting a process that hangs."""
        return Response("ok\n", content_type="text/plain; charset=utf-8")

    @routes.get("/readyz")
    async def readyz() -> Response:
        """200 when the bus and the broker answer within their deadlines, else 503 and what is wrong with which.

        The answer may be a second old. 503 also from the moment on at which the process was told to stop.
        """
        wrong = await readiness.look()
        lines = ["draining"] if admission.draining else []
        lines += [f"{name}: {error or 'ok'}" for name, error in wrong.items()]
        ready = not admission.draining and not any(wrong.values())
        return Response("\n".join(lines) + "\n", 200 if ready else 503, content_type="text/plain; charset=utf-8")

    return routes
