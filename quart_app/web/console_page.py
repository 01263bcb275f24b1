"""The operator's console: a page that has nothing in it until its channel has asked who one is."""

from __future__ import annotations

from quart import Blueprint, render_template, request

from quart_app.channel import Channel
from quart_app.services import Services


def console_page(services: Services, channel: type[Channel] | None) -> Blueprint:
    """`/console/`, where there is a channel for it.

    Args:
        services: of this process.
        channel: the console's.
    """
    routes = Blueprint("console", __name__)
    routes.app_context_processor(lambda: {"has_console": channel is not None})
    if channel is None:
        return routes

    @routes.get("/console/")
    async def page() -> str:
        """See every job, process and connection, and do something about them."""
        return await render_template(
            "console.html",
            socket_path=request.root_path + channel.path,
            max_frame_bytes=services.settings.max_frame_bytes,
            asks_token=services.settings.auth == "jwt",
        )

    return routes
