"""Whether what NATS says of a stream with replicas can be the latest word on it.

A leader that was cut off from the others goes on for up to ten seconds, and answers reads all the while; one of a
stream that has no leader answers too. Neither takes anything, and somewhere else there may be a newer leader.
"""

from __future__ import annotations

import time
from typing import Any

ELECTION = 4.0
"""Seconds for which the servers that follow a leader wait for a word of it before they choose another (`raft.go` of the
NATS server): one that more than half of them have answered within that time is the only one."""

JUST_NOW = 2.0
"""Seconds in which a leader that is followed hears of the others, as it sends them word every second. What it hears may
have been on its way for the rest of `ELECTION`."""
BELIEVED_AFTER = 10.0
"""Seconds after which a stream is believed that ends earlier than it did. No server takes itself for the leader for so
long that is not; so it was put back to an older state."""


def lacking(info: dict[str, Any], *, within: float = ELECTION) -> str | None:
    """Why a stream can take nothing now, as far as who answers knows; None when nothing stands against it.

    Args:
        info: what NATS says of the stream (`$JS.API.STREAM.INFO`).
        within: seconds in which more than half of its servers must have been heard of.
    """
    cluster: dict[str, Any] = info.get("cluster") or {}
    replicas: list[dict[str, Any]] = cluster.get("replicas") or []
    if not replicas:
        return None
    leader = cluster.get("leader")
    if not leader:
        servers = ", ".join(sorted(str(replica.get("name")) for replica in replicas))
        return f"has no leader; more than half of its servers must be up: {servers}"
    heard = [each for each in replicas if not each.get("offline") and each.get("active", 0) < within * 1e9]
    if 2 * (len(heard) + 1) > len(replicas) + 1:
        return None
    lost = ", ".join(sorted(str(each.get("name")) for each in replicas if each not in heard))
    return f"has lost half of its servers or more: its leader {leader} does not hear {lost}"


class Furthest:
    """How far a stream with replicas was seen to reach, so that who knows less of it is not believed.

    A leader that was frozen goes on as one until it hears of the new one. What the others had said to it meanwhile
    comes to it in that moment, so by `lacking` nothing is wrong with it.
    """

    def __init__(self) -> None:
        self.seq = 0
        """The last sequence that was seen."""
        self._epoch = ""
        self._less_since: float | None = None

    def saw(self, seq: int) -> None:
        """An event was stored, or read, with this sequence."""
        self.seq = max(self.seq, seq)

    def lacking(self, epoch: str, last_seq: int, *, seen: int) -> str | None:
        """Why it is not the latest word that the stream ends there; None when nothing stands against it.

        Args:
            epoch: of the stream. Of another one nothing was seen yet.
            seen: `seq` when it was asked for: it may have gone on since.
        """
        if epoch == self._epoch and last_seq < seen:
            now = time.monotonic()
            self._less_since = self._less_since if self._less_since is not None else now
            if now - self._less_since < BELIEVED_AFTER:
                return f"reached {seen} and is said to end at {last_seq}: who says so leads it no more"
        going_back = epoch != self._epoch or last_seq < seen
        self._epoch, self._less_since = epoch, None
        self.seq = last_seq if going_back else max(self.seq, last_seq)
        return None
