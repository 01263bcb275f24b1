"""Servers as processes of their own, and what they cost: CPU seconds and bytes of memory.

The servers themselves (`Nats`, `Valkey`, `Web`, `Worker`, `free_port`) are those of `testbed.servers`.
"""

from __future__ import annotations

import re
import resource
import time
from collections.abc import Iterable
from pathlib import Path

from benchmarks.figure import Invalid
from testbed.servers import Worker
from testbed.system import System

QUIET_SHARE = 0.02
"""A process that uses less than this share of a core has nothing left to do."""


def allow_many_files() -> int:
    """Raise the limit of open files, for this process and those it starts, as far as is allowed. Returns the limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def tree(pid: int) -> list[int]:
    """A process and all its living descendants."""
    found = [pid]
    for parent in found:
        for listing in Path(f"/proc/{parent}/task").glob("*/children"):
            found += map(int, listing.read_text().split())
    return found


def cpu_seconds(pids: Iterable[int]) -> float:
    """CPU time that these processes have used so far, user and system, all threads, also those that ended.

    Exact to nanoseconds: it is each process's CPU clock (clock_getcpuclockid(3)).

    Raises:
        Invalid: one of them has ended.
    """
    try:
        return sum(time.clock_gettime_ns((~pid << 3) | 2) for pid in pids) / 1e9
    except OSError as error:
        raise Invalid("a server ended while it was measured; see its log") from error


def wait_quiet(pids: Iterable[int], window: float = 0.1, deadline: float = 30.0, share: float = QUIET_SHARE) -> float:
    """Wait until these processes rest, and return their CPU seconds so far.

    Args:
        window: seconds in which they have to do next to nothing.
        share: of a core, which is as good as nothing.

    Raises:
        Invalid: they still work after `deadline` seconds.
    """
    watched = list(pids)
    end = time.monotonic() + deadline
    used = cpu_seconds(watched)
    while time.monotonic() < end:
        time.sleep(window)
        before, used = used, cpu_seconds(watched)
        if used - before < share * window:
            return used
    raise Invalid(f"the servers did not come to rest within {deadline:g} s")


def end(system: System) -> None:
    """End a system, its workers in order: only a parent that waits for its children tells what they have used, and what
    nobody tells is taken for somebody else's work (see `benchmarks.noise`)."""
    for server in system.servers:
        if isinstance(server, Worker) and server.process is not None:
            server.stop()
    system.stop()


def memory_bytes(pids: Iterable[int]) -> int:
    """Memory of these processes: proportional set size (PSS), which counts shared pages once. No kernel buffers."""
    total = 0
    for pid in pids:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        total += 1024 * sum(int(size) for size in re.findall(r"^Pss:\s+(\d+) kB", rollup, re.MULTILINE))
    return total
