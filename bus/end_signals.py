"""The signals by which others tell a process to end."""

from __future__ import annotations

import signal


def end_signals() -> tuple[signal.Signals, ...]:
    """SIGTERM, and SIGHUP, which comes when the terminal closes, unless this process was started to ignore that.

    `nohup` starts it so. Whoever handles signals asks before.
    """
    heard = signal.SIGTERM, signal.SIGHUP
    return tuple(number for number in heard if signal.getsignal(number) is not signal.SIG_IGN)
