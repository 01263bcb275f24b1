"""How large an event may be: what the NATS server, the account and the stream take, headers included."""

from __future__ import annotations

from collections.abc import Mapping

from nats.js.api import Header

from bus import subjects
from bus.connection import Connection
from bus.errors import EventTooLarge
from bus.settings import Settings


class EventLimit:
    """The limit of one connection, as it is now: a reconnect may lead to a server of another one."""

    def __init__(self, connection: Connection, settings: Settings) -> None:
        self.max_msg_size = -1
        """That of the stream when it was last looked at; -1 for none."""
        self._connection = connection
        self._settings = settings

    @property
    def room(self) -> int:
        """Most bytes that an event may have next to the longest headers that an append can need."""
        return max(0, min(self._server(), self._stream())[0] - LONGEST_HEADERS)

    def require(self, data: int, headers: int) -> None:
        """Make sure that the server takes an event of so many bytes of data and of headers.

        Raises:
            EventTooLarge: it does not.
        """
        limit, where = self._server()
        if data + headers > limit:
            raise EventTooLarge(data + headers, limit, where)

    def require_of_stream(self, size: int) -> None:
        """Make sure that the stream, as it was last looked at, takes an event of `size` bytes, headers included.

        Raises:
            EventTooLarge: it does not.
        """
        limit, where = self._stream()
        if size > limit:
            raise EventTooLarge(size, limit, where)

    def _server(self) -> tuple[int, str]:
        announced, known = self._connection.max_payload, self._settings.max_event_bytes
        if known is not None and known < announced:
            return known, "BUS_MAX_EVENT_BYTES and the limit that it stands for"
        return announced, "max_payload of the NATS server"

    def _stream(self) -> tuple[int, str]:
        if self.max_msg_size < 0:
            return self._server()
        return self.max_msg_size, f"max_msg_size of the stream {subjects.STREAM}"


def header_bytes(headers: Mapping[str, str]) -> int:
    """Bytes of these headers on the wire, which NATS counts with the message (ADR-4 of the NATS architecture)."""
    return len("NATS/1.0\r\n\r\n") + sum(len(name) + len(": \r\n") + len(value) for name, value in headers.items())


LONGEST_HEADERS = header_bytes(
    {
        Header.MSG_ID.value: 64 * "x",
        Header.EXPECTED_STREAM.value: subjects.STREAM,
        Header.EXPECTED_LAST_SUBJECT_SEQUENCE.value: 20 * "9",
    }
)
"""Those of an append with a message id of 64 characters."""
