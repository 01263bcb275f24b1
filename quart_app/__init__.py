"""The WebSocket edge.

hypercorn quart_app:app
"""

from quart_app.app import create_app
from quart_app.asgi import LazyApp

app = LazyApp(create_app)

__all__ = ["app", "create_app"]
