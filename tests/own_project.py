"""A project of one's own, in a folder, as people write it."""

from __future__ import annotations

from pathlib import Path

JOBS = '''
from collections.abc import Iterator

from busctl import JobContext, job


@job
def shout(content: str, job: JobContext) -> Iterator[str]:
    """Say it louder."""
    for word in content.split():
        yield word.upper() + " "
'''

CHANNELS = '''
from typing import Literal

from busctl import Channel, ClientMessage, Message, SystemChannel, channel, ws_handler


class Say(ClientMessage):
    action: Literal["say"] = "say"
    payload: str


class Said(Message):
    action: Literal["said"] = "said"
    payload: str


@channel("/ws/echo", name="echo")
class Echo(Channel):
    """Repeats what it is told."""

    @ws_handler
    async def say(self, message: Say) -> Said:
        """Say it again."""
        return Said(payload=message.payload)
'''

ENV = {"BUS_JOBS": "own_shop.jobs", "BUS_CHANNELS": "own_shop.channels"}
"""What tells a process of it; it is started in the folder."""


def write(folder: Path) -> Path:
    """Write the package `own_shop` into a folder; returns the package."""
    package = folder / "own_shop"
    package.mkdir()
    for name, code in (("__init__", ""), ("jobs", JOBS), ("channels", CHANNELS)):
        (package / f"{name}.py").write_text(code)
    return package
