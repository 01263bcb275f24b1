"""How the EVENTS stream is configured, and which of that the delivery guarantees rest on."""

from __future__ import annotations

from enum import Enum

from nats.js.api import DiscardPolicy, RePublish, RetentionPolicy, StorageType, StreamConfig

from bus import subjects
from bus.settings import Settings


def stream_config(settings: Settings) -> StreamConfig:
    """The stream as these settings want it."""
    return StreamConfig(
        name=subjects.STREAM,
        description="Everything that clients of busctl see, in order",
        subjects=[subjects.STREAM_SUBJECTS],
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        discard=DiscardPolicy.OLD,
        max_msgs=-1,
        max_msgs_per_subject=-1,
        max_age=settings.stream_max_age,
        max_bytes=settings.stream_max_bytes,
        num_replicas=settings.stream_replicas,
        duplicate_window=min(120.0, settings.stream_max_age),
        allow_direct=True,
        republish=RePublish(src=subjects.STREAM_SUBJECTS, dest=subjects.REPUBLISH),
    )


# What the delivery guarantees rest on; sizes, ages and replicas may differ without harm.
_ESSENTIAL = (
    "subjects",
    "retention",
    "storage",
    "discard",
    "max_msgs_per_subject",
    "allow_direct",
    "republish",
)


def differences(found: StreamConfig, wanted: StreamConfig) -> list[str]:
    """What is wrong with a stream that was found, in words; empty when the guarantees hold on it."""
    wrong = []
    for name in _ESSENTIAL:
        has, needs = _plain(getattr(found, name)), _plain(getattr(wanted, name))
        if has != needs:
            wrong.append(f"{name} is {has}, needed is {needs}")
    return wrong


def _plain(value: object) -> object:
    match value:
        case Enum():
            return value.value
        case RePublish():
            return f"{value.src} → {value.dest}"
        case _:
            return value
