"""The event bus: the wire contract, and NATS behind it. Any process may use it.

from bus import Bus, Settings, SyncBus, SystemNotification

async with Bus(Settings.load()) as bus:
    await bus.broadcast_event(SystemNotification(payload="hello"), groups=["system"])
"""

from bus.client import Bus, Subscription
from bus.errors import (
    AppendRefused,
    BusError,
    BusRefused,
    BusUnavailable,
    EventTooLarge,
    InvalidName,
    NoStream,
    NotPermitted,
    SettingsError,
    StreamConflict,
    UnknownJob,
    UnsupportedServer,
)
from bus.messages import Event, Message, SystemNotification
from bus.settings import Settings
from bus.stream import Stored, StreamState
from bus.sync import SyncBus

__all__ = [
    "AppendRefused",
    "Bus",
    "BusError",
    "BusRefused",
    "BusUnavailable",
    "Event",
    "EventTooLarge",
    "InvalidName",
    "Message",
    "NoStream",
    "NotPermitted",
    "Settings",
    "SettingsError",
    "Stored",
    "StreamConflict",
    "StreamState",
    "Subscription",
    "SyncBus",
    "SystemNotification",
    "UnknownJob",
    "UnsupportedServer",
]
