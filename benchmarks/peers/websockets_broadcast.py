"""The `websockets` library: what comes in on /publish is broadcast to everybody else.

python -m benchmarks.peers.websockets_broadcast PORT
"""

from __future__ import annotations

import asyncio
import sys

from websockets.asyncio.server import ServerConnection, broadcast, serve


async def main(port: int) -> None:
    """Serve until the process is ended."""
    audience: set[ServerConnection] = set()

    async def handle(connection: ServerConnection) -> None:
        if connection.request is not None and connection.request.path == "/publish":
            async for message in connection:
                broadcast(audience, message)
            return
        audience.add(connection)
        try:
            await connection.wait_closed()
        finally:
            audience.discard(connection)

    async with serve(handle, "127.0.0.1", port, compression=None, ping_interval=None, backlog=4096) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
