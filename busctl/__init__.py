"""What a project of its own imports: one name for things that live in `bus`, `workers` and `quart_app`.

    from busctl import JobContext, job

Nothing is made here. Each name is imported when it is first asked for, so that a worker does not import the web server,
nor a script either of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bus import Bus, BusError, Settings, SyncBus, SystemNotification
    from bus.messages import ClientMessage, Event, Message, Reply
    from quart_app import create_app, init_app, serving
    from quart_app.channel import Channel, channel, event_handler, ws_handler
    from quart_app.channels.system import SystemChannel
    from quart_app.errors import Refused
    from quart_app.identity.identity import Identity
    from workers.calling import SubmittedJob, submit
    from workers.errors import NoResult
    from workers.registry import Fail, JobContext, Retry, job

_HOME = {
    "bus": ("Bus", "BusError", "Settings", "SyncBus", "SystemNotification"),
    "bus.messages": ("ClientMessage", "Event", "Message", "Reply"),
    "quart_app": ("create_app", "init_app", "serving"),
    "quart_app.channel": ("Channel", "channel", "event_handler", "ws_handler"),
    "quart_app.channels.system": ("SystemChannel",),
    "quart_app.errors": ("Refused",),
    "quart_app.identity.identity": ("Identity",),
    "workers.calling": ("SubmittedJob", "submit"),
    "workers.errors": ("NoResult",),
    "workers.registry": ("Fail", "JobContext", "Retry", "job"),
}
_HOME_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "Bus",
    "BusError",
    "Channel",
    "ClientMessage",
    "Event",
    "Fail",
    "Identity",
    "JobContext",
    "Message",
    "NoResult",
    "Refused",
    "Reply",
    "Retry",
    "Settings",
    "SubmittedJob",
    "SyncBus",
    "SystemChannel",
    "SystemNotification",
    "channel",
    "create_app",
    "event_handler",
    "init_app",
    "job",
    "serving",
    "submit",
    "ws_handler",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'busctl' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return __all__
