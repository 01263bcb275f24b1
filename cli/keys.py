"""Keys that are pressed while something is shown."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


@contextmanager
def pressed(on_key: Callable[[str], None]) -> Iterator[bool]:
    """A block in which each key that is pressed is told of, on the event loop, and not shown. Ctrl+C still interrupts.

    Yields whether keys are told of. None is where standard input is no terminal, or one in whose background this
    process runs.

    Args:
        on_key: called with what was typed; it must not block and not raise.
    """
    descriptor = sys.__stdin__.fileno() if sys.__stdin__ is not None else 0
    if not _is_ours(descriptor):
        yield False
        return
    loop = asyncio.get_running_loop()
    before = termios.tcgetattr(descriptor)

    def read() -> None:
        try:
            typed = os.read(descriptor, 64)
        except OSError:
            typed = b""
        if not typed:  # the terminal has closed
            loop.remove_reader(descriptor)
        for key in typed.decode(errors="ignore"):
            on_key(key)

    def listen(when: int) -> None:
        loop.remove_reader(descriptor)
        if _is_ours(descriptor):
            tty.setcbreak(descriptor, when)
            loop.add_reader(descriptor, read)

    # The shell may take the terminal back at any moment, and who sets it then is stopped.
    on_setting = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    # After Ctrl+Z it has set it as it likes it.
    loop.add_signal_handler(signal.SIGCONT, listen, termios.TCSANOW)
    try:
        listen(termios.TCSAFLUSH)
        yield True
    finally:
        loop.remove_signal_handler(signal.SIGCONT)
        loop.remove_reader(descriptor)
        if _is_ours(descriptor):
            with suppress(termios.error):  # it has closed
                termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
        signal.signal(signal.SIGTTOU, on_setting)


def _is_ours(descriptor: int) -> bool:
    """Whether this is a terminal, and this process, not the shell, reads and sets it now."""
    if not os.isatty(descriptor):
        return False
    try:
        return os.tcgetpgrp(descriptor) == os.getpgrp()
    except OSError:  # it is not the one that controls this process, and has no background
        return True
