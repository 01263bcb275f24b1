"""`busctl` and `qbusctl` from a shell: arguments in, exit status out.

It imports next to nothing until Ctrl+C can be heard.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from cli.errors import INTERRUPTED, CommandFailed
from cli.streams import flush_standard_streams, forget_odd_sizes, open_standard_streams

NAMES = ("busctl", "qbusctl")
"""systemd has a busctl too, hence the second one."""


def main() -> None:
    """Run `busctl` with the arguments of this process, and exit."""
    open_standard_streams()
    forget_odd_sizes()
    status = _run()
    try:
        flush_standard_streams()
    except CommandFailed as error:
        status = status or _told(error)
    sys.exit(status)


def _run() -> int:
    try:
        from cli.application import application

        return application()(_decoded(sys.argv[1:]), prog_name=_called(), standalone_mode=False) or 0
    except KeyboardInterrupt:  # before the command, or a completion, has begun
        return INTERRUPTED
    except Exception as error:
        return _told(error)


def _called() -> str:
    """The name by which it was called, for which the shell's completion is."""
    name = Path(sys.argv[0]).name
    return name if name in NAMES else NAMES[0]


def _told(error: Exception) -> int:
    from cli.failures import tell  # here, because only a failure needs it

    return tell(error)


def _decoded(arguments: list[str]) -> list[str]:
    """The arguments as text. They are UTF-8 whatever the locale says, unless only the locale can make sense of them.

    Raises:
        TyperException: one is neither.
    """
    texts = []
    for argument in arguments:
        data = os.fsencode(argument)
        try:
            texts.append(data.decode())
        except UnicodeDecodeError:
            if any("\udc80" <= character <= "\udcff" for character in argument):
                import typer

                raise typer.BadParameter(f"an argument is not valid UTF-8: {data!r}; encode it so") from None
            texts.append(argument)
    return texts
