"""NATS_URL: read strictly, so that no part of a password is ever taken for something that may be shown."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from urllib.parse import unquote

from bus import host_name

DEFAULT_PORT = 4222
SCHEMES = ("nats", "tls")
KNOWN_ELSEWHERE = ("ws", "wss", "http", "https", "tcp", "mqtt", "redis", "rediss", "amqp")
"""Schemes that may be quoted in an error: whatever else stands before :// may be part of a secret."""

ENCODE = "percent-encode what has a meaning in a URL (@ is %40, / is %2F, # is %23, ? is %3F, % is %25, a comma is %2C)"

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_HOST = re.compile(r"\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+")
_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_FORBIDDEN = re.compile(r"[@/?#\[\]\\\s\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class NatsServer:
    """Where one NATS server is, and who we are there.

    Args:
        scheme: `tls` refuses a server without TLS; with `nats` the server decides.
        host: name or address, an IPv6 address in brackets.
        port: TCP port.
        user, password: as they are, not percent-encoded; both or none.
        token: instead of the two.
        tls_name: the name that its certificate must have, where that is not `host`.
    """

    scheme: str
    host: str
    port: int
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    tls_name: str | None = None

    @property
    def url(self) -> str:
        """Its URL as may be shown: without user, password or token."""
        return f"{self.scheme}://{self.host}:{self.port}"

    @property
    def has_credentials(self) -> bool:
        """Whether a user or a token is known."""
        return self.user is not None or self.token is not None

    def as_if(self, other: NatsServer) -> NatsServer:
        """This server, with the credentials of another."""
        return replace(self, user=other.user, password=other.password, token=other.token)


def parse(text: str) -> tuple[NatsServer, ...]:
    """Read a NATS URL, or several separated by commas.

    `user:password@` or `token@` may stand before each host, percent-encoded (RFC 3986, section 3.2.1). A server without
    them gets those of the first one that has some, as the servers of a cluster share their accounts.

    Raises:
        ValueError: it cannot be used; the message quotes nothing that may be secret.
    """
    entries = [entry.strip() for entry in text.split(",") if entry.strip()]
    if not entries:
        raise ValueError("no NATS server is named; write nats://HOST:PORT, or several separated by commas")
    servers = [_server(entry, first=number == 0) for number, entry in enumerate(entries)]
    known = next((server for server in servers if server.has_credentials), None)
    if known is None:
        return tuple(servers)
    return tuple(server if server.has_credentials else server.as_if(known) for server in servers)


def redacted(text: str) -> str:
    """A NATS URL, or several, as may be shown: scheme, host and port, or nothing of one that cannot be read."""
    try:
        return ",".join(server.url for server in parse(text))
    except ValueError:
        return "the address in NATS_URL"


def _server(entry: str, *, first: bool) -> NatsServer:
    match = _SCHEME.match(entry)
    scheme = match[1].lower() if match else "nats"
    if scheme not in SCHEMES:
        named = f"{scheme}://" if scheme in KNOWN_ELSEWHERE else "its scheme"
        raise ValueError(f"{named} is not served; use nats:// or tls://")
    rest = entry[match.end() :] if match else entry
    credentials, at, address = rest.rpartition("@")
    if at and match is None and not first:
        # It may as well be the rest of a password with a comma in it, and the entry before it the beginning.
        raise ValueError(f"credentials after a comma need their scheme, nats://; if the comma is theirs, {ENCODE}")
    if _FORBIDDEN.search(credentials) or _BAD_PERCENT.search(credentials):
        raise ValueError(f"user, password or token has characters that are not encoded; {ENCODE}")
    host, port = _address(address.removesuffix("/"))
    if not at:
        return NatsServer(scheme, host, port)
    user, colon, password = credentials.partition(":")
    if not user:
        raise ValueError("there is an @ without a user or token before it; write nats://USER:PASSWORD@HOST:PORT")
    if colon:
        return NatsServer(scheme, host, port, user=_decoded(user), password=_decoded(password))
    return NatsServer(scheme, host, port, token=_decoded(user))


def _address(address: str) -> tuple[str, int]:
    match = _HOST.match(address)
    port = address[match.end() :] if match else address
    if match is None or not re.fullmatch(r"(:\d{0,5})?", port):
        raise ValueError(
            f"there is no host with a port or without; write nats://HOST:PORT, and in credentials {ENCODE}"
        )
    host_name.require(match[0])
    number = int(port[1:] or DEFAULT_PORT)
    if not 1 <= number <= 65535:
        raise ValueError(f"its port is not between 1 and 65535; write nats://HOST:PORT, and in credentials {ENCODE}")
    return match[0], number


def _decoded(text: str) -> str:
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise ValueError("user, password or token is percent-encoded, but not as UTF-8") from None
