"""`python -m quart_app`: the web processes of one address, as `busctl serve` starts them."""

from __future__ import annotations

import argparse
import asyncio
import sys

from bus import Settings
from bus.escape import escaped
from bus.log import configure_logging, warn_of_unknown_settings
from quart_app.asgi import CANNOT_START
from quart_app.embedding import application
from quart_app.errors import BadCertificate, CannotHeal, CannotListen
from quart_app.server.control_socket import CANNOT_HEAL
from quart_app.server.serve import Tls, raise_open_files, serve
from quart_app.server.supervisor import Supervisor


def main() -> int:
    """Serve until a signal. Returns the exit status: 0 after an orderly end, 1 when it cannot serve."""
    parser = _parser()
    arguments = parser.parse_args()
    if (arguments.certfile is None) != (arguments.keyfile is None):
        parser.error("--certfile and --keyfile go together")
    if arguments.workers < 1:
        parser.error("--workers must be at least 1")
    tls = Tls(arguments.certfile, arguments.keyfile) if arguments.certfile is not None else None
    try:
        settings = Settings.load()
        configure_logging(settings, whole_process=True)
        if arguments.control_socket is None:
            warn_of_unknown_settings()
        if arguments.workers == 1:
            serve(settings, arguments.bind, tls, arguments.control_socket)
            return 0
        application(settings)  # what is wrong with jobs and channels is said once here, not by every process
        raise_open_files()
        return 0 if asyncio.run(Supervisor(settings, arguments.bind, tls, arguments.workers).run()) else 1
    except (*CANNOT_START, CannotListen, BadCertificate) as error:
        print(f"error: {escaped(str(error))}", file=sys.stderr)
        return CANNOT_HEAL if isinstance(error, CannotHeal) and arguments.control_socket is not None else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m quart_app", description="The web processes of one address.")
    parser.add_argument("--bind", default="127.0.0.1:8000", metavar="ADDRESS", help="where to listen")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="how many processes")
    parser.add_argument("--certfile", metavar="PATH", help="certificate, in PEM form")
    parser.add_argument("--keyfile", metavar="PATH", help="its private key, in PEM form")
    parser.add_argument("--control-socket", type=int, help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
