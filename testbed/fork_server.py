"""A process that has imported our programs already, and forks itself for each one that a test starts.

What it forks is a process like any other, with arguments, environment, streams, signals and exit status of its own. It
is spared the half second, or whole one, in which Python imports what it runs. Whatever is about the beginning of a
process, such as its interpreter's options, its locale or what it imports, is tested with one that is started as usual.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
LARGEST = 128 * 1024
"""Bytes of arguments and environment together."""
COMMANDS = ("dev", "serve", "worker", "notify", "submit", "jobs", "cancel", "watch", "status", "doctor", "conns", "top")
IMPORTED = {
    "busctl": ("cli.failures", *(f"cli.{name}" for name in COMMANDS), "workers.enqueue", "rich.progress"),
    "servers": (
        "quart_app.app",
        "quart_app.server.supervisor",
        "hypercorn.__main__",
        "uvicorn.main",
        "celery.__main__",
        "celery.bin.celery",
        "celery.apps.worker",
        "workers.reconcile",
    ),
}
"""What is imported for our command line, and for everything else, by a server each."""
PROGRAMS = frozenset(["busctl", "celery", "hypercorn", "uvicorn"])
MODULES = frozenset(["quart_app", "workers", "quart_app.web.asyncapi"])
"""What can be forked: these programs, and what `python -m` runs."""


def can_fork(command: Sequence[str]) -> bool:
    """Whether a fork server knows this command: one of our programs, or `python -m` and one of our modules."""
    program, *arguments = command
    options = [argument for argument in arguments[:3] if argument != "-P"]
    of_ours = len(options) > 1 and options[0] == "-m" and options[1] in MODULES
    return Path(program).name in PROGRAMS or (Path(program).name == "python" and of_ours)


class Forked:
    """A process that a fork server has begun; what it can do is as of `subprocess.Popen`.

    Args:
        command: a program that is installed beside this Python, or `python -m` and a module, and the arguments.
        env: its whole environment.
        streams: descriptors of its standard input, output and error.
        cwd: where it runs.
        start_new_session: whether it leads a session of its own.
    """

    def __init__(
        self,
        command: Sequence[str | bytes | Path],
        *,
        env: Mapping[str, str],
        streams: tuple[int, int, int],
        cwd: Path | None = None,
        start_new_session: bool = False,
    ) -> None:
        self.args = [os.fsdecode(part) for part in command]
        self.returncode: int | None = None
        request = {"command": self.args, "env": dict(env), "cwd": str(cwd or Path.cwd())}
        data = json.dumps(request | {"session": start_new_session}).encode()
        self._told, told = socket.socketpair()
        name = "busctl" if Path(self.args[0]).name == "busctl" else "servers"
        with told:
            socket.send_fds(_server(name), [data], [*streams, told.fileno()])
        self._answers = self._told.makefile()
        self.pid = int(self._answers.readline())

    def poll(self) -> int | None:
        """Its exit status, or the negative number of the signal that ended it; None while it runs."""
        if self.returncode is None and select.select([self._told], [], [], 0)[0]:
            self._end()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end, and return what `poll` then does.

        Raises:
            subprocess.TimeoutExpired: it has not ended in so many seconds.
        """
        if self.returncode is None:
            if not select.select([self._told], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            self._end()
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Signal it, unless it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def _end(self) -> None:
        self.returncode = int(self._answers.readline())
        self._answers.close()
        self._told.close()


@functools.cache
def _server(name: str) -> socket.socket:
    """Where requests go to the server of this name, which ends with this process."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        command = [sys.executable, "-m", "testbed.fork_server", str(theirs.fileno()), *IMPORTED[name]]
        server = subprocess.Popen(command, cwd=ROOT, pass_fds=[theirs.fileno()], start_new_session=True)

    def end() -> None:
        ours.close()
        server.wait()

    atexit.register(end)
    return ours


def main() -> None:
    """Fork as long as somebody asks; in each of the forked, run what was asked for."""
    scripts = {script.name: script for script in entry_points(group="console_scripts")}
    for module in sys.argv[2:]:
        import_module(module)
    gc.collect()
    gc.freeze()  # or the first collection of each of the forked would copy all of it
    request = _serve(socket.socket(fileno=int(sys.argv[1])))
    if request is not None:
        _run(request, scripts)


def _serve(requests: socket.socket) -> dict[str, Any] | None:
    """Returns None when nobody asks any more, and in each of the forked its request."""
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake)
    running: dict[int, socket.socket] = {}
    while True:
        ready, _, _ = select.select([requests, woken], [], [])
        if woken in ready:
            os.read(woken, 4096)
            for pid in list(running):
                ended, status = os.waitpid(pid, os.WNOHANG)
                if ended:
                    _tell(running.pop(pid), os.waitstatus_to_exitcode(status)).close()
        if requests in ready:
            data, descriptors, _, _ = socket.recv_fds(requests, LARGEST, 4)
            if not data:
                return None
            asking = socket.socket(fileno=descriptors.pop())
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for one in (requests, asking, *running.values()):
                    one.close()
                os.closerange(woken, wake + 1)
                return json.loads(data) | {"streams": descriptors}
            running[pid] = _tell(asking, pid)
            for descriptor in descriptors:
                os.close(descriptor)


def _tell(asking: socket.socket, number: int) -> socket.socket:
    with contextlib.suppress(BrokenPipeError):  # who asked may be gone
        asking.sendall(f"{number}\n".encode())
    return asking


def _run(request: dict[str, Any], scripts: Mapping[str, EntryPoint]) -> None:
    """What Python does once it has begun: its end is the end of this process too."""
    if request["session"]:
        os.setsid()
    for number, descriptor in enumerate(request["streams"]):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    program, *arguments = request["command"]
    of_python = Path(program).name == "python"
    found = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    folder = request["cwd"] if of_python else str(Path(program).parent)
    sys.path[:1] = found if "-P" in arguments[:1] else [folder, *found]
    if any((Path(path) / "sitecustomize.py").exists() for path in found):
        sys.modules.pop("sitecustomize", None)
        import_module("sitecustomize")
    if of_python:
        module = arguments.index("-m") + 1
        sys.argv[:] = arguments[module:]
        runpy.run_module(arguments[module], run_name="__main__", alter_sys=True)
    else:
        sys.argv[:] = [program, *arguments]
        sys.exit(scripts[Path(program).name].load()())


if __name__ == "__main__":
    main()
