"""The WebSocket edge.

hypercorn quart_app:app
"""

from quart_app.app import create_app

app = create_app()

__all__ = ["app", "create_app"]
