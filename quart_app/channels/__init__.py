"""The channels of this app, one file each."""

from quart_app.channels.system import SystemChannel

CHANNELS = (SystemChannel,)

__all__ = ["CHANNELS", "SystemChannel"]
