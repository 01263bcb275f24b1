"""Which host names this process answers for.

A page of another site can have its own name lead to this machine (DNS rebinding), and is then of the same origin as
what it asks here. The `Host` header still has that name.
"""

from __future__ import annotations

from collections.abc import Collection

from quart import Quart, Response, request, websocket

from bus.origins import listed, split_host
from quart_app.metrics import Metrics

FOR_EVERY_HOST = frozenset({"/livez", "/readyz"})
"""What load balancers and orchestrators ask by the address of the process; it tells nothing about anybody."""


def answer_for(app: Quart, allowed: Collection[str], metrics: Metrics) -> None:
    """Have the application refuse requests and handshakes for other hosts, with 421 (RFC 9110 section 15.5.20).

    Args:
        app: the application.
        allowed: hosts, as `bus.origins.hosts` writes them; none means every host.
        metrics: counts refused handshakes.
    """
    if not allowed or "*" in allowed:
        return

    @app.before_request
    async def refuse_request() -> Response | None:
        if request.path in FOR_EVERY_HOST:
            return None
        return _refusal(request.headers.getlist("Host"), allowed)

    @app.before_websocket
    async def refuse_handshake() -> Response | None:
        refusal = _refusal(websocket.headers.getlist("Host"), allowed)
        if refusal is not None:
            metrics.refused(refusal)
        return refusal


def _refusal(headers: list[str], allowed: Collection[str]) -> Response | None:
    try:
        [header] = headers
        host, _ = split_host(header)
    except ValueError:
        pass
    else:
        if listed(host, allowed):
            return None
    return Response(
        "this server does not answer for the host of this request; see BUS_ALLOWED_HOSTS\n",
        421,
        content_type="text/plain; charset=utf-8",
    )
