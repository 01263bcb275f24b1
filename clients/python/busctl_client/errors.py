"""What can go wrong, one tree: `BusctlError` and its kinds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

PASSING = frozenset(
    {
        "bus_unavailable",
        "busy",
        "internal_error",
        "job_not_ended",
        "keys_unavailable",
        "stream_full",
        "too_fast",
        "too_many_bytes",
        "too_many_jobs",
    }
)
"""Types of errors after which the same request may be accepted later, as it is."""


class BusctlError(Exception):
    """Base of everything that this package raises by itself."""


class ConnectionFailed(BusctlError):
    """No connection came about in time. The client that was being opened is closed."""


class ConnectionClosed(BusctlError):
    """The connection is over, and is not opened again by itself.

    Args:
        code: the WebSocket close code, or the HTTP status with which the handshake was refused; 1000 after
            `Client.close()`.
        reason: what the server said, or what it means.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{reason} ({code})")
        self.code = code
        self.reason = reason


class ClientClosed(ConnectionClosed):
    """This client was closed with `Client.close()`, or at the end of its `async with`."""

    def __init__(self) -> None:
        super().__init__(1000, "the client was closed")


class Unauthorized(ConnectionClosed):
    """The server does not take the token. Connect with another one."""


@dataclass(frozen=True, slots=True)
class ErrorItem:
    """One thing that is wrong with a request.

    Args:
        type: a stable name, such as `missing` or `too_many_jobs`; the reference of the wire lists them.
        loc: where in the frame: the action, then keys and indexes; empty for the whole frame.
        msg: what is wrong, for people.
    """

    type: str
    loc: tuple[str | int, ...]
    msg: str

    def __str__(self) -> str:
        return f"{self.msg} ({' > '.join(map(str, self.loc))})" if len(self.loc) > 1 else self.msg


class Refused(BusctlError):
    """The server does not do what was asked; nothing has happened, unless an item's type says otherwise.

    Args:
        items: what is wrong.
    """

    def __init__(self, items: Sequence[ErrorItem]) -> None:
        super().__init__("; ".join(map(str, items)) or "the server gave no reason")
        self.items = tuple(items)

    @property
    def again(self) -> bool:
        """Whether the same may be accepted later. Submit it again with the same `key`: it is done once."""
        return all(item.type in PASSING for item in self.items)


class JobFailed(BusctlError):
    """The job ended without a result.

    Args:
        job_id: which job.
        reason: why, in the words of the job or the worker.
    """

    def __init__(self, job_id: str, reason: str) -> None:
        super().__init__(reason)
        self.job_id = job_id
        self.reason = reason


class JobCancelled(BusctlError):
    """The job was called off before it ended.

    Args:
        job_id: which job.
        by: who did, where that was not this client.
    """

    def __init__(self, job_id: str, by: str | None) -> None:
        super().__init__(f"called off by {by}" if by else "called off")
        self.job_id = job_id
        self.by = by


class JobLost(BusctlError):
    """How the job ended cannot be known any more: history was cut, or the server no longer knows this client."""


class TooManyRequests(BusctlError):
    """So many requests wait for the server's answer already that this one was not taken. Wait for some of them."""


class TooLarge(BusctlError):
    """The request is larger than a frame may be, so it was not sent: the server would close the connection.

    Args:
        size: its bytes.
        limit: most bytes.
    """

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"as a frame this has {size:,} bytes, and at most {limit:,} are sent: shorten it")
        self.size = size
        self.limit = limit


class EventsDropped(BusctlError):
    """A reader of events was too slow, and the oldest that waited for it were dropped. It may read on.

    Args:
        count: how many.
    """

    def __init__(self, count: int) -> None:
        super().__init__(f"{count} events were dropped; read faster, or ask for room for more with `most`")
        self.count = count
