"""Whether this process lives, and whether it can do its work."""

from __future__ import annotations

from quart import Blueprint, Response, current_app

from bus import BusUnavailable
from quart_app.admission import Admission
from quart_app.services import Services
from workers.enqueue import BrokerUnavailable

health = Blueprint("health", __name__)


@health.get("/livez")
async def livez() -> Response:
    """200 while the event loop turns; for restarting a process that hangs."""
    return Response("ok\n", content_type="text/plain; charset=utf-8")


@health.get("/readyz")
async def readyz() -> Response:
    """200 when the bus and the broker answer within their deadlines, else 503 and which one does not.

    503 also from the moment on at which the process was told to stop.
    """
    services: Services = current_app.extensions["busctl"]
    admission: Admission = current_app.extensions["busctl.admission"]
    ready = not admission.draining
    lines = [] if ready else ["draining"]
    for name, check in (("bus", services.bus.ping), ("broker", services.enqueuer.ping)):
        try:
            await check()
            lines.append(f"{name}: ok")
        except (BusUnavailable, BrokerUnavailable) as error:
            ready = False
            lines.append(f"{name}: {error}")
    return Response("\n".join(lines) + "\n", 200 if ready else 503, content_type="text/plain; charset=utf-8")
