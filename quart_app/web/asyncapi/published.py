"""Published: the AsyncAPI document, and what its page shows of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bus.messages import SystemMessage
from quart_app.web.asyncapi.examples import Json
from quart_app.web.asyncapi.modes import MODES
from quart_app.web.asyncapi.schema_tree import Node, tree
from quart_app.web.asyncapi.schema_words import SchemaWords


@dataclass(frozen=True)
class Link:
    """Leads to a message on the same page. `kind` tells it from others of its action, as a job type does results."""

    action: str
    anchor: str
    kind: str = ""


@dataclass(frozen=True)
class Entry:
    """One message. `related` are what answers it, or what it answers; the examples are whole frames, by mode."""

    link: Link
    summary: str
    description: str
    handling: str
    related: tuple[Link, ...]
    frame: Node
    modes: tuple[str, ...]
    examples: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Section:
    """One channel, with its messages by direction."""

    name: str
    address: str
    summary: str
    description: str
    client: tuple[Entry, ...]
    server: tuple[Entry, ...]


@dataclass(frozen=True)
class JobType:
    """What can be asked for."""

    summary: str
    streams: bool
    takes: Node
    gives: Node


@dataclass(frozen=True)
class Published:
    """The document, and what the page shows of it."""

    document: Json
    info: Json
    channels: tuple[Section, ...]
    jobs: Mapping[str, JobType]

    @property
    def job_channel(self) -> str | None:
        """The first channel on which jobs can be submitted; None where there is none."""
        submit = SystemMessage.action_name()
        takers = (one.name for one in self.channels if submit in (entry.link.action for entry in one.client))
        return next(takers, None)


def publish(document: Json) -> Published:
    """Make both forms of a document."""
    reader = _Reader(document)
    channels = tuple(reader.section(name) for name in document["channels"])
    return Published(
        document, document["info"], channels, {name: reader.job(name) for name in document.get("x-jobs", {})}
    )


def indented(value: object) -> str:
    """JSON on several lines."""
    return json.dumps(value, ensure_ascii=False, indent=2)


def _frames(message: Json, mode: str) -> Iterator[str]:
    for example in message.get("examples", ()):
        if mode in (example.get("name"), *(() if "name" in example else message["x-modes"])):
            yield indented(example["payload"])


class _Reader:
    """Reads sections out of a document."""

    def __init__(self, document: Json) -> None:
        self._document = document
        self._words = SchemaWords(document)

    def job(self, name: str) -> JobType:
        job = self._document["x-jobs"][name]
        takes, gives = (
            tree(self._words, {"$ref": f"#/x-jobs/{name}/{what}"}, f"job-{name}-{what}") for what in ("takes", "gives")
        )
        return JobType(job["summary"], job["streams"], takes, gives)

    def section(self, name: str) -> Section:
        channel = self._document["channels"][name]
        pointer = {"$ref": f"#/channels/{name}"}
        operations = [op for op in self._document["operations"].values() if op["channel"] == pointer]
        client, server = {}, dict[str, list[Link]]()
        for operation in (op for op in operations if op["action"] == "receive"):
            replies = [ref["$ref"] for ref in operation["reply"]["messages"]]
            for ref in operation["messages"]:
                answers = tuple(self._link(name, reply) for reply in replies)
                client[ref["$ref"]] = self._entry(name, ref["$ref"], answers, operation)
                for reply in replies:
                    server.setdefault(reply, []).append(self._link(name, ref["$ref"]))
        for operation in (op for op in operations if op["action"] == "send"):
            for ref in operation["messages"]:
                server.setdefault(ref["$ref"], [])
        return Section(
            name,
            channel["address"],
            channel.get("summary", ""),
            channel.get("description", ""),
            tuple(client.values()),
            tuple(self._entry(name, pointer, tuple(links)) for pointer, links in server.items()),
        )

    def _entry(self, channel: str, pointer: str, related: tuple[Link, ...], operation: Json | None = None) -> Entry:
        message = self._message(pointer)
        operation = operation or {}
        link = self._link(channel, pointer)
        return Entry(
            link,
            message.get("summary", ""),
            message.get("description", ""),
            " ".join(operation[key] for key in ("summary", "description") if key in operation),
            related,
            tree(self._words, message["payload"], link.anchor),
            tuple(message["x-modes"]),
            {mode: tuple(_frames(message, mode)) for mode in MODES},
        )

    def _link(self, channel: str, pointer: str) -> Link:
        message = self._message(pointer)
        keys = self._words.resolve(message["payload"]).schema.get("properties", {})
        kinds = [str(schema["const"]) for key, schema in keys.items() if key != "action" and "const" in schema]
        return Link(message["name"], f"{channel}-{pointer.rpartition('/')[2]}", ", ".join(kinds))

    def _message(self, pointer: str) -> dict[str, Any]:
        return self._words.resolve({"$ref": pointer}).schema
