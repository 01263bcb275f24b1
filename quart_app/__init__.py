"""The WebSocket edge.

hypercorn quart_app:app
"""

from bus import Settings
from quart_app.app import create_app
from quart_app.asgi import LazyApp
from quart_app.embedding import application, init_app, serving

app = LazyApp(lambda: application(Settings.load())[0])

__all__ = ["app", "create_app", "init_app", "serving"]
