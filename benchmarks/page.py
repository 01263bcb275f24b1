"""The reference page of a run, `docs/reference/performance.md`, and its plots beside it."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks import jobs, report
from benchmarks.contestants import (
    BENCH_PYTHON,
    CHANX,
    CHANX_ALL,
    FRAME,
    GATEWAY,
    LOOP,
    NODE,
    OURS,
    OURS_ALL,
    OURS_ASGI,
    ROOT,
    WEBSOCKETS,
)
from benchmarks.figure import Target
from benchmarks.noise import MOST
from benchmarks.results import Results

REFERENCE = ROOT / "docs" / "reference"
ALT = {
    "fan-out-cpu": "Server CPU per delivered message over the number of sockets, paced and in bursts",
    "fan-out-last": "Time until the last of 1,000 clients has a broadcast, p50 and p99",
    "connections": "CPU to connect and memory of an idle connection",
    "resume": "CPU of a resume with 100 missed events over the number of clients that come back at once",
    "jobs": "Jobs a second over the number of jobs submitted at once",
}
PLOTS = {"fan_out": ("fan-out-cpu", "fan-out-last"), "connections": ("connections", "resume"), "jobs": ("jobs",)}

HEAD = """\
# Performance

This page is written by `make bench WRITE=1`; every number in it comes from one run, of {date}. CPU and ratios travel
well between machines of one kind; wall times less so. Run `make bench` to see yours: it prints these tables and keeps
every round of every figure in `benchmarks/results/`.

{machine}

Each figure is a median; rounds: {rounds}. In a round the contestants take turns; in fan-out those that are an order of
magnitude away take part in the first one only. Between its lowest and its highest
round the typical figure differs by {spread:.0%}. While it was measured, {noise}; after a run during which that was more
than {most:.0%} nothing is written.

## Targets

A target with a contestant in it is a ratio to that contestant in the same run.

{targets}

## Where others do better

{better}

## How it is measured

* One driver for all: a process of its own with plain sockets on one epoll, which walks from WebSocket frame to
  WebSocket frame and counts them. A run in which any client does not get exactly what was sent to it is refused.
* CPU is the servers' process CPU clocks, user and system time of all threads, read when they have come to rest before
  and after the measured part. It includes the kernel's work on their behalf, which for fan-out is most of it. *{ours}*
  is the web process; *{ours_all}* adds the NATS server, which stores each broadcast before it is sent on: the targets
  use the sum. Likewise *{chanx_all}*.
* Everything runs on one machine over 127.0.0.1. Driver and servers share its cores, so rates are those of a whole
  small machine, not of a server that has it for itself.
* Memory is the growth of the proportional set size of the process that holds the WebSockets, divided by the
  connections. The kernel's socket buffers are not in it, for nobody.
* A frame is {frame} bytes on the wire, header included, from everybody. Compression and pings are off
  everywhere; what pings of idle connections cost is measured by `python -m benchmarks.idle`.
"""

CONTESTANTS = {
    OURS: "`busctl serve`, one process; messages are published to `bus.group.system` on NATS, stored in the stream, "
    "and from there reach the sockets with their sequence",
    OURS_ASGI: "the same application on `hypercorn quart_app:app`, so on the ordinary `websocket.send` path",
    LOOP: "no server, but the least that Python can do: one `send(2)` for each socket, of bytes that are ready; "
    "nothing is buffered, checked or stored",
    WEBSOCKETS: "the `websockets` library's own server and its `broadcast()`; nothing is stored",
    GATEWAY: "nats-server's own WebSocket listener, without JetStream: every client speaks NATS and subscribes itself; "
    "one NATS message with its protocol line has the size of the others' payload. Go, on all cores",
    NODE: "Node's `ws`, a loop of `send`; nothing is stored",
    CHANX: "chanx on FastAPI and uvicorn, the notification part of its tutorial, with the layer of fast-channels that "
    "costs least (Redis pub/sub, on Valkey), logging off, and uvicorn's fastest WebSocket protocol",
}

TOPICS = {
    "fan_out": """\
## Fan-out

