"""The web processes and workers that answer on the bus."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from bus import Bus, BusError, times
from bus.services import Found, find
from workers.about import WEB, WORKER

Json: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Process:
    """One of them, as it tells of itself.

    Args:
        found: what it answered.
        ahead: seconds by which its clock is ahead of ours, at most as wrong as the answer was slow.
    """

    found: Found
    ahead: float | None = None

    @property
    def host(self) -> str:
        """The machine that it runs on."""
        return self._fact("host")

    @property
    def name(self) -> str:
        """Host and process id."""
        return f"{self.host}:{self._fact('pid')}"

    @property
    def queues(self) -> list[str]:
        """From which a worker takes tasks."""
        return self._fact("queues").split()

    @property
    def jobs(self) -> dict[str, str]:
        """The hash of each job type's signature, by job type."""
        return dict(entry.partition("=")[::2] for entry in self._fact("jobs").split())

    @property
    def concurrency(self) -> int:
        """How many jobs a worker runs at a time."""
        text = self._fact("concurrency")
        return int(text) if text.isdecimal() else 0

    @property
    def running(self) -> list[Json]:
        """The jobs that a worker runs now."""
        running = self.found.data.get("running")
        return [one for one in running if isinstance(one, dict)] if isinstance(running, list) else []

    @property
    def connections(self) -> int:
        """How many a web process has."""
        count = self.found.data.get("connections")
        return count if isinstance(count, int) else 0

    @property
    def up(self) -> float | None:
        """Seconds since it began to answer."""
        try:
            return max(0.0, time.time() - times.read(self.found.started).timestamp())
        except ValueError:
            return None

    def _fact(self, name: str) -> str:
        return self.found.metadata.get(name, "")

    def record(self) -> Json:
        """It, for programs."""
        up = self.up
        about: Json = {
            "id": self.found.id,
            "version": self.found.version,
            "host": self.host,
            "pid": self._fact("pid"),
            "up": None if up is None else round(up, 1),
        }
        if self.found.name == WEB:
            return about | {"connections": self.connections}
        return about | {
            "name": self._fact("name"),
            "concurrency": self.concurrency,
            "queues": self.queues,
            "running": self.running,
        }


@dataclass
class Processes:
    """Those of one kind.

    Args:
        error: why they could not be asked.
        found: those that answered, sorted by name.
    """

    error: str | None = None
    found: list[Process] = field(default_factory=list)

    @property
    def queues(self) -> set[str]:
        """From which any of them takes tasks."""
        return {queue for process in self.found for queue in process.queues}


async def look_at_processes(bus: Bus, within: float) -> tuple[Processes, Processes]:
    """The web processes and the workers that answer within so many seconds."""
    web, workers = await asyncio.gather(_look(bus, WEB, within), _look(bus, WORKER, within))
    return web, workers


async def _look(bus: Bus, name: str, within: float) -> Processes:
    try:
        found = await find(bus, name, within=within)
    except BusError as error:
        return Processes(error=str(error))
    return Processes(found=sorted(map(_process, found), key=lambda process: (process.host, process.found.id)))


def _process(found: Found) -> Process:
    there = found.data.get("time")
    return Process(found, there - time.time() if isinstance(there, int | float) else None)
