"""Who is measured: each a server on a free port, with a way to connect to it and a way to publish through it."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks.driver import Clients
from benchmarks.figure import Invalid
from benchmarks.processes import tree, wait_quiet
from benchmarks.publishers import NatsPublisher, Publisher, WebSocketPublisher
from benchmarks.websocket import masked
from testbed.ports import free_port
from testbed.servers import Nats, Server, Valkey, Web, answers

ROOT = Path(__file__).parent.parent
PEERS = Path(__file__).parent / "peers"
BENCH_PYTHON = ROOT / ".venv-bench" / "bin" / "python"

FRAME = 127
"""Bytes of one broadcast on the wire, WebSocket header included, from every contestant."""

PAYLOAD = FRAME - 2
EVENTS_BEFORE = 10_000
"""Events in the stream before anything is measured, so that `seq` has the same number of digits throughout."""
AT = "2026-01-02T03:04:05.678901Z"
"""Some time, as events tell it: each in as many characters."""

NO_PINGS = {"BUS_PING_INTERVAL": "3600", "BUS_READ_TIMEOUT": "7200"}
"""Nobody pings an idle WebSocket here: 5,000 that are pinged are never at rest, and who connects slowly pays for it."""

OURS = "busctl serve"
OURS_ASGI = "busctl on plain hypercorn"
OURS_ALL = "busctl serve + nats-server"
LOOP = "a bare loop of send(2)"
WEBSOCKETS = "websockets broadcast()"
CHANX = "chanx on FastAPI"
CHANX_ALL = "chanx on FastAPI + valkey"
GATEWAY = "nats-server gateway"
NODE = "Node ws"


@dataclass
class Contestant:
    """A running server under test.

    Args:
        name: in the report.
        clients: makes the clients that connect to it.
        publisher: opens a connection for publishing, made anew for each measurement.
        pids: its processes by role; the first is the one that holds the WebSockets.
        unit: payload bytes of one message as a client counts them.
        slow: measured with fewer messages, so that a run ends in time.
        rest: seconds that clients need after connecting, before the server leaves them in peace.
    """

    name: str
    clients: Callable[[], Clients]
    publisher: Callable[[], Publisher]
    pids: dict[str, list[int]]
    unit: int = PAYLOAD
    rest: float = 0.0
    slow: bool = False
    all_pids: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.all_pids = [pid for pids in self.pids.values() for pid in pids]


Sample = tuple[str, str, int, str, float]
"""What, who, load, unit and value: a `Figure` of one round."""


def by_role(what: str, one: Contestant, load: int, unit: str, values: Mapping[str, float]) -> Iterator[Sample]:
    """What the process with the WebSockets uses, and, if there are more, all processes together."""
    holder, *others = values
    yield what, one.name, load, unit, values[holder]
    if others:
        yield what, " + ".join((one.name, *others)), load, unit, sum(values.values())


@dataclass
class Ours(Contestant):
    """This project's server, and where to reach its parts.

    Args:
        web_port: of the web process.
        nats_port: of its NATS.
    """

    web_port: int = 0
    nats_port: int = 0

    def sessions(self, connect: Callable[[], bytes]) -> Clients:
        """Clients that speak `bus.v1`; `connect` makes the first frame of each."""
        return sessions(self.web_port, connect)


def sessions(port: int, connect: Callable[[], bytes]) -> Clients:
    """Clients that speak `bus.v1` to a web process."""
    return Clients(port, "/ws/system", subprotocol="bus.v1", first=connect, ready=b'"welcome"')


class Program(Server):
    """A peer's server: a command that is given its port as the last argument."""

    name = "peer"

    def __init__(self, directory: Path, *command: str) -> None:
        super().__init__(directory)
        self.port = free_port()
        self._command = [*command, str(self.port)]

    def command(self) -> list[str]:
        return self._command

    def ready(self) -> bool:
        return answers(self.port)


@contextmanager
def started(server: Server) -> Iterator[None]:
    """Run a server for the time of the block.

    Raises:
        Invalid: it does not start.
    """
    try:
        try:
            server.start()
        except AssertionError as error:
            raise Invalid(str(error)) from error
        yield
    finally:
        if server.process is not None:
            server.stop(5)


def filler(frame: dict[str, object], size: int, separators: tuple[str, str] = (",", ":")) -> str:
    """The `payload` that makes a frame exactly so many bytes of JSON."""
    bare = len(json.dumps(frame | {"payload": ""}, separators=separators))
    return "x" * (size - bare)


