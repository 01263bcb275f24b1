"""What it costs to connect, to be connected, and to come back."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks import contestants
from benchmarks.contestants import OURS, Contestant, Maker, Ours, Sample, by_role
from benchmarks.figure import Figure, Target
from benchmarks.processes import allow_many_files, cpu_seconds, memory_bytes, wait_quiet
from benchmarks.publishers import NatsPublisher
from benchmarks.websocket import masked

TITLE = "Connections: to connect, to be connected, to come back"

SIZES = (312, 1250, 5000)
WARM_UP = 50
RESUMES = (1, 16, 64, 256)
ALONE = 30
"""How often a single client comes back, for the median."""

MISSED = 100
OURS_V1 = f"{OURS}, bus.v1"
CONNECT = "connect, CPU"
MEMORY = "memory of an idle connection"
NOTIFICATION = b'{"action":"system_notification","payload":"restart in five minutes, please save your work"}'

OF_ITS_OWN, BROADCAST = "of its own", "that were broadcast"
ADDED = {missed: f"what {MISSED} missed events {missed} add to coming back, CPU" for missed in (OF_ITS_OWN, BROADCAST)}
NOTHING = "come back, having missed nothing, CPU"

TARGETS = (
    Target("connect, at most 0.5 ms of CPU", CONNECT, OURS, SIZES[-1], 0.5),
    Target("connect with bus.v1, at most 0.6 ms of CPU", CONNECT, OURS_V1, SIZES[-1], 0.6),
    Target("memory of an idle connection, at most 28 KB", MEMORY, OURS, SIZES[-1], 28.0),
    Target("the same with bus.v1", MEMORY, OURS_V1, SIZES[-1], 28.0),
    Target("100 missed broadcast events add at most 0.3 ms of CPU", ADDED[BROADCAST], OURS, RESUMES[-1], 0.3),
    Target("100 missed events of its own add at most 1.5 ms of CPU", ADDED[OF_ITS_OWN], OURS, RESUMES[-1], 1.5),
)


def run(rounds: int, quick: bool) -> list[Figure]:
    """Measure every contestant that is installed, in turns, each time on a server just started.

    Raises:
        Invalid: a connection was refused, an event was lost, or a server gave up.
    """
    allow_many_files()
    sizes = SIZES[1:2] if quick else SIZES
    resumes = RESUMES[:2] if quick else RESUMES
    found: dict[tuple[str, str, int, str], list[float]] = defaultdict(list)
    present = [make for make in MAKERS if contestants.missing(make) is None]
    for make in set(MAKERS) - set(present):
        print(contestants.missing(make))
    for turn in range(rounds):
        for make in (*present, ours_v1):
            print(f"connections round {turn + 1} of {rounds}: {make.__name__}", flush=True)
            with TemporaryDirectory(prefix="benchmark-") as directory, make(Path(directory)) as one:
                for what, who, load, unit, value in _connect(one, sizes):
                    found[what, who, load, unit].append(value)
        print(f"connections round {turn + 1} of {rounds}: resume", flush=True)
        with TemporaryDirectory(prefix="benchmark-") as directory, contestants.ours(Path(directory)) as one:
            for what, who, load, unit, value in _resumes(one, resumes):
                found[what, who, load, unit].append(value)
    return [Figure(what, who, load, unit, tuple(values)) for (what, who, load, unit), values in found.items()]


@contextmanager
def ours_v1(directory: Path) -> Iterator[Contestant]:
    """This project with clients that speak `bus.v1`, each with a session of its own."""
    with contestants.ours(directory, OURS_V1) as one:
        yield replace(one, clients=lambda: one.sessions(lambda: connect_frame({})))


MAKERS: tuple[Maker, ...] = (
    contestants.ours,
    contestants.websockets,
    contestants.gateway,
    contestants.node,
    contestants.chanx,
)


def connect_frame(payload: dict[str, object]) -> bytes:
    """The first frame of `bus.v1`."""
    return masked(json.dumps({"action": "connect", "payload": payload}).encode())


def _connect(one: Contestant, sizes: tuple[int, ...]) -> Iterator[Sample]:
    holder = next(iter(one.pids.values()))
    with closing(one.clients()) as clients:
        clients.open(WARM_UP)
        used = {role: wait_quiet(pids) for role, pids in one.pids.items()}
        idle = memory_bytes(holder)
        for size in sizes:
            new = WARM_UP + size - len(clients)
            clients.open(new)
            before, used = used, {role: wait_quiet(pids) for role, pids in one.pids.items()}
            each = {role: 1e3 * (used[role] - before[role]) / new for role in used}
            yield from by_role(CONNECT, one, size, "ms each", each)
            yield MEMORY, one.name, size, "KB each", (memory_bytes(holder) - idle) / size / 1024


def _resumes(one: Ours, loads: tuple[int, ...]) -> Iterator[Sample]:
    own = NatsPublisher(one.nats_port)
    for load in loads:
        bare: dict[str, float] = {}
        for missed in (None, OF_ITS_OWN, BROADCAST):
            tokens = _away(one, own, load * (ALONE if load == 1 else 1), missed)
            wait_quiet(one.all_pids)
            before = {role: cpu_seconds(pids) for role, pids in one.pids.items()}
            frames = 1 + (0 if missed is None else MISSED)
            took = [_come_back(one, tokens[at : at + load], frames) for at in range(0, len(tokens), load)]
            wait_quiet(one.all_pids)
            after = {role: cpu_seconds(pids) for role, pids in one.pids.items()}
            each = {role: 1e3 * (after[role] - before[role]) / len(tokens) for role in before}
            if missed is None:
                bare = each
                yield from by_role(NOTHING, one, load, "ms each", each)
                continue
            what = f"resume after {MISSED} events {missed}"
            yield from by_role(f"{what}, CPU", one, load, "ms each", each)
            yield from by_role(ADDED[missed], one, load, "ms each", {role: each[role] - bare[role] for role in each})
            yield f"{what}, all clients are whole after", one.name, load, "ms", 1e3 * median(took)
    own.close()


def _away(one: Ours, own: NatsPublisher, number: int, missed: str | None) -> list[bytes]:
    """Let so many clients connect, leave and miss something. Returns the connect frames to come back with."""
    clients = one.sessions(lambda: connect_frame({}))
    clients.open(number)
    welcomes = [json.loads(frame[frame.index(b"{") :])["payload"] for frame in clients.greetings()]
    clients.close()
    wait_quiet(one.all_pids)
    if missed == OF_ITS_OWN:
        for welcome in welcomes:
            own.publish(f"bus.client.{welcome['client_id']}.event", NOTIFICATION, MISSED)
    elif missed == BROADCAST:
        own.publish("bus.group.system", NOTIFICATION, MISSED)
    return [connect_frame({"resume": welcome["resume"], "cursors": welcome["cursors"]}) for welcome in welcomes]


def _come_back(one: Ours, connects: list[bytes], frames: int) -> float:
    """Seconds until all of them are back and have so many frames."""
    clients = one.sessions(iter(connects).__next__)
    begun = time.perf_counter()
    clients.open(len(connects), at_once=len(connects))
    clients.wait_frames(len(connects) * frames)
    took = time.perf_counter() - begun
    clients.close()
    return took
