"""REDIS_URL: where Redis or Valkey is, taken apart once for everything that connects to it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, NoReturn
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

from bus import host_name

FORMS = (
    "redis://[user][:password]@host[:port][/database], rediss:// the same with TLS, unix:///path/of/socket[?db=0], "
    "or sentinel://host:port;sentinel://host:port/database?master_name=NAME"
)
ENCODING = (
    "what is special in a user or password is percent-encoded, for example # as %23, / as %2F, : as %3A, ? as %3F, "
    "@ as %40, [ as %5B, ] as %5D, % as %25"
)

TCP = {"redis": False, "valkey": False, "rediss": True, "valkeys": True}
"""Schemes of one server, and whether they mean TLS."""
SENTINEL = {"sentinel": False, "sentinels": True}
SOCKET = ("unix", "redis+socket")

REDIS_PORT, SENTINEL_PORT = 6379, 26379
MOST_DATABASES = 65_536
LONGEST_PATH = 107
"""Bytes that Linux allows for the path of a Unix socket."""

TLS_PARAMETERS = ("ssl_cert_reqs", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_check_hostname")
SENTINEL_PARAMETERS = ("master_name", "sentinel_username", "sentinel_password")
STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True)
class Tls:
    """How a server proves who it is: by default with a certificate for its name from an authority the system trusts."""

    cert_reqs: str = "required"
    check_hostname: bool = True
    ca_certs: str | None = None
    certfile: str | None = None
    keyfile: str | None = None

    def options(self) -> dict[str, Any]:
        """What TLS is to be like, as redis-py's keyword arguments."""
        return {
            "ssl_cert_reqs": self.cert_reqs,
            "ssl_check_hostname": self.check_hostname,
            "ssl_ca_certs": self.ca_certs,
            "ssl_certfile": self.certfile,
            "ssl_keyfile": self.keyfile,
        }


@dataclass(frozen=True)
class RedisUrl:
    """A `REDIS_URL` taken apart. Its `repr` and `str` show no user, password or other secret.

    Args:
        hosts: name and port of the server, or of every Sentinel; empty for a Unix socket.
        path: of a Unix socket.
        database: its number.
        username, password: of the server, decoded.
        tls: None without TLS.
        master_name: what Sentinel calls the server; None without Sentinel.
        sentinel_username, sentinel_password: of the Sentinels themselves.
    """

    hosts: tuple[tuple[str, int], ...] = ()
    path: str | None = None
    database: int = 0
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    tls: Tls | None = None
    master_name: str | None = None
    sentinel_username: str | None = field(default=None, repr=False)
    sentinel_password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        """The URL without its secrets, as kombu spells it."""
        if self.path is not None:
            return f"redis+socket://{quote(self.path)}?virtual_host={self.database}"
        scheme = "redis" if self.master_name is None else "sentinel"
        scheme = "rediss" if self.tls and scheme == "redis" else scheme
        addresses = [f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}" for host, port in self.hosts]
        return ";".join(addresses) + f"/{self.database}"

    def __json__(self) -> str:
        # Celery tells operators what a worker's connection is made of, as JSON.
        return str(self)

    def login(self) -> dict[str, Any]:
        """User and password as redis-py's keyword arguments."""
        return {"username": self.username, "password": self.password}

    def sentinel_login(self) -> dict[str, Any]:
        """User and password for the Sentinels, which have an account of their own or none."""
        return {"username": self.sentinel_username, "password": self.sentinel_password}

    def options(self) -> dict[str, Any]:
        """Where the server is and how to log in, as keyword arguments of redis-py's `Redis`, also the one of asyncio.

        With Sentinel, all but the address.
        """
        options = {"db": self.database, **self.login()}
        if self.path is not None:
            options["unix_socket_path"] = self.path
        elif self.master_name is None:
            options["host"], options["port"] = self.hosts[0]
        if self.tls is not None:
            options |= {"ssl": True, **self.tls.options()}
        return options


def parse(url: str) -> RedisUrl:
    """Take a `REDIS_URL` apart.

    Raises:
        ValueError: it is none of the forms that are served. The message says what is wrong, names the forms and
            percent-encoding, and quotes nothing of the URL, which may hold a password in the wrong place.
    """
    if not url.isprintable() or " " in url:
        _refuse("it holds spaces or control characters")
    if "#" in url:
        _refuse("it holds a #")
    if STRAY_PERCENT.search(url):
        _refuse("it holds a % that two hexadecimal digits do not follow")
    scheme = url.partition("://")[0] if "://" in url else None
    if scheme in TCP:
        return _server(_split(url), TCP[scheme])
    if scheme in SENTINEL:
        return _sentinels(url, SENTINEL[scheme])
    if scheme in SOCKET:
        return _socket(_split(url))
    return _refuse("it has no scheme" if scheme is None else "its scheme is not served")


def redacted(url: str) -> str:
    """The URL as it may be shown: without user, password and parameters; nothing at all of one that is wrong."""
    try:
        return str(parse(url))
    except ValueError:
        return "a REDIS_URL that cannot be read"


