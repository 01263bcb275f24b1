"""`python -m quart_app`: one web process, as `busctl serve` starts it."""

from __future__ import annotations

import argparse
import sys

from bus import BusError, Settings
from quart_app.server import serve


def main() -> int:
    """Serve until a signal. Returns the exit status: 0 after an orderly end, 1 when it cannot serve."""
    parser = argparse.ArgumentParser(prog="python -m quart_app", description="One web process of busctl.")
    parser.add_argument("--bind", default="127.0.0.1:8000", metavar="HOST:PORT", help="where to listen")
    bind: str = parser.parse_args().bind
    try:
        serve(Settings.load(), bind)
    except BusError as error:
        return _failed(str(error))
    except (OSError, ValueError, OverflowError) as error:
        return _failed(f"cannot listen on {bind}: {error}; choose another address with --bind")
    return 0


def _failed(reason: str) -> int:
    print(f"error: {reason}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
