"""What can go wrong at the WebSocket edge.

WebError
├── ChannelDefinitionError  a channel class cannot work (a `TypeError` too)
├── ApplicationError        an application that is to be served, or to be served in, cannot be
├── Refused                 a handler will not do what a valid frame asks for
├── TooFast                 a client asks for more than its rate allows
├── TooManyConnections      a client has as many connections as it may
├── BadFrame                a frame that cannot be accepted
├── HandshakeFailed         a client's first frame was not what it must be
├── Unauthorized            a client does not prove who it is
├── Forbidden               a channel does not let a client in
├── BadKeys                 keys that no token can be verified with
├── FetchFailed             a document could not be fetched or read
├── KeysUnavailable         it is not known whether a token is valid
├── InvalidToken            why a resume token proves nothing
├── CannotListen            an address that cannot be listened on
├── BadCertificate          a certificate and a key that TLS cannot be served with
└── CannotHeal              NATS refuses this process for good (a `BusRefused` too)
"""

from __future__ import annotations

from dataclasses import replace

from bus import BusRefused
from bus.messages import Error, ErrorItem
from quart_app.close_codes import UNAUTHORIZED, CloseCode


class WebError(Exception):
    """Base of everything `quart_app` raises on purpose."""


class ChannelDefinitionError(WebError, TypeError):
    """A channel class is written in a way that cannot work; raised when the class is made."""


class ApplicationError(WebError):
    """An application that is to be served, or in which all is to be served, cannot be."""


class Refused(WebError):
    """A handler will not do what a valid frame asks for; the client gets an `error` of this kind.

    Args:
        kind: the error's `type`, for programs.
        message: its text, for people.
    """

    def __init__(self, kind: str, message: str) -> None:
        self.kind = kind
        super().__init__(message)


class TooFast(WebError):
    """A client asks for more than its rate allows.

    Args:
        seconds: until it may ask again.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(f"too much was asked for in too short a time; ask again in {seconds:.0f} s")


class TooManyConnections(WebError):
    """A client has as many connections as it may; close code 4429, or HTTP status 429."""


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
    """No token was given, or one that proves nothing; close code 4401, or HTTP status 401.

    Args:
        reason: why, in words of ours that fit into a close frame and repeat nothing of the token.
    """

    def __init__(self, reason: str) -> None:
        self.code = replace(UNAUTHORIZED, reason=reason)
        super().__init__(reason)


class Forbidden(WebError):
    """A channel does not let a client in; close code 4403, or HTTP status 403."""


class BadKeys(WebError):
    """Keys that no token can be verified with."""


class FetchFailed(WebError):
    """A document could not be fetched or read; the message says why, and not where."""


class KeysUnavailable(WebError):
    """It is not known whether a token is valid, because the keys cannot be read; the client may try again."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the keys that tokens are verified with cannot be read: {reason}")


class InvalidToken(WebError):
    """A resume token that proves nothing. The message says why, in words of ours."""


class CannotListen(WebError):
    """An address that cannot be listened on."""

    def __init__(self, address: object, reason: Exception) -> None:
        text = reason.strerror if isinstance(reason, OSError) and reason.strerror else str(reason)
        super().__init__(f"cannot listen on {address}: {text}; choose another address with --bind")


class BadCertificate(WebError):
    """A certificate and a key that TLS cannot be served with."""


class CannotHeal(WebError, BusRefused):
    """NATS has refused this process for `heal_timeout`; another with the same settings would fare no better."""
