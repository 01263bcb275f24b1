"""Caller: whose HTTP request it is, and how that client shows with the next one that it is the same.

Where clients have an identity (`BUS_AUTH=jwt`) it is who the token names that comes as `Authorization: Bearer`, or in
the cookie `BUS_AUTH_COOKIE`. Elsewhere a resume token says which client it was: as `Authorization: Bearer`, or in
a cookie that is set here, because a browser's EventSource can send no headers. Nothing is ever taken from the URL.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from quart import Request, Response

from quart_app.errors import Unauthorized
from quart_app.identity.authenticator import Authenticator
from quart_app.identity.identity import Identity
from quart_app.websocket.credentials import bearer, from_cookie
from quart_app.websocket.session import Session, Sessions

COOKIE = "busctl-resume"
"""The cookie with the resume token of an anonymous client."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks.

    Args:
        identity: whose jobs and events it asks for.
        session: what is known of its past.
        cookie: whether a cookie is how it is known, or will be.
    """

    identity: Identity
    session: Session
    cookie: bool

    @property
    def client_id(self) -> str:
        """Whose jobs and events it asks for."""
        return self.identity.client_id

    @property
    def is_new(self) -> bool:
        """Whether it was never here before, as far as it could prove."""
        return self.session.fresh


class Callers:
    """Finds out who asks.

    Args:
        authenticator: says who a token names.
        sessions: signs and checks resume tokens.
        auth_cookie: the cookie that may bring a token, `BUS_AUTH_COOKIE`.
        max_age: seconds that a resume token is good for.
    """

    def __init__(
        self, authenticator: Authenticator, sessions: Sessions, *, auth_cookie: str | None, max_age: float
    ) -> None:
        self._authenticator = authenticator
        self._sessions = sessions
        self._auth_cookie = auth_cookie
        self._max_age = max_age

    async def of(self, request: Request) -> Caller:
        """Whose request it is. Who brings nothing is a new client, where that may be; with a cookie that is not good
        any more too, for a browser could not do without it.

        Raises:
            Unauthorized: the token proves nothing, or there has to be one and is none.
            KeysUnavailable: it is not known whether it proves anything.
        """
        token = bearer(request.headers.getlist("Authorization"))
        if self._authenticator.asks:
            identity = await self._authenticator.identify(token or from_cookie(request.cookies, self._auth_cookie))
            return Caller(identity, self._sessions.session(identity, None), cookie=False)
        identity = Identity.anonymous()
        session = self._sessions.session(identity, token or from_cookie(request.cookies, COOKIE))
        if token is not None and not session.known:
            raise Unauthorized("the resume token is not valid, or not any more; without one you are a new client")
        return Caller(replace(identity, client_id=session.client_id), session, cookie=token is None)

    def token_of(self, session: Session) -> str:
        """The resume token by which an anonymous client is known from now on."""
        return self._sessions.renewed(session)

    def remember(self, response: Response, request: Request, token: str) -> None:
        """Have a browser bring this resume token with its next requests of the API, and no other site's page."""
        response.set_cookie(
            COOKIE,
            token,
            max_age=int(self._max_age),
            path=f"{request.root_path}/api",
            secure=request.scheme == "https",
            httponly=True,
            samesite="Strict",
        )
