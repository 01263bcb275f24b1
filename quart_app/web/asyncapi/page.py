"""`/asyncapi.json`, and `/asyncapi/docs/`: the same for people."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from markupsafe import Markup, escape
from quart import Blueprint, Response, render_template, request

from quart_app.channel import Channel
from quart_app.web.asyncapi.document import build, servers
from quart_app.web.asyncapi.examples import Json
from quart_app.web.asyncapi.security import Security
from workers.registry import Job


def inline_code(text: str) -> Markup:
    """Escaped text in which `backticks` have become code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped before


@dataclass(frozen=True)
class Field:
    """One key of a frame; `path` leads to it, as in `payload[].loc`."""

    path: str
    type: str
    required: bool
    description: str


@dataclass(frozen=True)
class Link:
    """Leads to a message on the same page."""

    action: str
    anchor: str


@dataclass(frozen=True)
class Entry:
    """One message. `related` are what answers it, or what it answers."""

    link: Link
    summary: str
    description: str
    handling: str
    related: tuple[Link, ...]
    fields: tuple[Field, ...]
    examples: tuple[str, ...]


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
class Published:
    """The document, and what the page shows of it."""

    document: Json
    info: Json
    channels: tuple[Section, ...]


def _indented(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)


def publish(document: Json) -> Published:
    """Make both forms of a document."""
    reader = _Reader(document)
    return Published(document, document["info"], tuple(reader.section(name) for name in document["channels"]))


def asyncapi(
    channels: Iterable[type[Channel]],
    jobs: Mapping[str, Job],
    security: Security | None = None,
    root_path: str = "",
) -> Blueprint:
    """`/asyncapi.json` and `/asyncapi/docs/`, made when somebody first asks for one.

    Args:
        channels: what they describe.
        jobs: what can be asked for there, by name.
        security: how clients prove who they are, if they have to.
        root_path: the path below which they are served, `BUS_ROOT_PATH`.
    """
    routes = Blueprint("asyncapi", __name__)
    routes.add_app_template_filter(inline_code)
    routes.add_app_template_filter(_indented, "indented")
    published = cache(lambda: publish(build(channels, jobs, security=security, root_path=root_path)))

    @routes.get("/asyncapi.json")
    async def document() -> Response:
        """The AsyncAPI document."""
        here = {"servers": servers(request.host, secure=request.scheme == "https")}
        text = json.dumps(published().document | here, ensure_ascii=False, indent=2)
        return Response(text + "\n", content_type="application/json")

    @routes.get("/asyncapi/docs/")
    async def docs() -> str:
        """The AsyncAPI document as a page."""
        told = published().document
        return await render_template(
            "asyncapi.html",
            info=published().info,
            channels=published().channels,
            jobs=told.get("x-jobs", {}),
            sessions=told.get("x-sessions", {}),
            close_codes=told["x-close-codes"],
            error_types=told["x-error-types"],
            asks_for_tokens=security is not None,
        )

    return routes


class _Reader:
    """Reads sections out of a document."""

    def __init__(self, document: Json) -> None:
        self._document = document

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
        message = self._resolve({"$ref": pointer})
        operation = operation or {}
        return Entry(
            self._link(channel, pointer),
            message.get("summary", ""),
            message.get("description", ""),
            " ".join(operation[key] for key in ("summary", "description") if key in operation),
            related,
            tuple(self._fields("", message["payload"], ())),
            tuple(json.dumps(e["payload"], ensure_ascii=False, indent=2) for e in message.get("examples", ())),
        )

    def _link(self, channel: str, pointer: str) -> Link:
        return Link(self._resolve({"$ref": pointer})["name"], f"{channel}-{pointer.rpartition('/')[2]}")

    def _fields(self, path: str, schema: Json, inside: tuple[int, ...]) -> Iterator[Field]:
        """The keys of an object and of what is in them, depth first; a model inside itself is not opened again."""
        for choice in _choices(self._resolve(schema)):
            node = self._resolve(choice)
            if id(node) in inside:
                continue
            if node.get("type") == "array" and isinstance(node.get("items"), dict):
                yield from self._fields(f"{path}[]", node["items"], (*inside, id(node)))
            for key, value in node.get("properties", {}).items():
                below = f"{path}.{key}" if path else key
                description = value.get("description") or self._resolve(value).get("description", "")
                yield Field(below, self._type(value), key in node.get("required", ()), description)
                yield from self._fields(below, value, (*inside, id(node)))

    def _type(self, schema: Json, inside: tuple[int, ...] = ()) -> str:
        node = self._resolve(schema)
        if id(node) in inside:
            return "the same"
        inside = (*inside, id(node))
        if "const" in node:
            return json.dumps(node["const"], ensure_ascii=False)
        if "enum" in node:
            return _either(json.dumps(value, ensure_ascii=False) for value in node["enum"])
        choices = _choices(node)
        if choices != [node]:
            return _either(self._type(choice, inside) for choice in choices)
        kind: str = node.get("type", "any")
        if kind == "array":
            items = node.get("items") or []
            several = items if isinstance(items, list) else [items]
            return f"array of {_either(self._type(item, inside) for item in several)}" if several else kind
        if isinstance(values := node.get("additionalProperties"), dict):
            return f"{kind} of {self._type(values, inside)}"
        return kind + _bounds(node)

    def _resolve(self, node: Json) -> Json:
        while "$ref" in node:
            target: Any = self._document
            for part in node["$ref"].removeprefix("#/").split("/"):
                target = target[part]
            node = target
        return node


def _choices(node: Json) -> list[Json]:
    for key in ("anyOf", "oneOf", "allOf"):
        if key in node:
            choices: list[Json] = node[key]
            return choices
    return [node]


def _either(types: Iterable[str]) -> str:
    return " or ".join(dict.fromkeys(types))


def _bounds(node: Json) -> str:
    words = {"minLength": "at least {}", "maxLength": "at most {}", "minimum": "≥ {}", "maximum": "≤ {}"}
    bounds = ", ".join(text.format(node[key]) for key, text in words.items() if key in node)
    return f" ({bounds}{' characters' if node.get('type') == 'string' else ''})" if bounds else ""
