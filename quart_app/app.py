"""create_app(): wires everything; startup and shutdown."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import AsyncExitStack

import structlog
from quart import Quart

from bus import Settings, traces
from bus.log import configure_logging, log_to_their_loggers
from quart_app.channel import Channel
from quart_app.channel_set import ChannelSet, console_channel, our_channels
from quart_app.close_codes import SERVICE_RESTART
from quart_app.delivery.pipeline import Pipeline
from quart_app.http.api import http_api
from quart_app.http.event_stream import StreamingHttp
from quart_app.identity.authenticator import Authenticator
from quart_app.metrics import Metrics, metrics
from quart_app.services import Services
from quart_app.web.assets import serve_assets
from quart_app.web.asyncapi import asyncapi
from quart_app.web.asyncapi.security import security_of
from quart_app.web.compressed import compress_pages
from quart_app.web.console_page import console_page
from quart_app.web.dev_faults import dev_faults
from quart_app.web.health import health
from quart_app.web.hosts import answer_for
from quart_app.web.pages import pages
from quart_app.web.root_path import RootPath
from quart_app.web.security_headers import secure_responses
from quart_app.web.trusted_proxies import TrustedProxies
from quart_app.web_service import web_service
from quart_app.websocket.address_limit import AddressLimit
from quart_app.websocket.admission import Admission
from quart_app.websocket.asgi_websocket import PullingWebsocket, RoutedWebsocket
from quart_app.websocket.endpoint import Endpoint
from quart_app.websocket.reception import Reception
from quart_app.websocket.renewal import Renewal
from quart_app.websocket.session import Sessions
from workers.registry import discover_for

CLOSE_BEFORE_STOP = 1.0
"""Seconds between telling clients to come back and asking a server that does not drain to stop."""

NOT_STARTED = (
    "this application was not started: its server must send ASGI lifespan events, and whoever mounts it in another "
    "application must start it with that one; see quart_app.serving"
)

log = structlog.get_logger(__name__)


def create_app(settings: Settings | None = None, channels: Iterable[type[Channel]] | None = None) -> Quart:
    """The web application.

    Args:
        settings: by default those of the environment.
        channels: the WebSocket endpoints to serve, by default those that `our_channels` finds.

    Raises:
        SettingsError: a variable has a value that cannot be used, or names keys that cannot.
        JobDefinitionError, ChannelDefinitionError: a job or a channel is written in a way that cannot work, or two
            cannot be served together.
    """
    settings = settings or Settings.load()
    return Edge(settings, our_channels(settings.channels) if channels is None else ChannelSet(channels)).app


class Edge:
    """The WebSocket edge of one process: the application, and everything that it is made of.

    All of it is made here, once, and handed to those who need it. What has to be started is, while `app` is served.

    Args:
        settings: of this process.
        channels: the WebSocket endpoints to serve.
        embedded: in an application that is not ours, whose matter it is what is logged, and how.

    Raises:
        SettingsError: tokens are asked for, and none could be verified.
        JobDefinitionError, ChannelDefinitionError: a job is misdefined, or two channels want to be the page's.
    """

    def __init__(self, settings: Settings, channels: ChannelSet, *, embedded: bool = False) -> None:
        traces.require(settings)
        self.channels = channels
        self.settings = settings
        self.console = console_channel(settings)
        self.served = ChannelSet((*channels, self.console) if self.console else channels)
        """What the application says of itself is in `channels`: how its console speaks is nobody else's matter."""
        self.metrics = Metrics()
        self.admission = Admission(settings.max_connections, self.metrics.connections, AddressLimit(settings))
        self.admission.not_yet = NOT_STARTED
        self.services = Services.of(settings, discover_for(settings))
        self.pipeline = Pipeline(
            self.services.bus,
            self.served.events,
            self.metrics,
            replay_memory_bytes=settings.replay_memory_bytes,
            on_ended=self.services.client_jobs.ended,
        )
        self.authenticator = Authenticator(settings)
        self.sessions = Sessions(settings)
        self.renewal = Renewal(self.sessions, settings.resume_max_age)
        self.reception = Reception(
            self.services,
            self.admission,
            self.metrics,
            self.pipeline,
            self.authenticator,
            self.sessions,
            self.renewal,
        )
        self.on_lost: Callable[[str], None] | None = None
        """Called with the reason when this process cannot work any more. Without one, `app` asks its server to stop."""
        self.embedded = embedded
        self.app = self._app()

    def _app(self) -> Quart:
        app = Quart(__name__, template_folder="web/templates", static_folder="web/static")
        app.asgi_http_class = StreamingHttp
        app.asgi_websocket_class = PullingWebsocket
        app.websocket_class = RoutedWebsocket
        below = RootPath(app.asgi_app, self.settings.root_path)
        trusted, headers = self.settings.trusted_proxies, self.settings.trusted_proxy_headers
        app.asgi_app = TrustedProxies(below, trusted, headers)  # type: ignore[method-assign]
        app.config["MAX_CONTENT_LENGTH"] = self.settings.max_frame_bytes
        secure_responses(app, self.settings.hsts_max_age)
        serve_assets(app)
        compress_pages(app)
        app.register_blueprint(health(self.services, self.admission, self.authenticator))
        app.register_blueprint(metrics(self.metrics, self.settings.metrics_token))
        app.register_blueprint(pages(self.services, self.channels))
        app.register_blueprint(console_page(self.services, self.console))
        app.register_blueprint(dev_faults(self.settings.dev_socket))
        security, root_path = security_of(self.settings), self.settings.root_path
        app.register_blueprint(asyncapi(self.channels, self.services.jobs, security, root_path))
        for blueprint in http_api(self.reception, self.channels, security):
            app.register_blueprint(blueprint)
        answer_for(app, self.settings.allowed_hosts, self.metrics)
        app.while_serving(self._serve)
        for channel in self.served:
            endpoint = Endpoint(channel, self.reception)
            app.add_websocket(channel.path, channel.name, endpoint.view)
            app.add_websocket(channel.path + "/", channel.name, endpoint.view)
        return app

    async def _serve(self) -> AsyncGenerator[None, None]:
        if self.embedded:
            log_to_their_loggers()
        else:
            configure_logging(self.settings)
        self.sessions.warn_if_own_secret()
        traces.start(self.settings, "busctl-web")
        bus, hub = self.services.bus, self.pipeline.hub
        async with AsyncExitStack() as stack:
            stack.push_async_callback(asyncio.to_thread, traces.stop)  # when all else is closed: it may take a while
            await stack.enter_async_context(self.services.started())
            bus.add_gap_callback(self.pipeline.on_gap)
            bus.on_lost = self.on_lost or self._stop_server
            bus.on_drop = self.metrics.dropped.inc
            self.metrics.nats_up.set(bus.connected)
            bus.on_change = self.metrics.nats
            stack.push_async_callback(self.pipeline.stop)
            stack.push_async_callback(self.authenticator.close)
            await self.authenticator.start()
            await self.pipeline.start(self.served.groups)
            renewing = asyncio.create_task(self.renewal.run(), name="renewal")
            stack.callback(renewing.cancel)
            sampling = asyncio.create_task(self.metrics.sample(self.services.enqueuer.waiting), name="sample")
            stack.callback(sampling.cancel)
            await web_service(self.services, hub).start(bus)
            self.admission.not_yet = None
            yield
            hub.close_all(SERVICE_RESTART)
            if bus.lost is not None and self.on_lost is None:
                raise SystemExit(f"error: {bus.lost}")  # of other exceptions servers only tell

    def _stop_server(self, reason: str) -> None:
        """Ask the server, whichever it is, to stop; `busctl serve` has a way of its own."""
        log.error("this process cannot work any more and ends", reason=reason)
        self.pipeline.hub.close_all(SERVICE_RESTART)
        asyncio.get_running_loop().call_later(CLOSE_BEFORE_STOP, signal.raise_signal, signal.SIGTERM)
