"""What happens, as clients are told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias

Frame: TypeAlias = dict[str, Any]
Phase = Literal["connecting", "connected", "waiting", "closed"]
JobState = Literal[
    "sending",
    "unsent",
    "refused",
    "scheduled",
    "queued",
    "started",
    "retrying",
    "interrupted",
    "done",
    "failed",
    "cancelled",
]
Level = Literal["info", "warning", "critical"]


@dataclass(frozen=True, slots=True)
class Event:
    """A frame from the server. One that is stored has a `seq`, and is told exactly once.

    Args:
        action: what it is, such as `job_result`.
        payload: its content.
        seq: its sequence in the stream; None for what is not stored.
        at: when it was stored, or arrived.
        group: the group that it was sent to, if it was.
        job_id: the job it is about, if it is about one.
        frame: all of it, for keys beside these.
    """

    action: str
    payload: Any
    seq: int | None
    at: datetime
    group: str | None
    job_id: str | None
    frame: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Notification(Event):
    """An operator tells something: everybody, a group, or this client."""

    @property
    def text(self) -> str:
        """What is told."""
        return str(self.payload)

    @property
    def level(self) -> Level:
        """How much it matters."""
        level = self.frame.get("level")
        return level if level in ("warning", "critical") else "info"

    @property
    def expires_at(self) -> datetime | None:
        """From when on it is not worth showing any more."""
        return time_of(self.frame.get("expires_at"))


@dataclass(frozen=True, slots=True)
class State:
    """How the connection stands.

    Args:
        name: `connecting`; `connected`, and what was missed has arrived; `waiting`, to connect again; or `closed`, by
            `Client.close()` or by the server in a way after which nothing connects by itself.
        until: when it connects again, while `waiting`.
        code, reason: why it is `waiting` or `closed`: a WebSocket close code (1006 for a connection that broke, or was
            never there) or an HTTP status, and what that means.
    """

    name: Phase
    until: datetime | None = None
    code: int | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Welcome:
    """A connection begins, or begins again.

    Args:
        client_id: who this client is to the server.
        first: whether nothing was known before.
        same_client: whether that is who it was before; True at the first welcome.
        recovered: whether nothing is missing between what was seen before and what comes now; True at the first
            welcome. When False, jobs and announcements may have been missed for good.
        replayed: how many events come that were missed.
    """

    client_id: str
    first: bool
    same_client: bool
    recovered: bool
    replayed: int


def event_of(frame: Frame) -> Event:
    """What a frame tells."""
    kind = Notification if frame["action"] == "system_notification" else Event
    return kind(
        action=frame["action"],
        payload=frame.get("payload"),
        seq=frame.get("seq"),
        at=time_of(frame.get("at")) or datetime.now(UTC),
        group=frame.get("group"),
        job_id=frame.get("job_id"),
        frame=frame,
    )


def time_of(text: object) -> datetime | None:
    """The time that a frame says, in UTC; None when it says none."""
    try:
        time = datetime.fromisoformat(text) if isinstance(text, str) else None
        return time.astimezone(UTC) if time is not None and time.tzinfo else None
    except (ValueError, OverflowError):
        return None
