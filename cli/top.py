"""`busctl top`: how the system stands and which jobs run, as it changes."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from contextlib import suppress
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live

from bus import Bus, BusError, Settings, nats_url
from bus.end_signals import end_signals
from bus.ending import cancellable
from bus.job_log import DEFAULT_QUEUE
from cli.errors import CommandFailed, Interrupted
from cli.keys import pressed
from cli.options import AsJson, NoColor, Quiet, Server, Timeout, client_settings, seconds
from cli.output import Output
from cli.top_view import ORDERS, screen
from workers.state.redis_state import look_at_redis
from workers.state.system import WITHIN, SystemState, look, observer

QUIT = ("q", "Q", "\x1b", "\x04")
"""Escape and Ctrl+D too."""

Interval = Annotated[
    float, typer.Option("--interval", metavar="SECONDS", callback=seconds(0.5, 3600), help="Time between two looks.")
]


def top(
    interval: Interval = 1,
    server: Server = None,
    timeout: Timeout = 1.2,
    as_json: AsJson = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Show how the system stands, and which jobs run, until q is pressed.

    Keys: t, y, c and w sort by time, type, client and worker. With --json it prints what 'busctl status --json' does,
    again and again.

    Example: busctl top --interval 5
    """
    if not as_json and not sys.stdout.isatty():
        raise CommandFailed("top needs a terminal; use 'busctl status', or --json")
    settings = client_settings(server, timeout)
    try:
        output = Output(as_json=as_json, quiet=quiet)
        asyncio.run(cancellable(_print(settings, interval, output) if as_json else _show(settings, interval)))
    except KeyboardInterrupt:
        raise Interrupted("interrupted") from None


async def _look(bus: Bus, settings: Settings) -> SystemState:
    redis = asyncio.create_task(look_at_redis(settings, [DEFAULT_QUEUE], WITHIN), name="look at Redis")
    return await look(bus, settings, redis, fresh=False)


async def _begin(bus: Bus) -> None:
    """NATS may be away, now and later."""
    bus.begin()
    with suppress(BusError):
        await bus.ready()


async def _print(settings: Settings, interval: float, output: Output) -> None:
    bus = observer(settings, "busctl top")
    try:
        await _begin(bus)
        while True:
            output.record(**(await _look(bus, settings)).record())
            await asyncio.sleep(interval)
    finally:
        await bus.close()


async def _show(settings: Settings, interval: float) -> None:
    bus = observer(settings, "busctl top")
    try:
        await _begin(bus)
        with Live(console=Console(highlight=False), screen=True, auto_refresh=False) as live:
            top = Top(live, nats_url.redacted(settings.nats_url))
            with pressed(top.press):
                await top.run(bus, settings, interval)
    finally:
        await bus.close()


class Top:
    """What is shown, and in which order.

    Args:
        live: where.
        where: the address of NATS.
    """

    def __init__(self, live: Live, where: str) -> None:
        self._live = live
        self._where = where
        self._order = next(iter(ORDERS))
        self._over = asyncio.Event()
        self._system: SystemState | None = None
        self._seen: tuple[int, float] | None = None
        """The stream's last sequence, and when that was."""
        self._rate: float | None = None

    def press(self, key: str) -> None:
        """A key was pressed."""
        if key in QUIT:
            self._over.set()
        elif key.lower() in ORDERS:
            self._order = key.lower()
            self._draw()

    async def run(self, bus: Bus, settings: Settings, interval: float) -> None:
        """Look now and then, until it is over."""
        loop = asyncio.get_running_loop()
        for number in end_signals():
            loop.add_signal_handler(number, self._over.set)
        loop.add_signal_handler(signal.SIGTSTP, self._step_aside)
        while not self._over.is_set():
            self._take(await _look(bus, settings))
            self._draw()
            with suppress(TimeoutError):
                async with asyncio.timeout(interval):
                    await self._over.wait()

    def _step_aside(self) -> None:
        """Ctrl+Z: the shell gets the screen with what was on it before, until it has this go on."""
        loop = asyncio.get_running_loop()
        loop.remove_signal_handler(signal.SIGTSTP)
        self._live.stop()
        signal.raise_signal(signal.SIGTSTP)
        self._live.start()
        loop.add_signal_handler(signal.SIGTSTP, self._step_aside)
        self._draw()

    def _take(self, system: SystemState) -> None:
        self._system = system
        last, now = system.nats.stream.last_seq, time.monotonic()
        self._rate = None
        if self._seen is not None and last is not None and last >= self._seen[0]:
            self._rate = (last - self._seen[0]) / max(0.001, now - self._seen[1])
        self._seen = None if last is None else (last, now)

    def _draw(self) -> None:
        if self._system is None:
            return
        width, height = self._live.console.size
        title = f"busctl top   {self._where}   {time.strftime('%H:%M:%S')}"
        shown = screen(self._system, self._order, title=title, rate=self._rate, width=width, height=height)
        self._live.update(shown, refresh=True)
