"""What can go wrong at the WebSocket edge.

WebError
├── ChannelDefinitionError  a channel class cannot work (a `TypeError` too)
├── Refused                 a handler will not do what a valid frame asks for
├── BadFrame                a frame that cannot be accepted
├── HandshakeFailed         a client's first frame was not what it must be
├── Unauthorized            a client's token proves nothing
├── InvalidToken            why it does not
├── CannotListen            an address that cannot be listened on
├── BadCertificate          a certificate and a key that TLS cannot be served with
└── CannotHeal              NATS refuses this process for good (a `BusRefused` too)
"""

from __future__ import annotations

from bus import BusRefused
from bus.messages import Error, ErrorItem
from quart_app.close_codes import CloseCode


class WebError(Exception):
    """Base of everything `quart_app` raises on purpose."""


class ChannelDefinitionError(WebError, TypeError):
    """A channel class is written in a way that cannot work; raised when the class is made."""


class Refused(WebError):
    """A handler will not do what a valid frame asks for; the client gets an `error` of this kind.

    Args:
        kind: the error's `type`, for programs.
        message: its text, for people.
    """

    def __init__(self, kind: str, message: str) -> None:
        self.kind = kind
        super().__init__(message)


class BadFrame(WebError):
    """A frame that cannot be accepted, as its parser or its handler finds; `error` is the frame to answer with."""

    def __init__(self, items: tuple[ErrorItem, ...], ref: str | None = None) -> None:
        self.error = Error(payload=items, ref=ref)
        super().__init__("; ".join(item.msg for item in items))


class HandshakeFailed(WebError):
    """A client's first frame was not what it must be; `code` is what to close with."""

    def __init__(self, code: CloseCode) -> None:
        self.code = code
        super().__init__(code.reason)


class Unauthorized(WebError):
    """A `token` was given that proves nothing; close code 4401."""


class InvalidToken(WebError):
    """A token that proves nothing. The message says why, in words of ours."""


class CannotListen(WebError):
    """An address that cannot be listened on."""

    def __init__(self, address: object, reason: Exception) -> None:
        text = reason.strerror if isinstance(reason, OSError) and reason.strerror else str(reason)
        super().__init__(f"cannot listen on {address}: {text}; choose another address with --bind")


class BadCertificate(WebError):
    """A certificate and a key that TLS cannot be served with."""


class CannotHeal(WebError, BusRefused):
    """NATS has refused this process for `heal_timeout`; another with the same settings would fare no better."""
