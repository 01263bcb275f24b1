"""A redeploy: everybody comes back at once, to web processes that have just begun, and has missed something."""

from __future__ import annotations

import json
import multiprocessing
import socket
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.connections import MISSED, NOTIFICATION, connect_frame
from benchmarks.contestants import Sample, sessions, started
from benchmarks.driver import Clients
from benchmarks.figure import Figure, Invalid, Target
from benchmarks.processes import allow_many_files, cpu_seconds, tree, wait_quiet
from benchmarks.publishers import NatsPublisher
from benchmarks.websocket import masked
from testbed.ports import free_port
from testbed.servers import Nats, Web, wait_until

TITLE = "A redeploy: everybody comes back at once"

SIZE, QUICK = 5000, 1000
"""Clients."""
OWN = 10
"""Events of its own that each client misses in one of the redeploys, beside those that are broadcast."""
PAUSE = 0.01
"""Seconds between a bystander's pong and its next ping."""
PATIENCE = 60.0
"""Seconds that a bystander waits for a pong."""

ONE, TWO = (f"busctl serve --workers {processes}" for processes in (1, 2))
BROADCAST = f"{MISSED} broadcast events missed"
BOTH = f"{BROADCAST} and {OWN} of its own"
REDEPLOYS = ((TWO, 2, BROADCAST, 0), (ONE, 1, BROADCAST, 0), (TWO, 2, BOTH, OWN))
"""Who comes up then, in how many processes; and what everybody has missed, with so many events of its own."""
WHOLE = "everybody is back and whole"
CPU = "come back and be whole, CPU"
PING = "a bystander's ping meanwhile"

TARGETS = (
    Target("5,000 clients are back and whole within 10 s", f"{WHOLE}, {BROADCAST}", TWO, SIZE, 10.0),
    Target("a bystander's ping meanwhile, p99 at most 100 ms", f"{PING}, {BROADCAST}, p99", TWO, SIZE, 100.0),
)


def run(rounds: int, quick: bool) -> list[Figure]:
    """Measure, with web processes just started for each time.

    Raises:
        Invalid: a client was refused, or did not get exactly what it had missed.
    """
    allow_many_files()
    found: dict[tuple[str, str, int, str], list[float]] = defaultdict(list)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as bystanders:
        bystanders.submit(time.monotonic).result()  # it has begun
        for turn in range(rounds):
            print(f"redeploy round {turn + 1} of {rounds}", flush=True)
            with TemporaryDirectory(prefix="benchmark-") as directory:
                for what, who, load, unit, value in _redeploys(Path(directory), quick, bystanders):
                    found[what, who, load, unit].append(value)
    return [Figure(what, who, load, unit, tuple(values)) for (what, who, load, unit), values in found.items()]


def _redeploys(directory: Path, quick: bool, bystanders: ProcessPoolExecutor) -> Iterator[Sample]:
    nats, size = Nats(directory), QUICK if quick else SIZE
    with started(nats), closing(NatsPublisher(nats.port)) as publish:
        env = {
            "NATS_URL": nats.url,
            "REDIS_URL": f"redis://127.0.0.1:{free_port()}/0",  # nobody hands in a job
            "BUS_SECRET": "the same before and after the redeploy",
            "BUS_DRAIN_DELAY": "0",
            "BUS_LOG_LEVEL": "warning",
        }
        with _serving(directory, env, 2) as web:
            clients = sessions(web.port, lambda: connect_frame({}))
            clients.open(size)
            welcomes = _welcomes(clients)
            clients.close()
        for who, processes, missed, own in REDEPLOYS[:1] if quick else REDEPLOYS:
            publish.publish("bus.group.system", NOTIFICATION, MISSED)
            for welcome in welcomes if own else ():
                publish.publish(f"bus.client.{welcome['client_id']}.event", NOTIFICATION, own)
            wait_quiet([nats.pid])
            with _serving(directory, env, processes) as web:
                pids = {"web": tree(web.pid), "nats-server": [nats.pid]}
                before = {role: wait_quiet(each) for role, each in pids.items()}
                over = directory / f"{missed} from {who}"
                pinging = bystanders.submit(_ping_until, web.port, str(over))
                connects = [connect_frame({"resume": one["resume"], "cursors": one["cursors"]}) for one in welcomes]
                clients = sessions(web.port, iter(connects).__next__)
                begun = time.perf_counter()
                clients.open(size, at_once=size)
                clients.wait_frames(size * (1 + MISSED + own))
                took = time.perf_counter() - begun
                over.touch()
                pings = [1000 * one for one in pinging.result(PATIENCE)]
                used = {role: 1000 * (cpu_seconds(each) - before[role]) / size for role, each in pids.items()}
                welcomes = _welcomes(clients)
                clients.close()
            yield f"{WHOLE}, {missed}", who, size, "s", took
            yield f"{PING}, {missed}, p50", who, size, "ms", median(pings)
            yield f"{PING}, {missed}, p99", who, size, "ms", quantiles(pings, n=100)[98]
            for role, value in used.items():
                yield f"{CPU}, {missed}", f"{who}: {role}", size, "ms each", value


def _welcomes(clients: Clients) -> list[dict[str, Any]]:
    """What each client was welcomed with. Behind that there may be what it had missed."""
    decode = json.JSONDecoder().raw_decode
    greetings = (greeting[greeting.index(b"{") :].decode(errors="replace") for greeting in clients.greetings())
    return [decode(greeting)[0]["payload"] for greeting in greetings]


@contextmanager
def _serving(directory: Path, env: dict[str, str], processes: int) -> Iterator[Web]:
    """So many web processes, all of which serve."""
    web = Web(directory, env, command=("busctl", "serve", "--workers", str(processes)))
    expected = processes + (processes > 1)  # and one that looks after several
    with started(web):
        try:
            wait_until(lambda: len(tree(web.pid)) == expected and _accepts(web.port, 4 * processes), "web processes")
        except AssertionError as error:
            raise Invalid(str(error)) from error
        yield web
        web.stop()  # with more patience than `started` has


def _accepts(port: int, times: int) -> bool:
    """Whether a WebSocket is accepted, so often that it was by every process."""
    try:
        for _ in range(times):
            _bystander(port).close()
    except (OSError, Invalid):
        return False
    return True


def _bystander(port: int) -> socket.socket:
    """A WebSocket of the plain protocol."""
    opened = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    opened.sendall(
        f"GET /ws/system HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
    )
    if not opened.recv(4096).startswith(b"HTTP/1.1 101"):
        opened.close()
        raise Invalid("the server refuses to upgrade")
    return opened


def _ping_until(port: int, stop: str) -> list[float]:
    """Seconds that each ping of a bystander took, until the file `stop` is there."""
    ping = masked(b'{"action":"ping"}')
    took = []
    with _bystander(port) as opened:
        while not Path(stop).exists():
            begun = time.perf_counter()
            opened.sendall(ping)
            if not opened.recv(4096):
                raise Invalid("the server closed a bystander's WebSocket")
            took.append(time.perf_counter() - begun)
            time.sleep(PAUSE)
    return took
