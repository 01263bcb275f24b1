"""JobBar: how a job stands, on the last line of a terminal, while somebody waits for it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from cli.events import STATES, moment
from cli.output import shortened
from cli.when import ahead, local


class JobBar:
    """A bar that goes when the block ends, or when `stop` is called.

    Args:
        console: a terminal; what is printed there meanwhile stands above the bar.
    """

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=30),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._bar = self._progress.add_task("submitting", total=None)
        self._due: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._forget_time()
        self.stop()

    def stop(self) -> None:
        """Let it go: it would stand in what is printed next."""
        self._progress.stop()

    def step(self, event: dict[str, Any]) -> None:
        """Show the state after a stored event of the job."""
        self._forget_time()
        begins = ahead(moment(str(event.get("not_before", "")))) if event["action"] == "job_queued" else None
        if begins is None:
            self._show(STATES.get(event["action"], "running"))
            return
        self._show(f"scheduled for {local(begins)}")
        left = (begins - datetime.now(UTC)).total_seconds()
        # Nothing is stored when its time has come.
        self._due = asyncio.get_running_loop().call_later(left, self._show, STATES["job_queued"])

    def progress(self, event: dict[str, Any]) -> None:
        """Show how far the job says it has come."""
        if isinstance(done := event["payload"], int | float):
            self._progress.update(self._bar, total=1, completed=done)
        self._show(shortened(str(event.get("message") or "running"), 40))

    def _show(self, text: str) -> None:
        self._progress.update(self._bar, description=text)

    def _forget_time(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None
