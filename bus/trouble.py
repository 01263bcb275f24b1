"""Why the bus cannot work at this moment, and for how long it has been refused."""

from __future__ import annotations

import os
import socket
import ssl
from dataclasses import dataclass

import nats.errors

from bus.errors import BusError, BusRefused, BusUnavailable
from bus.nats_client import NatsClient

LOGIN = "correct the user and password, or token, in NATS_URL, or what NATS_USER, NATS_CREDS or NATS_NKEY say"
HINTS = (
    (("maximum connections", "active connections"), "raise max_connections on the server, or run fewer processes"),
    (("authoriz", "authentic", "expired", "revoked", "account"), LOGIN),
    (("payload", "control line"), "something larger was sent than the server takes"),
    (("tls", "secure"), "use tls:// in NATS_URL, and in NATS_CERT and NATS_KEY a certificate that the server takes"),
)
"""What to do about what a server says, by words in it."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """One reason.

    Args:
        error: what to raise for it.
        refused: NATS is there and says no, so that waiting alone does not help.
    """

    error: BusError
    refused: bool

    @classmethod
    def of(cls, error: BusError) -> Trouble:
        """What an error of this package means: anything but plain absence is a refusal."""
        return cls(error, refused=not isinstance(error, BusUnavailable) or isinstance(error, BusRefused))

    @classmethod
    def at(cls, client: NatsClient, error: BaseException | None) -> Trouble:
        """What ended a connection, or stood against it.

        Args:
            error: what nats-py raised; None when only the server's own word is to be looked for.
        """
        url, said = client.server.url, client.refusal
        if isinstance(client.trouble, ssl.SSLError) and not client.used:
            error = client.trouble  # the connection was lost over this, and either may be heard first
        text = "" if error is None else _told(error)
        if said is None and text.startswith("nats: '"):  # the answer to CONNECT, as the server wrote it
            said = text.removeprefix("nats: ").strip("'").lower()
        if said is not None:
            hint = next((hint for words, hint in HINTS if any(word in said for word in words)), "see the server's log")
            return cls(BusRefused(f"NATS at {url} refuses this process: {said}; {hint}"), refused=True)
        if isinstance(error, nats.errors.SecureConnWantedError):
            return cls(
                BusRefused(f"NATS at {url} does not require TLS, which tls:// asks for: set it up there"), refused=True
            )
        if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError):
            text = getattr(error, "verify_message", "") or (error.reason or text).lower().replace("_", " ")
            return cls(
                BusRefused(
                    f"TLS with NATS at {url} failed: {text}; for a certificate of your own set NATS_CA to its "
                    "authority's, and where the server asks for one of ours, NATS_CERT and NATS_KEY"
                ),
                refused=True,
            )
        if isinstance(error, nats.errors.NoServersError):
            text = _told(client.trouble or error)
        text = text.removeprefix("nats: ") or "it ended the connection"
        what = f"the connection to NATS at {url} was lost" if client.used else f"NATS at {url} cannot be reached"
        return cls(BusUnavailable(f"{what}: {text}"), refused=False)


def _told(error: BaseException) -> str:
    """What an error says; one of the operating system's without its number and address, which stand beside it."""
    if isinstance(error, socket.gaierror) and error.strerror:
        return error.strerror.lower()
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno).lower()
    return str(error) or type(error).__name__


class Patience:
    """Adds up how long there has been nothing but refusals.

    Time in which NATS was only away does not count: a restart would not bring it back, and could lose a result.

    Args:
        limit: seconds.
    """

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._spent = 0.0
        self._since: float | None = None

    def over(self, trouble: Trouble | None, now: float) -> bool:
        """Note the state from now on; whether the limit is reached."""
        if trouble is None:
            self._spent = 0.0
        elif self._since is not None:
            self._spent += now - self._since
        self._since = now if trouble is not None and trouble.refused else None
        return self._since is not None and self._spent >= self._limit
