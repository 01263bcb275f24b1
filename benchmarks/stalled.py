"""One client that stops reading, among 500 that read: what the others notice of it."""

from __future__ import annotations

import json
from collections import defaultdict
from contextlib import closing
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory

from benchmarks.contestants import AT, OURS, Ours, filler, ours
from benchmarks.figure import Figure, Target
from benchmarks.processes import allow_many_files
from benchmarks.publishers import NatsPublisher

TITLE = "One stalled reader: when the others have a message of 16 KiB"

READERS = 500
SIZE = 16 * 1024
MESSAGES = 400
"""6.4 MB for each client: the kernel's buffers for the stalled one are full after less than half, then the server's."""

STALLED = f"{OURS}, one reader stalled"
P50 = "broadcast of 16 KiB, last reader has it, p50"
P99 = "broadcast of 16 KiB, last reader has it, p99"

TARGETS = (Target("p99 of the others, at most 1.25 × without a stalled reader", P99, STALLED, READERS, 1.25, OURS),)


def run(rounds: int, quick: bool) -> list[Figure]:
    """Measure with and without a stalled reader, in turns.

    Raises:
        Invalid: one that reads did not get everything.
    """
    allow_many_files()
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    with TemporaryDirectory(prefix="benchmark-") as directory, ours(Path(directory)) as one:
        _measure(one, MESSAGES // 10, stalled=False)
        for _ in range(rounds):
            for who in (OURS, STALLED):
                took = _measure(one, MESSAGES // 4 if quick else MESSAGES, stalled=who is STALLED)
                found[P50, who].append(1000 * median(took))
                found[P99, who].append(1000 * quantiles(took, n=100)[98])
    return [Figure(what, who, READERS, "ms", tuple(values)) for (what, who), values in found.items()]


def _measure(one: Ours, messages: int, *, stalled: bool) -> list[float]:
    """Seconds until the last reader had each message."""
    frame = {"action": "system_notification", "payload": "", "seq": 10_000, "at": AT, "group": "system"}
    event = json.dumps({"action": "system_notification", "payload": filler(frame, SIZE)}, separators=(",", ":"))
    readers, other = one.clients(), one.clients()
    readers.open(READERS)
    if stalled:
        other.open(1)  # and is not looked at again
    readers.expect(SIZE, messages)
    with closing(NatsPublisher(one.nats_port, "bus.group.system", event.encode())) as publish:
        took = readers.paced(publish, messages)
    readers.close()
    other.close()
    return took
