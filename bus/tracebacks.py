"""What is told of an exception in a log: types and places, never local variables, and a message only if it is known
to hold nothing of what clients wrote and no secret."""

from __future__ import annotations

import errno
import os
import re
import socket
import ssl
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType

from pydantic import ValidationError

from bus.errors import BusError, InvalidName

MOST_EXCEPTIONS = 20
"""Exceptions of one chain or group that are told."""
MOST_FRAMES = 40
"""Frames of one exception: the outermost fifth, and the innermost."""

_CAUSE = "The above exception was the direct cause of the following exception:"
_CONTEXT = "During handling of the above exception, another exception occurred:"
_MEMBER = "The exception group above has this member:"

_KNOWN_MESSAGES = {
    ("nats.errors", "Error"),
    ("redis.exceptions", "BusyLoadingError"),
    ("redis.exceptions", "ConnectionError"),
    ("redis.exceptions", "OutOfMemoryError"),
    ("redis.exceptions", "ReadOnlyError"),
    ("redis.exceptions", "TimeoutError"),
}
"""Classes of libraries whose messages name servers and states alone."""

_ADDRESS_ERRORS = {code: name for name, code in vars(socket).items() if name.startswith("EAI_")}
_TLS_REASON = re.compile(r"[A-Z0-9_]+")


def described(error: BaseException) -> str:
    """The exception's type, and what may be told of it.

    A message can quote anything: the job's content, a key, a URL with its password. So it is left out, but for errors
    whose messages are written by this project or by servers. An `OSError` tells what the system says, not which file.
    """
    told = type(error).__qualname__
    try:
        message = _message(error)
    except Exception:  # its attributes may be anything; its traceback is told all the same
        message = ""
    return f"{told}: {message}" if message else told


@dataclass(frozen=True, slots=True)
class Told:
    """One exception of a chain.

    Args:
        relation: how it follows from the one before; empty for the first.
        exception: as `described`.
        frames: file, line and function, the innermost last.
        left_out: frames in the middle that are not among them.
    """

    relation: str
    exception: str
    frames: tuple[tuple[str, int, str], ...]
    left_out: int

    def record(self) -> dict[str, object]:
        """For programs."""
        frames = [{"file": file, "line": line, "function": function} for file, line, function in self.frames]
        record: dict[str, object] = {"exception": self.exception, "frames": frames}
        if self.left_out:
            record["frames_left_out"] = self.left_out
        if self.relation:
            record["relation"] = self.relation
        return record

    def lines(self) -> Iterator[str]:
        """For people, as Python prints it but for the source."""
        if self.relation:
            yield f"  {self.relation}"
        if self.frames:
            yield "Traceback (most recent call last):"
        for number, (file, line, function) in enumerate(self.frames):
            if self.left_out and number == MOST_FRAMES // 5:
                yield f"  … {self.left_out} frames"
            yield f'  File "{file}", line {line}, in {function}'
        yield self.exception


def told(error: BaseException, trace: TracebackType | None = None) -> list[Told]:
    """The exception and what led to it, the oldest first, then the members of a group.

    Args:
        trace: its traceback, when the exception has none itself because it was raised in another process.
    """
    return [_told(relation, one, trace if one is error else None) for relation, one in _chain(error)]


def _told(relation: str, error: BaseException, trace: TracebackType | None) -> Told:
    frames = list(_frames(error.__traceback__ or trace))
    left_out = max(0, len(frames) - MOST_FRAMES)
    if left_out:
        first = MOST_FRAMES // 5
        frames = frames[:first] + frames[first + left_out :]
    return Told(relation, described(error), tuple(frames), left_out)


def _frames(trace: TracebackType | None) -> Iterator[tuple[str, int, str]]:
    while trace is not None:
        code = trace.tb_frame.f_code
        # billiard hands on the traceback of another process as objects of its own, without `co_qualname`.
        yield code.co_filename, trace.tb_lineno or 0, getattr(code, "co_qualname", code.co_name)
        trace = trace.tb_next


def _chain(error: BaseException) -> list[tuple[str, BaseException]]:
    found: list[tuple[str, BaseException]] = []
    seen = {id(error)}
    one = error
    while len(found) < MOST_EXCEPTIONS:
        before = one.__cause__
        relation = _CAUSE
        if before is None and not one.__suppress_context__:
            before, relation = one.__context__, _CONTEXT
        if before is None or id(before) in seen:
            relation = ""
        found.append((relation, one))
        if before is None or id(before) in seen:
            break
        seen.add(id(before))
        one = before
    found.reverse()
    if isinstance(error, BaseExceptionGroup):
        members = (part for member in _flat(error) for part in [(_MEMBER, member)])
        found.extend(part for part, _ in zip(members, range(MOST_EXCEPTIONS), strict=False))
    return found


def _flat(group: BaseExceptionGroup[BaseException]) -> Iterable[BaseException]:
    for member in group.exceptions:
        if isinstance(member, BaseExceptionGroup):
            yield from _flat(member)
        else:
            yield member


def _message(error: BaseException) -> str:
    if isinstance(error, InvalidName):
        return f"a {error.kind} that cannot be used"
    if isinstance(error, ValidationError):  # where it is wrong can be a key that a client wrote
        return "; ".join(item["type"] for item in error.errors(include_input=False, include_context=False)[:5])
    if isinstance(error, BusError) or any(
        (kind.__module__, kind.__qualname__) in _KNOWN_MESSAGES for kind in type(error).__mro__
    ):
        return str(error)
    return _of_the_system(error) if isinstance(error, OSError) else ""


def _of_the_system(error: OSError) -> str:
    """What the number of an error means, if that is one of the system: its texts can be those of whoever raised it."""
    if isinstance(error, ssl.SSLError):
        reason = getattr(error, "reason", None) or ""
        return reason.lower().replace("_", " ") if _TLS_REASON.fullmatch(reason) else ""
    if isinstance(error, socket.gaierror):
        return _ADDRESS_ERRORS.get(error.errno, "")
    if error.errno is None or error.errno not in errno.errorcode or isinstance(error, socket.herror):
        return ""
    return os.strerror(error.errno)
