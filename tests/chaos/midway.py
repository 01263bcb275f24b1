"""What goes wrong in the middle of something: while jobs write, wait or run, or while a worker reconciles."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from bus import Bus, BusError, SystemNotification, subjects
from tests.chaos import slots
from tests.chaos.schedule import Scene, fault
from tests.chaos.world import kill_quietly, until
from workers.schedule import EPOCH

REPLACED_WITHIN = 25.0
"""Seconds within which the jobs of a frozen worker are taken over, unless something else is broken too."""

FLOOD_ENDS = 40.0
"""Seconds after which a flood ends that has cut nothing, because nobody made room."""
FLOOD_EVENT = 16 * 1024
"""Bytes of one event of a flood."""
FLOOD_UP_TO = 0.8
"""The share of the stream up to which a flood goes: past 90 % new jobs are refused, and soon everything."""
FLOOD_PAUSE = 0.05
"""Seconds between two looks of a flood that is too fast."""


@fault("writer", 4)
async def worker_child_killed_while_it_writes(scene: Scene) -> None:
    """kill -9 for the process whose job is writing: a child, or the whole worker where that has no children."""
    writers = await scene.writers(scene.server)
    for _, pid in list(writers.values())[:1]:
        if pid == scene.server.pid:
            await asyncio.to_thread(scene.server.kill)
            await scene.world.start_again(scene.server)
        else:
            kill_quietly(pid)


@fault("writer", 2)
async def worker_frozen_past_its_replacement(scene: Scene) -> None:
    """SIGSTOP for a worker whose jobs write, until they are taken from it; then it goes on where it was."""
    writers = await scene.writers(scene.server)
    scene.server.pause()

    def replaced() -> bool:
        return not any(
            steps[-1].running and steps[-1].attempt == attempt
            for key, (attempt, _) in writers.items()
            if (steps := scene.history.steps(key))
        )

    try:
        if await until(replaced, REPLACED_WITHIN) and writers:
            scene.world.injected["(frozen and replaced)"] += 1
    finally:
        scene.server.resume()


@fault("nats", 3)
async def nats_stopped_while_jobs_write(scene: Scene) -> None:
    """NATS away while pieces of answers are on their way."""
    await scene.writers()
    await scene.world.stop(scene.server)
    await asyncio.sleep(scene.rng.uniform(0, 6))
    await scene.world.start_again(scene.server)


@fault("reconciler", 3)
async def reconciler_killed(scene: Scene) -> None:
    """kill -9 for the worker that reconciles."""
    await asyncio.to_thread(scene.server.kill)
    await asyncio.sleep(scene.rng.uniform(0, 6))
    await scene.world.start_again(scene.server)


@fault("reconciler", 3)
async def scheduler_killed_at_a_slot(scene: Scene) -> None:
    """kill -9 for the worker that reconciles at the moment at which a slot comes."""
    now = datetime.now(UTC)
    slot = EPOCH + ((now - EPOCH) // slots.PERIOD + 1) * slots.PERIOD
    await asyncio.sleep((slot - now).total_seconds() + scene.rng.uniform(-0.005, 0.03))
    await asyncio.to_thread(scene.server.kill)
    await asyncio.sleep(scene.rng.uniform(0, 6))
    await scene.world.start_again(scene.server)


@fault("reconciler", 2)
async def reconciler_frozen(scene: Scene) -> None:
    """SIGSTOP for the worker that reconciles, until another one does; then there are two for a moment."""
    scene.server.pause()
    try:
        await until(lambda: scene.world.reconciler is not scene.server, 12)
    finally:
        scene.server.resume()


@fault("history", 3)
async def history_flooded(scene: Scene) -> None:
    """Somebody else's events fill the stream until all that was stored before them is cut."""
    bus = Bus(scene.world.settings, name="flood")
    bus.begin()
    try:
        await until(lambda: bus.connected, FLOOD_ENDS)  # NATS may still read its configuration again
        loop = asyncio.get_running_loop()
        end, before, number = loop.time() + FLOOD_ENDS, scene.history.seen, 0
        data = SystemNotification(payload="x" * FLOOD_EVENT).encode().encode()
        while scene.history.first_seq <= before and loop.time() < end:
            number += 1
            try:
                stored = await bus.stream.append(subjects.group("flood"), data)
                while number % 8 == 0 and (await bus.stream.usage()).share > FLOOD_UP_TO and loop.time() < end:
                    await asyncio.sleep(FLOOD_PAUSE)
            except BusError:
                await asyncio.sleep(0.5)
            else:
                # What is cut before it was read can be proven by nobody.
                await until(lambda stored=stored: scene.history.seen > stored - 32, 10, every=FLOOD_PAUSE)  # type: ignore[misc]
    finally:
        await bus.close()
