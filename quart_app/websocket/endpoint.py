"""One channel's WebSocket endpoint: who comes in, who serves them, and how they go."""

from __future__ import annotations

import secrets

from quart import Response, Websocket, websocket

from bus import BusUnavailable
from quart_app.channel import Channel
from quart_app.close_codes import SERVICE_RESTART, CloseCode
from quart_app.delivery.batch import View
from quart_app.delivery.pipeline import Pipeline
from quart_app.errors import HandshakeFailed
from quart_app.metrics import Metrics
from quart_app.services import Services
from quart_app.websocket.admission import Admission
from quart_app.websocket.connection import Connection
from quart_app.websocket.frame_parser import FrameParser
from quart_app.websocket.handshake import SUBPROTOCOL, Greeting, handshake
from quart_app.websocket.identity import Sessions
from quart_app.websocket.origin import origin_allowed
from quart_app.websocket.renewal import Renewal
from quart_app.websocket.resume import resume


class Endpoint:
    """Serves the WebSockets of one channel.

    Args:
        channel: the channel.
        services: what its handlers may use.
        admission: whether there is room for one more client.
        metrics: counts who was refused or closed.
        pipeline: brings the events.
        sessions: signs and checks tokens.
        renewal: renews them while a client stays.
    """

    def __init__(
        self,
        channel: type[Channel],
        services: Services,
        admission: Admission,
        metrics: Metrics,
        pipeline: Pipeline,
        sessions: Sessions,
        renewal: Renewal,
    ) -> None:
        self._services = services
        self._settings = services.settings
        self._admission = admission
        self._metrics = metrics
        self._pipeline = pipeline
        self._hub = pipeline.hub
        self._sessions = sessions
        self._renewal = renewal
        self._parser = FrameParser({action: operation.message for action, operation in channel.receives.items()})
        self._plain = View(channel, v1=False)
        self._v1 = View(channel, v1=True)

    async def serve(self) -> Response | None:
        """Quart's view of a WebSocket: refuse it with a response, or serve it to its end."""
        if (refusal := self._refusal()) is not None:
            self._metrics.refused(refusal)
            return refusal
        socket: Websocket = websocket._get_current_object()  # type: ignore[attr-defined]
        with self._admission:
            try:
                v1 = SUBPROTOCOL in socket.requested_subprotocols
                await (self._serve_v1 if v1 else self._serve_plain)(socket)
            except BusUnavailable:
                refusal = Response("the event bus is away; try again\n", 503)
                self._metrics.refused(refusal)
                return refusal
        return None

    def _refusal(self) -> Response | None:
        origins = websocket.headers.getlist("Origin")
        if not origin_allowed(origins, websocket.headers.get("Host", ""), self._settings.allowed_origins):
            return Response("this origin may not connect; see BUS_ALLOWED_ORIGINS\n", 403)
        return self._admission.refusal()

    async def _serve_plain(self, socket: Websocket) -> None:
        """Serve a client of the plain protocol.

        Raises:
            BusUnavailable: it was not accepted, for want of NATS.
        """
        connection = self._connection(socket, self._plain, secrets.token_urlsafe(16))
        try:
            await self._attach(connection, fresh=True)
            await socket.accept()
            await connection.run()
        finally:
            await self._detach(connection)

    async def _serve_v1(self, socket: Websocket) -> None:
        """Serve a client of `bus.v1`, which is accepted first and says who it is then."""
        await socket.accept(subprotocol=SUBPROTOCOL)
        failure: CloseCode | None = None
        try:
            async with self._admission.handshaking():
                greeting = await handshake(socket, self._sessions, self._settings)
        except HandshakeFailed as failed:
            failure = failed.code
        except TimeoutError:
            failure = SERVICE_RESTART
        if failure is not None:
            self._metrics.closed(failure)
            await socket.close(failure.code, failure.reason)
            return
        connection = self._connection(socket, self._v1, greeting.identity.client_id)
        opening = self._open(connection, greeting)
        del greeting  # or it would be kept for as long as the connection
        try:
            await connection.run(opening)
        finally:
            await self._detach(connection)

    async def _open(self, connection: Connection, greeting: Greeting) -> None:
        await self._attach(connection, fresh=greeting.identity.fresh)
        state = await resume(connection, greeting, self._pipeline, self._sessions, self._settings)
        self._renewal.keep(connection, greeting.identity.at(state))

    async def _attach(self, connection: Connection, *, fresh: bool) -> None:
        await self._hub.attach(connection, fresh=fresh)
        if self._admission.closing:  # too late to be closed with the others
            connection.close(SERVICE_RESTART)

    async def _detach(self, connection: Connection) -> None:
        if connection.closing is not None:
            self._metrics.closed(connection.closing)
        self._renewal.drop(connection)
        await self._hub.detach(connection)

    def _connection(self, socket: Websocket, view: View, client_id: str) -> Connection:
        return Connection(socket, view, self._parser, self._services, self._hub, self._metrics, client_id=client_id)
