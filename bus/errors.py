"""What can go wrong on the bus. Every message says what happened and what to do next.

BusError
├── SettingsError           an environment variable cannot be used
├── InvalidName             no token of a subject, or no subject (a `ValueError` too)
├── BusUnavailable          NATS is away, or silent; with `maybe_done` nobody knows whether it has been done
│   ├── NoStream            nothing stores the event
│   ├── NoQuorum            more than half of the stream's servers are out of reach of the one that answers, if any
│   ├── StreamFull          there is no room for the event
│   ├── ReplayIncomplete    part of what was read did not arrive
│   └── BusRefused          NATS is there and says no
│       └── NotPermitted    for want of a permission
├── UnsupportedServer       the NATS server is too old, or without JetStream
├── StreamConflict          the stream cannot be used
├── NoLease                 this process cannot show that it lives
├── AppendRefused           somebody else was first
├── EventTooLarge           more than NATS takes
├── UnknownJob              no event of the job is stored
└── CorruptJob              another program wrote on the job's subject
"""

from __future__ import annotations


class BusError(Exception):
    """Base of everything `bus` raises on purpose."""


class SettingsError(BusError):
    """An environment variable has a value that cannot be used."""


class InvalidName(BusError, ValueError):
    """A client id, job id or group cannot be one token of a NATS subject, or a subject cannot be heard."""

    def __init__(
        self,
        kind: str,
        name: object,
        use: str = "1 to 64 letters, digits, '-' or '_' (a NATS subject token without dots, spaces or wildcards)",
    ) -> None:
        self.kind = kind
        self.name = name
        super().__init__(f"{name!r} is no {kind}: use {use}")


class BusUnavailable(BusError):
    """NATS could not be reached, or did not answer within the deadline."""

    def __init__(self, what: str, *, maybe_done: bool = False) -> None:
        self.maybe_done = maybe_done
        """True when the request was sent and only its answer is missing."""
        super().__init__(what)


class NoStream(BusUnavailable):
    """Nothing stores the subject of an event: the EVENTS stream is not there."""


class NoQuorum(BusUnavailable):
    """The EVENTS stream has no leader that more than half of its servers follow, as far as can be seen from here.

    Nothing can be stored then, and what could be read may be old. It passes when enough servers are back, or with a
    connection to another server.
    """


class StreamFull(BusUnavailable):
    """The EVENTS stream has no room: for an event, or for another job beside those that are open."""


class ReplayIncomplete(BusUnavailable):
    """Part of an answer did not arrive, because this process was too slow or the connection was lost meanwhile."""


class BusRefused(BusUnavailable):
    """NATS is there and says no: to the login, the connection or a subscription. Waiting alone does not help."""


class NotPermitted(BusRefused):
    """The NATS user may not publish or subscribe what it has to.

    Args:
        verb: `publish` or `subscribe`.
        subject: which one.
        user: who we are to NATS, if that has a name.
        permission: what to allow, which is the subject or, where each has another one, all that are like it.
    """

    def __init__(self, verb: str, subject: str, *, user: str | None, permission: str) -> None:
        self.verb = verb
        self.subject = subject
        self.user = user
        self.permission = permission
        who = "the NATS user" if user is None else f'the NATS user "{user}"'
        super().__init__(
            f'{who} may not {verb} "{subject}": if it is meant to, add "{permission}" to what that user may {verb} on '
            "the NATS server"
        )


class UnsupportedServer(BusError):
    """The NATS server is too old, or runs without JetStream."""


class StreamConflict(BusError):
    """A stream exists that cannot be used, or cannot be changed, as the EVENTS stream."""


class NoLease(BusError):
    """This process cannot show others that it lives, so it may not take a job.

    Args:
        why: what happened.
        publish, subscribe: the subject for which its NATS user may lack that permission.
    """

    def __init__(self, why: str, *, publish: str | None = None, subscribe: str | None = None) -> None:
        self.publish = publish
        self.subscribe = subscribe
        verb, subject = ("publish to", publish) if publish else ("subscribe to", subscribe)
        hint = f"; see whether its NATS user may {verb} {subject}" if subject else ""
        super().__init__(f"this worker cannot prove that it lives, so it takes no job: {why}{hint}")


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


class CorruptJob(BusError):
    """An event on a job's subject was not written by `bus.job_log`."""