def _server(parts: SplitResult, tls: bool) -> RedisUrl:
    given = _parameters(parts, ("db", *TLS_PARAMETERS) if tls else ("db",))
    return RedisUrl(
        hosts=(_address(parts, REDIS_PORT),),
        database=_database(parts, given),
        tls=_tls(given) if tls else None,
        **_login(parts),
    )


def _socket(parts: SplitResult) -> RedisUrl:
    given = _parameters(parts, ("db", "virtual_host"))
    if parts.netloc.rpartition("@")[2]:
        _refuse("a socket's path begins with a third /")
    path = _decoded(parts.path)
    if not path.strip("/") or len(path.encode()) > LONGEST_PATH:
        _refuse(f"a socket's path has 1 to {LONGEST_PATH} bytes")
    number = given.get("db", given.get("virtual_host", "0"))
    return RedisUrl(path=path, database=_number(number), **_login(parts))


def _sentinels(url: str, tls: bool) -> RedisUrl:
    each = [_split(part) for part in url.split(";")]
    if any(parts.scheme != each[0].scheme for parts in each):
        _refuse("every Sentinel needs the same scheme")
    given: dict[str, str] = {}
    for parts in each:
        given |= _parameters(parts, ("db", *SENTINEL_PARAMETERS, *(TLS_PARAMETERS if tls else ())))
    if not given.get("master_name"):
        _refuse("with Sentinel, the parameter master_name says which server is meant")
    logins = [login for parts in each if any((login := _login(parts)).values())]
    if any(login != logins[0] for login in logins):
        _refuse("with Sentinel, user and password are those of the server, and given once")
    return RedisUrl(
        hosts=tuple(_address(parts, SENTINEL_PORT) for parts in each),
        database=next((number for parts in each if (number := _database(parts, given))), 0),
        tls=_tls(given) if tls else None,
        master_name=given["master_name"],
        sentinel_username=given.get("sentinel_username"),
        sentinel_password=given.get("sentinel_password"),
        **(logins[0] if logins else {}),
    )


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
    except ValueError:
        if "[" in url or "]" in url:
            _refuse("it holds a [ or ] that is not around an IPv6 address")
        _refuse("it holds a character that stands for one with a meaning in a URL")
    if "@" in parts.path or "@" in parts.query:
        _refuse("it holds a / or ? before an @")
    if parts.netloc.count("@") > 1:
        _refuse("it holds an @ too many")
    try:
        _ = parts.port
    except ValueError:
        _refuse("its port is not a number up to 65535")
    return parts


def _login(parts: SplitResult) -> dict[str, Any]:
    username, password = parts.username, parts.password
    return {
        "username": _decoded(username) if username else None,
        "password": _decoded(password) if password else None,
    }


def _address(parts: SplitResult, port: int) -> tuple[str, int]:
    if parts.port == 0:
        _refuse("its port is 0")
    host = _decoded(parts.hostname or "")
    if not host:
        _refuse("it names no host")
    if not re.fullmatch(r"[\w.:-]+", host):
        _refuse("its host is not a name or address")
    try:
        host_name.require(host)
    except ValueError as error:
        _refuse(str(error))
    return host, parts.port or port


def _parameters(parts: SplitResult, known: tuple[str, ...]) -> dict[str, str]:
    try:
        pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query), errors="strict")
    except ValueError:
        _refuse("its parameters are not of the form name=value")
    if any(name not in known for name, _ in pairs) or len(dict(pairs)) < len(pairs):
        _refuse(f"after ? it takes {', '.join(known)}, each once")
    return dict(pairs)


def _database(parts: SplitResult, given: dict[str, str]) -> int:
    in_path = parts.path.removeprefix("/")
    if in_path and "db" in given:
        _refuse("it names a database twice")
    return _number(given.get("db", in_path or "0"))


def _number(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) >= MOST_DATABASES:
        _refuse(f"its database is not a number from 0 to {MOST_DATABASES - 1}")
    return int(text)


def _tls(given: dict[str, str]) -> Tls:
    reqs = given.get("ssl_cert_reqs", "required").lower().removeprefix("cert_")
    check = given.get("ssl_check_hostname", "true").lower()
    if reqs not in ("required", "optional", "none"):
        _refuse("ssl_cert_reqs is required, optional or none")
    if check not in ("true", "false"):
        _refuse("ssl_check_hostname is true or false")
    return Tls(
        cert_reqs=reqs,
        check_hostname=check == "true" and reqs != "none",
        ca_certs=given.get("ssl_ca_certs"),
        certfile=given.get("ssl_certfile"),
        keyfile=given.get("ssl_keyfile"),
    )


def _decoded(text: str) -> str:
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        _refuse("what it encodes by percent is no UTF-8")


def _refuse(why: str) -> NoReturn:
    raise ValueError(f"{why}. Served are {FORMS}; {ENCODING}")
