"""The pages that people see, and the headers that every HTTP response carries."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

from quart import Blueprint, Response, current_app, redirect, render_template, request
from werkzeug.wrappers import Response as Redirect

from quart_app import close_codes
from quart_app.services import Services

pages = Blueprint("pages", __name__)

SECURITY_HEADERS = {
    # 'self' in connect-src covers ws: and wss: of the same host (CSP level 3, section 6.7.2.8).
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'; object-src 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Nothing inline, nothing from elsewhere, no framing: even markup that slipped into a page could not run."""


@pages.after_app_request
async def secure(response: Response) -> Response:
    """Add the security headers, and have browsers ask before they reuse what they stored.

    Static files have no version in their names: their ETag makes asking cheap, and a deploy is seen at once.
    """
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
    if request.endpoint == "static" or "Cache-Control" not in response.headers:
        response.headers["Cache-Control"] = "no-cache"
        response.headers.pop("Expires", None)
    return response


@pages.after_app_request
async def redirect_within(response: Response) -> Response:
    """Redirect by path alone (RFC 9110 section 10.2.2).

    Behind a proxy neither scheme nor host of the public address is known here, and nothing leads to other sites.
    """
    if location := response.headers.get("Location"):
        parts = urlsplit(location)
        path = "/" + parts.path.lstrip("/\\")  # two slashes would name another host
        response.headers["Location"] = urlunsplit(("", "", path, parts.query, parts.fragment))
    return response


@pages.get("/")
async def index() -> Redirect:
    """Lead to the system page."""
    return redirect("/system/")


@pages.get("/system/")
async def system() -> str:
    """Submit jobs, watch their results and the announcements."""
    from quart_app.channels.system import SystemChannel  # here, so that an import fails for nobody who has others

    services: Services = current_app.extensions["busctl"]
    return await render_template(
        "system.html",
        jobs=services.jobs.values(),
        socket_path=SystemChannel.path,
        max_frame_bytes=services.settings.max_frame_bytes,
        no_reconnect={str(close.code): close.reason for close in close_codes.ALL if not close.reconnect},
    )
