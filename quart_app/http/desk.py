"""Desk: what every request of the API passes first: its origin, who asks, and how often."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from quart import Response, request

from bus import Bus
from quart_app.errors import Refused, Unauthorized
from quart_app.http.caller import Caller, Callers
from quart_app.http.request_rate import RequestRate
from quart_app.websocket.address_limit import site_of
from quart_app.websocket.origin import origin_allowed
from quart_app.websocket.reception import Reception
from quart_app.websocket.socket import peer_of

MOST_WAITING = 1000
"""Requests of one process that wait for the end of a job. Each looks for it once a second."""


class Desk:
    """Of one process.

    Args:
        reception: what clients are received with, over WebSockets too.
    """

    def __init__(self, reception: Reception) -> None:
        settings = reception.services.settings
        self._reception = reception
        self._allowed = settings.allowed_origins
        self._callers = Callers(
            reception.authenticator,
            reception.sessions,
            auth_cookie=settings.auth_cookie,
            max_age=settings.resume_max_age,
        )
        self._rate = RequestRate(settings)
        self._waiting = 0

    @property
    def bus(self) -> Bus:
        """The process's."""
        return self._reception.services.bus

    @property
    def draining(self) -> bool:
        """Whether this process is about to stop."""
        return self._reception.admission.draining

    @property
    def may_wait(self) -> bool:
        """Whether one more request may wait here for the end of a job; else it is answered at once."""
        return self._waiting < MOST_WAITING

    @asynccontextmanager
    async def waiting(self) -> AsyncIterator[None]:
        """A block in which a request waits."""
        self._waiting += 1
        try:
            with self._reception.metrics.request_waits.track_inprogress():
                yield
        finally:
            self._waiting -= 1

    def check_origin(self) -> None:
        """See that no page of another site has the request sent, with a cookie that is not its own.

        Raises:
            Refused: one does.
        """
        origins, host = request.headers.getlist("Origin"), request.headers.get("Host", "")
        if not origin_allowed(origins, host, self._allowed, secure=request.scheme == "https"):
            raise Refused("forbidden", "this origin may not ask; see BUS_ALLOWED_ORIGINS")

    async def caller(self, *, known: bool = False, counted: bool = False) -> Caller:
        """Who asks.

        Args:
            known: whether only a client can mean anything that was here before.
            counted: whether the address of a new client was looked at already.

        Raises:
            Refused: it asks too often.
            Unauthorized, KeysUnavailable: as `Callers.of`; or it should be known, and is not.
        """
        peer = peer_of(request)
        caller = await self._callers.of(request)
        if caller.is_new:
            if known:
                raise Unauthorized(
                    "say whose job it is: with the cookie or the resume token that came when it was made"
                )
            if not counted and (too_much := self._reception.admission.addresses.refusal(peer)) is not None:
                raise Refused("too_many_requests", too_much)
            if (site := site_of(peer)) is not None:
                self._rate.take(site)
        else:
            self._rate.take(caller.client_id)
        return caller

    async def resume_token(self, caller: Caller) -> str | None:
        """With what an anonymous client shows from now on that it is the same; None for a user, who has a token.

        Raises:
            BusUnavailable: NATS is away, so that it is not known where a new client begins.
        """
        if caller.identity.user is not None:
            return None
        session = caller.session
        if not session.known:
            session = session.at(await self._reception.pipeline.end.state())
        return self._callers.token_of(session)

    def remembering(self, response: Response, caller: Caller, resume: str | None) -> Response:
        """The response, with the cookie for a client that is known by one."""
        if caller.cookie and resume is not None:
            self._callers.remember(response, request, resume)
        return response