*Paced*: the next message is published once the last one has arrived everywhere, so each delivery is a write of its own.
*Burst*: 20 messages are on their way at any time, so a server that joins what waits for a socket saves writes. Columns
are numbers of sockets.""",
    "stalled": """\
## A stalled reader

Five hundred clients read, one more may have stopped: messages of 16 KiB, the next once all readers have the last,
until long after the stalled one's buffers are full and it was closed. Times are those of the readers.""",
    "connections": """\
## Connections

Connecting is measured on a server just started, with connections added step by step: a column is the cost of each
connection between the column before and this one. Closing is not in it. A *resume* is a `bus.v1` client that comes back
with its token and its cursors after it missed 100 events; columns are clients that come back at the same time, the wall
time is from the first SYN to the last replayed frame of the last of them.""",
    "redeploy": """\
## A redeploy

Two web processes end and two new ones begin, and all clients of `bus.v1` connect in the same moment with their tokens
and cursors: nothing spreads them over time here. First everybody missed the same broadcast events, then ten events of
its own as well. A client is whole when it has its welcome and the last frame it missed; one that is refused, or gets
anything else, fails the run. The bystander is an idle WebSocket on one of the new processes that pings 10 ms after each
pong. The column is the number of clients. Centrifugo, whose recovery is nearest to this, takes no part: none of the
package registries that this project installs from has its server.""",
    "jobs": """\
## Jobs

Through the WebSocket and back, against Celery that runs tasks doing nothing with the same settings, in turns. *Bare*:
nobody gets a result. *With results*: Celery keeps them in Redis, and the process that submitted gets each of them
(`result.get`); it talks to Redis itself, with no web process in between. CPU is that of all processes, whoever
submits included. Columns are numbers of jobs.""",
    "streaming": """\
## Streamed output

A job writes its answer while it runs, and clients of `bus.v1` read it. What it writes within `BUS_OUTPUT_INTERVAL` is
one event. A hundred jobs write at once, each for a client of its own, on the threads of one worker; every piece has to
arrive, once and in order, or the run counts for nothing. CPU is that of web process, worker, NATS and Valkey together,
the jobs' own included, divided by what the jobs yielded. Columns are numbers of jobs, or of pieces.""",
}


def write(results: Results, saved: Path, targets: Sequence[Target], place: Path = REFERENCE) -> None:
    """Write the page and its plots.

    Args:
        saved: the results as a file, which the plots are drawn from.
        targets: of all topics.
        place: the directory of both.
    """
    drawn = subprocess.run(
        [str(BENCH_PYTHON), "-m", "benchmarks.plots", str(saved), str(place)],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
    ).stdout.split()
    page = [_head(results, targets), _list(CONTESTANTS)]
    for topic, text in TOPICS.items():
        if figures := results.topics.get(topic):
            page.append(text)
            page += [f"![{ALT[name]}]({name}.svg)" for name in PLOTS.get(topic, ()) if name in drawn]
            page += [f"**{_capital(title)}**\n\n{report.markdown(rows)}" for title, rows in report.tables(figures)]
    (place / "performance.md").write_text("\n\n".join(page) + "\n")


def _head(results: Results, targets: Sequence[Target]) -> str:
    others = (WEBSOCKETS, GATEWAY, NODE, CHANX_ALL, CHANX, jobs.BARE, jobs.RESULTS)
    better = report.better(results.figures, (OURS_ALL, OURS, jobs.OURS), others)
    return HEAD.format(
        date=results.date,
        machine=_list({name: what for name, what in results.machine.items() if what != "none"}, ": "),
        rounds=results.rounds,
        spread=report.spread(results.figures),
        noise=max(results.noise.values(), key=lambda noise: noise.others + noise.stolen),
        most=MOST,
        targets=report.markdown(report.targets(targets, results.figures)),
        better=report.markdown(better) if len(better) > 1 else "Nowhere, in this run.",
        ours=OURS,
        ours_all=OURS_ALL,
        chanx_all=CHANX_ALL,
        frame=FRAME,
    )


def _list(entries: Mapping[str, str], between: str = ": ") -> str:
    return "\n".join(f"* {name}{between}{text}" for name, text in entries.items())


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
