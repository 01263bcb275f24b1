"""RunningBus: the whole system on free ports, for a test session."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bus import Settings

START_SECONDS = 60.0
STOP_SECONDS = 20.0
SHOWN = 4000
"""Characters of the last output that an error shows."""


class CannotStart(Exception):
    """The bus under test did not start. The message has what it said last."""


@dataclass(frozen=True)
class RunningBus:
    """NATS, Valkey, a worker and a web process, as `busctl dev` runs them.

    Args:
        url: of the web process, such as http://127.0.0.1:43211.
        env: the variables that a process needs to use this bus.
        settings: the same, for this process.
        log: the file to which all of them write.
    """

    url: str
    env: Mapping[str, str]
    settings: Settings
    log: Path

    @property
    def ws_url(self) -> str:
        """The address of the system channel."""
        return self.url.replace("http", "ws", 1) + "/ws/system"

    @classmethod
    @contextmanager
    def started(cls, settings: Mapping[str, str]) -> Iterator[RunningBus]:
        """A block in which it runs, in the current directory; its data is gone afterwards.

        Args:
            settings: by variable, besides those of the environment; jobs and channels of your own among them.

        Raises:
            CannotStart: a part of it died, or it was not ready within a minute.
            SettingsError: this process cannot use the settings.
        """
        with ExitStack() as stack:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="busctl-")))
            web, nats, monitor, redis = _free_ports(4)
            env = {"BUS_JOB_DELAY_SCALE": "0", **settings}
            options = {"port": web, "nats-port": nats, "monitor-port": monitor, "redis-port": redis, "concurrency": 2}
            command = [sys.executable, "-P", "-m", "cli", "dev", "--data-dir", str(directory / "data")]
            command += [part for name, value in options.items() for part in (f"--{name}", str(value))]
            inherited = {name: value for name, value in os.environ.items() if name not in ("NATS_URL", "REDIS_URL")}
            log = directory / "log"
            with open(log, "wb") as output:
                process = subprocess.Popen(
                    command, env=inherited | env, stdin=subprocess.DEVNULL, stdout=output, stderr=output
                )
            stack.callback(_stop, process)
            _wait(process, log)
            env |= {"NATS_URL": f"nats://127.0.0.1:{nats}", "REDIS_URL": f"redis://127.0.0.1:{redis}/0"}
            yield cls(f"http://127.0.0.1:{web}", env, _settings(env), log)


def _settings(env: Mapping[str, str]) -> Settings:
    fields = {Settings.variable(field): field for field in Settings.model_fields}
    return Settings.load(**{fields[name]: value for name, value in env.items() if name in fields})


def _wait(process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while b"ready http://" not in (said := log.read_bytes()):
        if process.poll() is not None or time.monotonic() > deadline:
            shown = said.decode(errors="replace")[-SHOWN:]
            raise CannotStart(f"the bus under test did not start (exit status {process.poll()}):\n{shown}")
        time.sleep(0.05)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()  # its children end with it
        process.wait()


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
