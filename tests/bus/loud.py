"""Logs everything that could leak or forge, in the format of its argument: run by test_log.py."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket
import ssl
import sys
import threading
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog
from celery.worker.consumer.consumer import INVALID_TASK_ERROR, MESSAGE_DECODE_ERROR, UNKNOWN_FORMAT, UNKNOWN_TASK_ERROR
from pydantic import BaseModel, ValidationError

from bus import BusUnavailable, Settings, Stored, traces
from bus.log import configure_logging
from testbed.planted import CONTENT, SECRET

LOUD = Path(__file__)
FORGED = "x\n2026-01-01T00:00:00Z [error] FORGED\r\x1b[31m\u2028\u2029\u0085\u202e\u2066\u200b\U000e0041\ud83d\x9b"


class Model(BaseModel, extra="forbid"):
    number: int
    counts: dict[str, int] = {}


class WithoutText(BusUnavailable):
    def __str__(self) -> str:
        raise ValueError(CONTENT)


ODD = (
    OSError(CONTENT, SECRET),
    OSError(2**40, CONTENT),
    ssl.SSLCertVerificationError(1, CONTENT),
    socket.gaierror(socket.EAI_NONAME, CONTENT),
    socket.herror(1, CONTENT),
    WithoutText(CONTENT),
)


def raising(api_key: str) -> None:
    message = f"{api_key} {CONTENT}"
    try:
        Model.model_validate({"number": message})
    except ValueError as error:
        raise LookupError(message) from error


def caught(name: str, logger: Any, error: BaseException | None = None) -> None:
    try:
        if error is not None:
            raise error
        raising(SECRET)
    except BaseException:
        logger.exception(name)


async def unawaited() -> None:
    async def fail(content: str) -> None:
        raise ValueError(content)

    task = asyncio.create_task(fail(CONTENT))
    await asyncio.wait({task})
    del task
    gc.collect()

    def callback(content: str) -> None:
        raise ValueError(content)

    asyncio.get_running_loop().call_soon(callback, CONTENT)
    await asyncio.sleep(0)
    await asyncio.sleep(0)


class Unraisable:
    def __del__(self) -> None:
        raise ValueError(CONTENT)


def recurse(content: str) -> None:
    recurse(content)


def main() -> None:
    configure_logging(Settings.load(log_format=sys.argv[1]), whole_process=True)
    log, foreign = structlog.get_logger(), logging.getLogger("a.job")

    log.warning(
        FORGED, **{FORGED: FORGED, "nested": {FORGED: [FORGED, (FORGED,)]}, "number": float("nan"), "big": 10**5000}
    )
    foreign.warning("%s", FORGED)
    caught(FORGED, foreign, type(f"Odd{FORGED[:-2]}", (Exception,), {})(FORGED))
    log.warning("shown whole", family="👩‍👩‍👧 ❤️ می‌خواهم", path=r"C:\new")

    caught("ours", log)
    caught("foreign", foreign)
    caught("recursion", log, _recursion())
    caught(
        "group", log, ExceptionGroup(CONTENT, [ValueError(CONTENT), ExceptionGroup("", [OSError(28, CONTENT, SECRET)])])
    )
    caught("known", log, BusUnavailable("NATS is away"))
    for error in (*ODD, _invalid(), _untrusted()):
        caught("odd", log, error)
    log.warning("as a value", error=ValueError(SECRET), long="y" * 100_000)

    settings = Settings.load(nats_url=f"nats://u:{SECRET}@127.0.0.1", secret=SECRET)
    values = {"path": LOUD, "data": CONTENT.encode(), "settings": settings, "secret": settings.secret}
    log.warning("objects", **values, nested=[Stored(1, "x", CONTENT.encode()), {"event": Model(number=1)}])

    celery = logging.getLogger("celery.worker.consumer.consumer")
    celery.error(UNKNOWN_TASK_ERROR, KeyError("jobs.other"), CONTENT, {"argsrepr": CONTENT}, {}, exc_info=True)
    celery.error(INVALID_TASK_ERROR, ValueError(CONTENT), CONTENT)
    celery.critical(MESSAGE_DECODE_ERROR, ValueError(CONTENT), "text", "utf-8", f"{{{CONTENT!r}}}", CONTENT)
    celery.warning(UNKNOWN_FORMAT, CONTENT)
    celery.error("Task handler raised error: %r", ValueError(CONTENT))
    celery.error("%d of %s", ValueError(CONTENT), [CONTENT])
    logging.getLogger("celery.app.trace").error(
        "Task %(name)s[%(id)s] %(description)s: %(exc)s\n%(traceback)s",
        {"name": "jobs.x", "id": "1", "description": "raised", "exc": CONTENT, "traceback": CONTENT, "args": CONTENT},
    )
    os.environ["OTEL_EXPORTER_OTLP_HEADERS"] = f"Authorization: Bearer {SECRET}"
    traces.require(Settings.load(traces="otlp"))
    logging.getLogger("urllib3.connectionpool").warning("Retrying after %r: %s", ConnectionError(SECRET), "/v1/traces")
    foreign.warning("%d", CONTENT)
    warnings.warn(f"one\n{FORGED}", stacklevel=1)

    asyncio.run(unawaited())
    Unraisable()
    thread = threading.Thread(target=raising, args=(SECRET,))
    thread.start()
    thread.join()
    raising(SECRET)


def _recursion() -> RecursionError:
    with suppress(AssertionError):
        try:
            recurse(CONTENT)
        except RecursionError as error:
            return error
    raise AssertionError


def _invalid() -> ValidationError:
    with suppress(AssertionError):
        try:
            Model.model_validate({"number": 1, "counts": {SECRET: "x"}, CONTENT: 1})
        except ValidationError as error:
            return error
    raise AssertionError


def _untrusted() -> ssl.SSLError:
    """What a TLS handshake raises that is answered in plain text."""
    tls = ssl.create_default_context().wrap_bio(incoming := ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="x")
    incoming.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    with suppress(AssertionError):
        try:
            tls.do_handshake()
        except ssl.SSLError as error:
            return error
    raise AssertionError


if __name__ == "__main__":
    main()
