"""The sample session of the AsyncAPI document, spoken with a real server, and compared with it frame by frame."""

from __future__ import annotations

import re
from typing import Any

from websockets.exceptions import ConnectionClosed

from tests.clients import Client, Frame

Step = dict[str, Any]

ID_OF_JOB = re.compile(r"\b([0-9a-f]{32}|[0-9a-f]{16})\b")
OPAQUE = {"seq", "at", "client_id", "resume", "epoch"}
"""Keys whose values are others each time."""


def canonical(frame: Frame) -> list[Any]:
    """A frame with its keys in order, but for ids, times and sequence numbers."""

    def value_of(name: str, value: Any) -> Any:
        if name in OPAQUE:
            return type(value).__name__
        if name == "cursors":
            return {scope: type(seq).__name__ for scope, seq in value.items()}, len(set(value.values()))
        if isinstance(value, dict):
            return canonical(value)
        return ID_OF_JOB.sub(lambda found: f"<{len(found[0])} digits>", value) if isinstance(value, str) else value

    return [(name, value_of(name, value)) for name, value in frame.items()]


class Conversation:
    """One connection after the other, which says what the client of the document says."""

    def __init__(self, connected: Client) -> None:
        self._connected = connected
        self._resume = ""
        self.cursors: dict[str, int] = {}
        self.shown: list[str] = []
        """The pieces of the answer, by `index`."""

    def over(self, connected: Client) -> None:
        """Go on over another connection."""
        self._connected = connected

    async def say(self, frame: Frame) -> None:
        """Send it, with the token and the cursors of this session in place of those of the document."""
        payload = frame.get("payload", {})
        mine = {"resume": self._resume, "cursors": self.cursors}
        told = {key: mine[key] for key in payload.keys() & mine.keys() if payload[key]}
        await self._connected.send(frame | ({"payload": payload | told} if told else {}))

    async def hear(self) -> Frame:
        """The next frame of the server."""
        frame = await self._connected.receive(30)
        if frame["action"] == "welcome":
            self._resume, self.cursors = frame["payload"]["resume"], frame["payload"]["cursors"]
        if frame["action"] == "job_output":
            assert frame["index"] == len(self.shown)
            self.shown.append(frame["payload"])
        if "seq" in frame:
            self.cursors[frame.get("group", "client")] = frame["seq"]
        return frame

    async def closed(self) -> int:
        """With which code the server closes, after whatever it still sends."""
        try:
            while True:
                await self.hear()
        except ConnectionClosed as closed:
            told = closed.rcvd
        return told.code if told else 1006

    async def take(self, step: Step) -> Frame:
        """Take part in one step of the document; its frame as it was really."""
        told: Frame = step["frame"]
        if step["by"] == "client":
            await self.say(told)
            return told
        heard = await self.hear()
        if told["action"] == "job_output":  # how much of the answer is in one piece is a matter of time
            assert canonical({**heard, "payload": ""}) == canonical({**told, "payload": ""})
        else:
            assert canonical(heard) == canonical(told)
        return heard
