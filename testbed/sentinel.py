"""A Sentinel that watches a Valkey, and a replica of that which it promotes."""

from __future__ import annotations

import contextlib
from pathlib import Path

import redis

from testbed.ports import free_port
from testbed.servers import Server, Valkey, answers

MASTER = "main"
"""What it calls the server."""


class Replica(Valkey):
    """A copy of another server, in a directory of its own.

    Args:
        directory: where that is made.
        of: the other one.
    """

    name = "replica"

    def __init__(self, directory: Path, of: Valkey) -> None:
        own = directory / "replica"
        own.mkdir()
        super().__init__(own)
        self._of = of

    def command(self) -> list[str]:
        return [*super().command(), "--replicaof", f"127.0.0.1 {self._of.port}"]

    def is_in_step(self) -> bool:
        """Whether it has what the other one had when they connected, and gets the rest."""
        with contextlib.suppress(redis.RedisError), self.client() as client:
            said = client.info("replication")
            return bool(said.get("master_link_status") == "up" and not said.get("master_sync_in_progress"))
        return False


class Sentinel(Server):
    """A Sentinel that watches one server.

    Args:
        directory: for its configuration.
        server: the one.
        directives: more of its configuration.
    """

    name = "sentinel"

    def __init__(self, directory: Path, server: Valkey, *directives: str) -> None:
        super().__init__(directory)
        self.port = free_port()
        self.file = directory / "sentinel.conf"
        watch = f"sentinel monitor {MASTER} 127.0.0.1 {server.port} 1"
        own = f"port {self.port}", "bind 127.0.0.1", f"dir {directory}"
        self.file.write_text("\n".join([*own, watch, *directives, ""]))

    def command(self) -> list[str]:
        return [Valkey(self.directory).command()[0], str(self.file), "--sentinel"]

    def ready(self) -> bool:
        return answers(self.port)

    def knows_replica(self) -> bool:
        """Whether it has found one that it could promote."""
        with contextlib.suppress(redis.RedisError), redis.Redis(port=self.port, socket_timeout=2) as client:
            return bool(client.sentinel_slaves(MASTER))
        return False
