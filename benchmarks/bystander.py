"""How long a bystander's ping takes while hostile clients flood the same web process: `python -m benchmarks.bystander`.

Each kind of flood of `testbed/flood.py`, from so many sockets at once that connect again when they are cut off. Besides
the time of the clock, what CPU time the server used meanwhile: that is what the bystander would have waited for on a
machine that has nothing else to do.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import quantiles

from benchmarks.processes import cpu_seconds
from testbed.flood import IDLE, KINDS
from testbed.raw import raw
from testbed.servers import Web
from testbed.system import System, running

ROOT = Path(__file__).parents[1]
PAUSE = 0.01
"""Seconds between a pong and the next ping."""


async def pings(web: Web, kind: str, sockets: int, seconds: float) -> tuple[list[float], list[float], dict[str, int]]:
    """Milliseconds that each ping took, those of the server's CPU meanwhile, and how the flood's connections ended."""
    took, used = [], []
    async with raw(web.port) as bystander:
        await bystander.ping()
        attackers = flood(web, kind, sockets, seconds + 1)
        end = time.perf_counter() + seconds + 1
        while (began := time.perf_counter()) < end:
            cpu = cpu_seconds([web.pid])
            await bystander.ping()
            took.append((time.perf_counter() - began) * 1000)
            used.append((cpu_seconds([web.pid]) - cpu) * 1000)
            await asyncio.sleep(PAUSE)
    told, _ = await asyncio.to_thread(attackers.communicate, timeout=60)
    return took, used, json.loads(told)


def flood(web: Web, kind: str, sockets: int, seconds: float) -> subprocess.Popen[bytes]:
    """The hostile clients."""
    # Nice: real attackers take none of the CPU of the machine that they attack.
    command = [
        "nice",
        "-n",
        "19",
        sys.executable,
        str(ROOT / "testbed/flood.py"),
        *map(str, (web.port, kind, sockets, seconds)),
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(ROOT)})


def measure(system: System, kind: str, sockets: int, seconds: float) -> str:
    """A row of the table."""
    web = system.web()
    took, used, codes = asyncio.run(pings(web, kind, sockets, seconds))
    cut, cpu = quantiles(took, n=100), quantiles(used, n=100)
    lines = web.output().count("\n")
    web.kill()
    name = kind if sockets else "nothing"
    figures = [*map("{:.1f}".format, (cut[49], cut[98], max(took), cpu[49], cpu[98])), len(took), codes, lines]
    return f"| {name} | {sockets} | {' | '.join(map(str, figures))} |"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", default=KINDS)
    parser.add_argument("--sockets", type=int, nargs="*", default=[1, 4, 20])
    parser.add_argument("--seconds", type=float, default=4.0)
    asked = parser.parse_args()
    print("| flood | sockets | ping p50 ms | p99 | longest | CPU p50 ms | p99 | pings | closed with | log lines |")
    print("|" + "---|" * 10)
    with tempfile.TemporaryDirectory() as directory, running(Path(directory)) as system:
        print(measure(system, IDLE, 0, asked.seconds), flush=True)
        for kind in asked.kinds:
            for sockets in asked.sockets:
                print(measure(system, kind, sockets, asked.seconds), flush=True)


if __name__ == "__main__":
    main()
