"""The whole inside another application: below a path of a Quart application of your own, or of any ASGI application.

app = Quart(__name__)
init_app(app)              # /bus/system/, /bus/ws/system, /bus/api/jobs and the others

bus = create_app()         # in Starlette, FastAPI: they start nothing that is mounted, so say it
app = FastAPI(lifespan=lambda app: serving(bus))
app.mount("/bus", bus)
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from quart import Quart

from bus import Settings
from quart_app.app import Edge
from quart_app.channel import Channel
from quart_app.channel_set import ChannelSet, our_channels
from quart_app.errors import ApplicationError
from quart_app.web.hosts import FOR_EVERY_HOST
from workers import own_code

PREFIX = re.compile(r"(/[\w.~-]+)+")
EXTENSION = "busctl"
"""Under which name an application's `extensions` have what `init_app` made."""


def init_app(
    app: Quart,
    *,
    prefix: str = "/bus",
    settings: Settings | None = None,
    channels: Iterable[type[Channel]] | None = None,
) -> None:
    """Serve the whole below a path of an application of your own, from its start to its end.

    The rest of the application stays what it is, but that `/livez` and `/readyz` tell of the whole. `busctl serve` and
    `busctl dev` serve it when `BUS_APP` names it.

    Args:
        app: the application; call this once, before it is served.
        prefix: the path, which begins with a slash: the page is at `/bus/system/`, the WebSocket at `/bus/ws/system`.
        settings: by default those of the environment. Its `root_path` is that of the application.
        channels: the WebSocket endpoints to serve, as for `create_app`.

    Raises:
        ApplicationError: the prefix is no path, or this was called with the application before.
        SettingsError, JobDefinitionError, ChannelDefinitionError: as for `create_app`.
    """
    if not PREFIX.fullmatch(prefix):
        raise ApplicationError(f"the prefix {prefix!r} is no path below which to serve; use one such as '/bus'")
    if EXTENSION in app.extensions:
        raise ApplicationError("init_app was called with this application before; call it once")
    settings = settings or Settings.load()
    root = settings.root_path
    settings = settings.model_copy(update={"root_path": root + prefix})
    served = our_channels(settings.channels) if channels is None else ChannelSet(channels)
    edge = Edge(settings, served, embedded=True)
    app.extensions[EXTENSION] = edge
    others = app.asgi_app

    async def either(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] in ("http", "websocket"):
            path = scope["path"].removeprefix(root) if scope["path"].startswith(f"{root}/") else scope["path"]
            if path in FOR_EVERY_HOST:
                path = prefix + path
            if path == prefix or path.startswith(f"{prefix}/"):
                scope["path"] = root + path
                await edge.app(scope, receive, send)
                return
        await others(scope, receive, send)

    app.asgi_app = either  # type: ignore[method-assign]

    @app.while_serving
    async def serve_both() -> AsyncGenerator[None, None]:
        async with serving(edge.app):
            yield


@asynccontextmanager
async def serving(app: Quart) -> AsyncIterator[None]:
    """A block in which an application is served that no server starts and ends, because it is mounted in another.

    Args:
        app: made by `create_app`.

    Raises:
        BusError: NATS or Redis cannot be used.
    """
    await app.startup()
    try:
        yield
    finally:
        await app.shutdown()


def application(settings: Settings) -> tuple[Quart, Edge]:
    """What a web process serves: the application that `BUS_APP` names, or our own; and its edge.

    Raises:
        ApplicationError: there is no such application, or `init_app` was not called with it.
        SettingsError, JobDefinitionError, ChannelDefinitionError: as for `create_app`.
    """
    if settings.app is None:
        edge = Edge(settings, our_channels(settings.channels))
        return edge.app, edge
    source = f"BUS_APP={settings.app}"
    module, _, name = settings.app.partition(":")
    app = getattr(own_code.module(source, module, ApplicationError), name, None)
    if not isinstance(app, Quart):
        raise ApplicationError(f"{source}: {name} in {module} is no Quart application")
    of_app = app.extensions.get(EXTENSION)
    if not isinstance(of_app, Edge):
        raise ApplicationError(f"{source}: call init_app({name}) in {module}; without it there is nothing to serve")
    of_app.admission.limit = settings.max_connections
    return app, of_app
