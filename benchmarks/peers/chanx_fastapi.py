"""chanx on FastAPI and uvicorn: what comes in on /publish is broadcast to everybody else.

    python chanx_fastapi.py REDIS_URL PORT

The consumer is the notification part of chanx's tutorial. The layer is the one of fast-channels that costs least, Redis
pub/sub: the one in memory looks through every queue for each message it hands out, twice the CPU at 500 sockets and
growing. Logging is off, and of uvicorn's WebSocket protocols the fastest is used.
"""

import sys
from typing import Literal

import uvicorn
from chanx.core.decorators import channel, event_handler
from chanx.fast_channels.websocket import AsyncJsonWebsocketConsumer
from chanx.messages.base import BaseMessage
from fast_channels.layers import register_channel_layer
from fast_channels.layers.redis import RedisPubSubChannelLayer
from fastapi import FastAPI, WebSocket
from starlette.websockets import WebSocketDisconnect


class SystemNotification(BaseMessage):
    """What is broadcast."""

    action: Literal["system_notification"] = "system_notification"
    payload: str


@channel(name="system", description="Notifications for everybody", tags=["system"])
class SystemConsumer(AsyncJsonWebsocketConsumer):
    """The tutorial's consumer, as far as broadcasts go."""

    groups = ["system"]  # noqa: RUF012 as chanx wants it
    channel_layer_alias = "redis"
    log_websocket_message = False

    @event_handler
    async def handle_system_notification(self, event: SystemNotification) -> SystemNotification:
        """Hand the event on to the client."""
        return event


register_channel_layer("redis", RedisPubSubChannelLayer(hosts=[sys.argv[1]]))
app = FastAPI()


@app.websocket("/publish")
async def publish(socket: WebSocket) -> None:
    """Broadcast every frame that comes in."""
    await socket.accept()
    try:
        while True:
            event = SystemNotification(payload=await socket.receive_text())
            await SystemConsumer.broadcast_event(event)
    except WebSocketDisconnect:
        return


app.mount("/", SystemConsumer.as_asgi())

if __name__ == "__main__":
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(sys.argv[2]),
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        ws_ping_interval=None,
        log_level="error",
        backlog=4096,
    )
