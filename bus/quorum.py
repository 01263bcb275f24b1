"""Whether what NATS says of a stream with replicas can be the latest word on it.

A leader that was cut off from the others goes on for up to ten seconds, and answers reads all the while; one of a
stream that has no leader answers too. Neither takes anything, and somewhere else there may be a newer leader.
"""

from __future__ import annotations

from typing import Any

ELECTION = 4.0
"""Seconds for which the servers that follow a leader wait for a word of it before they choose another (`raft.go` of the
NATS server): one that more than half of them have answered within that time is the only one."""


def lacking(info: dict[str, Any]) -> str | None:
    """Why a stream can take nothing now, as far as who answers knows; None when nothing stands against it.

    Args:
        info: what NATS says of the stream (`$JS.API.STREAM.INFO`).
    """
    cluster: dict[str, Any] = info.get("cluster") or {}
    replicas: list[dict[str, Any]] = cluster.get("replicas") or []
    if not replicas:
        return None
    leader = cluster.get("leader")
    if not leader:
        servers = ", ".join(sorted(str(replica.get("name")) for replica in replicas))
        return f"has no leader; more than half of its servers must be up: {servers}"
    heard = [each for each in replicas if not each.get("offline") and each.get("active", 0) < ELECTION * 1e9]
    if 2 * (len(heard) + 1) > len(replicas) + 1:
        return None
    lost = ", ".join(sorted(str(each.get("name")) for each in replicas if each not in heard))
    return f"has lost half of its servers or more: its leader {leader} does not hear {lost}"
