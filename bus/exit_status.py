"""How a process ended, for people."""

from __future__ import annotations

import signal


def described(status: int) -> str:
    """What an exit status says, for example `exit status 1` or `signal SIGKILL`; it is negative after a signal."""
    if status >= 0:
        return f"exit status {status}"
    number = -status
    return f"signal {signal.Signals(number).name if number in tuple(signal.Signals) else number}"
