"""SyncBus: the bus for synchronous code, such as Celery tasks and scripts.

with SyncBus(Settings.load()) as bus:
    bus.broadcast_event(SystemNotification(payload="hello"))
"""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from types import TracebackType
from typing import Any, Self, TypeVar

import structlog

from bus.client import Bus
from bus.errors import BusUnavailable
from bus.messages import Event
from bus.settings import Settings

T = TypeVar("T")

CLOSE_GRACE = 3.0
"""Seconds past `append_timeout` that closing may take when NATS is frozen."""

log = structlog.get_logger(__name__)


class _Life:
    """What one process has: a loop on a thread, and the bus on that loop."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.loop: asyncio.AbstractEventLoop | None = None
        self.thread: threading.Thread | None = None
        self.bus: Bus | None = None
        self.worked = False
        """Whether the bus was ready ever."""
        self.closed = False


class SyncBus:
    """The verbs of `Bus` for threads. It connects on first use and may be shared by all threads of a process.

    It heals as `Bus` does, between uses too. One daemon thread runs an event loop with one NATS connection. A fork
    does not inherit them: the child makes its own on first use, so prefork, threads and solo pools of Celery all work.

    Args:
        settings: where NATS is, and the deadlines.
        name: how this process appears in NATS monitoring.
        update_stream, declare: as for `Bus`.
    """

    def __init__(
        self, settings: Settings, *, name: str = "busctl", update_stream: bool = False, declare: bool = True
    ) -> None:
        self.on_lost: Callable[[str], None] | None = None
        """As for `Bus`, called on the bus's own thread; set it before the first use."""
        self.on_change: Callable[[bool], None] = lambda works: None
        """As for `Bus`, called on the bus's own thread; set it before the first use."""
        self.on_death: Callable[[], None] = lambda: None
        """Called on the bus's own thread when an error ends that thread; set it before the first use."""
        self._settings = settings
        self._name = name
        self._update_stream = update_stream
        self._declare = declare
        self._life = _Life()
        # A forked child has no thread of its parent's: it starts afresh, with a lock nobody holds.
        reference = weakref.ref(self)
        os.register_at_fork(after_in_child=lambda: _forget_if_alive(reference))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def begin(self) -> None:
        """Connect from now on, without waiting for it."""
        self._start(self._begun)

    def call(self, verb: Callable[[Bus], Coroutine[Any, Any, T]], *, timeout: float | None = None) -> T:
        """Run `verb` with the connected `Bus` on the bus's own loop and wait for its answer.

        Args:
            verb: for example `lambda bus: job_log.read(bus.stream, client_id, job_id)`.
            timeout: deadline in seconds; by default enough for connecting and a few requests.

        Whatever is raised in this thread meanwhile, such as `KeyboardInterrupt`, `verb` is cancelled then.

        Raises:
            BusUnavailable: NATS is away, refuses us, the deadline passed, or the bus was closed; and whatever `verb`
                raises.
        """
        deadline = timeout or self._settings.connect_timeout + 4 * self._settings.append_timeout
        future = self._start(lambda life: self._with_bus(life, verb))
        try:
            return future.result(deadline)
        except FutureTimeoutError as error:
            raise BusUnavailable(f"the bus did not answer within {deadline:g} s; try again", maybe_done=True) from error
        except CancelledError as error:
            raise BusUnavailable("the bus was closed before it answered", maybe_done=True) from error
        finally:
            future.cancel()  # nobody waits for it any more

    def send_event(self, event: Event, client_id: str) -> int:
        """Store an event for every connection of one client; see `Bus.send_event`."""
        return self.call(lambda bus: bus.send_event(event, client_id))

    def broadcast_event(self, event: Event, groups: Iterable[str] = ("system",)) -> list[int]:
        """Store an event for every connection in each of `groups`; see `Bus.broadcast_event`."""
        return self.call(lambda bus: bus.broadcast_event(event, groups))

    def close(self) -> None:
        """Drain the connection, end the thread and what others wait for. The bus connects again if it is used again."""
        life, self._life = self._life, _Life()
        with life.lock:
            life.closed = True
            if life.loop is None or life.thread is None:
                return
            try:
                asyncio.run_coroutine_threadsafe(_disconnect(life), life.loop).result(
                    self._settings.append_timeout + CLOSE_GRACE
                )
            except FutureTimeoutError:
                log.warning("the bus did not drain in time; what was acknowledged is stored")
            life.loop.call_soon_threadsafe(life.loop.stop)
            life.thread.join(self._settings.append_timeout)

    def _forget(self) -> None:
        self._life = _Life()

    def _start(self, work: Callable[[_Life], Coroutine[Any, Any, T]]) -> Future[T]:
        """Begin something on the loop, which is begun first if need be."""
        life = self._life
        with life.lock:  # so that nothing begins on a loop that is about to end
            if life.closed:
                raise BusUnavailable("the bus was closed meanwhile; try again")
            if life.loop is None:
                life.loop = asyncio.new_event_loop()
                life.thread = threading.Thread(target=self._run, args=(life.loop,), name="bus", daemon=True)
                life.thread.start()
            return asyncio.run_coroutine_threadsafe(work(life), life.loop)

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
        except BaseException:  # such as that of a poll, when somebody has closed all files of this process
            log.critical("the thread of the bus has ended", exc_info=True)
            self.on_death()
        else:
            if unfinished := asyncio.all_tasks(loop):  # other threads wait for them
                for task in unfinished:
                    task.cancel()
                loop.run_until_complete(asyncio.wait(unfinished, timeout=CLOSE_GRACE))
        finally:
            loop.close()

    async def _begun(self, life: _Life) -> Bus:
        if life.bus is None:
            life.bus = Bus(self._settings, name=self._name, update_stream=self._update_stream, declare=self._declare)
            life.bus.on_lost = self.on_lost
            life.bus.on_change = self.on_change
            life.bus.begin()
        return life.bus

    async def _with_bus(self, life: _Life, verb: Callable[[Bus], Coroutine[Any, Any, T]]) -> T:
        bus = await self._begun(life)
        if not life.worked:
            await bus.ready()
            life.worked = True
        return await verb(bus)


async def _disconnect(life: _Life) -> None:
    if life.bus is not None:
        await life.bus.close()


def _forget_if_alive(reference: weakref.ref[SyncBus]) -> None:
    bus = reference()
    if bus is not None:
        bus._forget()
