"""A hostile client in a process of its own: `python tests/hostile.py PORT CONNECTIONS FRAMES MAX_FRAME`.

It opens as many WebSockets as it is let, misuses each in one of several ways, floods one of them with frames, prints
what became of it as JSON, and holds on to everything until its standard input ends.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
from collections import Counter

from testbed.raw import BINARY, PING, TEXT, Peer, dial, frame

DIALLED_AT_ONCE = 200
CONTINUATION = 0x0


def abuse(peer: Peer, number: int, limit: int) -> int:
    """Misuse a connection; how many frames that took."""
    match number % 6:
        case 0:
            garbage = [frame("no json"), frame(b"\x00", BINARY), frame("[" * 1000), frame('{"action":"nothing"}')]
            peer.write(b"".join(garbage))
            return len(garbage)
        case 1:
            peer.stall()
            peer.write(frame(b"x" * 125, PING) * 20)
            return 20
        case 2:
            peer.write(frame("x" * (limit // 2), declared=limit))
        case 3:
            part = frame("x" * (limit // 10), CONTINUATION, final=False)
            peer.write(frame("x", TEXT, final=False) + part * 9)
            return 10
        case 4:
            peer.write(frame(b"x" * 2 * limit, BINARY, declared=2**62))
        case 5:
            peer.write(b"\xff" * limit)
    return 1


async def flood(peer: Peer, count: int) -> None:
    """Send so many frames, or fewer if the server ends the connection."""
    block = frame('{"action":"ping"}') * 100
    for _ in range(count // 100):
        peer.write(block)
        await peer.drain()


async def main(port: int, connections: int, frames: int, limit: int) -> None:
    """Attack, report, hold on."""
    slots = asyncio.Semaphore(DIALLED_AT_ONCE)
    answers: Counter[int] = Counter()
    peers: list[Peer] = []

    async def attack() -> None:
        async with slots:
            peer = await dial(port, mute=True)
        answers[peer.status] += 1
        if peer.status == 101:
            peers.append(peer)
        else:
            peer.transport.abort()

    await asyncio.gather(*(attack() for _ in range(connections)))
    await flood(peers[0], frames)
    sent = frames + sum(abuse(peer, number, limit) for number, peer in enumerate(peers[1:]))
    await peers[0].ended()
    print(json.dumps({"answers": answers, "frames": sent, "flood": peers[0].close_code}), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    os._exit(0)


if __name__ == "__main__":
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asyncio.run(main(*map(int, sys.argv[1:])))
