"""A worker makes room in the stream, and no job that waits or runs is lost by it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from bus import Bus, SystemNotification
from bus.job_log import JobState
from testbed.servers import wait_until
from testbed.system import running
from tests import own_jobs
from tests.workers.bench import Bench, bench_of


def flood(bench: Bench, events: int) -> None:
    """Store so many events of 1,000 bytes for another client."""
    event = SystemNotification(payload="x" * 1000)

    async def store(bus: Bus) -> None:
        for _ in range(events // 20):
            await asyncio.gather(*(bus.send_event(event, "bob") for _ in range(20)))

    bench.bus.call(store, timeout=60)


def first_seq(bench: Bench) -> int:
    return bench.bus.call(lambda bus: bus.stream.state()).first_seq


def was_carried(bench: Bench, job: JobState) -> bool:
    return any(step.carried for step in bench.steps(job))


def test_a_flood_pushes_out_no_job_that_runs_writes_or_waits(tmp_path: Path) -> None:
    limits = {"BUS_STREAM_MAX_BYTES": str(2**20), "PYTHONPATH": own_jobs.install(tmp_path)}
    with running(tmp_path, **limits) as system:
        worker = system.worker("--concurrency", "2", BUS_RECONCILE_INTERVAL="0.5")
        with bench_of(system) as bench:
            release = tmp_path / "release"
            holds, writes = bench.submit("holds", str(release)), bench.submit("streams", str(release))
            bench.started(holds)
            bench.writes(writes)
            waits = bench.submit()
            flood(bench, 3000)
            wait_until(lambda: first_seq(bench) > waits.seq, "cut past every job")
            assert all(was_carried(bench, job) for job in (holds, writes, waits))
            release.touch()
            assert bench.end(holds) == "held"
            assert bench.end(writes).startswith("attempt 1: 0 1 2")
            assert bench.end(waits) == "✅ Processed: X"
            assert all(bench.read(job).attempt == 1 for job in (holds, writes, waits))
            assert "Traceback" not in worker.output()
