"""The ASGI application behind `quart_app:app`: made when a server first calls it, so that an import does no work."""

from __future__ import annotations

import asyncio
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Never

from quart import Quart

from bus import BusError
from bus.log import warn_of_unknown_settings
from quart_app.errors import ApplicationError, ChannelDefinitionError
from workers.errors import JobDefinitionError

CANNOT_START = (BusError, JobDefinitionError, ChannelDefinitionError, ApplicationError)
"""What is wrong with settings, jobs, channels or an application; each says in one line what to do."""


class LazyApp:
    """An application for a server's command line, such as `hypercorn quart_app:app`.

    When it cannot start it prints why on standard error, in one line, and ends the process with exit status 1. In a
    program of your own call `create_app`, which raises instead.

    Args:
        create: makes the application.
    """

    def __init__(self, create: Callable[[], Quart]) -> None:
        self._create = create
        self._app: Quart | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one ASGI scope."""
        if self._app is None:
            self._app = await self._made(send)

        async def started(message: Any) -> None:
            if message["type"] == "lifespan.startup.failed":
                await _exit(f"error: {message['message']}", send)
            if message["type"] == "lifespan.startup.complete":
                warn_of_unknown_settings()
            await send(message)

        await self._app(scope, receive, started if scope["type"] == "lifespan" else send)

    async def _made(self, send: Any) -> Quart:
        try:
            return self._create()
        except CANNOT_START as error:
            await _exit(f"error: {error}", send)
        except Exception:
            await _exit(traceback.format_exc(), send)


async def _exit(text: str, send: Any) -> Never:
    print(text, file=sys.stderr, flush=True)
    # Some servers catch whatever an application raises, and go on without it. None outlives its event loop.
    asyncio.get_running_loop().call_soon(sys.exit, 1)
    with suppress(Exception):  # how some take it that an application cannot start
        await send({"type": "lifespan.startup.failed"})
    while True:
        await asyncio.Event().wait()
