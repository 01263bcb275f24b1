"""Log records of the libraries beneath, without what they quote: bodies of messages, arguments, exceptions."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from bus.tracebacks import described

LIBRARIES = frozenset(
    [
        *("amqp", "asyncio", "billiard", "celery", "concurrent", "hypercorn", "kombu", "nats", "opentelemetry", "py"),
        *("quart", "redis", "requests", "urllib3"),
    ]
)
"""First parts of the names of their loggers; `py.warnings` is the standard library's."""

_CUT_AFTER = (
    "Can't decode message body",  # celery: then the headers and the body
    "Exception in callback",  # asyncio: then the arguments of the callback
    "Header format invalid!",  # opentelemetry: then the headers for its collector
    "TaskPool: Apply",  # celery, at debug level: then the task's arguments
    "UNABLE TO RESTORE",  # kombu: then the messages that it holds
)
_PLAIN = (str, int, float, type(None))
_CELERY_FACTS = frozenset(["hostname", "id", "name", "description", "runtime"])
"""What Celery's tracer may tell of a task, whose arguments, exception and result it knows as texts too."""


class LibraryRecords(logging.Filter):
    """Rewrites each record of a library: one line, and no argument that is not plain text or number.

    Celery logs the whole body of a task that it does not know behind the first line, asyncio the `repr` of a task
    with that of its exception; exceptions stand in many messages. What jobs and applications log by themselves stays
    as they wrote it.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Always True."""
        if not hasattr(record, "_logger") and record.name.partition(".")[0] in LIBRARIES:
            try:
                record.msg = _message(record)
            except (TypeError, ValueError, KeyError):  # a `%d` for what is not a number here
                record.msg = str(record.msg).partition("\n")[0]
            record.args = ()
        return True


def _message(record: logging.LogRecord) -> str:
    template: object = record.msg
    if isinstance(template, BaseException):
        return described(template)
    text = str(template)
    for prefix in _CUT_AFTER:
        if text.startswith(prefix):
            return f"{prefix} …"
    if isinstance(record.args, Mapping):
        text %= {key: _told(value) if key in _CELERY_FACTS else "…" for key, value in record.args.items()}
    elif record.args:
        text %= tuple(map(_told, record.args))
    first, *more = text.strip().splitlines() or [""]
    return f"{first.removesuffix(' …')} …" if more else first


def _told(value: Any) -> Any:
    if isinstance(value, BaseException):
        return _Named(described(value))
    return value if isinstance(value, _PLAIN) else _Named(f"<{type(value).__qualname__}>")


class _Named:
    """Stands for a value in a message, for `%s` and `%r` alike."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name
