"""The headers that every HTTP response carries, and where a redirect may lead."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

from quart import Quart, Response, request, websocket
from quart.wrappers.base import BaseRequestWebsocket

from bus.origins import split_host

SECURITY_HEADERS = {
    # 'self' in connect-src covers ws: and wss: of the same host (CSP level 3, section 6.7.2.8).
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'; object-src 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Nothing inline, nothing from elsewhere, no framing: even markup that slipped into a page could not run."""


def secure_responses(app: Quart, hsts_max_age: int) -> None:
    """Add the security headers to every response, refused handshakes included, and keep redirects on this site.

    Args:
        app: the application.
        hsts_max_age: seconds for which a browser that came by https asks by https alone (RFC 6797); 0 leaves it out.
    """
    strict = f"max-age={hsts_max_age}" if hsts_max_age else None

    def add(response: Response, to: BaseRequestWebsocket) -> None:
        for name, value in SECURITY_HEADERS.items():
            response.headers.setdefault(name, value)
        if strict is not None and to.scheme in ("https", "wss") and not _is_local(to.headers.get("Host", "")):
            response.headers["Strict-Transport-Security"] = strict

    @app.after_request
    async def secure(response: Response) -> Response:
        """Also has browsers ask before they reuse what they stored, unless its address names its version. An ETag makes
        asking cheap, and a deploy is seen at once."""
        add(response, request)
        if request.endpoint == "static" or "Cache-Control" not in response.headers:
            response.headers["Cache-Control"] = "no-cache"
            response.headers.pop("Expires", None)
        if location := response.headers.get("Location"):
            response.headers["Location"] = within(location)
        return response

    @app.after_websocket  # type: ignore[type-var]
    async def secure_refusal(response: Response | None) -> Response | None:
        """None is a handshake that was not refused."""
        if response is not None:
            add(response, websocket)
        return response


def within(location: str) -> str:
    """Where a redirect leads, as a path alone (RFC 9110 section 10.2.2), so that scheme and host stay what they are.

    Behind a proxy neither scheme nor host of the public address may be known here, and nothing leads to other sites.
    """
    parts = urlsplit(location)
    path = "/" + parts.path.lstrip("/\\")  # two slashes would name another host
    return urlunsplit(("", "", path, parts.query, parts.fragment))


def _is_local(host: str) -> bool:
    """Whether this is localhost, where a browser would remember it for whatever else is tried out on that machine."""
    try:
        name, _ = split_host(host)
    except ValueError:
        return False
    return name == "localhost" or name.endswith(".localhost")
