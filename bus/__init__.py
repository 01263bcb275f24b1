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
    CorruptJob,
    EventTooLarge,
    InvalidName,
    NoLease,
    NoQuorum,
    NoStream,
    NotPermitted,
    SettingsError,
    StreamConflict,
    StreamFull,
    UnknownJob,
    UnsupportedServer,
)
from bus.follow import FollowedEvents, Interruption
from bus.messages import Event, Message, SystemNotification
from bus.settings import Settings
from bus.stored import Stored
from bus.stream_leader import StreamState
from bus.sync import SyncBus

__all__ = [
    "AppendRefused",
    "Bus",
    "BusError",
    "BusRefused",
    "BusUnavailable",
    "CorruptJob",
    "Event",
    "EventTooLarge",
    "FollowedEvents",
    "Interruption",
    "InvalidName",
    "Message",
    "NoLease",
    "NoQuorum",
    "NoStream",
    "NotPermitted",
    "Settings",
    "SettingsError",
    "Stored",
    "StreamConflict",
    "StreamFull",
    "StreamState",
    "Subscription",
    "SyncBus",
    "SystemNotification",
    "UnknownJob",
    "UnsupportedServer",
]
