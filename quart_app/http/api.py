"""The HTTP API of one channel, put together: everything below `/api/`."""

from __future__ import annotations

from quart import Blueprint, Response, has_request_context, request
from werkzeug.exceptions import HTTPException

from quart_app.channel import Channel
from quart_app.channel_set import ChannelSet
from quart_app.errors import Unauthorized
from quart_app.http.answers import PASSING, failed
from quart_app.http.asker import Asker
from quart_app.http.desk import Desk
from quart_app.http.event_socket import retry
from quart_app.http.events import Events
from quart_app.http.jobs import add_jobs
from quart_app.http.openapi import openapi
from quart_app.web.asyncapi.security import Security
from quart_app.websocket.endpoint import refused
from quart_app.websocket.reception import Reception

PREFIX = "/api"


def http_api(reception: Reception, channels: ChannelSet, security: Security | None) -> tuple[Blueprint, ...]:
    """`/api/jobs` and `/api/events`, and `/openapi.json`; nothing without a channel that has the jobs.

    Args:
        reception: what clients are received with.
        channels: all that are served.
        security: how clients prove who they are, if they have to; for the document.

    Raises:
        ChannelDefinitionError: several have them.
    """
    from quart_app.channels.system import SystemChannel  # here, as for the page

    channel = channels.one_of(SystemChannel, needed_by="the HTTP API")
    if channel is None:
        return ()
    services = reception.services
    described = openapi(services.jobs, security=security, root_path=services.settings.root_path)
    return _routes(channel, reception), described


def _routes(channel: type[Channel], reception: Reception) -> Blueprint:
    routes = Blueprint("api", __name__, url_prefix=PREFIX)
    desk = Desk(reception)
    events = Events(channel, reception, desk)
    metrics = reception.metrics
    add_jobs(routes, desk, Asker(channel, reception.services))

    @routes.get("/events")
    async def read_events() -> Response:
        """Read what happens."""
        return await events.open()

    @routes.after_request
    async def count(response: Response) -> Response:
        metrics.requests.labels(str(response.status_code)).inc()
        return response

    @routes.before_request
    async def check_origin() -> None:
        desk.check_origin()

    @routes.errorhandler(Exception)
    async def tell(error: Exception) -> Response:
        """Tell what is wrong: with JSON, and an EventSource that may come again so that it does.

        It never comes back after a status other than 200 (HTML, section 9.2.3).
        """
        told, kind = failed(error, str(request.endpoint))
        if isinstance(error, Unauthorized):
            refused.warn(reason=str(error))
        metrics.errors.labels(kind).inc()
        if request.endpoint != "api.read_events":
            return told
        metrics.refused(told)
        if told.status_code in PASSING and "text/event-stream" in request.headers.get("Accept", ""):
            text = f"{retry()}: {(await told.get_data(as_text=True)).strip()}\n\n"
            return Response(text, 200, {"Cache-Control": "no-store"}, content_type="text/event-stream; charset=utf-8")
        return told

    @routes.app_errorhandler(HTTPException)
    async def tell_of_http(error: HTTPException) -> Response | HTTPException:
        """Below `/api/` what the HTTP side of the server refuses is told in JSON too; a handshake is no request."""
        below = has_request_context() and request.path.startswith(PREFIX + "/")
        return failed(error, request.path)[0] if below else error

    return routes
