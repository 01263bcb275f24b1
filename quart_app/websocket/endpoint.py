"""One channel's WebSocket endpoint: who comes in, who serves them, and how they go."""

from __future__ import annotations

from quart import Response, websocket

from bus import BusUnavailable
from bus.messages import Message, RefreshToken
from quart_app.channel import Channel
from quart_app.close_codes import FORBIDDEN, SERVICE_RESTART, TOO_MANY_CONNECTIONS, UNAUTHORIZED, CloseCode
from quart_app.delivery.batch import View
from quart_app.errors import Forbidden, HandshakeFailed, KeysUnavailable, TooManyConnections, Unauthorized
from quart_app.identity.identity import Identity
from quart_app.sparse_log import SparseLog
from quart_app.websocket.asgi_websocket import PullingWebsocket
from quart_app.websocket.connection import Connection
from quart_app.websocket.credentials import bearer, from_cookie
from quart_app.websocket.frame_parser import FrameParser
from quart_app.websocket.handshake import SUBPROTOCOL, handshake
from quart_app.websocket.origin import origin_allowed
from quart_app.websocket.reception import Reception
from quart_app.websocket.socket import peer_of
from quart_app.websocket.visit import Visit

refused = SparseLog("a client that does not prove who it is was refused")


class Endpoint:
    """Serves the WebSockets of one channel.

    Args:
        channel: the channel.
        reception: how its connections begin and end.
    """

    def __init__(self, channel: type[Channel], reception: Reception) -> None:
        self._reception = reception
        self._settings = reception.services.settings
        self._admission = reception.admission
        self._metrics = reception.metrics
        self._authenticator = reception.authenticator
        messages = {action: operation.message for action, operation in channel.receives.items()}
        self._parser = FrameParser(messages)
        refreshes: dict[str, type[Message]] = {"refresh_token": RefreshToken} if self._authenticator.asks else {}
        self._v1_parser = FrameParser(messages | refreshes)
        self._plain = View(channel, v1=False)
        self._v1 = View(channel, v1=True)

    async def view(self) -> Response | None:
        """Quart's view of a WebSocket."""
        socket: PullingWebsocket = websocket.asgi  # type: ignore[attr-defined]
        return socket.served_by(self._serve)

    async def _serve(self, socket: PullingWebsocket) -> Response | None:
        """Refuse it with a response, or serve it to its end."""
        if (refusal := self._refusal(socket)) is not None:
            self._metrics.refused(refusal)
            return refusal
        opened = self._admission.addresses.opened(peer_of(socket))
        with self._admission, opened, Visit(self._metrics, socket.scope) as visit:
            try:
                v1 = SUBPROTOCOL in socket.scope.get("subprotocols", ())
                await (self._serve_v1 if v1 else self._serve_plain)(socket, visit)
                return None
            except BusUnavailable:
                refusal = Response("the event bus is away; try again\n", 503)
            except KeysUnavailable:
                refusal = Response("it cannot be known whether the token is valid; try again\n", 503)
            except Unauthorized as error:
                refused.warn(reason=str(error))
                refusal = Response(f"{error}\n", 401, {"WWW-Authenticate": "Bearer"})
            except TooManyConnections:
                refusal = Response(f"{TOO_MANY_CONNECTIONS.reason}; see BUS_MAX_CONNECTIONS_PER_CLIENT\n", 429)
            except Forbidden:
                refusal = Response(f"{FORBIDDEN.reason}\n", 403)
        self._metrics.refused(refusal)
        return refusal

    def _refusal(self, socket: PullingWebsocket) -> Response | None:
        headers = socket.headers
        origins = headers.getlist("Origin")
        host, allowed = headers.get("Host", ""), self._settings.allowed_origins
        if not origin_allowed(origins, host, allowed, secure=socket.scope["scheme"] == "wss"):
            return Response("this origin may not connect; see BUS_ALLOWED_ORIGINS\n", 403)
        return self._admission.refusal(peer_of(socket))

    async def _serve_plain(self, socket: PullingWebsocket, visit: Visit) -> None:
        """Serve a client of the plain protocol.

        Raises:
            BusUnavailable, KeysUnavailable: it was not accepted, for want of NATS or of keys.
            Unauthorized: neither, for want of a valid token.
            Forbidden: its channel does not let it in.
            TooManyConnections: it has as many as it may.
        """
        identity = await self._proved(socket) or await self._authenticator.identify(self._cookie(socket))
        connection = self._connection(socket, self._plain, identity)
        if not connection.may_connect:
            raise Forbidden
        try:
            await self._reception.attach(connection, fresh=identity.user is None)
            await socket.accept()
            visit.accepted("plain")
            visit.known(connection.client_id)
            await connection.run()
        finally:
            await self._reception.detach(connection, visit)

    async def _serve_v1(self, socket: PullingWebsocket, visit: Visit) -> None:
        """Serve a client of `bus.v1`, which is accepted first and says who it is then, unless a header said so.

        Raises:
            Unauthorized, KeysUnavailable: a header brought a token that is not valid, or nobody knows whether it is.
        """
        proved = await self._proved(socket)
        await socket.accept(subprotocol=SUBPROTOCOL)
        visit.accepted(SUBPROTOCOL)
        failure: CloseCode | None = None
        try:
            async with self._admission.handshaking():
                greeting = await handshake(
                    socket,
                    self._admission.turn,
                    self._authenticator,
                    self._reception.sessions,
                    self._settings,
                    proved=proved,
                    cookie=self._cookie(socket),
                )
        except HandshakeFailed as failed:
            failure = failed.code
        except TimeoutError:
            failure = SERVICE_RESTART
        if failure is not None:
            if failure.code == UNAUTHORIZED.code:
                refused.warn(reason=failure.reason)
            visit.closing = failure
            await socket.close(failure.code, failure.reason)
            return
        connection = self._connection(socket, self._v1, greeting.identity)
        visit.known(connection.client_id)
        if not connection.may_connect:
            visit.closing = FORBIDDEN
            await socket.close(FORBIDDEN.code, FORBIDDEN.reason)
            return
        opening = self._reception.open(connection, greeting)
        del greeting  # or it would be kept for as long as the connection
        try:
            await connection.run(opening)
        finally:
            await self._reception.detach(connection, visit)

    async def _proved(self, socket: PullingWebsocket) -> Identity | None:
        """Who a client proves to be in a header; None when it has none, or no tokens are asked for."""
        if not self._authenticator.asks:
            return None
        token = bearer(socket.headers.getlist("Authorization"))
        return await self._authenticator.identify(token) if token is not None else None

    def _cookie(self, socket: PullingWebsocket) -> str | None:
        """The token that a cookie brings. Whatever page had it sent is of an allowed origin: see `_refusal`."""
        name = self._settings.auth_cookie
        return from_cookie(socket.cookies, name) if name is not None else None

    def _connection(self, socket: PullingWebsocket, view: View, identity: Identity) -> Connection:
        parser = self._v1_parser if view.v1 else self._parser
        return self._reception.connection(socket, view, parser, identity)
