"""create_app(): wires everything; startup and shutdown."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import structlog
from quart import Quart, Response, Websocket, websocket
from quart.asgi import ASGIWebsocketConnection

from bus import Bus, BusUnavailable, Settings
from bus.log import configure_logging
from quart_app.asyncapi import asyncapi
from quart_app.auth import origin_allowed
from quart_app.channel import Channel
from quart_app.channels import CHANNELS
from quart_app.close_codes import SERVICE_RESTART
from quart_app.connection import Connection
from quart_app.frames import FrameParser
from quart_app.health import health
from quart_app.hub import Hub
from quart_app.pages import pages
from quart_app.services import Services
from quart_app.session import SUBPROTOCOL, Sessions, handshake, resume
from workers.enqueue import Enqueuer
from workers.registry import discover

log = structlog.get_logger(__name__)

INBOUND_FRAMES = 16
"""Frames of one connection that may wait to be answered; then its TCP window closes."""


class BoundedWebsocket(ASGIWebsocketConnection):
    """Quart's ASGI connection with a bounded inbound queue."""

    def __init__(self, app: Quart, scope: Any) -> None:
        super().__init__(app, scope)
        self.queue = asyncio.Queue(INBOUND_FRAMES)


def create_app(settings: Settings | None = None, channels: Sequence[type[Channel]] = CHANNELS) -> Quart:
    """The web application.

    Args:
        settings: by default those of the environment.
        channels: the WebSocket endpoints to serve.
    """
    settings = settings or Settings.load()
    app = Quart(__name__)
    app.asgi_websocket_class = BoundedWebsocket
    app.config["MAX_CONTENT_LENGTH"] = settings.max_frame_bytes
    app.register_blueprint(health)
    app.register_blueprint(pages)
    app.register_blueprint(asyncapi)
    app.extensions["busctl.channels"] = tuple(channels)

    @app.while_serving
    async def serve() -> AsyncGenerator[None, None]:
        configure_logging(settings)
        async with AsyncExitStack() as stack:
            bus = await stack.enter_async_context(Bus(settings, name="busctl web", update_stream=True))
            enqueuer = await stack.enter_async_context(Enqueuer(settings))
            events = {action: op.message for channel in channels for action, op in channel.events.items()}
            hub = Hub(bus, events)
            bus.on_gap = hub.on_gap
            stack.push_async_callback(hub.stop)
            await hub.start({group for channel in channels for group in channel.groups})
            app.extensions["busctl"] = Services(settings, bus, enqueuer, discover())
            app.extensions["busctl.hub"] = hub
            app.extensions["busctl.sessions"] = Sessions(settings)
            yield
            hub.close_all(SERVICE_RESTART)

    for channel in channels:
        endpoint = _endpoint(app, channel, settings)
        app.add_websocket(channel.path, channel.name, endpoint)
        app.add_websocket(channel.path + "/", channel.name, endpoint)
    return app


def _endpoint(app: Quart, channel: type[Channel], settings: Settings) -> Callable[[], Any]:
    parser = FrameParser({action: operation.message for action, operation in channel.receives.items()})

    async def endpoint() -> Response | None:
        if not origin_allowed(websocket.headers.get("Origin"), websocket.host, settings.allowed_origins):
            return Response("this origin may not connect; see BUS_ALLOWED_ORIGINS\n", 403)
        socket: Websocket = websocket._get_current_object()  # type: ignore[attr-defined]
        serve = _serve_v1 if SUBPROTOCOL in socket.requested_subprotocols else _serve_plain
        make = partial(Connection, socket, channel, parser, app.extensions["busctl"])
        return await serve(socket, make, app.extensions["busctl.hub"], app.extensions["busctl.sessions"], settings)

    return endpoint


async def _serve_plain(
    socket: Websocket, make: Callable[..., Connection], hub: Hub, sessions: Sessions, settings: Settings
) -> Response | None:
    connection = make(client_id=secrets.token_urlsafe(16))
    try:
        await hub.attach(connection)
        await socket.accept()
        await connection.run()
    except BusUnavailable:
        return Response("the event bus is away; try again\n", 503)
    finally:
        await hub.detach(connection)
    return None


async def _serve_v1(
    socket: Websocket, make: Callable[..., Connection], hub: Hub, sessions: Sessions, settings: Settings
) -> None:
    await socket.accept(subprotocol=SUBPROTOCOL)
    greeting = await handshake(socket, sessions, settings)
    if greeting is None:
        return
    connect, identity = greeting
    connection = make(client_id=identity.client_id, v1=True)

    async def opening() -> None:
        await hub.attach(connection)
        await resume(connection, identity, connect, hub, sessions, settings)

    try:
        await connection.run(opening)
    finally:
        await hub.detach(connection)
