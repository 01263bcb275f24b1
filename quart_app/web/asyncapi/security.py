"""What the AsyncAPI document says where clients have to prove who they are."""

from __future__ import annotations

from dataclasses import dataclass

from bus import Settings
from bus.messages import RefreshToken, TokenExpiring, TokenRefreshed
from quart_app.operations import Operation
from quart_app.web.asyncapi.examples import Json

REFRESH = Operation(
    name="refresh_token",
    message=RefreshToken,
    outputs=(TokenRefreshed,),
    summary="Go on with a newer token of the same user.",
    description="With the subprotocol `bus.v1` only.",
    method=None,
)
EXPIRING = Operation(
    name="token_expiring",
    message=TokenExpiring,
    outputs=(TokenExpiring,),
    summary="A token expires within a minute.",
    description="With the subprotocol `bus.v1` only. When it has expired the connection is closed with code 4401.",
    method=None,
)
"""What `quart_app.websocket.authorization` does for every connection."""


@dataclass(frozen=True, slots=True)
class Security:
    """How clients prove who they are.

    Args:
        cookie: the cookie that may bring a token; None when no cookie may.
    """

    cookie: str | None = None

    @property
    def schemes(self) -> Json:
        """The security schemes, by name; one of them is enough."""
        bearer = {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "A token of the identity provider, in the handshake. With the subprotocol `bus.v1` it may "
            "stand in `connect` instead, and comes before others there.",
        }
        if self.cookie is None:
            return {"bearer": bearer}
        of_page = "The same in a cookie, for pages of an allowed origin."
        return {
            "bearer": bearer,
            "cookie": {"type": "httpApiKey", "name": self.cookie, "in": "cookie", "description": of_page},
        }

    @property
    def needed(self) -> Json:
        """What each operation says of them."""
        return {"security": [{"$ref": f"#/components/securitySchemes/{name}"} for name in self.schemes]}


DESCRIPTION = (
    "\n\nClients have to prove who they are, with a token (JWT) in the handshake or in the `connect` frame, and never "
    "in the URL. Without a valid one the handshake is refused with 401, or the connection is closed with code 4401 and "
    "the reason. All connections of a user are one client, those without a subprotocol too."
)


def security_of(settings: Settings) -> Security | None:
    """How clients of this process prove who they are; None when they need not."""
    return Security(settings.auth_cookie) if settings.auth == "jwt" else None
