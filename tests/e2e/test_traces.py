"""One trace from a frame to its result, through real processes, as a collector gets it."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.aio.msg import Msg
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from testbed.servers import wait_until
from testbed.system import System
from tests.cli.command import busctl
from tests.clients import client
from tests.own_jobs import running_with
from tests.raw_jetstream import settle

JOBS = """
from opentelemetry import trace
from workers.registry import job, JobContext

@job(max_attempts=2, retry_on=(ValueError,), backoff=0.01)
def traced(content: str, job: JobContext) -> str:
    with trace.get_tracer("mine").start_as_current_span("look it up"):
        if job.attempt == 1:
            raise ValueError("not yet")
    return "done"

@job
async def traced_async(content: str, job: JobContext) -> str:
    with trace.get_tracer("mine").start_as_current_span("look it up"):
        return "done"

@job(queue="aside")
def aside(content: str, job: JobContext) -> str:
    return "done"
"""
TRACE, BEFORE = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GIVEN = f"00-{TRACE}-{BEFORE}-01"


class Collector:
    """An OTLP collector: keeps the spans that it is sent over HTTP."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.services: dict[bytes, str] = {}
        keeper = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                keeper.take(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def take(self, sent: ExportTraceServiceRequest) -> None:
        for resource in sent.resource_spans:
            named = {one.key: one.value.string_value for one in resource.resource.attributes}
            for scope in resource.scope_spans:
                for span in scope.spans:
                    self.services[span.span_id] = named["service.name"]
                    self.spans.append(span)

    def of(self, trace: str) -> list[Any]:
        return [span for span in self.spans if span.trace_id.hex() == trace]

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.close()


@pytest.fixture(scope="module")
def traced(collector: Collector, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    settings = {
        "BUS_TRACES": "otlp",
        "BUS_LOG_FORMAT": "json",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_BSP_SCHEDULE_DELAY": "50",
    }
    directory: Path = tmp_path_factory.mktemp("traces")
    with running_with(directory, JOBS, **settings) as system:
        system.web()
        system.worker("--concurrency", "1")
        yield system


def web_and_worker(system: System) -> tuple[Any, Any]:
    return next(s for s in system.servers if hasattr(s, "ws_url")), system.servers[-1]


async def test_a_job_is_spans_below_what_its_client_was_doing(traced: System, collector: Collector) -> None:
    web, worker = web_and_worker(traced)
    heard: list[Msg] = []

    async def hear(message: Msg) -> None:
        heard.append(message)

    connection = await nats.connect(traced.nats.url)
    try:
        await connection.subscribe("live.client.*.job.*", cb=hear)
        await settle(connection)
        async with client(web.ws_url) as connected:
            await connected.submit("traced", "x", traceparent=GIVEN)
            await connected.receive_until("job_result", 60)
        await settle(connection)
        async with asyncio.timeout(20):
            while len(heard) < 5:
                await asyncio.sleep(0.02)
    finally:
        await connection.close()
    await asyncio.to_thread(wait_until, lambda: len(collector.of(TRACE)) >= 5, "trace of five spans")
    spans = collector.of(TRACE)
    (submitted,) = [span for span in spans if span.name == "submit traced"]
    runs = sorted((span for span in spans if span.name == "run traced"), key=lambda span: span.start_time_unix_nano)
    inner = [span for span in spans if span.name == "look it up"]
    assert submitted.parent_span_id.hex() == BEFORE
    assert [run.parent_span_id for run in runs] == [submitted.span_id] * 2
    assert {span.parent_span_id for span in inner} == {run.span_id for run in runs}
    assert len(spans) == 5
    assert collector.services[submitted.span_id] == "busctl-web"
    assert {collector.services[run.span_id] for run in runs} == {"busctl-worker"}
    states = [{one.key: one.value for one in run.attributes}["busctl.job.state"].string_value for run in runs]
    assert states == ["job_retrying", "job_result"]
    # Each event tells the trace too, and which step of it asked for the job.
    assert {(m.headers or {})["traceparent"] for m in heard} == {f"00-{TRACE}-{submitted.span_id.hex()}-01"}
    for server, what in ((web, "job accepted"), (worker, "job started"), (worker, "job ended")):
        lines = [line for line in server.output().splitlines() if what in line]
        assert lines
        assert all(f'"trace_id": "{TRACE}"' in line for line in lines)


async def test_a_coroutine_is_below_its_run_and_a_trace_begins_where_none_was(
    traced: System, collector: Collector
) -> None:
    web, _ = web_and_worker(traced)
    async with client(web.ws_url) as connected:
        await connected.submit("traced_async", "x")
        await connected.receive_until("job_result", 60)

    def mine() -> list[Any]:
        begun = [span for span in collector.spans if span.name == "submit traced_async"]
        return collector.of(begun[0].trace_id.hex()) if begun else []

    await asyncio.to_thread(wait_until, lambda: len(mine()) == 3, "trace of three spans")
    by_name = {span.name: span for span in mine()}
    submitted, run, inner = (by_name[name] for name in ("submit traced_async", "run traced_async", "look it up"))
    assert submitted.parent_span_id == b""
    assert run.parent_span_id == submitted.span_id
    assert inner.parent_span_id == run.span_id


async def test_what_is_submitted_from_a_terminal_belongs_to_the_trace_of_the_environment(
    traced: System, collector: Collector
) -> None:
    given = f"00-{'5' * 32}-{BEFORE}-01"
    done = await asyncio.to_thread(
        busctl, "submit", "traced_async", "x", "--wait", **traced.env | {"TRACEPARENT": given, "BUS_TRACES": "none"}
    )
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
    await asyncio.to_thread(wait_until, lambda: len(collector.of("5" * 32)) == 2, "trace of two spans")
    assert BEFORE in {span.parent_span_id.hex() for span in collector.of("5" * 32) if span.name == "run traced_async"}


async def test_a_frame_whose_traceparent_is_none_is_answered_and_nothing_is_accepted(traced: System) -> None:
    web, _ = web_and_worker(traced)
    async with client(web.ws_url) as connected:
        await connected.submit("traced", "x", traceparent="00-nothing")
        error = await connected.receive()
    assert error["action"] == "error"
    assert "traceparent" in str(error["payload"])


async def test_a_collector_that_is_silent_holds_up_the_end_of_no_process(traced: System) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        patient = {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_EXPORTER_OTLP_TIMEOUT": "60"}
        web, worker = traced.web(**patient), traced.worker("--concurrency", "1", "-Q", "aside", **patient)
        async with client(web.ws_url) as connected:
            await connected.submit("aside", "x")
            await connected.receive_until("job_result", 60)
        assert await asyncio.gather(*(asyncio.to_thread(server.stop) for server in (web, worker))) == [0, 0]


async def test_jobs_are_done_where_opentelemetry_is_switched_off(traced: System) -> None:
    off = {"OTEL_SDK_DISABLED": "true"}
    web, worker = traced.web(**off), traced.worker("--concurrency", "1", "-Q", "aside", **off)
    async with client(web.ws_url) as connected:
        await connected.submit("aside", "x")
        assert (await connected.receive_until("job_result", 60))[-1]["payload"] == "done"
    assert await asyncio.gather(*(asyncio.to_thread(server.stop) for server in (web, worker))) == [0, 0]
