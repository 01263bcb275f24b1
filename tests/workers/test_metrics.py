"""What a worker shows to Prometheus: of jobs, of its children, and of what happens to itself."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from pydantic import SecretStr

from bus import metrics_listener
from bus.metrics_listener import MetricsListener
from testbed.ports import free_port
from testbed.servers import wait_until
from testbed.system import System, running
from tests import own_jobs
from tests.http import get
from tests.metrics_page import counted, documented, shown
from tests.workers.bench import CLIENT, Bench, bench_of, children, signal_children
from workers import submission
from workers.metrics import WorkerMetrics


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def url(port: int) -> str:
    return f"http://127.0.0.1:{port}/metrics"


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory, port: int) -> Iterator[System]:
    """A worker with two children, which shows its metrics."""
    directory = tmp_path_factory.mktemp("metrics")
    settings = {"BUS_RECONCILE_INTERVAL": "0.5", "BUS_WORKER_METRICS_BIND": f"127.0.0.1:{port}"}
    with running(directory, PYTHONPATH=own_jobs.install(directory), **settings) as system:
        system.worker()
        yield system


@pytest.fixture
def bench(servers: System, url: str) -> Iterator[Bench]:
    with bench_of(servers) as bench:
        wait_until(lambda: reads(url).get("busctl_reconciles") == 1, "worker that reconciles")
        yield bench


def reads(url: str) -> dict[str, float]:
    """Every sample, as soon as the worker shows them."""
    with contextlib.suppress(OSError):
        return counted(url)
    return {}


def test_what_becomes_of_jobs_is_counted_by_type(bench: Bench, url: str) -> None:
    before = reads(url)
    bench.end(bench.submit("default"))
    bench.end(bench.submit("generate"))
    flaky = bench.submit("flaky", "0")
    bench.second_attempt(flaky, 20)
    bench.bus.call(lambda bus: submission.cancel(bus, CLIENT, flaky.job_id))
    ends = [f"busctl_jobs_ended_total {end}" for end in ("result default", "result generate", "cancelled flaky")]
    wait_until(lambda: all(reads(url).get(end) for end in ends), "ends")
    after = reads(url)
    new = {name: value - before.get(name, 0) for name, value in after.items() if value != before.get(name, 0)}
    for job_type in ("default", "generate", "flaky"):
        assert new[f"busctl_jobs_accepted_total {job_type}"] == 1
        assert new[f"busctl_job_wait_seconds_count {job_type}"] == 1
        assert new[f"busctl_job_run_seconds_count {job_type}"] == 1
        assert 0 < new[f"busctl_job_wait_seconds_sum {job_type}"] < 20
    assert new["busctl_job_attempts_total flaky"] == 2
    assert new["busctl_job_retries_total flaky raised"] == 1
    assert new["busctl_output_pieces_total generate"] >= 1
    assert new["busctl_output_bytes_total generate"] > 10
    assert sum(after[f"busctl_jobs_open {state}"] for state in ("queued", "running", "scheduled")) == 0
    assert after["busctl_oldest_open_job_seconds"] == 0
    assert after["busctl_stream_used_bytes"] > 0
    assert 0 < after["busctl_stream_fill_ratio"] < 0.01
    assert after["busctl_nats_up"] == 1


def test_a_child_that_dies_is_counted_and_what_it_counted_stays(bench: Bench, url: str, tmp_path: Path) -> None:
    release, before = tmp_path / "release", reads(url)
    job = bench.submit("streams", str(release))
    bench.writes(job)
    wait_until(lambda: reads(url)["busctl_jobs_open running"] == 1, "running job")
    written = reads(url)["busctl_output_pieces_total streams"]
    assert reads(url)["busctl_oldest_open_job_seconds"] > 0
    (worker,) = [server for server in bench.system.servers if server.name == "worker"]
    pids = children(worker)  # type: ignore[arg-type]
    signal_children(worker, signal.SIGKILL)  # type: ignore[arg-type]
    bench.second_attempt(job, 20)
    assert set(children(worker)).isdisjoint(pids)  # type: ignore[arg-type]
    release.touch()
    bench.end(job)
    wait_until(lambda: reads(url).get("busctl_jobs_ended_total result streams") == 1, "end")
    after = reads(url)
    assert after["busctl_output_pieces_total streams"] > written > 1
    assert after["busctl_job_retries_total streams lost"] == 1
    assert after["busctl_worker_children_lost_total"] > before["busctl_worker_children_lost_total"]


def test_lost_tasks_and_what_is_none_of_ours_are_counted(bench: Bench, url: str) -> None:
    with contextlib.closing(bench.system.valkey.client()) as redis:
        redis.lpush("jobs", b"garbage")
    bench.celery.send_task("mail.send", queue="jobs")
    lost = bench.store()  # and never enqueued
    assert bench.end(lost) == "✅ Processed: X"
    names = {
        "busctl_job_retries_total default requeued",
        "busctl_reconciler_actions_total enqueued_again",
        "busctl_worker_malformed_messages_total",
        "busctl_worker_foreign_tasks_total",
    }
    wait_until(lambda: all(reads(url)[name] >= 1 for name in names), "counts")


def test_what_is_shown_is_what_the_page_says(bench: Bench, url: str) -> None:
    totals = {name.removesuffix("_total") for name in documented("worker")}
    assert {name.removesuffix("_total") for name in shown(url)} == totals


def test_an_outage_of_redis_is_counted(bench: Bench, url: str) -> None:
    bench.system.valkey.kill()
    wait_until(lambda: reads(url)["busctl_worker_redis_outages_total"] > 0, "outage of Redis")
    bench.system.valkey.start()
    assert bench.end(bench.submit()) == "✅ Processed: X"


@pytest.fixture
def listener(request: pytest.FixtureRequest) -> Iterator[tuple[MetricsListener, str]]:
    """One without a worker, guarded by a token."""
    bind = f"127.0.0.1:{free_port()}"
    listener = MetricsListener(WorkerMetrics(["default"]).text, bind, SecretStr("sésame"))
    thread = threading.Thread(target=listener.run)
    thread.start()
    yield listener, f"http://{bind}/metrics"
    listener.stop()
    thread.join(20)
    assert not thread.is_alive()


def test_metrics_are_for_who_brings_the_token(listener: tuple[MetricsListener, str]) -> None:
    _, url = listener

    def asked(*authorization: bytes) -> tuple[int, bool]:
        request = Request(url)  # noqa: S310 - always http
        for value in authorization:
            request.add_header("Authorization", value.decode("latin-1"))
        try:
            with urlopen(request, timeout=20) as answer:  # noqa: S310
                return answer.status, b"busctl_" in answer.read()
        except HTTPError as refused:
            with refused:
                return refused.code, b"busctl_" in refused.read()

    wait_until(lambda: status(url) == 401, "listener")
    assert asked("Bearer sésame".encode()) == (200, True)
    for wrong in ((), (b"Bearer",), (b"Bearer open",), (b"Basic s",)):
        assert asked(*wrong) == (401, False)
    assert get(url + "s")[0] == 404


def status(url: str) -> int | None:
    """With what it is answered there, if it is."""
    with contextlib.suppress(OSError):
        return get(url)[0]
    return None


def test_who_sends_a_byte_now_and_then_is_cut_off(
    listener: tuple[MetricsListener, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics_listener, "REQUEST_TIMEOUT", 0.3)
    _, url = listener
    wait_until(lambda: status(url) == 401, "listener")
    host, port = url.split("/")[2].split(":")
    with socket.create_connection((host, int(port)), timeout=10) as slow:
        slow.sendall(b"GET /metrics HTTP/1.0\r\nX: ")

        def cut() -> bool:
            try:
                slow.sendall(b"a")
            except OSError:
                return True
            return False

        wait_until(cut, "end of a slow request", 10)
    assert status(url) == 401


def test_an_address_that_another_has_is_taken_when_it_is_free(listener: tuple[MetricsListener, str]) -> None:
    first, url = listener
    wait_until(lambda: status(url) == 401, "listener")
    second = MetricsListener(WorkerMetrics(["default"]).text, url.split("/")[2], None)
    thread = threading.Thread(target=second.run)
    thread.start()
    try:
        first.stop()
        wait_until(lambda: status(url) == 200, "the other listener")
    finally:
        second.stop()
        thread.join(20)
