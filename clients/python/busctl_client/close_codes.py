"""With which close codes a client does not connect again by itself, and what they mean."""

from __future__ import annotations

NORMAL = 1000
ABNORMAL = 1006
"""Stands for an end without a close frame (RFC 6455 section 7.1.5)."""
TOO_BIG = 1009
UNAUTHORIZED = 4401

FINAL = {
    1002: "the frame breaks the WebSocket protocol",
    1007: "the data is not what its frame says; text must be UTF-8",
    TOO_BIG: "the message is too big",
    4400: "the first frame must be a valid connect",
    UNAUTHORIZED: "the token is not valid; sign in again",
    4403: "this client may not use this channel",
}
"""The server's codes that say no."""

FINAL_STATUS = {
    403: "the server lets nobody of this origin connect (BUS_ALLOWED_ORIGINS)",
    404: "there is no busctl server at this address",
    421: "the server does not answer for this host (BUS_ALLOWED_HOSTS)",
}
"""The same for a handshake that is refused with an HTTP status."""
