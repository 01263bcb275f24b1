"""Reception: how a connection begins, and what is left behind when it has ended. Alike for every channel."""

from __future__ import annotations

from dataclasses import dataclass

from quart_app.close_codes import SERVICE_RESTART
from quart_app.delivery.batch import View
from quart_app.delivery.pipeline import Pipeline
from quart_app.errors import TooManyConnections
from quart_app.identity.authenticator import Authenticator
from quart_app.identity.identity import Identity
from quart_app.metrics import Metrics
from quart_app.services import Services
from quart_app.websocket.admission import Admission
from quart_app.websocket.connection import Connection
from quart_app.websocket.frame_parser import FrameParser
from quart_app.websocket.handshake import Greeting
from quart_app.websocket.renewal import Renewal
from quart_app.websocket.resume import resume
from quart_app.websocket.session import Sessions
from quart_app.websocket.socket import Socket
from quart_app.websocket.visit import Visit


@dataclass(frozen=True, slots=True)
class Reception:
    """What there is one of per process to receive clients with.

    Args:
        services: what handlers may use.
        admission: whether there is room for one more client.
        metrics: counts who was refused or closed.
        pipeline: brings the events.
        authenticator: says who a client is.
        sessions: signs and checks resume tokens.
        renewal: renews them while a client stays.
    """

    services: Services
    admission: Admission
    metrics: Metrics
    pipeline: Pipeline
    authenticator: Authenticator
    sessions: Sessions
    renewal: Renewal

    def connection(self, socket: Socket, view: View, parser: FrameParser, identity: Identity) -> Connection:
        """A connection that hears nothing yet."""
        hub = self.pipeline.hub
        return Connection(socket, view, parser, self.services, hub, self.metrics, self.authenticator, identity)

    async def attach(self, connection: Connection, *, fresh: bool) -> None:
        """Let a connection hear its client's events and those of its groups, also of those that its token lists.

        Args:
            fresh: the client's id was made just now.

        Raises:
            TooManyConnections: its client has as many as it may.
            BusUnavailable: NATS is away.
        """
        hub, most = self.pipeline.hub, self.services.settings.max_connections_per_client
        if most is not None and hub.number_of(connection.client_id) >= most:
            raise TooManyConnections
        await hub.attach(connection, fresh=fresh)
        connection.authorization.begin()
        if self.admission.closing:  # too late to be closed with the others
            connection.close(SERVICE_RESTART)
        await connection.authorization.join_groups()

    async def open(self, connection: Connection, greeting: Greeting) -> None:
        """Begin as `bus.v1` does: attach, welcome, replay what was missed, and keep the resume token good.

        Raises:
            BusUnavailable: NATS is away.
            TooManyConnections: its client has as many as it may.
            TooFast: too much was read for this client already.
        """
        await self.attach(connection, fresh=greeting.session.fresh)
        reads, settings = self.services.client_reads, self.services.settings
        state = await resume(connection, greeting, self.pipeline, self.sessions, reads, settings)
        self.renewal.keep(connection, greeting.session.at(state))
        connection.authorization.warn()

    async def detach(self, connection: Connection, visit: Visit) -> None:
        """The connection is over. Safe to call when it began half-way."""
        visit.closing = connection.closing
        connection.authorization.end()
        self.renewal.drop(connection)
        await self.pipeline.hub.detach(connection)
