"""The pages that people see."""

from __future__ import annotations

import json

from quart import Blueprint, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as Redirect

from bus.messages import MOST_AHEAD
from quart_app.channel_set import ChannelSet
from quart_app.services import Services


def pages(services: Services, channels: ChannelSet) -> Blueprint:
    """`/` and `/system/`, which there is only with a channel that it can speak to.

    Args:
        services: whose jobs the page offers.
        channels: all that are served.

    Raises:
        ChannelDefinitionError: the page could speak to several.
    """
    from quart_app.channels.system import SystemChannel  # here, so that one that cannot work is said when it is served

    routes = Blueprint("pages", __name__)
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
        )

    return routes
