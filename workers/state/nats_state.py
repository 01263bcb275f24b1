"""What NATS says of itself and of the event stream."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

from bus import Bus, BusError, subjects, times
from bus.jetstream import STREAM_NOT_FOUND, ApiError
from bus.stream_config import is_ours

Json: TypeAlias = dict[str, Any]

NO_LEADER = "it has no leader; more than half of its servers must be up"


@dataclass
class StreamState:
    """The event stream.

    Args:
        error: why it cannot be used; None when it can.
        missing: whether that is because there is none yet.
        info: all that NATS says of it.
        ahead: seconds by which NATS's clock is ahead of ours; None when it does not tell.
    """

    error: str | None = None
    missing: bool = False
    info: Json = field(default_factory=dict)
    ahead: float | None = None

    @property
    def config(self) -> Json:
        """Its configuration."""
        return dict(self.info.get("config") or {})

    @property
    def events(self) -> int:
        """How many it holds."""
        return int(self._state.get("messages", 0))

    @property
    def last_seq(self) -> int | None:
        """The sequence of the newest event; None when nothing is known."""
        return int(self._state["last_seq"]) if "last_seq" in self._state else None

    @property
    def used(self) -> int:
        """Bytes that they take."""
        return int(self._state.get("bytes", 0))

    @property
    def max_bytes(self) -> int | None:
        """Bytes that they may take; None for any number."""
        limit = int(self.config.get("max_bytes", -1))
        return limit if limit > 0 else None

    @property
    def max_age(self) -> float:
        """Seconds for which one is kept; 0 for ever."""
        return int(self.config.get("max_age") or 0) / 1e9

    @property
    def share(self) -> float | None:
        """How full it is, from 0 to 1."""
        return None if self.max_bytes is None else self.used / self.max_bytes

    @property
    def oldest(self) -> datetime | None:
        """When the oldest event was stored."""
        return _time(self._state.get("first_ts")) if self.events else None

    @property
    def replicas(self) -> int:
        """How many servers have it."""
        return int(self.config.get("num_replicas") or 1)

    @property
    def leader(self) -> str | None:
        """The server that leads them; None without a cluster."""
        return (self.info.get("cluster") or {}).get("leader")

    @property
    def lagging(self) -> list[str]:
        """The servers among them that are off line or behind."""
        peers = (self.info.get("cluster") or {}).get("replicas") or []
        return [str(peer.get("name")) for peer in peers if peer.get("offline") or not peer.get("current")]

    @property
    def _state(self) -> Json:
        return dict(self.info.get("state") or {})

    def record(self) -> Json:
        """It, for programs."""
        if not self.info:
            return {"error": self.error}
        return {
            "error": self.error,
            "events": self.events,
            "bytes": self.used,
            "max_bytes": self.max_bytes,
            "share": None if self.share is None else round(self.share, 4),
            "max_age": self.max_age,
            "oldest": None if self.oldest is None else times.written(self.oldest),
            "replicas": self.replicas,
            "leader": self.leader,
            "lagging": self.lagging,
        }


@dataclass
class NatsState:
    """The server that is connected.

    Args:
        url: its address, as may be shown.
        error: why it cannot be used; None when it can.
        info: what it says of itself, as the protocol's INFO has it.
        seconds: how long it took to answer.
        stream: the event stream.
    """

    url: str
    error: str | None = None
    info: Json = field(default_factory=dict)
    seconds: float | None = None
    stream: StreamState = field(default_factory=StreamState)

    @property
    def version(self) -> str:
        """Of the server."""
        return str(self.info.get("version", ""))

    def record(self) -> Json:
        """It, for programs."""
        return {
            "url": self.url,
            "error": self.error,
            "server": self.info.get("server_name"),
            "version": self.version or None,
            "cluster": self.info.get("cluster"),
            "jetstream": bool(self.info.get("jetstream")) if self.info else None,
            "seconds": None if self.seconds is None else round(self.seconds, 4),
        }


async def look_at_nats(bus: Bus, url: str) -> NatsState:
    """What the server says of itself and of the event stream.

    Args:
        bus: connected.
        url: its address, as may be shown.
    """
    try:
        nats = NatsState(url, info=bus.server_info)
    except BusError as error:
        return NatsState(url, error=str(error))
    before = time.time()
    nats.stream = await look_at_stream(bus)
    nats.seconds = time.time() - before
    return nats


async def look_at_stream(bus: Bus) -> StreamState:
    """What NATS says of the event stream."""
    before = time.time()
    try:
        info = await bus.stream.info()
    except ApiError as error:
        missing = error.code == STREAM_NOT_FOUND
        why = "there is none yet; a web process or worker makes it when it starts" if missing else str(error)
        return StreamState(error=why, missing=missing)
    except BusError as error:
        return StreamState(error=str(error))
    there = _time(info.get("ts"))
    stream = StreamState(info=info, ahead=None if there is None else there.timestamp() - (before + time.time()) / 2)
    cluster = info.get("cluster") or {}
    if not is_ours(stream.config):
        stream.error = f"the stream {subjects.STREAM} belongs to another application"
    elif cluster.get("replicas") and not cluster.get("leader"):
        stream.error = NO_LEADER
    return stream


def _time(text: object) -> datetime | None:
    try:
        return times.read(str(text))
    except ValueError:
        return None
