"""One message to many WebSockets: server CPU per delivery, deliveries a second, and when the last client has it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory

from benchmarks import contestants
from benchmarks.contestants import (
    CHANX_ALL,
    GATEWAY,
    LOOP,
    NODE,
    OURS,
    OURS_ALL,
    WEBSOCKETS,
    Contestant,
    Sample,
    by_role,
)
from benchmarks.figure import Figure, Target
from benchmarks.processes import allow_many_files, cpu_seconds, wait_quiet

TITLE = "Fan-out: one message to many WebSockets"

SIZES = (125, 500, 2000)
LAST_OF = 1000
IN_FLIGHT = 20
DELIVERIES = 25_000
"""At least so many deliveries in one measurement, a quarter of it with slow contestants."""

WARM_UP = 20
PACED_CPU = "paced fan-out, CPU"
BURST_CPU = "burst fan-out, CPU"
PER_DELIVERY = "µs per delivery"

TARGETS = (
    # Most of what a paced delivery costs is send(2) itself (docs/explanation/fan-out.md): no bound below can be kept.
    *(
        Target(f"paced, at most 1.3 × a bare loop of send(2), {size:,} sockets", PACED_CPU, OURS, size, 1.3, LOOP)
        for size in SIZES
    ),
    *(
        Target(f"paced, below {name}, {size:,} sockets", PACED_CPU, OURS_ALL, size, 1.0, peer)
        for name, peer in (("Node's ws", NODE), ("websockets", WEBSOCKETS), ("nats-server's gateway", GATEWAY))
        for size in SIZES
    ),
    *(
        Target(f"burst, at most 0.6 × nats-server's gateway, {size:,} sockets", BURST_CPU, OURS_ALL, size, 0.6, GATEWAY)
        for size in SIZES[1:]
    ),
    *(
        Target(f"{kind}, at most 1/12 of chanx, {size:,} sockets", what, OURS_ALL, size, 1 / 12, CHANX_ALL)
        for kind, what in (("paced", PACED_CPU), ("burst", BURST_CPU))
        for size in SIZES[1:]
    ),
)


def run(rounds: int, quick: bool) -> list[Figure]:
    """Measure every contestant that is installed, in turns.

    Raises:
        Invalid: a message was lost, or a server gave up.
    """
    allow_many_files()
    sizes = (500,) if quick else (*SIZES[:2], LAST_OF, SIZES[2])
    makers = (
        contestants.ours,
        contestants.loop,
        contestants.websockets,
        contestants.gateway,
        contestants.node,
        contestants.chanx,
        *(() if quick else (contestants.ours_on_hypercorn,)),
    )
    found: dict[tuple[str, str, int, str], list[float]] = defaultdict(list)
    with (
        TemporaryDirectory(prefix="benchmark-") as directory,
        contestants.running(Path(directory), makers) as running,
    ):
        for turn in range(rounds):
            for size in sizes:
                for one in running:
                    if one.slow and turn:
                        continue  # once is enough for those that are an order of magnitude away
                    print(f"fan-out round {turn + 1} of {rounds}: {one.name}, {size} sockets", flush=True)
                    for what, who, load, unit, value in _measure(one, size):
                        found[what, who, load, unit].append(value)
    return [Figure(what, who, load, unit, tuple(values)) for (what, who, load, unit), values in found.items()]


def _measure(one: Contestant, size: int) -> Iterator[Sample]:
    with closing(one.clients()) as clients, closing(one.publisher()) as publish:
        clients.open(size)
        clients.rest(one.rest)
        clients.subscribe(publish, one.unit)
        clients.expect(one.unit, WARM_UP)
        clients.burst(publish, WARM_UP, IN_FLIGHT)

        enough = DELIVERIES // (4 if one.slow else 1) // size
        number = max(enough, 100 if size == LAST_OF else 8)
        before = _cpu(one)
        clients.expect(one.unit, number)
        took = clients.paced(publish, number)
        yield from _per_delivery(PACED_CPU, one, size, before, number * size)
        yield "paced fan-out, last client has it, p50", one.name, size, "ms", 1000 * median(took)
        yield "paced fan-out, last client has it, p99", one.name, size, "ms", 1000 * quantiles(took, n=100)[98]

        number = max(enough, (1 if one.slow else 4) * IN_FLIGHT)
        before = _cpu(one)
        clients.expect(one.unit, number)
        seconds = clients.burst(publish, number, IN_FLIGHT)
        yield from _per_delivery(BURST_CPU, one, size, before, number * size)
        yield "burst fan-out, rate", one.name, size, "deliveries/s", number * size / seconds


def _cpu(one: Contestant) -> dict[str, float]:
    wait_quiet(one.all_pids)
    return {role: cpu_seconds(pids) for role, pids in one.pids.items()}


def _per_delivery(what: str, one: Contestant, size: int, before: dict[str, float], deliveries: int) -> Iterator[Sample]:
    after = _cpu(one)
    each = {role: 1e6 * (after[role] - before[role]) / deliveries for role in before}
    yield from by_role(what, one, size, PER_DELIVERY, each)
