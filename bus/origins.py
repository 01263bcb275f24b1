"""Web origins and host names: read strictly, written in one way, and compared as such.

An origin is scheme, host and port (RFC 6454). Hosts are written as browsers write them (URL Standard, section 3.5):
lower case, IDNA, IPv6 in brackets; a dot after the last label is left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

DEFAULT_PORTS = {"http": 80, "https": 443}

_PAGE_OF = {"ws": "http", "wss": "https"}
"""Programs send the address of the socket as their origin, where a browser sends that of the page."""

_AUTHORITY = r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\[\]:/?#@\\%,;\s]+)(?::(?P<port>[0-9]{1,5}))?"
_ORIGIN = re.compile(rf"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://{_AUTHORITY}/?")
_HOST = re.compile(_AUTHORITY)
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMERIC = re.compile(r"[0-9]+|0x[0-9a-f]*")
_LONGEST = 300
_AMBIGUOUS = frozenset("ßς\u200c\u200d")
"""What IDNA 2003, which Python has, and IDNA 2008, which browsers have, write differently."""
_SHOWN = re.compile(r"[A-Za-z0-9.:/*?#\[\]{}_+-]{1,100}")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a page comes from.

    Args:
        scheme: in lower case; `http` and `https` also stand for `ws` and `wss`.
        host: as browsers write it.
        port: None for the scheme's own.
    """

    scheme: str
    host: str
    port: int | None

    @classmethod
    def parse(cls, text: str) -> Origin:
        """Read `scheme://host[:port]`; one slash may follow.

        Raises:
            ValueError: it is anything else.
        """
        match = _ORIGIN.fullmatch(text) if len(text) <= _LONGEST else None
        if match is None:
            raise ValueError("an origin is scheme://host or scheme://host:port and nothing else")
        scheme = match["scheme"].lower()
        scheme = _PAGE_OF.get(scheme, scheme)
        port = _port(match["port"])
        return cls(scheme, normal_host(match["host"]), None if port == DEFAULT_PORTS.get(scheme) else port)

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host}" + ("" if self.port is None else f":{self.port}")

    def is_of(self, host: str) -> bool:
        """Whether it is the origin of the site whose `Host` header this is, over HTTP or HTTPS.

        Which of the two is not looked at: behind a proxy that ends TLS the server cannot know.
        """
        try:
            name, port = split_host(host)
        except ValueError:
            return False
        default = DEFAULT_PORTS.get(self.scheme)
        return default is not None and name == self.host and (port or default) == (self.port or default)


def origins(text: str) -> tuple[str, ...]:
    """The origins of a list with commas, each in its one form.

    `*` is every origin, and `https://*.example.com` every one with at least one more label, not the domain itself
    (as in Content Security Policy level 3, section 6.7.2.7).

    Raises:
        ValueError: one of them is not an origin that a browser can send.
    """
    return _each(text, _listed_origin, "such as https://app.example.com,https://*.example.org:8443")


def hosts(text: str) -> tuple[str, ...]:
    """The host names of a list with commas, each in its one form; `*` and `*.example.com` as in `origins`.

    Raises:
        ValueError: one of them is not a host name or address.
    """
    return _each(text, _listed_host, "such as app.example.com,*.example.org,127.0.0.1,[::1]")


def listed(text: str, allowed: Collection[str]) -> bool:
    """Whether an origin or host, in its one form, is in a list of `origins` or `hosts`."""
    if "*" in allowed or text in allowed:
        return True
    for pattern in allowed:
        before, star, after = pattern.partition("*")
        if star and text.startswith(before) and text.endswith(after) and len(text) > len(before) + len(after):
            return True
    return False


def split_host(text: str) -> tuple[str, int | None]:
    """Host and port of a `Host` header (RFC 9110 section 7.2).

    Raises:
        ValueError: it is none.
    """
    match = _HOST.fullmatch(text) if len(text) <= _LONGEST else None
    if match is None:
        raise ValueError("a host is a name or an address, with or without a port")
    return normal_host(match["host"]), _port(match["port"])


def normal_host(text: str) -> str:
    """A name or address as browsers write it.

    Raises:
        ValueError: it is none, or one that browsers write in another way.
    """
    if text.startswith("["):
        return f"[{IPv6Address(text[1:-1])}]"
    if not text.isascii():
        if _AMBIGUOUS & set(text):
            raise ValueError("this name is written differently by old and new IDNA: write it as browsers do, xn--…")
        text = text.encode("idna").decode()  # its UnicodeError is a ValueError
    name = text.lower().removesuffix(".")
    labels = name.split(".")
    if len(name) > 253 or not all(map(_LABEL.fullmatch, labels)):
        raise ValueError("this is not a host name")
    if _NUMERIC.fullmatch(labels[-1]):  # browsers take such a name for an IPv4 address
        return str(IPv4Address(name))
    return name


def _port(text: str | None) -> int | None:
    if text is None:
        return None
    if not 1 <= int(text) <= 65535:
        raise ValueError("a port is 1 to 65535")
    return int(text)


def _listed_origin(text: str) -> str:
    scheme, separator, rest = text.partition("://*.")
    return str(Origin.parse(text)) if not separator else _with_star(Origin.parse(f"{scheme}://{rest}"))


def _with_star(origin: Origin) -> str:
    _require_name(origin.host)
    return str(origin).replace("://", "://*.", 1)


def _listed_host(text: str) -> str:
    name = text.removeprefix("*.")
    if name.count(":") > 1 and not name.startswith("["):
        name = f"[{name}]"
    host, port = split_host(name)
    if port is not None:
        raise ValueError("a host is listed without a port; that of a request is not looked at")
    if text.startswith("*."):
        _require_name(host)
        return f"*.{host}"
    return host


def _require_name(host: str) -> None:
    if host.startswith("[") or host.rpartition(".")[2].isdigit():
        raise ValueError("an address has no subdomains")


def _each(text: str, read: Callable[[str], str], example: str) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for number, part in enumerate(text.split(","), 1):
        part = part.strip()
        if part in ("", "*"):
            found.update({part: None} if part else {})
            continue
        try:
            found[read(part)] = None
        except ValueError as error:
            # What could hide a password, or spoil the line, is not repeated.
            which = part if _SHOWN.fullmatch(part) else f"entry {number}"
            raise ValueError(f"{which} can never match ({error}); list them with commas, {example}") from None
    if not found and text.strip():
        raise ValueError(f"nothing is listed; list them with commas, {example}")
    return tuple(found)
