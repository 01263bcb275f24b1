"""What a job writes while it runs, as people read it: text that grows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bus.escape import ZERO_WIDTH_JOINER, ZERO_WIDTH_NON_JOINER
from cli.events import text
from cli.output import Output

JOINERS = ZERO_WIDTH_NON_JOINER + ZERO_WIDTH_JOINER


class LiveText:
    """The output of one job.

    Args:
        output: where it is shown.
        say: tells of a new attempt, somewhere else.
    """

    def __init__(self, output: Output, say: Callable[[str], None]) -> None:
        self._output = output
        self._say = say
        self._attempt = 0
        self._written: list[str] = []
        self._line_open = False
        self._before = ""
        """The last character that was shown: whether a joiner is seen depends on it."""
        self._joiners = ""
        """Joiners for which it depends on what comes next."""

    def piece(self, event: dict[str, Any]) -> None:
        """Show what a `job_output` brings."""
        attempt = event.get("attempt")
        if not isinstance(attempt, int) or attempt < self._attempt:
            return
        if attempt > self._attempt:
            if self._written:
                self.end_line()
                self._say(f"attempt {attempt} begins again; what is above is of attempt {self._attempt}")
            self._attempt, self._written = attempt, []
        self._written.append(text(event))
        self._show(self._written[-1])

    def has(self, result: str) -> bool:
        """Whether a result is what was written."""
        return bool(self._written) and "".join(self._written) == result

    def finish(self, result: str) -> None:
        """Show what was not written of a result."""
        written = "".join(self._written)
        if written and result.startswith(written):
            self._show(result[len(written) :])
            self.end_line()
            return
        self.end_line()
        for line in result.split("\n"):
            self._output.line(line)

    def end_line(self) -> None:
        """Whatever is shown next begins a line."""
        if self._joiners:
            self._output.text(self._joiners)
            self._line_open = True
        if self._line_open:
            self._output.text("\n")
        self._joiners, self._before, self._line_open = "", "", False

    def _show(self, piece: str) -> None:
        whole = self._joiners + piece
        shown = whole.rstrip(JOINERS)
        self._joiners = whole[len(shown) :]
        if shown:
            self._output.text(shown, behind=self._before)
            self._before = shown[-1]
            self._line_open = self._before != "\n"
