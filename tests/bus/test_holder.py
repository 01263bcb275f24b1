"""Who runs a job: known at once, also when the one who did is gone, frozen or was told to stop."""

import asyncio

import nats as nats_py

from bus import Bus, Settings, holder, subjects


async def test_a_job_is_held_from_hold_until_close(settings: Settings) -> None:
    async with Bus(settings) as worker, Bus(settings) as other:
        assert not await holder.is_held(other, "job1")
        held = await holder.hold(worker, "job1", lambda: None)
        await worker.confirm_subscriptions()
        assert await holder.is_held(other, "job1")
        assert not await holder.tell_cancelled(other, "job2")
        await held.close()
        await worker.confirm_subscriptions()
        assert not await holder.is_held(other, "job1")


async def test_a_worker_that_is_gone_holds_nothing(settings: Settings) -> None:
    async with Bus(settings) as other:
        worker = Bus(settings)
        await worker.connect()
        await holder.hold(worker, "job3", lambda: None)
        await worker.close()
        assert not await holder.is_held(other, "job3")


async def test_the_holder_is_told_of_a_cancel(settings: Settings) -> None:
    told = asyncio.Event()
    async with Bus(settings) as worker, Bus(settings) as other:
        await holder.hold(worker, "job4", told.set)
        await worker.confirm_subscriptions()
        assert await holder.is_held(other, "job4")
        assert not told.is_set()
        assert await holder.tell_cancelled(other, "job4")
        assert told.is_set()


async def test_a_holder_that_is_silent_still_holds(settings: Settings) -> None:
    silent = await nats_py.connect(settings.nats_url)
    await silent.subscribe(subjects.holder("job5"))
    await silent.flush()
    async with Bus(settings) as other:
        assert await holder.is_held(other, "job5")
    await silent.close()
