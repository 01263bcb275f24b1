"""Log lines: one way for every process, for people or for machines.

Whatever is logged, by whom ever: one event is one line, or one traceback below it, that nobody outside can forge; and
no line tells local variables, what clients wrote, or a secret.
"""

from __future__ import annotations

import logging
import math
import sys
import threading
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any
from uuid import UUID

import structlog
from pydantic import SecretStr

from bus.escape import escaped
from bus.library_log import LibraryRecords
from bus.settings import Settings
from bus.tracebacks import Told, described, told

LONGEST_LOGGED = 2000
"""Characters of one value of a line."""
DEEPEST = 5
"""Levels of a value of dictionaries and lists."""

_BARE = frozenset(["event", "level", "timestamp", "exception"])
"""Keys whose texts stand in a line for people as they are."""

log = structlog.get_logger(__name__)


def configure_logging(settings: Settings, *, whole_process: bool = False) -> None:
    """Send structlog and the standard library's loggers to standard error, in the format the settings ask for.

    Args:
        settings: `log_level` and `log_format`.
        whole_process: this process is all ours: warnings, and exceptions that nobody caught, are log lines too.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if settings.log_format == "json":
        last: list[structlog.typing.Processor] = [
            _exceptions_as_records,
            _escape_all,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ]
    else:
        last = [
            _exceptions_as_text,
            _escape_all,
            _quote_values,
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=0),
        ]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
    )
    handler = Handler(sys.stderr)
    handler.setFormatter(formatter)
    handler.addFilter(LibraryRecords())
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler], force=True)
    for name in ("hypercorn.error", "hypercorn.access"):  # hypercorn's own command gives them handlers, sooner or later
        logger = logging.getLogger(name)
        if not any(isinstance(one, SafeRecords) for one in logger.filters):
            logger.addFilter(SafeRecords())
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(settings.log_level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    if whole_process:
        logging.captureWarnings(True)
        sys.excepthook = _uncaught
        threading.excepthook = _uncaught_in_thread
        sys.unraisablehook = _unraisable


def log_to_their_loggers() -> None:
    """Leave it to a program that is not ours what it shows, by the standard library's loggers; unless it uses structlog
    itself, and has said."""
    if not structlog.is_configured():
        structlog.configure(
            processors=[
                structlog.stdlib.filter_by_level,
                _exceptions_as_text,
                _escape_all,
                structlog.processors.KeyValueRenderer(key_order=["event"]),
            ],
            wrapper_class=structlog.stdlib.BoundLogger,
            logger_factory=structlog.stdlib.LoggerFactory(),
        )


class Handler(logging.StreamHandler[Any]):
    """Writes lines. Of a record that cannot be made one it says whose it was, and not what: that may be secret."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name is logging's
        """Write another line instead, unless it is the stream that fails."""
        error = sys.exc_info()[1]
        what = f"a log record of {record.name} could not be shown: {type(error).__name__}"
        instead = logging.LogRecord(record.name, logging.ERROR, record.pathname, record.lineno, what, None, None)
        try:
            self.stream.write(self.format(instead) + self.terminator)
            self.flush()
        except Exception:  # there is nowhere left to say it
            return


class SafeRecords(logging.Filter):
    """Makes the records of a logger safe for whatever handlers and formats it has."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Always True."""
        record.msg, record.args = _text(record.getMessage()), ()
        if record.exc_info and record.exc_info[1] is not None:
            lines = [line for one in told(record.exc_info[1]) for line in one.lines()]
            record.exc_text = "\n".join(map(_text, lines))  # which formatters take instead of their own
        return True


def _exceptions_as_records(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    if chain := _exceptions(event):
        event["exception"] = [one.record() for one in chain]
    return event


def _exceptions_as_text(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    if chain := _exceptions(event):
        event["exception"] = Lines(line for one in chain for line in one.lines())
    return event


def _exceptions(event: structlog.typing.EventDict) -> list[Told]:
    given = event.pop("exc_info", None)
    trace = None
    if given is True or given == 1:
        given = sys.exc_info()
    if isinstance(given, tuple):
        _, given, trace = given
    return told(given, trace) if isinstance(given, BaseException) else []


class Lines(tuple[str, ...]):
    """Texts that may stand on lines of their own; each is escaped alone."""


def _escape_all(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Every key and value of a line, made safe to show. Its last word before a renderer."""
    return {_text(key): _safe(value) for key, value in event.items()}


class Quoted:
    """Stands for a text with spaces, which the renderer shows by its `repr`: that of a text would escape it again."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        quote = '"' if "'" in self._text and '"' not in self._text else "'"
        return quote + self._text.replace(quote, "\\" + quote) + quote


def _quote_values(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    for key, value in event.items():
        if key not in _BARE and isinstance(value, str) and not set(value).isdisjoint(" ='\""):
            event[key] = Quoted(value)
    return event


def _safe(value: object, level: int = 0) -> Any:
    match value:
        case Lines():
            return "\n".join(map(_text, value))
        case int() if value.bit_length() > 64:
            return f"a number of {value.bit_length()} bits"  # Python refuses to write one of 4,300 digits
        case None | bool() | int():
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case str():
            return _text(value)
        case BaseException():
            return _text(described(value))
        case dict() if level < DEEPEST:
            return {_text(key): _safe(one, level + 1) for key, one in value.items()}
        case list() | tuple() | set() | frozenset() if level < DEEPEST and not hasattr(value, "_fields"):
            return [_safe(one, level + 1) for one in value]
        case bytes() | bytearray() | memoryview():
            return f"{len(value)} bytes"
        case Path() | UUID() | Decimal() | date() | timedelta() | SecretStr():
            return _text(str(value))
        case _:  # a model, an event, which is a named tuple, a task: what it holds is not for a log
            return _text(f"<{type(value).__qualname__}>")


def _text(value: object) -> str:
    text = value if isinstance(value, str) else str(value)
    return escaped(text) if len(text) <= LONGEST_LOGGED else escaped(text[:LONGEST_LOGGED]) + "…"


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
    else:
        log.error("an error ends this process", exc_info=error.with_traceback(trace))


def _uncaught_in_thread(arguments: threading.ExceptHookArgs) -> None:
    if not issubclass(arguments.exc_type, SystemExit):
        name = arguments.thread.name if arguments.thread is not None else None
        log.error("an error ended a thread", thread=name, exc_info=arguments.exc_value)


def _unraisable(unraisable: Any) -> None:
    where = getattr(unraisable.object, "__qualname__", type(unraisable.object).__qualname__)
    log.error("an error that could not be raised", where=where, exc_info=unraisable.exc_value)


def warn_of_unknown_settings() -> None:
    """Say at a start which variables look like settings and are none: one that is misspelt changes nothing."""
    if unknown := Settings.unknown():
        structlog.get_logger(__name__).warning("these variables are no settings of busctl", variables=unknown)
