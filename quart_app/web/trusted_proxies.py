"""Whom a request comes from, and under which name and scheme, when proxies that are trusted say so."""

from __future__ import annotations

from collections.abc import Coroutine, Iterable
from ipaddress import ip_network
from typing import Any, Literal

from bus.networks import UNIX, address, within
from bus.origins import split_host
from quart_app.web.forwarded import Hop, forwarded, node, x_forwarded
from quart_app.web.root_path import Asgi

_SECURE = {"http": "ws", "https": "wss"}


class TrustedProxies:
    """Take the client's address, the scheme and the host from what trusted proxies say, and from nobody else.

    Unlike Hypercorn's `ProxyFixMiddleware` this counts no hops: who reaches the process past the proxy is not believed,
    however many entries it sends.

    Args:
        app: what is served.
        trusted: addresses and networks, as `bus.networks.networks` writes them; `unix` is a peer without an address.
        headers: which of the two kinds is read. Never both: a proxy that writes one passes the other on as it came.
    """

    def __init__(self, app: Asgi, trusted: Iterable[str], headers: Literal["x-forwarded", "forwarded"]) -> None:
        self._app = app
        named = set(trusted)
        self._unix = UNIX in named
        self._trusted = [ip_network(network) for network in named - {UNIX}]
        self._headers = headers

    def __call__(self, scope: Any, receive: Any, send: Any) -> Coroutine[Any, Any, None]:
        """Serve one ASGI scope."""
        if scope["type"] in ("http", "websocket") and self._comes_from_trusted(scope):
            scope = self._told(scope)
        return self._app(scope, receive, send)

    def _comes_from_trusted(self, scope: Any) -> bool:
        client = scope.get("client")
        return self._is_trusted(client[0]) if client and client[0] else self._unix

    def _is_trusted(self, peer: str) -> bool:
        found = address(peer)
        return found is not None and within(found, self._trusted)

    def _told(self, scope: Any) -> Any:
        client, scheme, host = None, None, None
        for hop in self._hops(scope["headers"]):
            client, scheme, host = node(hop.client) or client, hop.scheme, hop.host
            if (found := node(hop.client)) is None or not self._is_trusted(found):
                break
        changed = {**scope}
        if client is not None:
            changed["client"] = (client, 0)
        if scheme is not None and (scheme := scheme.lower()) in _SECURE:
            changed["scheme"] = scheme if scope["type"] == "http" else _SECURE[scheme]
        if host is not None and _is_host(host):
            others = [(name, value) for name, value in scope["headers"] if name.lower() != b"host"]
            changed["headers"] = [*others, (b"host", host.encode())]
        return changed

    def _hops(self, headers: Iterable[tuple[bytes, bytes]]) -> list[Hop]:
        found: dict[bytes, list[str]] = {}
        for name, value in headers:
            found.setdefault(name.lower(), []).append(value.decode("latin-1"))
        if self._headers == "forwarded":
            return forwarded(found.get(b"forwarded", []))
        return x_forwarded(*(found.get(b"x-forwarded-" + kind, []) for kind in (b"for", b"proto", b"host")))


def _is_host(text: str) -> bool:
    try:
        split_host(text)
    except ValueError:
        return False
    return text.isascii()
