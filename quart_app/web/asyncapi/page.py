"""`/asyncapi.json`, and `/asyncapi/docs/`: the same for people."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable, Mapping
from functools import cache

from markupsafe import Markup, escape
from quart import Blueprint, Response, render_template, request

from quart_app.channel import Channel
from quart_app.web.asyncapi.document import build, servers
from quart_app.web.asyncapi.modes import MODES
from quart_app.web.asyncapi.published import indented, publish
from quart_app.web.asyncapi.security import Security
from workers.registry import Job


def inline_code(text: str) -> Markup:
    """Escaped text in which `backticks` have become code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped before


def breakable(name: str) -> Markup:
    """An escaped name that may be broken after its underscores, in a narrow column."""
    return Markup("_<wbr>").join(name.split("_"))


def asyncapi(
    channels: Iterable[type[Channel]],
    jobs: Mapping[str, Job],
    security: Security | None = None,
    root_path: str = "",
) -> Blueprint:
    """`/asyncapi.json` and `/asyncapi/docs/`, made when somebody first asks for one.

    Args:
        channels: what they describe.
        jobs: what can be asked for there, by name.
        security: how clients prove who they are, if they have to.
        root_path: the path below which they are served, `BUS_ROOT_PATH`.
    """
    routes = Blueprint("asyncapi", __name__)
    routes.add_app_template_filter(inline_code)
    routes.add_app_template_filter(breakable)
    routes.add_app_template_filter(indented, "indented")
    published = cache(lambda: publish(build(channels, jobs, security=security, root_path=root_path)))
    messages: list[Markup] = []  # rendered once, since that takes long and is the same for all

    @routes.get("/asyncapi.json")
    async def document() -> Response:
        """The AsyncAPI document."""
        here = {"servers": servers(request.host, secure=request.scheme == "https")}
        text = json.dumps((await asyncio.to_thread(published)).document | here, ensure_ascii=False, indent=2)
        return Response(text + "\n", content_type="application/json")

    @routes.get("/asyncapi/docs/")
    async def docs() -> str:
        """The AsyncAPI document as a page."""
        shown = await asyncio.to_thread(published)
        told = {"channels": shown.channels, "jobs": shown.jobs, "job_channel": shown.job_channel, "modes": MODES}
        if not messages:
            messages.append(Markup(await render_template("asyncapi_messages.html", **told)))  # noqa: S704 - a template
        return await render_template(
            "asyncapi.html",
            **told,
            info=shown.info,
            messages=messages[0],
            sessions=shown.document.get("x-sessions", {}),
            close_codes=shown.document["x-close-codes"],
            error_types=shown.document["x-error-types"],
            asks_for_tokens=security is not None,
        )

    return routes
