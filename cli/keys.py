"""Keys that are pressed while something is shown."""

from __future__ import annotations

import asyncio
import os
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def pressed(on_key: Callable[[str], None]) -> Iterator[None]:
    """A block in which each key that is pressed is told of, on the event loop, and not shown. Ctrl+C still interrupts.

    Where standard input is no terminal, nothing is told.

    Args:
        on_key: called with what was typed; it must not block and not raise.
    """
    descriptor = sys.__stdin__.fileno() if sys.__stdin__ is not None else 0
    if not os.isatty(descriptor):
        yield
        return
    loop = asyncio.get_running_loop()
    before = termios.tcgetattr(descriptor)

    def read() -> None:
        for key in os.read(descriptor, 64).decode(errors="ignore"):
            on_key(key)

    tty.setcbreak(descriptor)
    loop.add_reader(descriptor, read)
    try:
        yield
    finally:
        loop.remove_reader(descriptor)
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
