"""What a channel may use: one of each per process, made by `create_app`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bus import Bus, Settings
from workers.enqueue import Enqueuer
from workers.registry import Job


@dataclass(frozen=True)
class Services:
    """The process's settings, bus, enqueuer and jobs by name."""

    settings: Settings
    bus: Bus
    enqueuer: Enqueuer
    jobs: Mapping[str, Job]
