"""create_app(): wires everything; startup and shutdown."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack
from functools import partial

import structlog
from quart import Quart

from bus import Bus, Settings
from bus.log import configure_logging
from quart_app.admission import Admission
from quart_app.asgi_websocket import PullingWebsocket
from quart_app.asyncapi import asyncapi
from quart_app.channel import Channel
from quart_app.close_codes import SERVICE_RESTART
from quart_app.endpoint import Endpoint
from quart_app.health import health
from quart_app.hosts import answer_for
from quart_app.hub import Hub
from quart_app.identity import Sessions
from quart_app.metrics import Metrics, metrics
from quart_app.pages import pages
from quart_app.pipeline import Pipeline
from quart_app.renewal import Renewal
from quart_app.services import Services
from workers.enqueue import Enqueuer
from workers.registry import discover

LAST_MOMENT = 1.0
"""Seconds between telling clients to come back and asking a server that does not drain to stop."""

log = structlog.get_logger(__name__)


def create_app(settings: Settings | None = None, channels: Sequence[type[Channel]] | None = None) -> Quart:
    """The web application.

    Args:
        settings: by default those of the environment.
        channels: the WebSocket endpoints to serve, by default those of `quart_app.channels`.

    Raises:
        SettingsError: a variable has a value that cannot be used.
        JobDefinitionError, ChannelDefinitionError: a job or a channel is written in a way that cannot work.
    """
    settings = settings or Settings.load()
    channels = channels if channels is not None else our_channels()
    jobs = discover()
    app = Quart(__name__)
    app.asgi_websocket_class = PullingWebsocket
    app.config["MAX_CONTENT_LENGTH"] = settings.max_frame_bytes
    app.config["METRICS_TOKEN"] = settings.metrics_token
    app.register_blueprint(health)
    app.register_blueprint(metrics)
    app.register_blueprint(pages)
    app.register_blueprint(asyncapi)
    answer_for(app, settings.allowed_hosts, counters := Metrics())
    app.extensions["busctl.channels"] = tuple(channels)
    app.extensions["busctl.metrics"] = counters
    app.extensions["busctl.admission"] = Admission(settings.max_connections, counters.connections)

    @app.while_serving
    async def serve() -> AsyncGenerator[None, None]:
        configure_logging(settings)
        async with AsyncExitStack() as stack:
            bus = await stack.enter_async_context(Bus(settings, name="busctl web", update_stream=True))
            enqueuer = await stack.enter_async_context(Enqueuer(settings, bus))
            events = {action: op.message for channel in channels for action, op in channel.events.items()}
            pipeline = Pipeline(bus, events, counters, replay_memory_bytes=settings.replay_memory_bytes)
            hub = pipeline.hub
            bus.add_gap_callback(hub.on_gap)
            served_by_us = "busctl.on_lost" in app.extensions
            bus.on_lost = app.extensions["busctl.on_lost"] if served_by_us else partial(_end, hub)
            bus.on_drop = counters.dropped.inc
            stack.push_async_callback(pipeline.stop)
            await pipeline.start({group for channel in channels for group in channel.groups})
            app.extensions["busctl"] = Services(settings, bus, enqueuer, jobs)
            app.extensions["busctl.pipeline"] = pipeline
            app.extensions["busctl.hub"] = hub
            app.extensions["busctl.sessions"] = sessions = Sessions(settings)
            app.extensions["busctl.renewal"] = renewal = Renewal(sessions, settings.resume_max_age)
            renewing = asyncio.create_task(renewal.run(), name="renewal")
            stack.callback(renewing.cancel)
            yield
            hub.close_all(SERVICE_RESTART)
            if bus.lost is not None and not served_by_us:
                raise SystemExit(f"error: {bus.lost}")  # of other exceptions servers only tell

    for channel in channels:
        endpoint = Endpoint(app, channel, settings)
        app.add_websocket(channel.path, channel.name, endpoint.serve)
        app.add_websocket(channel.path + "/", channel.name, endpoint.serve)
    return app


def _end(hub: Hub, reason: str) -> None:
    """Ask the server, whichever it is, to stop; `busctl serve` has a way of its own."""
    log.error("this process cannot work any more and ends", reason=reason)
    hub.close_all(SERVICE_RESTART)
    asyncio.get_running_loop().call_later(LAST_MOMENT, signal.raise_signal, signal.SIGTERM)


def our_channels() -> Sequence[type[Channel]]:
    """The channels of this app.

    They are imported here, so that one that cannot work is said as orderly as a bad setting.

    Raises:
        ChannelDefinitionError: a channel is written in a way that cannot work.
    """
    from quart_app.channels import CHANNELS

    return CHANNELS
