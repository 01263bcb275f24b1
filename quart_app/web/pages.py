"""The pages that people see, and the headers that every HTTP response carries."""

from __future__ import annotations

import json
from urllib.parse import urlsplit, urlunsplit

from quart import Blueprint, Response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as Redirect

from bus.messages import MOST_AHEAD
from quart_app import close_codes
from quart_app.channel_set import ChannelSet
from quart_app.services import Services

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


async def secure_refusal(response: Response | None) -> Response | None:
    """Add the security headers to the answer to a handshake that is refused; None when it was not."""
    if response is not None:
        for name, value in SECURITY_HEADERS.items():
            response.headers.setdefault(name, value)
    return response


async def redirect_within(response: Response) -> Response:
    """Redirect by path alone (RFC 9110 section 10.2.2).

    Behind a proxy neither scheme nor host of the public address is known here, and nothing leads to other sites.
    """
    if location := response.headers.get("Location"):
        parts = urlsplit(location)
        path = "/" + parts.path.lstrip("/\\")  # two slashes would name another host
        response.headers["Location"] = urlunsplit(("", "", path, parts.query, parts.fragment))
    return response


def pages(services: Services, channels: ChannelSet) -> Blueprint:
    """`/` and `/system/`, which there is only with a channel that it can speak to; and headers for every response.

    Args:
        services: whose jobs the page offers.
        channels: all that are served.

    Raises:
        ChannelDefinitionError: the page could speak to several.
    """
    from quart_app.channels.system import SystemChannel  # here, so that one that cannot work is said when it is served

    routes = Blueprint("pages", __name__)
    routes.after_app_request(secure)
    routes.after_app_request(redirect_within)
    routes.after_app_websocket(secure_refusal)  # type: ignore[type-var]
    spoken_to = channels.one_of(SystemChannel, needed_by="the page at /system/")
    routes.app_context_processor(lambda: {"has_system_page": spoken_to is not None})

    @routes.get("/")
    async def index() -> Redirect:
        """Lead to the page that there is."""
        return redirect(url_for("asyncapi.docs" if spoken_to is None else "pages.system"))

    if spoken_to is None:
        return routes
    # As text, because Quart's own JSON would sort the fields of a form by name.
    takes = {name: job.signature.takes for name, job in services.jobs.items() if not job.signature.takes.is_text}
    schemas = {name: json.dumps(taken.taken) for name, taken in takes.items()}

    @routes.get("/system/")
    async def system() -> str:
        """Submit jobs, watch their results and the announcements."""
        return await render_template(
            "system.html",
            jobs=services.jobs.values(),
            schemas=schemas,
            socket_path=request.root_path + spoken_to.path,
            max_frame_bytes=services.settings.max_frame_bytes,
            most_ahead=MOST_AHEAD,
            no_reconnect={str(close.code): close.reason for close in close_codes.ALL if not close.reconnect},
        )

    return routes
