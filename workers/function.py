"""How a job's function is called: plain or async, and whether it returns its answer or yields it piece by piece."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import aclosing, closing
from typing import Any, cast

from workers.cancelled import Cancelled
from workers.context import JobContext
from workers.job_loop import JobLoop
from workers.registry import Job
from workers.written import Written


def answer(job: Job, content: object, context: JobContext, loop: JobLoop) -> object:
    """Call a job's function with a JSON value, and return the JSON value of its answer.

    Raises:
        Misfit: the content is not what the job takes, or the answer is not what it gives.
        UnusableOutput, BaseException: as for `call`.
    """
    taken = job.signature.load(content)
    value = call(lambda: job(taken, context), context.written, loop, context.cancelled)
    return job.signature.dump(value)


def call(function: Callable[[], Any], written: Written, loop: JobLoop, cancelled: Cancelled) -> object:
    """Call a function to its end, whatever its kind, and return what it gives: all that it wrote and returned.

    A generator is driven here, an async function or generator on the loop while this thread waits. However it is left,
    a generator is closed, so that its `finally` runs.

    Args:
        function: a `def`, an `async def`, a generator or an async generator.
        written: takes what it yields.
        loop: for what is async.
        cancelled: cancels a coroutine when it is set; a plain function has to look at it.

    Raises:
        UnusableOutput: it wrote, yielded or returned something that cannot be put together to a text.
        BaseException: what the function raises; `Interrupted` or `asyncio.CancelledError` when it was stopped.
    """
    try:
        value = function()
        if inspect.isgenerator(value):
            value = _drive(cast(Generator[Any, None, Any], value), written)
        elif inspect.isasyncgen(value):
            value = loop.run(_drive_async(cast(AsyncGenerator[Any, None], value), written), cancelled)
        elif inspect.isawaitable(value):
            value = loop.run(value, cancelled)
        return written.whole(value)
    finally:
        written.close()


def _drive(generator: Generator[Any, None, Any], written: Written) -> object:
    written.begun = True
    with closing(generator):
        while True:
            try:
                piece = next(generator)
            except StopIteration as end:
                return end.value
            written.add(piece, "yielded")


async def _drive_async(generator: AsyncGenerator[Any, None], written: Written) -> None:
    written.begun = True
    async with aclosing(generator):
        async for piece in generator:
            await written.add(piece, "yielded")
