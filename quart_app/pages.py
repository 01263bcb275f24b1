"""The pages that people see."""

from __future__ import annotations

from quart import Blueprint, current_app, redirect, render_template
from werkzeug.wrappers import Response

from quart_app.services import Services

pages = Blueprint("pages", __name__)


@pages.get("/")
async def index() -> Response:
    """Lead to the system page."""
    return redirect("/system/")


@pages.get("/system/")
async def system() -> str:
    """Submit jobs, watch their results and the announcements."""
    services: Services = current_app.extensions["busctl"]
    return await render_template("system.html", jobs=services.jobs.values())