@contextmanager
def ours(
    directory: Path, name: str = OURS, command: tuple[str, ...] = ("busctl", "serve"), **settings: str
) -> Iterator[Ours]:
    """This project: broadcasts are published to NATS, stored in the stream, and reach the clients from there."""
    nats = Nats(directory)
    with started(nats):
        # Nobody hands in a job here, so there need not be a Redis.
        env = {"NATS_URL": nats.url, "REDIS_URL": f"redis://127.0.0.1:{free_port()}/0", "BUS_LOG_LEVEL": "warning"}
        web = Web(directory, env | NO_PINGS | settings, command=command)
        with started(web):
            frame = {"action": "system_notification", "payload": "", "seq": EVENTS_BEFORE, "at": AT, "group": "system"}
            event = {"action": "system_notification", "payload": filler(frame, PAYLOAD)}
            message = json.dumps(event, separators=(",", ":")).encode()

            def publisher() -> NatsPublisher:
                return NatsPublisher(nats.port, "bus.group.system", message)

            with closing(publisher()) as publish:
                publish(EVENTS_BEFORE)
            one = Ours(
                name,
                lambda: Clients(web.port, "/ws/system"),
                publisher,
                {"web": tree(web.pid), "nats-server": tree(nats.pid)},
                web_port=web.port,
                nats_port=nats.port,
            )
            wait_quiet(one.all_pids)
            yield one


Maker = Callable[[Path], AbstractContextManager[Contestant]]


@contextmanager
def ours_on_hypercorn(directory: Path) -> Iterator[Ours]:
    """The same application on `hypercorn quart_app:app`: the ordinary ASGI path."""
    with ours(directory, OURS_ASGI, ("hypercorn", "quart_app:app")) as one:
        yield replace(one, slow=True)


@contextmanager
def peer(
    directory: Path, name: str, command: tuple[str, ...], message: bytes, helpers: Mapping[str, Server] | None = None
) -> Iterator[Contestant]:
    """One of the programs in `peers/`, beside the running servers that it needs."""
    server = Program(directory, *command)
    with started(server):
        pids = {"server": tree(server.pid)} | {role: tree(one.pid) for role, one in (helpers or {}).items()}
        yield Contestant(
            name, lambda: Clients(server.port, "/"), lambda: WebSocketPublisher(server.port, message), pids
        )


def websockets(directory: Path) -> AbstractContextManager[Contestant]:
    """The `websockets` library with its `broadcast()`."""
    return peer(directory, WEBSOCKETS, (sys.executable, str(PEERS / "websockets_broadcast.py")), b"x" * PAYLOAD)


def loop(directory: Path) -> AbstractContextManager[Contestant]:
    """A loop of `send(2)`."""
    return peer(directory, LOOP, (sys.executable, str(PEERS / "bare_loop.py")), b"x" * PAYLOAD)


@contextmanager
def chanx(directory: Path) -> Iterator[Contestant]:
    """chanx on FastAPI, with the layer that costs least."""
    text = filler({"action": "system_notification", "payload": ""}, PAYLOAD, (", ", ": "))
    valkey = Valkey(directory)
    with started(valkey):
        command = (str(BENCH_PYTHON), str(PEERS / "chanx_fastapi.py"), valkey.url)
        with peer(directory, CHANX, command, text.encode(), {"valkey": valkey}) as contestant:
            yield replace(contestant, slow=True)


def node(directory: Path) -> AbstractContextManager[Contestant]:
    """Node's `ws`."""
    return peer(directory, NODE, ("node", str(PEERS / "node_ws.mjs")), b"x" * PAYLOAD)


@contextmanager
def gateway(directory: Path) -> Iterator[Contestant]:
    """nats-server's own WebSocket: each client subscribes by itself and gets NATS's MSG in WebSocket frames."""
    port = free_port()
    config = directory / "gateway.conf"
    config.write_text(
        f"websocket {{ host: 127.0.0.1, port: {port}, no_tls: true, compression: false }}\nping_interval: '30m'\n"
    )
    nats = Nats(directory, "-c", str(config), jetstream=False)
    first = masked(b'CONNECT {"verbose":false,"protocol":1}\r\nSUB b 1\r\nPING\r\n', 0x82)
    length = next(n for n in range(PAYLOAD) if len(b"MSG b 1 %d\r\n" % n) + n + 2 == PAYLOAD)
    with started(nats):
        yield Contestant(
            GATEWAY,
            lambda: Clients(port, "/", first=lambda: first, pong=(b"PING\r\n", b"PONG\r\n"), ready=b"PONG\r\n"),
            lambda: NatsPublisher(nats.port, "b", b"x" * length),
            {"server": tree(nats.pid)},
            rest=3.5,  # nats-server pings each client for the first time after 2 to 3 seconds
        )


def missing(make: Maker) -> str | None:
    """What has to be installed first for a contestant; None when nothing is missing."""
    if make is chanx and not BENCH_PYTHON.exists():
        return f"{CHANX} is left out: run it by `make bench`, which makes .venv-bench"
    if make is node and shutil.which("node") is None:
        return f"{NODE} is left out: there is no node on the PATH"
    if make is node and not (PEERS.parent / "node_modules").exists():
        return f"{NODE} is left out: run it by `make bench`, which installs ws"
    return None


@contextmanager
def running(directory: Path, makers: Sequence[Maker]) -> Iterator[list[Contestant]]:
    """Start those contestants that are installed, and stop them at the end of the block."""
    with ExitStack() as stack:
        found = []
        for make in makers:
            if reason := missing(make):
                print(reason, flush=True)
                continue
            place = directory / make.__name__
            place.mkdir()
            found.append(stack.enter_context(make(place)))
        yield found
