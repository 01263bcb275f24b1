"""How long a client waits, and how much it keeps."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timings:
    """Deadlines and pauses, all in seconds.

    Args:
        open: for the WebSocket handshake, and for what `token` gives.
        welcome: for the server's answer to the first frame; it may have to wait for its bus.
        ping_after: between two pings.
        pong_within: for the answer to one; past it the connection is given up and opened again.
        close: for an orderly end of a connection.
        first_delay: longest first pause before connecting again; each is twice as long as the one before.
        longest_delay: that no pause is longer than, unless the server asks for one.
        lasted: that a connection has to have lived for pauses to begin small again.
    """

    open: float = 10.0
    welcome: float = 20.0
    ping_after: float = 20.0
    pong_within: float = 10.0
    close: float = 2.0
    first_delay: float = 1.0
    longest_delay: float = 30.0
    lasted: float = 5.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of what is kept and sent.

    Args:
        requests: that wait for the server's answer at once.
        ended_jobs: that are kept in `Client.jobs`; the oldest go first. Open jobs are always kept.
        frame_bytes: of a frame to the server, as its `BUS_MAX_FRAME_BYTES`.
        message_bytes: of a frame from the server.
        frame_rate: frames a second that are sent for long, below the server's `BUS_FRAME_RATE`.
        frame_burst: frames that are sent at once after a silence, below its `BUS_FRAME_BURST`.
    """

    requests: int = 1000
    ended_jobs: int = 200
    frame_bytes: int = 64 * 1024
    message_bytes: int = 16 * 1024 * 1024
    frame_rate: float = 80.0
    frame_burst: int = 500
