"""Ends the processes of a `busctl dev` that was killed before it could end them itself.

It runs beside `busctl dev` as a small process and reads the names of process groups from its standard input: `+N`
for one that was started, `-N` for one that has ended. Standard input ends when `busctl dev` is gone, however it
went; what is left then gets SIGTERM, and SIGKILL past a deadline. A signal on the parent's death, as Linux has
it, would not reach the children of Celery's worker.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress

TERM_DEADLINE = 5.0


class Reaper:
    """The reaper as `busctl dev` sees it.

    Args:
        keep_open: descriptors, such as that of a lock, which it holds until the last process is gone.
    """

    def __init__(self, keep_open: Iterable[int] = ()) -> None:
        read, self._pipe = os.pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__],
            stdin=read,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=tuple(keep_open),
        )
        os.close(read)

    def started(self, group: int) -> None:
        """Look after this process group from now on."""
        self._tell(f"+{group}\n")

    def ended(self, group: int) -> None:
        """Forget it."""
        self._tell(f"-{group}\n")

    def close(self) -> None:
        """Let the reaper go, when every process has ended."""
        os.close(self._pipe)
        try:
            self._process.wait(TERM_DEADLINE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _tell(self, line: str) -> None:
        with suppress(BrokenPipeError):  # somebody killed it; we still end our children ourselves
            os.write(self._pipe, line.encode())


def send(groups: set[int], number: int) -> set[int]:
    """Signal every group; 0 only asks. Returns those that still have a process."""
    left = set()
    for group in groups:
        try:
            os.killpg(group, number)
        except ProcessLookupError:
            continue
        left.add(group)
    return left


def main() -> None:
    """Wait for the end of standard input, then end what is left."""
    groups: set[int] = set()
    for line in sys.stdin:
        (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
    groups = send(groups, signal.SIGTERM)
    deadline = time.monotonic() + TERM_DEADLINE
    while groups and time.monotonic() < deadline:
        time.sleep(0.1)
        groups = send(groups, 0)
    send(groups, signal.SIGKILL)


if __name__ == "__main__":
    main()
