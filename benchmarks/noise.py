"""What else went on on the machine while something was measured: other processes, and other guests of its host."""

from __future__ import annotations

import os
import resource
from dataclasses import dataclass
from pathlib import Path

MOST = 0.04
"""The share of the machine that others may have used for a run to count; a desktop that rests uses less."""
TICKS = os.sysconf("SC_CLK_TCK")
BUSY = (0, 1, 2)
"""Where `/proc/stat` has what all processes used: user, nice, system."""
STOLEN = 7
"""Where it has what the host gave to other guests."""


@dataclass(frozen=True)
class Noise:
    """How much of the machine was used by others.

    Args:
        others: the share that processes used which do not belong to the benchmark, 1 for all cores all the time.
        stolen: the share that the machine did not get from its host.
    """

    others: float
    stolen: float

    @property
    def quiet(self) -> bool:
        """Whether figures that were measured meanwhile can be trusted."""
        return self.others + self.stolen <= MOST

    def __str__(self) -> str:
        stolen = f", and its host kept back {self.stolen:.0%}" if self.stolen > MOST / 4 else ""
        return f"others used {self.others:.0%} of the machine{stolen}"


class Watch:
    """Looks at the machine from now on. All that the benchmark starts has to end, and be waited for, before `noise`."""

    def __init__(self) -> None:
        self._begin = self._now()

    def noise(self) -> Noise:
        """What others have used since."""
        (busy, stolen, capacity), own = self._now()
        (busy_before, stolen_before, capacity_before), own_before = self._begin
        whole = capacity - capacity_before or 1.0
        others = busy - busy_before - (own - own_before)
        return Noise(round(max(0.0, others) / whole, 4), round((stolen - stolen_before) / whole, 4))

    @staticmethod
    def _now() -> tuple[tuple[float, float, float], float]:
        fields = [int(field) / TICKS for field in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        own = sum(each.ru_utime + each.ru_stime for each in used)
        return (sum(fields[at] for at in BUSY), fields[STOLEN], sum(fields)), own
