"""Standard input, output and error as commands use them, whatever they are connected to, closed ones included."""

from __future__ import annotations

import errno
import io
import os
import re
import sys

from cli.errors import CommandFailed, Unread

LARGEST_INPUT = 1024 * 1024
"""Bytes that are read from standard input."""


class StandardOutput(io.TextIOWrapper):
    """Ends the command when what it prints cannot be written.

    `write` and `flush` raise `Unread` when nobody reads any more, and `CommandFailed` with the reason for a full disk
    and everything else.
    """

    def write(self, text: str, /) -> int:
        """Write, or raise."""
        try:
            return super().write(text)
        except OSError as error:
            raise self._failure(error) from error

    def flush(self) -> None:
        """Flush, or raise."""
        try:
            super().flush()
        except OSError as error:
            raise self._failure(error) from error

    def _failure(self, error: OSError) -> CommandFailed:
        _discard(self.fileno())  # what is still in the buffer
        if error.errno == errno.EPIPE:
            return Unread()
        return CommandFailed(f"cannot write to standard output: {error.strerror}")


class StandardError(io.TextIOWrapper):
    """Loses what cannot be written: there is nowhere left to say so. That nobody reads is still an `OSError`."""

    def write(self, text: str, /) -> int:
        """Write if possible."""
        try:
            return super().write(text)
        except OSError as error:
            self._failed(error)
            return len(text)

    def flush(self) -> None:
        """Flush if possible."""
        try:
            super().flush()
        except OSError as error:
            self._failed(error)

    def _failed(self, error: OSError) -> None:
        if error.errno == errno.EPIPE:
            raise error
        _discard(self.fileno())


def open_standard_streams() -> None:
    """Give this process standard streams that behave as above, and that show `?` for what they cannot encode.

    A closed one becomes `/dev/null`, so that no socket gets its number; an output is opened for reading there, and
    writing to it fails as it must.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR if descriptor == 2 else os.O_RDONLY)
    sys.stdout = _wrapped(StandardOutput, sys.stdout, 1)
    sys.stderr = _wrapped(StandardError, sys.stderr, 2)


def forget_odd_sizes() -> None:
    """Take from the environment what is not a terminal's size: Rich shows nothing in 0 columns, and fails with `²`."""
    for name in ("COLUMNS", "LINES"):
        if not re.fullmatch(r"[1-9][0-9]{0,3}", os.environ.get(name, "1")):
            del os.environ[name]


def flush_standard_streams() -> None:
    """Write what is left, so that Python's own end has nothing to complain of.

    Raises:
        CommandFailed: standard output could not be written; see `StandardOutput`.
    """
    try:
        sys.stderr.flush()
    except OSError:
        _discard(2)
    sys.stdout.flush()


def _wrapped(kind: type[io.TextIOWrapper], stream: object, descriptor: int) -> io.TextIOWrapper:
    encoding = "utf-8"
    if isinstance(stream, io.TextIOWrapper):
        encoding = stream.encoding
        stream.flush()
    raw = io.FileIO(descriptor, "w", closefd=False)
    # Not shared with the stream that Python made, which closes its own buffer.
    return kind(io.BufferedWriter(raw), encoding=encoding, errors="replace", line_buffering=True)


def _discard(descriptor: int) -> None:
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, descriptor)
    os.close(null)


def given(argument: str, what: str) -> str:
    """The text that an argument stands for: `-` is what comes on standard input, up to its last newline.

    Args:
        argument: as it was typed.
        what: names the text in errors, such as "message".

    Raises:
        CommandFailed: standard input is closed, empty, too long, or no UTF-8.
    """
    if argument != "-":
        return argument
    if os.isatty(0):
        print(f"reading the {what} from this terminal; Ctrl+D ends it", file=sys.stderr)
    try:
        with open(0, "rb", closefd=False) as stream:
            data = stream.read(LARGEST_INPUT + 1)
    except OSError as error:
        raise CommandFailed(f"cannot read the {what} from standard input: {error.strerror}") from error
    if len(data) > LARGEST_INPUT:
        raise CommandFailed(f"the {what} on standard input has more than {LARGEST_INPUT:,} bytes; send less")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CommandFailed(
            f"the {what} on standard input is not valid UTF-8 at byte {error.start + 1}; encode it so"
        ) from None
    text = text.removesuffix("\n").removesuffix("\r")
    if not text.strip():
        raise CommandFailed(f"there is no {what} on standard input; nothing was sent")
    return text
