"""What `busctl dev` shows of its processes, and what it keeps of them.

By default what matters, one line each: that a part is there, that a job was accepted or ended, warnings and errors, and
what is printed by jobs. Every line that a process writes goes into a file of its own.
"""

from __future__ import annotations

import logging
import os
import re
from collections import deque
from collections.abc import Callable
from logging.handlers import RotatingFileHandler
from pathlib import Path

from rich.console import Console
from rich.text import Text

from cli.errors import CommandFailed
from cli.output import printable

STYLES = {"nats": "cyan", "valkey": "magenta", "worker": "yellow", "web": "green", "dev": "bold blue"}
WIDTH = max(map(len, STYLES))
LARGEST_FILE = 5 * 1024 * 1024
"""Bytes of a process's lines that are kept; as much again of those before."""
LAST_WORDS = 20
"""Lines that are shown of a process that has died."""

OURS = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z \[(?P<level>\w+) *\] (?P<event>.*)")
"""A log line of web and worker, as `bus.log` writes it for people."""
OF_CELERY = re.compile(r"worker: (Hitting|Warm|Cold|Soft) ")
OF_NATS = re.compile(r"\[\d+\] [\d/]+ [\d:.]+ \[(WRN|ERR|FTL)\] (?P<event>.*)")
ASKED_BY_US = re.compile(r"Invalid JetStream request '.*': unexpected EOF|Healthcheck failed: ")
"""What NATS says when `busctl doctor` tries what it may do, and when `busctl dev` asks whether it is ready."""
FIELD = re.compile(r"(\w+)=(\S+)")
LEVELS = {"warning": "yellow", "error": "bold red", "critical": "bold red"}
ENDS = {
    "job_result": ("✓", "green", "done"),
    "job_failed": ("✗", "red", "failed"),
    "job_cancelled": ("✗", "yellow", "cancelled"),
}


class DevOutput:
    """Shows lines on standard error, and keeps them.

    Args:
        directory: where the files go.
        verbose: show every line.
        on_unread: called when nobody reads standard error any more.

    Raises:
        CommandFailed: nothing can be written there.
    """

    def __init__(self, directory: Path, *, verbose: bool, on_unread: Callable[[], None]) -> None:
        self._directory = directory
        self._verbose = verbose
        self._on_unread = on_unread
        self._console = Console(stderr=True, highlight=False)
        self._files: dict[str, RotatingFileHandler] = {}
        self._last: dict[str, deque[str]] = {}
        try:
            directory.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise CommandFailed(f"cannot make {directory}: {error.strerror}; choose another with --data-dir") from error

    def hear(self, name: str, line: str) -> None:
        """A process wrote this line."""
        self._keep(name, line)
        if self._verbose:
            self.show(name, line)
        elif (text := worth_showing(name, line)) is not None:
            self._print(name, text)

    def show(self, name: str, line: str) -> None:
        """Show a line, whatever it is."""
        self._print(name, Text(printable(line)))

    def show_last_words(self, name: str) -> None:
        """Show what a process wrote last, unless all of it was shown."""
        if not self._verbose:
            for line in self._last.pop(name, ()):
                self.show(name, line)

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            file.close()

    def _keep(self, name: str, line: str) -> None:
        self._last.setdefault(name, deque(maxlen=LAST_WORDS)).append(line)
        if name not in self._files:
            self._files[name] = _file(self._directory / f"{name}.log")
        self._files[name].emit(logging.LogRecord(name, logging.INFO, "", 0, printable(line), None, None))

    def _print(self, name: str, text: Text) -> None:
        try:
            self._console.print(Text.assemble((f"{name:>{WIDTH}} │ ", STYLES[name]), text), soft_wrap=True)
        except SystemExit:
            self._on_unread()  # that is how Rich reports it


def worth_showing(name: str, line: str) -> Text | None:
    """What is shown of a line if not everything is; None for nothing.

    Args:
        name: of the process that wrote it.
        line: as it came.
    """
    if name == "valkey":
        return None  # what it warns of is the matter of who runs it in production
    if name == "nats":
        found = OF_NATS.fullmatch(line)
        if found is None or ASKED_BY_US.match(found["event"]):
            return None
        return Text(printable(found["event"]), "yellow")
    found = OURS.fullmatch(line)
    if found is None:  # a traceback, or what a job prints
        return None if OF_CELERY.match(line) else Text(printable(line))
    event = found["event"]
    if (style := LEVELS.get(found["level"])) is not None:
        return Text(printable(event), style)
    if event.startswith(("job accepted ", "job ended ")):
        return _of_job(event, dict(FIELD.findall(event)))
    return None


def _of_job(event: str, fields: dict[str, str]) -> Text:
    job = Text.assemble((fields.get("type", "job"), "bold"), " ", (fields.get("job_id", "")[:8], "dim"))
    if event.startswith("job accepted"):
        return Text.assemble(("→ ", "cyan"), job, " accepted, of ", fields.get("client_id", "somebody"))
    sign, style, how = ENDS.get(fields.get("state", ""), ("•", "", "ended"))
    return Text.assemble((f"{sign} ", style), job, f" {how} after {fields.get('seconds', '?')} s")


def _file(path: Path) -> RotatingFileHandler:
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
        file = RotatingFileHandler(path, maxBytes=LARGEST_FILE, backupCount=1, encoding="utf-8", errors="replace")
    except OSError as error:
        raise CommandFailed(f"cannot write {path}: {error.strerror}; choose another with --data-dir") from error
    file.setFormatter(logging.Formatter("%(message)s"))
    return file
