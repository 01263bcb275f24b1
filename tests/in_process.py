"""An ASGI app on a real Hypercorn inside the test's own process, so that a test can hold its handlers."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from hypercorn.asyncio import serve
from hypercorn.config import Config

from bus import Settings
from quart_app.server import hypercorn_inside

DEADLINE = 30.0


@asynccontextmanager
async def serving(app: Any, *, wired: bool, settings: Settings | None = None, **options: Any) -> AsyncIterator[int]:
    """Serve the app; the port. At the end every client must have gone.

    Args:
        wired: with `hypercorn_inside` installed.
        settings: what it is installed with; by default those of the environment.
        options: of Hypercorn's configuration.
    """
    before = [(module, name, vars(module)[name]) for module, name in hypercorn_inside.REPLACED]
    listener = socket.create_server(("127.0.0.1", 0))
    port: int = listener.getsockname()[1]
    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.errorlog = config.accesslog = None
    for name, value in options.items():
        setattr(config, name, value)
    stopping = asyncio.Event()
    try:
        if wired:
            assert hypercorn_inside.install(settings or Settings.load())
        server = asyncio.create_task(serve(app, config, shutdown_trigger=stopping.wait))
        try:
            yield port
        finally:
            stopping.set()
            async with asyncio.timeout(DEADLINE):
                await server
    finally:
        for module, name, kind in before:
            setattr(module, name, kind)
