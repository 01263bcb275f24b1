"""What can go wrong on the bus. Every message says what happened and what to do next."""

from __future__ import annotations


class BusError(Exception):
    """Base of everything `bus` raises on purpose."""


class SettingsError(BusError):
    """An environment variable has a value that cannot be used."""


class InvalidName(BusError, ValueError):
    """A client id, job id or group cannot be one token of a NATS subject."""

    def __init__(self, kind: str, name: object) -> None:
        self.kind = kind
        self.name = name
        super().__init__(
            f"{name!r} is no {kind}: use 1 to 64 letters, digits, '-' or '_' "
            "(a NATS subject token without dots, spaces or wildcards)"
        )


class BusUnavailable(BusError):
    """NATS could not be reached, or did not answer within the deadline."""

    def __init__(self, what: str, *, maybe_done: bool = False) -> None:
        self.maybe_done = maybe_done
        """True when the request was sent and only its answer is missing."""
        super().__init__(what)


class NoStream(BusUnavailable):
    """Nothing stores the subject of an event: the EVENTS stream is not there."""


class BusRefused(BusUnavailable):
    """NATS is there and says no: to the login, the connection or a subscription. Waiting alone does not help."""


class NotPermitted(BusRefused):
    """The NATS user may not publish or subscribe what it has to."""

    def __init__(self, verb: str, subject: str) -> None:
        self.verb = verb
        self.subject = subject
        super().__init__(
            f'the NATS user may not {verb} "{subject}": allow it among the permissions of that user on the server'
        )


class UnsupportedServer(BusError):
    """The NATS server is too old, or runs without JetStream."""


class StreamConflict(BusError):
    """A stream exists that cannot be used, or cannot be changed, as the EVENTS stream."""


class AppendRefused(BusError):
    """The subject has moved on since it was read (JetStream error 10071)."""

    def __init__(self, subject: str, expected: int) -> None:
        self.subject = subject
        self.expected = expected
        super().__init__(
            f"{subject} has another event after sequence {expected}: somebody else was first; "
            "read the subject again before you decide anything"
        )


class EventTooLarge(BusError):
    """An event is larger, with its headers, than NATS takes.

    Args:
        size: bytes of the event and its headers.
        limit: most bytes of both.
        where: what sets that limit.
    """

    def __init__(self, size: int, limit: int, where: str = "max_payload of the NATS server") -> None:
        self.size = size
        self.limit = limit
        super().__init__(f"the event has {size} bytes, and NATS takes at most {limit}: send less, or raise {where}")


class UnknownJob(BusError):
    """No event of this job is in the stream: never submitted, or past retention."""

    def __init__(self, client_id: str, job_id: str) -> None:
        self.client_id = client_id
        self.job_id = job_id
        super().__init__(f"job {job_id} is not known for this client (never submitted, or past retention)")
