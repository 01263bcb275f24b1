"""The production web process: Hypercorn through its Python API, with an orderly end.

`busctl serve` runs this. On SIGTERM or SIGINT every client is told to come back (close code 1012) before the
listening sockets close: Hypercorn alone would cut them off, and on Python 3.12 and later wait for them for ever.
"""

from __future__ import annotations

import asyncio
import logging
import signal

import structlog
from hypercorn.asyncio import serve as hypercorn_serve
from hypercorn.config import Config

from bus import Bus, Settings
from bus.log import configure_logging
from quart_app.app import create_app
from quart_app.close_codes import SERVICE_RESTART
from quart_app.hub import Hub
from quart_app.hypercorn_inside import install

log = structlog.get_logger(__name__)

DRAIN_SECONDS = 5.0
"""Deadline for clients to go once they were told to."""


def serve(settings: Settings, bind: str) -> None:
    """Serve until SIGTERM or SIGINT, then drain.

    Args:
        settings: of this process.
        bind: `host:port`.

    Raises:
        OSError: the address cannot be bound.
        BusError: NATS cannot be used; see `Bus.connect`.
    """
    configure_logging(settings)
    asyncio.run(_serve(settings, bind))


async def _serve(settings: Settings, bind: str) -> None:
    install()
    config = Config()
    config.bind = [bind]
    config.accesslog = None
    config.errorlog = logging.getLogger("hypercorn.error")
    config.graceful_timeout = DRAIN_SECONDS
    config.websocket_max_message_size = settings.max_frame_bytes
    config.websocket_ping_interval = 20
    config.read_timeout = 60
    app = create_app(settings)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)

    async def drained() -> None:
        await stop.wait()
        hub: Hub = app.extensions["busctl.hub"]
        log.info("stopping", connections=len(hub))
        hub.close_all(SERVICE_RESTART)
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                await hub.empty()
        except TimeoutError:
            log.warning("some clients did not go in time", connections=len(hub))

    # Hypercorn hides why a startup failed in an error of its own; asking first keeps the reason whole.
    async with Bus(settings, name="busctl web", update_stream=True):
        pass
    await hypercorn_serve(app, config, shutdown_trigger=drained)
