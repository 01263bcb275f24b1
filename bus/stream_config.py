"""Whose a stream is, what the delivery guarantees need of it, and which of the settings still have to be applied.

A configuration is the JSON object that NATS sends and takes, so fields that this code does not know survive a change.
"""

from __future__ import annotations

import hashlib
from typing import Any

from bus import subjects
from bus.settings import Settings

Config = dict[str, Any]

MARK = "busctl.stream"
MARKED = "events"
"""The entry of a stream's metadata that says that it is ours."""

RESTORED = "busctl.restored"
"""The entry that an operator gives a stream that was put back from a backup: any text that it did not have before."""

CORRECTED = "busctl.corrected"
"""The entry that says when what the guarantees rest on was set back last: till then events may have been stored that
nobody heard."""

SETTINGS = {"max_age": "stream_max_age", "max_bytes": "stream_max_bytes", "num_replicas": "stream_replicas"}
"""The fields that settings give. What was last applied of each stands in the metadata, as `busctl.<setting>`."""

REPUBLISH_RULE = {"src": subjects.STREAM_SUBJECTS, "dest": subjects.REPUBLISH}
DUPLICATE_WINDOW = 120 * 10**9

# What the guarantees rest on: the value, and what an absent field means.
_NEEDED: dict[str, tuple[Any, Any]] = {
    "retention": ("limits", "limits"),
    "storage": ("file", "file"),
    "discard_new_per_subject": (False, False),
    "max_msgs_per_subject": (-1, -1),
    "allow_direct": (True, False),
    "no_ack": (False, False),
    "allow_msg_counter": (False, False),
    "persist_mode": ("default", "default"),
}
# NATS itself cuts nothing for want of room, so that nothing is cut which an open job needs: see `bus.retention`. Where
# an operator has forbidden purging or allowed schedules, which NATS never takes back, it has to.
_NEEDED_TO_CUT: dict[str, tuple[Any, Any]] = {"discard": ("new", "old")}
_NEEDED_TO_BE_CUT: dict[str, tuple[Any, Any]] = {"discard": ("old", "old")}


def new_stream(settings: Settings) -> Config:
    """The stream as it is created with these settings."""
    values = _values(settings)
    return {
        "name": subjects.STREAM,
        "description": "Everything that clients of busctl see, in order",
        "subjects": [subjects.STREAM_SUBJECTS],
        "retention": "limits",
        "storage": "file",
        "discard": "new",
        "max_msgs": -1,
        "max_msgs_per_subject": -1,
        "max_msg_size": -1,
        "max_consumers": -1,
        "duplicate_window": min(DUPLICATE_WINDOW, values["max_age"]),
        "allow_direct": True,
        "republish": REPUBLISH_RULE,
        "metadata": _remembered(values),
        **values,
    }


def is_ours(config: Config) -> bool:
    """Whether a stream of our name was made for this system: it has the mark, or our subjects and our republish."""
    marked = (config.get("metadata") or {}).get(MARK) == MARKED
    return marked or (config.get("subjects") == [subjects.STREAM_SUBJECTS] and _republishes(config))


def epoch(info: dict[str, Any]) -> str:
    """What tells a stream from every other one of its name, in 64 characters at most.

    When it was made is not enough: NATS may keep that when a stream is put back from a backup, whose sequences then
    stand for other events than clients have seen.

    Args:
        info: what NATS says of the stream.
    """
    created: str = info["created"]
    restored = (info["config"].get("metadata") or {}).get(RESTORED)
    return created if restored is None else f"{created}+{hashlib.sha256(restored.encode()).hexdigest()[:16]}"


def unusable(config: Config) -> str | None:
    """Why one of our streams can take no events, whatever else is changed about it; None when it can."""
    if config.get("sealed"):
        return "it is sealed, which cannot be undone"
    if config.get("mirror"):
        return f"it is a mirror of the stream {config['mirror'].get('name')}"
    return None


def keeps_guarantees(config: Config) -> bool:
    """Whether a stream can be used as it is: it is ours, takes events, and nothing has to be corrected."""
    return is_ours(config) and unusable(config) is None and not corrections(config)


def can_be_cut(config: Config) -> bool:
    """Whether one of our streams lets `bus.retention` make room in it. If not, NATS does, whatever open jobs need."""
    return not (config.get("deny_purge") or config.get("allow_msg_schedules"))


def corrections(config: Config) -> Config:
    """The fields of one of our streams that the guarantees need otherwise, as they have to be."""
    rules = _NEEDED | (_NEEDED_TO_CUT if can_be_cut(config) else _NEEDED_TO_BE_CUT)
    wrong = {name: needed for name, (needed, absent) in rules.items() if _value(config, name, absent) != needed}
    listed = config.get("subjects") or []
    if subjects.STREAM_SUBJECTS not in listed:
        others = [subject for subject in listed if not _of_ours(subject)]
        wrong["subjects"] = [subjects.STREAM_SUBJECTS, *others]
    if not _republishes(config):
        wrong["republish"] = REPUBLISH_RULE
    transform = config.get("subject_transform")
    if transform and _of_ours(transform.get("src") or ">"):
        wrong["subject_transform"] = None
    return wrong


def changed_settings(config: Config, settings: Settings) -> Config:
    """What a process with these settings has to change on one of our streams; empty when there is nothing.

    A setting is applied when it is another one than was applied last. So a new value of the setting reaches the
    stream, and what an operator has edited since stays. On a stream without that memory nothing is changed but that
    today's settings are remembered.
    """
    values = _values(settings)
    metadata = config.get("metadata") or {}
    remembered = _remembered(values)
    if all(metadata.get(key) == value for key, value in remembered.items()):
        return {}
    changed: Config = {
        field: values[field]
        for field, setting in SETTINGS.items()
        if metadata.get(_key(setting)) not in (None, str(values[field]))
    }
    if "max_age" in changed:
        changed["duplicate_window"] = min(config.get("duplicate_window") or DUPLICATE_WINDOW, changed["max_age"])
    return {**changed, "metadata": {**metadata, **remembered}}


def edited(config: Config, settings: Settings) -> dict[str, Any]:
    """The fields that are other than these settings say, and what they are."""
    return {field: config.get(field) for field, value in _values(settings).items() if config.get(field) != value}


def _values(settings: Settings) -> dict[str, int]:
    return {
        "max_age": int(settings.stream_max_age * 10**9),
        "max_bytes": settings.stream_max_bytes,
        "num_replicas": settings.stream_replicas,
    }


def _remembered(values: dict[str, int]) -> dict[str, str]:
    return {MARK: MARKED} | {_key(setting): str(values[field]) for field, setting in SETTINGS.items()}


def _key(setting: str) -> str:
    return f"busctl.{setting}"


def _value(config: Config, name: str, absent: Any) -> Any:
    value = config.get(name)
    return absent if value is None or value == "" else value


def _republishes(config: Config) -> bool:
    republish = config.get("republish") or {}
    return not republish.get("headers_only") and all(republish.get(end) == ours for end, ours in REPUBLISH_RULE.items())


def _of_ours(subject: str) -> bool:
    return subject.partition(".")[0] in (subjects.STREAM_SUBJECTS.partition(".")[0], "*", ">")
