"""A whole system of real servers: NATS and Valkey, and as many workers and web processes as are asked for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from testbed.servers import SERVE, Nats, Server, Valkey, Web, Worker

METRICS_TOKEN = "let me count"


class System:
    """NATS and Valkey, and as many workers and web processes as a test asks for."""

    def __init__(self, directory: Path, **settings: str) -> None:
        self.directory = directory
        self.nats = Nats(directory)
        self.valkey = Valkey(directory)
        self.settings = {"BUS_JOB_DELAY_SCALE": "0", "BUS_METRICS_TOKEN": METRICS_TOKEN} | settings
        self.servers: list[Server] = []

    @property
    def env(self) -> dict[str, str]:
        return {"NATS_URL": self.nats.url, "REDIS_URL": self.valkey.url, **self.settings}

    def start(self) -> None:
        for server in (self.nats, self.valkey):
            self.servers.append(server)
            server.start()

    def worker(self, *arguments: str, meets: bool = False, **settings: str) -> Worker:
        worker = Worker(self.directory, self.env | settings, *arguments, meets=meets)
        self.servers.append(worker)
        worker.start()
        return worker

    def web(self, *command: str, **settings: str) -> Web:
        web = Web(self.directory, self.env | settings, command=command or SERVE)
        self.servers.append(web)
        web.start()
        return web

    def stop(self) -> None:
        """End every server: web processes in order, so that they leave nothing behind.

        The others are killed, for Celery takes two seconds to end; a test of how one ends stops that one itself.
        """
        for server in reversed(self.servers):
            if server.process is not None:
                _ = server.stop() if isinstance(server, Web) else server.kill()


@contextlib.contextmanager
def running(directory: Path, **settings: str) -> Iterator[System]:
    """A system with NATS and Valkey running; everything it starts ends with the block."""
    system = System(directory, **settings)
    try:
        system.start()
        yield system
    finally:
        system.stop()
