"""What clients cost that only stay connected: `python -m benchmarks.idle [clients] [workers] [seconds]`.

They speak `bus.v1`, and answer the server's pings. In the end some broadcasts go to all of them, one after the other.
"""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import contestants
from benchmarks.connections import connect_frame
from benchmarks.contestants import Ours
from benchmarks.figure import Invalid
from benchmarks.processes import allow_many_files, cpu_seconds, memory_bytes, wait_quiet

DEFAULTS = (20_000, 2, 60)
HELD = 10_000
"""Clients that one process of the driver holds."""
SPARE = 500
"""Files that a process has besides its connections."""
BROADCASTS = 5
TURN = 0.1
"""Seconds after which a holder looks whether it is to do something else than answer pings."""


def main(arguments: Sequence[str]) -> None:
    """Measure, and print what was found."""
    clients, workers, seconds = [*map(int, arguments), *DEFAULTS[len(arguments) :]]
    if max(HELD, -(-clients // workers)) + SPARE > allow_many_files():
        raise Invalid("a process may not have so many open files here: use more workers, or raise `ulimit -n`")
    command = ("busctl", "serve", "--workers", str(workers))
    with ExitStack() as stack:
        directory = Path(stack.enter_context(TemporaryDirectory(prefix="benchmark-")))
        pinged = {"BUS_PING_INTERVAL": "20"}
        one = stack.enter_context(
            contestants.ours(directory, command=command, BUS_MAX_CONNECTIONS=str(clients), **pinged)
        )
        used, memory = _used(one), memory_bytes(one.pids["web"])
        began = time.monotonic()
        holders = [stack.enter_context(holding(one.web_port, min(HELD, clients - n))) for n in range(0, clients, HELD)]
        for holder in holders:
            holder.recv()
        took, opened = time.monotonic() - began, _used(one)
        print(f"{clients:,} clients at {workers} web processes, all open after {took:.1f} s")
        for role in used:
            print(f"  opening one: {1e3 * (opened[role] - used[role]) / clients:.2f} ms of CPU in {role}")
        print(f"  memory of one: {(memory_bytes(one.pids['web']) - memory) / clients / 1024:.1f} KB in web")
        before = {role: cpu_seconds(pids) for role, pids in one.pids.items()}
        time.sleep(seconds)
        for role, pids in one.pids.items():
            print(f"  idle: {100 * (cpu_seconds(pids) - before[role]) / seconds:.1f} % of a core for all in {role}")
        used, heard = _used(one), []
        with closing(one.publisher()) as publish:
            for _ in range(BROADCASTS):
                began = time.monotonic()
                publish(1)
                heard.append(max(holder.recv() for holder in holders) - began)
        print(f"  a broadcast: {1e3 * median(heard):.0f} ms until the last one has it")
        each = {role: 1e6 * (cpu - used[role]) / clients / BROADCASTS for role, cpu in _used(one).items()}
        print(f"  a broadcast: {sum(each.values()):.1f} us of CPU for each in all server processes")


def _used(one: Ours) -> dict[str, float]:
    """CPU seconds of each role, once it rests but for pings."""
    return {role: wait_quiet(pids, window=1.0, share=0.5) for role, pids in one.pids.items()}


@contextmanager
def holding(port: int, number: int) -> Iterator[Any]:
    """A process that holds so many clients until the end of the block.

    It tells when all are connected, and then of each broadcast the time at which the last of its clients had it.
    """
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_hold, args=(port, number, there), daemon=True)
    process.start()
    try:
        yield here
    finally:
        process.kill()
        process.join()


def _hold(port: int, number: int, there: Connection) -> None:
    allow_many_files()
    with closing(contestants.sessions(port, lambda: connect_frame({}))) as clients:
        clients.open(number)
        there.send(time.monotonic())
        frames = clients.frames()
        while True:
            clients.rest(TURN)
            if clients.frames() > frames:
                clients.wait_frames(frames := frames + number)
                there.send(time.monotonic())


if __name__ == "__main__":
    main(sys.argv[1:])
