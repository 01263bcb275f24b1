"""The page, and everything of busctl below /bus: /bus/system/, /bus/ws/system, /bus/ws/rooms, /bus/asyncapi/docs/."""

from __future__ import annotations

from quart import Quart, render_template

from busctl import init_app

app = Quart(__name__)
init_app(app)


@app.get("/")
async def index() -> str:
    """Order tea, and see it made."""
    return await render_template("index.html")
