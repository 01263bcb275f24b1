"""The one file that knows Hypercorn's inside. Written against Hypercorn 0.18.

Two things its configuration cannot say:

* permessage-deflate is always offered, and a small compressed frame can unpack to hundreds of megabytes before the
  size limit sees it (RFC 7692 section 8 warns of this): here it is not offered.
* the task that sends WebSocket pings sleeps on after its socket has closed, which keeps the connection in memory for
  another ping interval and holds up a shutdown: here it ends with the socket.
"""

from __future__ import annotations

import asyncio
from typing import Any

import hypercorn.protocol.h2 as h2
import hypercorn.protocol.h11 as h11
import structlog
from hypercorn.protocol.events import Event, StreamClosed
from hypercorn.protocol.ws_stream import WSStream
from wsproto.events import Ping

log = structlog.get_logger(__name__)

RELIED_ON = ("_accept", "_send_pings", "_send_wsproto_event", "handle")


class PromptWSStream(WSStream):
    """Hypercorn's WebSocket stream without deflate, and with pings that end with the socket."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._gone = asyncio.Event()

    async def handle(self, event: Event) -> None:
        if isinstance(event, StreamClosed):
            self._gone.set()
        await super().handle(event)

    async def _accept(self, message: Any) -> None:
        self.handshake.extensions = None
        await super()._accept(message)

    async def _send_pings(self) -> None:
        while not self.closed:
            await self._send_wsproto_event(Ping())
            try:
                async with asyncio.timeout(self.config.websocket_ping_interval):
                    await self._gone.wait()
            except TimeoutError:
                continue


def install() -> None:
    """Let Hypercorn's HTTP/1.1 and HTTP/2 protocols open their WebSockets as `PromptWSStream`.

    With a Hypercorn that is built otherwise, nothing is changed and one warning says so.
    """
    missing = [name for name in RELIED_ON if not hasattr(WSStream, name)]
    unknown = [module.__name__ for module in (h11, h2) if getattr(module, "WSStream", None) is None]
    if missing or unknown:
        log.warning(
            "this Hypercorn is built otherwise than expected; compressed frames are accepted and stopping may "
            "take a ping interval longer",
            missing=missing + unknown,
        )
        return
    for module in (h11, h2):
        module.WSStream = PromptWSStream  # type: ignore[attr-defined]
