"""Why this server closes a WebSocket: one table of codes, names and whether to come back.

Codes below 4000 are those of RFC 6455 section 7.4.1 and the IANA WebSocket close code registry.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CloseCode:
    """A close code, its name in logs and metrics, the reason sent with it, and whether a client may reconnect."""

    code: int
    name: str
    reason: str
    reconnect: bool


COOKIE_RENEWAL = CloseCode(1000, "cookie_renewal", "come again for a newer cookie", reconnect=True)
PROTOCOL_ERROR = CloseCode(1002, "protocol_error", "the frame breaks the WebSocket protocol", reconnect=False)
INVALID_DATA = CloseCode(
    1007, "invalid_data", "the data is not what its frame says; text must be UTF-8", reconnect=False
)
INTERNAL_ERROR = CloseCode(1011, "internal_error", "the server failed; reconnect", reconnect=True)
SERVICE_RESTART = CloseCode(1012, "service_restart", "the server is restarting; reconnect", reconnect=True)
TOO_BIG = CloseCode(1009, "too_big", "the message is too big", reconnect=False)
TOO_SLOW = CloseCode(1013, "too_slow", "the connection reads too slowly; reconnect", reconnect=True)
TRY_AGAIN = CloseCode(1013, "try_again", "the event bus is away; reconnect", reconnect=True)
KEYS_AWAY = CloseCode(1013, "keys_away", "it cannot be known whether the token is valid; reconnect", reconnect=True)
BAD_HANDSHAKE = CloseCode(4400, "bad_handshake", "the first frame must be a valid connect", reconnect=False)
UNAUTHORIZED = CloseCode(4401, "unauthorized", "the token is not valid; sign in again", reconnect=False)
TOKEN_EXPIRED = CloseCode(4401, "token_expired", "the token has expired; reconnect with a newer one", reconnect=False)
FORBIDDEN = CloseCode(4403, "forbidden", "this client may not use this channel", reconnect=False)
HANDSHAKE_TIMEOUT = CloseCode(4408, "handshake_timeout", "no connect frame came in time; reconnect", reconnect=True)
TOO_MANY_REQUESTS = CloseCode(4429, "too_many_requests", "too many frames; send fewer and reconnect", reconnect=True)
TOO_MANY_CONNECTIONS = CloseCode(
    4429, "too_many_connections", "this client has too many connections open; close some and reconnect", reconnect=True
)
TOO_MUCH_READ = CloseCode(
    4429, "too_much_read", "too much was replayed to this client in too short a time; reconnect later", reconnect=True
)

ALL = (
    COOKIE_RENEWAL,
    PROTOCOL_ERROR,
    INVALID_DATA,
    TOO_BIG,
    INTERNAL_ERROR,
    SERVICE_RESTART,
    TOO_SLOW,
    TRY_AGAIN,
    KEYS_AWAY,
    BAD_HANDSHAKE,
    UNAUTHORIZED,
    TOKEN_EXPIRED,
    FORBIDDEN,
    HANDSHAKE_TIMEOUT,
    TOO_MANY_REQUESTS,
    TOO_MUCH_READ,
    TOO_MANY_CONNECTIONS,
)
