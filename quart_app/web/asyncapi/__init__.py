"""The AsyncAPI document of the channels, and the page that shows it."""

from quart_app.web.asyncapi.document import build
from quart_app.web.asyncapi.page import asyncapi

__all__ = ["asyncapi", "build"]
